package runner

import (
	"context"
	"fmt"
	"log/slog"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"kiln/executor"
	"kiln/executor/runtimes"
	"kiln/lambda"
)

// Options is what a Runner is made of. Driver, Provider, Sink and Runtimes are needed; zero numbers mean the defaults.
type Options struct {
	Driver   Driver
	Provider Provider
	Sink     Sink
	Runtimes *runtimes.Set
	Region   string // AWS_REGION of workers; "us-east-1" by default
	Log      *slog.Logger

	QueueBound  int           // runs of one digest that may wait for a worker; 1,000 by default
	MaxWorkers  int           // sandboxes at the same time, pre-booted ones too; 512 by default
	MemoryMB    int64         // budget for measured use of all sandboxes; three quarters of the machine's memory by default
	Cores       int           // runnable workers that the machine serves at full speed; GOMAXPROCS by default
	InitLimit   time.Duration // for boot and loading of code; 10 s by default, as on AWS
	FreezeAfter time.Duration // idle time until a worker is frozen; 50 ms by default
	IdleFor     time.Duration // idle time until a worker ends; 10 min by default
	Warm        []string      // runtime names to keep pre-booted from the start: those of the functions that exist
}

func (o Options) withDefaults() Options {
	set := func(p *int, v int) {
		if *p == 0 {
			*p = v
		}
	}
	set(&o.QueueBound, 1000)
	set(&o.MaxWorkers, 512)
	set(&o.Cores, runtime.GOMAXPROCS(0))
	for p, v := range map[*time.Duration]time.Duration{&o.InitLimit: 10 * time.Second, &o.FreezeAfter: 50 * time.Millisecond, &o.IdleFor: 10 * time.Minute} {
		if *p == 0 {
			*p = v
		}
	}
	if o.MemoryMB == 0 {
		o.MemoryMB = machineMemoryMB() * 3 / 4
	}
	if o.Region == "" {
		o.Region = "us-east-1"
	}
	if o.Log == nil {
		o.Log = slog.Default()
	}
	return o
}

// Runner is the in-process executor.Runner. Tend must run beside it: it pre-boots, freezes, reaps, and starts workers for queues whose
// workers wait.
type Runner struct {
	Options
	wake   chan struct{} // tells Tend that there is something to look after
	boots  chan struct{} // slots for boots that run at the same time
	life   context.Context
	end    context.CancelFunc
	starts sync.WaitGroup // goroutines that start, watch and stop sandboxes
	serial atomic.Uint64  // of sandboxes

	mu        sync.Mutex
	pools     map[lambda.Digest]*pool
	shelves   map[shelfKey]*shelf
	closed    bool
	processes map[*process]struct{}
	running   int // workers with an invocation
	starting  int
	waiting   int   // queued runs
	chilling  bool  // Tend will look for workers to freeze
	looking   bool  // Tend will look at the queues
	warmed    bool  // the first runtimes are on their shelves
	offCPU    int   // running workers that wait for something, at the last look
	usedMB    int64 // measured at the last look, and an estimate for what has started since
	evicting  int   // workers that end to make room
	handOver  average
}

var _ executor.Runner = (*Runner)(nil)

// New makes a Runner. The driver's left-overs are ended by Tend before anything is booted ahead.
func New(o Options) *Runner {
	o = o.withDefaults()
	r := &Runner{Options: o, wake: make(chan struct{}, 1), boots: make(chan struct{}, max(o.Cores, 1)),
		pools: map[lambda.Digest]*pool{}, shelves: map[shelfKey]*shelf{}, processes: map[*process]struct{}{}, handOver: average{value: 3 * time.Millisecond}}
	r.life, r.end = context.WithCancel(context.Background())
	return r
}

// Run keeps the contract of executor.Runner.
func (r *Runner) Run(ctx context.Context, a executor.Assignment) (executor.Outcome, error) {
	p, err := r.poolOf(ctx, &a)
	if err != nil {
		return executor.Outcome{}, err
	}
	for {
		g, err := r.acquire(ctx, p, a.RequestID)
		switch {
		case err != nil:
			return executor.Outcome{}, err
		case g.failed != nil:
			return g.failed.outcome(p.run, a), nil
		case !g.worker.dead():
			return g.worker.run(a), nil
		}
		g.worker.giveUp() // it ended while it was idle: the run has not begun
	}
}

// CodeInUse are the packages, layers too, of every pool: workers may have them mounted.
func (r *Runner) CodeInUse() map[string]bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	used := map[string]bool{}
	for _, p := range r.pools {
		used[p.run.Code.SHA256] = true
		for _, l := range p.run.LayerCode {
			used[l.SHA256] = true
		}
	}
	return used
}

// Capacity is what is held and used now.
func (r *Runner) Capacity() executor.Capacity {
	caps := r.Driver.Capabilities()
	r.mu.Lock()
	defer r.mu.Unlock()
	c := executor.Capacity{Running: r.running, Queued: r.waiting, MemoryMB: r.usedMB, MemoryMaxMB: r.MemoryMB, Rung: string(caps.Rung)}
	for _, p := range r.pools {
		c.Workers += p.running + len(p.idle)
	}
	for _, s := range r.shelves {
		c.PreBooted += len(s.ready)
	}
	if caps.Rung == RungD {
		c.Reason = reasonOf(caps)
	}
	return c
}

func reasonOf(c Capabilities) string {
	if len(c.Missing) > 0 {
		return c.Missing[0].Key
	}
	return "sandbox.none"
}

// Running is the number of runs of d that run or wait.
func (r *Runner) Running(d lambda.Digest) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	if p := r.pools[d]; p != nil {
		return p.running + len(p.queue)
	}
	return 0
}

// Drain keeps the contract of executor.Runner: runs that wait already are still served.
func (r *Runner) Drain(keep func(lambda.Digest) bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for d, p := range r.pools {
		if p.draining = !keep(d); p.draining {
			r.dropIdle(p)
			r.forgetEmpty(p)
		}
	}
}

// Close keeps the contract of executor.Runner. Runs that still wait get Unavailable "runner.closed".
func (r *Runner) Close(ctx context.Context) error {
	r.end()
	r.mu.Lock()
	r.closed = true
	for _, p := range r.pools {
		r.failQueue(p, lambda.E(lambda.Unavailable, "runner.closed"))
		r.dropIdle(p)
	}
	for _, s := range r.shelves {
		for _, b := range s.ready {
			r.starts.Go(b.end)
		}
		s.ready = nil
	}
	r.mu.Unlock()
	done := make(chan struct{})
	go func() { r.starts.Wait(); close(done) }()
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("end the workers: %w", ctx.Err())
	}
}

// poolOf gives the digest's pool, made on its first run.
func (r *Runner) poolOf(ctx context.Context, a *executor.Assignment) (*pool, error) {
	d := a.Digest
	r.mu.Lock()
	p := r.pools[d]
	r.mu.Unlock()
	if p != nil {
		return p, nil
	}
	if caps := r.Driver.Capabilities(); caps.Rung == RungD {
		return nil, lambda.E(lambda.Unavailable, reasonOf(caps))
	}
	run := a.Runnable
	if run == nil {
		var err error
		if run, err = r.Provider.Revision(ctx, d); err != nil {
			return nil, err
		}
	}
	rt, _, err := r.Runtimes.Resolve(run.Runtime)
	if err != nil {
		return nil, err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if p = r.pools[d]; p == nil {
		p = newPool(r, run, rt)
		r.pools[d] = p
	}
	return p, nil
}

// nudge wakes Tend.
func (r *Runner) nudge() {
	select {
	case r.wake <- struct{}{}:
	default:
	}
}
