package console

import (
	"context"
	"sync"
	"time"

	"kiln/lambda"
)

// testRun is a run that this server started from a test panel.
type testRun struct {
	fn   *lambda.Function
	inv  lambda.Invocation
	done chan struct{} // closed when result and err are set
	// set before done is closed
	result lambda.Result
	err    error
}

// wait returns when the run is done, after d, or when nobody waits any more.
func (t *testRun) wait(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-t.done:
	case <-timer.C:
	case <-ctx.Done():
	}
}

func (t *testRun) isDone() bool {
	select {
	case <-t.done:
		return true
	default:
		return false
	}
}

// testRuns are the runs that are under way and the newest finished ones. The zero value is ready.
type testRuns struct {
	mu    sync.Mutex
	byID  map[string]*testRun
	order []string
	size  int // bytes of kept events and answers
	wg    sync.WaitGroup
}

const (
	keptRuns      = 500
	keptRunsBytes = 64 << 20
)

func (r *testRuns) add(t *testRun) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.byID == nil {
		r.byID = map[string]*testRun{}
	}
	r.byID[t.inv.RequestID] = t
	r.order = append(r.order, t.inv.RequestID)
	r.size += len(t.inv.Event)
	r.trim()
}

// trim forgets the oldest finished runs; the database still has them.
func (r *testRuns) trim() {
	for i := 0; i < len(r.order) && (len(r.order) > keptRuns || r.size > keptRunsBytes); {
		t := r.byID[r.order[i]]
		if !t.isDone() {
			i++
			continue
		}
		r.size -= len(t.inv.Event) + len(t.result.Payload)
		delete(r.byID, r.order[i])
		r.order = append(r.order[:i], r.order[i+1:]...)
	}
}

func (r *testRuns) get(id string) *testRun {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.byID[id]
}

// recent are the reports of a function's finished runs, the newest last; the database learns of them a moment later.
func (r *testRuns) recent(function int64) []lambda.Report {
	r.mu.Lock()
	defer r.mu.Unlock()
	var out []lambda.Report
	for _, id := range r.order {
		if t := r.byID[id]; t.fn.ID == function && t.isDone() && t.err == nil {
			out = append(out, t.result.Report)
		}
	}
	return out
}

func (r *testRuns) finished(t *testRun) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.byID[t.inv.RequestID] == t {
		r.size += len(t.result.Payload)
	}
	close(t.done)
	r.trim()
}

// Drain waits for the test runs that are under way; the engine ends them when it stops.
func (c *Console) Drain() { c.tests.wg.Wait() }
