package telemetry

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"sync"
	"time"

	"kiln/lambda"
)

const (
	runsPerBatch = 1_000
	runsWait     = 50 * time.Millisecond
	runsMemory   = 64 << 20 // bytes of runs and bodies
	runOverhead  = 768
)

// runBatch is what one transaction writes. Its points stay with it, so that charts see what is not rolled up yet.
type runBatch struct {
	runs   []lambda.Run
	points points
	bytes  int
	alone  bool // made by splitting a batch that the database refuses
}

// runBook holds the reports that are not kept yet.
type runBook struct {
	sink  Sink
	log   *slog.Logger
	meter *meters
	wake  chan struct{}

	mu      sync.Mutex
	room    *sync.Cond
	queue   []*runBatch // oldest first; the writer works on queue[0], callers fill the last one
	busy    bool        // queue[0] is being written: it takes no more runs
	since   time.Time
	bytes   int
	blocked int
	refused int64
	running map[int64]*peak
	all     peak
	gone    outage
	closed  bool
	spool   *spool[lambda.Run]
}

func newRunBook(o Options, m *meters, s *spool[lambda.Run]) *runBook {
	b := &runBook{sink: o.Sink, log: o.Log, meter: m, wake: make(chan struct{}, 1), running: map[int64]*peak{}, spool: s}
	b.room = sync.NewCond(&b.mu)
	return b
}

// peak is a concurrency and the highest one since the last report.
type peak struct{ now, top int }

func (p *peak) set(n int) {
	p.now = n
	p.top = max(p.top, n)
}

// take gives the highest and starts again.
func (p *peak) take() int {
	top := p.top
	p.top = p.now
	return top
}

func (b *runBook) gauge(fn int64, running int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	mine := b.running[fn]
	if mine == nil {
		mine = &peak{}
		b.running[fn] = mine
	}
	b.all.set(b.all.now + running - mine.now)
	mine.set(running)
}

// peaks are the highest concurrencies that r's point has to hold.
func (b *runBook) peaks(r *lambda.Report) (mine, all int) {
	if p := b.running[r.FunctionID]; p != nil && !r.Draft() && r.Status != lambda.StatusThrottled {
		return p.take(), b.all.take()
	}
	return 0, 0
}

func (b *runBook) runningNow(fn int64) int {
	b.mu.Lock()
	defer b.mu.Unlock()
	if fn == 0 {
		return b.all.now
	}
	if p := b.running[fn]; p != nil {
		return p.now
	}
	return 0
}

func sizeOfRun(r *lambda.Run) int {
	n := runOverhead + len(r.Report.ErrorMessage)
	if r.Bodies != nil {
		n += len(r.Bodies.Event) + len(r.Bodies.Response)
	}
	return n
}

func (b *runBook) accept(run lambda.Run) {
	b.meter.run(&run.Report)
	b.mu.Lock()
	defer b.mu.Unlock()
	mine, all := b.peaks(&run.Report)
	size := sizeOfRun(&run)
	for !b.closed && b.bytes+size > runsMemory {
		if b.gone.away() && !b.spool.full() && b.toSpool(run) {
			return
		}
		b.blocked++
		b.room.Wait()
		b.blocked--
	}
	if b.closed && b.toSpool(run) {
		return
	}
	if b.open().add(run, size, mine, all) {
		signal(b.wake)
	}
	b.bytes += size
}

func (b *runBook) toSpool(run lambda.Run) bool {
	if err := b.spool.append([]lambda.Run{run}); err != nil {
		b.log.Error("a report does not fit on the disk", "err", err)
		return false
	}
	return true
}

// open is the batch that takes the next run.
func (b *runBook) open() *runBatch {
	n := len(b.queue)
	if n == 0 || n == 1 && b.busy || len(b.queue[n-1].runs) >= runsPerBatch || b.queue[n-1].alone {
		if n == 0 {
			b.since = time.Now()
		}
		b.queue = append(b.queue, &runBatch{points: points{}})
	}
	return b.queue[len(b.queue)-1]
}

// add says whether the writer should look.
func (k *runBatch) add(run lambda.Run, size, mine, all int) bool {
	k.runs = append(k.runs, run)
	k.bytes += size
	k.points.add(&run.Report, mine, all)
	return len(k.runs) == 1 || len(k.runs) == runsPerBatch
}

func (b *runBook) live(fn int64) []lambda.MetricPoint {
	b.mu.Lock()
	defer b.mu.Unlock()
	sum := map[int64]lambda.MetricPoint{}
	for _, k := range b.queue {
		for key, m := range k.points {
			if key.fn != fn {
				continue
			}
			if old, ok := sum[key.minute]; ok {
				sum[key.minute] = merge(old, *m)
			} else {
				sum[key.minute] = cloned(*m)
			}
		}
	}
	out := make([]lambda.MetricPoint, 0, len(sum))
	for _, m := range sum {
		out = append(out, finished(m))
	}
	slices.SortFunc(out, func(a, b lambda.MetricPoint) int { return a.At.Compare(b.At) })
	return out
}

func cloned(m lambda.MetricPoint) lambda.MetricPoint {
	m.Hist = slices.Clone(m.Hist)
	return m
}

func (b *runBook) run(ctx context.Context) error {
	for ctx.Err() == nil {
		wait(ctx, b.pause(), b.wake)
		b.step(ctx)
	}
	return b.stop(context.WithoutCancel(ctx))
}

func (b *runBook) pause() time.Duration {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch {
	case b.gone.away():
		return time.Until(b.gone.retry)
	case len(b.queue) > 0 && (b.closed || len(b.queue[0].runs) >= runsPerBatch || b.queue[0].alone):
		return 0
	case len(b.queue) > 0:
		return time.Until(b.since.Add(runsWait))
	case !b.spool.empty():
		return 0
	}
	return time.Minute
}

// step writes one batch, when one is due.
func (b *runBook) step(ctx context.Context) {
	if b.pause() > 0 {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), writeTime)
	defer cancel()
	k := b.front()
	if k == nil {
		return
	}
	if err := b.sink.CopyRuns(ctx, k.runs, k.points.list()); err != nil {
		b.failed(k, err)
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.gone.away() {
		b.log.Info("the database takes reports again", "after", time.Since(b.gone.since).Round(time.Millisecond))
		b.gone.over()
	}
	b.drop()
}

// front is the batch to write, from the spool when nothing else waits.
func (b *runBook) front() *runBatch {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.queue) == 0 && !b.spool.empty() {
		b.loadSpool()
	}
	if len(b.queue) == 0 {
		return nil
	}
	b.busy = true
	return b.queue[0]
}

func (b *runBook) loadSpool() {
	runs, done, err := b.spool.next(runsPerBatch)
	if err != nil {
		b.log.Error("the spool of reports cannot be read and is given up", "err", err)
		b.spool.read = b.spool.size
	} else {
		k := &runBatch{points: points{}}
		for _, r := range runs {
			k.add(r, sizeOfRun(&r), 0, 0)
		}
		b.queue, b.bytes = append(b.queue, k), b.bytes+k.bytes
		done()
	}
	if b.spool.empty() {
		if err := b.spool.reset(); err != nil {
			b.log.Error("empty the spool", "err", err)
		}
	}
}

// drop forgets the batch that was written.
func (b *runBook) drop() {
	b.bytes -= b.queue[0].bytes
	b.queue, b.busy, b.since = b.queue[1:], false, time.Now()
	b.room.Broadcast()
}

// failed keeps the batch as it is. One whose content is refused is split, down to the run that is at fault.
func (b *runBook) failed(k *runBatch, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.gone.away() {
		b.log.Warn("reports wait for the database", "err", err)
	}
	b.gone.failed(time.Now())
	b.room.Broadcast()
	if !refuses(err) {
		return
	}
	b.gone.retry = time.Time{}
	if len(k.runs) == 1 {
		b.log.Error("the database refuses a report", "request", k.runs[0].Report.RequestID, "err", err)
		b.refused++
		b.meter.refused.Inc()
		b.drop()
		return
	}
	b.queue = append(split(k), b.queue[1:]...)
}

// split makes two batches of one. Each has the points of its own runs; the concurrency seen goes to both.
func split(k *runBatch) []*runBatch {
	half := len(k.runs) / 2
	var out []*runBatch
	for _, runs := range [][]lambda.Run{k.runs[:half], k.runs[half:]} {
		part := &runBatch{points: points{}, alone: true}
		for _, r := range runs {
			part.add(r, sizeOfRun(&r), 0, 0)
		}
		for key, m := range part.points {
			m.MaxRunning = k.points[key].MaxRunning
		}
		out = append(out, part)
	}
	return out
}

// stop writes what is there and leaves the rest in the spool for the next start.
func (b *runBook) stop(ctx context.Context) error {
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
	b.mu.Lock()
	defer b.mu.Unlock()
	var errs []error
	for _, k := range b.queue {
		errs = append(errs, b.spool.append(k.runs))
	}
	b.queue = nil
	return errors.Join(append(errs, b.spool.close())...)
}

func (b *runBook) unfinished() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.queue) > 0 || !b.spool.empty()
}

func (b *runBook) health() Health {
	b.mu.Lock()
	defer b.mu.Unlock()
	return Health{Away: b.gone.away(), Since: b.gone.since, Waiting: int64(b.bytes), Spooled: b.spool.size - b.spool.read, Blocked: b.blocked, Refused: b.refused}
}
