package store

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"kiln/lambda"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

const (
	enqueueWaiting = 1024 // callers that may wait for a commit; more wait for a place
	enqueueBatch   = 256
	enqueueBytes   = 8 << 20 // of payloads in one commit
)

// Enqueue returns when the event is committed. Concurrent calls share a commit. Invalid "event.request" for a request id that is no UUID,
// TooLarge "event.size". An error does not say that the event is not there: a commit whose answer was lost may have happened.
func (s *Store) Enqueue(ctx context.Context, inv *lambda.Invocation) error {
	if err := checkEvent(inv); err != nil {
		return err
	}
	return fault(s.enqueuer.put(ctx, inv), "enqueue an event")
}

func checkEvent(inv *lambda.Invocation) error {
	if _, err := uuid.Parse(inv.RequestID); err != nil {
		return lambda.E(lambda.Invalid, "event.request", "id", inv.RequestID)
	}
	if len(inv.Event) > lambda.MaxAsyncEvent {
		return lambda.E(lambda.TooLarge, "event.size", "size", fmt.Sprint(len(inv.Event)), "max", fmt.Sprint(lambda.MaxAsyncEvent))
	}
	return nil
}

// enqueuer is the one writer into the queue: while one commit is on its way the next batch gathers, so no call waits for a timer.
type enqueuer struct {
	s     *Store
	calls chan enqueueCall
	ended chan struct{}

	mu     sync.RWMutex // held for reading while a call is handed over, so that stop sees all of them
	closed bool
}

type enqueueCall struct {
	inv  *lambda.Invocation
	done chan<- error
}

var errClosing = errors.New("the store is being closed")

func startEnqueuer(s *Store) *enqueuer {
	e := &enqueuer{s: s, calls: make(chan enqueueCall, enqueueWaiting), ended: make(chan struct{})}
	go e.run()
	return e
}

func (e *enqueuer) put(ctx context.Context, inv *lambda.Invocation) error {
	done := make(chan error, 1)
	if err := e.hand(ctx, enqueueCall{inv, done}); err != nil {
		return err
	}
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (e *enqueuer) hand(ctx context.Context, c enqueueCall) error {
	e.mu.RLock()
	defer e.mu.RUnlock()
	if e.closed {
		return errClosing
	}
	select {
	case e.calls <- c:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// stop lets what was handed over be written, then ends the writer.
func (e *enqueuer) stop() {
	e.mu.Lock()
	e.closed = true
	close(e.calls)
	e.mu.Unlock()
	<-e.ended
}

func (e *enqueuer) run() {
	defer close(e.ended)
	for first := range e.calls {
		batch := e.gather(first)
		err := e.write(batch)
		for _, c := range batch {
			c.done <- err
		}
	}
}

// gather takes what waits already.
func (e *enqueuer) gather(first enqueueCall) []enqueueCall {
	batch, bytes := []enqueueCall{first}, len(first.inv.Event)
	for len(batch) < enqueueBatch && bytes < enqueueBytes {
		select {
		case c, ok := <-e.calls:
			if !ok {
				return batch
			}
			batch, bytes = append(batch, c), bytes+len(c.inv.Event)
		default:
			return batch
		}
	}
	return batch
}

func (e *enqueuer) write(batch []enqueueCall) error {
	// The commit belongs to many callers: none of their contexts may end it.
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	all := make([]*lambda.Invocation, len(batch))
	for i, c := range batch {
		all[i] = c.inv
	}
	return e.s.with(ctx, e.s.queue, "enqueue events", func(c *pgx.Conn) error { return insertEvents(ctx, c, all) })
}

type execer interface {
	Exec(ctx context.Context, sql string, args ...any) (pgconn.CommandTag, error)
}

const insertEventsSQL = `INSERT INTO event_queue (function_id, request_id, function, qualifier, digest, source, by_name, client_context,
	trace_id, replay_of, payload, accepted_at, attempt, run_at)
SELECT f, r, n, q, d, s, b, c, t, o, p, a, e, now()
FROM unnest($1::bigint[], $2::uuid[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[], $8::text[], $9::text[], $10::text[],
	$11::bytea[], $12::timestamptz[], $13::int[]) AS x(f, r, n, q, d, s, b, c, t, o, p, a, e)`

func insertEvents(ctx context.Context, db execer, all []*lambda.Invocation) error {
	n := len(all)
	functions, requests, accepted := make([]int64, n), make([]string, n), make([]time.Time, n)
	payloads, attempts := make([][]byte, n), make([]int32, n)
	var texts [8][]string
	for i, inv := range all {
		functions[i], requests[i], payloads[i], attempts[i] = inv.FunctionID, inv.RequestID, nonNil(inv.Event), int32(inv.Attempt)
		if accepted[i] = inv.AcceptedAt; inv.AcceptedAt.IsZero() {
			accepted[i] = time.Now()
		}
		for t, v := range []string{inv.Function, inv.Qualifier, string(inv.Digest), inv.Source, inv.By, inv.ClientContext, inv.TraceID, inv.ReplayOf} {
			texts[t] = append(texts[t], clean(v))
		}
	}
	_, err := db.Exec(ctx, insertEventsSQL, functions, requests, texts[0], texts[1], texts[2], texts[3], texts[4], texts[5], texts[6], texts[7],
		payloads, accepted, attempts)
	return err
}

func nonNil(b []byte) []byte {
	if b == nil {
		return []byte{}
	}
	return b
}
