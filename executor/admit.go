package executor

import (
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"kiln/lambda"
)

// function is what the engine holds of one function, across all its versions.
type function struct {
	id       int64
	name     string
	lineage  string
	reserved atomic.Int64 // concurrency limit + 1; 0 means no reservation
	running  atomic.Int64 // invocations that run or wait for a worker
	hungry   atomic.Bool  // queued events wait for a slot of the reservation
	served   time.Time    // when one of its queued events was last claimed; claim loop only

	mu    sync.Mutex
	first *run // of the list of those invocations
}

func (f *function) setReserved(n *int) {
	if n == nil {
		f.reserved.Store(0)
	} else {
		f.reserved.Store(int64(*n) + 1)
	}
}

// limit is the function's own limit, if it has one.
func (f *function) limit() (n int64, has bool) {
	r := f.reserved.Load()
	return r - 1, r > 0
}

// pool counts the invocations of functions without a reservation.
type pool struct {
	limit   atomic.Int64
	running atomic.Int64
	hungry  atomic.Bool // queued events wait for a slot
}

// takeUpTo adds at most want to n without passing limit, and answers how many it added.
func takeUpTo(n *atomic.Int64, limit, want int64) int64 {
	for {
		old := n.Load()
		got := min(want, limit-old)
		if got <= 0 {
			return 0
		}
		if n.CompareAndSwap(old, old+got) {
			return got
		}
	}
}

// admit takes up to want slots of f's limit, or of the account's when f has none (pooled). Every slot must be given back with release.
func (e *Engine) admit(f *function, want int64) (got int64, pooled bool) {
	if limit, has := f.limit(); has {
		got = takeUpTo(&f.running, limit, want)
		e.gauge(f, got)
		return got, false
	}
	got = takeUpTo(&e.pool.running, e.pool.limit.Load(), want)
	f.running.Add(got)
	e.gauge(f, got)
	return got, true
}

func (e *Engine) release(f *function, n int64, pooled bool) {
	if n == 0 {
		return
	}
	f.running.Add(-n)
	if pooled {
		e.pool.running.Add(-n)
	}
	e.gauge(f, n)
	if f.hungry.Load() && f.hungry.CompareAndSwap(true, false) {
		signal(e.wake)
	}
	if pooled && e.pool.hungry.Load() && e.pool.hungry.CompareAndSwap(true, false) {
		signal(e.wake)
	}
}

// admitEvent takes one slot for a queued event, or leaves word that the next free one is wanted.
func (e *Engine) admitEvent(f *function) (got int64, pooled bool) {
	if got, pooled = e.admit(f, 1); got > 0 {
		return got, pooled
	}
	if _, has := f.limit(); has {
		f.hungry.Store(true)
	} else {
		e.pool.hungry.Store(true)
	}
	return e.admit(f, 1) // a slot may have been given back before the word was left
}

func (e *Engine) gauge(f *function, changed int64) {
	if e.o.Gauge != nil && changed != 0 {
		e.o.Gauge(f.id, int(f.running.Load()))
	}
}

// AWS's words for the limit that was hit; the parameter "reason" of a Throttled error.
const (
	ReasonReserved = "ReservedFunctionConcurrentInvocationLimitExceeded"
	ReasonAccount  = "ConcurrentInvocationLimitExceeded"
)

func (e *Engine) throttled(f *function) error {
	if limit, has := f.limit(); has {
		return lambda.E(lambda.Throttled, "throttle.reserved", "function", f.name, "limit", strconv.FormatInt(limit, 10), "reason", ReasonReserved)
	}
	return lambda.E(lambda.Throttled, "throttle.account", "limit", strconv.FormatInt(e.pool.limit.Load(), 10), "reason", ReasonAccount)
}
