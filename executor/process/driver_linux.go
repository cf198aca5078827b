package process

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"

	"kiln/executor/runner"
	"kiln/executor/runtimes"
	"kiln/lambda"
)

// helloTimeout bounds a spawner's probing, and how long a call waits for a new spawner.
const helloTimeout = 20 * time.Second

// startTimeout bounds a start whatever happens: a long burst waits for its turn in the spawner.
const startTimeout = 5 * time.Minute

// Driver is the server's side: it asks the spawner and holds the descriptors of the running boxes. It survives its spawner:
// when one dies, its boxes count as exited and the next one is used.
type Driver struct {
	opts   Options
	cancel context.CancelFunc
	done   chan struct{}

	mu      sync.Mutex
	w       *wire // nil while there is no spawner
	caps    runner.Capabilities
	minRung runner.Rung
	up      chan struct{} // closed while there is a spawner
	seq     uint64
	pending map[uint64]chan answer
	boxes   map[uint64]*sandbox
	lost    []*sandbox // of a dead spawner, until the next one has cleaned up
}

type answer struct {
	reply
	fds []int
	box *sandbox // with sayStarted
}

// New connects to the spawner and waits until it has probed the machine. It fails only when no spawner can be started at all:
// a machine without sandboxes gives a driver of rung D. Close ends it.
func New(ctx context.Context, o Options) (*Driver, error) {
	o = o.withDefaults()
	run, cancel := context.WithCancel(context.WithoutCancel(ctx))
	d := &Driver{opts: o, minRung: o.MinRung, cancel: cancel, done: make(chan struct{}), up: make(chan struct{}),
		pending: map[uint64]chan answer{}, boxes: map[uint64]*sandbox{}}
	first := make(chan error, 1)
	go d.run(run, first)
	select {
	case err := <-first:
		if err != nil {
			cancel()
			<-d.done
			return nil, err
		}
		return d, nil
	case <-ctx.Done():
		cancel()
		<-d.done
		return nil, ctx.Err()
	}
}

// run keeps a spawner connected until ctx ends. first gets the outcome of the first connection.
func (d *Driver) run(ctx context.Context, first chan<- error) {
	defer close(d.done)
	src := newSource(d.opts)
	defer src.close()
	for ctx.Err() == nil {
		w, caps, err := src.next(ctx)
		if err == nil {
			d.attach(w, caps)
		}
		if first != nil {
			first <- err
			first = nil
		}
		if err != nil {
			d.opts.Log.Error("no spawner", "err", err)
			d.buryLost()
			pause(ctx, time.Second)
			continue
		}
		if w == nil { // this machine has no sandbox, and a new spawner would not change that
			<-ctx.Done()
			break
		}
		stop := context.AfterFunc(ctx, w.close)
		err = d.read(w)
		stop()
		d.detach(w)
		if ctx.Err() == nil {
			d.opts.Log.Error("the spawner is gone; all sandboxes ended with it", "err", err)
			pause(ctx, 100*time.Millisecond)
		}
	}
	d.buryLost()
}

func pause(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-t.C:
	}
}

func (d *Driver) attach(w *wire, caps runner.Capabilities) {
	d.mu.Lock()
	d.w, d.caps = w, caps
	if w != nil {
		close(d.up)
	}
	d.mu.Unlock()
	d.buryLost() // a spawner greets after it has reaped
	d.opts.Log.Info("sandboxes", "rung", caps.Rung, "cgroups", caps.Cgroups, "tmp_on_disk", caps.DiskTmp)
}

func (d *Driver) detach(w *wire) {
	w.close()
	d.mu.Lock()
	defer d.mu.Unlock()
	d.w = nil
	d.up = make(chan struct{})
	for seq, ch := range d.pending {
		ch <- answer{reply: reply{Say: sayDone, Error: "the spawner is gone", Key: "sandbox.away"}}
		delete(d.pending, seq)
	}
	for id, b := range d.boxes {
		d.lost = append(d.lost, b)
		delete(d.boxes, id)
	}
}

func (d *Driver) buryLost() {
	d.mu.Lock()
	lost := d.lost
	d.lost = nil
	d.mu.Unlock()
	for _, b := range lost {
		b.ended(runner.Exit{Code: -1, Signal: "killed"})
	}
}

// read takes the spawner's packets until its socket ends.
func (d *Driver) read(w *wire) error {
	buf := make([]byte, 64<<10)
	for {
		n, fds, err := w.recv(buf, maxFds)
		if err != nil {
			return err
		}
		var r reply
		if err := json.Unmarshal(buf[:n], &r); err != nil {
			closeFds(fds)
			return fmt.Errorf("read the spawner's packet: %w", err)
		}
		d.dispatch(answer{reply: r, fds: fds})
	}
}

func (d *Driver) dispatch(a answer) {
	d.mu.Lock()
	if a.Say == sayExited {
		b := d.boxes[a.Box]
		delete(d.boxes, a.Box)
		d.mu.Unlock()
		if b != nil && a.Exit != nil {
			b.ended(*a.Exit)
		}
		return
	}
	ch := d.pending[a.Seq]
	delete(d.pending, a.Seq)
	if ch != nil && a.Say == sayStarted {
		// Registered before the next packet is read: the exit may be in it.
		b, err := newSandbox(d, a)
		if err != nil {
			a.Error, a.Key = err.Error(), "sandbox.failed"
			go d.kill(a.Box)
		}
		d.boxes[a.Box] = b
		a.fds, a.box = nil, b
	}
	d.mu.Unlock()
	closeFds(a.fds)
	if ch != nil {
		ch <- a
	}
}

// ask sends a request and waits for its answer; the wait ends early with ctx.
func (d *Driver) ask(ctx context.Context, q *request) (answer, error) {
	ch := make(chan answer, 1)
	w, err := d.enlist(ctx, q, ch)
	if err != nil {
		return answer{}, err
	}
	key, kind := "sandbox.refused", lambda.Invalid
	packet, err := encodeRequest(q)
	if err == nil {
		key, kind = "sandbox.away", lambda.Unavailable
		err = w.send(packet)
	}
	if err != nil {
		d.mu.Lock()
		delete(d.pending, q.Seq)
		d.mu.Unlock()
		return answer{}, lambda.E(kind, key).Because(err)
	}
	select {
	case a := <-ch:
		return a, a.err()
	case <-ctx.Done():
		return answer{}, ctx.Err()
	}
}

func (a answer) err() error {
	if a.Error == "" {
		return nil
	}
	kind := lambda.Unavailable
	if a.Key == "sandbox.entrypoint" || a.Key == "sandbox.refused" {
		kind = lambda.Invalid
	}
	cause := errors.New(a.Error)
	if a.Key == "sandbox.entrypoint" {
		cause = fmt.Errorf("%w: %s", runner.ErrNoEntrypoint, a.Error)
	}
	return lambda.E(kind, a.Key).Because(cause)
}

// enlist waits for a spawner and gives q its number.
func (d *Driver) enlist(ctx context.Context, q *request, ch chan answer) (*wire, error) {
	wait, cancel := context.WithTimeout(ctx, helloTimeout)
	defer cancel()
	for {
		d.mu.Lock()
		w, up := d.w, d.up
		if w != nil {
			d.seq++
			q.Seq = d.seq
			if q.Op == opStart {
				q.Box = d.seq
			}
			d.pending[q.Seq] = ch
			d.mu.Unlock()
			return w, nil
		}
		d.mu.Unlock()
		select {
		case <-up:
		case <-wait.Done():
			return nil, lambda.E(lambda.Unavailable, "sandbox.away").Because(wait.Err())
		case <-d.done:
			return nil, lambda.E(lambda.Unavailable, "sandbox.away")
		}
	}
}

// Capabilities is what the present spawner found.
func (d *Driver) Capabilities() runner.Capabilities {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.caps
}

// AcceptRung changes the lowest rung on which Start works: the owner has confirmed a weaker one.
func (d *Driver) AcceptRung(r runner.Rung) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.minRung = r
}

func (d *Driver) accepted() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.caps.Rung == runner.RungD {
		return lambda.E(lambda.Unavailable, "sandbox.none")
	}
	if d.caps.Rung > d.minRung {
		return lambda.E(lambda.Unavailable, "sandbox.tooWeak", "rung", string(d.caps.Rung), "wanted", string(d.minRung))
	}
	return nil
}

// Start makes a sandbox. Errors: Unavailable (no sandbox on this machine, no such runtime, no free slot, the spawner away),
// Invalid "sandbox.entrypoint" over runner.ErrNoEntrypoint (the function's own program or wrapper is missing or cannot run). When ctx ends first, the box is ended.
func (d *Driver) Start(ctx context.Context, spec runner.Spec) (runner.Sandbox, error) {
	if err := d.accepted(); err != nil {
		return nil, err
	}
	b, err := d.startOnce(ctx, spec)
	if lambda.KeyOf(err) == "sandbox.away" && ctx.Err() == nil {
		b, err = d.startOnce(ctx, spec) // its spawner died meanwhile; nothing has run yet, and there will be another
	}
	if err != nil {
		return nil, err
	}
	return b, nil
}

type started struct {
	box *sandbox
	err error
}

func (d *Driver) startOnce(ctx context.Context, spec runner.Spec) (*sandbox, error) {
	q := &request{Op: opStart, Runtime: spec.Runtime, MemoryMB: spec.MemoryMB, EphemeralMB: spec.EphemeralMB,
		Code: spec.Code, Layers: spec.Layers, Wrapper: spec.Wrapper, env: spec.Env}
	if spec.Code != "" {
		q.Network = &spec.Network
	}
	ch := make(chan started, 1)
	go func() { // it must outlive ctx: a box that nobody waits for any more has to be ended
		late, cancel := context.WithTimeout(context.WithoutCancel(ctx), startTimeout)
		defer cancel()
		a, err := d.ask(late, q)
		if err == nil {
			a.box.id = spec.ID
			if spec.Code != "" {
				a.box.serveDNS(spec.Network)
			}
		}
		ch <- started{a.box, err}
	}()
	select {
	case s := <-ch:
		return s.box, s.err
	case <-ctx.Done():
		go d.abandon(q, ch)
		return nil, ctx.Err()
	}
}

func (d *Driver) kill(box uint64) {
	ctx, cancel := context.WithTimeout(context.Background(), helloTimeout)
	defer cancel()
	if _, err := d.ask(ctx, &request{Op: opKill, Box: box}); err != nil {
		d.opts.Log.Warn("end a sandbox that nobody wants", "err", err)
	}
}

// abandon ends a box whose Start was cancelled.
func (d *Driver) abandon(q *request, ch <-chan started) {
	d.mu.Lock()
	box := q.Box
	d.mu.Unlock()
	if box != 0 {
		d.kill(box)
	}
	s := <-ch
	if s.err != nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), helloTimeout)
	defer cancel()
	if err := errors.Join(s.box.Stop(ctx), s.box.closeAll()); err != nil {
		d.opts.Log.Warn("end an abandoned sandbox", "err", err)
	}
}

// Reap ends what a dead spawner of the same data folder left. Every spawner does so before it greets; this asks once more.
func (d *Driver) Reap(ctx context.Context) error {
	if d.Capabilities().Rung == runner.RungD {
		return nil
	}
	_, err := d.ask(ctx, &request{Op: opReap})
	return err
}

// Runtimes looks for runtimes again and lists them, as the spawner sees them: it reads folders that the server cannot.
func (d *Driver) Runtimes(ctx context.Context) ([]runtimes.Runtime, error) {
	if d.Capabilities().Rung == runner.RungD {
		return nil, nil
	}
	a, err := d.ask(ctx, &request{Op: opRuntimes})
	return a.Runtimes, err
}

// Close ends the spawner's connection, and with it every sandbox, and waits until the driver's own spawner has gone.
func (d *Driver) Close(ctx context.Context) error {
	d.cancel()
	select {
	case <-d.done:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("end the spawner: %w", errors.Join(ctx.Err(), os.ErrDeadlineExceeded))
	}
}
