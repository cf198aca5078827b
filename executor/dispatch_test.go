package executor

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"kiln/lambda"
)

// inBubble runs a scenario over a running engine in made time: hours pass at once, and the engine is stopped at the end.
func inBubble(t *testing.T, answer func(context.Context, Assignment) (Outcome, error), scenario func(t *testing.T, b *bench, q *memoryQueue), change ...func(*Options)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		q := &memoryQueue{}
		b := newBench(answer, append([]func(*Options){func(o *Options) { o.Queue = q }}, change...)...)
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- b.Run(ctx) }()
		synctest.Wait()
		scenario(t, b, q)
		stop()
		if err := <-ended; err != nil {
			t.Errorf("Run: %v", err)
		}
		if !b.runner.closed {
			t.Error("the runner is not closed")
		}
	})
}

func (b *bench) send(t *testing.T, inv lambda.Invocation) string {
	t.Helper()
	id, err := b.InvokeAsync(t.Context(), inv)
	if err != nil {
		t.Fatal(err)
	}
	return id
}

// after lets d pass and everything settle.
func after(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

func TestAsyncEventRunsAtOnceAndIsSettledOnce(t *testing.T) {
	inBubble(t, nil, func(t *testing.T, b *bench, q *memoryQueue) {
		b.source.put(1, "f", nil)
		start := time.Now()
		id := b.send(t, lambda.Invocation{Function: "f", Event: []byte(`[1]`)})
		synctest.Wait()
		if done, dead, waiting := q.counts(); done != 1 || dead+waiting != 0 {
			t.Errorf("done %d, dead %d, waiting %d", done, dead, waiting)
		}
		if !time.Now().Equal(start) {
			t.Error("it waited for a poll")
		}
		if p := b.kept.all()[0].Report; p.RequestID != id || !p.Async || p.Attempt != 0 {
			t.Errorf("report %+v", p)
		}
	})
}

func TestAsyncRefusesWhatItCouldNeverRun(t *testing.T) {
	b := newBench(nil, func(o *Options) { o.Queue = &memoryQueue{} })
	b.source.put(1, "f", nil)
	for key, inv := range map[string]lambda.Invocation{
		"event.size":       {Function: "f", Event: []byte(`"` + strings.Repeat("x", lambda.MaxAsyncEvent) + `"`)},
		"event.json":       {Function: "f", Event: []byte("{")},
		"function.missing": {Function: "g"},
	} {
		if _, err := b.InvokeAsync(t.Context(), inv); lambda.KeyOf(err) != key {
			t.Errorf("%v, want %s", err, key)
		}
	}
}

func TestFailuresAreRetriedAfterOneAndTwoMinutes(t *testing.T) {
	var at []time.Duration
	var start time.Time
	inBubble(t, func(_ context.Context, a Assignment) (Outcome, error) {
		at = append(at, time.Since(start).Round(time.Second))
		return failed("no"), nil
	}, func(t *testing.T, b *bench, q *memoryQueue) {
		b.source.put(1, "f", nil)
		start = time.Now()
		b.send(t, lambda.Invocation{Function: "f"})
		after(10 * time.Minute)
		if fmt.Sprint(at) != "[0s 1m0s 3m0s]" {
			t.Errorf("ran at %v", at)
		}
		if _, dead := q.given(); len(dead) != 1 || dead[0].Dead != DeadRetries || !strings.Contains(string(dead[0].Response), "no") {
			t.Errorf("dead %+v", dead)
		}
		for i, run := range b.kept.all() {
			if run.Report.Attempt != i || run.Report.RequestID != b.kept.all()[0].Report.RequestID {
				t.Errorf("run %d is attempt %d", i, run.Report.Attempt)
			}
		}
	})
}

func TestRetriesAndAgeFollowTheConfiguration(t *testing.T) {
	none, minute := 0, 60
	for _, c := range []struct {
		what string
		cfg  lambda.EventInvokeConfig
		runs int
		dead string
	}{
		{"no retries", lambda.EventInvokeConfig{MaxRetries: &none}, 1, DeadRetries},
		{"an age that ends before the second retry", lambda.EventInvokeConfig{MaxAgeSec: &minute}, 2, DeadAge},
	} {
		inBubble(t, func(context.Context, Assignment) (Outcome, error) { return failed("no"), nil }, func(t *testing.T, b *bench, q *memoryQueue) {
			b.source.put(1, "f", nil)
			b.source.targets["f"].Async = c.cfg
			b.send(t, lambda.Invocation{Function: "f"})
			after(10 * time.Minute)
			_, dead := q.given()
			if n := len(b.runner.assignments()); n != c.runs || len(dead) != 1 || dead[0].Dead != c.dead {
				t.Errorf("%s: %d runs, dead %+v", c.what, n, dead)
			}
		})
	}
}

func TestEventsThatCannotRunBackOffAndAgeOut(t *testing.T) {
	var tries []time.Duration
	var start time.Time
	inBubble(t, func(context.Context, Assignment) (Outcome, error) {
		tries = append(tries, time.Since(start))
		return Outcome{}, lambda.E(lambda.Unavailable, "runtime.missing")
	}, func(t *testing.T, b *bench, q *memoryQueue) {
		b.source.put(1, "f", nil)
		start = time.Now()
		b.send(t, lambda.Invocation{Function: "f"})
		after(7 * time.Hour)
		if _, dead := q.given(); len(dead) != 1 || dead[0].Dead != DeadAge || q.all()[0].Invocation.Attempt != 0 {
			t.Errorf("dead %+v", dead)
		}
		if n := len(tries); n < 75 || n > 110 {
			t.Errorf("%d tries", n)
		}
		if first := tries[1] - tries[0]; first < 800*time.Millisecond || first > 1100*time.Millisecond {
			t.Errorf("first back-off %v", first)
		}
		for i := 12; i+1 < len(tries)-1; i++ {
			if d := tries[i+1] - tries[i]; d < 4*time.Minute || d > 5*time.Minute+time.Second {
				t.Errorf("back-off %d is %v", i, d)
			}
		}
	})
}

func TestStoppedFunctionsEventsAgeOutToo(t *testing.T) {
	zero := 0
	inBubble(t, nil, func(t *testing.T, b *bench, q *memoryQueue) {
		b.source.put(1, "f", &zero)
		for range 5 {
			b.send(t, lambda.Invocation{Function: "f"})
		}
		after(7 * time.Hour)
		if done, dead, waiting := q.counts(); done != 0 || dead != 5 || waiting != 0 || len(b.runner.assignments()) != 0 {
			t.Errorf("done %d, dead %d, waiting %d", done, dead, waiting)
		}
	})
}

func TestReservedLimitHoldsForQueuedEvents(t *testing.T) {
	three := 3
	inBubble(t, func(_ context.Context, a Assignment) (Outcome, error) { time.Sleep(time.Second); return ok(a), nil }, func(t *testing.T, b *bench, q *memoryQueue) {
		b.source.put(1, "f", &three)
		for range 31 {
			b.send(t, lambda.Invocation{Function: "f"})
		}
		after(5 * time.Second)
		if b.runner.highest() != 3 {
			t.Errorf("%d ran at once", b.runner.highest())
		}
		after(10 * time.Second)
		if done, dead, waiting := q.counts(); done != 31 || dead+waiting != 0 {
			t.Errorf("done %d, dead %d, waiting %d", done, dead, waiting)
		}
		for _, e := range q.all() {
			if e.Throttles > 0 {
				t.Error("an event was claimed without a slot")
			}
		}
	})
}

func TestBusyFunctionDoesNotHoldUpOthers(t *testing.T) {
	var finished sync.Map
	inBubble(t, func(_ context.Context, a Assignment) (Outcome, error) {
		time.Sleep(time.Second)
		if _, seen := finished.LoadOrStore(a.Digest, time.Now()); !seen {
			finished.Store("first "+a.Digest, time.Now())
		}
		return ok(a), nil
	}, func(t *testing.T, b *bench, q *memoryQueue) {
		for id := int64(1); id <= 9; id++ {
			b.source.put(id, fmt.Sprintf("f%d", id), nil)
		}
		b.pool.limit.Store(10)
		for range 1000 {
			b.send(t, lambda.Invocation{Function: "f1"})
		}
		after(1500 * time.Millisecond) // the busy one has all slots
		start := time.Now()
		for id := 2; id <= 9; id++ {
			b.send(t, lambda.Invocation{Function: fmt.Sprintf("f%d", id)})
		}
		after(4 * time.Second)
		for id := 2; id <= 9; id++ {
			at, ran := finished.Load(lambda.Digest(fmt.Sprintf("d%d", id)))
			if !ran || at.(time.Time).Sub(start) > 3*time.Second {
				t.Errorf("f%d waited behind f1 (%v)", id, ran)
			}
		}
		b.pool.limit.Store(1000)
		after(5 * time.Second)
		if done, dead, waiting := q.counts(); done != 1008 || dead+waiting != 0 {
			t.Errorf("done %d, dead %d, waiting %d", done, dead, waiting)
		}
	})
}

func TestLeasesAreProlongedWhileAnEventRuns(t *testing.T) {
	inBubble(t, func(_ context.Context, a Assignment) (Outcome, error) {
		time.Sleep(15 * time.Minute)
		return ok(a), nil
	}, func(t *testing.T, b *bench, q *memoryQueue) {
		b.source.put(1, "f", nil)
		b.send(t, lambda.Invocation{Function: "f"})
		after(16 * time.Minute)
		if done, _, _ := q.counts(); done != 1 || len(b.runner.assignments()) != 1 || q.lateSettlements() != 0 {
			t.Errorf("done %d after %d runs, %d lost", done, len(b.runner.assignments()), q.lateSettlements())
		}
	})
}

func TestDatabaseAwayLosesNothing(t *testing.T) {
	inBubble(t, func(_ context.Context, a Assignment) (Outcome, error) { time.Sleep(time.Second); return ok(a), nil }, func(t *testing.T, b *bench, q *memoryQueue) {
		b.source.put(1, "f", nil)
		for range 20 {
			b.send(t, lambda.Invocation{Function: "f"})
		}
		synctest.Wait()
		q.breakWith(func(string, string) error { return errAway })
		after(30 * time.Second)
		if _, err := b.InvokeAsync(t.Context(), lambda.Invocation{Function: "f"}); err == nil {
			t.Error("an event was accepted that is nowhere")
		}
		q.breakWith(nil)
		after(10 * time.Second)
		if done, dead, waiting := q.counts(); done != 20 || dead+waiting != 0 || len(b.runner.assignments()) != 20 {
			t.Errorf("done %d, dead %d, waiting %d, %d runs", done, dead, waiting, len(b.runner.assignments()))
		}
	})
}

func TestRefusedSettlementDoesNotHoldUpOthers(t *testing.T) {
	inBubble(t, nil, func(t *testing.T, b *bench, q *memoryQueue) {
		b.source.put(1, "f", nil)
		broken := &pickyQueue{memoryQueue: q}
		broken.refuse.Store(2)
		b.o.Queue = broken
		for range 5 {
			b.send(t, lambda.Invocation{Function: "f"})
		}
		after(time.Second)
		if done, _, waiting := q.counts(); done != 4 || waiting != 1 {
			t.Errorf("done %d, waiting %d", done, waiting)
		}
		broken.refuse.Store(0)
		after(3 * time.Minute)
		if done, _, waiting := q.counts(); done != 5 || waiting != 0 {
			t.Errorf("later: done %d, waiting %d", done, waiting)
		}
	})
}

// pickyQueue refuses every transaction with one event.
type pickyQueue struct {
	*memoryQueue
	refuse atomic.Int64
}

func (p *pickyQueue) Settle(ctx context.Context, all []lambda.Settlement) (int, error) {
	for i := range all {
		if all[i].ID == p.refuse.Load() {
			return 0, fmt.Errorf("a constraint")
		}
	}
	return p.memoryQueue.Settle(ctx, all)
}

func TestChangedDrainsWhatNothingReaches(t *testing.T) {
	inBubble(t, nil, func(t *testing.T, b *bench, q *memoryQueue) {
		b.source.put(1, "f", nil)
		b.source.put(2, "g", nil)
		b.source.digests["draft"] = runnable(1, "f", lambda.Draft, "draft", nil)
		b.source.reach["f"]["draft"] = true
		for _, inv := range []lambda.Invocation{{Function: "f"}, {Function: "g"}, {Function: "f", Digest: "draft"}} {
			if _, err := b.Invoke(t.Context(), inv); err != nil {
				t.Fatal(err)
			}
		}
		b.source.mu.Lock()
		b.source.targets["f"] = &lambda.Target{Runnable: runnable(1, "f", lambda.Latest, "new", nil)}
		b.source.reach["f"] = map[lambda.Digest]bool{"new": true, "draft": true}
		b.source.mu.Unlock()
		b.Changed("f")
		keep := <-b.runner.drained
		if keep("d1") || !keep("d2") || !keep("draft") || !keep("new") {
			t.Error("after a deploy: the old digest and no other is drained")
		}
		b.source.mu.Lock()
		delete(b.source.reach["f"], "draft") // 10 minutes later
		b.source.mu.Unlock()
		if _, err := b.Invoke(t.Context(), lambda.Invocation{Function: "f"}); err != nil {
			t.Fatal(err)
		}
		keep = <-b.runner.drained // by the sweep
		if keep("draft") || !keep("new") {
			t.Error("a draft that nothing reaches any more stays")
		}
		b.source.mu.Lock()
		delete(b.source.targets, "f")
		b.source.mu.Unlock()
		b.Changed("f")
		if keep = <-b.runner.drained; keep("new") || !keep("d2") {
			t.Error("a deleted function stays")
		}
	})
}

func TestAccountLimitLeavesOutReservations(t *testing.T) {
	var reserved atomic.Int64
	reserved.Store(998)
	inBubble(t, func(_ context.Context, a Assignment) (Outcome, error) { time.Sleep(time.Hour); return ok(a), nil }, func(t *testing.T, b *bench, q *memoryQueue) {
		b.source.put(1, "f", nil)
		for range 5 {
			b.send(t, lambda.Invocation{Function: "f"})
		}
		after(time.Second)
		if n := b.Running("f"); n != 2 {
			t.Errorf("%d run of 2", n)
		}
		reserved.Store(0)
		b.Changed("other")
		after(time.Second)
		if n := b.Running("f"); n != 5 {
			t.Errorf("%d run of 5", n)
		}
		after(2 * time.Hour)
	}, func(o *Options) {
		o.Limits = func(context.Context) (Limits, error) {
			return Limits{Account: 1000, Reserved: int(reserved.Load())}, nil
		}
	})
}

func TestLostQueueStopsClaimingAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q, lost := &memoryQueue{}, make(chan struct{})
		b := newBench(nil, func(o *Options) { o.Queue, o.Lost = q, lost })
		b.source.put(1, "f", nil)
		ended := make(chan error, 1)
		go func() { ended <- b.Run(t.Context()) }()
		synctest.Wait()
		close(lost)
		if err := <-ended; err != ErrLost {
			t.Errorf("Run: %v", err)
		}
		b.send(t, lambda.Invocation{Function: "f"})
		after(time.Hour)
		if _, _, waiting := q.counts(); waiting != 1 || len(q.released) != 0 {
			t.Errorf("waiting %d, released %v", waiting, q.released)
		}
	})
}

func TestStopGivesBackWhatStillRuns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q, closed := &memoryQueue{}, make(chan struct{})
		b := newBench(func(_ context.Context, a Assignment) (Outcome, error) {
			if string(a.Event) == `"short"` {
				time.Sleep(5 * time.Second)
				return ok(a), nil
			}
			<-closed
			return failed("ended by the stop"), nil
		}, func(o *Options) { o.Queue = q })
		b.o.Runner = closing{b.runner, closed}
		b.source.put(1, "f", nil)
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- b.Run(ctx) }()
		b.send(t, lambda.Invocation{Function: "f", Event: []byte(`"short"`)})
		b.send(t, lambda.Invocation{Function: "f", Event: []byte(`"long"`)})
		synctest.Wait()
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		if done, dead, waiting := q.counts(); done != 1 || dead != 0 || waiting != 1 || len(q.released) != 1 {
			t.Errorf("done %d, dead %d, waiting %d, released %v", done, dead, waiting, q.released)
		}
		if q.all()[1].node != "" || q.all()[1].Invocation.Attempt != 0 || len(b.kept.all()) != 1 {
			t.Error("the event that still ran is not as it was")
		}
		if _, err := b.Invoke(t.Context(), lambda.Invocation{Function: "f"}); lambda.KeyOf(err) != "engine.stopping" {
			t.Errorf("after the stop: %v", err)
		}
	})
}

// closing ends what runs when it is closed.
type closing struct {
	*fakeRunner
	closed chan struct{}
}

func (c closing) Close(ctx context.Context) error {
	close(c.closed)
	return c.fakeRunner.Close(ctx)
}

func TestEveryEventIsAccountedForWhenANodeDies(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := &memoryQueue{}
		dead := make(chan struct{}) // closed: node one can reach nothing any more
		var completed [2]atomic.Int64
		engines, ended := [2]*bench{}, make(chan error, 2)
		for i := range engines {
			engines[i] = newBench(func(_ context.Context, a Assignment) (Outcome, error) {
				time.Sleep(time.Duration(1+len(a.Event)%7) * time.Second)
				if strings.Contains(string(a.Event), "3") {
					return failed("no"), nil
				}
				completed[i].Add(1)
				return ok(a), nil
			}, func(o *Options) { o.Queue, o.Node = &mortalQueue{q, dead, i == 0}, fmt.Sprint("node", i) })
			engines[i].source.put(1, "f", nil)
			engines[i].pool.limit.Store(20)
		}
		ctx, stop := context.WithCancel(t.Context())
		for _, e := range engines {
			go func() { ended <- e.Run(ctx) }()
		}
		for i := range 300 {
			engines[1].send(t, lambda.Invocation{Function: "f", Event: fmt.Appendf(nil, "%d", i)})
		}
		time.Sleep(3500 * time.Millisecond)
		close(dead)
		after(time.Hour)
		done, gone, waiting := q.counts()
		if done+gone != 300 || waiting != 0 {
			t.Errorf("accepted 300 = done %d + dead %d + waiting %d", done, gone, waiting)
		}
		want := 0
		for i := range 300 {
			if strings.Contains(fmt.Sprint(i), "3") {
				want++
			}
		}
		if gone != want || completed[0].Load() == 0 || completed[1].Load() == 0 {
			t.Errorf("%d dead of %d, completed %d and %d", gone, want, completed[0].Load(), completed[1].Load())
		}
		stop()
		<-ended
		<-ended
	})
}

// mortalQueue cannot be reached any more by one of its nodes once dead is closed.
type mortalQueue struct {
	*memoryQueue
	dead   chan struct{}
	mortal bool
}

func (m *mortalQueue) gone() bool {
	select {
	case <-m.dead:
		return m.mortal
	default:
		return false
	}
}

func (m *mortalQueue) DueFunctions(ctx context.Context, limit int) (map[int64]int, time.Time, error) {
	if m.gone() {
		return nil, time.Time{}, errAway
	}
	return m.memoryQueue.DueFunctions(ctx, limit)
}

func (m *mortalQueue) ExtendLease(ctx context.Context, node string, ids []int64, lease time.Duration) error {
	if m.gone() {
		return errAway
	}
	return m.memoryQueue.ExtendLease(ctx, node, ids, lease)
}

func (m *mortalQueue) Settle(ctx context.Context, all []lambda.Settlement) (int, error) {
	if m.gone() {
		return 0, errAway
	}
	return m.memoryQueue.Settle(ctx, all)
}

func (m *mortalQueue) ReleaseLeases(ctx context.Context, node string) error {
	if m.gone() {
		return errAway
	}
	return m.memoryQueue.ReleaseLeases(ctx, node)
}

func TestLateSettlementOfALostLeaseChangesNothing(t *testing.T) {
	inBubble(t, func(_ context.Context, a Assignment) (Outcome, error) {
		time.Sleep(10 * time.Minute)
		return ok(a), nil
	}, func(t *testing.T, b *bench, q *memoryQueue) {
		b.source.put(1, "f", nil)
		q.breakWith(func(what, _ string) error {
			if what == "extend" {
				return errAway
			}
			return nil
		})
		b.send(t, lambda.Invocation{Function: "f"})
		after(90 * time.Second) // the lease ended after one minute: the event was claimed again
		q.breakWith(nil)
		after(30 * time.Minute)
		if done, dead, waiting := q.counts(); done != 1 || dead+waiting != 0 || q.lateSettlements() == 0 {
			t.Errorf("done %d, dead %d, waiting %d, lost %d", done, dead, waiting, q.lateSettlements())
		}
	})
}
