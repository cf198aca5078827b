package store

import (
	"context"
	"math"
	"slices"
	"strings"
	"sync"
	"time"

	"kiln/lambda"

	"github.com/jackc/pgx/v5"
)

// keptBodies is how many bodies of successful runs are kept per function, besides those of failures, tests, drafts and replays.
const keptBodies = 200

// trimEvery is how many new bodies of a function make a trim worth its scan; up to so many more than keptBodies stay for a while.
const trimEvery = 1000

// statusCodes are the numbers in the database; 3 and above count as errors.
var statusCodes = map[lambda.Status]int16{lambda.StatusRunning: 0, lambda.StatusOK: 1, lambda.StatusThrottled: 2, lambda.StatusError: 3,
	lambda.StatusTimeout: 4, lambda.StatusMemory: 5, lambda.StatusExit: 6}

var statusOf = func() map[int16]lambda.Status {
	m := map[int16]lambda.Status{}
	for s, n := range statusCodes {
		m[n] = s
	}
	return m
}()

var runColumns = []string{"request_id", "function_id", "ts", "accepted_at", "attempt", "queued_us", "init_us", "duration_us", "billed_ms", "memory_mb",
	"max_memory_mb", "event_size", "response_size", "status", "cold", "async", "version", "alias", "source", "by_name", "replay_of", "error_type",
	"error_message", "worker", "trace_id"}

func runValues(runs []lambda.Run) pgx.CopyFromSource {
	return pgx.CopyFromSlice(len(runs), func(i int) ([]any, error) {
		r := &runs[i].Report
		return []any{uuidOf(r.RequestID), r.FunctionID, moment(r), r.AcceptedAt, r.Attempt, r.Queued.Microseconds(), r.Init.Microseconds(), r.Duration.Microseconds(),
			r.BilledMS, small(r.MemoryMB), small(r.MaxMemoryMB), small(r.EventSize), small(r.ResponseSize), statusCodes[r.Status], r.Cold, r.Async,
			clean(r.Version), clean(r.Alias), clean(r.Source), clean(r.By), clean(r.ReplayOf), clean(r.ErrorType), clean(r.ErrorMessage),
			clean(r.Worker), clean(r.TraceID)}, nil
	})
}

// moment is when a run counts: its start, or its acceptance when it never started.
func moment(r *lambda.Report) time.Time {
	if r.StartedAt.IsZero() {
		return r.AcceptedAt
	}
	return r.StartedAt
}

func small(n int) int32 { return int32(min(n, math.MaxInt32)) }

// CopyRuns writes invocation rows and bodies and adds the metric points to minute and hour roll-ups, in one transaction (durable).
// The points are those of exactly these runs, one per function and minute and one with FunctionID 0 for the whole account per minute; they are
// added as given. A batch is repeated unchanged after a doubtful commit: when every one of its runs (request id and attempt) is there already
// nothing is written, points included. With no runs the points are always added.
func (s *Store) CopyRuns(ctx context.Context, runs []lambda.Run, points []lambda.MetricPoint) error {
	for i := range runs {
		if id := runs[i].Report.RequestID; !uuidOf(id).Valid {
			return lambda.E(lambda.Invalid, "event.request", "id", id)
		}
	}
	bodies := bodiesToKeep(runs)
	err := s.inTx(ctx, s.telemetry, "copy runs", func(tx pgx.Tx) error { return copyFresh(ctx, tx, runs, bodies, points) })
	if isDuplicate(err) {
		err = s.inTx(ctx, s.telemetry, "copy runs again", func(tx pgx.Tx) error { return copyAgain(ctx, tx, runs, bodies, points) })
	}
	if err != nil {
		return err
	}
	s.trimBodies(ctx, bodies)
	return nil
}

func copyFresh(ctx context.Context, tx pgx.Tx, runs []lambda.Run, bodies []lambda.Run, points []lambda.MetricPoint) error {
	if len(runs) > 0 {
		if _, err := tx.CopyFrom(ctx, pgx.Identifier{"invocations"}, runColumns, runValues(runs)); err != nil {
			return err
		}
	}
	if len(bodies) > 0 {
		if _, err := tx.CopyFrom(ctx, pgx.Identifier{"invocation_bodies"}, bodyColumns, bodyValues(bodies)); err != nil {
			return err
		}
	}
	return addPoints(ctx, tx, points)
}

// copyAgain is for a batch of which rows are there already.
func copyAgain(ctx context.Context, tx pgx.Tx, runs []lambda.Run, bodies []lambda.Run, points []lambda.MetricPoint) error {
	if err := intoScratch(ctx, tx, "invocations", runColumns, runValues(runs)); err != nil {
		return err
	}
	done, err := tx.Exec(ctx, "INSERT INTO invocations SELECT DISTINCT ON (request_id, attempt, ts) * FROM pg_temp.scratch_invocations ON CONFLICT DO NOTHING")
	if err != nil || done.RowsAffected() == 0 {
		return err
	}
	if err := intoScratch(ctx, tx, "invocation_bodies", bodyColumns, bodyValues(bodies)); err != nil {
		return err
	}
	_, err = tx.Exec(ctx, "INSERT INTO invocation_bodies SELECT DISTINCT ON (request_id, attempt, ts) * FROM pg_temp.scratch_invocation_bodies ON CONFLICT DO NOTHING")
	if err != nil {
		return err
	}
	return addPoints(ctx, tx, points)
}

var bodyColumns = []string{"request_id", "function_id", "ts", "attempt", "keep", "cut_event", "cut_response", "event", "response"}

func bodyValues(runs []lambda.Run) pgx.CopyFromSource {
	return pgx.CopyFromSlice(len(runs), func(i int) ([]any, error) {
		r, b := &runs[i].Report, runs[i].Bodies
		event, cutEvent := fitting(b.Event, b.CutEvent)
		response, cutResponse := fitting(b.Response, b.CutResponse)
		return []any{uuidOf(r.RequestID), r.FunctionID, moment(r), r.Attempt, keepBody(r), cutEvent, cutResponse, event, response}, nil
	})
}

// fitting leaves out a body that is too long to be kept.
func fitting(b []byte, cut bool) ([]byte, bool) {
	if len(b) > lambda.MaxKeptBody {
		return nil, true
	}
	return b, cut
}

// keepBody says whether retention alone ends a body.
func keepBody(r *lambda.Report) bool {
	return r.Status.Failed() || r.Draft() || r.Source == lambda.SourceTest || r.Source == lambda.SourceReplay
}

// bodiesToKeep leaves out what the trim would remove at once.
func bodiesToKeep(runs []lambda.Run) []lambda.Run {
	var kept []lambda.Run
	count := map[int64]int{}
	for i := range slices.Backward(runs) {
		r := &runs[i]
		if r.Bodies == nil {
			continue
		}
		if !keepBody(&r.Report) {
			if count[r.Report.FunctionID]++; count[r.Report.FunctionID] > keptBodies {
				continue
			}
		}
		kept = append(kept, *r)
	}
	slices.Reverse(kept)
	return kept
}

// bodyTrims counts the bodies written since a function's last trim.
type bodyTrims struct {
	mu    sync.Mutex
	since map[int64]int
}

func newBodyTrims() *bodyTrims { return &bodyTrims{since: map[int64]int{}} }

// due counts bodies and answers the functions that have enough for a trim.
func (t *bodyTrims) due(bodies []lambda.Run) (functions []int64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for i := range bodies {
		if r := &bodies[i].Report; !keepBody(r) {
			if t.since[r.FunctionID]++; t.since[r.FunctionID] >= trimEvery {
				delete(t.since, r.FunctionID)
				functions = append(functions, r.FunctionID)
			}
		}
	}
	return functions
}

const trimSQL = `DELETE FROM invocation_bodies WHERE function_id = $1 AND NOT keep AND ts < (
	SELECT ts FROM invocation_bodies WHERE function_id = $1 AND NOT keep ORDER BY ts DESC OFFSET 199 LIMIT 1)`

// trimBodies keeps the newest bodies of functions that wrote many. A failure is only logged: the next trim or Retain does it.
func (s *Store) trimBodies(ctx context.Context, bodies []lambda.Run) {
	for _, id := range s.trims.due(bodies) {
		err := s.with(ctx, s.telemetry, "trim bodies", func(c *pgx.Conn) error {
			_, err := c.Exec(ctx, trimSQL, id)
			return err
		})
		if err != nil && ctx.Err() == nil {
			s.log.Warn("bodies were not trimmed", "function", id, "error", err)
		}
	}
}

// Bodies are the kept event and response of an invocation's newest attempt. NotFound "bodies.missing".
func (s *Store) Bodies(ctx context.Context, requestID string) (*lambda.Bodies, error) {
	b := lambda.Bodies{RequestID: requestID}
	err := s.with(ctx, s.console, "read bodies", func(c *pgx.Conn) error {
		return c.QueryRow(ctx, `SELECT event, response, cut_event, cut_response FROM invocation_bodies WHERE request_id = $1
			ORDER BY attempt DESC, ts DESC LIMIT 1`, uuidOf(strings.ToLower(requestID))).Scan(&b.Event, &b.Response, &b.CutEvent, &b.CutResponse)
	})
	if isMissing(err) {
		return nil, lambda.E(lambda.NotFound, "bodies.missing", "id", requestID)
	}
	if err != nil {
		return nil, err
	}
	return &b, nil
}
