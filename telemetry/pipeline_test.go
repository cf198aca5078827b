package telemetry

import (
	"context"
	"fmt"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"kiln/lambda"
)

var small = Limits{Each: 64 << 10, All: 512 << 10, KeptEach: 32 << 10, KeptAll: 128 << 10, Spool: 64 << 20}

func writeAll(h *house, functions, n int) {
	var wg sync.WaitGroup
	for fn := int64(1); fn <= int64(functions); fn++ {
		wg.Go(func() {
			for i := 0; i < n; i += 50 {
				h.Lines(lines(fn, i, min(50, n-i)))
			}
		})
	}
	wg.Wait()
}

func TestEachLineIsKeptOnceWhateverTheDatabaseDoes(t *testing.T) {
	for _, c := range []struct {
		what  string
		start func(f *fakeSink)
		mid   func(f *fakeSink)
	}{
		{"all is well", nil, nil},
		{"it is slow", func(f *fakeSink) { f.slow = time.Millisecond }, nil},
		{"it fails and lies about commits", func(f *fakeSink) { f.trouble = 0.3 }, nil},
		{"it is away at first", func(f *fakeSink) { f.down = true }, func(f *fakeSink) { f.down = false }},
	} {
		t.Run(c.what, func(t *testing.T) {
			f := newFake()
			if c.start != nil {
				c.start(f)
			}
			h := open(t, f, t.TempDir(), small)
			writeAll(h, 4, 2000)
			if c.mid != nil {
				f.set(func() { c.mid(f) })
			}
			writeAll2(h, 4, 2000, 1000)
			f.set(func() { f.trouble = 0 })
			h.stop()
			checkLines(t, f, 4, 3000)
		})
	}
}

func writeAll2(h *house, functions, from, n int) {
	var wg sync.WaitGroup
	for fn := int64(1); fn <= int64(functions); fn++ {
		wg.Go(func() { h.Lines(lines(fn, from, n)) })
	}
	wg.Wait()
}

func TestACrashThatTakesUnflushedCommitsLosesNothing(t *testing.T) {
	f := newFake()
	h := open(t, f, t.TempDir(), small)
	n := 0
	for round := range 6 {
		for range 10 {
			h.Lines(lines(1, n, 100))
			n += 100
		}
		if round%2 == 0 {
			f.crash()
			h.Lines(lines(1, n, 300))
			n += 300
			f.set(func() { f.down = false })
		}
	}
	h.stop()
	checkLines(t, f, 1, n)
}

func TestTheSpoolSurvivesARestart(t *testing.T) {
	f := newFake()
	f.down = true
	folder := t.TempDir()
	h := open(t, f, folder, small)
	h.Lines(lines(1, 0, 1)) // learns that the database is away
	for !h.Health().Away {
		time.Sleep(time.Millisecond)
	}
	writeAll2(h, 1, 1, 2999)
	h.Record(finishedRun("a", 1, time.Millisecond))
	if h.Health().Waiting == 0 {
		t.Error("nothing waits")
	}
	h.stop()
	f.set(func() { f.down = false })
	second := open(t, f, folder, small)
	second.Lines(lines(2, 0, 3000))
	second.stop()
	f.mu.Lock()
	if len(f.runs) != 1 || f.points[pointKey{1, testMinute.Unix() / 60}].N != 1 {
		t.Errorf("runs after the restart: %d", len(f.runs))
	}
	f.mu.Unlock()
	if left, _ := filepath.Glob(filepath.Join(folder, "*")); len(left) != 0 {
		t.Errorf("left in the folder: %v", left)
	}
	checkLines(t, f, 2, 3000)
}

func TestATornSpoolIsReadToItsLastWholeRecord(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	s, err := openSpool[lambda.LogLine](path, 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	for i := range 3 {
		if err := s.append(lines(1, i*10, 10)); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.f.Truncate(s.size - 5); err != nil {
		t.Fatal(err)
	}
	s.f.Close()
	again, err := openSpool[lambda.LogLine](path, 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	got, done, err := again.next(1000)
	if err != nil || len(got) != 20 {
		t.Fatalf("%d lines, %v", len(got), err)
	}
	done()
	if !again.empty() {
		t.Error("not empty after all was read")
	}
}

func TestAFullSpoolHoldsBackOnlyTheFunctionThatPrints(t *testing.T) {
	f := newFake()
	f.down = true
	tiny := small
	tiny.Spool = 1
	h := open(t, f, t.TempDir(), tiny)
	ended := make(chan struct{})
	go func() {
		for i := range 40 {
			h.Lines(lines(1, i*100, 100))
		}
		close(ended)
	}()
	for h.Health().Blocked == 0 {
		time.Sleep(time.Millisecond)
	}
	h.Lines(lines(2, 0, 10)) // does not wait
	select {
	case <-ended:
		t.Error("the printing function was not held back")
	default:
	}
	f.set(func() { f.down = false })
	<-ended
	h.stop()
	if h.Health().Refused != 0 {
		t.Error("lines were refused")
	}
}

func TestOnlyTheLineThatTheDatabaseRefusesIsLost(t *testing.T) {
	f := newFake()
	f.refuse = func(l lambda.LogLine) bool { return l.Text == "1/17" }
	h := open(t, f, t.TempDir(), small)
	h.Lines(lines(1, 0, 100))
	for h.Health().Refused == 0 {
		time.Sleep(time.Millisecond)
	}
	h.stop()
	f.flush()
	if len(f.kept) != 99 || h.Health().Refused != 1 {
		t.Errorf("kept %d, refused %d", len(f.kept), h.Health().Refused)
	}
}

func TestAFullDiskRefusesNothing(t *testing.T) {
	f := newFake()
	f.full = true
	h := open(t, f, t.TempDir(), small)
	h.Lines(lines(1, 0, 100))
	h.Record(finishedRun("a", 1, time.Millisecond))
	for f.tried() < 5 {
		time.Sleep(5 * time.Millisecond)
	}
	f.set(func() { f.full = false })
	h.stop()
	checkLines(t, f, 1, 100)
	if h.Health().Refused != 0 || len(f.runs) != 1 {
		t.Errorf("refused %d, runs %d", h.Health().Refused, len(f.runs))
	}
}

func TestOnlyTheRunThatTheDatabaseRefusesIsLost(t *testing.T) {
	f := newFake()
	h := open(t, f, t.TempDir(), small)
	for i := range 9 {
		h.Record(finishedRun(fmt.Sprint(i), 1, time.Millisecond))
	}
	h.Record(finishedRun("bad", 1, time.Millisecond))
	h.stop()
	if m := f.points[pointKey{1, testMinute.Unix() / 60}]; len(f.runs) != 9 || m.N != 9 || h.Health().Refused != 1 {
		t.Errorf("%d runs, refused %d, %+v", len(f.runs), h.Health().Refused, m)
	}
}

var testMinute = time.Date(2026, 11, 28, 9, 0, 0, 0, time.UTC)

func finishedRun(id string, fn int64, d time.Duration) lambda.Run {
	return lambda.Run{Report: lambda.Report{RequestID: id, FunctionID: fn, Version: "$LATEST", Status: lambda.StatusOK, StartedAt: testMinute.Add(time.Second),
		Duration: d, BilledMS: d.Milliseconds(), MemoryMB: 128, MaxMemoryMB: 64}}
}

func TestRunsAndPointsAreCountedOnceThroughFailures(t *testing.T) {
	f := newFake()
	f.trouble = 0.5
	h := open(t, f, t.TempDir(), small)
	const n = 500
	for i := range n {
		r := finishedRun(fmt.Sprint(i), 1, time.Duration(i)*time.Microsecond)
		h.Started(r.Report)
		h.Record(r)
	}
	draft := finishedRun("draft", 1, time.Hour)
	draft.Report.Version = lambda.Draft
	h.Record(draft)
	h.Record(lambda.Run{Report: lambda.Report{RequestID: "t", FunctionID: 1, Status: lambda.StatusThrottled, AcceptedAt: testMinute}})
	f.set(func() { f.trouble = 0 })
	h.stop()
	m := f.points[pointKey{1, testMinute.Unix() / 60}]
	if len(f.runs) != n+2 || m.N != n || m.Throttles != 1 || m.MaxUS != n-1 || m.MinUS != 0 || m.MaxRunning != 1 {
		t.Errorf("%d runs, point %+v", len(f.runs), m)
	}
	if all := f.points[pointKey{0, testMinute.Unix() / 60}]; all.N != n {
		t.Errorf("account: %+v", all)
	}
}

func TestLiveFiguresHoldWhatIsNotRolledUp(t *testing.T) {
	f := newFake()
	f.down = true
	h := open(t, f, t.TempDir(), small)
	for _, n := range []int{1, 2, 3, 2, 1} {
		h.Gauge(1, n)
		h.Gauge(2, n)
	}
	for i := range 3 {
		h.Record(finishedRun(fmt.Sprint(i), 1, time.Second))
	}
	live := h.Live(1)
	if len(live) != 1 || live[0].N != 3 || live[0].MaxRunning != 3 || live[0].GBMS != 375 || live[0].Hist[lambda.BucketOf(1e6)] != 3 {
		t.Errorf("live: %+v", live)
	}
	if h.Running(1) != 1 || h.Running(0) != 2 || h.Running(9) != 0 {
		t.Errorf("running: %d, %d", h.Running(1), h.Running(0))
	}
	if all := h.Live(0); len(all) != 1 || all[0].MaxRunning != 6 {
		t.Errorf("live of the account: %+v", all)
	}
	if len(h.Live(2)) != 0 {
		t.Error("figures where there are none")
	}
	f.set(func() { f.down = false })
	h.stop()
	if len(h.Live(1)) != 0 {
		t.Error("live figures stay after the roll-up")
	}
}

func TestMetricsAreRegisteredOnce(t *testing.T) {
	reg := prometheus.NewRegistry()
	hub := NewHub(small)
	o := Options{Sink: newFake(), Hub: hub, Folder: t.TempDir(), Limits: small, Meter: reg}
	if _, err := New(o); err != nil {
		t.Fatal(err)
	}
	got, err := reg.Gather()
	if err != nil || len(got) < 8 {
		t.Errorf("%d families, %v", len(got), err)
	}
	if _, err := New(o); err == nil {
		t.Error("a second registration is accepted")
	}
}

func BenchmarkLines(b *testing.B) {
	f := newFake()
	p, err := New(Options{Sink: nullSink{f}, Hub: NewHub(DefaultLimits), Epoch: 1, Folder: b.TempDir()})
	if err != nil {
		b.Fatal(err)
	}
	ctx, cancel := context.WithCancel(b.Context())
	ended := make(chan struct{})
	go func() { p.Run(ctx); close(ended) }()
	batch := lines(1, 0, 20)
	b.ReportAllocs()
	for b.Loop() {
		p.Lines(batch)
	}
	b.ReportMetric(float64(b.N*len(batch))/b.Elapsed().Seconds(), "lines/s")
	cancel()
	<-ended
}

// nullSink keeps nothing.
type nullSink struct{ *fakeSink }

func (n nullSink) CopyLogs(ctx context.Context, lines []lambda.LogLine) (uint64, error) {
	return 1, nil
}
func (n nullSink) FlushedLSN(ctx context.Context) (uint64, error) { return 1, nil }
