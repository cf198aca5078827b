package executor

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"kiln/lambda"
)

const (
	maxDue   = 512 // functions that one look at the queue considers
	maxClaim = 256 // events that one round claims
	maxProbe = 32  // events of a function without free slots that are looked at once a sweep
	gather   = 2 * time.Millisecond
	shortest = 10 * time.Millisecond // between two looks that nothing asked for
	stopping = 10 * time.Second      // for each step of a stop that talks to the database or ends workers
)

// ErrLost ends Run when another server may own the queue.
var ErrLost = errors.New("executor: the queue may belong to another server now")

// dispatcher is what runs of queued events share.
type dispatcher struct {
	served  int64 // the function that got the last slot: the next one comes first in the next round; claim loop only
	starved bool  // the last round met due events without a slot; claim loop only

	mu      sync.Mutex
	claimed map[int64]int64 // events that this node holds, until they are settled, and by which claim
	pending []lambda.Settlement
	settle  chan struct{} // pending is not empty
	running sync.WaitGroup
}

func (d *dispatcher) init() {
	d.claimed = map[int64]int64{}
	d.settle = make(chan struct{}, 1)
}

// InvokeAsync answers the request id once the event is committed; it runs soon after. Errors are those of Invoke, with the limit for async events.
func (e *Engine) InvokeAsync(ctx context.Context, inv lambda.Invocation) (string, error) {
	if err := accept(&inv, lambda.MaxAsyncEvent); err != nil {
		return "", err
	}
	tg, err := e.resolve(ctx, inv.Function, inv.Qualifier, inv.Digest)
	if err != nil {
		return "", err
	}
	inv.FunctionID, inv.Async, inv.Attempt = tg.f.id, true, 0
	inv.Stream, inv.WantTail = nil, false
	if err := e.o.Queue.Enqueue(ctx, &inv); err != nil {
		return "", err
	}
	signal(e.wake)
	return inv.RequestID, nil
}

// Wake has the queue looked at now: call it after events were put there without InvokeAsync (a redrive).
func (e *Engine) Wake() { signal(e.wake) }

// Run dispatches queued events and keeps house until ctx ends or the queue is lost (ErrLost). Then it stops in stages: it claims nothing more,
// waits up to Timing.Grace for events that run, settles them, gives back its leases, refuses new calls, closes the runner
// and returns when every call has ended. Call it once.
func (e *Engine) Run(ctx context.Context) error {
	claiming, stopClaiming := context.WithCancel(ctx)
	work, stopWork := context.WithCancel(context.WithoutCancel(ctx))
	defer stopWork()
	var watch, house sync.WaitGroup
	watch.Go(func() {
		select {
		case <-e.o.Lost:
			stopClaiming()
		case <-claiming.Done():
		}
	})
	house.Go(func() { e.settleLoop(work) })
	house.Go(func() { e.leaseLoop(work) })
	house.Go(func() { e.tidyLoop(claiming) })
	e.claimLoop(claiming)
	lost := ctx.Err() == nil
	stopClaiming()
	watch.Wait()
	e.waitForRuns()
	stopWork()
	house.Wait()
	e.shutDown(context.WithoutCancel(ctx), lost)
	if lost {
		return ErrLost
	}
	return nil
}

// waitForRuns returns when no queued event runs any more, or after the grace.
func (e *Engine) waitForRuns() {
	done := make(chan struct{})
	go func() { // ends with the last run, at the latest when the runner is closed
		e.queue.running.Wait()
		close(done)
	}()
	select {
	case <-done:
	case <-time.After(e.o.Timing.Grace):
		e.o.Log.Warn("events still run at the end of the grace; they are given back")
	}
}

func (e *Engine) shutDown(ctx context.Context, lost bool) {
	e.step(ctx, "settling", func(ctx context.Context) error { return e.settlePending(ctx) })
	if !lost {
		e.step(ctx, "giving back leases", func(ctx context.Context) error { return e.o.Queue.ReleaseLeases(ctx, e.o.Node) })
	}
	e.life.stopped.Store(true)
	e.step(ctx, "closing the runner", e.o.Runner.Close)
	e.queue.running.Wait()
	e.life.stop()
}

func (e *Engine) step(ctx context.Context, what string, do func(context.Context) error) {
	ctx, cancel := context.WithTimeout(ctx, stopping)
	defer cancel()
	if err := do(ctx); err != nil {
		e.o.Log.Error("stopping the engine", "step", what, "err", err)
	}
}

func (e *Engine) claimLoop(ctx context.Context) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		case <-e.wake:
			if e.queue.starved && !sleep(ctx, gather) { // a claim for several freed slots costs what one for one does
				return
			}
		}
		timer.Reset(e.round(ctx))
	}
}

// sleep is false when ctx ended first.
func sleep(ctx context.Context, d time.Duration) bool {
	select {
	case <-ctx.Done():
		return false
	case <-time.After(d):
		return true
	}
}

// round claims and starts what is due and has a slot, and answers when to look again.
func (e *Engine) round(ctx context.Context) time.Duration {
	due, next, err := e.o.Queue.DueFunctions(ctx, maxDue)
	if err != nil {
		return e.troubled(ctx, "looking for due events", err)
	}
	wait := e.o.Timing.Poll
	if !next.IsZero() {
		wait = max(shortest, min(wait, time.Until(next)))
	}
	if len(due) == 0 {
		return wait
	}
	s := e.share(ctx, due)
	if len(s.slots) == 0 {
		return wait
	}
	claimed, err := e.o.Queue.Claim(ctx, e.o.Node, s.slots, e.o.Timing.Lease)
	if err != nil {
		e.giveBack(s)
		return e.troubled(ctx, "claiming events", err)
	}
	e.start(ctx, claimed, s)
	if s.more && len(claimed) > 0 {
		return 0
	}
	return wait
}

func (e *Engine) troubled(ctx context.Context, what string, err error) time.Duration {
	if ctx.Err() == nil {
		e.o.Log.Error(what, "err", err)
	}
	return e.o.Timing.Poll
}

// shares are the slots that one round hands out.
type shares struct {
	slots map[int64]int
	held  map[int64]*slots // taken already; a function that this engine has not met yet gets one look without
	more  bool             // some due events were left out only because the round was full
}

// slots of one function's or the account's limit.
type slots struct {
	f      *function
	n      int64
	pooled bool
}

// share hands out free slots one by one in turn, so that a function with a million events takes no more of the account's limit than one with a few.
func (e *Engine) share(ctx context.Context, due map[int64]int) shares {
	s := shares{slots: map[int64]int{}, held: map[int64]*slots{}}
	e.queue.starved = false
	waiting := e.inTurn(due)
	for total := 0; len(waiting) > 0 && total < maxClaim; {
		var again []int64
		for _, id := range waiting {
			if total == maxClaim {
				again = append(again, id)
				continue
			}
			got, known := e.takeSlot(ctx, id, &s)
			if !got {
				e.queue.starved = true
				e.probe(id, due[id], &s)
				continue
			}
			total++
			s.slots[id]++
			e.queue.served = id
			if known && s.slots[id] < due[id] {
				again = append(again, id)
			}
		}
		waiting = again
	}
	s.more = len(waiting) > 0
	return s
}

// probe claims some events of a function that has had no free slot for a sweep: the oldest may be past their age.
func (e *Engine) probe(id int64, due int, s *shares) {
	f := e.targets.functionByID(id)
	if f == nil || s.slots[id] > 0 {
		return
	}
	if f.served.IsZero() {
		f.served = time.Now()
	}
	if time.Since(f.served) < e.o.Timing.Sweep {
		return
	}
	f.served = time.Now()
	s.slots[id] = min(due, maxProbe)
}

// inTurn orders the functions so that the one after the last served comes first.
func (e *Engine) inTurn(due map[int64]int) []int64 {
	ids := make([]int64, 0, len(due))
	for id := range due {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	at, found := slices.BinarySearch(ids, e.queue.served)
	if found {
		at++
	}
	return slices.Concat(ids[at:], ids[:at])
}

// takeSlot takes one slot for a function. One that was not met yet (known is false) is claimed one event of, to learn its name and limits.
func (e *Engine) takeSlot(ctx context.Context, id int64, s *shares) (got, known bool) {
	f := e.targets.functionByID(id)
	if f == nil {
		return true, false
	}
	if s.slots[id] == 0 { // the first in this round: learn of changed limits
		if tg, err := e.resolve(ctx, f.name, "", ""); err != nil || tg.f != f {
			return true, false // deleted: the claimed event is settled as such
		}
	}
	n, pooled := e.admitEvent(f)
	if n == 0 {
		return false, true
	}
	h := s.held[id]
	if h == nil {
		h = &slots{f: f, pooled: pooled}
		s.held[id] = h
	}
	if h.pooled != pooled { // the reservation changed within the round
		e.release(f, 1, pooled)
		return false, true
	}
	h.n++
	f.served = time.Now()
	return true, true
}

func (e *Engine) giveBack(s shares) {
	for _, h := range s.held {
		e.release(h.f, h.n, h.pooled)
	}
}

// start runs claimed events, each with a slot where one is held for it, and gives back the slots that are left.
func (e *Engine) start(ctx context.Context, claimed []lambda.Claimed, s shares) {
	e.queue.mu.Lock()
	for i := range claimed {
		e.queue.claimed[claimed[i].ID] = claimed[i].Claim
	}
	e.queue.mu.Unlock()
	for i := range claimed {
		c := &claimed[i]
		var one *slots
		if h := s.held[c.Invocation.FunctionID]; h != nil && h.n > 0 {
			h.n--
			one = &slots{f: h.f, n: 1, pooled: h.pooled}
		}
		e.queue.running.Add(1)
		go func() {
			defer e.queue.running.Done()
			e.runClaimed(context.WithoutCancel(ctx), c, one)
		}()
	}
	e.giveBack(s)
}
