package telemetry

import (
	"context"
	"errors"
	"time"

	"kiln/lambda"
)

var errWentBack = errors.New("the database went back to an earlier position")

const awayStop = 2 * time.Second // how long a stop waits for a database that does not answer

// release forgets lines that are durable.
func (b *lineBook) release(lines []lambda.LogLine) {
	b.mu.Lock()
	for len(lines) > 0 {
		n := 1
		for n < len(lines) && lines[n].FunctionID == lines[0].FunctionID {
			n++
		}
		b.hold(lines[0].FunctionID, -sizeOf(lines[:n]))
		if n == len(lines) {
			b.hub.lines.settle(lines[n-1].ID)
		}
		lines = lines[n:]
	}
	b.mu.Unlock()
	b.room.Broadcast()
}

// stop writes what is there and leaves the rest in the spool for the next start.
func (b *lineBook) stop(ctx context.Context) error {
	b.mu.Lock()
	b.closed = true
	b.mu.Unlock()
	b.room.Broadcast()
	ctx, cancel := context.WithTimeout(ctx, stopTime)
	defer cancel()
	for start := time.Now(); ctx.Err() == nil && b.unfinished(); {
		if b.health().Away && time.Since(start) > awayStop {
			break
		}
		wait(ctx, min(b.pause(), flushCheck), nil)
		b.step(ctx)
	}
	return b.leave()
}

func (b *lineBook) unfinished() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.n > 0 || len(b.written) > 0 || len(b.repair) > 0 || b.replay && !b.spool.empty()
}

// leave puts what is not durable into the spool and closes it.
func (b *lineBook) leave() error {
	for _, w := range b.written {
		b.repair = append(b.repair, w.lines)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	var errs []error
	for _, c := range append(b.repair, b.pending...) {
		errs = append(errs, b.spool.append(c))
	}
	b.written, b.repair, b.pending, b.n = nil, nil, nil, 0
	return errors.Join(append(errs, b.spool.close())...)
}

func (b *lineBook) health() Health {
	b.mu.Lock()
	defer b.mu.Unlock()
	return Health{Away: b.gone.away(), Since: b.gone.since, Waiting: int64(b.heldAll), Spooled: b.spool.size - b.spool.read, Blocked: b.blocked, Refused: b.refused}
}
