package code

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

const nodeHost = `
const [file, name, event] = process.argv.slice(1);
const context = { awsRequestId: "r-1", getRemainingTimeInMillis: () => 3000 };
console.log = () => {};
import(file).then((m) => m[name](JSON.parse(event), context)).then((r) => process.stdout.write(JSON.stringify(r)));`

const pythonHost = `
import importlib, json, sys
class Context:
    aws_request_id = "r-1"
    def get_remaining_time_in_millis(self): return 3000
sys.path.insert(0, sys.argv[1])
print(json.dumps(getattr(importlib.import_module(sys.argv[2]), sys.argv[3])(json.loads(sys.argv[4]), Context())), end="")`

// answer runs a template's handler with its event, as the runtimes call it.
func answer(t *testing.T, tpl Template) string {
	t.Helper()
	dir := t.TempDir()
	for _, f := range tpl.Files {
		if err := os.WriteFile(filepath.Join(dir, f.Path), f.Data, os.FileMode(f.Mode)); err != nil {
			t.Fatal(err)
		}
	}
	module, name, _ := strings.Cut(tpl.Handler, ".")
	switch {
	case strings.HasPrefix(tpl.Runtime, "nodejs"):
		return output(t, "node", "--input-type=module", "-e", nodeHost, filepath.Join(dir, module+".mjs"), name, string(tpl.Event.Body))
	case strings.HasPrefix(tpl.Runtime, "python"):
		return output(t, "python3", "-c", pythonHost, dir, module, name, string(tpl.Event.Body))
	default:
		return customRuntime(t, dir, tpl)
	}
}

func output(t *testing.T, name string, args ...string) string {
	t.Helper()
	cmd := exec.Command(name, args...)
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s: %v\n%s", name, err, stderr.String())
	}
	return string(out)
}

// customRuntime serves the Runtime API for one invocation and ends the bootstrap afterwards.
func customRuntime(t *testing.T, dir string, tpl Template) string {
	t.Helper()
	answered := make(chan string, 1)
	asked := 0
	api := http.NewServeMux()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	api.HandleFunc("GET /2018-06-01/runtime/invocation/next", func(w http.ResponseWriter, r *http.Request) {
		if asked++; asked > 1 {
			<-r.Context().Done()
			return
		}
		w.Header().Set("Lambda-Runtime-Aws-Request-Id", "r-1")
		_, _ = w.Write(tpl.Event.Body)
	})
	api.HandleFunc("POST /2018-06-01/runtime/", func(w http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		w.WriteHeader(http.StatusAccepted)
		answered <- r.URL.Path + " " + string(b)
	})
	s := httptest.NewServer(api)
	defer s.Close()
	cmd := exec.CommandContext(ctx, filepath.Join(dir, "bootstrap"))
	cmd.Env = []string{"AWS_LAMBDA_RUNTIME_API=" + s.Listener.Addr().String(), "LAMBDA_TASK_ROOT=" + dir, "_HANDLER=" + tpl.Handler, "PATH=/usr/bin:/bin"}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	defer func() { cancel(); s.CloseClientConnections(); <-ended }()
	select {
	case a := <-answered:
		return strings.TrimPrefix(a, "/2018-06-01/runtime/invocation/r-1/response ")
	case err := <-ended:
		ended <- err
		t.Fatalf("%s: the bootstrap ended: %v", tpl.ID, err)
		return ""
	}
}

func TestTemplatesAnswerTheirEvents(t *testing.T) {
	for id, want := range map[string]string{
		"node-hello": `"message":"Hello, Kiln!"`, "python-hello": `"message": "Hello, Kiln!"`, "http-api": `"statusCode":201`,
		"scheduled-job": `"from": "2026-03-14T08:00:00+00:00"`, "s3-reader": `"key":"photos/sunrise.jpg"`,
		"bash-runtime": `"message":"Hello from bash`, "go-upload": `Run ./build.sh`,
	} {
		tpl, err := TemplateByID(id)
		if err != nil {
			t.Fatal(err)
		}
		got := answer(t, tpl)
		if !json.Valid([]byte(got)) || !strings.Contains(got, want) {
			t.Errorf("%s answers %s, want %s", id, got, want)
		}
	}
}
