package runner

import (
	"bufio"
	"bytes"
	"encoding/base64"
	"errors"
	"io"
	"net/http/httputil"
	"strconv"
)

// The Runtime API is HTTP/1.1 between Kiln and one worker, with nothing in between. This is the little of HTTP that it needs, read strictly:
// whatever is not understood ends the connection.

const (
	maxHeaderBytes = 2 << 20 // official clients send an X-Ray cause of up to 1 MB in a header
	wireBuffer     = 4096
)

var errBadRequest = errors.New("not a request that the Runtime API understands")

// wireRequest is one request's head.
type wireRequest struct {
	post      bool
	path      string
	length    int64 // of the body; −1: chunked
	streaming bool  // Lambda-Runtime-Function-Response-Mode: streaming
	expects   bool  // Expect: 100-continue
	closes    bool  // the connection ends after the answer
	errorType string
}

// wireTrailer is what a streamed answer may end with.
type wireTrailer struct {
	errorType string
	errorBody []byte
}

// readHead reads a request's head. io.EOF means that the connection ended between requests.
func readHead(br *bufio.Reader) (wireRequest, error) {
	var q wireRequest
	line, err := readLine(br)
	if err != nil {
		return q, err
	}
	if line == nil || !q.requestLine(line) {
		return q, errBadRequest
	}
	lengths := 0
	for total := 0; ; {
		line, n, err := readHeaderLine(br)
		if err != nil {
			return q, noEOF(err)
		}
		if total += n; total > maxHeaderBytes {
			return q, errBadRequest
		}
		if n > 0 && line == nil {
			continue // too long to be one that matters
		}
		if len(line) == 0 {
			return q, nil
		}
		if err := q.header(line, &lengths); err != nil {
			return q, err
		}
	}
}

func (q *wireRequest) requestLine(line []byte) bool {
	method, rest, ok := bytes.Cut(line, []byte{' '})
	path, version, ok2 := bytes.Cut(rest, []byte{' '})
	if !ok || !ok2 || len(path) == 0 || path[0] != '/' {
		return false
	}
	switch string(method) {
	case "GET":
	case "POST":
		q.post = true
	default:
		return false
	}
	q.path = string(path)
	q.closes = string(version) == "HTTP/1.0"
	return q.closes || string(version) == "HTTP/1.1"
}

func (q *wireRequest) header(line []byte, lengths *int) error {
	name, value, ok := bytes.Cut(line, []byte{':'})
	if !ok || len(name) == 0 || bytes.ContainsAny(name, " \t") {
		return errBadRequest
	}
	value = bytes.Trim(value, " \t")
	is := func(s string) bool { return len(name) == len(s) && bytes.EqualFold(name, []byte(s)) }
	switch {
	case is("Content-Length"):
		n, err := strconv.ParseUint(string(value), 10, 62)
		if *lengths++; err != nil || *lengths > 1 || value[0] == '+' {
			return errBadRequest
		}
		q.length = int64(n)
	case is("Transfer-Encoding"):
		if *lengths++; *lengths > 1 || !bytes.EqualFold(value, []byte("chunked")) {
			return errBadRequest
		}
		q.length = -1
	case is("Lambda-Runtime-Function-Response-Mode"):
		q.streaming = bytes.EqualFold(value, []byte("streaming"))
	case is("Lambda-Runtime-Function-Error-Type"):
		q.errorType = clip(string(value))
	case is("Expect"):
		q.expects = bytes.EqualFold(value, []byte("100-continue"))
	case is("Connection"):
		q.closes = q.closes || bytes.EqualFold(value, []byte("close"))
	}
	return nil
}

// readLine reads one line without its end; nil when it is longer than the buffer.
func readLine(br *bufio.Reader) ([]byte, error) {
	line, n, err := readHeaderLine(br)
	if err == nil && line == nil && n > 0 {
		return nil, nil
	}
	return line, err
}

// readHeaderLine reads one line and its length on the wire; the line is nil when it is longer than the buffer, and empty, not nil, when it is empty.
func readHeaderLine(br *bufio.Reader) (line []byte, n int, err error) {
	line, err = br.ReadSlice('\n')
	n = len(line)
	for err == bufio.ErrBufferFull {
		var more []byte
		more, err = br.ReadSlice('\n')
		if n += len(more); n > maxHeaderBytes {
			return nil, n, errBadRequest
		}
		line = nil
	}
	if err != nil {
		if err == io.EOF && n > 0 {
			err = io.ErrUnexpectedEOF
		}
		return nil, n, err
	}
	if line == nil {
		return nil, n, nil
	}
	line = bytes.TrimSuffix(line[:len(line)-1], []byte{'\r'})
	return line, n, nil
}

func noEOF(err error) error {
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}

// body is the request's body; readTrailer must follow when it was read to its end and is chunked.
func (q *wireRequest) body(br *bufio.Reader) io.Reader {
	if q.length < 0 {
		return httputil.NewChunkedReader(br)
	}
	return io.LimitReader(br, q.length)
}

// readTrailer reads what follows the last chunk.
func readTrailer(br *bufio.Reader) (wireTrailer, error) {
	var t wireTrailer
	for total := 0; ; {
		line, n, err := readHeaderLine(br)
		if err != nil {
			return t, noEOF(err)
		}
		if total += n; total > maxHeaderBytes {
			return t, errBadRequest
		}
		if line == nil {
			continue
		}
		if len(line) == 0 {
			return t, nil
		}
		t.field(line)
	}
}

func (t *wireTrailer) field(line []byte) {
	name, value, _ := bytes.Cut(line, []byte{':'})
	value = bytes.TrimSpace(value)
	switch {
	case bytes.EqualFold(name, []byte("Lambda-Runtime-Function-Error-Type")):
		t.errorType = clip(string(value))
	case bytes.EqualFold(name, []byte("Lambda-Runtime-Function-Error-Body")):
		if body, err := base64.StdEncoding.DecodeString(string(value)); err == nil {
			t.errorBody = body
		}
	}
}

// errExtraLong is a body past its limit; what remains was thrown away.
var errExtraLong = errors.New("the body is larger than the limit")

// maxThrownAway is how much more of a too long body is read, so that its sender sees the answer and not a broken connection.
const maxThrownAway = 64 << 20

// readBody reads a whole body of at most max bytes.
func readBody(br *bufio.Reader, q *wireRequest, max int) ([]byte, wireTrailer, error) {
	var t wireTrailer
	src := q.body(br)
	var buf []byte
	if q.length >= 0 && q.length <= int64(max) {
		buf = make([]byte, q.length)
		_, err := io.ReadFull(src, buf)
		return buf, t, noEOF(err)
	}
	buf, err := io.ReadAll(io.LimitReader(src, int64(max)+1))
	if err != nil {
		return nil, t, noEOF(err)
	}
	long := len(buf) > max
	if long {
		if n, err := io.CopyN(io.Discard, src, maxThrownAway); err == nil && n == maxThrownAway {
			return nil, t, errBadRequest
		} else if err != io.EOF {
			return nil, t, err
		}
	}
	if q.length < 0 {
		if t, err = readTrailer(br); err != nil {
			return nil, t, err
		}
	}
	if long {
		return nil, t, errExtraLong
	}
	return buf, t, nil
}
