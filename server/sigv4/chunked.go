package sigv4

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"strconv"
	"strings"
)

const (
	maxChunk   = 64 << 20
	maxTrailer = 16 << 10
)

var errChunk = errors.New("sigv4: malformed aws-chunked payload")

// Reader decodes an aws-chunked payload and checks the signature of each chunk before a byte of it is given out.
// A wrong one gives an *Error. The request's own signature is the seed.
func (c *Check) Reader(body io.Reader) io.Reader {
	return &chunkReader{check: c, in: bufio.NewReaderSize(body, 64<<10), previous: c.claim.signature,
		signed: strings.HasPrefix(c.claim.hash, "STREAMING-"+algorithm), trailer: strings.HasSuffix(c.claim.hash, "-TRAILER")}
}

type chunkReader struct {
	check    *Check
	in       *bufio.Reader
	previous string
	signed   bool
	trailer  bool
	chunk    []byte // what was checked and not read yet
	buf      []byte
	err      error
}

// Read gives the payload.
func (r *chunkReader) Read(p []byte) (int, error) {
	for len(r.chunk) == 0 && r.err == nil {
		r.err = r.next()
	}
	if len(r.chunk) == 0 {
		return 0, r.err
	}
	n := copy(p, r.chunk)
	r.chunk = r.chunk[n:]
	return n, nil
}

func (r *chunkReader) next() error {
	line, err := r.line(256)
	if err != nil {
		return err
	}
	size, signature, err := r.head(line)
	if err != nil {
		return err
	}
	if cap(r.buf) < size {
		r.buf = make([]byte, size)
	}
	data := r.buf[:size]
	if _, err := io.ReadFull(r.in, data); err != nil {
		return io.ErrUnexpectedEOF
	}
	if r.signed && !r.check.signs(r.toSign("-PAYLOAD", data), signature) {
		return mismatch()
	}
	r.previous = signature
	if size == 0 {
		return r.end()
	}
	if end, err := r.line(2); err != nil || end != "" {
		return errChunk
	}
	r.chunk = data
	return nil
}

// head reads "<hex size>[;chunk-signature=<hex>]".
func (r *chunkReader) head(line string) (size int, signature string, err error) {
	digits, rest, _ := strings.Cut(line, ";")
	n, err := strconv.ParseUint(digits, 16, 32)
	if err != nil || n > maxChunk {
		return 0, "", errChunk
	}
	signature, ok := strings.CutPrefix(rest, "chunk-signature=")
	if r.signed && !ok {
		return 0, "", errChunk
	}
	return int(n), signature, nil
}

// end reads the trailing headers, whose signature covers them.
func (r *chunkReader) end() error {
	if !r.trailer {
		return r.finish()
	}
	var all bytes.Buffer
	signature := ""
	for {
		line, err := r.line(maxTrailer)
		if err != nil && err != io.EOF || all.Len() > maxTrailer {
			return errChunk
		}
		if line == "" {
			break
		}
		name, value, _ := strings.Cut(line, ":")
		if strings.EqualFold(name, "x-amz-trailer-signature") {
			signature = strings.TrimSpace(value)
			continue
		}
		all.WriteString(strings.ToLower(name) + ":" + strings.TrimSpace(value) + "\n")
	}
	if r.signed && !r.check.signs(r.toSign("-TRAILER", all.Bytes()), signature) {
		return mismatch()
	}
	return io.EOF
}

func (r *chunkReader) finish() error {
	if end, err := r.line(2); err != nil && err != io.EOF || end != "" {
		return errChunk
	}
	return io.EOF
}

// toSign is the text whose signature a chunk or the trailer carries.
func (r *chunkReader) toSign(kind string, data []byte) []byte {
	c := r.check
	b := append([]byte(algorithm+kind+"\n"+c.claim.stamp+"\n"), c.appendScope(nil)...)
	b = append(append(append(b, '\n'), r.previous...), '\n')
	if kind == "-PAYLOAD" {
		b = append(append(b, emptyHash...), '\n')
	}
	sum := sha256.Sum256(data)
	return hex.AppendEncode(b, sum[:])
}

// line reads up to CRLF.
func (r *chunkReader) line(most int) (string, error) {
	s, err := r.in.ReadSlice('\n')
	if err != nil && len(s) == 0 {
		return "", err
	}
	if err != nil || len(s) > most+2 || len(s) < 2 || s[len(s)-2] != '\r' {
		return "", errChunk
	}
	return string(s[:len(s)-2]), nil
}
