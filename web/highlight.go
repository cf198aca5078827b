package web

import (
	"context"
	"io"
	"path"
	"regexp"
	"strings"

	"github.com/a-h/templ"
)

// Span is a piece of a line of code; Class is the css class of its kind, "" for plain text.
type Span struct{ Class, Text string }

var token = regexp.MustCompile("(//.*$|#.*$)|(\"(?:[^\"\\\\]|\\\\.)*\"|'(?:[^'\\\\]|\\\\.)*'|`(?:[^`\\\\]|\\\\.)*`)|\\b(\\d+(?:\\.\\d+)?)\\b|([A-Za-z_$][\\w$]*)(\\()?")

var keywords = map[string]bool{}

func init() {
	for _, k := range strings.Fields(`export const let var async await function return for of in if else import from new throw try catch finally class extends
		while break continue switch case default typeof null true false def with as elif pass raise except lambda yield None True False and or not is
		package func type struct range go defer chan map interface do done then fi esac set local echo`) {
		keywords[k] = true
	}
}

const longestHighlighted = 2000 // bytes of a line: minified code stays plain

// Highlight cuts one line into its tokens by a small grammar that fits JavaScript, Python, shell, Go and JSON. It never loses a character.
func Highlight(file, line string) []Span {
	if len(line) > longestHighlighted || path.Ext(file) == ".md" || path.Ext(file) == ".txt" {
		return []Span{{"", line}}
	}
	hash := strings.Contains(".py.sh.yml.yaml.toml", path.Ext(file)) || path.Ext(file) == ""
	var out []Span
	at := 0
	for _, m := range token.FindAllStringSubmatchIndex(line, -1) {
		start, end, class := m[0], m[1], ""
		switch {
		case start < at:
			continue
		case m[2] >= 0:
			isHash := line[start] == '#'
			if isHash != hash {
				continue
			}
			class = "c"
		case m[4] >= 0:
			class = "s"
		case m[6] >= 0:
			class = "m"
		case keywords[line[m[8]:m[9]]]:
			class, end = "k", m[9]
		case m[10] >= 0:
			class, end = "f", m[9]
		default:
			continue
		}
		if start > at {
			out = append(out, Span{"", line[at:start]})
		}
		out = append(out, Span{class, line[start:end]})
		at = end
	}
	if at < len(line) || len(out) == 0 {
		out = append(out, Span{"", line[at:]})
	}
	return out
}

// CodeLine is one line of code with its tokens marked; written by hand because every blank counts.
func CodeLine(file, line string) templ.Component {
	return templ.ComponentFunc(func(_ context.Context, w io.Writer) error {
		var b strings.Builder
		for _, s := range Highlight(file, line) {
			text := templ.EscapeString(s.Text)
			if s.Class == "" {
				b.WriteString(text)
			} else {
				b.WriteString(`<span class="` + s.Class + `">` + text + `</span>`)
			}
		}
		if b.Len() == 0 {
			b.WriteByte(' ')
		}
		_, err := io.WriteString(w, b.String())
		return err
	})
}
