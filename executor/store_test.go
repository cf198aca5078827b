package executor_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"kiln/executor"
	"kiln/executor/executortest"
	"kiln/iam"
	"kiln/lambda"
	"kiln/store"
	"kiln/store/storetest"
)

var (
	kim  = iam.Principal{Kind: iam.KindUser, ARN: "arn:aws:iam::000000000000:user/1", Name: "Kim Minseo", UserID: 1}
	fast = executor.Timing{Poll: 50 * time.Millisecond, Lease: time.Second, Retry: []time.Duration{50 * time.Millisecond}, ThrottleBase: 20 * time.Millisecond, Grace: 100 * time.Millisecond}
)

var (
	_ executor.Source = (*store.Store)(nil)
	_ executor.Queue  = (*store.Store)(nil)
)

func create(t *testing.T, s *store.Store, name string) *lambda.Function {
	t.Helper()
	code, err := s.PutCode(t.Context(), strings.NewReader("code of "+name))
	if err != nil {
		t.Fatal(err)
	}
	f, err := s.CreateFunction(t.Context(), kim, lambda.NewFunction{Name: name, Code: code,
		Config: lambda.Config{Runtime: "nodejs22.x", Handler: "index.handler", Role: "arn:aws:iam::000000000000:role/kiln-default"}})
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// ledger keeps runs.
type ledger struct {
	mu   sync.Mutex
	runs []lambda.Run
}

func (l *ledger) Record(r lambda.Run) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.runs = append(l.runs, r)
}

// line is one engine's way to the store: it can be cut, as when the server that the engine runs in was killed.
type line struct {
	*store.Store
	cut     atomic.Bool
	settled chan struct{}
}

var errCut = errors.New("cut")

func newLine(s *store.Store) *line { return &line{Store: s, settled: make(chan struct{}, 1)} }

func (l *line) DueFunctions(ctx context.Context, limit int) (map[int64]int, time.Time, error) {
	if l.cut.Load() {
		return nil, time.Time{}, errCut
	}
	return l.Store.DueFunctions(ctx, limit)
}

func (l *line) ExtendLease(ctx context.Context, node string, ids []int64, lease time.Duration) error {
	if l.cut.Load() {
		return errCut
	}
	return l.Store.ExtendLease(ctx, node, ids, lease)
}

func (l *line) Settle(ctx context.Context, all []lambda.Settlement) (int, error) {
	if l.cut.Load() {
		return 0, errCut
	}
	lost, err := l.Store.Settle(ctx, all)
	select {
	case l.settled <- struct{}{}:
	default:
	}
	return lost, err
}

func (l *line) ReleaseLeases(ctx context.Context, node string) error {
	if l.cut.Load() {
		return errCut
	}
	return l.Store.ReleaseLeases(ctx, node)
}

// start runs an engine until the returned function is called.
func start(t *testing.T, o executor.Options) (*executor.Engine, func()) {
	t.Helper()
	e := executor.New(o)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- e.Run(ctx) }()
	stop := sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
	t.Cleanup(stop)
	return e, stop
}

// await returns when the queue is empty.
func await(t *testing.T, s *store.Store, settled <-chan struct{}) lambda.QueueState {
	t.Helper()
	for {
		q, err := s.QueueState(t.Context(), 0)
		if err != nil {
			t.Fatal(err)
		}
		if q.Waiting+q.Running+q.Delayed == 0 {
			return q
		}
		<-settled
	}
}

func TestEveryAcceptedEventEndsOnceOnTheRealStoreWhenAnEngineDies(t *testing.T) {
	s := storetest.New(t)
	create(t, s, "f")
	const n = 300
	var half sync.Once
	killed, book := make(chan struct{}), &ledger{}
	var ran atomic.Int64
	lines := [2]*line{newLine(s), newLine(s)}
	run := func(_ context.Context, a executor.Assignment) (executor.Outcome, error) {
		if ran.Add(1) == n/3 {
			half.Do(func() { close(killed) })
		}
		if strings.HasSuffix(string(a.Event), "7") {
			return executor.Outcome{FunctionError: "Unhandled", Payload: []byte(`{"errorMessage":"no"}`)}, nil
		}
		return executor.Outcome{Payload: a.Event}, nil
	}
	var engines [2]*executor.Engine
	var stops [2]func()
	for i := range engines {
		engines[i], stops[i] = start(t, executor.Options{Runner: &executortest.FakeRunner{Handle: run}, Source: s, Queue: lines[i], Recorder: book, Node: fmt.Sprint("node", i), Timing: fast})
	}
	var senders sync.WaitGroup
	for w := range 10 {
		senders.Go(func() {
			for i := range n / 10 {
				if _, err := engines[i%2].InvokeAsync(context.Background(), lambda.Invocation{Function: "f", Event: fmt.Appendf(nil, "%d", w*n/10+i)}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	<-killed
	lines[0].cut.Store(true) // what it runs or has run is settled by nobody: its leases end and the other engine claims again
	senders.Wait()
	q := await(t, s, lines[1].settled)
	stops[0]()
	stops[1]()
	if q.Dead != n/10 {
		t.Errorf("%d dead letters of %d", q.Dead, n/10)
	}
	ok := map[string]bool{}
	for _, r := range book.runs {
		if !r.Report.Status.Failed() {
			ok[r.Report.RequestID] = true
		}
	}
	if len(ok) != n-n/10 {
		t.Errorf("%d events were done of %d", len(ok), n-n/10)
	}
}

func TestDestinationAndDeadLetterOnTheRealStore(t *testing.T) {
	s := storetest.New(t)
	create(t, s, "f")
	create(t, s, "next")
	l := newLine(s)
	got := make(chan executor.Assignment, 10)
	e, stop := start(t, executor.Options{Source: failTo{s, "arn:aws:lambda:us-east-1:000000000000:function:next"}, Queue: l, Recorder: &ledger{}, Timing: fast, Runner: &executortest.FakeRunner{Handle: func(_ context.Context, a executor.Assignment) (executor.Outcome, error) {
		if strings.HasSuffix(a.InvokedARN, ":next") {
			got <- a
			return executor.Outcome{Payload: []byte("1")}, nil
		}
		return executor.Outcome{FunctionError: "Unhandled", Payload: []byte(`{"errorMessage":"no"}`)}, nil
	}}})
	if _, err := e.InvokeAsync(t.Context(), lambda.Invocation{Function: "f", Event: []byte(`{"a":1}`)}); err != nil {
		t.Fatal(err)
	}
	if a := <-got; !strings.Contains(string(a.Event), `"condition":"RetriesExhausted","approximateInvokeCount":3`) {
		t.Errorf("delivered %s", a.Event)
	}
	if q := await(t, s, l.settled); q.Dead != 1 {
		t.Errorf("%+v", q)
	}
	stop()
}

// failTo gives the function f a destination.
type failTo struct {
	*store.Store
	arn string
}

func (f failTo) Target(ctx context.Context, name, qualifier string) (*lambda.Target, error) {
	t, err := f.Store.Target(ctx, name, qualifier)
	if err == nil && name == "f" {
		t.Async.OnFailure = f.arn
	}
	return t, err
}

func TestChangeOnTheRealStoreIsServedAndDrainsTheOldDigest(t *testing.T) {
	s := storetest.New(t)
	f := create(t, s, "f")
	drained := make(chan func(lambda.Digest) bool, 10)
	runner := drains{&executortest.FakeRunner{}, drained}
	e, stop := start(t, executor.Options{Runner: runner, Source: s, Queue: s, Recorder: &ledger{}, Timing: fast})
	defer stop()
	for i := range 2 {
		if _, err := e.Invoke(t.Context(), lambda.Invocation{Function: "f"}); err != nil {
			t.Fatal(err)
		}
		if i == 0 {
			memory := 256
			if _, err := s.UpdateFunction(t.Context(), kim, "f", f.Revision, lambda.FunctionUpdate{MemoryMB: &memory}); err != nil {
				t.Fatal(err)
			}
			e.Changed("f")
		}
	}
	seen := runner.Seen()
	if seen[0].Digest == seen[1].Digest {
		t.Fatal("the old revision ran again")
	}
	if keep := <-drained; keep(seen[0].Digest) || !keep(seen[1].Digest) {
		t.Error("not exactly the old digest is drained")
	}
}

// drains hands over what it is told to keep.
type drains struct {
	*executortest.FakeRunner
	to chan func(lambda.Digest) bool
}

func (d drains) Drain(keep func(lambda.Digest) bool) {
	d.to <- keep
	d.FakeRunner.Drain(keep)
}

// BenchmarkAsyncAtLowRate is the time from the call to the run of a queued event, one at a time.
func BenchmarkAsyncAtLowRate(b *testing.B) {
	s := storetest.New(b)
	code, err := s.PutCode(b.Context(), strings.NewReader("code"))
	if err != nil {
		b.Fatal(err)
	}
	if _, err := s.CreateFunction(b.Context(), kim, lambda.NewFunction{Name: "f", Code: code,
		Config: lambda.Config{Runtime: "nodejs22.x", Handler: "index.handler", Role: "arn:aws:iam::000000000000:role/kiln-default"}}); err != nil {
		b.Fatal(err)
	}
	ran := make(chan struct{}, 1)
	e := executor.New(executor.Options{Source: s, Queue: s, Recorder: &ledger{}, Runner: &executortest.FakeRunner{Handle: func(context.Context, executor.Assignment) (executor.Outcome, error) {
		ran <- struct{}{}
		return executor.Outcome{}, nil
	}}})
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- e.Run(ctx) }()
	var accepted, total time.Duration
	for b.Loop() {
		from := time.Now()
		if _, err := e.InvokeAsync(ctx, lambda.Invocation{Function: "f"}); err != nil {
			b.Fatal(err)
		}
		accepted += time.Since(from)
		<-ran
		total += time.Since(from)
	}
	b.ReportMetric(float64(accepted.Microseconds())/float64(b.N), "µs-to-accept")
	b.ReportMetric(float64(total.Microseconds())/float64(b.N), "µs-to-run")
	cancel()
	<-ended
}
