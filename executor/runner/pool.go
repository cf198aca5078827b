package runner

import (
	"context"
	"slices"
	"time"

	"kiln/executor/runtimes"
	"kiln/lambda"
)

// pool is the workers of one digest and the runs that wait for one. Its fields are under the runner's lock.
type pool struct {
	r       *Runner
	run     *lambda.Runnable
	runtime runtimes.Runtime
	cold    bool // workers cannot come from the pre-booted ones
	class   int

	idle     []*worker // the last one was used last
	busy     []*worker
	running  int // len(busy), and workers that finish
	starting int
	queue    []*waiter
	draining bool
	duration average   // of invocations
	startup  average   // of a worker's start, for cold ones
	retryAt  time.Time // no start before, after one that failed
	usedAt   time.Time
}

// waiter is a run that waits for a worker. grant holds one.
type waiter struct {
	id    string
	grant chan grant
}

// grant is what a waiting run gets: a worker, or why there is none.
type grant struct {
	worker *worker
	failed *initFailure
	err    error
}

// average follows a duration: new values count an eighth.
type average struct{ value time.Duration }

func (a *average) add(d time.Duration) {
	if a.value == 0 {
		a.value = d
		return
	}
	a.value += (d - a.value) / 8
}

func newPool(r *Runner, run *lambda.Runnable, rt runtimes.Runtime) *pool {
	_, cold := bootsCold(run, rt.Family)
	return &pool{r: r, run: run, runtime: rt, cold: cold, class: classOf(run.MemoryMB), usedAt: time.Now()}
}

func (p *pool) live() int { return len(p.idle) + p.running + p.starting }

// acquire gives an idle worker, or waits for one in order.
func (r *Runner) acquire(ctx context.Context, p *pool, id string) (grant, error) {
	r.mu.Lock()
	p = r.current(p)
	w, wait, err := r.takeOrQueue(p, id)
	r.mu.Unlock()
	if err != nil {
		return grant{}, err
	}
	if w != nil {
		return grant{worker: w}, nil
	}
	select {
	case g := <-wait.grant:
		return g, g.err
	case <-ctx.Done():
	}
	return grant{}, r.abandon(ctx, p, wait)
}

// current is the digest's pool now: p may have been forgotten since it was looked up. Under the lock.
func (r *Runner) current(p *pool) *pool {
	if now := r.pools[p.run.Digest]; now != nil {
		return now
	}
	if !p.draining {
		r.pools[p.run.Digest] = p
	}
	return p
}

// takeOrQueue is the admission rule's first half: an idle worker, else a place in the queue. Under the lock.
func (r *Runner) takeOrQueue(p *pool, id string) (*worker, *waiter, error) {
	if r.closed {
		return nil, nil, lambda.E(lambda.Unavailable, "runner.closed")
	}
	if p.draining {
		return nil, nil, lambda.E(lambda.Unavailable, "revision.drained")
	}
	if n := len(p.idle); n > 0 && len(p.queue) == 0 {
		w := p.idle[n-1]
		p.idle[n-1] = nil
		p.idle = p.idle[:n-1]
		r.occupy(p, w)
		return w, nil, nil
	}
	if len(p.queue) >= r.QueueBound {
		return nil, nil, lambda.E(lambda.Throttled, "queue.full", "bound", itoa(r.QueueBound))
	}
	wait := &waiter{id: id, grant: make(chan grant, 1)}
	p.queue = append(p.queue, wait)
	r.waiting++
	if !r.looking {
		r.looking = true
		r.nudge()
	}
	r.consider(p)
	return nil, wait, nil
}

// occupy makes w the worker of a run. Under the lock.
func (r *Runner) occupy(p *pool, w *worker) {
	w.idle.Store(false)
	w.chilled = false
	p.busy = append(p.busy, w)
	p.running++
	r.running++
}

// abandon takes a waiting run out of the queue, or gives its grant back.
func (r *Runner) abandon(ctx context.Context, p *pool, wait *waiter) error {
	r.mu.Lock()
	if i := slices.Index(p.queue, wait); i >= 0 {
		p.queue = slices.Delete(p.queue, i, i+1)
		r.waiting--
		r.forgetEmpty(p)
		r.mu.Unlock()
		return ctx.Err()
	}
	r.mu.Unlock()
	if g := <-wait.grant; g.worker != nil {
		r.release(g.worker)
	}
	return ctx.Err()
}

// pop takes the oldest waiting run. Under the lock.
func (r *Runner) pop(p *pool) *waiter {
	w := p.queue[0]
	p.queue[0] = nil
	if p.queue = p.queue[1:]; len(p.queue) == 0 {
		p.queue = nil
	}
	r.waiting--
	return w
}

// failQueue tells every waiting run that there will be no worker. Under the lock.
func (r *Runner) failQueue(p *pool, err error) {
	for len(p.queue) > 0 {
		r.pop(p).grant <- grant{err: err}
	}
}

// release gives a worker to the oldest waiting run, or lets it be idle.
func (r *Runner) release(w *worker) {
	r.mu.Lock()
	defer r.mu.Unlock()
	p := w.pool
	if w.doomed {
		return // its end took it out already
	}
	r.unoccupy(p, w)
	r.place(p, w)
}

// unoccupy takes w from the busy ones. Under the lock.
func (r *Runner) unoccupy(p *pool, w *worker) {
	if i := slices.Index(p.busy, w); i >= 0 {
		last := len(p.busy) - 1
		p.busy[i] = p.busy[last]
		p.busy[last] = nil
		p.busy = p.busy[:last]
		p.running--
		r.running--
	}
}

// place gives a free worker to the oldest waiting run, or lets it be idle, or ends it. Under the lock.
func (r *Runner) place(p *pool, w *worker) {
	p.usedAt = time.Now()
	switch {
	case len(p.queue) > 0:
		r.occupy(p, w)
		r.pop(p).grant <- grant{worker: w}
		r.consider(p)
	case r.closed || p.draining:
		r.doom(w)
		r.forgetEmpty(p)
	default:
		w.idleSince = p.usedAt
		w.idle.Store(true)
		p.idle = append(p.idle, w)
		if !r.chilling {
			r.chilling = true
			r.nudge()
		}
	}
}

// doom ends a worker that is in no list any more. Under the lock.
func (r *Runner) doom(w *worker) {
	if w.doomed {
		return
	}
	w.doomed = true
	r.starts.Go(w.end)
}

// dropIdle ends the pool's idle workers. Under the lock.
func (r *Runner) dropIdle(p *pool) {
	for _, w := range p.idle {
		w.idle.Store(false)
		r.doom(w)
	}
	p.idle = nil
}

// forgetEmpty drops a drained pool that has nothing left. Under the lock.
func (r *Runner) forgetEmpty(p *pool) {
	if p.draining && p.live() == 0 && len(p.queue) == 0 && r.pools[p.run.Digest] == p {
		delete(r.pools, p.run.Digest)
	}
}

// lose takes a worker out that ended or is to end, whatever it was doing. Under the lock.
func (r *Runner) lose(w *worker) {
	p := w.pool
	if i := slices.Index(p.idle, w); i >= 0 {
		p.idle = slices.Delete(p.idle, i, i+1)
	}
	r.unoccupy(p, w)
	r.doom(w)
	r.consider(p)
	r.forgetEmpty(p)
}

// consider starts another worker when the rule of admission says so. Under the lock.
func (r *Runner) consider(p *pool) {
	if len(p.queue) <= p.starting || r.closed || !p.retryAt.IsZero() && time.Now().Before(p.retryAt) {
		return
	}
	if p.live() == 0 || r.worthStarting(p) {
		r.startWorker(p)
	}
}

// worthStarting: the queue's predicted wait exceeds the time that a start takes, and a core is free for one more.
func (r *Runner) worthStarting(p *pool) bool {
	workers := p.running + p.starting
	if workers == 0 || p.duration.value == 0 || r.running-r.offCPU+r.starting >= r.Cores {
		return false
	}
	predicted := time.Duration(len(p.queue)) * p.duration.value / time.Duration(workers)
	return predicted > r.startTime(p)
}

func (r *Runner) startTime(p *pool) time.Duration {
	if p.cold && p.startup.value > 0 {
		return p.startup.value
	}
	return r.handOver.value
}

// startWorker starts one when there is room for it; else the queue waits until Tend sees room. Under the lock.
func (r *Runner) startWorker(p *pool) bool {
	if !r.makeRoom(p) {
		return false
	}
	p.starting++
	r.starting++
	trigger := p.queue[min(p.starting-1, len(p.queue)-1)].id
	r.starts.Go(func() { r.start(p, trigger) })
	return true
}

// guessMB is counted for a sandbox until it has been measured.
const guessMB = 12

// makeRoom ends the least recently used idle worker, or a pre-booted runtime, when there is no room for one more sandbox. Under the lock.
func (r *Runner) makeRoom(p *pool) bool {
	overMemory := r.usedMB+guessMB > r.MemoryMB
	if !overMemory && len(r.processes)-r.evicting+r.starting < r.MaxWorkers {
		return true
	}
	if !p.cold {
		if s := r.shelves[p.shelfKey()]; s != nil && len(s.ready) > 0 {
			return true // it exists already
		}
	}
	if w := r.leastRecentlyUsed(); w != nil {
		w.pool.idle = slices.Delete(w.pool.idle, 0, 1)
		w.idle.Store(false)
		r.evict()
		r.doom(w)
		r.forgetEmpty(w.pool)
		return true
	}
	return r.dropOneReady()
}

// evict counts a sandbox as gone before its end has been seen. Under the lock.
func (r *Runner) evict() {
	r.evicting++
	r.usedMB -= guessMB
}

// leastRecentlyUsed is the idle worker that waits longest, of all pools. Under the lock.
func (r *Runner) leastRecentlyUsed() *worker {
	var oldest *worker
	for _, p := range r.pools {
		if len(p.idle) > 0 && (oldest == nil || p.idle[0].idleSince.Before(oldest.idleSince)) {
			oldest = p.idle[0]
		}
	}
	return oldest
}
