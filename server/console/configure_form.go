package console

import (
	"context"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/labstack/echo/v4"

	"kiln/lambda"
	"kiln/web"
)

// formOf is a function's saved configuration as a form.
func formOf(f *lambda.Function) web.ConfigForm {
	form := web.ConfigForm{
		Runtime: f.Runtime, Handler: f.Handler, Description: f.Description, Memory: strconv.Itoa(f.MemoryMB), Timeout: strconv.Itoa(f.TimeoutSec),
		Ephemeral: strconv.Itoa(f.EphemeralMB), Role: f.Role, LogFormat: f.LogFormat, LogLevel: f.AppLogLevel,
		Env: pairsOf(f.Env), Tags: pairsOf(f.Tags),
	}
	if f.Reserved != nil {
		form.Reserved = strconv.Itoa(*f.Reserved)
	}
	return form
}

func pairsOf(m map[string]string) (out []web.Pair) {
	for _, name := range slices.Sorted(maps.Keys(m)) {
		out = append(out, web.Pair{Name: name, Value: m[name]})
	}
	return out
}

const maxPairs = 500

// readForm takes the fields as they were typed; a pasted .env joins the table.
func readForm(e echo.Context) (form web.ConfigForm, problems []lambda.Problem, err error) {
	v, err := e.FormParams()
	if err != nil {
		return form, nil, err
	}
	text := func(name string) string { return strings.TrimSpace(v.Get(name)) }
	form = web.ConfigForm{
		Runtime: text("runtime"), Handler: text("handler"), Description: text("description"), Memory: text("memory"), Timeout: text("timeout"),
		Ephemeral: text("ephemeralStorage"), Role: text("role"), Reserved: text("reserved"), LogFormat: text("logFormat"), LogLevel: text("appLogLevel"),
	}
	if form.LogFormat != "JSON" {
		form.LogLevel = ""
	}
	form.Env = readPairs(v["env_name"], v["env_value"])
	form.Tags = readPairs(v["tag_name"], v["tag_value"])
	pasted, bad := ParseDotEnv(v.Get("paste"))
	if bad > 0 {
		problems = append(problems, lambda.Problem{Field: "environment", Key: "envLine", Params: lambda.P("line", strconv.Itoa(bad))})
		form.Paste = v.Get("paste")
	} else {
		form.Env = mergePairs(form.Env, pasted)
	}
	for field, pairs := range map[string][]web.Pair{"environment": form.Env, "tags": form.Tags} {
		if name := twice(pairs); name != "" {
			problems = append(problems, lambda.Problem{Field: field, Key: "envTwice", Params: lambda.P("name", name)})
		}
	}
	return form, problems, nil
}

func readPairs(names, values []string) (out []web.Pair) {
	for i, name := range names[:min(len(names), maxPairs)] {
		p := web.Pair{Name: strings.TrimSpace(name)}
		if i < len(values) {
			p.Value = values[i]
		}
		if p.Name != "" || p.Value != "" {
			out = append(out, p)
		}
	}
	return out
}

// mergePairs puts pasted variables over those of the table.
func mergePairs(table, pasted []web.Pair) []web.Pair {
	for _, p := range pasted {
		at := slices.IndexFunc(table, func(t web.Pair) bool { return t.Name == p.Name })
		if at >= 0 {
			table[at].Value = p.Value
		} else {
			table = append(table, p)
		}
	}
	return table
}

func twice(pairs []web.Pair) string {
	seen := map[string]bool{}
	for _, p := range pairs {
		if seen[p.Name] {
			return p.Name
		}
		seen[p.Name] = true
	}
	return ""
}

// ParseDotEnv reads the usual .env text: NAME=value, "export NAME=value", # comments, single quotes as they are, double quotes with \n, \t, \" and \\.
// badLine is the number of the first line that is none of these, 0 when all are.
func ParseDotEnv(text string) (pairs []web.Pair, badLine int) {
	for i, line := range strings.Split(text, "\n") {
		if i >= 10_000 || len(pairs) > maxPairs {
			return nil, i + 1
		}
		line = strings.TrimSpace(strings.TrimSuffix(line, "\r"))
		if line == "" || line[0] == '#' {
			continue
		}
		line = strings.TrimSpace(strings.TrimPrefix(line, "export "))
		name, value, ok := strings.Cut(line, "=")
		name = strings.TrimSpace(name)
		if !ok || name == "" || strings.ContainsAny(name, " \t\"'") {
			return nil, i + 1
		}
		pairs = append(pairs, web.Pair{Name: name, Value: unquote(strings.TrimSpace(value))})
	}
	return pairs, 0
}

var escapes = strings.NewReplacer(`\n`, "\n", `\t`, "\t", `\"`, `"`, `\\`, `\`)

func unquote(v string) string {
	if len(v) >= 2 && v[0] == '\'' && v[len(v)-1] == '\'' {
		return v[1 : len(v)-1]
	}
	if len(v) >= 2 && v[0] == '"' && v[len(v)-1] == '"' {
		return escapes.Replace(v[1 : len(v)-1])
	}
	if at := strings.Index(v, " #"); at >= 0 {
		return strings.TrimSpace(v[:at])
	}
	return v
}

// scalar is one field of the form that is one text.
type scalar struct {
	field, label string // of the catalogue
	of           func(*web.ConfigForm) *string
	unit         string
}

var scalars = []scalar{
	{"runtime", "field.runtime", func(f *web.ConfigForm) *string { return &f.Runtime }, ""},
	{"handler", "field.handler", func(f *web.ConfigForm) *string { return &f.Handler }, ""},
	{"description", "field.description", func(f *web.ConfigForm) *string { return &f.Description }, ""},
	{"memory", "field.memory", func(f *web.ConfigForm) *string { return &f.Memory }, "MB"},
	{"timeout", "field.timeout", func(f *web.ConfigForm) *string { return &f.Timeout }, "unit.sec"},
	{"ephemeralStorage", "field.ephemeral", func(f *web.ConfigForm) *string { return &f.Ephemeral }, "MB"},
	{"role", "field.role", func(f *web.ConfigForm) *string { return &f.Role }, ""},
	{"reserved", "field.reserved", func(f *web.ConfigForm) *string { return &f.Reserved }, ""},
	{"logFormat", "field.logformat", func(f *web.ConfigForm) *string { return &f.LogFormat }, ""},
	{"appLogLevel", "field.loglevel", func(f *web.ConfigForm) *string { return &f.LogLevel }, ""},
}

// changes are the fields in which two forms differ, in words.
func (c *Console) changes(ctx context.Context, before, after web.ConfigForm) (out []web.ConfigChange) {
	for _, s := range scalars {
		if a, b := *s.of(&before), *s.of(&after); a != b {
			out = append(out, web.ConfigChange{Field: s.field, Label: web.T(ctx, s.label), Before: s.words(ctx, a), After: s.words(ctx, b)})
		}
	}
	out = append(out, pairChanges(ctx, "environment", "field.env", before.Env, after.Env)...)
	return append(out, pairChanges(ctx, "tags", "field.tag", before.Tags, after.Tags)...)
}

func (s scalar) words(ctx context.Context, v string) string {
	switch {
	case v == "":
		return ""
	case s.field == "role":
		return v[strings.LastIndexByte(v, '/')+1:]
	case s.unit == "MB":
		return v + " MB"
	case s.unit != "":
		return v + " " + web.T(ctx, s.unit)
	}
	return v
}

func pairChanges(ctx context.Context, field, label string, before, after []web.Pair) (out []web.ConfigChange) {
	a, b := mapOf(before), mapOf(after)
	names := map[string]bool{}
	for name := range a {
		names[name] = true
	}
	for name := range b {
		names[name] = true
	}
	for _, name := range slices.Sorted(maps.Keys(names)) {
		va, hadA := a[name]
		vb, hasB := b[name]
		if va == vb && hadA == hasB {
			continue
		}
		out = append(out, web.ConfigChange{Field: field + " " + name, Label: web.T(ctx, label, "name", name), Before: shown(va, hadA), After: shown(vb, hasB)})
	}
	return out
}

// shown is a value of a table; an empty one that is there is drawn as quotes.
func shown(v string, there bool) string {
	if there && v == "" {
		return `""`
	}
	return v
}

func mapOf(pairs []web.Pair) map[string]string {
	m := make(map[string]string, len(pairs))
	for _, p := range pairs {
		m[p.Name] = p.Value
	}
	return m
}

// rebase moves a form onto what somebody else saved: fields that the person did not touch take the new value.
func rebase(base, form, now web.ConfigForm) web.ConfigForm {
	for _, s := range scalars {
		if *s.of(&form) == *s.of(&base) {
			*s.of(&form) = *s.of(&now)
		}
	}
	form.Env = rebasePairs(base.Env, form.Env, now.Env)
	form.Tags = rebasePairs(base.Tags, form.Tags, now.Tags)
	return form
}

func rebasePairs(base, form, now []web.Pair) []web.Pair {
	b, mine, theirs := mapOf(base), mapOf(form), mapOf(now)
	out := map[string]string{}
	for _, all := range []map[string]string{b, mine, theirs} {
		for name := range all {
			vb, inBase := b[name]
			v, inMine := mine[name]
			if inMine == inBase && v == vb { // untouched
				v, inMine = theirs[name]
			}
			if inMine {
				out[name] = v
			}
		}
	}
	return pairsOf(out)
}

// updateOf is what of f the form changes. Numbers that are none become problems.
func updateOf(f *lambda.Function, form web.ConfigForm) (u lambda.FunctionUpdate, problems []lambda.Problem) {
	now := formOf(f)
	text := func(a, b string, into **string) {
		if a != b {
			*into = &b
		}
	}
	text(now.Runtime, form.Runtime, &u.Runtime)
	text(now.Handler, form.Handler, &u.Handler)
	text(now.Description, form.Description, &u.Description)
	text(now.Role, form.Role, &u.Role)
	text(now.LogFormat, form.LogFormat, &u.LogFormat)
	text(now.LogLevel, form.LogLevel, &u.AppLogLevel)
	number := func(field, a, b string, into **int) {
		if a == b {
			return
		}
		v, err := strconv.Atoi(b)
		if err != nil {
			problems = append(problems, lambda.Problem{Field: field, Key: "number"})
			return
		}
		*into = &v
	}
	number("memory", now.Memory, form.Memory, &u.MemoryMB)
	number("timeout", now.Timeout, form.Timeout, &u.TimeoutSec)
	number("ephemeralStorage", now.Ephemeral, form.Ephemeral, &u.EphemeralMB)
	if now.Reserved != form.Reserved {
		var reserved *int
		if form.Reserved != "" {
			number("reserved", "", form.Reserved, &reserved)
		}
		u.Reserved = &reserved
	}
	if env := lambda.Environment(mapOf(form.Env)); !maps.Equal(env, f.Env) {
		u.Env = &env
	}
	if tags := mapOf(form.Tags); !maps.Equal(tags, f.Tags) {
		u.Tags = &tags
	}
	return u, problems
}
