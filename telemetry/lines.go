package telemetry

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"kiln/lambda"
)

const (
	batchLines   = 1_000
	batchWait    = 50 * time.Millisecond
	blockedCheck = 5 * time.Millisecond  // the same while a function's output waits for it
	flushCheck   = 60 * time.Millisecond // how often the durable position is asked for while something waits for it
	writeTime    = 30 * time.Second      // of one statement
	fairShare    = 64 << 10              // bytes that a function may hold although all of them together hold too much
	replayLines  = 5_000
)

// lineBook holds the lines that are not durable yet. Order of writing: what failed, what waited then, the spool, what came since.
type lineBook struct {
	sink  Sink
	hub   *Hub
	epoch int64
	most  Limits
	log   *slog.Logger
	meter *meters
	wake  chan struct{}

	mu      sync.Mutex
	room    *sync.Cond
	seq     int64
	pending [][]lambda.LogLine // each of one function, in id order
	n       int                // lines in pending
	since   time.Time          // when pending began to fill
	held    map[int64]int      // bytes of a function in pending, written and repair
	heldAll int
	blocked int
	refused int64
	gone    outage
	closed  bool
	spool   *spool[lambda.LogLine]
	replay  bool  // the spool is being read; until then lines past barrier wait
	barrier int64 // last seq of before the replay

	// Only the writer uses these.
	written []writtenBatch // committed, perhaps not flushed
	repair  [][]lambda.LogLine
	lastLSN uint64
	checked time.Time
}

type writtenBatch struct {
	lines []lambda.LogLine
	lsn   uint64
}

func newLineBook(o Options, m *meters, s *spool[lambda.LogLine]) *lineBook {
	b := &lineBook{sink: o.Sink, hub: o.Hub, epoch: o.Epoch, most: o.Limits, log: o.Log, meter: m, wake: make(chan struct{}, 1),
		held: map[int64]int{}, spool: s, replay: !s.empty()}
	b.room = sync.NewCond(&b.mu)
	b.hub.setWhole(!b.replay)
	return b
}

// accept takes lines of one function.
func (b *lineBook) accept(lines []lambda.LogLine) {
	fn, size := lines[0].FunctionID, sizeOf(lines)
	b.meter.lines.Add(float64(len(lines)))
	b.mu.Lock()
	defer b.mu.Unlock()
	for !b.closed && !b.fits(fn, size) {
		if b.gone.away() && !b.spool.full() && b.toSpool(lines) {
			return
		}
		b.blocked++
		signal(b.wake)
		b.meter.blocked.Inc()
		b.room.Wait()
		b.blocked--
	}
	if b.closed && b.toSpool(lines) {
		return
	}
	b.number(lines)
	b.hold(fn, size)
	if b.n == 0 {
		b.since = time.Now()
	}
	b.pending = append(b.pending, lines)
	if b.n += len(lines); b.n == len(lines) || b.n >= batchLines {
		signal(b.wake)
	}
}

func (b *lineBook) fits(fn int64, size int) bool {
	mine := b.held[fn]
	if b.heldAll+size > b.most.All && mine+size > fairShare {
		return false
	}
	return mine == 0 || mine+size <= b.most.Each
}

func (b *lineBook) hold(fn int64, size int) {
	b.held[fn] += size
	b.heldAll += size
	if b.held[fn] == 0 {
		delete(b.held, fn)
	}
}

// number gives the ids and shows the lines; under the lock, so that watchers see them in id order.
func (b *lineBook) number(lines []lambda.LogLine) {
	for i := range lines {
		b.seq++
		lines[i].ID = lambda.LogID{Epoch: b.epoch, Seq: b.seq}
	}
	b.hub.PublishLines(lines)
}

func (b *lineBook) toSpool(lines []lambda.LogLine) bool {
	first := b.seq
	for i := range lines {
		lines[i].ID = lambda.LogID{Epoch: b.epoch, Seq: first + int64(i) + 1}
	}
	if err := b.spool.append(lines); err != nil {
		b.log.Error("log lines do not fit on the disk", "err", err)
		return false
	}
	b.hub.setWhole(false)
	b.number(lines)
	return true
}

// run is the one writer.
func (b *lineBook) run(ctx context.Context) error {
	for ctx.Err() == nil {
		wait(ctx, b.pause(), b.wake)
		b.step(ctx)
	}
	return b.stop(context.WithoutCancel(ctx))
}

// pause is how long there is nothing to do.
func (b *lineBook) pause() time.Duration {
	b.mu.Lock()
	defer b.mu.Unlock()
	idle := time.Minute
	switch {
	case b.gone.away():
		return time.Until(b.gone.retry)
	case b.replay || b.n >= batchLines || b.n > 0 && b.blocked > 0:
		return 0
	case b.n > 0:
		idle = time.Until(b.since.Add(batchWait))
	}
	if len(b.written) > 0 {
		idle = min(idle, time.Until(b.checked.Add(b.every())))
	}
	return idle
}

// every is how often the durable position is asked for; under the lock.
func (b *lineBook) every() time.Duration {
	if b.blocked > 0 {
		return blockedCheck
	}
	return flushCheck
}

// step does what is due: one batch at most.
func (b *lineBook) step(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), writeTime)
	defer cancel()
	b.mu.Lock()
	away, due := b.gone.away(), time.Now().After(b.gone.retry)
	b.mu.Unlock()
	if away {
		if due {
			b.recover(ctx)
		}
		return
	}
	if batch := b.take(); batch != nil {
		b.write(ctx, batch)
	} else if b.replaying() {
		b.replaySpool(ctx)
	}
	b.check(ctx)
}

// take cuts the next batch from what waits, when it is due.
func (b *lineBook) take() []lambda.LogLine {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.n == 0 || b.replay && b.pending[0][0].ID.Seq > b.barrier {
		return nil
	}
	if !b.closed && !b.replay && b.blocked == 0 && b.n < batchLines && time.Since(b.since) < batchWait {
		return nil
	}
	var batch []lambda.LogLine
	for len(b.pending) > 0 && len(batch) < batchLines {
		c := b.pending[0]
		if b.replay && c[0].ID.Seq > b.barrier {
			break
		}
		batch = append(batch, c...)
		b.pending[0] = nil
		b.pending = b.pending[1:]
	}
	b.n -= len(batch)
	b.since = time.Now()
	return batch
}

func (b *lineBook) write(ctx context.Context, batch []lambda.LogLine) {
	t := time.Now()
	lsn, err := b.sink.CopyLogs(ctx, batch)
	b.meter.write.Observe(time.Since(t).Seconds())
	if err != nil {
		b.doubt(err, batch)
		return
	}
	if lsn < b.lastLSN { // the database went back: a crash took what was not flushed
		b.lastLSN = lsn
		b.doubt(errWentBack, batch)
		return
	}
	b.lastLSN = lsn
	b.written = append(b.written, writtenBatch{batch, lsn})
}

// check asks how far the database is durable and forgets what is.
func (b *lineBook) check(ctx context.Context) {
	b.mu.Lock()
	every := b.every()
	b.mu.Unlock()
	if len(b.written) == 0 || time.Since(b.checked) < every {
		return
	}
	b.checked = time.Now()
	flushed, err := b.sink.FlushedLSN(ctx)
	if err != nil {
		b.doubt(err, nil)
		return
	}
	for len(b.written) > 0 && b.written[0].lsn <= flushed {
		b.release(b.written[0].lines)
		b.written = b.written[1:]
	}
}

// doubt makes everything that is not known to be durable a case for repair.
func (b *lineBook) doubt(err error, batch []lambda.LogLine) {
	for _, w := range b.written {
		b.repair = append(b.repair, w.lines)
	}
	b.written = nil
	if batch != nil {
		b.repair = append(b.repair, batch)
	}
	b.mu.Lock()
	first := !b.gone.away()
	b.gone.failed(time.Now())
	b.mu.Unlock()
	if first {
		b.log.Warn("log lines wait for the database", "err", err)
	}
	b.room.Broadcast() // the spool is open now
}

// recover writes what is in doubt; when all of it is there, the replay begins.
func (b *lineBook) recover(ctx context.Context) {
	for len(b.repair) > 0 {
		if err := b.sink.RepairLogs(ctx, b.repair[0]); err != nil {
			b.still(err)
			return
		}
		b.release(b.repair[0])
		b.repair = b.repair[1:]
	}
	if _, err := b.sink.FlushedLSN(ctx); err != nil {
		b.still(err)
		return
	}
	b.lastLSN = 0
	b.mu.Lock()
	b.log.Info("the database takes log lines again", "after", time.Since(b.gone.since).Round(time.Millisecond), "spooled", b.spool.size-b.spool.read)
	b.gone.over()
	b.replay, b.barrier = true, b.seq
	b.mu.Unlock()
	b.room.Broadcast()
}

// still notes that the outage goes on. A batch whose content is refused is split, down to the one line that is at fault.
func (b *lineBook) still(err error) {
	b.mu.Lock()
	b.gone.failed(time.Now())
	if !refuses(err) || len(b.repair) == 0 {
		b.mu.Unlock()
		return
	}
	b.gone.retry = time.Time{}
	b.mu.Unlock()
	bad := b.repair[0]
	if len(bad) > 1 {
		b.repair = append([][]lambda.LogLine{bad[:len(bad)/2], bad[len(bad)/2:]}, b.repair[1:]...)
		return
	}
	b.log.Error("the database refuses a log line", "function", bad[0].FunctionID, "request", bad[0].RequestID, "err", err)
	b.release(bad)
	b.repair = b.repair[1:]
	b.mu.Lock()
	b.refused++
	b.mu.Unlock()
	b.meter.refused.Inc()
}

func (b *lineBook) replaying() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.replay
}

// replaySpool writes the next part of the spool; at its end lines go the usual way again.
func (b *lineBook) replaySpool(ctx context.Context) {
	b.mu.Lock()
	if b.spool.empty() {
		b.replay = false
		b.hub.setWhole(true)
		if err := b.spool.reset(); err != nil {
			b.log.Error("empty the spool", "err", err)
		}
		b.mu.Unlock()
		return
	}
	lines, done, err := b.spool.next(replayLines)
	b.mu.Unlock()
	if err != nil {
		b.log.Error("the spool of log lines cannot be read and is given up", "err", err)
		b.mu.Lock()
		b.spool.read = b.spool.size
		b.mu.Unlock()
		return
	}
	for len(lines) > 0 {
		part := lines[:min(batchLines, len(lines))]
		if err := b.sink.RepairLogs(ctx, part); err != nil {
			b.keepForRepair(lines)
			b.doubt(err, nil)
			break
		}
		lines = lines[len(part):]
	}
	b.mu.Lock()
	done()
	b.mu.Unlock()
}

// keepForRepair takes lines of the spool into memory, where a refused one can be found by splitting.
func (b *lineBook) keepForRepair(lines []lambda.LogLine) {
	b.mu.Lock()
	for i := range lines {
		b.hold(lines[i].FunctionID, sizeOf(lines[i:i+1]))
	}
	b.mu.Unlock()
	for len(lines) > 0 {
		n := min(batchLines, len(lines))
		b.repair = append(b.repair, lines[:n])
		lines = lines[n:]
	}
}
