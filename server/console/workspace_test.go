package console_test

import (
	"archive/zip"
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"kiln/code"
	"kiln/iam"
	"kiln/lambda"
	"kiln/server"
	"kiln/server/console"
	"kiln/server/edge"
	"kiln/store"
	"kiln/store/storetest"
	"kiln/telemetry"
)

const benchRole = "arn:aws:iam::000000000000:role/kiln-default"

// bench is a console over the real store and an engine that answers with a Go function.
type bench struct {
	*httptest.Server
	store  *store.Store
	engine *stubEngine
	refuse map[string]bool // actions that nobody may do
	cookie string
	csrf   string
}

type stubEngine struct {
	console.Engine
	mu     sync.Mutex
	seen   []lambda.Invocation
	answer func(lambda.Invocation) (lambda.Result, error)
}

func (e *stubEngine) Capacity() lambda.Capacity { return lambda.Capacity{Rung: "A"} }
func (e *stubEngine) Changed(string)            {}

func (e *stubEngine) Invoke(_ context.Context, inv lambda.Invocation) (lambda.Result, error) {
	e.mu.Lock()
	e.seen = append(e.seen, inv)
	answer := e.answer
	e.mu.Unlock()
	if answer != nil {
		return answer(inv)
	}
	return lambda.Result{Payload: []byte(`{"statusCode":200,"body":"hi"}`), LogTail: []byte("hello from the log\n"), Report: lambda.Report{
		RequestID: inv.RequestID, FunctionID: inv.FunctionID, Version: inv.Qualifier, Status: lambda.StatusOK, Duration: 3 * time.Millisecond, MemoryMB: 128, MaxMemoryMB: 60}}, nil
}

func (e *stubEngine) InvokeAsync(ctx context.Context, inv lambda.Invocation) (string, error) {
	_, err := e.Invoke(ctx, inv)
	return inv.RequestID, err
}

func (e *stubEngine) last(t *testing.T) lambda.Invocation {
	t.Helper()
	e.mu.Lock()
	defer e.mu.Unlock()
	if len(e.seen) == 0 {
		t.Fatal("nothing was run")
	}
	return e.seen[len(e.seen)-1]
}

// Allowed is iam's decision, less what the test takes away.
func (b *bench) Allowed(ctx context.Context, p iam.Principal, action, resource string) (bool, error) {
	if b.refuse[action] {
		return false, nil
	}
	return iam.BuiltIn{}.Allowed(ctx, p, action, resource)
}

type quiet struct{}

func (quiet) Health() telemetry.Health        { return telemetry.Health{} }
func (quiet) Live(int64) []lambda.MetricPoint { return nil }
func (quiet) Running(int64) int               { return 0 }

var benchFiles = []lambda.File{
	{Path: "index.mjs", Data: []byte("export const handler = async () => 1;\n")},
	{Path: "lib/data.bin", Data: []byte{0, 1, 2, 255}},
	{Path: "crlf.txt", Data: []byte("a\r\nb\rc\n")},
}

func newBench(t *testing.T) *bench {
	t.Helper()
	b := &bench{store: storetest.New(t), engine: &stubEngine{}, refuse: map[string]bool{}}
	log := slog.New(slog.NewTextHandler(io.Discard, nil))
	arns := lambda.ARNs{Region: storetest.Region, AccountID: storetest.AccountID}
	gate := &edge.Gate{Decider: b, Audit: b.store, ARNs: arns, Log: log}
	sessions := server.NewSessions(b.store, arns, time.Now)
	c := console.New(console.Options{
		Store: b.store, Engine: b.engine, Runtimes: noRuntimes{}, Gate: gate, Sessions: sessions, Hub: telemetry.NewHub(telemetry.Limits{}), Pipeline: quiet{},
		ARNs: arns, Host: "test", Log: log, Now: time.Now,
	})
	s := server.New(server.Options{Console: c, Sessions: sessions, Gate: gate, Log: log, Now: time.Now, Health: func(context.Context) server.Health { return server.Health{} }})
	b.Server = httptest.NewServer(s.Handler())
	t.Cleanup(func() { b.Close(); c.Drain() })
	b.signIn(t)
	b.deploy(t)
	_, page := b.do(t, "GET", "/functions/orders", nil)
	b.csrf = regexp.MustCompile(`data-csrf="([^"]+)"`).FindStringSubmatch(page)[1]
	return b
}

func (b *bench) signIn(t *testing.T) {
	t.Helper()
	ctx := context.Background()
	owner, err := b.store.FirstOwner(ctx)
	if err != nil {
		t.Fatal(err)
	}
	token, err := b.store.NewLoginToken(ctx, owner.ID, time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	secret, _, err := b.store.ConsumeLoginToken(ctx, token, "", "")
	if err != nil {
		t.Fatal(err)
	}
	b.cookie = "kiln_session=" + secret
}

// deploy makes the function that the tests work on.
func (b *bench) deploy(t *testing.T) {
	t.Helper()
	ctx := context.Background()
	pkg, err := code.Build(benchFiles)
	if err != nil {
		t.Fatal(err)
	}
	kept, err := b.store.PutCode(ctx, bytes.NewReader(pkg))
	if err != nil {
		t.Fatal(err)
	}
	_, err = b.store.CreateFunction(ctx, iam.System, lambda.NewFunction{Name: "orders", Code: kept, Config: lambda.Config{Runtime: "nodejs22.x", Handler: "index.handler", Role: benchRole}})
	if err != nil {
		t.Fatal(err)
	}
}

// do sends a body: nil, []byte as it is, url.Values as a form, anything else as JSON.
func (b *bench) do(t *testing.T, method, path string, body any) (*http.Response, string) {
	t.Helper()
	var r io.Reader
	kind := "application/json"
	switch x := body.(type) {
	case nil:
	case []byte:
		r, kind = bytes.NewReader(x), "application/zip"
	case url.Values:
		r, kind = strings.NewReader(x.Encode()), "application/x-www-form-urlencoded"
	default:
		raw, err := json.Marshal(x)
		if err != nil {
			t.Fatal(err)
		}
		r = bytes.NewReader(raw)
	}
	req, err := http.NewRequest(method, b.URL+path, r)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Cookie", b.cookie)
	req.Header.Set("Content-Type", kind)
	req.Header.Set("Origin", b.URL)
	req.Header.Set("X-CSRF-Token", b.csrf)
	if kind != "application/x-www-form-urlencoded" {
		req.Header.Set("Accept", "application/json")
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp, string(raw)
}

type object = map[string]any

// call wants a status and answers the decoded body.
func (b *bench) call(t *testing.T, method, path string, body any, status int) object {
	t.Helper()
	resp, raw := b.do(t, method, "/functions/orders/workspace/"+path, body)
	if resp.StatusCode != status {
		t.Fatalf("%s %s: %d, want %d: %s", method, path, resp.StatusCode, status, raw)
	}
	out := object{}
	if strings.HasPrefix(raw, "{") {
		if err := json.Unmarshal([]byte(raw), &out); err != nil {
			t.Fatal(err)
		}
	}
	return out
}

func text(path, s string) object { return object{"path": path, "text": s} }

func TestADraftIsKeptPerSaveAndForgottenWhenDiscarded(t *testing.T) {
	b := newBench(t)
	saved := b.call(t, "PUT", "draft", object{"base": 1, "seq": 0, "files": []object{text("index.mjs", "draft\n"), {"path": "lib/data.bin", "data": base64.StdEncoding.EncodeToString([]byte{9, 0})}}}, 200)
	if saved["seq"] != 1.0 || saved["revision"] != 1.0 {
		t.Errorf("%v", saved)
	}
	if e := b.call(t, "PUT", "draft", object{"base": 1, "seq": 0, "files": []object{text("index.mjs", "other tab")}}, 409); e["key"] != "draft.changed" {
		t.Errorf("a second tab: %v", e)
	}
	_, page := b.do(t, "GET", "/functions/orders", nil)
	if !strings.Contains(page, `"text":"draft\n"`) {
		t.Error("the page does not bring the draft along")
	}
	resp, raw := b.do(t, "GET", "/functions/orders/workspace/file?path=lib/data.bin&draft=1", nil)
	if raw != "\x09\x00" || !strings.HasPrefix(resp.Header.Get("Content-Disposition"), "attachment") || resp.Header.Get("X-Content-Type-Options") != "nosniff" {
		t.Errorf("%q %v", raw, resp.Header)
	}
	b.call(t, "PUT", "draft", object{"base": 1, "seq": 1, "files": []object{{"path": "index.mjs", "reverted": true}}}, 200)
	if d := b.call(t, "GET", "state", nil, 200)["draft"].(object); len(d["files"].([]any)) != 1 {
		t.Errorf("a change that was taken back is still there: %v", d)
	}
	b.call(t, "DELETE", "draft", nil, 204)
	if d := b.call(t, "GET", "state", nil, 200)["draft"]; d != nil {
		t.Errorf("discarded, but there: %v", d)
	}
}

func TestADraftRunRunsWhatTheTabShows(t *testing.T) {
	b := newBench(t)
	run := object{"target": "draft", "event": `{"a":1}`, "base": 1, "seq": 0, "files": []object{text("index.mjs", "export const handler = async () => 2;\n")}}
	out := b.call(t, "POST", "run", run, 200)
	first := b.engine.last(t)
	if first.Digest == "" || first.Qualifier != lambda.Draft || string(first.Event) != `{"a":1}` || first.Source != lambda.SourceTest {
		t.Errorf("%+v", first)
	}
	if r := out["run"].(object); r["state"] != "done" || r["log"] != "hello from the log\n" || !strings.Contains(r["html"].(string), "OK 200") {
		t.Errorf("%v", r)
	}
	kept, err := b.store.Runnable(context.Background(), first.Digest)
	if err != nil {
		t.Fatal(err)
	}
	if got := b.file(t, kept.Code, "index.mjs"); got != "export const handler = async () => 2;\n" {
		t.Errorf("ran %q", got)
	}
	if got := b.file(t, kept.Code, "lib/data.bin"); got != "\x00\x01\x02\xff" {
		t.Errorf("an untouched file became %q", got)
	}
	b.call(t, "POST", "run", object{"target": "draft", "event": "", "base": 1, "seq": 1, "files": []object{}}, 200)
	if again := b.engine.last(t); again.Digest != first.Digest || string(again.Event) != "{}" {
		t.Errorf("the same draft ran as another: %+v", again)
	}
	if e := b.call(t, "POST", "run", object{"target": "draft", "event": "{}", "base": 1, "seq": 7, "files": []object{}}, 409); e["key"] != "draft.changed" {
		t.Errorf("%v", e)
	}
}

func (b *bench) file(t *testing.T, c lambda.Code, path string) string {
	t.Helper()
	r, err := b.store.OpenCode(context.Background(), c.SHA256)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	pkg, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	data, err := code.ReadFile(pkg, path)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func TestRunsThatMayNotOrCannotBeSayWhyAndKeepTheDraft(t *testing.T) {
	draft := func(event string) object {
		return object{"target": "draft", "event": event, "base": 1, "seq": 0, "files": []object{text("index.mjs", "x")}}
	}
	for _, c := range []struct {
		name   string
		refuse string
		body   object
		answer func(lambda.Invocation) (lambda.Result, error)
		status int
		key    string
		saved  bool
	}{
		{name: "the role may not be passed", refuse: "iam:PassRole", body: draft("{}"), status: 403, key: "access.denied"},
		{name: "code may not be changed", refuse: "lambda:UpdateFunctionCode", body: draft("{}"), status: 403, key: "access.denied"},
		{name: "nothing may be run", refuse: "lambda:InvokeFunction", body: draft("{}"), status: 403, key: "access.denied"},
		{name: "no JSON", body: draft("{oops"), status: 422, key: "event.json"},
		{name: "too large", body: draft(`"` + strings.Repeat("x", 6_291_556) + `"`), status: 413, key: "event.size"},
		{name: "throttled", body: draft("{}"), status: 429, key: "throttle.account", saved: true,
			answer: func(lambda.Invocation) (lambda.Result, error) {
				return lambda.Result{}, lambda.E(lambda.Throttled, "throttle.account")
			}},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := newBench(t)
			b.engine.answer = c.answer
			if c.refuse != "" {
				b.refuse[c.refuse] = true
			}
			e := b.call(t, "POST", "run", c.body, c.status)
			if e["key"] != c.key || (e["saved"] != nil) != c.saved {
				t.Errorf("%v", e)
			}
			if c.answer == nil && len(b.engine.seen) > 0 {
				t.Error("it ran")
			}
		})
	}
}

func TestALongRunIsFollowedAndDoesNotNeedItsBrowser(t *testing.T) {
	b := newBench(t)
	release := make(chan struct{})
	b.engine.answer = func(inv lambda.Invocation) (lambda.Result, error) {
		<-release
		return lambda.Result{Payload: []byte(`"late"`), Report: lambda.Report{RequestID: inv.RequestID, FunctionID: inv.FunctionID, Status: lambda.StatusOK}}, nil
	}
	run := b.call(t, "POST", "run", object{"target": "deployed", "event": "{}"}, 200)["run"].(object)
	if run["state"] != "running" {
		t.Fatalf("%v", run)
	}
	path := "runs/" + run["requestId"].(string)
	if now := b.call(t, "GET", path, nil, 200); now["state"] != "running" {
		t.Errorf("%v", now)
	}
	close(release)
	if done := b.call(t, "GET", path+"?wait=1", nil, 200); done["state"] != "done" || done["payload"] != `"late"` || done["event"] != "{}" {
		t.Errorf("%v", done)
	}
	b.call(t, "GET", "runs/no-such-run", nil, 404)
}

func TestADeployIsARevisionAndEndsTheDraft(t *testing.T) {
	b := newBench(t)
	out := b.call(t, "POST", "deploy", object{"base": 1, "seq": 0, "note": "count <b>per day</b>", "files": []object{text("index.mjs", "v2\n"), {"path": "crlf.txt", "deleted": true}}}, 200)
	if out["revision"] != 2.0 || out["draft"] != nil || !strings.Contains(out["history"].(string), "count &lt;b&gt;per day") {
		t.Errorf("%v", out)
	}
	f, err := b.store.Function(context.Background(), "orders")
	if err != nil {
		t.Fatal(err)
	}
	if got := b.file(t, f.Code, "index.mjs"); got != "v2\n" {
		t.Errorf("deployed %q", got)
	}
	if resp, _ := b.do(t, "GET", "/functions/orders/workspace/file?path=crlf.txt", nil); resp.StatusCode != 404 {
		t.Error("a deleted file was deployed")
	}
}

func TestADeployOverForeignCodeIsAConflictAndOverConfigurationIsNot(t *testing.T) {
	b := newBench(t)
	ctx := context.Background()
	memory := 256
	if _, err := b.store.UpdateFunction(ctx, iam.System, "orders", 0, lambda.FunctionUpdate{MemoryMB: &memory}); err != nil {
		t.Fatal(err)
	}
	b.call(t, "POST", "deploy", object{"base": 1, "seq": 0, "files": []object{text("index.mjs", "mine\n")}}, 200)
	e := b.call(t, "POST", "deploy", object{"base": 1, "seq": 0, "files": []object{text("index.mjs", "late\n")}}, 409)
	if e["key"] != "function.changed" || e["saved"] == nil {
		t.Errorf("%v", e)
	}
	s := b.call(t, "GET", "state?base=1", nil, 200)
	if s["codeChanged"] != true || len(s["draft"].(object)["files"].([]any)) != 1 {
		t.Errorf("%v", s)
	}
}

func TestFilesAreReadByteForByteAndNothingElse(t *testing.T) {
	b := newBench(t)
	for _, f := range benchFiles {
		if _, raw := b.do(t, "GET", "/functions/orders/workspace/file?path="+url.QueryEscape(f.Path), nil); raw != string(f.Data) {
			t.Errorf("%s: %q, want %q", f.Path, raw, f.Data)
		}
	}
	for _, path := range []string{"../index.mjs", "/etc/passwd", "lib", "", "index.mjs/"} {
		if resp, _ := b.do(t, "GET", "/functions/orders/workspace/file?path="+url.QueryEscape(path), nil); resp.StatusCode != 404 {
			t.Errorf("%q: %d", path, resp.StatusCode)
		}
	}
}

func TestAZipBecomesADraftOrARevision(t *testing.T) {
	b := newBench(t)
	pkg, err := code.Build([]lambda.File{{Path: "index.mjs", Data: []byte("zip\n")}, {Path: "new.txt", Data: []byte("n")}, benchFiles[1]})
	if err != nil {
		t.Fatal(err)
	}
	b.call(t, "POST", "upload?to=draft&base=1&seq=0", pkg, 204)
	files := b.call(t, "GET", "state", nil, 200)["draft"].(object)["files"].([]any)
	if len(files) != 4 && len(files) != 3 { // the binary file may be listed again with the same bytes
		t.Errorf("%v", files)
	}
	b.call(t, "POST", "upload?to=deploy&base=1&seq=1", pkg, 204)
	if s := b.call(t, "GET", "state", nil, 200); s["revision"] != 2.0 {
		t.Errorf("%v", s["revision"])
	}
	var evil bytes.Buffer
	w := zip.NewWriter(&evil)
	if _, err := w.Create("../../etc/cron.d/x"); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	for _, bad := range [][]byte{evil.Bytes(), []byte("no zip")} {
		if e := b.call(t, "POST", "upload?to=deploy&base=2&seq=0", bad, 422); !strings.HasPrefix(e["key"].(string), "zip.") {
			t.Errorf("%v", e)
		}
	}
}

func TestEventsAreSharedByName(t *testing.T) {
	b := newBench(t)
	b.call(t, "PUT", "events", object{"name": "order created", "body": `{"id":1}`}, 200)
	if events, err := b.store.TestEvents(context.Background(), "orders"); err != nil || len(events) != 1 || string(events[0].Body) != `{"id":1}` {
		t.Errorf("%v %v", events, err)
	}
	b.call(t, "PUT", "events", object{"name": "", "body": `{}`}, 422)
	b.call(t, "PUT", "events", object{"name": "x", "body": `{`}, 422)
	b.call(t, "DELETE", "events?name=order+created", nil, 200)
	for _, tpl := range code.EventTemplates() {
		if got := b.call(t, "GET", "templates/"+tpl.ID, nil, 200); got["body"] != string(tpl.Body) {
			t.Errorf("%s: %v", tpl.ID, got)
		}
	}
	b.call(t, "GET", "templates/none", nil, 404)
}

func TestTheFormRunsWithoutJavaScriptAndKeepsWhatWasTyped(t *testing.T) {
	b := newBench(t)
	resp, page := b.do(t, "POST", "/functions/orders/run", url.Values{"event": {`{"typed":true}`}})
	if resp.StatusCode != 200 || !strings.Contains(page, "OK 200") || !strings.Contains(page, "typed") {
		t.Errorf("%d %s", resp.StatusCode, page)
	}
	resp, page = b.do(t, "POST", "/functions/orders/run", url.Values{"event": {`{"typed`}})
	if resp.StatusCode != 422 || !strings.Contains(page, "{&#34;typed") {
		t.Errorf("%d: the input is gone", resp.StatusCode)
	}
}
