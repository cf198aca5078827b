package runner

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"kiln/executor"
)

// apiBed is a Runtime API with one client connection.
type apiBed struct {
	*runtimeAPI
	t    *testing.T
	conn net.Conn
	br   *bufio.Reader
}

func newAPIBed(t *testing.T) *apiBed {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	b := &apiBed{runtimeAPI: serveRuntimeAPI(l), t: t}
	t.Cleanup(b.runtimeAPI.close)
	b.dial()
	return b
}

func (b *apiBed) dial() {
	b.t.Helper()
	conn, err := net.Dial("tcp", b.listener.Addr().String())
	if err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(func() { conn.Close() })
	b.conn, b.br = conn, bufio.NewReader(conn)
}

func (b *apiBed) write(text string) {
	b.t.Helper()
	if _, err := io.WriteString(b.conn, text); err != nil {
		b.t.Fatal(err)
	}
}

// read gives the next answer's status and body.
func (b *apiBed) read() (int, http.Header, string) {
	b.t.Helper()
	a, err := http.ReadResponse(b.br, nil)
	if err != nil {
		b.t.Fatal(err)
	}
	body, err := io.ReadAll(a.Body)
	if err != nil {
		b.t.Fatal(err)
	}
	return a.StatusCode, a.Header, string(body)
}

func (b *apiBed) get(path string) { b.write("GET " + path + " HTTP/1.1\r\nHost: x\r\n\r\n") }

func (b *apiBed) post(path, body string, headers ...string) {
	b.write(fmt.Sprintf("POST %s HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n%s\r\n%s", path, len(body), strings.Join(append(headers, ""), "\r\n"), body))
}

const (
	pathNext = apiRoot + "invocation/next"
	pathInit = apiRoot + "init/error"
)

func pathOf(id, what string) string { return apiRoot + "invocation/" + id + "/" + what }

func testInvocation(id string, limit time.Duration) *invocation {
	now := time.Now()
	return &invocation{Assignment: executor.Assignment{RequestID: id, Event: []byte(`{"n":1}`), InvokedARN: "arn:f", TraceID: "Root=1\r\nX: y", ClientContext: `{"c":1}`},
		started: now, deadline: now.Add(limit)}
}

// result is what invoke came to.
type result struct {
	answer answer
	err    error
}

func (b *apiBed) start(inv *invocation) <-chan result {
	done := make(chan result, 1)
	go func() {
		a, err := b.invoke(inv, nil)
		done <- result{a, err}
	}()
	return done
}

func (b *apiBed) status(want int, part string) {
	b.t.Helper()
	if got, _, body := b.read(); got != want || !strings.Contains(body, part) {
		b.t.Errorf("answered %d %s, want %d %s", got, body, want, part)
	}
}

func TestNextThenResponse(t *testing.T) {
	b := newAPIBed(t)
	for i := range 3 {
		id := fmt.Sprint("id-", i)
		if i == 1 { // the run may come first, too
			done := b.start(testInvocation(id, time.Minute))
			b.get(pathNext)
			b.finish(id, done)
			continue
		}
		b.get(pathNext)
		<-b.up
		b.finish(id, b.start(testInvocation(id, time.Minute)))
	}
}

func (b *apiBed) finish(id string, done <-chan result) {
	b.t.Helper()
	status, h, body := b.read()
	if status != 200 || body != `{"n":1}` || h.Get("Lambda-Runtime-Aws-Request-Id") != id || h.Get("Lambda-Runtime-Invoked-Function-Arn") != "arn:f" ||
		h.Get("Lambda-Runtime-Deadline-Ms") == "" || h.Get("Lambda-Runtime-Client-Context") != `{"c":1}` {
		b.t.Fatalf("next: %d %v %s", status, h, body)
	}
	if h.Get("X") != "" || h.Get("Lambda-Runtime-Trace-Id") != "Root=1X: y" {
		b.t.Errorf("a header's value ended its line: %v", h)
	}
	b.post(pathOf(id, "response"), "ok "+id)
	b.status(202, "OK")
	if r := <-done; r.err != nil || string(r.answer.payload) != "ok "+id || r.answer.failed {
		b.t.Errorf("%+v", r)
	}
}

func TestOnlyTheNextStepIsAllowed(t *testing.T) {
	b := newAPIBed(t)
	b.post(pathOf("none", "response"), "x")
	b.status(400, "InvalidRequestID")
	b.get("/2018-06-01/extension/register")
	b.status(404, "")
	b.post(pathNext, "")
	b.status(404, "")
	done := b.start(testInvocation("a", time.Minute))
	b.get(pathNext)
	b.status(200, "")
	b.get(pathNext)
	b.status(403, "InvalidStateTransition")
	b.post(pathInit, "{}")
	b.status(403, "InvalidStateTransition")
	b.post(pathOf("b", "response"), "x")
	b.status(400, "InvalidRequestID")
	b.post(pathOf("a", "error"), `{"errorType":"E"}`)
	b.status(202, "")
	if r := <-done; !r.answer.failed || string(r.answer.payload) != `{"errorType":"E"}` {
		t.Errorf("%+v", r)
	}
	b.post(pathOf("a", "response"), "late")
	b.status(403, "answered")
	b.post(pathOf("c", "error"), "x")
	b.status(400, "InvalidRequestID")
}

func TestAnswersAfterTheDeadlineAreRefusedAsLate(t *testing.T) {
	b := newAPIBed(t)
	b.get(pathNext)
	<-b.up
	done := b.start(testInvocation("slow", 20*time.Millisecond))
	b.read()
	if r := <-done; !errors.Is(r.err, os.ErrDeadlineExceeded) {
		t.Fatalf("%+v", r)
	}
	b.dial() // the connections of before were closed
	b.post(pathOf("slow", "response"), "x")
	b.status(403, "InvalidStateTransition")
}

func TestChunkedAndStreamedAnswers(t *testing.T) {
	b := newAPIBed(t)
	chunked := func(headers, trailers string) string {
		return "Host: x\r\nTransfer-Encoding: chunked\r\n" + headers + "\r\n3\r\nabc\r\n4;x=y\r\ndefg\r\n0\r\n" + trailers + "\r\n"
	}
	done := b.start(testInvocation("a", time.Minute))
	b.get(pathNext)
	b.read()
	b.write("POST " + pathOf("a", "response") + " HTTP/1.1\r\n" + chunked("", ""))
	b.status(202, "")
	if r := <-done; string(r.answer.payload) != "abcdefg" {
		t.Errorf("%+v", r)
	}
	var got bytes.Buffer
	inv := testInvocation("s", time.Minute)
	inv.Stream = func(p []byte) error { got.Write(p); return nil }
	done = b.start(inv)
	b.get(pathNext)
	b.read()
	b.write("POST " + pathOf("s", "response") + " HTTP/1.1\r\n" + chunked("Lambda-Runtime-Function-Response-Mode: streaming\r\nTrailer: Lambda-Runtime-Function-Error-Type\r\n",
		"Lambda-Runtime-Function-Error-Type: Mid.Way\r\nLambda-Runtime-Function-Error-Body: eyJlcnJvclR5cGUiOiJNaWQifQ==\r\n"))
	b.status(202, "")
	if r := <-done; got.String() != "abcdefg" || !r.answer.failed || string(r.answer.payload) != `{"errorType":"Mid"}` || r.answer.streamed != 7 {
		t.Errorf("%+v %s", r, got.String())
	}
}

func TestTooLargeAnswersAreRefusedAndTheWorkerGoesOn(t *testing.T) {
	b := newAPIBed(t)
	done := b.start(testInvocation("a", time.Minute))
	b.get(pathNext)
	b.read()
	b.post(pathOf("a", "response"), strings.Repeat("x", MaxResponse+1))
	b.status(413, "6291556")
	if r := <-done; !errors.Is(r.err, errExtraLong) {
		t.Errorf("%v", r.err)
	}
	done = b.start(testInvocation("b", time.Minute))
	b.get(pathNext)
	b.read()
	b.post(pathOf("b", "response"), strings.Repeat("x", MaxResponse), "Expect: 100-continue")
	if status, _, _ := b.read(); status != 100 && status != 202 {
		t.Errorf("status %d", status)
	}
	if r := <-done; r.err != nil || len(r.answer.payload) != MaxResponse {
		t.Errorf("%v, %d bytes", r.err, len(r.answer.payload))
	}
}

func TestHalfAnAnswerIsNoAnswer(t *testing.T) {
	b := newAPIBed(t)
	done := b.start(testInvocation("a", time.Minute))
	b.get(pathNext)
	b.read()
	b.write("POST " + pathOf("a", "response") + " HTTP/1.1\r\nContent-Length: 10\r\n\r\nhalf")
	b.conn.Close()
	if r := <-done; r.err == nil {
		t.Errorf("half an answer was taken: %+v", r)
	}
}

func TestManyConnectionsAreBounded(t *testing.T) {
	b := newAPIBed(t)
	for range maxAPIConns + 10 {
		b.dial()
	}
	b.conn.SetReadDeadline(time.Now().Add(10 * time.Second))
	if _, err := b.conn.Read(make([]byte, 1)); err != io.EOF && !strings.Contains(fmt.Sprint(err), "reset") {
		t.Errorf("one connection too many was kept: %v", err)
	}
}

func FuzzRuntimeAPI(f *testing.F) {
	f.Add([]byte("GET " + pathNext + " HTTP/1.1\r\nHost: x\r\n\r\n"))
	f.Add([]byte("POST " + pathOf("a", "response") + " HTTP/1.1\r\nContent-Length: 2\r\n\r\nok"))
	f.Add([]byte("POST " + pathOf("a", "response") + " HTTP/1.1\r\nTransfer-Encoding: chunked\r\nLambda-Runtime-Function-Response-Mode: streaming\r\n\r\n2\r\nok\r\n0\r\nX: y\r\n\r\n"))
	f.Add([]byte("POST " + pathInit + " HTTP/1.0\r\nContent-Length: 0\r\nExpect: 100-continue\r\n\r\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		a := &runtimeAPI{up: make(chan struct{}), conns: map[*apiConn]struct{}{}}
		run := &apiRun{inv: testInvocation("a", time.Minute), given: true, done: make(chan apiResult, 1)}
		a.run = run
		near, far := net.Pipe()
		go io.Copy(io.Discard, far)
		go func() {
			far.Write(data)
			far.Close()
		}()
		a.serve(&apiConn{Conn: near, br: bufio.NewReaderSize(near, wireBuffer)})
		select {
		case r := <-run.done:
			if r.err == nil && len(r.answer.payload) > MaxResponse {
				t.Errorf("%d bytes were taken", len(r.answer.payload))
			}
		default:
		}
	})
}
