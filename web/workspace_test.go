package web

import (
	"bytes"
	"context"
	"strings"
	"testing"
	"time"

	"github.com/a-h/templ"

	"kiln/lambda"
	"kiln/web/messages"
)

func workspaceGallery() []page {
	at := time.Date(2026, 11, 20, 14, 11, 9, 0, time.UTC)
	full := Workspace{
		Head: FunctionHead{Name: "orders-api", Runtime: "nodejs22.x", Tab: "workspace"}, Edit: true, Revision: 12, Open: "index.mjs",
		Data:  map[string]string{"text": "</script><script>alert(1)</script>"},
		Files: []WorkspaceFile{{Path: "index.mjs", Status: "M", Text: true}, {Path: "lib/a b&c.mjs"}}, Text: []string{"export const handler = async () => {", "};"},
		Draft: &WorkspaceDraft{Files: 1, At: at}, Events: []string{"order-created"}, Chosen: "order-created", Event: "{}",
		History: History{Name: "orders-api", Total: 2, Revisions: []lambda.Revision{
			{Number: 2, Cause: lambda.RevisionDeployed, By: "Kim", At: at, Note: "count"}, {Number: 1, Cause: lambda.RevisionCreated, By: "Kim", At: at},
		}},
		Run: &TestRun{
			Function: "orders-api", RequestID: "8f2c1a00-0000-4000-8000-000000000000", State: "done", At: at, Draft: true,
			Report: lambda.Report{Status: lambda.StatusError, ErrorType: "TypeError", ErrorMessage: "x is not a function", MemoryMB: 128, MaxMemoryMB: 61, Cold: true},
			Frames: []RunFrame{{Text: "index.mjs:9:45", Path: "index.mjs", Line: 9, Column: 45, Function: "handler"}, {Text: "node:internal"}},
			Hints:  []string{"hint"}, Raw: "{}",
		},
		FileRoot: "/functions/orders-api/workspace/file",
	}
	bare := Workspace{Head: FunctionHead{Name: "x", Runtime: "python3.13", Tab: "workspace"}, BadEvent: "no", Data: 1}
	binary := bare
	binary.Open = "logo.png"
	binary.Run = &TestRun{State: "queued", RequestID: "id"}
	return []page{
		{"workspace", func(context.Context) templ.Component { return WorkspacePage(full) }},
		{"workspace-empty", func(context.Context) templ.Component { return WorkspacePage(bare) }},
		{"workspace-binary", func(context.Context) templ.Component { return WorkspacePage(binary) }},
	}
}

func TestAResultSaysItsStateInAWord(t *testing.T) {
	for _, c := range []struct {
		name string
		run  TestRun
		want []string
	}{
		{"ok", TestRun{Report: lambda.Report{Status: lambda.StatusOK}}, []string{"st-ok", "OK"}},
		{"http", TestRun{Report: lambda.Report{Status: lambda.StatusOK}, HTTPStatus: 201}, []string{"st-ok", "OK 201"}},
		{"http refusal", TestRun{Report: lambda.Report{Status: lambda.StatusOK}, HTTPStatus: 422}, []string{"st-warn", "422"}},
		{"error", TestRun{Report: lambda.Report{Status: lambda.StatusError, ErrorType: "TypeError", ErrorMessage: "no <b>"}}, []string{"st-err", "TypeError", "no &lt;b&gt;"}},
		{"timeout", TestRun{Report: lambda.Report{Status: lambda.StatusTimeout}}, []string{"st-err", "Timed out"}},
		{"memory", TestRun{Report: lambda.Report{Status: lambda.StatusMemory}}, []string{"st-err", "Out of memory"}},
		{"throttled", TestRun{Report: lambda.Report{Status: lambda.StatusThrottled}}, []string{"st-warn", "Throttled"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.run.State, c.run.RequestID, c.run.Function = "done", "8f2c1a00", "f"
			ctx := With(context.Background(), testView(messages.English))
			var b bytes.Buffer
			if err := RunResult(c.run).Render(ctx, &b); err != nil {
				t.Fatal(err)
			}
			for _, want := range c.want {
				if !strings.Contains(b.String(), want) {
					t.Errorf("no %q in %s", want, b.String())
				}
			}
		})
	}
}
