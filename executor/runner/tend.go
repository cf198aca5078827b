package runner

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"
)

const (
	queueLook   = 5 * time.Millisecond // between looks at queues whose workers may wait
	measureLook = time.Second
	calmWindow  = 5 * time.Millisecond  // over this time a run that uses next to no processor counts as waiting
	busyWindow  = 60 * time.Millisecond // the same where more is runnable than the cores can serve: such a run may only wait for its turn
	unmeasured  = 20 * time.Millisecond // without a meter, a run of this age counts as waiting
	maxLooks    = 64                    // workers looked at in one go
)

// Tend ends what a dead server left behind, then keeps the pools in order until ctx ends. It must run once, beside the Runner.
func (r *Runner) Tend(ctx context.Context) error {
	if err := r.Driver.Reap(ctx); err != nil {
		return fmt.Errorf("end the sandboxes of an earlier server: %w", err)
	}
	timer := time.NewTimer(0)
	defer timer.Stop()
	measured := time.Time{}
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-r.wake:
		case <-timer.C:
		}
		if now := time.Now(); now.Sub(measured) >= measureLook {
			measured = now
			r.measure(now)
		}
		timer.Reset(r.look(time.Now()))
	}
}

// look starts workers for queues, boots ahead, and freezes; it says when to look again.
func (r *Runner) look(now time.Time) time.Duration {
	next := measureLook
	soon := func(d time.Duration) { next = min(next, d) }
	r.mu.Lock()
	if r.closed {
		r.mu.Unlock()
		return measureLook
	}
	if r.looking = r.waiting > 0; r.looking {
		r.lookAtQueues(now)
		soon(queueLook)
	}
	if wait := r.fill(now); wait > 0 {
		soon(wait)
	}
	chill := r.toFreeze(now)
	if r.chilling {
		soon(r.FreezeAfter)
	}
	r.mu.Unlock()
	for _, w := range chill {
		if err := w.box.freeze(w.idle.Load); err != nil && err != errStopped {
			r.Log.Warn("freeze an idle worker", "worker", w.stream, "error", err)
		}
	}
	return next
}

// toFreeze finds workers that have been idle long enough. Under the lock.
func (r *Runner) toFreeze(now time.Time) []*worker {
	var list []*worker
	r.chilling = r.running > 0 // busy workers will be idle soon: nobody has to wake Tend for them
	for _, p := range r.pools {
		for _, w := range p.idle {
			switch {
			case w.chilled:
			case now.Sub(w.idleSince) >= r.FreezeAfter:
				w.chilled = true
				list = append(list, w)
			default:
				r.chilling = true
			}
		}
	}
	return list
}

// lookAtQueues is the admission rule's second half: another worker also starts when all workers of a queue wait for something. Under the lock.
func (r *Runner) lookAtQueues(now time.Time) {
	r.offCPU = 0
	window := sync.OnceValue(func() time.Duration { // short runs never ask: reading it costs more than one of them
		if runnableTasks() > 2*r.Cores {
			return busyWindow
		}
		return calmWindow
	})
	looks := maxLooks
	allOff := map[*pool]bool{}
	for _, p := range r.pools {
		off := 0
		for _, w := range p.busy {
			if looks--; looks < 0 {
				break
			}
			if w.isOff(now, window) {
				off++
			}
		}
		r.offCPU += off
		allOff[p] = off == len(p.busy) && off > 0 && p.starting == 0
	}
	for p, off := range allOff {
		if !off {
			r.consider(p)
			continue
		}
		for n := min(len(p.queue), r.Cores); n > 0 && !now.Before(p.retryAt); n-- {
			if !r.startWorker(p) {
				break
			}
		}
	}
}

// isOff says whether the worker's run has used next to no processor over the last window.
func (w *worker) isOff(now time.Time, windowNow func() time.Duration) bool {
	inv := w.current.Load()
	if inv == nil || now.Sub(inv.started) < calmWindow || now.Sub(inv.started) < windowNow() {
		w.seenRun = nil
		return false
	}
	window := windowNow()
	meter, ok := w.box.Sandbox.(CPUMeter)
	if !ok {
		return now.Sub(inv.started) > unmeasured
	}
	if w.seenRun == inv && now.Sub(w.seenAt) < window {
		return w.seenOff
	}
	used := meter.CPU()
	w.seenOff = w.seenRun == inv && (used-w.seenCPU)*10 < now.Sub(w.seenAt)
	w.seenRun, w.seenCPU, w.seenAt = inv, used, now
	return w.seenOff
}

// runnableTasks is how many threads of the machine run or wait for a core; 0 where it cannot be read.
func runnableTasks() int {
	b, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return 0
	}
	fields := strings.Fields(string(b))
	if len(fields) < 4 {
		return 0
	}
	running, _, _ := strings.Cut(fields[3], "/")
	n, _ := strconv.Atoi(running) // 0 when it is no number
	return n
}

// measure counts memory, lets shelves follow demand, and ends what nobody uses.
func (r *Runner) measure(now time.Time) {
	runs := r.Driver.Capabilities().Rung != RungD
	r.mu.Lock()
	if runs && !r.warmed { // perhaps later than the start: an owner may accept a lower rung
		r.warmed = true
		r.warmFirst()
	}
	list := make([]*process, 0, len(r.processes))
	for p := range r.processes {
		list = append(list, p)
	}
	r.mu.Unlock()
	used := int64(0)
	for _, p := range list {
		used += int64(p.box.MemoryMB())
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.usedMB = used
	r.evicting = 0
	r.measureDemand()
	r.reapIdle(now)
	if r.usedMB > r.MemoryMB {
		if w := r.leastRecentlyUsed(); w != nil {
			w.idle.Store(false)
			w.pool.idle = w.pool.idle[1:]
			r.doom(w)
		}
	}
}

// reapIdle ends workers and forgets pools that have not been used for long. Under the lock.
func (r *Runner) reapIdle(now time.Time) {
	for d, p := range r.pools {
		for len(p.idle) > 0 && now.Sub(p.idle[0].idleSince) > r.IdleFor {
			w := p.idle[0]
			p.idle = p.idle[1:]
			w.idle.Store(false)
			r.doom(w)
		}
		if p.live() == 0 && len(p.queue) == 0 && now.Sub(p.usedAt) > r.IdleFor {
			delete(r.pools, d)
		}
	}
}

// machineMemoryMB is the machine's memory, or 2 GB where it cannot be read.
func machineMemoryMB() int64 {
	const unknown = 2048
	b, err := os.ReadFile("/proc/meminfo")
	if err != nil {
		return unknown
	}
	for line := range strings.Lines(string(b)) {
		if rest, ok := strings.CutPrefix(line, "MemTotal:"); ok {
			kb, err := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(rest), " kB"), 10, 64)
			if err == nil {
				return kb / 1024
			}
		}
	}
	return unknown
}
