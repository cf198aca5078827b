package runner

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"io"
	"os"
	"strconv"
	"sync/atomic"
	"time"

	"kiln/executor"
	"kiln/lambda"
)

// worker is a sandbox that is one function's.
type worker struct {
	*process
	pool   *pool
	stream string // the log stream's name
	init   time.Duration
	first  bool // the next run is its first: a cold start

	current atomic.Pointer[invocation]
	idle    atomic.Bool

	// Under the runner's lock:
	idleSince time.Time
	chilled   bool // frozen, or about to be
	doomed    bool
	seenRun   *invocation // at Tend's last look
	seenCPU   time.Duration
	seenAt    time.Time
	seenOff   bool
}

func itoa(n int) string { return strconv.Itoa(n) }

// streamName is a log stream's name as AWS makes it.
func streamName(at time.Time, version string) string {
	var id [16]byte
	_, _ = rand.Read(id[:]) // never fails
	return at.UTC().Format("2006/01/02") + "/[" + version + "]" + hex.EncodeToString(id[:])
}

// run runs one invocation and gives the worker back.
func (w *worker) run(a executor.Assignment) executor.Outcome {
	var t *tail
	if a.WantTail {
		t = &tail{}
		t.write(startLine(a.RequestID, w.pool.run.Version))
	}
	w.output.begin(a.RequestID, t)
	if err := w.box.thaw(); err != nil {
		w.pool.r.Log.Warn("thaw a worker", "worker", w.stream, "error", err)
	}
	inv := &invocation{Assignment: a, started: time.Now()}
	inv.deadline = inv.started.Add(a.Timeout)
	w.current.Store(inv)
	ans, err := w.invoke(inv)
	took := time.Since(inv.started)
	w.current.Store(nil)
	v := verdict{answer: ans}
	if err != nil {
		v.failure = w.fail(err, inv)
		w.output.say(lambda.LevelError, v.failure.logText())
	}
	w.output.end()
	out := w.report(inv, &v, took, t)
	w.after(&v, took, inv.deadline)
	return out
}

func (w *worker) invoke(inv *invocation) (answer, error) {
	if w.channel != nil {
		return w.channel.invoke(inv)
	}
	return w.api.invoke(inv, w.box.Exited())
}

// fail says what became of a run that was not answered. Unless the worker stays usable, it is gone when fail returns, with all its output read.
func (w *worker) fail(err error, inv *invocation) *failure {
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded):
		w.kill()
		return timedOut(inv.Timeout)
	case errors.Is(err, errTooLarge):
		w.kill()
		return tooLarge()
	case errors.Is(err, errExtraLong):
		return tooLarge()
	case errors.Is(err, errReceiver):
		w.kill()
		return &failure{status: lambda.StatusError, errorType: "Function.ResponseAborted", message: "The receiver of the streamed response went away."}
	}
	if !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
		w.pool.r.Log.Debug("a worker's channel failed", "worker", w.stream, "error", err)
	}
	w.kill()
	return exited(w.box.exit())
}

// kill ends the sandbox now and waits until its output has been read.
func (w *worker) kill() {
	r := w.pool.r
	r.mu.Lock()
	r.lose(w)
	r.mu.Unlock()
	if err := w.box.stop(); err != nil {
		r.Log.Error("stop a sandbox", "worker", w.stream, "error", err)
	}
	w.output.readers.Wait()
}

// after gives the worker back once it waits again, or ends it.
func (w *worker) after(v *verdict, took time.Duration, deadline time.Time) {
	r := w.pool.r
	r.mu.Lock()
	w.pool.duration.add(took)
	if v.last && !w.doomed {
		r.lose(w)
	}
	doomed := w.doomed
	r.mu.Unlock()
	switch {
	case doomed:
	case w.channel != nil:
		r.release(w)
	default:
		w.releaseWhenNext(deadline)
	}
}

// lateNext is how long a provided runtime may take to ask for its next event, at least.
const lateNext = 5 * time.Second

func (w *worker) releaseWhenNext(deadline time.Time) {
	r := w.pool.r
	guard := time.AfterFunc(max(time.Until(deadline), lateNext), w.giveUp)
	w.api.whenNext(func() {
		if guard.Stop() {
			r.release(w)
		}
	})
	if w.dead() { // watch may have looked while the run was still in progress
		w.giveUp()
	}
}

// watch takes a worker out that ends by itself between runs. A run in progress sees the end on its own.
func (w *worker) watch() {
	<-w.box.Exited()
	if w.current.Load() == nil {
		w.giveUp()
	}
}

func (w *worker) giveUp() {
	r := w.pool.r
	r.mu.Lock()
	defer r.mu.Unlock()
	r.lose(w)
}

// dead says whether the process ended already.
func (w *worker) dead() bool {
	select {
	case <-w.box.Exited():
		return true
	default:
		return false
	}
}
