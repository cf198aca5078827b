package runner_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"kiln/executor/executortest"
	"kiln/executor/runner"
	"kiln/executor/runtimes"
	"kiln/lambda"
)

var node20 = runtimes.Runtime{Name: "nodejs20.x", Family: runtimes.Node, Version: "20.0.0", Binary: "/usr/bin/node"}

// newMemoryStand is a runner over workers in memory.
func newMemoryStand(t testing.TB, m *executortest.Memory, change func(*runner.Options)) *stand {
	t.Helper()
	return newStand(t, func(o *runner.Options) {
		o.Driver, o.Runtimes = m, runtimes.Of("", node20)
		if change != nil {
			change(o)
		}
	})
}

func (s *stand) behaviour(t testing.TB, behaviour, name string) lambda.Digest {
	return s.Deploy(t, name, lambda.Config{Runtime: "nodejs20.x", Handler: behaviour}, map[string]string{"index.js": name})
}

func TestRunnerKeepsTheContract(t *testing.T) {
	executortest.TestRunner(t, func(t *testing.T) *executortest.Subject {
		gate := executortest.NewGate()
		m := &executortest.Memory{Handle: gate.Behave}
		const bound = 100
		s := newMemoryStand(t, m, func(o *runner.Options) { o.QueueBound, o.MaxWorkers = bound, 32 })
		return &executortest.Subject{Runner: s.Runner, Wait: gate, Bound: bound + 32,
			Deploy: func(behaviour, name string) lambda.Digest { return s.behaviour(t, behaviour, name) },
			Said: func(id string) (list []string) {
				for _, l := range s.Said(id) {
					list = append(list, l.Text)
				}
				return list
			}}
	})
}

// eventually waits for a state that the runner reaches by itself, looking at it again and again.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for overdue := time.Now().Add(30 * time.Second); !ok(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(overdue) {
			t.Fatal("never: ", what)
		}
	}
}

func TestOneWorkerServesOneCallerAfterAnother(t *testing.T) {
	m := &executortest.Memory{}
	s := newMemoryStand(t, m, nil)
	d := s.behaviour(t, executortest.Echo, "f")
	first := s.do(t, event(d, `1`))
	for range 50 {
		if out := s.do(t, event(d, `1`)); out.Report.Worker != first.Report.Worker || out.Report.Cold {
			t.Fatalf("another worker: %+v", out.Report)
		}
	}
}

func TestWaitingWorkersLetOthersStart(t *testing.T) {
	gate := executortest.NewGate()
	s := newMemoryStand(t, &executortest.Memory{Handle: gate.Behave}, func(o *runner.Options) { o.Cores = 2 })
	d := s.behaviour(t, executortest.Wait, "f")
	var all sync.WaitGroup
	const n = 40
	for i := range n {
		all.Go(func() { s.do(t, event(d, fmt.Sprint(i))) })
	}
	for range n { // all of them run at the same time, though only two cores are there: they wait, they do not compute
		<-gate.Started
	}
	gate.Release(n)
	all.Wait()
}

func TestShortRunsNeedFewWorkers(t *testing.T) {
	m := &executortest.Memory{}
	s := newMemoryStand(t, m, func(o *runner.Options) { o.Cores = 2 })
	d := s.behaviour(t, executortest.Echo, "f")
	var all sync.WaitGroup
	for range 64 {
		all.Go(func() {
			for range 50 {
				s.do(t, event(d, `1`))
			}
		})
	}
	all.Wait()
	if n := s.Capacity().Workers; n > 8 {
		t.Errorf("%d workers for short runs on two cores", n)
	}
}

func TestQueuedRunsKeepTheirOrder(t *testing.T) {
	gate := executortest.NewGate()
	s := newMemoryStand(t, &executortest.Memory{Handle: gate.Behave}, func(o *runner.Options) { o.MaxWorkers = 1 })
	d := s.behaviour(t, executortest.Wait, "f")
	var all sync.WaitGroup
	const n = 20
	for i := range n {
		all.Go(func() { s.do(t, event(d, fmt.Sprint(i))) })
		eventually(t, "it is in the queue", func() bool { return s.Runner.Running(d) == i+1 })
	}
	for i := range n {
		if got := <-gate.Started; got != fmt.Sprint(i) {
			t.Errorf("run %d was %s", i, got)
		}
		gate.Release(1)
	}
	all.Wait()
}

func TestLeastRecentlyUsedWorkersMakeRoom(t *testing.T) {
	m := &executortest.Memory{}
	s := newMemoryStand(t, m, func(o *runner.Options) { o.MaxWorkers = 3 })
	digests := make([]lambda.Digest, 6)
	for i := range digests {
		digests[i] = s.behaviour(t, executortest.Echo, fmt.Sprint("f", i))
	}
	for _, i := range []int{0, 1, 0} {
		s.do(t, event(digests[i], `1`))
	}
	for _, d := range digests[2:] {
		s.do(t, event(d, `1`))
		s.do(t, event(digests[0], `1`))
	}
	if out := s.do(t, event(digests[0], `1`)); out.Report.Cold {
		t.Error("the most recently used worker was ended")
	}
	eventually(t, "no more than three sandboxes live", func() bool { return m.Alive() <= 3 })
}

func TestIdleWorkersAreFrozenOnceAndThawed(t *testing.T) {
	m := &executortest.Memory{}
	s := newMemoryStand(t, m, func(o *runner.Options) { o.FreezeAfter = 10 * time.Millisecond })
	d := s.behaviour(t, executortest.Echo, "f")
	for range 3 {
		s.do(t, event(d, `1`))
		eventually(t, "the idle worker is frozen", func() bool { return m.Frozen() == 1 })
	}
	s.do(t, event(d, `1`))
}

func TestIdleWorkersEnd(t *testing.T) {
	m := &executortest.Memory{}
	s := newMemoryStand(t, m, func(o *runner.Options) { o.IdleFor = 20 * time.Millisecond })
	s.do(t, event(s.behaviour(t, executortest.Echo, "f"), `1`))
	eventually(t, "the idle worker ends", func() bool { return s.Capacity().Workers == 0 })
}

func TestThePoolFollowsDemand(t *testing.T) {
	m := &executortest.Memory{}
	s := newMemoryStand(t, m, nil)
	eventually(t, "one runtime of each small class is booted ahead", func() bool { return s.Capacity().PreBooted == 2 })
	for i := range 6 {
		s.do(t, event(s.behaviour(t, executortest.Echo, fmt.Sprint("f", i)), `1`))
	}
	eventually(t, "more are booted ahead", func() bool { return s.Capacity().PreBooted >= 4 })
}

func TestFailedStartsFailTheQueueAndAreTriedAgain(t *testing.T) {
	var broken atomic.Bool
	broken.Store(true)
	m := &executortest.Memory{BeforeStart: func(runner.Spec) error {
		if broken.Load() {
			return errors.New("no room")
		}
		return nil
	}}
	s := newMemoryStand(t, m, nil)
	d := s.behaviour(t, executortest.Echo, "f")
	if _, err := s.Run(t.Context(), event(d, `1`)); lambda.KeyOf(err) != "sandbox.start" {
		t.Errorf("got %v", err)
	}
	broken.Store(false)
	s.do(t, event(d, `1`))
}

func TestFailedLoadsAnswerEveryWaitingRun(t *testing.T) {
	hold := make(chan struct{})
	m := &executortest.Memory{Load: func(string) error { <-hold; return errors.New("no luck") }}
	s := newMemoryStand(t, m, func(o *runner.Options) { o.MaxWorkers = 1 })
	d := s.behaviour(t, executortest.Echo, "f")
	var all sync.WaitGroup
	const n = 10
	for range n {
		all.Go(func() {
			a := event(d, `1`)
			if out := s.do(t, a); out.FunctionError == "" || out.Report.RequestID != a.RequestID || out.Report.ErrorMessage != "no luck" {
				t.Errorf("%+v", out)
			}
		})
	}
	eventually(t, "all wait", func() bool { return s.Runner.Running(d) == n })
	close(hold)
	all.Wait()
}

func TestUnknownRevisionsAndRuntimes(t *testing.T) {
	s := newMemoryStand(t, &executortest.Memory{}, nil)
	if _, err := s.Run(t.Context(), event("none", `1`)); lambda.KindOf(err) != lambda.NotFound {
		t.Errorf("got %v", err)
	}
	d := s.Deploy(t, "f", lambda.Config{Runtime: "java21", Handler: "x"}, map[string]string{"a": ""})
	if _, err := s.Run(t.Context(), event(d, `1`)); lambda.KeyOf(err) != "runtime.missing" {
		t.Errorf("got %v", err)
	}
}

func TestStreamErrorsEndTheRun(t *testing.T) {
	s := newStand(t, nil)
	d := s.Deploy(t, "f", lambda.Config{Runtime: "nodejs20.x", Handler: "index.handler"}, js(`
exports.handler = awslambda.streamifyResponse(async (e, out) => {
  out = awslambda.HttpResponseStream.from(out, { statusCode: 201 });
  out.write('one'); out.write(Buffer.alloc(3 << 20, 'x'));
  if (e.fail) throw new TypeError('midway');
  out.end('end');
})`))
	var got []byte
	a := event(d, `{}`)
	a.Stream = func(p []byte) error { got = append(got, p...); return nil }
	out := s.do(t, a)
	prelude := `{"statusCode":201}` + "\x00\x00\x00\x00\x00\x00\x00\x00" + "one"
	if out.FunctionError != "" || len(got) != len(prelude)+3<<20+3 || string(got[:len(prelude)]) != prelude || out.Report.ResponseSize != len(got) {
		t.Errorf("%d bytes, %+v", len(got), out.Report)
	}
	b := event(d, `{"fail":true}`)
	b.Stream = func([]byte) error { return nil }
	if out := s.do(t, b); out.FunctionError != "Unhandled" || out.Report.ErrorType != "TypeError" {
		t.Errorf("%+v", out)
	}
	c := event(d, `{}`)
	c.Stream = func([]byte) error { return errors.New("the browser went away") }
	if out := s.do(t, c); out.FunctionError == "" {
		t.Errorf("%+v", out)
	}
	if out := s.do(t, a); out.FunctionError != "" {
		t.Errorf("afterwards: %+v", out)
	}
}

// TestKilledAtRandom ends workers in the middle of runs: each run has one outcome, and afterwards nothing is left.
func TestKilledAtRandom(t *testing.T) {
	var kill sync.Map
	m := &executortest.Memory{Handle: func(ctx context.Context, _ string, e []byte) ([]byte, error) {
		if string(e) == `"die"` {
			executortest.Die(ctx)
			<-ctx.Done()
		}
		return e, nil
	}}
	s := newMemoryStand(t, m, func(o *runner.Options) { o.MaxWorkers = 16 })
	var digests []lambda.Digest
	for i := range 4 {
		digests = append(digests, s.behaviour(t, executortest.Echo, fmt.Sprint("f", i)))
	}
	var all sync.WaitGroup
	for g := range 16 {
		all.Go(func() {
			for i := range 100 {
				body := `"live"`
				if (g+i)%7 == 0 {
					body = `"die"`
				}
				out, err := s.Run(t.Context(), event(digests[(g+i)%len(digests)], body))
				if err != nil {
					t.Error(err)
					return
				}
				if died := out.Report.Status == lambda.StatusExit; died != (body == `"die"`) {
					t.Errorf("%s came to %s: %s", body, out.Report.Status, out.Payload)
				}
				kill.Store(out.Report.RequestID, true)
			}
		})
	}
	all.Wait()
	n := 0
	kill.Range(func(any, any) bool { n++; return true })
	if n != 1600 {
		t.Errorf("%d outcomes", n)
	}
	for _, d := range digests {
		if s.Runner.Running(d) != 0 {
			t.Error("runs are left")
		}
	}
	s.Drain(func(lambda.Digest) bool { return false })
	eventually(t, "only pre-booted ones live", func() bool { return s.Capacity().Workers == 0 && m.Alive() == s.Capacity().PreBooted })
}
