package executor

import (
	"context"
	"time"

	"kiln/lambda"
)

// tidyLoop reads the limits and has digests drained that nothing reaches any more: after every change, and once a sweep for what only time makes
// unreachable (draft runs).
func (e *Engine) tidyLoop(ctx context.Context) {
	sweep := time.NewTicker(e.o.Timing.Sweep)
	defer sweep.Stop()
	e.readLimits(ctx)
	for {
		select {
		case <-ctx.Done():
			return
		case <-sweep.C:
			e.targets.suspect()
		case <-e.tidy:
		}
		e.readLimits(ctx)
		e.drain(ctx)
	}
}

func (e *Engine) readLimits(ctx context.Context) {
	if e.o.Limits == nil {
		return
	}
	l, err := e.o.Limits(ctx)
	if err != nil {
		if ctx.Err() == nil {
			e.o.Log.Error("reading the concurrency limits; the last ones hold", "err", err)
		}
		return
	}
	limit := int64(max(0, l.Account-l.Reserved))
	if limit > e.pool.limit.Swap(limit) {
		signal(e.wake)
	}
}

// suspect marks every function with more than one digest.
func (t *targets) suspect() {
	t.mu.Lock()
	defer t.mu.Unlock()
	seen := map[string]bool{}
	for _, name := range t.owner {
		if seen[name] {
			t.changed[name] = true
		}
		seen[name] = true
	}
}

// drain looks through the changed functions. One whose digests cannot be read stays marked for the next time.
func (e *Engine) drain(ctx context.Context) {
	doomed := map[lambda.Digest]bool{}
	for _, name := range e.targets.takeChanged() {
		known := e.targets.digests(name) // before the reachable ones are read: what is met later is newer than that answer
		reachable, err := e.o.Source.Reachable(ctx, name)
		if err != nil && lambda.KindOf(err) != lambda.NotFound {
			e.o.Log.Error("looking for digests in use", "function", name, "err", err)
			e.targets.mark(name)
			continue
		}
		for _, d := range known {
			if !reachable[d] {
				doomed[d] = true
			}
		}
		e.targets.giveUp(name, doomed)
		if len(reachable) == 0 {
			e.targets.forgetIdle(name)
		}
	}
	if len(doomed) > 0 {
		e.o.Runner.Drain(func(d lambda.Digest) bool { return !doomed[d] })
	}
}

func (t *targets) takeChanged() []string {
	t.mu.Lock()
	defer t.mu.Unlock()
	names := make([]string, 0, len(t.changed))
	for name := range t.changed {
		names = append(names, name)
	}
	clear(t.changed)
	return names
}

func (t *targets) mark(name string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.changed[name] = true
}

func (t *targets) digests(name string) []lambda.Digest {
	t.mu.RLock()
	defer t.mu.RUnlock()
	var out []lambda.Digest
	for d, owner := range t.owner {
		if owner == name {
			out = append(out, d)
		}
	}
	return out
}

// giveUp forgets a function's doomed digests and what was resolved to them.
func (t *targets) giveUp(name string, doomed map[lambda.Digest]bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for d := range doomed {
		if t.owner[d] == name {
			delete(t.owner, d)
		}
	}
	for key, tg := range t.byName[name] {
		if doomed[tg.first.Digest] || tg.second != nil && doomed[tg.second.Digest] {
			delete(t.byName[name], key)
		}
	}
}

// forgetIdle drops the state of a deleted function once nothing of it runs.
func (t *targets) forgetIdle(name string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for id, f := range t.functions {
		if f.name == name && f.running.Load() == 0 {
			delete(t.functions, id)
		}
	}
}
