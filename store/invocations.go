package store

import (
	"context"
	"regexp"
	"strings"
	"time"

	"kiln/lambda"

	"github.com/jackc/pgx/v5"
)

const reportColumns = `i.request_id::text, i.function_id, coalesce(n.name, ''), i.ts, i.accepted_at, i.attempt, i.queued_us, i.init_us, i.duration_us,
	i.billed_ms, i.memory_mb, i.max_memory_mb, i.event_size, i.response_size, i.status, i.cold, i.async, i.version, i.alias, i.source, i.by_name,
	i.replay_of, i.error_type, i.error_message, i.worker, i.trace_id FROM invocations i LEFT JOIN function_names n ON n.id = i.function_id`

func scanReport(row pgx.CollectableRow) (r lambda.Report, err error) {
	var queued, initial, duration int64
	var status int16
	err = row.Scan(&r.RequestID, &r.FunctionID, &r.Function, &r.StartedAt, &r.AcceptedAt, &r.Attempt, &queued, &initial, &duration, &r.BilledMS,
		&r.MemoryMB, &r.MaxMemoryMB, &r.EventSize, &r.ResponseSize, &status, &r.Cold, &r.Async, &r.Version, &r.Alias, &r.Source, &r.By, &r.ReplayOf,
		&r.ErrorType, &r.ErrorMessage, &r.Worker, &r.TraceID)
	r.Queued, r.Init, r.Duration = micros(queued), micros(initial), micros(duration)
	r.Status = statusOf[status]
	return r, err
}

func micros(n int64) time.Duration { return time.Duration(n) * time.Microsecond }

// Invocations is one page, newest first.
func (s *Store) Invocations(ctx context.Context, f lambda.InvocationFilter) ([]lambda.Report, error) {
	w := invocationConditions(f)
	sql := "SELECT " + reportColumns + w.sql() + " ORDER BY i.ts DESC, i.request_id DESC LIMIT " + w.arg(bound(f.Limit, 50, 500))
	var all []lambda.Report
	err := s.search(ctx, "list invocations", func(ctx context.Context, c *pgx.Conn) error {
		rows, err := c.Query(ctx, sql, w.args...)
		if err != nil {
			return err
		}
		all, err = pgx.CollectRows(rows, scanReport)
		return err
	})
	return all, err
}

func invocationConditions(f lambda.InvocationFilter) *conditions {
	var w conditions
	if f.FunctionID != 0 {
		w.add("i.function_id = ", f.FunctionID)
	}
	if len(f.Status) > 0 {
		w.status(f.Status)
	}
	if f.Version != "" {
		w.add("i.version = ", clean(f.Version))
	}
	if f.Source != "" {
		w.add("i.source = ", clean(f.Source))
	}
	if f.Cold != nil {
		w.add("i.cold = ", *f.Cold)
	}
	if f.MinMS > 0 {
		w.add("i.duration_us > ", int64(f.MinMS)*1000)
	}
	if !f.From.IsZero() {
		w.add("i.ts >= ", f.From)
	}
	if !f.To.IsZero() {
		w.add("i.ts < ", f.To)
	}
	if !f.Before.At.IsZero() {
		w.clauses = append(w.clauses, "(i.ts, i.request_id) < ("+w.arg(f.Before.At)+", "+w.arg(uuidOf(f.Before.RequestID))+")")
	}
	return &w
}

// status says the index's own condition when only failures are wanted, so that the small index of failures serves.
func (w *conditions) status(all []lambda.Status) {
	codes := make([]int16, len(all))
	failures := true
	for i, s := range all {
		codes[i] = statusCodes[s]
		failures = failures && s.Failed()
	}
	w.clauses = append(w.clauses, "i.status = ANY("+w.arg(codes)+")")
	if failures {
		w.clauses = append(w.clauses, "i.status >= 3")
	}
}

var idPrefix = regexp.MustCompile(`^[0-9a-f]{6,8}$|^[0-9a-f]{8}-([0-9a-f]{0,4}$|[0-9a-f]{4}-([0-9a-f]{0,4}$|[0-9a-f]{4}-([0-9a-f]{0,4}$|[0-9a-f]{4}-[0-9a-f]{0,12}$)))`)

// Invocation is the newest attempt of a request id (full, or a unique prefix of at least 6 characters). NotFound "invocation.missing".
func (s *Store) Invocation(ctx context.Context, requestID string) (*lambda.Report, error) {
	missing := lambda.E(lambda.NotFound, "invocation.missing", "id", requestID)
	low := strings.ToLower(requestID)
	if !idPrefix.MatchString(low) {
		return nil, missing
	}
	var all []lambda.Report
	err := s.with(ctx, s.console, "find an invocation", func(c *pgx.Conn) error {
		rows, err := c.Query(ctx, "SELECT "+reportColumns+" WHERE i.request_id BETWEEN $1 AND $2 ORDER BY i.attempt DESC, i.ts DESC LIMIT 50",
			uuidOf(low+zeroID[len(low):]), uuidOf(low+lastID[len(low):]))
		if err != nil {
			return err
		}
		all, err = pgx.CollectRows(rows, scanReport)
		return err
	})
	if err != nil {
		return nil, err
	}
	for i := range all {
		if all[i].RequestID != all[0].RequestID {
			return nil, missing // the prefix names more than one
		}
	}
	if len(all) == 0 {
		return nil, missing
	}
	return &all[0], nil
}

const (
	zeroID = "00000000-0000-0000-0000-000000000000"
	lastID = "ffffffff-ffff-ffff-ffff-ffffffffffff"
)

// ErrorGroup is one kind of error of one function.
type ErrorGroup = lambda.ErrorGroup

// ErrorGroups are the kinds of error since from, newest first; functionID 0 is the whole account. Draft runs are left out.
func (s *Store) ErrorGroups(ctx context.Context, functionID int64, from time.Time, limit int) ([]ErrorGroup, error) {
	var all []ErrorGroup
	err := s.search(ctx, "group errors", func(ctx context.Context, c *pgx.Conn) error {
		rows, err := c.Query(ctx, `SELECT g.function_id, coalesce(n.name, ''), g.error_type, l.error_message, g.n, g.first, g.last, l.request_id::text
			FROM (SELECT function_id, error_type, count(*) AS n, min(ts) AS first, max(ts) AS last FROM invocations
				WHERE status >= 3 AND ts >= $1 AND ($2 = 0 OR function_id = $2) AND version <> '$DRAFT'
				GROUP BY 1, 2 ORDER BY max(ts) DESC LIMIT $3) g
			CROSS JOIN LATERAL (SELECT error_message, request_id FROM invocations i WHERE i.function_id = g.function_id AND i.ts = g.last
				AND i.error_type = g.error_type AND i.status >= 3 LIMIT 1) l
			LEFT JOIN function_names n ON n.id = g.function_id ORDER BY g.last DESC`, from, functionID, bound(limit, 50, 500))
		if err != nil {
			return err
		}
		all, err = pgx.CollectRows(rows, func(r pgx.CollectableRow) (g ErrorGroup, err error) {
			return g, r.Scan(&g.FunctionID, &g.Function, &g.ErrorType, &g.Message, &g.N, &g.First, &g.Last, &g.LastRequest)
		})
		return err
	})
	return all, err
}
