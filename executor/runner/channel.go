package runner

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"time"
)

// The channel carries frames: payload length (4 bytes, big-endian), type (1 byte), sequence number (4 bytes), payload.
// Kiln numbers its invoke frames; a worker's answer repeats the number, so that a stray answer is never taken for another run's.
const (
	frameHandOver   = 'H' // Kiln → worker: handOverMessage as JSON
	frameInvoke     = 'I' // deadline (ms, double), then request id, ARN, trace id, client context (2 bytes of length each), then the event
	frameBooted     = 'B' // worker → Kiln: the runtime is up
	frameLoaded     = 'L' // the code is loaded
	frameLoadFailed = 'F' // AWS's error object; the worker ends
	frameResponse   = 'R' // the answer
	frameError      = 'E' // AWS's error object
	frameLastError  = 'X' // the same; the worker ends
	frameStart      = 'S' // a streamed answer begins: content type
	frameChunk      = 'C' // a piece of it
	frameEnd        = 'T' // its end: AWS's error object, or empty
)

const (
	frameHeader = 9
	smallFrame  = 32 << 10 // written in one piece
)

// MaxResponse is the limit of a buffered answer in bytes; MaxStreamed of a streamed one.
const (
	MaxResponse = 6_291_556
	MaxStreamed = 200 << 20
)

var errProtocol = errors.New("the worker broke the channel's protocol")

// handOverMessage makes a booted runtime a function's worker.
type handOverMessage struct {
	Env       map[string]string `json:"env"`
	Handler   string            `json:"handler"`
	Runtime   string            `json:"runtime"` // as the function asks for it, not as it is run
	Task      string            `json:"task"`
	Opt       string            `json:"opt"`
	LogFormat string            `json:"logFormat"`
	LogLevel  string            `json:"logLevel"`
	Name      string            `json:"name"`
	Version   string            `json:"version"`
	Memory    string            `json:"memory"`
	Group     string            `json:"group"`
	Stream    string            `json:"stream"`
	Limit     int               `json:"limit"`
	HeapMB    int               `json:"heapMB,omitempty"` // lowers V8's heap to the function's memory
}

// channel is Kiln's end. One goroutine at a time uses it.
type channel struct {
	conn   net.Conn
	in     [2048]byte
	r, w   int
	out    []byte
	number uint32
}

func newChannel(conn net.Conn) *channel { return &channel{conn: conn} }

// header reads the next frame's header; its payload must be read next.
func (c *channel) header() (kind byte, number uint32, length int, err error) {
	for c.w-c.r < frameHeader {
		if c.r > 0 {
			copy(c.in[:], c.in[c.r:c.w])
			c.w, c.r = c.w-c.r, 0
		}
		n, err := c.conn.Read(c.in[c.w:])
		if c.w += n; err != nil {
			return 0, 0, 0, err
		}
	}
	b := c.in[c.r:]
	c.r += frameHeader
	return b[4], binary.BigEndian.Uint32(b[5:]), int(binary.BigEndian.Uint32(b)), nil
}

// payload reads n bytes into a slice of its own.
func (c *channel) payload(n int) ([]byte, error) {
	p := make([]byte, n)
	have := copy(p, c.in[c.r:c.w])
	c.r += have
	if _, err := io.ReadFull(c.conn, p[have:]); err != nil {
		return nil, err
	}
	return p, nil
}

// expect reads one frame that may be at most max bytes long.
func (c *channel) expect(max int) (kind byte, payload []byte, err error) {
	kind, _, n, err := c.header()
	if err != nil {
		return 0, nil, err
	}
	if n > max {
		return 0, nil, errProtocol
	}
	payload, err = c.payload(n)
	return kind, payload, err
}

func appendHeader(b []byte, kind byte, number uint32, length int) []byte {
	b = binary.BigEndian.AppendUint32(b, uint32(length))
	b = append(b, kind)
	return binary.BigEndian.AppendUint32(b, number)
}

func (c *channel) handOver(m *handOverMessage) error {
	body, err := json.Marshal(m)
	if err != nil {
		return fmt.Errorf("encode the hand-over: %w", err)
	}
	_, err = c.conn.Write(append(appendHeader(nil, frameHandOver, 0, len(body)), body...))
	return err
}

func appendText(b []byte, s string) []byte {
	s = s[:min(len(s), math.MaxUint16)]
	return append(binary.BigEndian.AppendUint16(b, uint16(len(s))), s...)
}

// sendInvoke writes the event under a new number.
func (c *channel) sendInvoke(inv *invocation) error {
	c.number++
	b := append(c.out[:0], make([]byte, frameHeader)...)
	b = binary.BigEndian.AppendUint64(b, math.Float64bits(float64(inv.deadline.UnixMilli())))
	for _, s := range [...]string{inv.RequestID, inv.InvokedARN, inv.TraceID, inv.ClientContext} {
		b = appendText(b, s)
	}
	appendHeader(b[:0], frameInvoke, c.number, len(b)-frameHeader+len(inv.Event))
	if len(inv.Event) <= smallFrame {
		b = append(b, inv.Event...)
		c.out = b
		_, err := c.conn.Write(b)
		return err
	}
	c.out = b
	pieces := net.Buffers{b, inv.Event}
	_, err := pieces.WriteTo(c.conn)
	return err
}

// invoke runs one invocation. An error means that the worker is of no further use: its deadline passed (os.ErrDeadlineExceeded),
// it went away, it broke the protocol, or the receiver of a streamed answer failed (errReceiver).
func (c *channel) invoke(inv *invocation) (answer, error) {
	if err := c.conn.SetDeadline(inv.deadline); err != nil {
		return answer{}, err
	}
	if err := c.sendInvoke(inv); err != nil {
		return answer{}, err
	}
	kind, length, err := c.answerHeader()
	if err != nil {
		return answer{}, err
	}
	switch kind {
	case frameResponse, frameError, frameLastError:
		if length > MaxResponse {
			return answer{}, errTooLarge
		}
		p, err := c.payload(length)
		return answer{payload: p, failed: kind != frameResponse, last: kind == frameLastError}, err
	case frameStart:
		return c.streamed(inv, length)
	}
	return answer{}, errProtocol
}

func (c *channel) answerHeader() (kind byte, length int, err error) {
	kind, number, length, err := c.header()
	if err == nil && number != c.number {
		err = errProtocol
	}
	return kind, length, err
}

func (c *channel) streamed(inv *invocation, length int) (answer, error) {
	if length > 1024 {
		return answer{}, errProtocol
	}
	if _, err := c.payload(length); err != nil { // the content type: streamed URLs take theirs from the prelude
		return answer{}, err
	}
	out := newReceiver(inv)
	for {
		kind, n, err := c.answerHeader()
		if err != nil {
			return out.answer, err
		}
		if n > MaxResponse || kind != frameChunk && kind != frameEnd {
			return out.answer, errProtocol
		}
		p, err := c.payload(n)
		if err != nil {
			return out.answer, err
		}
		if kind == frameEnd {
			return out.end(p), nil
		}
		if err := out.take(p); err != nil {
			return out.answer, err
		}
	}
}

// awaitBoot waits for the runtime to be up.
func (c *channel) awaitBoot(limit time.Time) error {
	if err := c.conn.SetDeadline(limit); err != nil {
		return err
	}
	kind, _, err := c.expect(0)
	if err == nil && kind != frameBooted {
		err = errProtocol
	}
	return err
}

// load hands the runtime over and waits for the code. failure is AWS's error object when the code does not load.
func (c *channel) load(m *handOverMessage, limit time.Time) (failure []byte, err error) {
	if err := c.conn.SetDeadline(limit); err != nil {
		return nil, err
	}
	if err := c.handOver(m); err != nil {
		return nil, err
	}
	kind, payload, err := c.expect(MaxResponse)
	switch {
	case err != nil:
		return nil, err
	case kind == frameLoaded:
		return nil, nil
	case kind == frameLoadFailed:
		return payload, nil
	}
	return nil, errProtocol
}
