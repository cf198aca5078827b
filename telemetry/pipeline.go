package telemetry

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"kiln/lambda"
)

// Options says how to make a Pipeline.
type Options struct {
	Sink   Sink
	Hub    *Hub
	Epoch  int64  // number of this server's start, for the ids
	Folder string // of the spool files; made by the caller, private to it
	Limits Limits // the zero value is DefaultLimits
	Log    *slog.Logger
	Meter  prometheus.Registerer // nil for none
}

// Health is what a banner and /healthz say.
type Health struct {
	Away    bool      // the database takes nothing now
	Since   time.Time // of Away
	Waiting int64     // bytes in memory that are not durable yet
	Spooled int64     // bytes on disk that wait for the database
	Blocked int       // callers held back because all limits are reached
	Refused int64     // lines and runs that the database will not take; each is in the server's log
}

// Pipeline takes log lines and reports, shows them at once, and keeps them. It is safe for concurrent use.
type Pipeline struct {
	hub   *Hub
	lines *lineBook
	runs  *runBook
}

const stopTime = 15 * time.Second // for the last flush

// New makes a pipeline and opens the spool files. Run must be started.
func New(o Options) (*Pipeline, error) {
	if o.Limits == (Limits{}) {
		o.Limits = DefaultLimits
	}
	if o.Log == nil {
		o.Log = slog.Default()
	}
	lines, err := openSpool[lambda.LogLine](filepath.Join(o.Folder, "lines.spool"), o.Limits.Spool)
	if err != nil {
		return nil, err
	}
	runs, err := openSpool[lambda.Run](filepath.Join(o.Folder, "runs.spool"), o.Limits.Spool/4)
	if err != nil {
		return nil, errors.Join(err, lines.close())
	}
	m := newMeters()
	p := &Pipeline{hub: o.Hub, lines: newLineBook(o, m, lines), runs: newRunBook(o, m, runs)}
	if err := p.register(o.Meter); err != nil {
		return nil, errors.Join(err, lines.close(), runs.close())
	}
	return p, nil
}

// Lines numbers lines, shows them to watchers and keeps them. It blocks while the function that wrote them has too much that is not kept yet.
// The slice may be used again afterwards.
func (p *Pipeline) Lines(lines []lambda.LogLine) {
	for len(lines) > 0 {
		n := 1
		for n < len(lines) && lines[n].FunctionID == lines[0].FunctionID {
			n++
		}
		p.lines.accept(append([]lambda.LogLine(nil), lines[:n]...))
		lines = lines[n:]
	}
}

// Started tells watchers that an invocation runs. Record must follow.
func (p *Pipeline) Started(r lambda.Report) {
	r.Status = lambda.StatusRunning
	p.hub.PublishEvent(Event{Report: r})
}

// Gauge hears how many invocations of a function run; the highest goes into the figures. It is the engine's hook, and quick.
func (p *Pipeline) Gauge(functionID int64, running int) { p.runs.gauge(functionID, running) }

// Record shows a finished (or throttled) invocation to watchers and keeps it. It blocks only when memory and spool are full.
func (p *Pipeline) Record(run lambda.Run) {
	p.runs.accept(run)
	p.hub.PublishEvent(Event{Report: run.Report})
}

// Live is what the roll-ups do not hold yet, one point per minute, oldest first; 0 for the whole account.
func (p *Pipeline) Live(functionID int64) []lambda.MetricPoint { return p.runs.live(functionID) }

// Running is the number of invocations that run or wait for a worker now, as the gauge last said; 0 for the whole account.
func (p *Pipeline) Running(functionID int64) int { return p.runs.runningNow(functionID) }

// Health is the state now.
func (p *Pipeline) Health() Health {
	h := p.lines.health()
	r := p.runs.health()
	h.Away = h.Away || r.Away
	if h.Since.IsZero() || !r.Since.IsZero() && r.Since.Before(h.Since) {
		h.Since = r.Since
	}
	h.Waiting += r.Waiting
	h.Spooled += r.Spooled
	h.Blocked += r.Blocked
	h.Refused += r.Refused
	return h
}

// Run writes until ctx ends, then flushes what is there, to the spool files when the database does not take it in time.
// Stop everything that calls Lines and Record before.
func (p *Pipeline) Run(ctx context.Context) error {
	var wg sync.WaitGroup
	var lines, runs error
	wg.Go(func() { lines = p.lines.run(ctx) })
	wg.Go(func() { runs = p.runs.run(ctx) })
	wg.Wait()
	if err := errors.Join(lines, runs); err != nil {
		return fmt.Errorf("telemetry: %w", err)
	}
	return nil
}

// outage is the memory of a database that does not answer. Its owner's lock guards it.
type outage struct {
	since time.Time
	retry time.Time
	wait  time.Duration
	tries int
}

const (
	firstRetry = 50 * time.Millisecond
	lastRetry  = 2 * time.Second
)

func (a *outage) away() bool { return !a.since.IsZero() }

// failed notes one more failure.
func (a *outage) failed(now time.Time) {
	if a.since.IsZero() {
		a.since = now
	}
	a.tries++
	a.wait = min(max(2*a.wait, firstRetry), lastRetry)
	a.retry = now.Add(a.wait)
}

func (a *outage) over() { *a = outage{} }

// refuses says whether the database took the statement and refused what was in it: a fault of the data (SQLSTATE classes 22, 23 and 54).
// A full disk or a lost connection is none: that passes, and everything waits for it.
func refuses(err error) bool {
	state, ok := errors.AsType[interface {
		error
		SQLState() string
	}](err)
	if !ok || len(state.SQLState()) < 2 {
		return false
	}
	switch state.SQLState()[:2] {
	case "22", "23", "54":
		return true
	}
	return false
}

// wait sleeps until d is over, something is signalled, or ctx ends.
func wait(ctx context.Context, d time.Duration, signal <-chan struct{}) {
	if d <= 0 {
		return
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-signal:
	case <-ctx.Done():
	}
}

// signal wakes a writer; ch has room for one.
func signal(ch chan struct{}) {
	select {
	case ch <- struct{}{}:
	default:
	}
}
