package web

import (
	"context"
	"encoding/json"
	"maps"
	"net/url"
	"slices"
	"strings"
	"time"

	"kiln/lambda"
)

// Logs is the viewer's page. Lines, newest first, are what is shown without JavaScript.
type Logs struct {
	Function string // "" for all functions
	Head     *FunctionHead
	Popped   bool // in a window of its own, without the frame
	Lines    []LogLine
	Contains string
	Level    string // lowest level, "" for all
	Request  string // of this invocation only
	From, To string // ms, as they stand in the address
	Flash    string
}

// LogLine is one line.
type LogLine struct {
	At        time.Time
	Level     lambda.Level
	Function  string
	RequestID string
	Text      string
}

// LogsPath is the address of a function's log, of all logs for "".
func LogsPath(function string) string {
	if function == "" {
		return "/logs"
	}
	return FunctionPath(function, "logs")
}

func (v Logs) frame() Frame {
	f := Frame{Title: v.Function, Nav: "functions", Function: v.Head, Fixed: true, Watch: true, Flash: v.Flash}
	if v.Head == nil {
		f.Nav = "logs"
	}
	return f
}

var levelChoices = []string{"", "debug", "info", "warn", "error"}

var levelNames = [...]string{"", "TRACE", "DEBUG", "INFO", "WARN", "ERROR", "FATAL"}

func (l LogLine) level() string { return levelNames[l.Level] }

func (l LogLine) class() string {
	switch {
	case l.Level >= lambda.LevelError:
		return "lg top e"
	case l.Level == lambda.LevelWarn:
		return "lg top w"
	}
	return "lg top"
}

const clipAt = 2000

// clipped is the text as the list shows it: at most 2,000 characters, control characters visible.
func (l LogLine) clipped() string {
	return cut(Visible(l.Text), clipAt)
}

// field is one field of a JSON line.
type field struct{ key, value string }

var (
	messageKeys = []string{"msg", "message", "event", "errorMessage"}
	quietKeys   = []string{"level", "severity", "time", "timestamp", "ts", "@timestamp", "requestId", "awsRequestId", "AWSRequestId", "stackTrace", "stack"}
)

const (
	maxFields = 40
	maxValue  = 240
)

// record reads a JSON object line: its message and its other fields by name. Every other line is all message.
func (l LogLine) record() (message string, fields []field) {
	var o map[string]json.RawMessage
	if !strings.HasPrefix(l.Text, "{") || len(l.Text) > 16<<10 || json.Unmarshal([]byte(l.Text), &o) != nil {
		return l.clipped(), nil
	}
	said := ""
	for _, k := range messageKeys {
		if json.Unmarshal(o[k], &message) == nil {
			said = k
			break
		}
	}
	for _, k := range slices.Sorted(maps.Keys(o)) {
		if k != said && !slices.Contains(quietKeys, k) && len(fields) < maxFields {
			fields = append(fields, field{Visible(k), cut(Visible(plainValue(o[k])), maxValue)})
		}
	}
	return cut(Visible(message), clipAt), fields
}

func plainValue(raw json.RawMessage) string {
	var s string
	if json.Unmarshal(raw, &s) == nil {
		return s
	}
	return string(raw)
}

func cut(s string, most int) string {
	if r := []rune(s); len(r) > most {
		return string(r[:most]) + " …"
	}
	return s
}

// Visible replaces control characters by their pictures, so that a text can neither hide nor turn what follows. Tabs and newlines stay.
func Visible(s string) string {
	out := make([]rune, 0, len(s))
	for _, r := range s {
		switch {
		case r == '\t' || r == '\n':
		case r < 0x20:
			r += 0x2400
		case r == 0x7f:
			r = 0x2421
		case r >= 0x80 && r < 0xa0, r == 0x200e, r == 0x200f, r >= 0x202a && r <= 0x202e, r >= 0x2066 && r <= 0x2069, r == 0xfeff:
			r = '\uFFFD'
		}
		out = append(out, r)
	}
	return string(out)
}

// InvocationPath is the address of one invocation's sheet beside the list.
func InvocationPath(function, requestID string) string {
	path := "/invocations"
	if function != "" {
		path = FunctionPath(function, "invocations")
	}
	return path + "?id=" + url.QueryEscape(requestID)
}

func logsTitle(ctx context.Context, v Logs) string {
	if v.Function == "" {
		return T(ctx, "nav.logs")
	}
	return T(ctx, "logs.title", "function", v.Function)
}

func logsFrame(ctx context.Context, v Logs) Frame {
	f := v.frame()
	f.Title = logsTitle(ctx, v)
	if v.Head == nil {
		f.Crumbs = []Crumb{{Label: T(ctx, "nav.logs")}}
	} else {
		f.Crumbs = []Crumb{{T(ctx, "nav.functions"), "/functions"}, {Label: v.Function}}
	}
	return f
}

func orAll(s string) string {
	if s == "" {
		return "all"
	}
	return s
}

func isoOf(t time.Time) string { return t.UTC().Format(time.RFC3339Nano) }

// clockOf is the time of day to the millisecond in the person's zone.
func clockOf(ctx context.Context, t time.Time) string { return Of(ctx).Local(t).Format("15:04:05.000") }

// short is the form of a request id that lists show.
func short(id string) string {
	if len(id) > 6 {
		return id[:6]
	}
	return id
}
