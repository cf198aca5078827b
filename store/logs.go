package store

import (
	"context"
	"errors"
	"time"

	"kiln/lambda"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"
)

// searchTime bounds a search of log lines or a count of them.
const searchTime = 20 * time.Second

var logColumns = []string{"function_id", "ts", "epoch", "seq", "request_id", "stream", "level", "cut", "version", "worker", "line"}

func logValues(lines []lambda.LogLine) pgx.CopyFromSource {
	return pgx.CopyFromSlice(len(lines), func(i int) ([]any, error) {
		l := &lines[i]
		return []any{l.FunctionID, l.At, l.ID.Epoch, l.ID.Seq, uuidOf(l.RequestID), int16(l.Stream), int16(l.Level), l.Cut, clean(l.Version),
			clean(l.Worker), clean(l.Text)}, nil
	})
}

// uuidOf is NULL for a text that is no UUID.
func uuidOf(s string) (u pgtype.UUID) {
	if len(s) == 36 { // the only form that comes back as it went in
		_ = u.Scan(s) // leaves u invalid, which is NULL
	}
	return u
}

// CopyLogs writes lines in id order with synchronous_commit off and answers the WAL position that covers them.
// When a line is there already nothing is written and the error says so; RepairLogs is for that. After an error of CopyLogs or FlushedLSN
// no position that was answered before it counts any more.
func (s *Store) CopyLogs(ctx context.Context, lines []lambda.LogLine) (lsn uint64, err error) {
	err = s.onLogConn(ctx, "copy log lines", func(c *pgx.Conn) error {
		err := pgx.BeginFunc(ctx, c, func(tx pgx.Tx) error {
			if _, err := tx.Exec(ctx, "SET LOCAL synchronous_commit = off"); err != nil {
				return err
			}
			_, err := tx.CopyFrom(ctx, pgx.Identifier{"log_lines"}, logColumns, logValues(lines))
			return err
		})
		if err != nil {
			return err
		}
		lsn, err = position(ctx, c, "pg_current_wal_insert_lsn()") // after the commit: it covers its record
		return err
	})
	return lsn, err
}

func position(ctx context.Context, c *pgx.Conn, function string) (uint64, error) {
	var n int64
	err := c.QueryRow(ctx, "SELECT ("+function+" - '0/0'::pg_lsn)::bigint").Scan(&n)
	return uint64(n), err
}

// RepairLogs writes lines of which some may be there already; it is durable when it returns.
func (s *Store) RepairLogs(ctx context.Context, lines []lambda.LogLine) error {
	return s.inTx(ctx, s.telemetry, "repair log lines", func(tx pgx.Tx) error {
		if err := intoScratch(ctx, tx, "log_lines", logColumns, logValues(lines)); err != nil {
			return err
		}
		_, err := tx.Exec(ctx, "INSERT INTO log_lines SELECT * FROM pg_temp.scratch_log_lines ORDER BY epoch, seq ON CONFLICT DO NOTHING")
		return err
	})
}

// intoScratch copies rows into a temporary table like the named one; it is empty again after the transaction.
func intoScratch(ctx context.Context, tx pgx.Tx, table string, columns []string, rows pgx.CopyFromSource) error {
	scratch := "scratch_" + table
	if _, err := tx.Exec(ctx, "CREATE TEMPORARY TABLE IF NOT EXISTS "+scratch+" (LIKE "+table+") ON COMMIT DELETE ROWS"); err != nil {
		return err
	}
	_, err := tx.CopyFrom(ctx, pgx.Identifier{"pg_temp", scratch}, columns, rows)
	return err
}

// FlushedLSN is the WAL position up to which the database is durable. It fails once after every crash of the database.
func (s *Store) FlushedLSN(ctx context.Context) (lsn uint64, err error) {
	err = s.onLogConn(ctx, "read the WAL position", func(c *pgx.Conn) error {
		lsn, err = position(ctx, c, "pg_current_wal_flush_lsn()")
		return err
	})
	return lsn, err
}

// LogLines reads kept lines in the order of their ids. Unavailable "query.slow" when a search takes too long: narrow the window.
func (s *Store) LogLines(ctx context.Context, q lambda.LogQuery) ([]lambda.LogLine, error) {
	var lines []lambda.LogLine
	err := s.search(ctx, "read log lines", func(ctx context.Context, c *pgx.Conn) error {
		if err := narrowToRequest(ctx, c, &q); err != nil {
			return err
		}
		w := logConditions(&q)
		if empty, err := w.window(ctx, c, &q); err != nil || empty {
			return err
		}
		order := " ORDER BY epoch, seq"
		if q.Newest || q.Before != (lambda.LogID{}) {
			order = " ORDER BY epoch DESC, seq DESC"
		}
		sql := `SELECT function_id, ts, epoch, seq, coalesce(request_id::text, ''), stream, level, cut, version, worker, line FROM log_lines` +
			w.sql() + order + " LIMIT " + w.arg(bound(q.Limit, 1000, 10_000))
		rows, err := c.Query(ctx, sql, w.args...)
		if err != nil {
			return err
		}
		lines, err = pgx.CollectRows(rows, func(r pgx.CollectableRow) (l lambda.LogLine, err error) {
			return l, r.Scan(&l.FunctionID, &l.At, &l.ID.Epoch, &l.ID.Seq, &l.RequestID, &l.Stream, &l.Level, &l.Cut, &l.Version, &l.Worker, &l.Text)
		})
		return err
	})
	return lines, err
}

// search bounds the time of what may have to read much.
func (s *Store) search(ctx context.Context, what string, f func(ctx context.Context, c *pgx.Conn) error) error {
	limited, cancel := context.WithTimeout(ctx, searchTime)
	defer cancel()
	err := s.with(limited, s.console, what, func(c *pgx.Conn) error { return f(limited, c) })
	if err != nil && ctx.Err() == nil && errors.Is(limited.Err(), context.DeadlineExceeded) {
		return lambda.E(lambda.Unavailable, "query.slow").Because(err)
	}
	return err
}

func logConditions(q *lambda.LogQuery) *conditions {
	var w conditions
	if q.FunctionID != 0 {
		w.add("function_id = ", q.FunctionID)
	}
	if q.RequestID != "" {
		w.add("request_id = ", uuidOf(q.RequestID)) // NULL matches nothing
	}
	if q.Worker != "" {
		w.add("worker = ", clean(q.Worker))
	}
	w.between(q.From, q.To)
	if q.MinLevel > lambda.LevelNone {
		w.add("level >= ", int16(q.MinLevel))
	}
	if q.Contains != "" {
		w.add("line ILIKE ", "%"+escapeLike(clean(q.Contains))+"%")
	}
	if q.After != (lambda.LogID{}) {
		w.clauses = append(w.clauses, "(epoch, seq) > ("+w.arg(q.After.Epoch)+", "+w.arg(q.After.Seq)+")")
	}
	if q.Before != (lambda.LogID{}) {
		w.clauses = append(w.clauses, "(epoch, seq) < ("+w.arg(q.Before.Epoch)+", "+w.arg(q.Before.Seq)+")")
	}
	return &w
}

// narrowToRequest narrows the query to the function and the time of a request's runs that have ended; lines of one that still runs are
// looked for in the window as it is.
func narrowToRequest(ctx context.Context, c *pgx.Conn, q *lambda.LogQuery) error {
	id := uuidOf(q.RequestID)
	if !id.Valid {
		return nil
	}
	var function *int64
	var first, last *time.Time
	err := c.QueryRow(ctx, "SELECT min(function_id), min(least(accepted_at, ts)), max(ts + duration_us * interval '1 microsecond') FROM invocations WHERE request_id = $1", id).
		Scan(&function, &first, &last)
	if err != nil || function == nil {
		return err
	}
	const slack = time.Minute // output of a starting worker, and clocks
	if q.FunctionID == 0 {
		q.FunctionID = *function
	}
	if from := first.Add(-slack); from.After(q.From) {
		q.From = from
	}
	if to := last.Add(slack); q.To.IsZero() || to.Before(q.To) {
		q.To = to
	}
	return nil
}

// LogHistogram counts lines by level in `buckets` equal periods of [from, to).
func (s *Store) LogHistogram(ctx context.Context, q lambda.LogQuery, buckets int) ([][7]int64, error) {
	buckets = bound(buckets, 60, 1000)
	counts := make([][7]int64, buckets)
	width := q.To.Sub(q.From) / time.Duration(buckets)
	if width <= 0 {
		return counts, nil
	}
	err := s.search(ctx, "count log lines", func(ctx context.Context, c *pgx.Conn) error {
		w := logConditions(&q)
		sql := "SELECT floor(extract(epoch FROM ts - " + w.arg(q.From) + ") / " + w.arg(width.Seconds()) + "::float8)::int AS bucket, level, count(*) FROM log_lines" +
			w.sql() + " GROUP BY 1, 2"
		rows, err := c.Query(ctx, sql, w.args...)
		if err != nil {
			return err
		}
		var bucket, level int
		var n int64
		_, err = pgx.ForEachRow(rows, []any{&bucket, &level, &n}, func() error {
			counts[min(max(bucket, 0), buckets-1)][min(max(level, 0), 6)] += n
			return nil
		})
		return err
	})
	return counts, err
}
