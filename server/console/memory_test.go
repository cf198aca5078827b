package console_test

import (
	"cmp"
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"kiln/iam"
	"kiln/lambda"
	"kiln/server"
	"kiln/server/console"
	"kiln/server/edge"
	"kiln/telemetry"
)

// memory is a database in memory with just what watching needs, so that a test of the socket says nothing about Postgres.
type memory struct {
	console.Store
	mu        sync.Mutex
	functions []*lambda.Function
	lines     []lambda.LogLine // in id order
	reports   []lambda.Report
	bodies    map[string]*lambda.Bodies
	points    []lambda.MetricPoint
	events    []lambda.TestEvent
	revisions []*lambda.Revision
	groups    []lambda.ErrorGroup
	roles     map[int64]string // by session
	away      atomic.Bool
}

var errAway = errors.New("the database is away")

func (m *memory) CopyLogs(_ context.Context, lines []lambda.LogLine) (uint64, error) {
	if m.away.Load() {
		return 0, errAway
	}
	return 1, m.RepairLogs(context.Background(), lines)
}

func (m *memory) RepairLogs(_ context.Context, lines []lambda.LogLine) error {
	if m.away.Load() {
		return errAway
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	sorted := len(m.lines) == 0 || m.lines[len(m.lines)-1].ID.Less(lines[0].ID)
	m.lines = append(m.lines, lines...)
	if !sorted {
		slices.SortFunc(m.lines, func(a, b lambda.LogLine) int { return compareIDs(a.ID, b.ID) })
		m.lines = slices.CompactFunc(m.lines, func(a, b lambda.LogLine) bool { return a.ID == b.ID })
	}
	return nil
}

func compareIDs(a, b lambda.LogID) int {
	return cmp.Or(cmp.Compare(a.Epoch, b.Epoch), cmp.Compare(a.Seq, b.Seq))
}

func (m *memory) FlushedLSN(context.Context) (uint64, error) {
	if m.away.Load() {
		return 0, errAway
	}
	return 1, nil
}

func (m *memory) CopyRuns(_ context.Context, runs []lambda.Run, points []lambda.MetricPoint) error {
	if m.away.Load() {
		return errAway
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, r := range runs {
		m.reports = append(m.reports, r.Report)
		if r.Bodies != nil {
			m.bodies[r.Report.RequestID] = r.Bodies
		}
	}
	m.points = append(m.points, points...)
	return nil
}

func (m *memory) LogLines(_ context.Context, q lambda.LogQuery) ([]lambda.LogLine, error) {
	if m.away.Load() {
		return nil, errAway
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	limit := cmp.Or(q.Limit, 1000)
	backward := q.Newest || q.Before != lambda.LogID{}
	i, _ := slices.BinarySearchFunc(m.lines, q.After, func(l lambda.LogLine, id lambda.LogID) int { return compareIDs(l.ID, id) })
	step := 1
	if backward {
		i, step = len(m.lines)-1, -1
	}
	var out []lambda.LogLine
	for ; i >= 0 && i < len(m.lines) && len(out) < limit; i += step {
		if matches(&m.lines[i], q) {
			out = append(out, m.lines[i])
		}
	}
	return out, nil
}

func matches(l *lambda.LogLine, q lambda.LogQuery) bool {
	return (q.FunctionID == 0 || l.FunctionID == q.FunctionID) && (q.RequestID == "" || l.RequestID == q.RequestID) && l.Level >= q.MinLevel &&
		(q.From.IsZero() || !l.At.Before(q.From)) && (q.To.IsZero() || l.At.Before(q.To)) &&
		(q.Before == lambda.LogID{} || l.ID.Less(q.Before)) && q.After.Less(l.ID) &&
		strings.Contains(strings.ToLower(l.Text), strings.ToLower(q.Contains))
}

func (m *memory) LogHistogram(_ context.Context, q lambda.LogQuery, n int) ([][7]int64, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	out := make([][7]int64, n)
	for i := range m.lines {
		if l := &m.lines[i]; matches(l, q) {
			out[min(n-1, int(l.At.Sub(q.From)*time.Duration(n)/q.To.Sub(q.From)))][l.Level]++
		}
	}
	return out, nil
}

func (m *memory) Invocations(_ context.Context, f lambda.InvocationFilter) ([]lambda.Report, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	var out []lambda.Report
	for _, r := range m.reports {
		older := f.Before.RequestID == "" || r.StartedAt.Before(f.Before.At) || r.StartedAt.Equal(f.Before.At) && r.RequestID < f.Before.RequestID
		if older && (f.FunctionID == 0 || r.FunctionID == f.FunctionID) && (len(f.Status) == 0 || slices.Contains(f.Status, r.Status)) &&
			(f.Version == "" || r.Version == f.Version) && (f.Source == "" || r.Source == f.Source) && (f.Cold == nil || r.Cold == *f.Cold) &&
			r.Duration >= time.Duration(f.MinMS)*time.Millisecond && (f.From.IsZero() || !r.StartedAt.Before(f.From)) && (f.To.IsZero() || r.StartedAt.Before(f.To)) {
			out = append(out, r)
		}
	}
	slices.SortFunc(out, func(a, b lambda.Report) int {
		return cmp.Or(b.StartedAt.Compare(a.StartedAt), cmp.Compare(b.RequestID, a.RequestID))
	})
	return out[:min(len(out), cmp.Or(f.Limit, 50))], nil
}

func (m *memory) Invocation(_ context.Context, id string) (*lambda.Report, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for i := len(m.reports) - 1; i >= 0; i-- {
		if r := m.reports[i]; len(id) >= 6 && strings.HasPrefix(r.RequestID, id) {
			return &r, nil
		}
	}
	return nil, lambda.E(lambda.NotFound, "invocation.missing")
}

func (m *memory) Bodies(_ context.Context, id string) (*lambda.Bodies, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if b := m.bodies[id]; b != nil {
		return b, nil
	}
	return nil, lambda.E(lambda.NotFound, "bodies.missing")
}

func (m *memory) Metrics(_ context.Context, q lambda.MetricQuery) ([]lambda.MetricPoint, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	byTime := map[time.Time]*lambda.MetricPoint{}
	var out []lambda.MetricPoint
	for i := range m.points {
		p := m.points[i]
		at := p.At.Truncate(q.Step)
		if p.FunctionID != q.FunctionID || at.Before(q.From) || !at.Before(q.To) {
			continue
		}
		if byTime[at] == nil {
			byTime[at] = &lambda.MetricPoint{FunctionID: q.FunctionID, At: at}
		}
		byTime[at].Add(&p)
	}
	for _, p := range byTime {
		out = append(out, *p)
	}
	slices.SortFunc(out, func(a, b lambda.MetricPoint) int { return a.At.Compare(b.At) })
	return out, nil
}

func (m *memory) MetricsByFunction(context.Context, time.Time, time.Time) (map[int64]lambda.MetricPoint, error) {
	return nil, nil
}

func (m *memory) CountFunctions(context.Context) (int, error) { return len(m.functions), nil }

func (m *memory) Function(_ context.Context, name string) (*lambda.Function, error) {
	for _, f := range m.functions {
		if f.Name == name {
			return f, nil
		}
	}
	return nil, lambda.E(lambda.NotFound, "function.missing", "name", name)
}

func (m *memory) Functions(_ context.Context, f lambda.FunctionFilter) ([]*lambda.Function, error) {
	var out []*lambda.Function
	for _, fn := range m.functions {
		if fn.Name > f.After {
			out = append(out, fn)
		}
	}
	return out, nil
}

func (m *memory) ErrorGroups(context.Context, int64, time.Time, int) ([]lambda.ErrorGroup, error) {
	return m.groups, nil
}

func (m *memory) Revisions(context.Context, string, int64, int) ([]*lambda.Revision, error) {
	return m.revisions, nil
}

func (m *memory) RecentRevisions(context.Context, time.Time, int) ([]*lambda.Revision, error) {
	return m.revisions, nil
}

func (m *memory) QueueState(context.Context, int64) (lambda.QueueState, error) {
	return lambda.QueueState{}, nil
}

func (m *memory) Setting(context.Context, string, any) error { return nil }

func (m *memory) PutTestEvent(_ context.Context, _ iam.Principal, e lambda.TestEvent) error {
	m.events = append(m.events, e)
	return nil
}

// SessionBySecret knows "secret-1" and so on.
func (m *memory) SessionBySecret(_ context.Context, secret string) (*iam.Session, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for id, role := range m.roles {
		if secret == "secret-"+string(rune('0'+id)) {
			return &iam.Session{ID: id, User: iam.User{ID: 7, Name: "Kim Minseo", Role: role}}, nil
		}
	}
	return nil, lambda.E(lambda.Unauthenticated, "session.ended")
}

func (m *memory) CheckLoginToken(context.Context, string) (bool, error) { return false, nil }

func (m *memory) ConsumeLoginToken(context.Context, string, string, string) (string, iam.User, error) {
	return "", iam.User{}, lambda.E(lambda.Unauthenticated, "login.link")
}

func (m *memory) Preferences(context.Context, int64) (map[string]string, error) { return nil, nil }

func (m *memory) SetPreference(context.Context, int64, string, string) error { return nil }

func (m *memory) EndSession(_ context.Context, _ iam.Principal, _, id int64) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.roles, id)
	return nil
}

func (m *memory) AuditRefusal(context.Context, lambda.AuditEntry) error { return nil }

// runs answers every invocation at once.
type engine struct {
	console.Engine
	invoked []lambda.Invocation
	answer  lambda.Result
}

func (*engine) Capacity() lambda.Capacity { return lambda.Capacity{Rung: "A"} }

func (e *engine) Invoke(_ context.Context, inv lambda.Invocation) (lambda.Result, error) {
	e.invoked = append(e.invoked, inv)
	return e.answer, nil
}

type noRuntimes struct{}

func (noRuntimes) Ready() []console.Runtime { return []console.Runtime{{Name: "nodejs22.x"}} }
func (noRuntimes) Resolve(name string) (console.Runtime, bool) {
	return console.Runtime{Name: name}, name == "nodejs22.x"
}
func (noRuntimes) Refresh(context.Context) {}

// house is a console over memory with the real hub, pipeline, sessions and server.
type house struct {
	*httptest.Server
	db       *memory
	hub      *telemetry.Hub
	pipeline *telemetry.Pipeline
	console  *console.Console
	sessions *server.Sessions
	engine   *engine
	cutter   *cutter
}

const cookie = "kiln_session=secret-1"

func newHouse(t testing.TB, limits telemetry.Limits) *house {
	t.Helper()
	m := &memory{
		bodies: map[string]*lambda.Bodies{}, roles: map[int64]string{1: "owner", 2: "viewer", 3: "nobody"},
		functions: []*lambda.Function{
			{ID: 1, Name: "orders-api", Revision: 3, Config: lambda.Config{Runtime: "nodejs22.x", MemoryMB: 128, TimeoutSec: 3}},
			{ID: 2, Name: "resize", Config: lambda.Config{Runtime: "python3.13", MemoryMB: 512, TimeoutSec: 3}},
		},
	}
	return newHouseWith(t, limits, m, m, m)
}

// newHouseOn is a house over another store.
func newHouseOn(t testing.TB, limits telemetry.Limits, db console.Store, sink telemetry.Sink) *house {
	t.Helper()
	m := &memory{bodies: map[string]*lambda.Bodies{}, roles: map[int64]string{1: "owner"}}
	return newHouseWith(t, limits, m, db, sink)
}

func newHouseWith(t testing.TB, limits telemetry.Limits, m *memory, db console.Store, sink telemetry.Sink) *house {
	t.Helper()
	h := &house{db: m, hub: telemetry.NewHub(limits), engine: &engine{}, cutter: &cutter{}}
	log := slog.New(slog.NewTextHandler(io.Discard, nil))
	var err error
	h.pipeline, err = telemetry.New(telemetry.Options{Sink: sink, Hub: h.hub, Epoch: 1, Folder: t.TempDir(), Limits: limits, Log: log})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- h.pipeline.Run(ctx) }()
	arns := lambda.ARNs{Region: "us-east-1", AccountID: "000000000000"}
	gate := &edge.Gate{Decider: iam.BuiltIn{}, Audit: m, ARNs: arns, Log: log}
	h.sessions = server.NewSessions(m, arns, time.Now)
	h.console = console.New(console.Options{
		Store: db, Engine: h.engine, Runtimes: noRuntimes{}, Gate: gate, Sessions: h.sessions, Hub: h.hub, Pipeline: h.pipeline,
		ARNs: arns, Host: "test", Log: log, Now: time.Now,
	})
	s := server.New(server.Options{
		Console: h.console, Sessions: h.sessions, Gate: gate, Log: log, Now: time.Now,
		Health: func(context.Context) server.Health { return server.Health{Status: "ok"} },
	})
	h.Server = httptest.NewUnstartedServer(s.Handler())
	h.Config.ConnState = h.cutter.state
	h.Start()
	t.Cleanup(func() {
		h.console.CloseSockets()
		h.Close()
		cancel()
		m.away.Store(false)
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return h
}

// get answers status and body of a page as the owner.
func (h *house) get(t testing.TB, path string, headers ...string) (int, string) {
	t.Helper()
	r, err := http.NewRequest(http.MethodGet, h.URL+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Cookie", cookie)
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(b)
}
