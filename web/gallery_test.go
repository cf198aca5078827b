package web

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/a-h/templ"
	"golang.org/x/net/html"

	"kiln/web/messages"
)

// page is one page of the gallery with made-up data.
type page struct {
	name string
	make func(ctx context.Context) templ.Component
}

// gallery is every page; each file of pages adds its own by a function like manageGallery.
func gallery() []page {
	return slices.Concat(shellGallery(), manageGallery(), workspaceGallery(), watchGallery())
}

func shellGallery() []page {
	return []page{
		{"login", func(context.Context) templ.Component { return LoginPage(Login{Token: "t", Next: "/"}) }},
		{"login-none", func(context.Context) templ.Component { return LoginPage(Login{Note: "note"}) }},
		{"oops-404", func(context.Context) templ.Component { return OopsPage(Oops{Status: 404, Text: "gone"}) }},
		{"oops-403", func(context.Context) templ.Component {
			return OopsPage(Oops{Status: 403, Text: "no", Denied: &Denied{Who: "Vi", Action: "lambda:DeleteFunction", Resource: "arn", Role: "viewer"}})
		}},
		{"oops-500", func(context.Context) templ.Component { return OopsPage(Oops{Status: 500, Text: "no", RequestID: "id"}) }},
	}
}

func testView(l messages.Locale) *View {
	return &View{
		Locale: l, Zone: time.UTC, Now: time.Date(2026, 11, 20, 14, 31, 7, 0, time.UTC), Path: "/", CSRF: "token", Nonce: "nonce",
		User: Person{Name: "Kim Minseo", Role: "owner", Write: true, Owner: true},
		Rail: Rail{Host: "kiln.lab", Functions: 11, Rung: "A", Runtimes: 5, Pinned: []Pin{{"orders-api", StateThrottled}, {"invoice-pdf", StateFailing}, {"hello", StateOK}}},
	}
}

func TestEveryPageIsWellFormedInBothLanguages(t *testing.T) {
	for _, p := range gallery() {
		for _, l := range messages.Locales {
			t.Run(p.name+"/"+string(l), func(t *testing.T) {
				ctx := With(context.Background(), testView(l))
				var b bytes.Buffer
				if err := p.make(ctx).Render(ctx, &b); err != nil {
					t.Fatal(err)
				}
				for _, problem := range problemsOf(b.Bytes()) {
					t.Error(problem)
				}
			})
		}
	}
}

// void are the elements without an end tag.
var void = []string{"area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "source", "track", "wbr"}

// problemsOf are the mistakes of a page that can be seen without a browser: open elements, double ids, references to nothing, inline
// style or script, texts that are missing, fields and buttons without a name.
func problemsOf(page []byte) (problems []string) {
	c := &checker{ids: map[string]bool{}}
	z := html.NewTokenizer(bytes.NewReader(page))
	for {
		switch z.Next() {
		case html.ErrorToken:
			return append(c.problems, c.atEnd()...)
		case html.StartTagToken, html.SelfClosingTagToken:
			c.start(z.Token())
		case html.EndTagToken:
			c.end(z.Token().Data)
		case html.TextToken:
			c.text(string(z.Text()))
		}
	}
}

type checker struct {
	problems []string
	open     []string
	ids      map[string]bool
	refs     []string
}

func (c *checker) bad(format string, args ...any) {
	c.problems = append(c.problems, fmt.Sprintf(format, args...))
}

func (c *checker) start(t html.Token) {
	attr := map[string]string{}
	for _, a := range t.Attr {
		if _, twice := attr[a.Key]; twice {
			c.bad("<%s> has %s twice", t.Data, a.Key)
		}
		attr[a.Key] = a.Val
	}
	if id, ok := attr["id"]; ok {
		if id == "" || c.ids[id] {
			c.bad("id %q is empty or there twice", id)
		}
		c.ids[id] = true
	}
	data := attr["type"] == "application/json" // runs nothing
	if t.Data == "script" && attr["src"] == "" && !data || t.Data == "style" {
		c.bad("inline <%s>", t.Data)
	}
	for name := range attr {
		if name == "style" || strings.HasPrefix(name, "on") || strings.HasPrefix(name, "hx-on") || strings.HasPrefix(name, "hx-vals") && strings.HasPrefix(attr[name], "js:") {
			c.bad("<%s %s>: the content security policy forbids it", t.Data, name)
		}
	}
	for _, ref := range []string{"for", "aria-labelledby", "aria-describedby", "aria-controls", "list", "form"} {
		c.refs = append(c.refs, strings.Fields(attr[ref])...)
	}
	c.named(t.Data, attr)
	if !slices.Contains(void, t.Data) && t.Type == html.StartTagToken {
		c.open = append(c.open, t.Data)
	}
}

// named wants a name for what can be operated.
func (c *checker) named(tag string, attr map[string]string) {
	if tag == "form" && attr["method"] == "post" && attr["action"] == "" {
		c.bad("a form without an action")
	}
	if tag == "img" && attr["alt"] == "" {
		c.bad("an image without alt")
	}
}

func (c *checker) end(name string) {
	if slices.Contains(void, name) {
		return
	}
	if len(c.open) == 0 || c.open[len(c.open)-1] != name {
		c.bad("</%s> closes %v", name, c.open)
		return
	}
	c.open = c.open[:len(c.open)-1]
}

func (c *checker) text(s string) {
	s = strings.TrimSpace(s)
	prefix, _, dotted := strings.Cut(s, ".")
	if dotted && !strings.ContainsAny(s, " {}()") && tablePrefixes[prefix] {
		c.bad("the text %q looks like a key without an entry", s)
	}
}

// tablePrefixes begin keys of the catalogue.
var tablePrefixes = map[string]bool{"shell": true, "nav": true, "tab": true, "state": true, "act": true, "home": true, "role": true, "login": true, "oops": true,
	"functions": true, "create": true, "configure": true, "versions": true, "settings": true, "palette": true, "error": true, "problem": true}

func (c *checker) atEnd() (problems []string) {
	if len(c.open) > 0 {
		problems = append(problems, fmt.Sprintf("never closed: %v", c.open))
	}
	for _, ref := range c.refs {
		if !c.ids[ref] {
			problems = append(problems, fmt.Sprintf("refers to #%s, which is not there", ref))
		}
	}
	return problems
}
