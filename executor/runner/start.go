package runner

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"time"

	"kiln/executor"
	"kiln/executor/runtimes"
	"kiln/lambda"
)

const (
	startLimit = time.Minute            // for everything before the function's own init: code, credentials, a place to boot
	retryAfter = 200 * time.Millisecond // after a start that failed while other workers live
)

// process is a sandbox with everything that Kiln holds of it, pre-booted or a worker's.
type process struct {
	r       *Runner
	box     *box
	output  *capture
	channel *channel    // of Kiln's bootstraps
	api     *runtimeAPI // of provided runtimes
}

// launch starts a sandbox and reads what it says.
func (r *Runner) launch(ctx context.Context, spec Spec) (*process, error) {
	spec.ID = "w" + strconv.FormatUint(r.serial.Add(1), 10)
	s, err := r.Driver.Start(ctx, spec)
	if err != nil {
		return nil, fmt.Errorf("start a sandbox: %w", err)
	}
	p := &process{r: r, box: &box{Sandbox: s}}
	if c := s.Channel(); c != nil {
		p.channel = newChannel(c)
	}
	p.output, err = newCapture(r.Sink, s)
	r.mu.Lock()
	r.processes[p] = struct{}{}
	r.usedMB += guessMB
	r.mu.Unlock()
	if err != nil {
		r.starts.Go(p.end)
		return nil, err
	}
	return p, nil
}

// end stops the sandbox and closes everything of it.
func (p *process) end() {
	if err := p.box.stop(); err != nil {
		p.r.Log.Error("stop a sandbox", "sandbox", p.box.ID(), "error", err)
	}
	if p.channel != nil {
		p.channel.conn.Close()
	}
	if p.api != nil {
		p.api.close()
	} else if l := p.box.RuntimeAPI(); l != nil {
		l.Close()
	}
	if l := p.box.AWS(); l != nil {
		l.Close()
	}
	p.output.close()
	p.r.mu.Lock()
	defer p.r.mu.Unlock()
	delete(p.r.processes, p)
	p.r.evicting = max(0, p.r.evicting-1)
}

// start makes one more worker for p and gives it to the oldest waiting run; trigger is the run that asked for it.
func (r *Runner) start(p *pool, trigger string) {
	began := time.Now()
	w, failed, err := r.makeWorker(p, trigger)
	if err != nil && lambda.KindOf(err) == lambda.Internal && r.life.Err() == nil {
		// A pre-booted sandbox may have died with its spawner a moment ago; a fresh one is another matter.
		r.Log.Warn("start a worker: trying once more", "function", p.run.Function, "error", err)
		w, failed, err = r.makeWorker(p, trigger)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	p.starting--
	r.starting--
	switch {
	case err != nil:
		r.startFailed(p, err)
	case failed != nil:
		// Every run that waited for this start gets its failure: each would meet the same one.
		for n := len(p.queue); n > 0; n-- {
			r.pop(p).grant <- grant{failed: failed}
		}
	default:
		p.startup.add(time.Since(began))
		w.first = true
		r.starts.Go(w.watch)
		r.place(p, w)
	}
	r.forgetEmpty(p)
}

// startFailed: without another worker nobody would ever serve the queue. Under the lock.
func (r *Runner) startFailed(p *pool, err error) {
	r.Log.Error("start a worker", "function", p.run.Function, "runtime", p.runtime.Name, "error", err)
	if lambda.KindOf(err) == lambda.Internal {
		err = lambda.E(lambda.Unavailable, "sandbox.start").Because(err)
	}
	p.retryAt = time.Now().Add(retryAfter)
	if p.live() == 0 {
		p.retryAt = time.Time{}
		r.failQueue(p, err)
	}
}

// makeWorker fetches what the worker needs and boots or hands over a sandbox. failed is the function's own fault.
func (r *Runner) makeWorker(p *pool, trigger string) (*worker, *initFailure, error) {
	ctx, cancel := context.WithTimeout(r.life, startLimit)
	defer cancel()
	run := p.run
	for _, c := range append([]lambda.Code{run.Code}, run.LayerCode...) {
		if err := r.Provider.Tree(ctx, c.SHA256); err != nil {
			return nil, nil, fmt.Errorf("unpack the code: %w", err)
		}
	}
	w := &worker{pool: p, stream: streamName(time.Now(), run.Version)}
	creds, err := r.Provider.Credentials(ctx, w.stream, run.Role)
	if err != nil {
		return nil, nil, fmt.Errorf("get the role's credentials: %w", err)
	}
	env := environment(run, p.runtime, identity{stream: w.stream, creds: creds, region: r.Region, api: "127.0.0.1:9001", aws: r.awsEndpoint()})
	words := &tail{}
	start := w.takeOver
	if p.cold {
		start = w.startCold
	}
	began, err := start(ctx, env, trigger, words)
	if err == nil {
		w.init = time.Since(began)
		err = w.box.throttle(milliCPU(run.MemoryMB))
	}
	if err == nil {
		w.output.end()
		return w, nil, nil
	}
	failed := w.endFailed(err, began, words)
	if failed != nil {
		return nil, failed, nil
	}
	return nil, nil, err
}

// awsEndpoint is where functions reach Kiln's AWS endpoint; "" on rungs that have none.
func (r *Runner) awsEndpoint() string {
	if rung := r.Driver.Capabilities().Rung; rung == RungA || rung == RungB {
		return "http://127.0.0.1:9002"
	}
	return ""
}

// errInit is a failure of the function's own: its code does not load, or its process ends or takes too long.
type errInit struct {
	payload []byte   // AWS's error object, when the code said it
	failure *failure // else
}

func (e *errInit) Error() string { return "the function does not start" }

// endFailed ends a worker that did not start; the result is nil unless err is the function's own failure.
func (w *worker) endFailed(err error, began time.Time, words *tail) *initFailure {
	if w.process != nil {
		if err := w.box.stop(); err != nil {
			w.r.Log.Error("stop a sandbox", "sandbox", w.box.ID(), "error", err)
		}
		w.output.close()
		defer w.r.starts.Go(w.end)
		defer w.output.end()
	}
	e, ok := errors.AsType[*errInit](err)
	if !ok {
		return nil
	}
	if e.failure == nil && e.payload == nil { // the process went away
		e.failure = exited(w.box.exit())
	}
	if w.process != nil && e.failure != nil {
		w.output.say(lambda.LevelError, e.failure.logText())
	}
	return &initFailure{errInit: *e, worker: w.stream, began: began, took: time.Since(began), words: words.bytes(), peakMB: w.peak()}
}

func (w *worker) peak() int {
	if w.process == nil {
		return 0
	}
	return w.box.peakMB(time.Now())
}

// baseLine is what every line of the worker carries.
func (w *worker) baseLine() lambda.LogLine {
	return lambda.LogLine{FunctionID: w.pool.run.FunctionID, Version: w.pool.run.Version, Worker: w.stream}
}

// begin makes the sandbox this function's: its output is logged, its AWS endpoint answers.
func (w *worker) begin(trigger string, words *tail) {
	w.output.adopt(w.baseLine(), w.pool.runtime.Family, trigger, words)
	if l := w.box.AWS(); l != nil {
		w.r.starts.Go(func() { w.r.Provider.ServeAWS(l, w.stream, w.pool.run) })
	}
}

// startCold boots a sandbox with the code and the environment in it; began is when that started, after the wait for a place to boot.
func (w *worker) startCold(ctx context.Context, env map[string]string, trigger string, words *tail) (began time.Time, err error) {
	p, r := w.pool, w.pool.r
	spec := Spec{Runtime: p.runtime.Name, MemoryMB: p.run.MemoryMB, EphemeralMB: p.run.EphemeralMB, Code: p.run.Code.SHA256, Layers: layersOf(p.run), Env: pairs(env), Wrapper: p.run.Env[wrapperName]}
	release, err := r.bootSlot(ctx)
	began = time.Now()
	if err != nil {
		return began, err
	}
	defer release()
	w.process, err = r.launch(ctx, spec)
	if errors.Is(err, ErrNoEntrypoint) {
		return began, &errInit{failure: noEntrypoint()}
	}
	if err != nil {
		return began, err
	}
	if p.runtime.Family == runtimes.Provided && w.channel != nil { // a driver may give one to every sandbox
		w.channel.conn.Close()
		w.channel = nil
	}
	w.begin(trigger, words)
	w.output.start()
	limit := time.Now().Add(r.InitLimit)
	if p.runtime.Family == runtimes.Provided {
		return began, w.awaitProvided(limit)
	}
	if err := w.channel.awaitBoot(limit); err != nil {
		return began, r.initError(err)
	}
	return began, w.load(env, limit)
}

func (w *worker) awaitProvided(limit time.Time) error {
	l := w.box.RuntimeAPI()
	if l == nil {
		return lambda.E(lambda.Unavailable, "runtime.noRuntimeAPI", "runtime", w.pool.run.Runtime)
	}
	w.api = serveRuntimeAPI(l)
	payload, err := w.api.awaitUp(limit, w.box.Exited())
	if payload != nil {
		return &errInit{payload: payload}
	}
	return w.r.initError(err)
}

// takeOver makes a pre-booted runtime this function's; began is when that started, without a boot that the pool lacked.
func (w *worker) takeOver(ctx context.Context, env map[string]string, trigger string, words *tail) (began time.Time, err error) {
	p, r := w.pool, w.pool.r
	w.process, err = r.takeReady(ctx, p.shelfKey())
	began = time.Now()
	if err != nil {
		return began, err
	}
	h := HandOver{Code: p.run.Code.SHA256, Layers: layersOf(p.run), MemoryMB: p.run.MemoryMB, EphemeralMB: p.run.EphemeralMB}
	if err := w.box.handOver(ctx, h); err != nil {
		return began, fmt.Errorf("hand a sandbox over: %w", err)
	}
	w.begin(trigger, words)
	if err := w.load(env, began.Add(r.InitLimit)); err != nil {
		return began, err
	}
	r.mu.Lock()
	r.handOver.add(time.Since(began))
	r.mu.Unlock()
	return began, nil
}

// load hands the runtime the function's environment and code.
func (w *worker) load(env map[string]string, limit time.Time) error {
	run := w.pool.run
	task, opt := w.box.folders()
	m := &handOverMessage{Env: env, Handler: run.Handler, Runtime: run.Runtime, Task: task, Opt: opt, LogFormat: run.LogFormat, LogLevel: appLevel(run),
		Name: run.Function, Version: run.Version, Memory: strconv.Itoa(run.MemoryMB), Group: logGroup(run), Stream: w.stream, Limit: MaxResponse}
	if run.MemoryMB < w.pool.class && !w.pool.cold {
		m.HeapMB = run.MemoryMB * 3 / 4 // V8 sized its heap by the class that it was booted with
	}
	payload, err := w.channel.load(m, limit)
	if payload != nil {
		return &errInit{payload: payload}
	}
	return w.r.initError(err)
}

// initError turns the end or the silence of a process that loads a function into the function's failure.
func (r *Runner) initError(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, os.ErrDeadlineExceeded):
		return &errInit{failure: timedOut(r.InitLimit)}
	case errors.Is(err, errProtocol):
		return err
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return &errInit{}
	}
	r.Log.Debug("a worker's channel failed while it loaded", "error", err)
	return &errInit{}
}

func layersOf(run *lambda.Runnable) []string {
	var list []string
	for _, c := range run.LayerCode {
		list = append(list, c.SHA256)
	}
	return list
}

// initFailure is a start that failed by the function's own fault.
type initFailure struct {
	errInit
	worker string
	began  time.Time
	took   time.Duration
	words  []byte // what it said, as AWS renders it
	peakMB int
}

// outcome is the failure as the answer to one of the runs that waited for the start.
func (f *initFailure) outcome(run *lambda.Runnable, a executor.Assignment) executor.Outcome {
	v := verdict{failure: f.failure, answer: answer{payload: f.payload, failed: true}}
	rep := lambda.Report{Cold: true, Init: f.took, StartedAt: f.began, Worker: f.worker, MaxMemoryMB: f.peakMB, BilledMS: billed(f.took)}
	out := v.outcome(run, a, rep)
	if a.WantTail {
		t := &tail{}
		t.write(startLine(a.RequestID, run.Version))
		t.write(string(f.words))
		out.LogTail = t.finish(&out.Report)
	}
	return out
}
