package executor

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"kiln/lambda"
)

// memoryQueue keeps the rules of store.Store's queue in memory.
type memoryQueue struct {
	mu       sync.Mutex
	events   []*queued
	last     int64
	done     []lambda.Settlement
	dead     []lambda.Settlement
	released []string
	broken   func(what, node string) error // nil works
	lost     int
}

type queued struct {
	lambda.Claimed
	due  time.Time
	node string
	gone bool
}

var errAway = errors.New("the database is away")

func (q *memoryQueue) fails(what, node string) error {
	if q.broken == nil {
		return nil
	}
	return q.broken(what, node)
}

func (q *memoryQueue) Enqueue(_ context.Context, inv *lambda.Invocation) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	if err := q.fails("enqueue", ""); err != nil {
		return err
	}
	q.put(*inv)
	return nil
}

func (q *memoryQueue) put(inv lambda.Invocation) {
	q.last++
	q.events = append(q.events, &queued{Claimed: lambda.Claimed{ID: q.last, Invocation: inv}, due: time.Now()})
}

func (e *queued) free(now time.Time) bool {
	return !e.gone && (e.node == "" || !e.LeaseUntil.After(now))
}

func (q *memoryQueue) DueFunctions(_ context.Context, limit int) (map[int64]int, time.Time, error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if err := q.fails("due", ""); err != nil {
		return nil, time.Time{}, err
	}
	now, next, due := time.Now(), time.Time{}, map[int64]int{}
	for _, e := range q.events {
		switch {
		case e.gone:
		case e.free(now) && !e.due.After(now):
			if len(due) < limit || due[e.Invocation.FunctionID] > 0 {
				due[e.Invocation.FunctionID]++
			}
		case e.free(now) && (next.IsZero() || e.due.Before(next)):
			next = e.due
		}
	}
	return due, next, nil
}

func (q *memoryQueue) Claim(_ context.Context, node string, slots map[int64]int, lease time.Duration) ([]lambda.Claimed, error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if err := q.fails("claim", node); err != nil {
		return nil, err
	}
	now, taken := time.Now(), map[int64]int{}
	var out []lambda.Claimed
	for _, e := range q.events {
		id := e.Invocation.FunctionID
		if e.free(now) && !e.due.After(now) && taken[id] < slots[id] {
			taken[id]++
			e.node, e.LeaseUntil = node, now.Add(lease)
			e.Claim++
			out = append(out, e.Claimed)
		}
	}
	return out, nil
}

func (q *memoryQueue) ExtendLease(_ context.Context, node string, ids []int64, lease time.Duration) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	if err := q.fails("extend", node); err != nil {
		return err
	}
	for _, e := range q.events {
		if e.node == node && slices.Contains(ids, e.ID) {
			e.LeaseUntil = time.Now().Add(lease)
		}
	}
	return nil
}

func (q *memoryQueue) Settle(_ context.Context, all []lambda.Settlement) (int, error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if err := q.fails("settle", ""); err != nil {
		return 0, err
	}
	lost := 0
	for _, s := range all {
		if !q.settle(s) {
			lost++
		}
	}
	q.lost += lost
	return lost, nil
}

func (q *memoryQueue) settle(s lambda.Settlement) bool {
	i := slices.IndexFunc(q.events, func(e *queued) bool { return e.ID == s.ID && !e.gone && e.Claim == s.Claim })
	if i < 0 {
		return false
	}
	e := q.events[i]
	e.node = ""
	if s.Next != nil {
		q.put(*s.Next)
	}
	switch {
	case s.Done:
		e.gone = true
		q.done = append(q.done, s)
	case s.Dead != "":
		e.gone = true
		q.dead = append(q.dead, s)
	default:
		e.due = s.RetryAt
		if s.Throttled {
			e.Throttles++
		} else {
			e.Invocation.Attempt++
		}
	}
	return true
}

func (q *memoryQueue) ReleaseLeases(_ context.Context, node string) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	if err := q.fails("release", node); err != nil {
		return err
	}
	q.released = append(q.released, node)
	for _, e := range q.events {
		if e.node == node {
			e.node = ""
		}
	}
	return nil
}

// counts are the events done, dead and not settled.
func (q *memoryQueue) counts() (done, dead, waiting int) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, e := range q.events {
		if !e.gone {
			waiting++
		}
	}
	return len(q.done), len(q.dead), waiting
}

// given are the settlements of events that are done and of those that were given up.
func (q *memoryQueue) given() (done, dead []lambda.Settlement) {
	q.mu.Lock()
	defer q.mu.Unlock()
	return slices.Clone(q.done), slices.Clone(q.dead)
}

// all is a copy of every event.
func (q *memoryQueue) all() []queued {
	q.mu.Lock()
	defer q.mu.Unlock()
	out := make([]queued, len(q.events))
	for i, e := range q.events {
		out[i] = *e
	}
	return out
}

func (q *memoryQueue) lateSettlements() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.lost
}

func (q *memoryQueue) breakWith(f func(what, node string) error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.broken = f
}
