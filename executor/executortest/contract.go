package executortest

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"kiln/executor"
	"kiln/lambda"
)

// Behaviours that a subject's functions have.
const (
	Echo = "echo" // answers the event
	Fail = "fail" // answers an error object with message "no"
	Wait = "wait" // sends its event to Started, then waits until it is released
	Hang = "hang" // never answers
	Talk = "talk" // writes one log line, the event, and answers it
)

// Subject is a runner under test.
type Subject struct {
	Runner executor.Runner
	// Deploy gives the digest of a function of this behaviour; the same digest for the same name.
	Deploy func(behaviour, name string) lambda.Digest
	Wait   *Gate
	// Said is the text of every line of a run, nil when the subject has no log.
	Said func(requestID string) []string
	// Bound is how many runs of one digest may wait (or run, for a subject without workers); the next is refused.
	Bound int
}

// Gate is where functions of behaviour Wait wait.
type Gate struct {
	Started chan string // events of runs that have started
	open    chan struct{}
}

// NewGate makes a closed gate.
func NewGate() *Gate {
	return &Gate{Started: make(chan string, 10_000), open: make(chan struct{}, 10_000)}
}

// Release lets n runs answer.
func (g *Gate) Release(n int) {
	for range n {
		g.open <- struct{}{}
	}
}

// Behave is a handler with the behaviours, for Memory and FakeRunner.
func (g *Gate) Behave(ctx context.Context, behaviour string, event []byte) ([]byte, error) {
	switch behaviour {
	case Fail:
		return nil, errors.New("no")
	case Talk:
		Say(ctx, string(event))
	case Wait:
		g.Started <- string(event)
		select {
		case <-g.open:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	case Hang:
		<-ctx.Done()
		return nil, ctx.Err()
	}
	return event, nil
}

var contractSerial atomic.Int64

func assignment(d lambda.Digest, body string) executor.Assignment {
	return executor.Assignment{RequestID: fmt.Sprintf("10000000-0000-4000-8000-%012d", contractSerial.Add(1)), Digest: d, Event: []byte(body),
		AcceptedAt: time.Now(), Timeout: time.Minute}
}

// TestRunner holds a runner to the contract of executor.Runner. open gives a fresh subject for each rule.
func TestRunner(t *testing.T, open func(t *testing.T) *Subject) {
	for name, rule := range map[string]func(*testing.T, *Subject){
		"A failed function is an outcome":                        ruleFailure,
		"A hung function ends at its deadline":                   ruleDeadline,
		"Output is complete when Run returns":                    ruleOutput,
		"Cancelling gives up waiting and never ends a run":       ruleCancel,
		"Many runs at once are each answered once":               ruleParallel,
		"Running counts what runs and waits":                     ruleRunning,
		"The bound is exact":                                     ruleBound,
		"Drain refuses new runs and lets running ones finish":    ruleDrain,
		"Streams get the answer in order and their error counts": ruleStream,
		"Nothing runs after Close":                               ruleClose,
	} {
		t.Run(name, func(t *testing.T) { rule(t, open(t)) })
	}
}

func mustRun(t *testing.T, r executor.Runner, a executor.Assignment) executor.Outcome {
	t.Helper()
	out, err := r.Run(t.Context(), a)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func ruleFailure(t *testing.T, s *Subject) {
	out := mustRun(t, s.Runner, assignment(s.Deploy(Fail, "f"), `{}`))
	if out.FunctionError != "Unhandled" || out.Report.Status != lambda.StatusError {
		t.Errorf("%+v", out)
	}
	out = mustRun(t, s.Runner, assignment(s.Deploy(Echo, "e"), `{"a":1}`))
	if out.FunctionError != "" || string(out.Payload) != `{"a":1}` || out.Report.Status != lambda.StatusOK || out.Report.EventSize != 7 || out.Report.ResponseSize != 7 || out.Report.BilledMS < 1 {
		t.Errorf("%+v", out)
	}
}

func ruleDeadline(t *testing.T, s *Subject) {
	a := assignment(s.Deploy(Hang, "h"), `{}`)
	a.Timeout = 100 * time.Millisecond
	out := mustRun(t, s.Runner, a)
	if out.FunctionError != "Unhandled" || !out.Report.Status.Failed() || out.Report.Duration < a.Timeout {
		t.Errorf("%+v", out)
	}
}

func ruleOutput(t *testing.T, s *Subject) {
	if s.Said == nil {
		t.Skip("the subject has no log")
	}
	d := s.Deploy(Talk, "t")
	for i := range 200 {
		a := assignment(d, fmt.Sprintf("%d", i))
		mustRun(t, s.Runner, a)
		if got := s.Said(a.RequestID); len(got) != 1 || got[0] != string(a.Event) {
			t.Fatalf("run %d said %q", i, got)
		}
	}
}

func ruleCancel(t *testing.T, s *Subject) {
	d := s.Deploy(Wait, "w")
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() {
		_, err := s.Runner.Run(ctx, assignment(d, `"first"`))
		done <- err
	}()
	<-s.Wait.Started
	cancel()
	s.Wait.Release(1)
	if err := <-done; err != nil {
		t.Errorf("a started run was ended: %v", err)
	}
	gone, stop := context.WithCancel(t.Context())
	stop()
	a := assignment(s.Deploy(Echo, "never started"), `{}`)
	if out, err := s.Runner.Run(gone, a); err == nil && out.Report.Status != lambda.StatusOK {
		t.Errorf("a run that nobody waits for failed: %+v", out)
	}
	if n := s.Runner.Running(d); n != 0 {
		t.Errorf("%d runs left", n)
	}
}

func ruleParallel(t *testing.T, s *Subject) {
	var digests []lambda.Digest
	for i := range 8 {
		digests = append(digests, s.Deploy(Echo, fmt.Sprint("e", i)))
	}
	var all sync.WaitGroup
	for i := range 400 {
		all.Go(func() {
			a := assignment(digests[i%len(digests)], fmt.Sprint(i))
			out, err := s.Runner.Run(t.Context(), a)
			switch {
			case lambda.KindOf(err) == lambda.Throttled:
			case err != nil:
				t.Error(err)
			case string(out.Payload) != string(a.Event) || out.Report.RequestID != a.RequestID:
				t.Errorf("%s answered %s", a.Event, out.Payload)
			}
		})
	}
	all.Wait()
}

func ruleRunning(t *testing.T, s *Subject) {
	d := s.Deploy(Wait, "w")
	var all sync.WaitGroup
	const n = 3
	for i := range n {
		all.Go(func() { mustRun(t, s.Runner, assignment(d, fmt.Sprint(i))) })
	}
	for range n {
		<-s.Wait.Started
	}
	if got := s.Runner.Running(d); got != n {
		t.Errorf("%d run, want %d", got, n)
	}
	if c := s.Runner.Capacity(); c.Running != n || c.Workers < n {
		t.Errorf("%+v", c)
	}
	s.Wait.Release(n)
	all.Wait()
	if got := s.Runner.Running(d); got != 0 {
		t.Errorf("%d run after the end", got)
	}
}

func ruleBound(t *testing.T, s *Subject) {
	d := s.Deploy(Hang, "h")
	var refused, ended atomic.Int64
	var all sync.WaitGroup
	n := s.Bound*2 + 40
	for range n {
		all.Go(func() {
			a := assignment(d, `{}`)
			a.Timeout = 300 * time.Millisecond
			_, err := s.Runner.Run(t.Context(), a)
			switch {
			case lambda.KindOf(err) == lambda.Throttled:
				refused.Add(1)
			case err != nil:
				t.Error(err)
			default:
				ended.Add(1)
			}
		})
	}
	all.Wait()
	if refused.Load()+ended.Load() != int64(n) || refused.Load() == 0 {
		t.Errorf("%d refused and %d ended of %d", refused.Load(), ended.Load(), n)
	}
	if got := s.Runner.Running(d); got != 0 {
		t.Errorf("%d left", got)
	}
}

func ruleDrain(t *testing.T, s *Subject) {
	d, other := s.Deploy(Wait, "w"), s.Deploy(Echo, "kept")
	mustRun(t, s.Runner, assignment(other, `1`))
	done := make(chan executor.Outcome, 1)
	go func() { done <- mustRun(t, s.Runner, assignment(d, `"x"`)) }()
	<-s.Wait.Started
	s.Runner.Drain(func(x lambda.Digest) bool { return x == other })
	if _, err := s.Runner.Run(t.Context(), assignment(d, `2`)); lambda.KindOf(err) != lambda.Unavailable {
		t.Errorf("a drained digest ran: %v", err)
	}
	mustRun(t, s.Runner, assignment(other, `3`))
	s.Wait.Release(1)
	if out := <-done; string(out.Payload) != `"x"` {
		t.Errorf("the running one answered %s", out.Payload)
	}
}

func ruleStream(t *testing.T, s *Subject) {
	a := assignment(s.Deploy(Echo, "e"), `"piece"`)
	var got []byte
	a.Stream = func(p []byte) error { got = append(got, p...); return nil }
	out := mustRun(t, s.Runner, a)
	if string(got) != `"piece"` || len(out.Payload) != 0 || out.Report.ResponseSize != len(got) {
		t.Errorf("streamed %q, payload %q, size %d", got, out.Payload, out.Report.ResponseSize)
	}
}

func ruleClose(t *testing.T, s *Subject) {
	d := s.Deploy(Echo, "e")
	mustRun(t, s.Runner, assignment(d, `1`))
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	if err := s.Runner.Close(ctx); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Runner.Run(t.Context(), assignment(d, `2`)); lambda.KindOf(err) != lambda.Unavailable {
		t.Errorf("ran after Close: %v", err)
	}
}
