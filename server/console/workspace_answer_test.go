package console

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"
	"unicode/utf8"

	"kiln/lambda"
	"kiln/web"
	"kiln/web/messages"
)

func TestFramesLinkToFilesOfThePackage(t *testing.T) {
	for _, c := range []struct {
		name, payload string
		want          []web.RunFrame
	}{
		{"ES module", `{"errorType":"TypeError","errorMessage":"x","trace":["TypeError: x","    at handler (file:///var/task/index.mjs:9:45)","    at async Runtime.handleOnce (node:internal/process/task_queues:105:5)"]}`,
			[]web.RunFrame{{Text: "index.mjs:9:45", Path: "index.mjs", Line: 9, Column: 45, Function: "handler"}, {Text: "node:internal/process/task_queues:105:5"}}},
		{"CommonJS without a name", `{"trace":["    at /var/task/lib/a.js:3:9"]}`, []web.RunFrame{{Text: "lib/a.js:3:9", Path: "lib/a.js", Line: 3, Column: 9}}},
		{"syntax error", `{"trace":["file:///var/task/index.mjs:3","const = 1;","SyntaxError: Unexpected token"]}`, []web.RunFrame{{Text: "index.mjs:3", Path: "index.mjs", Line: 3}}},
		{"Python, innermost first", `{"stackTrace":["  File \"/var/task/index.py\", line 4, in handler\n    foo()\n","  File \"/var/task/lib/x.py\", line 9, in foo\n"]}`,
			[]web.RunFrame{{Text: "lib/x.py:9", Path: "lib/x.py", Line: 9, Function: "foo"}, {Text: "index.py:4", Path: "index.py", Line: 4, Function: "handler"}}},
		{"Python's library is no file of the package", `{"stackTrace":["  File \"/usr/lib/python3.11/json/decoder.py\", line 1, in decode"]}`,
			[]web.RunFrame{{Text: "/usr/lib/python3.11/json/decoder.py:1", Function: "decode"}}},
		{"no list", `{"trace":{"a":1}}`, nil},
		{"no JSON", `<html>`, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := parseFailure([]byte(c.payload)).Frames; !reflect.DeepEqual(got, c.want) {
				t.Errorf("%+v, want %+v", got, c.want)
			}
		})
	}
}

func TestAFailureIsCut(t *testing.T) {
	long, err := json.Marshal(map[string]any{"errorType": strings.Repeat("x", 10_000), "errorMessage": strings.Repeat("가", 100_000), "trace": make([]string, 10_000)})
	if err != nil {
		t.Fatal(err)
	}
	f := parseFailure(long)
	if utf8.RuneCountInString(f.Type) > 201 || utf8.RuneCountInString(f.Message) > longestError+1 || len(f.Frames) > mostFrames {
		t.Errorf("type %d, message %d, frames %d", len(f.Type), len(f.Message), len(f.Frames))
	}
}

func FuzzParseFailure(f *testing.F) {
	f.Add([]byte(`{"errorType":"E","trace":["at f (/var/task/a.js:1:2)"]}`))
	f.Add([]byte(`{"stackTrace":["File \"/var/task/a.py\", line 1"]}`))
	f.Fuzz(func(t *testing.T, payload []byte) {
		got := parseFailure(payload)
		for _, fr := range got.Frames {
			if !utf8.ValidString(fr.Text) || fr.Line < 0 {
				t.Errorf("%+v", fr)
			}
		}
	})
}

func TestHTTPAnswersAreTold(t *testing.T) {
	for payload, want := range map[string]int{
		`{"statusCode":201,"body":""}`: 201, `{"statusCode":"200"}`: 200, `{"statusCode":99}`: 0, `{"statusCode":1e9}`: 0, `{"statusCode":null}`: 0, `[1]`: 0, `"x"`: 0, ``: 0,
	} {
		if got := httpStatus([]byte(payload)); got != want {
			t.Errorf("%s: %d, want %d", payload, got, want)
		}
	}
}

func TestTheLogOfARunLeavesOutWhatThePanelShows(t *testing.T) {
	got := logText([]byte("START RequestId: 1 Version: $LATEST\nhello\nSTART of my own\nEND RequestId: 1\nREPORT RequestId: 1\tDuration: 1 ms\n"))
	if got != "hello\nSTART of my own\n" {
		t.Errorf("%q", got)
	}
	if got := cutText([]byte("가가"), 4); got != "가" {
		t.Errorf("cut inside a character: %q", got)
	}
}

func TestPackagesAreKeptWithinTheirBound(t *testing.T) {
	var p packages
	chunk := make([]byte, keptPackages/3)
	for _, name := range []string{"a", "b", "c"} {
		p.put(name, chunk)
	}
	p.get("a")
	p.put("d", chunk)
	if p.get("b") != nil || p.get("a") == nil || p.get("d") == nil || p.size > keptPackages {
		t.Errorf("the least recently used one must go: %d bytes, order %v", p.size, p.order)
	}
	p.put("huge", make([]byte, keptPackages))
	if p.get("huge") != nil {
		t.Error("one package took all of the room")
	}
}

func TestFinishedRunsAreForgottenOldestFirstAndRunningOnesNever(t *testing.T) {
	var r testRuns
	running := &testRun{inv: lambda.Invocation{RequestID: "running"}, done: make(chan struct{})}
	r.add(running)
	for i := range keptRuns + 10 {
		run := &testRun{inv: lambda.Invocation{RequestID: string(rune('a'+i%26)) + strings.Repeat("x", i)}, done: make(chan struct{})}
		r.add(run)
		r.finished(run)
	}
	if len(r.order) > keptRuns || r.get("running") != running {
		t.Errorf("%d runs kept, running one: %v", len(r.order), r.get("running"))
	}
}

func TestEveryEventTemplateHasALabel(t *testing.T) {
	for _, l := range messages.Locales {
		for _, e := range templatesJSON(l) {
			if e.Label == "event."+e.ID {
				t.Errorf("%s in %s has none", e.ID, l)
			}
		}
	}
}
