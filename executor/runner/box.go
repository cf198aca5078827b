package runner

import (
	"context"
	"errors"
	"sync"
	"time"
)

// stopTime bounds how long the end of a sandbox may take before it is left to the driver's Reap.
const stopTime = 10 * time.Second

// box wraps a sandbox once, so that drivers stay simple: one call at a time, nothing after Stop, freeze and thaw only when they change something.
type box struct {
	Sandbox

	mu      sync.Mutex
	frozen  bool
	stopped bool
	peakAt  time.Time
	peak    int
}

var errStopped = errors.New("the sandbox was stopped")

func (b *box) locked(do func() error) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.stopped {
		return errStopped
	}
	return do()
}

func (b *box) handOver(ctx context.Context, h HandOver) error {
	return b.locked(func() error {
		p, ok := b.Sandbox.(PreBooter)
		if !ok {
			return errors.New("this sandbox cannot be handed over")
		}
		return p.HandOver(ctx, h)
	})
}

// throttle limits the processor where the driver can.
func (b *box) throttle(milliCPU int) error {
	return b.locked(func() error {
		if t, ok := b.Sandbox.(Throttler); ok {
			return t.Throttle(milliCPU)
		}
		return nil
	})
}

// freeze stops the worker if still idle reports true.
func (b *box) freeze(idle func() bool) error {
	return b.locked(func() error {
		f, ok := b.Sandbox.(Freezer)
		if !ok || b.frozen || !idle() {
			return nil
		}
		b.frozen = true // a failed freeze is thawed too
		return f.Freeze()
	})
}

// thaw lets the worker run.
func (b *box) thaw() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.frozen || b.stopped {
		return nil
	}
	if err := b.Sandbox.(Freezer).Thaw(); err != nil {
		return err
	}
	b.frozen = false
	return nil
}

// stop ends the sandbox; it may be called at any time and more than once. A frozen one is killed frozen: drivers kill from outside.
func (b *box) stop() error {
	b.mu.Lock()
	b.stopped = true
	b.mu.Unlock()
	ctx, cancel := context.WithTimeout(context.Background(), stopTime)
	defer cancel()
	return b.Sandbox.Stop(ctx)
}

const peakAge = 100 * time.Millisecond

// peakMB is the peak memory, read at most every 100 ms: reading it costs more than a short invocation.
func (b *box) peakMB(now time.Time) int {
	b.mu.Lock()
	defer b.mu.Unlock()
	if now.Sub(b.peakAt) > peakAge {
		b.peakAt, b.peak = now, max(b.peak, b.Sandbox.PeakMemoryMB())
	}
	return b.peak
}

func (b *box) folders() (task, opt string) {
	if l, ok := b.Sandbox.(Located); ok {
		return l.Folders()
	}
	return "/var/task", "/opt"
}

// exit is how the sandbox ended; one that could not be ended in time counts as killed.
func (b *box) exit() Exit {
	select {
	case <-b.Exited():
		return b.Exit()
	case <-time.After(stopTime):
		return Exit{Code: -1, Signal: "killed"}
	}
}
