package executor

import (
	"context"
	"slices"
	"time"

	"kiln/lambda"
)

const (
	maxSettle   = 256 // settlements in one transaction
	settleRetry = 100 * time.Millisecond
	settleSlow  = 5 * time.Second
	giveUpAfter = 3 // failures in a row that mean that the database is away
)

func (d *dispatcher) add(s lambda.Settlement) {
	d.mu.Lock()
	d.pending = append(d.pending, s)
	d.mu.Unlock()
	signal(d.settle)
}

// batch is a copy of the oldest settlements; drop removes them once they are committed.
func (d *dispatcher) batch() []lambda.Settlement {
	d.mu.Lock()
	defer d.mu.Unlock()
	return append([]lambda.Settlement(nil), d.pending[:min(len(d.pending), maxSettle)]...)
}

// settled removes settlements, and their events, from the books.
func (d *dispatcher) settled(done []lambda.Settlement) {
	type key struct{ id, claim int64 }
	gone := make(map[key]bool, len(done))
	for i := range done {
		gone[key{done[i].ID, done[i].Claim}] = true
	}
	d.mu.Lock()
	d.pending = slices.DeleteFunc(d.pending, func(s lambda.Settlement) bool { return gone[key{s.ID, s.Claim}] })
	d.mu.Unlock()
	d.drop(done)
}

// drop stops holding events, unless a later claim holds them.
func (d *dispatcher) drop(events []lambda.Settlement) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for i := range events {
		if d.claimed[events[i].ID] == events[i].Claim {
			delete(d.claimed, events[i].ID)
		}
	}
}

func (d *dispatcher) held() []int64 {
	d.mu.Lock()
	defer d.mu.Unlock()
	ids := make([]int64, 0, len(d.claimed))
	for id := range d.claimed {
		ids = append(ids, id)
	}
	return ids
}

// settleLoop commits settlements in the order in which runs end; those that end during a commit share the next one.
func (e *Engine) settleLoop(ctx context.Context) {
	wait := settleRetry
	for {
		select {
		case <-ctx.Done():
			return
		case <-e.queue.settle:
		}
		for err := e.settlePending(ctx); err != nil; err = e.settlePending(ctx) {
			e.o.Log.Error("settling events; they are kept and tried again", "err", err)
			if !sleep(ctx, wait) {
				return
			}
			wait = min(2*wait, settleSlow)
		}
		wait = settleRetry
	}
}

// settlePending commits until nothing is pending. One settlement that the database refuses does not hold up the others:
// it is left to its lease, and the event runs again.
func (e *Engine) settlePending(ctx context.Context) error {
	for batch := e.queue.batch(); len(batch) > 0; batch = e.queue.batch() {
		if err := e.settleBatch(ctx, batch); err != nil {
			if err := e.settleOneByOne(ctx, batch, err); err != nil {
				return err
			}
		}
	}
	return nil
}

func (e *Engine) settleBatch(ctx context.Context, batch []lambda.Settlement) error {
	lost, err := e.o.Queue.Settle(ctx, batch)
	if err != nil {
		return err
	}
	e.queue.settled(batch)
	if lost > 0 {
		e.o.Log.Warn("settlements came after their lease had ended; the events are with another claim", "count", lost)
	}
	for i := range batch {
		if batch[i].Next != nil {
			signal(e.wake)
		}
	}
	return nil
}

// settleOneByOne tells a settlement that is refused (a later one can be committed) from a database that is away (none can):
// then the rest stays pending and cause is answered.
func (e *Engine) settleOneByOne(ctx context.Context, batch []lambda.Settlement, cause error) error {
	var doubtful []lambda.Settlement
	for i := range batch {
		err := e.settleBatch(ctx, batch[i:i+1])
		if err != nil {
			doubtful = append(doubtful, batch[i])
			cause = err
			if len(doubtful) == giveUpAfter || ctx.Err() != nil {
				return cause
			}
			continue
		}
		for k := range doubtful {
			e.o.Log.Error("an event cannot be settled; it runs again when its lease ends", "event", doubtful[k].ID, "err", cause)
		}
		e.queue.settled(doubtful)
		doubtful = nil
	}
	if len(doubtful) > 0 {
		return cause
	}
	return nil
}

// leaseLoop prolongs the leases of everything that runs or waits to be settled.
func (e *Engine) leaseLoop(ctx context.Context) {
	for sleep(ctx, e.o.Timing.Lease/3) {
		ids := e.queue.held()
		if len(ids) == 0 {
			continue
		}
		if err := e.o.Queue.ExtendLease(ctx, e.o.Node, ids, e.o.Timing.Lease); err != nil && ctx.Err() == nil {
			e.o.Log.Error("prolonging leases", "events", len(ids), "err", err)
		}
	}
}
