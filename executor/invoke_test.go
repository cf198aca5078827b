package executor

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"kiln/lambda"
)

// bench is an engine over fakes.
type bench struct {
	*Engine
	runner *fakeRunner
	source *fakeSource
	kept   *recorded
}

func newBench(answer func(context.Context, Assignment) (Outcome, error), change ...func(*Options)) *bench {
	b := &bench{runner: newFakeRunner(answer), source: newFakeSource(), kept: &recorded{}}
	o := Options{Runner: b.runner, Source: b.source, Recorder: b.kept}
	for _, c := range change {
		c(&o)
	}
	b.Engine = New(o)
	return b
}

func TestInvokeAnswersAndRecords(t *testing.T) {
	b := newBench(nil)
	b.source.put(7, "orders", nil)
	got, err := b.Invoke(t.Context(), lambda.Invocation{Function: "orders", Source: lambda.SourceTest, By: "Ann", Event: []byte(`{"a":1}`)})
	if err != nil || string(got.Payload) != `{"a":1}` || got.Version != lambda.Latest {
		t.Fatalf("%+v, %v", got, err)
	}
	a := b.runner.assignments()[0]
	if a.Timeout != 3*time.Second || a.Digest != "d7" || len(a.RequestID) != 36 || a.InvokedARN != "arn:aws:lambda:us-east-1:000000000000:function:orders" {
		t.Errorf("assignment %+v", a)
	}
	run := b.kept.all()[0]
	p := run.Report
	if p.RequestID != a.RequestID || p.FunctionID != 7 || p.By != "Ann" || p.Source != "test" || p.EventSize != 7 || p.ResponseSize != 7 || p.MemoryMB != 128 || p.AcceptedAt.IsZero() {
		t.Errorf("report %+v", p)
	}
	if string(run.Bodies.Event) != `{"a":1}` || string(run.Bodies.Response) != `{"a":1}` {
		t.Errorf("bodies %+v", run.Bodies)
	}
	if b.Running("orders") != 0 || len(b.RunningNow("", 10)) != 0 {
		t.Error("the invocation is still listed")
	}
}

func TestInvokeRefuses(t *testing.T) {
	b := newBench(nil)
	b.source.put(1, "f", nil)
	for _, c := range []struct {
		what string
		inv  lambda.Invocation
		kind lambda.Kind
		key  string
	}{
		{"an event that is not JSON", lambda.Invocation{Function: "f", Event: []byte("{\n \"a\": }")}, lambda.Invalid, "event.json"},
		{"an event of 7 MB", lambda.Invocation{Function: "f", Event: bytes.Repeat([]byte("1"), 7<<20)}, lambda.TooLarge, "event.size"},
		{"an unknown function", lambda.Invocation{Function: "g"}, lambda.NotFound, "function.missing"},
		{"an unknown draft", lambda.Invocation{Function: "f", Digest: "nope"}, lambda.NotFound, "digest.missing"},
		{"a chain that went 16 times through it", lambda.Invocation{Function: "f", TraceID: "Root=1-0-0;Lineage=" + lineageOf("arn:aws:lambda:us-east-1:000000000000:function:f") + ":16"}, lambda.Invalid, "recursion.stopped"},
	} {
		_, err := b.Invoke(t.Context(), c.inv)
		if lambda.KindOf(err) != c.kind || lambda.KeyOf(err) != c.key {
			t.Errorf("%s: %v", c.what, err)
		}
	}
	if n := len(b.runner.assignments()); n != 0 {
		t.Errorf("%d of them ran", n)
	}
}

func TestBadEventSaysWhere(t *testing.T) {
	e, _ := errors.AsType[*lambda.Error](accept(&lambda.Invocation{Event: []byte("{\n \"a\": }")}, 100))
	if e == nil || e.Params["line"] != "2" || e.Params["column"] != "7" {
		t.Errorf("%v", e)
	}
}

func TestEmptyEventIsAnEmptyObject(t *testing.T) {
	b := newBench(nil)
	b.source.put(1, "f", nil)
	if got, err := b.Invoke(t.Context(), lambda.Invocation{Function: "f"}); err != nil || string(got.Payload) != "{}" {
		t.Errorf("%s, %v", got.Payload, err)
	}
}

func TestWarmCallsDoNotAskTheSource(t *testing.T) {
	b := newBench(nil)
	b.source.put(1, "f", nil)
	for range 10 {
		if _, err := b.Invoke(t.Context(), lambda.Invocation{Function: "f"}); err != nil {
			t.Fatal(err)
		}
	}
	if b.source.asked != 1 {
		t.Errorf("asked %d times", b.source.asked)
	}
	b.Changed("f")
	if _, err := b.Invoke(t.Context(), lambda.Invocation{Function: "f"}); err != nil || b.source.asked != 2 {
		t.Errorf("after a change: asked %d times, %v", b.source.asked, err)
	}
}

func TestAliasSharesCalls(t *testing.T) {
	b := newBench(nil)
	b.source.put(1, "f", nil)
	b.source.targets["f:prod"] = &lambda.Target{Runnable: runnable(1, "f", "1", "one", nil), Alias: "prod", Second: runnable(1, "f", "2", "two", nil), Share: 0.25}
	n := map[string]int{}
	for range 4000 {
		got, err := b.Invoke(t.Context(), lambda.Invocation{Function: "f", Qualifier: "prod"})
		if err != nil || got.Report.Alias != "prod" {
			t.Fatal(got.Report, err)
		}
		n[got.Version]++
	}
	if n["2"] < 800 || n["2"] > 1200 || n["1"]+n["2"] != 4000 {
		t.Errorf("shares %v", n)
	}
	if arn := b.runner.assignments()[0].InvokedARN; !strings.HasSuffix(arn, ":f:prod") {
		t.Errorf("invoked ARN %s", arn)
	}
}

func TestDraftRunsItsDigestOfItsOwnFunctionOnly(t *testing.T) {
	b := newBench(nil)
	b.source.put(1, "f", nil)
	b.source.put(2, "g", nil)
	b.source.digests["draft"] = runnable(1, "f", lambda.Draft, "draft", nil)
	got, err := b.Invoke(t.Context(), lambda.Invocation{Function: "f", Qualifier: lambda.Draft, Digest: "draft"})
	if err != nil || got.Version != lambda.Draft || b.runner.assignments()[0].Digest != "draft" {
		t.Errorf("%+v, %v", got, err)
	}
	if _, err := b.Invoke(t.Context(), lambda.Invocation{Function: "g", Digest: "draft"}); lambda.KindOf(err) != lambda.NotFound {
		t.Errorf("another function's draft ran: %v", err)
	}
}

// race starts n calls at once, holds those that run until all others were answered, and counts both.
func race(t *testing.T, n int, limit int, call func(*bench) error, b func(answer func(context.Context, Assignment) (Outcome, error)) *bench) (ran, throttled int, most int) {
	t.Helper()
	hold := make(chan struct{})
	var refused atomic.Int64
	e := b(func(ctx context.Context, a Assignment) (Outcome, error) { <-hold; return ok(a), nil })
	var all sync.WaitGroup
	start := make(chan struct{})
	answered := make(chan error, n)
	for range n {
		all.Go(func() {
			<-start
			err := call(e)
			if lambda.KindOf(err) == lambda.Throttled {
				refused.Add(1)
			}
			answered <- err
		})
	}
	close(start)
	for range n - limit {
		if err := <-answered; lambda.KindOf(err) != lambda.Throttled {
			t.Errorf("answered before it was let go: %v", err)
		}
	}
	if r := e.Running(""); r != limit {
		t.Errorf("%d run, limit %d", r, limit)
	}
	close(hold)
	all.Wait()
	if e.Running("") != 0 || e.pool.running.Load() != 0 {
		t.Error("slots were not given back")
	}
	if got := e.kept.count(lambda.StatusThrottled); got != int(refused.Load()) {
		t.Errorf("%d throttles recorded of %d", got, refused.Load())
	}
	return e.kept.count(lambda.StatusOK), int(refused.Load()), e.runner.most
}

func TestLimitsHoldExactlyUnderRaces(t *testing.T) {
	five := 5
	for _, c := range []struct {
		what     string
		reserved *int
		limit    int
	}{{"reserved concurrency", &five, 5}, {"the account's", nil, 20}} {
		ran, throttled, most := race(t, 200, c.limit,
			func(b *bench) error {
				_, err := b.Invoke(context.Background(), lambda.Invocation{Function: "f"})
				return err
			},
			func(answer func(context.Context, Assignment) (Outcome, error)) *bench {
				b := newBench(answer)
				b.source.put(1, "f", c.reserved)
				b.pool.limit.Store(20)
				return b
			})
		if ran != c.limit || throttled != 200-c.limit || most != c.limit {
			t.Errorf("%s: %d ran, %d throttled, at most %d at once", c.what, ran, throttled, most)
		}
	}
}

func TestThrottlesSayWhichLimit(t *testing.T) {
	zero := 0
	b := newBench(nil)
	b.source.put(1, "stopped", &zero)
	b.source.put(2, "free", nil)
	b.pool.limit.Store(0)
	for name, want := range map[string]string{"stopped": ReasonReserved, "free": ReasonAccount} {
		_, err := b.Invoke(t.Context(), lambda.Invocation{Function: name})
		if e, _ := errors.AsType[*lambda.Error](err); e == nil || e.Kind != lambda.Throttled || e.Params["reason"] != want {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestRunningNowListsWhatRuns(t *testing.T) {
	hold, entered := make(chan struct{}), make(chan struct{}, 3)
	b := newBench(func(_ context.Context, a Assignment) (Outcome, error) {
		entered <- struct{}{}
		<-hold
		return ok(a), nil
	})
	b.source.put(1, "f", nil)
	var all sync.WaitGroup
	for i := range 3 {
		all.Go(func() {
			_, _ = b.Invoke(context.Background(), lambda.Invocation{Function: "f", RequestID: fmt.Sprint(i)})
		})
		<-entered
	}
	now := b.RunningNow("f", 2)
	if len(now) != 2 || now[0].RequestID != "2" || now[0].Status != lambda.StatusRunning || len(b.RunningNow("", 10)) != 3 || len(b.RunningNow("g", 10)) != 0 {
		t.Errorf("%+v", now)
	}
	close(hold)
	all.Wait()
	if len(b.RunningNow("", 10)) != 0 {
		t.Error("ended runs are listed")
	}
}

func TestClosedClientDoesNotEndAStartedRun(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	b := newBench(func(_ context.Context, a Assignment) (Outcome, error) { cancel(); return ok(a), nil })
	b.source.put(1, "f", nil)
	if _, err := b.Invoke(ctx, lambda.Invocation{Function: "f"}); err != nil || b.kept.count(lambda.StatusOK) != 1 {
		t.Errorf("%v, %d recorded", err, len(b.kept.all()))
	}
}

func TestDrainedDigestIsLookedUpAgain(t *testing.T) {
	var b *bench
	b = newBench(func(_ context.Context, a Assignment) (Outcome, error) {
		if a.Digest == "d1" {
			b.source.mu.Lock()
			b.source.targets["f"] = &lambda.Target{Runnable: runnable(1, "f", lambda.Latest, "new", nil)}
			b.source.mu.Unlock()
			return Outcome{}, lambda.E(lambda.Unavailable, KeyDrained)
		}
		return ok(a), nil
	})
	b.source.put(1, "f", nil)
	if _, err := b.Invoke(t.Context(), lambda.Invocation{Function: "f"}); err != nil || len(b.runner.assignments()) != 2 {
		t.Errorf("%v after %d runs", err, len(b.runner.assignments()))
	}
}

func TestTracesCarryTheChain(t *testing.T) {
	fresh, depth := extendTrace("", "abcdef01")
	if depth != 1 || !strings.HasPrefix(fresh, "Root=1-") || !strings.HasSuffix(fresh, "Lineage=abcdef01:1") {
		t.Errorf("%q %d", fresh, depth)
	}
	for _, c := range []struct {
		in, want string
		depth    int
	}{
		{"Root=1-2-3", "Root=1-2-3;Lineage=x:1", 1},
		{"Root=1-2-3;Lineage=x:3;Sampled=1", "Root=1-2-3;Lineage=x:4;Sampled=1", 4},
		{"Root=1-2-3;Lineage=y:3|z:1", "Root=1-2-3;Lineage=y:3|z:1|x:1", 1},
		{"Root=1;Lineage=x:-5", "Root=1;Lineage=x:17", 17},
		{"Lineage=x:junk", "Lineage=x:17", 17},
	} {
		if got, depth := extendTrace(c.in, "x"); got != c.want || depth != c.depth {
			t.Errorf("%q: %q %d", c.in, got, depth)
		}
	}
}

func BenchmarkInvokeWarm(b *testing.B) {
	e := New(Options{Runner: instant{}, Source: warmSource(), Recorder: nowhere{}})
	inv := lambda.Invocation{Function: "f", Event: []byte(`{"order":17,"items":["a","b"]}`)}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := e.Invoke(context.Background(), inv); err != nil {
			b.Fatal(err)
		}
	}
}

func warmSource() *fakeSource {
	s := newFakeSource()
	s.put(1, "f", nil)
	return s
}

type nowhere struct{}

func (nowhere) Record(lambda.Run) {}

// instant answers at once.
type instant struct{ Runner }

func (instant) Run(_ context.Context, a Assignment) (Outcome, error) {
	return Outcome{Payload: a.Event, Report: lambda.Report{Status: lambda.StatusOK}}, nil
}
