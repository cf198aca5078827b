package telemetry

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"kiln/lambda"
)

// fakeSink is a database with asynchronous commits that fails, delays, lies about commits and crashes when told to.
type fakeSink struct {
	mu      sync.Mutex
	rng     *rand.Rand
	trouble float64 // probability that a call fails
	down    bool
	full    bool // answers, but writes nothing: a full disk
	refuse  func(lambda.LogLine) bool
	slow    time.Duration
	lsn     uint64
	kept    map[lambda.LogID]lambda.LogLine // durable
	recent  map[lambda.LogID]lambda.LogLine // committed, lost by a crash
	twice   []lambda.LogID
	runs    map[string]lambda.Run
	points  points
	copies  int
}

func newFake() *fakeSink {
	return &fakeSink{rng: rand.New(rand.NewPCG(1, 2)), kept: map[lambda.LogID]lambda.LogLine{}, recent: map[lambda.LogID]lambda.LogLine{},
		runs: map[string]lambda.Run{}, points: points{}}
}

var errTrouble = errors.New("connection reset")

// badData is what Postgres says of a value that it cannot hold.
type badData struct{}

func (badData) Error() string    { return "invalid byte sequence" }
func (badData) SQLState() string { return "22021" }

// fails says whether a call fails, and whether its work is done all the same.
func (f *fakeSink) fails() (fail, done bool) {
	if f.down {
		return true, false
	}
	return f.rng.Float64() < f.trouble, f.rng.IntN(2) == 0
}

func (f *fakeSink) refused(lines []lambda.LogLine) bool {
	return f.refuse != nil && slices.ContainsFunc(lines, f.refuse)
}

func (f *fakeSink) CopyLogs(ctx context.Context, lines []lambda.LogLine) (uint64, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	time.Sleep(f.slow)
	f.copies++
	fail, done := f.fails()
	if fail && !done || f.full {
		return 0, errTrouble
	}
	if f.refused(lines) {
		return 0, badData{}
	}
	for _, l := range lines {
		if _, there := f.at(l.ID); there {
			f.twice = append(f.twice, l.ID)
		}
		f.recent[l.ID] = l
	}
	f.lsn += uint64(len(lines))
	if fail {
		return 0, errTrouble
	}
	return f.lsn, nil
}

func (f *fakeSink) at(id lambda.LogID) (lambda.LogLine, bool) {
	if l, ok := f.kept[id]; ok {
		return l, true
	}
	l, ok := f.recent[id]
	return l, ok
}

func (f *fakeSink) tried() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.copies
}

func (f *fakeSink) RepairLogs(ctx context.Context, lines []lambda.LogLine) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.copies++
	fail, done := f.fails()
	if fail && !done {
		return errTrouble
	}
	if f.refused(lines) {
		return fmt.Errorf("copy: %w", badData{})
	}
	if f.full {
		return errTrouble
	}
	for _, l := range lines {
		if _, there := f.at(l.ID); !there {
			f.kept[l.ID] = l
		}
	}
	f.flush()
	if fail {
		return errTrouble
	}
	return nil
}

func (f *fakeSink) flush() {
	for id, l := range f.recent {
		f.kept[id] = l
	}
	clear(f.recent)
}

func (f *fakeSink) FlushedLSN(ctx context.Context) (uint64, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.down {
		return 0, errTrouble
	}
	if f.rng.IntN(3) == 0 {
		f.flush()
		return f.lsn, nil
	}
	return max(f.lsn, uint64(len(f.recent))) - uint64(len(f.recent)), nil
}

// crash takes what was not flushed and goes down.
func (f *fakeSink) crash() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.down = true
	f.lsn -= uint64(len(f.recent))
	clear(f.recent)
}

func (f *fakeSink) set(change func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	change()
}

func (f *fakeSink) CopyRuns(ctx context.Context, runs []lambda.Run, ps []lambda.MetricPoint) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	fail, done := f.fails()
	if fail && !done || f.full {
		return errTrouble
	}
	if slices.ContainsFunc(runs, func(r lambda.Run) bool { return r.Report.RequestID == "bad" }) {
		return badData{}
	}
	fresh := false
	for _, r := range runs {
		if _, there := f.runs[r.Report.RequestID]; !there {
			f.runs[r.Report.RequestID], fresh = r, true
		}
	}
	for _, p := range ps {
		if fresh || len(runs) == 0 {
			k := pointKey{p.FunctionID, p.At.Unix() / 60}
			if f.points[k] == nil {
				f.points[k] = &p
			} else {
				*f.points[k] = merge(*f.points[k], p)
			}
		}
	}
	if fail {
		return errTrouble
	}
	return nil
}

func (f *fakeSink) LogLines(ctx context.Context, q lambda.LogQuery) ([]lambda.LogLine, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.down {
		return nil, errTrouble
	}
	var out []lambda.LogLine
	for _, m := range []map[lambda.LogID]lambda.LogLine{f.kept, f.recent} {
		for _, l := range m {
			if (q.FunctionID == 0 || l.FunctionID == q.FunctionID) && (q.RequestID == "" || l.RequestID == q.RequestID) && (q.Before == lambda.LogID{} || l.ID.Less(q.Before)) {
				out = append(out, l)
			}
		}
	}
	slices.SortFunc(out, func(a, b lambda.LogLine) int { return byID(b, a) })
	return out[:min(len(out), q.Limit)], nil
}

// house is a pipeline over a fake sink, running.
type house struct {
	*Pipeline
	hub  *Hub
	sink *fakeSink
	stop func()
}

var starts atomic.Int64 // each pipeline is a server's start with an epoch of its own

func open(t *testing.T, sink *fakeSink, folder string, l Limits) *house {
	t.Helper()
	hub := NewHub(l)
	p, err := New(Options{Sink: sink, Hub: hub, Epoch: starts.Add(1), Folder: folder, Limits: l})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- p.Run(ctx) }()
	h := &house{Pipeline: p, hub: hub, sink: sink}
	h.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(h.stop)
	return h
}

func lines(fn int64, from, n int) []lambda.LogLine {
	out := make([]lambda.LogLine, n)
	for i := range out {
		out[i] = lambda.LogLine{FunctionID: fn, RequestID: fmt.Sprintf("r%d", fn), Text: fmt.Sprintf("%d/%d", fn, from+i), At: time.Now()}
	}
	return out
}

// checkLines holds that each function's n lines are there once, in the order in which they were written.
func checkLines(t *testing.T, f *fakeSink, functions, n int) {
	t.Helper()
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.twice) > 0 {
		t.Errorf("%d lines were copied twice", len(f.twice))
	}
	f.flush()
	texts := map[int64][]lambda.LogLine{}
	for _, l := range f.kept {
		texts[l.FunctionID] = append(texts[l.FunctionID], l)
	}
	for fn := int64(1); fn <= int64(functions); fn++ {
		got := texts[fn]
		slices.SortFunc(got, byID)
		if len(got) != n {
			t.Errorf("function %d: %d lines kept, want %d", fn, len(got), n)
			continue
		}
		for i, l := range got {
			if want := fmt.Sprintf("%d/%d", fn, i); l.Text != want {
				t.Errorf("function %d: line %d is %q, want %q", fn, i, l.Text, want)
				break
			}
		}
	}
}
