package executor

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"log/slog"
	"time"

	"kiln/lambda"
)

// Source answers what there is to run; store.Store has it. Its errors are *lambda.Error values, NotFound for what does not exist.
type Source interface {
	Target(ctx context.Context, name, qualifier string) (*lambda.Target, error)
	Runnable(ctx context.Context, d lambda.Digest) (*lambda.Runnable, error)
	Reachable(ctx context.Context, function string) (map[lambda.Digest]bool, error)
}

// Queue keeps accepted events until they are settled; store.Store has it.
type Queue interface {
	Enqueue(ctx context.Context, inv *lambda.Invocation) error
	DueFunctions(ctx context.Context, limit int) (due map[int64]int, next time.Time, err error)
	Claim(ctx context.Context, node string, slots map[int64]int, lease time.Duration) ([]lambda.Claimed, error)
	ExtendLease(ctx context.Context, node string, ids []int64, lease time.Duration) error
	Settle(ctx context.Context, all []lambda.Settlement) (lost int, err error)
	ReleaseLeases(ctx context.Context, node string) error
}

// Recorder keeps finished and throttled runs. It is called on the way to the answer: it must not block for long.
type Recorder interface {
	Record(run lambda.Run)
}

// Limits are the account's: how many invocations may run or wait at once, and how many of them functions have reserved for themselves.
type Limits struct {
	Account  int
	Reserved int // the sum over all functions
}

// Timing holds every delay of the engine; a zero field takes the value that its comment names.
type Timing struct {
	Poll         time.Duration   // 1 s: the longest time between two looks at the queue
	Lease        time.Duration   // 1 min: how long a claim outlives a node that died
	Retry        []time.Duration // 1 min, 2 min: before the second run, the third …
	ThrottleBase time.Duration   // 1 s: the first back-off after a throttle; it doubles
	ThrottleMax  time.Duration   // 5 min
	Grace        time.Duration   // 10 s: how long a stop waits for runs of queued events
	Sweep        time.Duration   // 1 min: between two looks for digests that nothing reaches any more
}

func (t *Timing) fill() {
	for _, f := range []struct {
		field *time.Duration
		value time.Duration
	}{{&t.Poll, time.Second}, {&t.Lease, time.Minute}, {&t.ThrottleBase, time.Second}, {&t.ThrottleMax, 5 * time.Minute}, {&t.Grace, 10 * time.Second}, {&t.Sweep, time.Minute}} {
		if *f.field == 0 {
			*f.field = f.value
		}
	}
	if t.Retry == nil {
		t.Retry = []time.Duration{time.Minute, 2 * time.Minute}
	}
}

// Options is what an engine is made of.
type Options struct {
	Runner   Runner
	Source   Source
	Queue    Queue
	Recorder Recorder
	// Limits is asked at start, after every Changed and every Sweep; nil means 1,000 and no reservations.
	Limits func(context.Context) (Limits, error)
	// Gauge hears a function's concurrency whenever it changes; it must be quick. nil for none.
	Gauge  func(functionID int64, running int)
	Node   string          // names this start of the server in the queue; "" makes a name
	Lost   <-chan struct{} // closed when another server may own the queue: claiming stops at once
	Timing Timing
	Log    *slog.Logger
}

// Engine runs functions. It is safe for concurrent use.
type Engine struct {
	o       Options
	targets targets
	pool    pool
	life    life
	wake    chan struct{} // something may be due
	tidy    chan struct{} // something changed
	queue   dispatcher
}

// New makes an engine. Invoke works at once; queued events run while Run runs.
func New(o Options) *Engine {
	o.Timing.fill()
	if o.Log == nil {
		o.Log = slog.Default()
	}
	if o.Node == "" {
		o.Node = newRequestID()
	}
	e := &Engine{o: o, wake: make(chan struct{}, 1), tidy: make(chan struct{}, 1)}
	e.life.idle = make(chan struct{}, 1)
	e.targets.init()
	e.pool.limit.Store(1000)
	e.queue.init()
	return e
}

// errStopping is what an engine answers once it has stopped.
func errStopping() error { return lambda.E(lambda.Unavailable, "engine.stopping") }

// KeyDrained is the key of what Runner.Run answers (Unavailable) for a digest that Drain has ended; the engine then looks again what to run.
const KeyDrained = "revision.drained"

// signal wakes whoever waits on c, once, without ever waiting itself.
func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// newRequestID is a random UUID (version 4).
func newRequestID() string {
	var raw [16]byte
	_, _ = rand.Read(raw[:]) // never fails
	raw[6] = raw[6]&0x0f | 0x40
	raw[8] = raw[8]&0x3f | 0x80
	var b [36]byte
	hex.Encode(b[0:8], raw[0:4])
	hex.Encode(b[9:13], raw[4:6])
	hex.Encode(b[14:18], raw[6:8])
	hex.Encode(b[19:23], raw[8:10])
	hex.Encode(b[24:36], raw[10:16])
	b[8], b[13], b[18], b[23] = '-', '-', '-', '-'
	return string(b[:])
}
