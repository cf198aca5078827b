package executortest

import (
	"bufio"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"io"
	"math"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"kiln/executor/runner"
)

// Memory is a runner.Driver whose workers are goroutines that speak the channel: for tests of pools and limits, thousands of workers at once.
type Memory struct {
	// Handle answers an event; handler is the function's configured handler. An error becomes the error object of the run.
	// ctx ends when the sandbox is stopped. nil echoes the event.
	Handle func(ctx context.Context, handler string, event []byte) ([]byte, error)
	// Load, when set, is called at the hand-over; its error fails the start.
	Load func(handler string) error
	// BeforeStart, when set, may refuse to start a sandbox.
	BeforeStart func(runner.Spec) error
	MB          int // what each sandbox uses

	alive, started, most, frozen atomic.Int64
}

// Alive, Started, Most and Frozen count sandboxes: now, ever, at the same time, and frozen now.
func (m *Memory) Alive() int   { return int(m.alive.Load()) }
func (m *Memory) Started() int { return int(m.started.Load()) }
func (m *Memory) Most() int    { return int(m.most.Load()) }
func (m *Memory) Frozen() int  { return int(m.frozen.Load()) }

// Capabilities claims rung A.
func (m *Memory) Capabilities() runner.Capabilities {
	return runner.Capabilities{Rung: runner.RungA, Freezer: true}
}

// Reap has nothing to do.
func (m *Memory) Reap(context.Context) error { return nil }

// Start keeps the contract of runner.Driver.
func (m *Memory) Start(ctx context.Context, spec runner.Spec) (runner.Sandbox, error) {
	if m.BeforeStart != nil {
		if err := m.BeforeStart(spec); err != nil {
			return nil, err
		}
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	near, far, err := socketPair()
	if err != nil {
		return nil, err
	}
	defer far.Close()
	worker, err := net.FileConn(far)
	if err != nil {
		return nil, errors.Join(err, near.Close())
	}
	w := &memoryWorker{id: spec.ID, m: m, near: near, far: worker, exited: make(chan struct{})}
	for i := range w.pipes {
		r, wr, err := os.Pipe()
		if err != nil {
			return nil, errors.Join(err, near.Close(), worker.Close())
		}
		w.pipes[i], w.writers[i] = r, wr
	}
	w.ctx, w.cancel = context.WithCancel(context.Background())
	m.started.Add(1)
	now := m.alive.Add(1)
	for most := m.most.Load(); now > most && !m.most.CompareAndSwap(most, now); most = m.most.Load() {
	}
	go w.serve()
	return w, nil
}

// memoryWorker is one worker. Its pipes are records, stdout and stderr.
type memoryWorker struct {
	id       string
	m        *Memory
	near     net.Conn
	far      net.Conn
	pipes    [3]*os.File
	writers  [3]*os.File
	ctx      context.Context
	cancel   context.CancelFunc
	exited   chan struct{}
	endOnce  sync.Once
	exit     runner.Exit
	isFrozen atomic.Bool
	handler  string
}

const memoryHeader = 9 // length (4), type (1), number (4)

func (w *memoryWorker) send(kind byte, number uint32, payload []byte) error {
	b := binary.BigEndian.AppendUint32(nil, uint32(len(payload)))
	b = binary.BigEndian.AppendUint32(append(b, kind), number)
	_, err := w.far.Write(append(b, payload...))
	return err
}

// serve is the worker's life.
func (w *memoryWorker) serve() {
	defer w.end(runner.Exit{})
	in := bufio.NewReader(w.far)
	if w.send('B', 0, nil) != nil {
		return
	}
	for {
		var head [memoryHeader]byte
		if _, err := io.ReadFull(in, head[:]); err != nil {
			return
		}
		payload := make([]byte, binary.BigEndian.Uint32(head[:]))
		if _, err := io.ReadFull(in, payload); err != nil {
			return
		}
		if w.frame(head[4], binary.BigEndian.Uint32(head[5:]), payload) != nil {
			return
		}
	}
}

func (w *memoryWorker) frame(kind byte, number uint32, payload []byte) error {
	switch kind {
	case 'H':
		var h struct{ Handler string }
		if err := json.Unmarshal(payload, &h); err != nil {
			return err
		}
		w.handler = h.Handler
		if w.m.Load != nil {
			if err := w.m.Load(h.Handler); err != nil {
				return errors.Join(w.send('F', number, errorObject(err)), io.EOF)
			}
		}
		return w.send('L', number, nil)
	case 'I':
		answer, err := w.handle(eventOf(payload))
		if w.ctx.Err() != nil {
			return w.ctx.Err()
		}
		if err != nil {
			return w.send('E', number, errorObject(err))
		}
		return w.send('R', number, answer)
	}
	return errors.New("unknown frame")
}

func (w *memoryWorker) handle(event []byte) ([]byte, error) {
	if w.m.Handle == nil {
		return event, nil
	}
	ctx := context.WithValue(w.ctx, sayKey{}, w.say)
	ctx = context.WithValue(ctx, dieKey{}, func() { w.end(runner.Exit{Code: 1}) })
	return w.m.Handle(ctx, w.handler, event)
}

// eventOf skips the invoke frame's deadline and four texts.
func eventOf(payload []byte) []byte {
	at := 8
	for range 4 {
		at += 2 + int(binary.BigEndian.Uint16(payload[at:]))
	}
	return payload[at:]
}

func errorObject(err error) []byte {
	b, _ := json.Marshal(map[string]string{"errorType": "Error", "errorMessage": err.Error()}) // strings
	return b
}

// say writes one log record.
func (w *memoryWorker) say(text string) {
	b := binary.BigEndian.AppendUint32(nil, uint32(len(text)))
	b = append(b, 3, 0)
	b = binary.BigEndian.AppendUint64(b, math.Float64bits(float64(time.Now().UnixMilli())))
	_, _ = w.writers[0].Write(append(b, text...)) // closed: the worker is gone
}

type sayKey struct{}

// Say writes a log record of the worker that runs the handler.
func Say(ctx context.Context, text string) {
	if say, ok := ctx.Value(sayKey{}).(func(string)); ok {
		say(text)
	}
}

func (w *memoryWorker) end(e runner.Exit) {
	w.endOnce.Do(func() {
		w.cancel()
		w.far.Close()
		for _, p := range w.writers {
			p.Close()
		}
		w.exit = e
		if w.isFrozen.Swap(false) {
			w.m.frozen.Add(-1)
		}
		w.m.alive.Add(-1)
		close(w.exited)
	})
}

func (w *memoryWorker) ID() string                                      { return w.id }
func (w *memoryWorker) Channel() net.Conn                               { return w.near }
func (w *memoryWorker) Records() io.ReadCloser                          { return w.pipes[0] }
func (w *memoryWorker) Stdout() io.ReadCloser                           { return w.pipes[1] }
func (w *memoryWorker) Stderr() io.ReadCloser                           { return w.pipes[2] }
func (w *memoryWorker) RuntimeAPI() net.Listener                        { return nil }
func (w *memoryWorker) AWS() net.Listener                               { return nil }
func (w *memoryWorker) PeakMemoryMB() int                               { return w.m.MB }
func (w *memoryWorker) MemoryMB() int                                   { return w.m.MB }
func (w *memoryWorker) Exited() <-chan struct{}                         { return w.exited }
func (w *memoryWorker) Exit() runner.Exit                               { return w.exit }
func (w *memoryWorker) HandOver(context.Context, runner.HandOver) error { return nil }

// CPU says that the worker uses none: handlers in memory only wait.
func (w *memoryWorker) CPU() time.Duration { return 0 }

// Freeze and Thaw only count.
func (w *memoryWorker) Freeze() error {
	if !w.isFrozen.Swap(true) {
		w.m.frozen.Add(1)
	}
	return nil
}

// Thaw ends a freeze.
func (w *memoryWorker) Thaw() error {
	if w.isFrozen.Swap(false) {
		w.m.frozen.Add(-1)
	}
	return nil
}

// Stop keeps the contract of runner.Sandbox.
func (w *memoryWorker) Stop(context.Context) error {
	w.end(runner.Exit{Code: -1, Signal: "killed"})
	return nil
}

type dieKey struct{}

// Die ends the worker that runs the handler, as a crash would.
func Die(ctx context.Context) {
	if end, ok := ctx.Value(dieKey{}).(func()); ok {
		end()
	}
}
