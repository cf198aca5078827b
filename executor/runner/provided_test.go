package runner_test

import (
	"encoding/json"
	"os/exec"
	"strings"
	"testing"
	"time"

	"kiln/executor/runner"
	"kiln/lambda"
)

func TestUnmodifiedGoClient(t *testing.T) {
	for name, s := range map[string]*stand{"processes": newStand(t, nil), "sandbox": newSandboxStand(t)} {
		t.Run(name, func(t *testing.T) { goClient(t, s) })
	}
}

func goClient(t *testing.T, s *stand) {
	files := map[string]string{"bootstrap": goBootstrap(t)}
	d := s.Deploy(t, "go", lambda.Config{Runtime: "provided.al2023", MemoryMB: 512}, files)
	for i := range 3 {
		a := event(d, `{}`)
		out := s.do(t, a)
		var got struct{ Body, ID, ARN string }
		if err := json.Unmarshal(out.Payload, &got); err != nil || got.Body != "hello" || got.ID != a.RequestID || got.ARN != a.InvokedARN {
			t.Fatalf("%s %v", out.Payload, err)
		}
		if out.Report.Cold != (i == 0) {
			t.Errorf("call %d: cold %v", i, out.Report.Cold)
		}
	}
	runGo := func(name, body string, judge scenario) {
		t.Run(name, func(t *testing.T) {
			a := event(d, body)
			out := s.do(t, a)
			judge.judge(t, a, out, s.Said(a.RequestID))
			if judge.check != nil {
				judge.check(t, out, nil)
			}
		})
	}
	runGo("fails", `{"Do":"fail"}`, scenario{errorType: "errorString", message: "no luck"})
	runGo("prints", `{"Do":"print"}`, scenario{says: []string{"- err"}})
	runGo("answers much", `{"Do":"big","Size":1000000}`, scenario{check: size(6000002)}) // a zero byte is six bytes of JSON
	runGo("answers too much", `{"Do":"big","Size":1100000}`, scenario{errorType: "Function.ResponseSizeTooLarge", message: "(6291556 bytes)"})
	runGo("panics", `{"Do":"panic"}`, scenario{errorType: "string", message: "ouch"})
	runGo("goes on", `{}`, scenario{})
	runGo("exits", `{"Do":"exit"}`, scenario{errorType: "Runtime.ExitError", message: "exit status 7", status: lambda.StatusExit})
	runGo("goes on again", `{}`, scenario{})
}

const bashBootstrap = `#!/bin/bash
set -uo pipefail
echo "init in $LAMBDA_TASK_ROOT" >&2
while true; do
  headers=$(mktemp)
  event=$(curl -sS -D "$headers" "http://$AWS_LAMBDA_RUNTIME_API/2018-06-01/runtime/invocation/next")
  id=$(grep -i '^lambda-runtime-aws-request-id' "$headers" | tr -d '\r' | cut -d' ' -f2)
  echo "got $event"
  case "$event" in
  *wrong*) curl -sS -o /dev/null -w '%{http_code}\n' -d x "http://$AWS_LAMBDA_RUNTIME_API/2018-06-01/runtime/invocation/none/response" ;;
  *fail*) curl -sS -o /dev/null -d '{"errorType":"Bash.Error","errorMessage":"no"}' "http://$AWS_LAMBDA_RUNTIME_API/2018-06-01/runtime/invocation/$id/error"; continue ;;
  *twice*) curl -sS -o /dev/null -d one "http://$AWS_LAMBDA_RUNTIME_API/2018-06-01/runtime/invocation/$id/response"
    curl -sS -w '%{http_code}\n' -d two "http://$AWS_LAMBDA_RUNTIME_API/2018-06-01/runtime/invocation/$id/response"; echo; continue ;;
  *hang*) sleep 60 ;;
  esac
  curl -sS -o /dev/null -d "{\"echo\":$event}" "http://$AWS_LAMBDA_RUNTIME_API/2018-06-01/runtime/invocation/$id/response"
done
`

func TestBashBootstrapWithCurl(t *testing.T) {
	if _, err := exec.LookPath("curl"); err != nil {
		t.Skip("no curl here")
	}
	s := newStand(t, nil)
	runScenarios(t, s, "provided.al2023", "any", []scenario{
		{name: "echoes", files: map[string]string{"bootstrap": bashBootstrap}, event: `{"a":1}`, want: `{"echo":{"a":1}}`, again: `{"echo":{"a":1}}`, says: []string{`- got {"a":1}`}},
		{name: "fails", files: map[string]string{"bootstrap": bashBootstrap}, event: `"fail"`, errorType: "Bash.Error", message: "no"},
		{name: "answers another id", files: map[string]string{"bootstrap": bashBootstrap}, event: `"wrong"`, want: `{"echo":"wrong"}`, says: []string{"- 400"}},
		{name: "answers twice", files: map[string]string{"bootstrap": bashBootstrap}, event: `"twice"`, want: `one`, again: `one`},
		{name: "times out", files: map[string]string{"bootstrap": bashBootstrap}, event: `"hang"`, timeout: time.Second, errorType: "Sandbox.Timedout", message: "RequestId: ID Error: Task timed out after 1.00 seconds", status: lambda.StatusTimeout, restarts: true},
		{name: "has no bootstrap", files: map[string]string{"other": ""}, errorType: "Runtime.InvalidEntrypoint", message: "Couldn't find valid bootstrap(s)"},
		{name: "exits at once", files: map[string]string{"bootstrap": "#!/bin/sh\necho before\nexit 127\n"}, errorType: "Runtime.ExitError", message: "RequestId: ID Error: Runtime exited with error: exit status 127", status: lambda.StatusExit, says: []string{"- before"}},
		{name: "says that it cannot start", files: map[string]string{"bootstrap": "#!/bin/sh\ncurl -sS -o /dev/null -d '{\"errorType\":\"Init.Bad\",\"errorMessage\":\"nope\"}' http://$AWS_LAMBDA_RUNTIME_API/2018-06-01/runtime/init/error\nsleep 60\n"}, errorType: "Init.Bad", message: "nope"},
	})
	s.WaitFor(t, "the refusal of a second answer", func(l lambda.LogLine) bool { return strings.HasPrefix(l.Text, `{"errorType":"InvalidStateTransition"`) })
}

func TestExecWrapperSeesTheEnvironment(t *testing.T) {
	s := newStand(t, nil)
	runScenarios(t, s, "nodejs20.x", "index.handler", []scenario{{
		name:  "wrapper",
		env:   lambda.Environment{"AWS_LAMBDA_EXEC_WRAPPER": "/var/task/wrap.sh"},
		files: map[string]string{"index.js": `exports.handler = async () => process.title + process.argv0.length`, "wrap.sh": "#!/bin/bash\necho wrapped \"$AWS_LAMBDA_FUNCTION_NAME\"\nexec \"$@\" --title=wrapped\n"},
		says:  []string{"- wrapped scenario"},
	}})
}

func TestInitLimit(t *testing.T) {
	s := newStand(t, func(o *runner.Options) { o.InitLimit = 500 * time.Millisecond })
	runScenarios(t, s, "provided.al2023", "any", []scenario{{name: "never asks", files: map[string]string{"bootstrap": "#!/bin/sh\nsleep 60\n"},
		errorType: "Sandbox.Timedout", message: "Task timed out after 0.50 seconds", status: lambda.StatusTimeout}})
}
