// Package executortest holds the contracts of executor.Runner and runner.Driver as test suites, and stand-ins for both:
// FakeRunner answers in memory, Processes runs real interpreters without a sandbox, Memory runs Go functions that speak the workers' channel.
// Nothing of it is for production.
package executortest

import (
	"context"
	"maps"
	"slices"
	"strconv"
	"sync"
	"time"

	"kiln/executor"
	"kiln/lambda"
)

// FakeRunner is an executor.Runner that answers with a Go function. Its zero value echoes events. It is safe for concurrent use.
type FakeRunner struct {
	// Handle makes the outcome of a run; nil echoes the event. It may block on ctx, which ends at Close or at the assignment's timeout.
	Handle func(ctx context.Context, a executor.Assignment) (executor.Outcome, error)
	// Bound is how many runs of one digest may run at the same time; more of them are refused as Throttled "queue.full". 0 means no bound.
	Bound int

	mu      sync.Mutex
	running map[lambda.Digest]int
	drained map[lambda.Digest]bool
	seen    []executor.Assignment
	closed  bool
	all     sync.WaitGroup
}

// Run keeps the contract of executor.Runner.
func (f *FakeRunner) Run(ctx context.Context, a executor.Assignment) (executor.Outcome, error) {
	if err := f.begin(a); err != nil {
		return executor.Outcome{}, err
	}
	defer f.end(a.Digest)
	if a.Timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(context.WithoutCancel(ctx), a.Timeout)
		defer cancel()
	}
	started := time.Now()
	out := executor.Outcome{Payload: a.Event}
	if f.Handle != nil {
		var err error
		if out, err = f.Handle(ctx, a); err != nil {
			return executor.Outcome{}, err
		}
	}
	if a.Timeout > 0 && ctx.Err() != nil {
		out = executor.Outcome{FunctionError: "Unhandled", Payload: []byte(`{"errorType":"Sandbox.Timedout","errorMessage":"Task timed out"}`), Report: lambda.Report{Status: lambda.StatusTimeout}}
	}
	f.complete(&out, a, started)
	if a.Stream != nil && out.FunctionError == "" {
		if err := a.Stream(out.Payload); err != nil {
			out.Report.Status = lambda.StatusError
		}
		out.Payload = nil
	}
	return out, nil
}

// complete fills what the handler left out of the report.
func (f *FakeRunner) complete(out *executor.Outcome, a executor.Assignment, started time.Time) {
	r := &out.Report
	r.RequestID, r.AcceptedAt, r.StartedAt, r.TraceID = a.RequestID, a.AcceptedAt, started, a.TraceID
	r.EventSize, r.ResponseSize = len(a.Event), len(out.Payload)
	if r.Duration == 0 {
		r.Duration = time.Since(started)
	}
	if r.BilledMS == 0 {
		r.BilledMS = (r.Duration + time.Millisecond - 1).Milliseconds()
	}
	if r.Status == "" {
		r.Status = lambda.StatusOK
		if out.FunctionError != "" {
			r.Status = lambda.StatusError
		}
	}
	if r.Worker == "" {
		r.Worker = "fake/" + strconv.Itoa(len(a.Digest))
	}
}

func (f *FakeRunner) begin(a executor.Assignment) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	switch {
	case f.closed:
		return lambda.E(lambda.Unavailable, "runner.closed")
	case f.drained[a.Digest]:
		return lambda.E(lambda.Unavailable, "revision.drained")
	case f.Bound > 0 && f.running[a.Digest] >= f.Bound:
		return lambda.E(lambda.Throttled, "queue.full")
	}
	if f.running == nil {
		f.running = map[lambda.Digest]int{}
	}
	f.running[a.Digest]++
	f.seen = append(f.seen, a)
	f.all.Add(1)
	return nil
}

func (f *FakeRunner) end(d lambda.Digest) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.running[d]--
	f.all.Done()
}

// Seen is every assignment that was taken, in order.
func (f *FakeRunner) Seen() []executor.Assignment {
	f.mu.Lock()
	defer f.mu.Unlock()
	return append([]executor.Assignment(nil), f.seen...)
}

// Capacity is rung "A" and what runs.
func (f *FakeRunner) Capacity() executor.Capacity {
	f.mu.Lock()
	defer f.mu.Unlock()
	c := executor.Capacity{Rung: "A"}
	for _, n := range f.running {
		c.Running += n
	}
	c.Workers = c.Running
	return c
}

// Running is the number of runs of d.
func (f *FakeRunner) Running(d lambda.Digest) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.running[d]
}

// Drain refuses the digests that were seen and that keep reports false for.
func (f *FakeRunner) Drain(keep func(lambda.Digest) bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.drained = map[lambda.Digest]bool{}
	for d := range f.running {
		f.drained[d] = !keep(d)
	}
}

// Close waits for what runs.
func (f *FakeRunner) Close(ctx context.Context) error {
	f.mu.Lock()
	f.closed = true
	f.mu.Unlock()
	done := make(chan struct{})
	go func() { f.all.Wait(); close(done) }()
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
