package runner

import (
	"bufio"
	"encoding/json"
	"errors"
	"io"
	"net"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"
)

// runtimeAPI is the HTTP Runtime API (2018-06-01) on one worker's own listener: the listener itself says which worker speaks.
// A waiting GET next is the idle worker. Everything that is not the next step of the worker's state is refused.
type runtimeAPI struct {
	listener net.Listener
	up       chan struct{} // closed at the first GET next, or at an init error
	serving  sync.WaitGroup

	mu         sync.Mutex
	conns      map[*apiConn]struct{}
	waiting    *apiConn // its GET next is unanswered
	run        *apiRun  // given or to be given to the worker, not answered
	answered   []string // the ids of the last runs: a late answer is told from a wrong id
	onNext     func()   // called once at the next GET next
	initFailed []byte   // AWS's error object
	isUp       bool
	closed     bool
}

// apiRun is one invocation at the worker.
type apiRun struct {
	inv       *invocation
	given     bool // the worker has the event
	answering bool // a connection reads the answer; it alone sends to done, once
	done      chan apiResult
}

type apiResult struct {
	answer answer
	err    error
}

// apiConn is one connection of the worker.
type apiConn struct {
	net.Conn
	br  *bufio.Reader
	wmu sync.Mutex // GET next is answered by the run's goroutine
	out []byte
}

const (
	maxAPIConns   = 64
	keptAnswered  = 16
	apiWriteLimit = 30 * time.Second
)

func serveRuntimeAPI(l net.Listener) *runtimeAPI {
	a := &runtimeAPI{listener: l, up: make(chan struct{}), conns: map[*apiConn]struct{}{}}
	a.serving.Go(a.accept)
	return a
}

func (a *runtimeAPI) accept() {
	for {
		conn, err := a.listener.Accept()
		if err != nil {
			return // closed
		}
		c := &apiConn{Conn: conn, br: bufio.NewReaderSize(conn, wireBuffer)}
		a.mu.Lock()
		if a.closed || len(a.conns) >= maxAPIConns {
			a.mu.Unlock()
			conn.Close()
			continue
		}
		a.conns[c] = struct{}{}
		a.serving.Go(func() { a.serve(c) })
		a.mu.Unlock()
	}
}

// close ends the listener and every connection, and waits for them.
func (a *runtimeAPI) close() {
	a.listener.Close()
	a.mu.Lock()
	a.closed = true
	for c := range a.conns {
		c.Close()
	}
	a.mu.Unlock()
	a.serving.Wait()
}

func (a *runtimeAPI) serve(c *apiConn) {
	defer func() {
		c.Close()
		a.mu.Lock()
		delete(a.conns, c)
		if a.waiting == c {
			a.waiting = nil // the next GET next takes its place
		}
		a.mu.Unlock()
	}()
	for {
		q, err := readHead(c.br)
		if err != nil {
			if errors.Is(err, errBadRequest) {
				_ = c.refuse(400, "InvalidRequest", "The request is not understood") // the connection ends anyway
			}
			return
		}
		if q.expects && q.length != 0 {
			if c.send("HTTP/1.1 100 Continue\r\n\r\n", nil) != nil {
				return
			}
		}
		if a.route(c, &q) != nil || q.closes {
			return
		}
	}
}

const apiRoot = "/2018-06-01/runtime/"

// route answers one request. An error ends the connection.
func (a *runtimeAPI) route(c *apiConn, q *wireRequest) error {
	path, ok := strings.CutPrefix(q.path, apiRoot)
	if ok && !q.post && path == "invocation/next" && q.length == 0 {
		return a.next(c)
	}
	if ok && q.post && path == "init/error" {
		return a.initError(c, q)
	}
	if id, what, found := strings.Cut(strings.TrimPrefix(path, "invocation/"), "/"); ok && q.post && found && (what == "response" || what == "error") {
		return a.answer(c, q, id, what == "error")
	}
	if err := discardBody(c.br, q); err != nil {
		return err
	}
	return c.refuse(404, "NotFound", "There is no such operation")
}

func discardBody(br *bufio.Reader, q *wireRequest) error {
	_, _, err := readBody(br, q, MaxResponse)
	if errors.Is(err, errExtraLong) {
		return nil
	}
	return err
}

// next makes c the waiting worker, or gives it the run that waits.
func (a *runtimeAPI) next(c *apiConn) error {
	a.mu.Lock()
	if a.run != nil && a.run.given {
		a.mu.Unlock()
		return c.refuse(403, "InvalidStateTransition", "The invocation before has not been answered")
	}
	if !a.isUp {
		a.isUp = true
		close(a.up)
	}
	if a.run != nil {
		run := a.run
		run.given = true
		a.mu.Unlock()
		return c.sendNext(run.inv)
	}
	if a.waiting != nil && a.waiting != c {
		a.waiting.Close() // a client that gave up and asks again on a new connection
	}
	a.waiting = c
	ready := a.onNext
	a.onNext = nil
	a.mu.Unlock()
	if ready != nil {
		ready()
	}
	return nil
}

// whenNext calls ready once the worker waits for its next event, perhaps at once.
func (a *runtimeAPI) whenNext(ready func()) {
	a.mu.Lock()
	if a.waiting == nil {
		a.onNext = ready
		a.mu.Unlock()
		return
	}
	a.mu.Unlock()
	ready()
}

// invoke runs one invocation; the worker's end is seen on gone.
func (a *runtimeAPI) invoke(inv *invocation, gone <-chan struct{}) (answer, error) {
	run := &apiRun{inv: inv, done: make(chan apiResult, 1)}
	a.mu.Lock()
	a.run = run
	c := a.waiting
	a.waiting = nil
	run.given = c != nil
	a.mu.Unlock()
	if c != nil {
		if err := c.sendNext(inv); err != nil {
			c.Close()
			a.mu.Lock()
			run.given = run.answering // the next GET next gets it
			a.mu.Unlock()
		}
	}
	timer := time.NewTimer(time.Until(inv.deadline))
	defer timer.Stop()
	select {
	case r := <-run.done:
		return r.answer, r.err
	case <-gone:
		return a.giveUp(run, io.EOF)
	case <-timer.C:
		return a.giveUp(run, os.ErrDeadlineExceeded)
	}
}

// giveUp ends a run that was not answered. The receiver of a stream is not called any more once it returns.
func (a *runtimeAPI) giveUp(run *apiRun, err error) (answer, error) {
	a.mu.Lock()
	answering := run.answering
	if !answering {
		a.forget(run)
	}
	for c := range a.conns {
		c.Close()
	}
	a.mu.Unlock()
	if !answering {
		return answer{}, err
	}
	r := <-run.done
	if r.err == nil {
		return r.answer, nil // it was complete in the last moment
	}
	return r.answer, err
}

// forget takes run out of the state. Under the lock.
func (a *runtimeAPI) forget(run *apiRun) {
	if a.run == run {
		a.run = nil
	}
	a.answered = append(a.answered, run.inv.RequestID)
	if len(a.answered) > keptAnswered {
		a.answered = a.answered[1:]
	}
}

// claim finds the run that a connection may answer now; else the refusal.
func (a *runtimeAPI) claim(id string) (run *apiRun, late bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.run != nil && a.run.given && a.run.inv.RequestID == id {
		if a.run.answering {
			return nil, true
		}
		a.run.answering = true
		return a.run, false
	}
	for _, old := range a.answered {
		if old == id {
			return nil, true
		}
	}
	return nil, false
}

func (a *runtimeAPI) answer(c *apiConn, q *wireRequest, id string, failed bool) error {
	run, late := a.claim(id)
	if run == nil {
		if err := discardBody(c.br, q); err != nil {
			return err
		}
		if late {
			return c.refuse(403, "InvalidStateTransition", "The invocation has been answered or has ended")
		}
		return c.refuse(400, "InvalidRequestID", "Invalid request ID")
	}
	var r apiResult
	if q.streaming && !failed {
		r.answer, r.err = streamBody(c.br, q, run.inv)
	} else {
		r.answer, r.err = wholeBody(c.br, q, failed)
	}
	a.mu.Lock()
	a.forget(run)
	a.mu.Unlock()
	run.done <- r
	switch {
	case r.err == nil:
		return c.send(accepted, nil)
	case errors.Is(r.err, errExtraLong):
		return c.refuse(413, "RequestEntityTooLarge", "Exceeded maximum allowed payload size ("+strconv.Itoa(MaxResponse)+" bytes).")
	}
	return r.err
}

func wholeBody(br *bufio.Reader, q *wireRequest, failed bool) (answer, error) {
	body, _, err := readBody(br, q, MaxResponse)
	if err != nil {
		return answer{}, err
	}
	if failed && len(body) == 0 {
		body = errorPayload(q.errorType, "")
	}
	return answer{payload: body, failed: failed}, nil
}

func errorPayload(errorType, message string) []byte {
	if errorType == "" {
		errorType = "Runtime.Unknown"
	}
	b, _ := json.Marshal(errorObject{Type: errorType, Message: message}) // two strings
	return b
}

// streamBody gives the pieces on as they come.
func streamBody(br *bufio.Reader, q *wireRequest, inv *invocation) (answer, error) {
	out := newReceiver(inv)
	src := q.body(br)
	for {
		piece := make([]byte, 32<<10) // the receiver may keep it
		n, err := src.Read(piece)
		if n > 0 {
			if err := out.take(piece[:n]); err != nil {
				return out.answer, err
			}
		}
		if err == io.EOF {
			break
		}
		if err != nil {
			return out.answer, err
		}
	}
	var t wireTrailer
	if q.length < 0 {
		var err error
		if t, err = readTrailer(br); err != nil {
			return out.answer, err
		}
	}
	if t.errorType != "" && len(t.errorBody) == 0 {
		t.errorBody = errorPayload(t.errorType, "")
	}
	return out.end(t.errorBody), nil
}

func (a *runtimeAPI) initError(c *apiConn, q *wireRequest) error {
	body, _, err := readBody(c.br, q, MaxResponse)
	if err != nil {
		return err
	}
	if len(body) == 0 {
		body = errorPayload(q.errorType, "")
	}
	a.mu.Lock()
	if a.isUp {
		a.mu.Unlock()
		return c.refuse(403, "InvalidStateTransition", "The runtime is initialised already")
	}
	a.isUp, a.initFailed = true, body
	close(a.up)
	a.mu.Unlock()
	return c.send(accepted, nil)
}

// awaitUp waits for the first GET next. failure is AWS's error object when the runtime said that it cannot start.
func (a *runtimeAPI) awaitUp(limit time.Time, gone <-chan struct{}) (failure []byte, err error) {
	timer := time.NewTimer(time.Until(limit))
	defer timer.Stop()
	select {
	case <-a.up:
		a.mu.Lock()
		defer a.mu.Unlock()
		return a.initFailed, nil
	case <-gone:
		return nil, io.EOF
	case <-timer.C:
		return nil, os.ErrDeadlineExceeded
	}
}

const accepted = "HTTP/1.1 202 Accepted\r\nContent-Type: application/json\r\nContent-Length: 16\r\n\r\n{\"status\":\"OK\"}\n"

var statusText = map[int]string{400: "Bad Request", 403: "Forbidden", 404: "Not Found", 413: "Request Entity Too Large"}

func (c *apiConn) refuse(status int, errorType, message string) error {
	body, _ := json.Marshal(errorObject{Type: errorType, Message: message}) // two strings
	head := "HTTP/1.1 " + strconv.Itoa(status) + " " + statusText[status] + "\r\nContent-Type: application/json\r\nContent-Length: " + strconv.Itoa(len(body)) + "\r\n\r\n"
	return c.send(head, body)
}

func (c *apiConn) send(head string, body []byte) error {
	c.wmu.Lock()
	defer c.wmu.Unlock()
	c.out = append(append(c.out[:0], head...), body...)
	return c.write(time.Now().Add(apiWriteLimit))
}

func (c *apiConn) write(limit time.Time) error {
	if err := c.SetWriteDeadline(limit); err != nil {
		return err
	}
	_, err := c.Conn.Write(c.out)
	if cap(c.out) > 64<<10 {
		c.out = nil
	}
	return err
}

// sendNext answers the waiting GET next with an event.
func (c *apiConn) sendNext(inv *invocation) error {
	c.wmu.Lock()
	defer c.wmu.Unlock()
	b := append(c.out[:0], "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nLambda-Runtime-Aws-Request-Id: "...)
	b = append(b, inv.RequestID...)
	b = append(b, "\r\nLambda-Runtime-Deadline-Ms: "...)
	b = strconv.AppendInt(b, inv.deadline.UnixMilli(), 10)
	b = appendField(b, "Lambda-Runtime-Invoked-Function-Arn", inv.InvokedARN)
	b = appendField(b, "Lambda-Runtime-Trace-Id", inv.TraceID)
	b = appendField(b, "Lambda-Runtime-Client-Context", inv.ClientContext)
	b = append(b, "\r\nContent-Length: "...)
	b = strconv.AppendInt(b, int64(len(inv.Event)), 10)
	b = append(b, "\r\n\r\n"...)
	c.out = append(b, inv.Event...)
	return c.write(inv.deadline)
}

// appendField writes a header whose value came from outside: nothing of it can end the line.
func appendField(b []byte, name, value string) []byte {
	if value == "" {
		return b
	}
	b = append(append(append(b, "\r\n"...), name...), ": "...)
	for i := range len(value) {
		if ch := value[i]; ch >= ' ' && ch != 0x7f {
			b = append(b, ch)
		}
	}
	return b
}
