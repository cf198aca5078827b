package runner

import (
	"errors"
	"fmt"
	"io"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"kiln/executor/runtimes"
	"kiln/lambda"
)

const (
	readSize = 64 << 10
	// maxDrain bounds how much of one pipe is read before END: no pipe holds more, so what comes later was written after the answer.
	maxDrain = 1 << 20
)

var readBuffers = sync.Pool{New: func() any { b := make([]byte, readSize); return &b }}

// capture reads what one worker says and gives it to the sink as lines. Reading and parsing of a pipe happen under one lock,
// so drain can promise that everything that was in the pipes when it was called has reached the sink.
// A sink that blocks holds back this one worker.
type capture struct {
	sink    Sink
	family  runtimes.Family
	readers sync.WaitGroup
	pipes   []*pipe

	mu        sync.Mutex
	base      lambda.LogLine
	adopted   bool
	polled    []unix.PollFd // of the pipes, −1 for those that have ended
	closed    bool
	requestID string
	tail      *tail
	now       time.Time
	batch     []lambda.LogLine
}

// pipe is one of the worker's outputs.
type pipe struct {
	index int
	file  io.ReadCloser
	raw   syscall.RawConn
	write func([]byte) // parses what was read, under the capture's lock
	flush func()       // ends what has no end: at END, or at the pipe's
	ended bool         // under the capture's lock
	done  bool         // the reader's own
	limit int
	step  func(fd uintptr) bool // one read for the pipe's own goroutine
	sweep func(fd uintptr)      // reads until the pipe is empty, at most limit bytes
}

func newCapture(sink Sink, box Sandbox) (*capture, error) {
	c := &capture{sink: sink}
	raw := func(file io.ReadCloser, stream lambda.Stream) error {
		s := &splitter{}
		emit := func(text string, cut bool) {
			c.add(lambda.LogLine{At: c.now, Stream: stream, Level: levelOf(text), Text: text, Cut: cut})
		}
		return c.open(file, func(b []byte) { s.write(b, emit) }, func() { s.flush(emit) })
	}
	err := errors.Join(raw(box.Stdout(), lambda.StreamStdout), raw(box.Stderr(), lambda.StreamStderr))
	if records := box.Records(); records != nil {
		r := &recordReader{}
		err = errors.Join(err, c.open(records, func(b []byte) { r.write(b, c.now, c.addRecord) }, func() {}))
		c.pipes[len(c.pipes)-1].flush = func() {
			if c.pipes[len(c.pipes)-1].ended {
				r.end(c.now, c.addRecord)
			}
		}
	}
	return c, err
}

func (c *capture) open(file io.ReadCloser, write func([]byte), flush func()) error {
	conn, ok := file.(syscall.Conn)
	if !ok {
		return fmt.Errorf("the driver's pipe %T has no syscall.Conn", file)
	}
	raw, err := conn.SyscallConn()
	if err != nil {
		return fmt.Errorf("open a worker's pipe: %w", err)
	}
	p := &pipe{index: len(c.pipes), file: file, raw: raw, write: write, flush: flush}
	if err := raw.Control(func(fd uintptr) { c.polled = append(c.polled, unix.PollFd{Fd: int32(fd), Events: unix.POLLIN}) }); err != nil {
		return fmt.Errorf("open a worker's pipe: %w", err)
	}
	p.step = func(fd uintptr) bool {
		c.mu.Lock()
		defer c.mu.Unlock()
		n := c.readOnce(p, int(fd))
		c.deliver()
		p.done = n < 0
		return n != 0
	}
	p.sweep = func(fd uintptr) {
		for p.limit = maxDrain; p.limit > 0 && !p.ended; {
			n := c.readOnce(p, int(fd))
			if n <= 0 {
				return
			}
			p.limit -= n
		}
	}
	c.pipes = append(c.pipes, p)
	return nil
}

// start begins to read. The readers end at the end of the pipes, or when close closes them.
func (c *capture) start() {
	for _, p := range c.pipes {
		c.readers.Go(func() {
			for !p.done {
				if err := p.raw.Read(p.step); err != nil {
					return
				}
			}
		})
	}
}

// readOnce reads and parses once: the number of bytes, 0 when the pipe is empty now, −1 at its end. Under the lock.
func (c *capture) readOnce(p *pipe, fd int) int {
	if p.ended {
		return -1
	}
	buf := readBuffers.Get().(*[]byte)
	defer readBuffers.Put(buf)
	for {
		n, err := syscall.Read(fd, *buf)
		switch {
		case err == syscall.EINTR:
			continue
		case err == syscall.EAGAIN:
			return 0
		case err != nil || n == 0:
			p.ended = true
			c.polled[p.index].Fd = -1
			c.now = time.Now()
			p.flush()
			return -1
		}
		c.now = time.Now()
		p.write((*buf)[:n])
		return n
	}
}

func (c *capture) add(l lambda.LogLine) {
	l.FunctionID, l.Version, l.Worker, l.RequestID = c.base.FunctionID, c.base.Version, c.base.Worker, c.requestID
	if c.tail != nil {
		c.tail.add(c.family, &l)
	}
	c.batch = append(c.batch, l)
	if len(c.batch) >= maxBatch {
		c.deliver()
	}
}

const maxBatch = 512

func (c *capture) addRecord(r record) {
	l := lambda.LogLine{At: r.at, Stream: lambda.StreamRecord, Level: r.level, Text: r.text, Cut: r.cut}
	if r.hint {
		l.Stream = lambda.StreamSystem
	}
	c.add(l)
}

// deliver gives the batch to the sink; what a runtime says before it belongs to a function goes nowhere. Under the lock.
func (c *capture) deliver() {
	if len(c.batch) == 0 {
		return
	}
	if c.adopted {
		c.sink.Lines(c.batch)
		c.batch = nil // the sink keeps it
	}
	c.batch = c.batch[:0]
}

// adopt names the function that the worker works for from now on; requestID is the call that waits for it, or "".
func (c *capture) adopt(base lambda.LogLine, family runtimes.Family, requestID string, t *tail) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.base, c.family, c.requestID, c.tail, c.adopted = base, family, requestID, t, true
}

// begin names the invocation that output belongs to; t collects its tail when it is not nil.
func (c *capture) begin(requestID string, t *tail) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.requestID, c.tail = requestID, t
}

// say adds a line of Kiln's own to the log.
func (c *capture) say(level lambda.Level, text string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.add(lambda.LogLine{At: time.Now(), Stream: lambda.StreamSystem, Level: level, Text: text})
	c.deliver()
}

// end empties the pipes, ends open lines, and gives everything to the sink; later output belongs to no invocation.
func (c *capture) end() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = time.Now()
	if n, err := c.poll(); n > 0 || err != nil {
		for _, p := range c.pipes {
			if !p.ended {
				_ = p.raw.Control(p.sweep) // fails when the pipe was closed: then its reader has seen its end
			}
		}
	}
	for _, p := range c.pipes {
		p.flush()
	}
	c.deliver()
	c.requestID, c.tail = "", nil
}

// poll counts the pipes that have something to read: one system call where most invocations have said nothing. Under the lock.
func (c *capture) poll() (int, error) {
	if c.closed {
		return 0, nil
	}
	return unix.Poll(c.polled, 0)
}

// drainTime bounds the wait for the end of the pipes of a sandbox that is gone: a driver that leaves one open loses what is in it.
const drainTime = 2 * time.Second

// close lets the readers come to the end of the pipes, and closes them.
func (c *capture) close() {
	overdue := time.AfterFunc(drainTime, c.closePipes)
	c.readers.Wait()
	overdue.Stop()
	c.closePipes()
}

func (c *capture) closePipes() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.closed = true // the numbers in polled are somebody else's from now on
	for _, p := range c.pipes {
		p.file.Close()
	}
}

const tailSize = 4096

// tail keeps the last bytes of an invocation's log as AWS renders it.
type tail struct {
	buf []byte
}

func (t *tail) write(s string) {
	t.buf = append(t.buf, s...)
	if len(t.buf) > 4*tailSize {
		t.buf = append(t.buf[:0], t.buf[len(t.buf)-tailSize:]...)
	}
}

func (t *tail) add(family runtimes.Family, l *lambda.LogLine) {
	text := l.Text
	if len(text) > tailSize {
		text = text[len(text)-tailSize:]
	}
	t.write(awsPrefix(family, l) + text + "\n")
}

func (t *tail) bytes() []byte {
	return t.buf[max(0, len(t.buf)-tailSize):]
}

const awsTime = "2006-01-02T15:04:05.000Z"

// awsPrefix is what AWS and its runtimes write before a record's text.
func awsPrefix(family runtimes.Family, l *lambda.LogLine) string {
	if l.Stream == lambda.StreamSystem {
		return l.At.UTC().Format(awsTime) + " " + l.RequestID + " "
	}
	if l.Stream != lambda.StreamRecord || len(l.Text) > 0 && l.Text[0] == '{' {
		return ""
	}
	at, name := l.At.UTC().Format(awsTime), levelText[l.Level]
	if family == runtimes.Python {
		return "[" + name + "]\t" + at + "\t" + l.RequestID + "\t"
	}
	return at + "\t" + l.RequestID + "\t" + name + "\t"
}

var levelText = [...]string{"INFO", "TRACE", "DEBUG", "INFO", "WARN", "ERROR", "FATAL"}
