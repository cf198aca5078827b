package executor

import (
	"cmp"
	"slices"
	"sync/atomic"

	"kiln/lambda"
)

// life counts synchronous calls, so that a stop can wait for them.
type life struct {
	active  atomic.Int64
	stopped atomic.Bool
	idle    chan struct{}
}

// begin is false once the engine has stopped; else end must follow.
func (l *life) begin() bool {
	l.active.Add(1)
	if l.stopped.Load() {
		l.end()
		return false
	}
	return true
}

func (l *life) end() {
	if l.active.Add(-1) == 0 && l.stopped.Load() {
		signal(l.idle)
	}
}

// stop takes no more calls and returns when the last one has ended.
func (l *life) stop() {
	l.stopped.Store(true)
	for l.active.Load() != 0 {
		<-l.idle
	}
}

// enter puts r at the head of the function's running invocations.
func (f *function) enter(r *run) {
	f.mu.Lock()
	defer f.mu.Unlock()
	r.prev, r.next = nil, f.first
	if f.first != nil {
		f.first.prev = r
	}
	f.first = r
}

func (f *function) leave(r *run) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if r.prev != nil {
		r.prev.next = r.next
	} else {
		f.first = r.next
	}
	if r.next != nil {
		r.next.prev = r.prev
	}
	r.prev, r.next = nil, nil
}

// Running is how many invocations of a function run or wait for a worker now; "" is all functions.
func (e *Engine) Running(function string) int {
	n := int64(0)
	for _, f := range e.targets.named(function) {
		n += f.running.Load()
	}
	return int(n)
}

// RunningNow lists the invocations of a function (all functions with "") that run or wait for a worker, newest first, at most limit:
// reports with StatusRunning, without what is known at the end only.
func (e *Engine) RunningNow(function string, limit int) []lambda.Report {
	var all []lambda.Report
	for _, f := range e.targets.named(function) {
		all = f.list(all, limit)
	}
	slices.SortFunc(all, func(a, b lambda.Report) int {
		return cmp.Or(b.AcceptedAt.Compare(a.AcceptedAt), cmp.Compare(a.RequestID, b.RequestID))
	})
	return all[:min(len(all), limit)]
}

func (f *function) list(all []lambda.Report, limit int) []lambda.Report {
	f.mu.Lock()
	defer f.mu.Unlock()
	n := 0
	for r := f.first; r != nil && n < limit; r = r.next {
		p := lambda.Report{Status: lambda.StatusRunning}
		r.complete(&p, 0)
		all = append(all, p)
		n++
	}
	return all
}

// named are the states of one function (more than one when it was deleted and made again), or of all.
func (t *targets) named(name string) []*function {
	t.mu.RLock()
	defer t.mu.RUnlock()
	var out []*function
	for _, f := range t.functions {
		if name == "" || f.name == name {
			out = append(out, f)
		}
	}
	return out
}

// Capacity is what the runner has and uses now.
func (e *Engine) Capacity() Capacity { return e.o.Runner.Capacity() }
