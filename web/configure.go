package web

import (
	"context"
	"slices"
	"strings"
	"time"
)

// Configure is the page that sets up a function.
type Configure struct {
	Head       FunctionHead
	Revision   int64 // the form starts from
	Form       ConfigForm
	Was        map[string]string // field → saved value in words, for changed fields
	Problems   map[string]string // field → what is wrong
	Changes    []ConfigChange    // for the review and the save bar
	Conflict   *Conflict
	Review     bool // draw the review on the page (without JavaScript)
	EnvShown   bool // the person may read the values
	Roles      []RoleChoice
	RoleWords  []RoleStatement
	Runtimes   []RuntimeChoice
	ReserveMax int
	Runs       *MemoryRuns
	EnvSize    int
	Flash      string
}

// ConfigForm holds the fields as they were typed.
type ConfigForm struct {
	Runtime, Handler, Description, Memory, Timeout, Ephemeral, Role, Reserved string
	LogFormat, LogLevel                                                       string
	Env, Tags                                                                 []Pair
	Paste                                                                     string // a pasted .env
}

// Pair is a row of a table of names and values.
type Pair struct{ Name, Value string }

// ConfigChange is one field that will change. Theirs is set when somebody else changed the same field in the meantime.
type ConfigChange struct {
	Field         string // "memory", "env LOG_LEVEL" …
	Label         string
	Before, After string // "" for none
	Theirs        string
	IsConflict    bool
}

// Conflict says who saved in the meantime.
type Conflict struct {
	By     string
	At     time.Time
	Number int64
}

// RoleStatement is one statement of a role in words.
type RoleStatement struct {
	Allow bool
	Key   string // message key of a well-known right, "" for the general form
	What  []string
	On    []string

	Condition bool // holds only under conditions
}

// MemoryRuns are real runs at the current memory.
type MemoryRuns struct {
	N               int64
	P95             time.Duration
	UsedMB, LimitMB int
	PerMillion      float64 // dollars
}

// sections are the parts of the page with the fields that belong to them.
var sections = []struct {
	key    string
	fields []string
}{
	{"basics", []string{"runtime", "handler", "description"}},
	{"resources", []string{"memory", "timeout", "ephemeralStorage"}},
	{"environment", []string{"environment"}},
	{"role", []string{"role"}},
	{"concurrency", []string{"reserved"}},
	{"logging", []string{"logFormat", "appLogLevel"}},
	{"tags", []string{"tags"}},
	{"delete", nil},
}

func (c Configure) bad(fields []string) int {
	n := 0
	for _, f := range fields {
		if c.Problems[f] != "" {
			n++
		}
	}
	return n
}

func (c Configure) changed(fields []string) bool {
	return slices.ContainsFunc(c.Changes, func(ch ConfigChange) bool {
		name, _, _ := strings.Cut(ch.Field, " ")
		return slices.Contains(fields, name)
	})
}

func (c Configure) names() string {
	var out []string
	for _, ch := range c.Changes {
		out = append(out, ch.Label)
	}
	return strings.Join(out, ", ")
}

// firstBad is the id of the first field with a problem.
func (c Configure) firstBad() string {
	for _, s := range sections {
		for _, f := range s.fields {
			if c.Problems[f] != "" {
				return "f-" + f
			}
		}
	}
	return "cfg"
}

func (c Configure) field(name, label, value string) Field {
	return Field{ID: "f-" + name, Name: name, Label: label, Value: value, Error: c.Problems[name], Was: c.Was[name]}
}

func (c Configure) envWas(name string) string { return c.Was["environment "+name] }

func mono(f Field) Field { f.Mono = true; return f }

func numeric(f Field, unit string) Field {
	f.Unit, f.InputMode = unit, "numeric"
	return f
}

func noWas(string) string { return "" }

func hiddenValue(hidden bool) string {
	if hidden {
		return "••••••"
	}
	return ""
}

func orDash(s string) string {
	if s == "" {
		return "–"
	}
	return s
}

func reservedField(ctx context.Context, c Configure) Field {
	f := numeric(c.field("reserved", T(ctx, "field.reserved"), c.Form.Reserved), T(ctx, "unit.atonce"))
	f.Hint = T(ctx, "field.reserved.hint", "max", c.ReserveMax)
	return f
}

func memoryFacts(ctx context.Context, r MemoryRuns) []Fact {
	l := Of(ctx).Locale
	return []Fact{
		{Label: "p95", Value: l.Millis(r.P95), Unit: "ms"},
		{Label: T(ctx, "configure.runs.memory"), Value: l.Int(int64(r.UsedMB)), Unit: T(ctx, "configure.runs.of", "mb", r.LimitMB)},
		{Label: T(ctx, "configure.runs.cost"), Value: l.Dollars(r.PerMillion)},
	}
}
