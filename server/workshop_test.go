package server

import (
	"bytes"
	"context"
	"html"
	"io"
	"log/slog"
	"math/rand/v2"
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
	"kiln/server/console"
	"kiln/server/edge"
	"kiln/store"
	"kiln/store/storetest"
	"kiln/telemetry"
)

// engine is an engine that answers every event and notes what it was told.
type engine struct {
	console.Engine
	mu      sync.Mutex
	changed []string
	fail    bool
}

func (e *engine) Capacity() lambda.Capacity {
	return lambda.Capacity{Workers: 14, Running: 7, PreBooted: 6, MemoryMB: 2150, MemoryMaxMB: 16384, Rung: "A"}
}
func (e *engine) Running(string) int { return 0 }
func (e *engine) Wake()              {}
func (e *engine) Changed(name string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.changed = append(e.changed, name)
}

func (e *engine) Invoke(_ context.Context, inv lambda.Invocation) (lambda.Result, error) {
	r := lambda.Result{Payload: []byte(`{"greeting":"Hello, Minseo"}`), LogTail: []byte("START RequestId: x\nsaying hello\nEND RequestId: x\n"),
		Report: lambda.Report{RequestID: inv.RequestID, Duration: 14 * time.Millisecond, BilledMS: 15, MemoryMB: 128, MaxMemoryMB: 61, Cold: true, Status: lambda.StatusOK}}
	if e.fail {
		r.Payload, r.FunctionError = []byte(`{"errorType":"TypeError"}`), "Unhandled"
	}
	return r, nil
}

// machine has Node.js 22, Python 3.11 and the provided runtimes.
type machine struct{}

func (machine) Ready() []console.Runtime {
	return []console.Runtime{{Name: "nodejs22.x", Version: "22.21.1", Path: "/usr/bin/node"}, {Name: "python3.11", Version: "3.11.9", Path: "/usr/bin/python3.11"},
		{Name: "provided.al2023"}, {Name: "provided.al2"}}
}

func (m machine) Resolve(name string) (console.Runtime, bool) {
	family := strings.TrimRight(strings.SplitN(name, ".", 2)[0], "0123456789")
	var near *console.Runtime
	for _, r := range m.Ready() {
		if r.Name == name {
			return r, true
		}
		if strings.HasPrefix(r.Name, family) && family != "provided" {
			near = &r
		}
	}
	if near == nil {
		return console.Runtime{}, false
	}
	return *near, true
}

func (machine) Refresh(context.Context)     {}
func (machine) CanInstall(name string) bool { return name == "nodejs24.x" }
func (machine) Install(_ context.Context, _ string, progress func(done, total int64)) error {
	progress(10, 100)
	return lambda.E(lambda.Unavailable, "runtime.download")
}

// workshop is a console over a real store.
type workshop struct {
	forgotten int // how often policies were read anew
	*house
	store  *store.Store
	engine *engine
	csrf   string
	owner  iam.User
}

func open(t *testing.T) *workshop {
	t.Helper()
	db := storetest.New(t)
	owner, err := db.FirstOwner(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	w := &workshop{store: db, engine: &engine{}, owner: owner}
	log := slog.New(slog.NewTextHandler(io.Discard, nil))
	arns := db.ARNs()
	gate := &edge.Gate{Decider: iam.BuiltIn{}, Audit: db, ARNs: arns, Log: log}
	sessions := NewSessions(db, arns, time.Now)
	hub := telemetry.NewHub(telemetry.Limits{})
	pipeline, err := telemetry.New(telemetry.Options{Sink: db, Hub: hub, Epoch: 1, Folder: t.TempDir(), Log: log})
	if err != nil {
		t.Fatal(err)
	}
	c := console.New(console.Options{Store: db, Engine: w.engine, Runtimes: machine{}, Install: machine{}, Gate: gate, Sessions: sessions, Hub: hub, Pipeline: pipeline,
		ARNs: arns, Host: "kiln.lab", Endpoint: "http://localhost:8080", Version: "test", Log: log, Now: time.Now,
		Gateway: "http://127.0.0.1:8081", FunctionURL: func(id string) string { return "http://" + id + ".lambda-url.us-east-1.localhost:8081/" }, PoliciesChanged: func() { w.forgotten++ }})
	s := New(Options{Console: c, Sessions: sessions, Gate: gate, Log: log, Now: time.Now, Health: func(context.Context) Health { return Health{Status: "ok"} }})
	ts := httptest.NewServer(s.Handler())
	t.Cleanup(func() { ts.Close(); c.Drain() })
	w.house = &house{Server: ts, server: s, client: &http.Client{Jar: &jar{}, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}}
	w.enter(t)
	return w
}

func (w *workshop) enter(t *testing.T) {
	t.Helper()
	token, err := w.store.NewLoginToken(t.Context(), w.owner.ID, time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	if resp, body := w.do(t, "POST", "/login", "token="+url.QueryEscape(token), "Origin", w.URL); resp.StatusCode != http.StatusSeeOther {
		t.Fatalf("sign-in: %d %s", resp.StatusCode, body)
	}
	_, body := w.do(t, "GET", "/settings/sessions", "")
	m := regexp.MustCompile(`data-csrf="([^"]+)"`).FindStringSubmatch(body)
	if m == nil {
		t.Fatalf("no token in %s", body)
	}
	w.csrf = m[1]
}

// page gets a page and wants status 200.
func (w *workshop) page(t *testing.T, path string, headers ...string) string {
	t.Helper()
	resp, body := w.do(t, "GET", path, "", headers...)
	if resp.StatusCode != http.StatusOK {
		t.Fatalf("%s: %d %s", path, resp.StatusCode, textOf(body))
	}
	return body
}

// post sends a form as a browser without JavaScript does.
func (w *workshop) post(t *testing.T, path string, form url.Values) (*http.Response, string) {
	t.Helper()
	form.Set("_csrf", w.csrf)
	return w.do(t, "POST", path, form.Encode(), "Origin", w.URL)
}

var tags = regexp.MustCompile(`(?s)<(script|style|svg).*?</(script|style|svg)>|<[^>]*>`)

func textOf(body string) string {
	return strings.Join(strings.Fields(html.UnescapeString(tags.ReplaceAllString(body, " "))), " ")
}

// formFields reads the fields of the first form with an action, as a browser would send them.
func formFields(t *testing.T, body, action string) url.Values {
	t.Helper()
	at := strings.Index(body, `action="`+action+`"`)
	if at < 0 {
		t.Fatalf("no form for %s in %s", action, textOf(body))
	}
	part := body[at:]
	if end := strings.Index(part, "</form>"); end >= 0 {
		part = part[:end]
	}
	v := url.Values{}
	for _, m := range regexp.MustCompile(`<input[^>]*>`).FindAllString(part, -1) {
		name, value := attribute(m, "name"), attribute(m, "value")
		if name != "" && name != "_csrf" && !strings.Contains(m, "disabled") && (!strings.Contains(m, `type="radio"`) || strings.Contains(m, "checked")) {
			v.Add(name, value)
		}
	}
	for _, m := range regexp.MustCompile(`(?s)<select([^>]*)>(.*?)</select>`).FindAllStringSubmatch(part, -1) {
		if chosen := regexp.MustCompile(`value="([^"]*)" selected`).FindStringSubmatch(m[2]); chosen != nil {
			v.Add(attribute(m[1], "name"), html.UnescapeString(chosen[1]))
		}
	}
	return v
}

func attribute(tag, name string) string {
	m := regexp.MustCompile(`\b` + name + `="([^"]*)"`).FindStringSubmatch(tag)
	if m == nil {
		return ""
	}
	return html.UnescapeString(m[1])
}

// function makes a function from a template directly in the store.
func (w *workshop) function(t *testing.T, name, template string, change func(*lambda.NewFunction)) *lambda.Function {
	t.Helper()
	tpl, err := code.TemplateByID(template)
	if err != nil {
		t.Fatal(err)
	}
	n := lambda.NewFunction{Name: name, Code: w.code(t, tpl.Files), Config: lambda.Config{Runtime: tpl.Runtime, Handler: tpl.Handler, Role: w.store.ARNs().Role("kiln-default")}}
	if change != nil {
		change(&n)
	}
	n.Config = n.Config.WithDefaults()
	f, err := w.store.CreateFunction(t.Context(), w.principal(), n)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func (w *workshop) code(t *testing.T, files []lambda.File) lambda.Code {
	t.Helper()
	zip, err := code.Build(files)
	if err != nil {
		t.Fatal(err)
	}
	c, err := w.store.PutCode(t.Context(), bytes.NewReader(zip))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func (w *workshop) principal() iam.Principal {
	return iam.Principal{Kind: iam.KindUser, Name: w.owner.Name, UserID: w.owner.ID, Role: "owner", ARN: "arn:owner"}
}

// runs writes finished runs of the last hours into the store, with their roll-ups.
func (w *workshop) runs(t *testing.T, f *lambda.Function, perMinute int, errorShare float64, typical time.Duration) {
	t.Helper()
	rnd := rand.New(rand.NewPCG(1, uint64(f.ID)))
	now := time.Now()
	var points []lambda.MetricPoint
	var runs []lambda.Run
	for minute := 180; minute >= 0; minute-- {
		at := now.Add(-time.Duration(minute) * time.Minute).Truncate(time.Minute)
		n := int64(float64(perMinute) * (0.6 + 0.8*rnd.Float64()))
		p := lambda.MetricPoint{FunctionID: f.ID, At: at, Hist: make([]uint32, lambda.HistogramBuckets), MemoryMB: f.MemoryMB, MaxMemoryMB: f.MemoryMB * 4 / 9}
		for range n {
			d := time.Duration(float64(typical) * (0.4 + rnd.ExpFloat64()))
			p.N++
			if rnd.Float64() < errorShare {
				p.Errors++
			}
			p.SumUS += d.Microseconds()
			p.MaxUS = max(p.MaxUS, d.Microseconds())
			p.Hist[lambda.BucketOf(d.Microseconds())]++
			p.BilledMS += d.Milliseconds() + 1
			p.GBMS += (d.Milliseconds() + 1) * int64(f.MemoryMB) / 1024
		}
		p.MaxRunning = int(n / 40)
		account := p
		account.FunctionID = 0
		points = append(points, p, account)
	}
	report := lambda.Report{RequestID: edge.NewRequestID(), FunctionID: f.ID, Function: f.Name, Version: lambda.Latest, Source: lambda.SourceAPI, AcceptedAt: now, StartedAt: now,
		Duration: typical, MemoryMB: f.MemoryMB, Status: lambda.StatusOK}
	runs = append(runs, lambda.Run{Report: report})
	if errorShare > 0 {
		report.RequestID, report.Status, report.ErrorType = edge.NewRequestID(), lambda.StatusError, "TypeError"
		report.ErrorMessage = "Cannot read properties of undefined (reading 'customer')"
		runs = append(runs, lambda.Run{Report: report})
	}
	if err := w.store.CopyRuns(t.Context(), runs, points); err != nil {
		t.Fatal(err)
	}
}
