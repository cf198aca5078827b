package runner

import (
	"context"
	"fmt"
	"slices"
	"time"

	"kiln/executor/runtimes"
)

// shelfKey names a kind of pre-booted runtime: V8 reads the memory limit when it starts, so the class is part of it.
type shelfKey struct {
	runtime string // a name that Resolve gave
	class   int
}

// shelf holds pre-booted runtimes of one kind. Under the runner's lock.
type shelf struct {
	key     shelfKey
	ready   []*process
	booting int
	base    int     // kept whatever the demand
	taken   int     // since the last measure
	peak    float64 // takes per second, falling slowly
	takenAt time.Time
}

const (
	shelfMax   = 16
	peakDecay  = 0.995 // per second: half is forgotten after about two minutes
	fillPause  = 20 * time.Millisecond
	preBootEph = 512 // MB of /tmp at boot; other sizes come at the hand-over
)

func (s *shelf) want() int { return min(shelfMax, max(s.base, int(s.peak+0.5))) }

func (p *pool) shelfKey() shelfKey { return shelfKey{p.runtime.Name, p.class} }

func (r *Runner) shelfOf(k shelfKey) *shelf {
	s := r.shelves[k]
	if s == nil {
		s = &shelf{key: k}
		r.shelves[k] = s
	}
	return s
}

// bootSlot waits for a place among the boots that run at the same time: more of them than cores only make each other late.
func (r *Runner) bootSlot(ctx context.Context) (release func(), err error) {
	select {
	case r.boots <- struct{}{}:
		return func() { <-r.boots }, nil
	case <-ctx.Done():
		return nil, fmt.Errorf("wait for a place to boot: %w", ctx.Err())
	}
}

// takeReady gives a pre-booted runtime, booted now when the shelf is empty.
func (r *Runner) takeReady(ctx context.Context, k shelfKey) (*process, error) {
	r.mu.Lock()
	s := r.shelfOf(k)
	s.taken++
	s.takenAt = time.Now()
	p := s.pop()
	r.mu.Unlock()
	r.nudge()
	if p != nil {
		return p, nil
	}
	release, err := r.bootSlot(ctx)
	if err != nil {
		return nil, err
	}
	defer release()
	r.mu.Lock()
	p = s.pop() // one may have become ready while this one waited for its place
	r.mu.Unlock()
	if p != nil {
		return p, nil
	}
	return r.boot(ctx, k)
}

// pop takes the newest ready one that still lives.
func (s *shelf) pop() *process {
	for n := len(s.ready); n > 0; n = len(s.ready) {
		p := s.ready[n-1]
		s.ready[n-1] = nil
		s.ready = s.ready[:n-1]
		select {
		case <-p.box.Exited():
			p.r.starts.Go(p.end)
		default:
			return p
		}
	}
	return nil
}

// boot starts a runtime that belongs to no function yet, and waits until it is up.
func (r *Runner) boot(ctx context.Context, k shelfKey) (*process, error) {
	p, err := r.launch(ctx, Spec{Runtime: k.runtime, MemoryMB: k.class, EphemeralMB: preBootEph})
	if err != nil {
		return nil, err
	}
	p.output.start()
	if l := p.box.RuntimeAPI(); l != nil {
		l.Close() // this worker speaks over its channel
	}
	if err := p.channel.awaitBoot(time.Now().Add(r.InitLimit)); err != nil {
		r.starts.Go(p.end)
		return nil, fmt.Errorf("boot %s: %w", k.runtime, err)
	}
	return p, nil
}

// bootAhead puts one more runtime on its shelf. The slot for it is taken.
func (r *Runner) bootAhead(s *shelf) {
	p, err := r.boot(r.life, s.key)
	<-r.boots
	r.mu.Lock()
	defer r.mu.Unlock()
	s.booting--
	switch {
	case err != nil:
		s.peak, s.base = 0, 0 // not again until somebody asks for it
		if r.life.Err() == nil {
			r.Log.Warn("boot a runtime ahead", "runtime", s.key.runtime, "class", s.key.class, "error", err)
		}
	case r.closed:
		r.starts.Go(p.end)
	default:
		s.ready = append(s.ready, p)
		r.starts.Go(func() { r.watchReady(s, p) })
		r.nudge()
	}
}

// watchReady takes a pre-booted runtime out that ends by itself.
func (r *Runner) watchReady(s *shelf, p *process) {
	<-p.box.Exited()
	r.mu.Lock()
	defer r.mu.Unlock()
	if i := slices.Index(s.ready, p); i >= 0 {
		s.ready = slices.Delete(s.ready, i, i+1)
		r.starts.Go(p.end)
	}
}

// dropOneReady ends a pre-booted runtime to make room. Under the lock.
func (r *Runner) dropOneReady() bool {
	for _, s := range r.shelves {
		if p := s.pop(); p != nil {
			r.evict()
			r.starts.Go(p.end)
			return true
		}
	}
	return false
}

// warmFirst names the kinds that are kept from the start: the runtimes of Warm, else the newest Node.js and Python. Under the lock.
func (r *Runner) warmFirst() {
	names := r.Warm
	if len(names) == 0 {
		seen := map[runtimes.Family]bool{}
		for _, rt := range r.Runtimes.All() {
			if rt.Family != runtimes.Provided && !seen[rt.Family] {
				seen[rt.Family] = true
				names = append(names, rt.Name)
			}
		}
	}
	for _, name := range names {
		rt, _, err := r.Runtimes.Resolve(name)
		if err != nil || rt.Family == runtimes.Provided {
			continue
		}
		for _, class := range classes[:2] { // most functions are small
			r.shelfOf(shelfKey{rt.Name, class}).base = 1
		}
	}
}

// fill boots ahead what the shelves lack, as far as places and memory allow; wait is when to look again, 0 for not. Under the lock.
func (r *Runner) fill(now time.Time) (wait time.Duration) {
	for _, s := range r.shelves {
		for len(s.ready)+s.booting < s.want() {
			if now.Sub(s.takenAt) < fillPause && len(s.ready) > 0 {
				wait = fillPause // the call that took one comes first
				break
			}
			if r.usedMB+guessMB > r.MemoryMB*4/5 || len(r.processes)+r.starting >= r.MaxWorkers*4/5 {
				return wait
			}
			select {
			case r.boots <- struct{}{}:
			default:
				return fillPause
			}
			s.booting++
			r.starts.Go(func() { r.bootAhead(s) })
		}
	}
	return wait
}

// measureDemand lets the shelves follow what was taken in the last second. Under the lock.
func (r *Runner) measureDemand() {
	for _, s := range r.shelves {
		s.peak = max(float64(s.taken), s.peak*peakDecay)
		s.taken = 0
		if len(s.ready) > s.want() {
			p := s.ready[0]
			s.ready = slices.Delete(s.ready, 0, 1)
			r.starts.Go(p.end)
		}
	}
}
