package web

import (
	"context"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/a-h/templ"

	"kiln/lambda"
)

func watchGallery() []page {
	at := time.Date(2026, 11, 20, 14, 3, 12, 0, time.UTC)
	head := &FunctionHead{Name: "orders-api", Runtime: "nodejs22.x"}
	failed := lambda.Report{RequestID: "8f2c1a77-41d0-4e0b-9a6e-6b1f0c2d9e55", Function: "orders-api", Version: "12", Source: "api", Status: lambda.StatusError, ErrorType: "TypeError", ErrorMessage: "no <id>",
		AcceptedAt: at, StartedAt: at, Duration: 120 * time.Millisecond, Init: 38 * time.Millisecond, Cold: true, BilledMS: 120, MemoryMB: 128, MaxMemoryMB: 61, By: "Kim", ReplayOf: "7f2c1a77", Worker: "w", TraceID: "t", Async: true}
	throttled := lambda.Report{RequestID: "7be01c00-41d0-4e0b-9a6e-6b1f0c2d9e55", Function: "orders-api", Version: lambda.Draft, Source: "test", Status: lambda.StatusThrottled, StartedAt: at}
	sheet := Sheet{Report: failed, Function: "orders-api", MayRun: true, Frames: []RunFrame{{Text: "index.mjs:9", Path: "index.mjs", Line: 9}, {Text: "node:internal"}}, Group: &lambda.ErrorGroup{N: 24, First: at},
		Bodies: &lambda.Bodies{Event: []byte(`{"a":[1,true,"x"]}`), Response: []byte("not json")}, Lines: []lambda.LogLine{{At: at, Level: lambda.LevelError, Text: "boom"}, {At: at, Level: lambda.LevelInfo, Text: `{"msg":"hi","ms":3}`}}}
	list := Invocations{Function: "orders-api", Head: head, Query: url.Values{"status": {"errors"}}, Rows: []lambda.Report{failed, throttled}, Next: "1.x", Chosen: failed.RequestID, Sheet: &sheet, P95: 18 * time.Millisecond, Live: true}
	point := lambda.MetricPoint{At: at, N: 3, Errors: 1, Cold: 1, SumUS: 3000, MaxUS: 2000, MinUS: 500, GBMS: 12, Hist: make([]uint32, lambda.HistogramBuckets)}
	charts := Monitor{Function: "orders-api", Head: head, From: at.Add(-time.Hour), To: at, Step: time.Minute, Span: 3600, Spans: []int{300, 3600}, Compare: true, Table: true, Points: []lambda.MetricPoint{point, {At: at}}, Total: point, Before: &point, Prices: lambda.DefaultPrices}
	show := func(c templ.Component) func(context.Context) templ.Component {
		return func(context.Context) templ.Component { return c }
	}
	return []page{
		{"logs", show(LogsPage(Logs{Function: "orders-api", Head: head, Lines: []LogLine{{At: at, Level: lambda.LevelWarn, RequestID: failed.RequestID, Text: "slow"}}}))},
		{"logs-empty", show(LogsPage(Logs{}))},
		{"logs-popped", show(LogsPage(Logs{Function: "orders-api", Popped: true}))},
		{"invocations", show(InvocationsPage(list))},
		{"invocations-none", show(InvocationsPage(Invocations{Query: url.Values{}}))},
		{"invocations-running", show(InvocationsPage(Invocations{Query: url.Values{}, Sheet: &Sheet{Report: lambda.Report{RequestID: failed.RequestID, Status: lambda.StatusRunning}}}))},
		{"monitor", show(MonitorPage(charts))},
		{"monitor-empty", show(MonitorPage(Monitor{From: at.Add(-time.Hour), To: at, Step: time.Minute, Points: []lambda.MetricPoint{{At: at}}}))},
	}
}

func TestControlCharactersAreMadeVisible(t *testing.T) {
	for in, want := range map[string]string{"a\x1b[31m": "a␛[31m", "x\u202ey": "x\uFFFDy", "tab\tand\nline": "tab\tand\nline", "\x00\x7f": "␀␡"} {
		if got := Visible(in); got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
}

func TestJSONIsColouredWithoutLosingACharacter(t *testing.T) {
	for _, body := range []string{`{"a":"b: \"c\"","n":-1.5e3,"t":true,"x":null,"l":[1,"2",{}]}`, "plain text", `"just a string"`, `{"broken"`, ""} {
		var all strings.Builder
		for i, line := range jsonLines([]byte(body)) {
			if i > 0 {
				all.WriteByte('\n')
			}
			for _, tok := range line {
				all.WriteString(tok.text)
			}
		}
		squeeze := strings.NewReplacer(" ", "", "\n", "")
		if squeeze.Replace(all.String()) != squeeze.Replace(body) {
			t.Errorf("%q became %q", body, all.String())
		}
	}
}
