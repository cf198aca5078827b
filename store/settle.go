package store

import (
	"context"
	"strconv"
	"time"

	"kiln/iam"
	"kiln/lambda"

	"github.com/jackc/pgx/v5"
	"gorm.io/gorm"
)

const (
	// endSQL removes events; those with keep are kept as dead letters (or as an on-success record) in the same statement.
	endSQL = `WITH s AS (SELECT * FROM unnest($1::bigint[], $2::bigint[], $3::bool[], $4::text[], $5::text[], $6::text[], $7::text[], $8::bytea[], $9::int[])
			AS s(id, claim, keep, reason, target, error_type, error_text, response, ran)),
		gone AS (DELETE FROM event_queue q USING s WHERE q.id = s.id AND q.claim = s.claim RETURNING q.*, s.keep, s.reason, s.target,
			s.error_type, s.error_text, s.response, s.ran),
		kept AS (INSERT INTO dead_letters (function_id, request_id, function, qualifier, digest, source, by_name, client_context, trace_id,
				replay_of, payload, accepted_at, attempts, target, reason, error_type, error_text, response, at)
			SELECT function_id, request_id, function, qualifier, digest, source, by_name, client_context, trace_id, replay_of, payload,
				accepted_at, attempt + ran, target, reason, error_type, error_text, response, now() FROM gone WHERE keep ORDER BY id)
		SELECT id, claim FROM gone`

	delaySQL = `UPDATE event_queue q SET state = 0, node = '', lease_until = NULL, run_at = s.run_at,
			attempt = attempt + CASE WHEN s.throttled THEN 0 ELSE 1 END, throttles = throttles + CASE WHEN s.throttled THEN 1 ELSE 0 END
		FROM unnest($1::bigint[], $2::bigint[], $3::timestamptz[], $4::bool[]) AS s(id, claim, run_at, throttled)
		WHERE q.id = s.id AND q.claim = s.claim RETURNING q.id, q.claim`
)

// Settle ends or delays claimed events in one transaction; a settlement whose claim is outdated is left out, with its Next, and counted in lost.
func (s *Store) Settle(ctx context.Context, all []lambda.Settlement) (lost int, err error) {
	for i := range all {
		if next := all[i].Next; next != nil {
			if err := checkEvent(next); err != nil {
				return 0, err
			}
		}
	}
	err = s.inTx(ctx, s.queue, "settle events", func(tx pgx.Tx) error {
		settled, err := settle(ctx, tx, all)
		if err != nil {
			return err
		}
		lost = len(all) - len(settled)
		var next []*lambda.Invocation
		for i := range all {
			if all[i].Next != nil && settled[hold{all[i].ID, all[i].Claim}] {
				next = append(next, all[i].Next)
			}
		}
		if len(next) == 0 {
			return nil
		}
		return insertEvents(ctx, tx, next)
	})
	return lost, err
}

func settle(ctx context.Context, tx pgx.Tx, all []lambda.Settlement) (map[hold]bool, error) {
	var ended endings
	var later delays
	for i := range all {
		if x := &all[i]; x.RetryAt.IsZero() {
			ended.add(x)
		} else {
			later.add(x)
		}
	}
	settled := make(map[hold]bool, len(all))
	if len(ended.ids) > 0 {
		if err := collectHolds(ctx, tx, settled, endSQL, ended.ids, ended.claims, ended.keep, ended.reasons, ended.targets, ended.types,
			ended.texts, ended.responses, ended.ran); err != nil {
			return nil, err
		}
	}
	if len(later.ids) > 0 {
		if err := collectHolds(ctx, tx, settled, delaySQL, later.ids, later.claims, later.at, later.throttled); err != nil {
			return nil, err
		}
	}
	return settled, nil
}

// hold is one claim of one event.
type hold struct{ id, claim int64 }

func collectHolds(ctx context.Context, tx pgx.Tx, into map[hold]bool, sql string, args ...any) error {
	rows, err := tx.Query(ctx, sql, args...)
	if err != nil {
		return err
	}
	var h hold
	_, err = pgx.ForEachRow(rows, []any{&h.id, &h.claim}, func() error {
		into[h] = true
		return nil
	})
	return err
}

// endings are the columns of endSQL.
type endings struct {
	ids, claims                    []int64
	keep                           []bool
	reasons, targets, types, texts []string
	responses                      [][]byte
	ran                            []int32
}

func (e *endings) add(x *lambda.Settlement) {
	reason := x.Dead
	if x.Done {
		reason = "success"
	}
	var ran int32
	if x.Report.RequestID != "" {
		ran = 1
	}
	e.ids, e.claims = append(e.ids, x.ID), append(e.claims, x.Claim)
	e.keep = append(e.keep, !x.Done || x.Target != "")
	e.reasons, e.targets = append(e.reasons, reason), append(e.targets, clean(x.Target))
	e.types, e.texts = append(e.types, clean(x.Report.ErrorType)), append(e.texts, clean(x.Report.ErrorMessage))
	e.responses = append(e.responses, x.Response[:min(len(x.Response), lambda.MaxKeptBody)])
	e.ran = append(e.ran, ran)
}

// delays are the columns of delaySQL.
type delays struct {
	ids, claims []int64
	at          []time.Time
	throttled   []bool
}

func (d *delays) add(x *lambda.Settlement) {
	d.ids, d.claims = append(d.ids, x.ID), append(d.claims, x.Claim)
	d.at, d.throttled = append(d.at, x.RetryAt), append(d.throttled, x.Throttled)
}

const deadColumns = `id, function_id, request_id::text, function, qualifier, digest, source, by_name, client_context, trace_id, replay_of,
	accepted_at, attempts, target, reason, error_type, error_text, at`

// DeadLetters is one page, newest first; before 0 starts at the newest, functionID 0 is the whole account. limit ≤ 200, 0 means 50.
// An event longer than 64 KiB is cut to them; DeadLetter has the whole.
func (s *Store) DeadLetters(ctx context.Context, functionID int64, before int64, limit int) ([]lambda.DeadLetter, error) {
	return s.deadLetters(ctx, `SELECT `+deadColumns+`, substring(payload FOR 65536) FROM dead_letters
		WHERE ($1 = 0 OR function_id = $1) AND ($2 = 0 OR id < $2) ORDER BY id DESC LIMIT $3`, functionID, before, bound(limit, 50, 200))
}

// DeadLettersOf is one page of those kept under a target's ARN, oldest first, after an id.
func (s *Store) DeadLettersOf(ctx context.Context, target string, after int64, limit int) ([]lambda.DeadLetter, error) {
	return s.deadLetters(ctx, `SELECT `+deadColumns+`, substring(payload FOR 65536) FROM dead_letters
		WHERE target = $1 AND target <> '' AND id > $2 ORDER BY id LIMIT $3`, clean(target), after, bound(limit, 50, 200))
}

// DeadLetter is one with its whole event. NotFound "dead.missing".
func (s *Store) DeadLetter(ctx context.Context, id int64) (*lambda.DeadLetter, error) {
	all, err := s.deadLetters(ctx, `SELECT `+deadColumns+`, payload FROM dead_letters WHERE id = $1`, id)
	if err != nil {
		return nil, err
	}
	if len(all) == 0 {
		return nil, lambda.E(lambda.NotFound, "dead.missing", "id", strconv.FormatInt(id, 10))
	}
	return &all[0], nil
}

func (s *Store) deadLetters(ctx context.Context, sql string, args ...any) (all []lambda.DeadLetter, err error) {
	err = s.with(ctx, s.console, "list dead letters", func(c *pgx.Conn) error {
		rows, err := c.Query(ctx, sql, args...)
		if err != nil {
			return err
		}
		all, err = pgx.CollectRows(rows, scanDeadLetter)
		return err
	})
	return all, err
}

func scanDeadLetter(r pgx.CollectableRow) (d lambda.DeadLetter, err error) {
	i := &d.Invocation
	i.Async = true
	err = r.Scan(&d.ID, &i.FunctionID, &i.RequestID, &i.Function, &i.Qualifier, (*string)(&i.Digest), &i.Source, &i.By, &i.ClientContext,
		&i.TraceID, &i.ReplayOf, &i.AcceptedAt, &d.Attempts, &d.Target, &d.Reason, &d.ErrorType, &d.ErrorText, &d.At, &i.Event)
	i.Attempt = d.Attempts
	return d, err
}

// Redrive puts dead letters back into the queue as new events (new request id, attempt 0, ReplayOf the old one); it answers how many.
// At most 1,000 ids at once.
func (s *Store) Redrive(ctx context.Context, by iam.Principal, function string, ids []int64) (int, error) {
	if len(ids) == 0 {
		return 0, nil
	}
	ids = ids[:min(len(ids), 1000)]
	var n int64
	err := s.edit(ctx, "redrive dead letters", func(tx *gorm.DB) error {
		id, err := functionID(tx, function)
		if err != nil {
			return err
		}
		// A draft's digest may be gone: the event then runs on $LATEST.
		moved := tx.Exec(`WITH gone AS (DELETE FROM dead_letters WHERE function_id = ? AND reason <> 'success' AND id IN ? RETURNING *)
			INSERT INTO event_queue (function_id, request_id, function, qualifier, digest, source, by_name, client_context, trace_id, replay_of,
				payload, accepted_at, run_at)
			SELECT function_id, gen_random_uuid(), function, CASE WHEN qualifier = '$DRAFT' THEN '' ELSE qualifier END, '', source, by_name,
				client_context, trace_id, request_id::text, payload, now(), now() FROM gone`, id, ids)
		if moved.Error != nil {
			return moved.Error
		}
		n = moved.RowsAffected
		return note(tx, by, "kiln:RedriveDeadLetters", s.arns.Function(function, ""), map[string]string{"events": strconv.FormatInt(n, 10)})
	})
	return int(n), err
}
