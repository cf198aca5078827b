// Package web draws the console: templ pages and fragments from plain view models. It does no I/O; everything that a page shows is in
// its view model, and what every page needs (language, theme, user, tokens) is a View in the context.
package web

import (
	"context"
	"slices"
	"strconv"
	"time"

	"kiln/lambda"
	"kiln/static"
	"kiln/web/messages"
)

// View is what every page needs to know about the request and the person. Put it into the context with With.
type View struct {
	Locale    messages.Locale
	Zone      *time.Location
	Now       time.Time
	Theme     string // "light", "dark" or "" for the system's
	Path      string // of the request, to mark the current page
	CSRF      string // "" when nobody is signed in
	Nonce     string // of the style policy, for CodeMirror
	RequestID string
	User      Person
	Rail      Rail
}

// Person is who looks.
type Person struct {
	Name  string
	Role  string
	Write bool // may change functions: buttons that would be refused are not drawn
	Owner bool // may change the account
}

// Rail is what the left rail shows besides the pages.
type Rail struct {
	Host      string
	Functions int
	Pinned    []Pin
	Pins      []string // names of Pinned, also of those that are gone
	Rung      string   // "A" … "D"; "" when nothing runs
	Runtimes  int
}

// Pin is a pinned function with its state.
type Pin struct {
	Name  string
	State State
}

type viewKey struct{}

// With puts v into ctx.
func With(ctx context.Context, v *View) context.Context { return context.WithValue(ctx, viewKey{}, v) }

var nobody = &View{Locale: messages.English, Zone: time.UTC}

// Of is ctx's View; an English one of nobody when there is none.
func Of(ctx context.Context) *View {
	if v, ok := ctx.Value(viewKey{}).(*View); ok {
		return v
	}
	return nobody
}

// T is the text of key in the context's language.
func T(ctx context.Context, key string, pairs ...any) string { return Of(ctx).Locale.T(key, pairs...) }

// Local is t in the person's time zone.
func (v *View) Local(t time.Time) time.Time { return t.In(v.Zone) }

// When is the time of day for today, else the day.
func (v *View) When(t time.Time) string { return v.Locale.When(v.Local(t), v.Local(v.Now)) }

// ErrorText is what err says to a person. Errors that are none of lambda's say only that Kiln failed.
func ErrorText(l messages.Locale, err *lambda.Error) string {
	if err == nil || !messages.Has("error."+err.Key) {
		return l.T("error.internal")
	}
	return l.T("error."+err.Key, pairs(err.Params)...)
}

// ProblemText is what a problem says next to its field.
func ProblemText(l messages.Locale, p lambda.Problem) string {
	if !messages.Has("problem." + p.Key) {
		return l.T("error.input.invalid")
	}
	return l.T("problem."+p.Key, pairs(p.Params)...)
}

// countParams are the parameters that are numbers to read, not names.
var countParams = []string{"min", "max", "size", "bytes", "limit"}

func pairs(p lambda.Params) []any {
	out := make([]any, 0, 2*len(p))
	for name, v := range p {
		if n, err := strconv.ParseInt(v, 10, 64); err == nil && slices.Contains(countParams, name) {
			out = append(out, name, n) // grouped by the language's habit
			continue
		}
		out = append(out, name, v)
	}
	return out
}

// iconRef is the address of one icon in the sprite.
func iconRef(name string) string { return static.URL("icons.svg") + "#i-" + name }

// htmxConfig is the policy of every page's htmx: no eval, no styles of its own; a 422 is a form with messages and swaps in place,
// every other error goes to the notices and never into the target.
const htmxConfig = `{"allowEval":false,"allowScriptTags":false,"includeIndicatorStyles":false,"selfRequestsOnly":true,"historyCacheSize":0,"refreshOnHistoryMiss":true,"scrollIntoViewOnBoost":false,"responseHandling":[{"code":"204","swap":false},{"code":"[23]..","swap":true},{"code":"422","swap":true},{"code":"[45]..","swap":true,"error":true,"target":"#notices","swapOverride":"innerHTML"}]}`
