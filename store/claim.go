package store

import (
	"cmp"
	"context"
	"slices"
	"time"

	"kiln/lambda"

	"github.com/jackc/pgx/v5"
)

// dueCounted bounds how many due events of one function are counted.
const dueCounted = 1000

const (
	// A dead node's claims go back; the next claim raises their number, so what the dead node still settles is left out.
	reclaimSQL = `UPDATE event_queue SET state = 0, node = '', lease_until = NULL WHERE id IN (
		SELECT id FROM event_queue WHERE state = 1 AND lease_until < now() ORDER BY lease_until LIMIT 500 FOR UPDATE SKIP LOCKED)`

	claimSQL = `WITH picked AS MATERIALIZED (
		SELECT q.id FROM unnest($1::bigint[], $2::int[]) AS f(id, slots)
		CROSS JOIN LATERAL (SELECT id FROM event_queue WHERE function_id = f.id AND state = 0 AND run_at <= now()
			ORDER BY run_at, id LIMIT f.slots FOR UPDATE SKIP LOCKED) q)
	UPDATE event_queue q SET state = 1, claim = claim + 1, node = $3, lease_until = now() + $4::interval
	FROM picked WHERE q.id = picked.id
	RETURNING q.id, q.claim, q.throttles, q.lease_until, q.function_id, q.request_id::text, q.function, q.qualifier, q.digest, q.source,
		q.by_name, q.payload, q.client_context, q.trace_id, q.accepted_at, q.attempt, q.replay_of, q.run_at`
)

// Claim takes up to slots[functionID] due events of each named function, oldest first, for `lease`. node names this server's start.
// Unavailable "lock.lost" while this server does not hold the one-server lock.
func (s *Store) Claim(ctx context.Context, node string, slots map[int64]int, lease time.Duration) ([]lambda.Claimed, error) {
	if !s.lock.held.Load() {
		return nil, lambda.E(lambda.Unavailable, "lock.lost")
	}
	var functions []int64
	var limits []int32
	for id, n := range slots {
		if n > 0 {
			functions, limits = append(functions, id), append(limits, int32(n))
		}
	}
	if len(functions) == 0 {
		return nil, nil
	}
	var claimed []lambda.Claimed
	err := s.with(ctx, s.queue, "claim events", func(c *pgx.Conn) (err error) {
		claimed, err = claim(ctx, c, node, functions, limits, lease)
		return err
	})
	return claimed, err
}

// claim gives expired leases back and claims in one round trip.
func claim(ctx context.Context, c *pgx.Conn, node string, functions []int64, limits []int32, lease time.Duration) ([]lambda.Claimed, error) {
	var b pgx.Batch
	b.Queue(reclaimSQL)
	b.Queue(claimSQL, functions, limits, node, interval(lease))
	answers := c.SendBatch(ctx, &b)
	defer func() { _ = answers.Close() }()
	if _, err := answers.Exec(); err != nil {
		return nil, err
	}
	rows, err := answers.Query()
	if err != nil {
		return nil, err
	}
	type due struct {
		lambda.Claimed
		runAt time.Time
	}
	all, err := pgx.CollectRows(rows, func(r pgx.CollectableRow) (d due, err error) {
		i := &d.Invocation
		i.Async = true
		return d, r.Scan(&d.ID, &d.Claim, &d.Throttles, &d.LeaseUntil, &i.FunctionID, &i.RequestID, &i.Function, &i.Qualifier, (*string)(&i.Digest),
			&i.Source, &i.By, &i.Event, &i.ClientContext, &i.TraceID, &i.AcceptedAt, &i.Attempt, &i.ReplayOf, &d.runAt)
	})
	if err != nil {
		return nil, err
	}
	slices.SortFunc(all, func(x, y due) int { return cmp.Or(x.runAt.Compare(y.runAt), cmp.Compare(x.ID, y.ID)) })
	claimed := make([]lambda.Claimed, len(all))
	for i := range all {
		claimed[i] = all[i].Claimed
	}
	return claimed, answers.Close()
}

// dueSQL walks the index from function to function: its cost grows with the functions that wait, not with their events.
const dueSQL = `WITH RECURSIVE f AS (
	(SELECT function_id FROM event_queue WHERE state = 0 ORDER BY function_id LIMIT 1)
	UNION ALL
	SELECT (SELECT q.function_id FROM event_queue q WHERE q.state = 0 AND q.function_id > f.function_id ORDER BY q.function_id LIMIT 1)
	FROM f WHERE f.function_id IS NOT NULL)
SELECT f.function_id, due.n, due.first, later.run_at FROM f
CROSS JOIN LATERAL (SELECT count(*) AS n, min(run_at) AS first FROM (
	SELECT run_at FROM event_queue WHERE state = 0 AND function_id = f.function_id AND run_at <= now() ORDER BY run_at, id LIMIT $1) x) due
LEFT JOIN LATERAL (SELECT run_at FROM event_queue WHERE state = 0 AND function_id = f.function_id AND run_at > now()
	ORDER BY run_at, id LIMIT 1) later ON true
WHERE f.function_id IS NOT NULL`

// DueFunctions are the functions that have events due at now, with their number (counted up to 1,000), at most limit, the longest waiting
// first, and when the next event becomes due or the next lease ends (zero for never).
func (s *Store) DueFunctions(ctx context.Context, limit int) (due map[int64]int, next time.Time, err error) {
	type waiting struct {
		id           int64
		n            int
		first, later *time.Time
	}
	var all []waiting
	var lease *time.Time
	err = s.with(ctx, s.queue, "find due events", func(c *pgx.Conn) error {
		if _, err := c.Exec(ctx, reclaimSQL); err != nil {
			return err
		}
		if err := c.QueryRow(ctx, "SELECT min(lease_until) FROM event_queue WHERE state = 1").Scan(&lease); err != nil {
			return err
		}
		rows, err := c.Query(ctx, dueSQL, dueCounted)
		if err != nil {
			return err
		}
		all, err = pgx.CollectRows(rows, func(r pgx.CollectableRow) (w waiting, err error) {
			return w, r.Scan(&w.id, &w.n, &w.first, &w.later)
		})
		return err
	})
	if err != nil {
		return nil, time.Time{}, err
	}
	next = earlier(time.Time{}, lease)
	for _, w := range all {
		next = earlier(next, w.later)
	}
	all = slices.DeleteFunc(all, func(w waiting) bool { return w.n == 0 })
	slices.SortFunc(all, func(a, b waiting) int { return a.first.Compare(*b.first) })
	due = map[int64]int{}
	for _, w := range all[:min(len(all), limit)] {
		due[w.id] = w.n
	}
	return due, next, nil
}

func earlier(t time.Time, u *time.Time) time.Time {
	if u == nil || !t.IsZero() && t.Before(*u) {
		return t
	}
	return *u
}

// ExtendLease prolongs this node's claims.
func (s *Store) ExtendLease(ctx context.Context, node string, ids []int64, lease time.Duration) error {
	return s.with(ctx, s.queue, "extend leases", func(c *pgx.Conn) error {
		_, err := c.Exec(ctx, "UPDATE event_queue SET lease_until = now() + $3::interval WHERE id = ANY($1) AND node = $2 AND state = 1", ids, node, interval(lease))
		return err
	})
}

// ReleaseLeases gives back every claim of node, for a clean stop.
func (s *Store) ReleaseLeases(ctx context.Context, node string) error {
	return s.with(ctx, s.queue, "give leases back", func(c *pgx.Conn) error {
		_, err := c.Exec(ctx, "UPDATE event_queue SET state = 0, node = '', lease_until = NULL WHERE state = 1 AND node = $1", node)
		return err
	})
}

// QueueState is one function's queue; 0 for the whole account. OldestAge is that of the oldest event that has not ended.
func (s *Store) QueueState(ctx context.Context, functionID int64) (lambda.QueueState, error) {
	var q lambda.QueueState
	var age float64
	err := s.with(ctx, s.console, "read the queue's state", func(c *pgx.Conn) error {
		return c.QueryRow(ctx, `SELECT count(*) FILTER (WHERE state = 0 AND run_at <= now()), count(*) FILTER (WHERE state = 1),
			count(*) FILTER (WHERE state = 0 AND run_at > now()), coalesce(extract(epoch FROM now() - min(accepted_at)), 0)::float8,
			(SELECT count(*) FROM dead_letters WHERE ($1 = 0 OR function_id = $1) AND reason <> 'success')
			FROM event_queue WHERE $1 = 0 OR function_id = $1`, functionID).Scan(&q.Waiting, &q.Running, &q.Delayed, &age, &q.Dead)
	})
	q.OldestAge = max(0, time.Duration(age*float64(time.Second)))
	return q, err
}
