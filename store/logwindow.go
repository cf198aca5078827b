package store

import (
	"context"
	"time"

	"kiln/lambda"

	"github.com/jackc/pgx/v5"
)

// Lines are read in the order of their ids, but windows are times. Both run together, though not exactly: a worker's line gets its id a
// moment after its time. window turns a window's ends into ids, so that the walk along the ids begins and ends at the right place
// instead of at the newest line of the day. nearby is how many lines around an end are asked for their ids.
const nearby = 500

// window adds the bounds; empty says that the window holds no line.
func (w *conditions) window(ctx context.Context, c *pgx.Conn, q *lambda.LogQuery) (empty bool, err error) {
	if !q.To.IsZero() && q.Before == (lambda.LogID{}) {
		last, found, err := edge(ctx, c, q, "ts DESC", "epoch DESC, seq DESC", -1)
		if err != nil || !found {
			return !found && q.FunctionID != 0, err
		}
		w.clauses = append(w.clauses, "(epoch, seq) <= ("+w.arg(last.Epoch)+", "+w.arg(last.Seq)+")")
	}
	if !q.From.IsZero() && q.After == (lambda.LogID{}) {
		first, found, err := edge(ctx, c, q, "ts", "epoch, seq", 1)
		if err != nil || !found {
			return !found && q.FunctionID != 0, err
		}
		w.clauses = append(w.clauses, "(epoch, seq) >= ("+w.arg(first.Epoch)+", "+w.arg(first.Seq)+")")
	}
	return false, nil
}

// edge is the outermost id among the lines next to one end of the window. For one function the index of times answers. For the whole
// account there is none: growing slices of the window are asked, and found is false when an hour at its end holds no line.
func edge(ctx context.Context, c *pgx.Conn, q *lambda.LogQuery, byTime, byID string, direction time.Duration) (id lambda.LogID, found bool, err error) {
	if q.FunctionID != 0 {
		var w conditions
		w.add("function_id = ", q.FunctionID)
		w.between(q.From, q.To)
		return oneID(ctx, c, "SELECT epoch, seq FROM (SELECT epoch, seq FROM log_lines"+w.sql()+" ORDER BY "+byTime+" LIMIT "+w.arg(nearby)+") x ORDER BY "+byID+" LIMIT 1", w.args)
	}
	for slice := time.Second; slice <= time.Hour && !found; slice *= 15 {
		var w conditions
		if direction < 0 {
			w.between(q.To.Add(-slice), q.To)
		} else {
			w.between(q.From, q.From.Add(slice))
		}
		// OFFSET 0 keeps the planner from walking the index of ids, which it thinks cheap because of the limit.
		id, found, err = oneID(ctx, c, "SELECT epoch, seq FROM (SELECT epoch, seq FROM log_lines"+w.sql()+" OFFSET 0) x ORDER BY "+byID+" LIMIT 1", w.args)
		if err != nil {
			return id, false, err
		}
	}
	return id, found, nil
}

func oneID(ctx context.Context, c *pgx.Conn, sql string, args []any) (id lambda.LogID, found bool, err error) {
	err = c.QueryRow(ctx, sql, args...).Scan(&id.Epoch, &id.Seq)
	if isMissing(err) {
		return id, false, nil
	}
	return id, err == nil, err
}

// between adds a half-open window; zero ends are open.
func (w *conditions) between(from, to time.Time) {
	if !from.IsZero() {
		w.add("ts >= ", from)
	}
	if !to.IsZero() {
		w.add("ts < ", to)
	}
}
