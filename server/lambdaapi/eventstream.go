package lambdaapi

import (
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"hash/crc32"
	"net/http"

	"kiln/lambda"
)

// eventStream writes an answer of InvokeWithResponseStream: messages of application/vnd.amazon.eventstream.
type eventStream struct {
	c       *call
	started bool
	buf     []byte
}

type streamHeader struct{ name, value string }

// appendMessage writes one message: total length, header length, checksum of both, headers, payload, checksum of all.
func appendMessage(b []byte, headers []streamHeader, payload []byte) []byte {
	start := len(b)
	b = append(b, make([]byte, 12)...)
	for _, h := range headers {
		b = append(append(b, byte(len(h.name))), h.name...)
		b = append(b, 7) // a string
		b = binary.BigEndian.AppendUint16(b, uint16(len(h.value)))
		b = append(b, h.value...)
	}
	binary.BigEndian.PutUint32(b[start+4:], uint32(len(b)-start-12))
	b = append(b, payload...)
	binary.BigEndian.PutUint32(b[start:], uint32(len(b)-start+4))
	binary.BigEndian.PutUint32(b[start+8:], crc32.ChecksumIEEE(b[start:start+8]))
	return binary.BigEndian.AppendUint32(b, crc32.ChecksumIEEE(b[start:]))
}

func eventHeaders(kind, content string) []streamHeader {
	return []streamHeader{{":event-type", kind}, {":content-type", content}, {":message-type", "event"}}
}

const maxPiece = 64 << 10 // bytes of one message; longer pieces become several

// start sends the headers, once.
func (s *eventStream) start(version string) {
	if s.started {
		return
	}
	s.started = true
	h := s.c.w.Header()
	h["Content-Type"] = []string{"application/vnd.amazon.eventstream"}
	h["X-Amzn-Remapped-Content-Type"] = []string{"application/octet-stream"}
	if version == "" {
		version = lambda.Latest
	}
	h["X-Amz-Executed-Version"] = []string{version}
	s.c.w.WriteHeader(http.StatusOK)
}

// chunk sends one piece of the response.
func (s *eventStream) chunk(piece []byte) error {
	s.start(versionLabel(s.c.qualifier))
	for len(piece) > 0 {
		n := min(len(piece), maxPiece)
		if err := s.send(eventHeaders("PayloadChunk", "application/octet-stream"), piece[:n]); err != nil {
			return err
		}
		piece = piece[n:]
	}
	return http.NewResponseController(s.c.w).Flush()
}

// versionLabel is what is known of the version before the answer is.
func versionLabel(qualifier string) string {
	if isNumber(qualifier) {
		return qualifier
	}
	return lambda.Latest
}

func (s *eventStream) send(headers []streamHeader, payload []byte) error {
	s.buf = appendMessage(s.buf[:0], headers, payload)
	_, err := s.c.w.Write(s.buf)
	return err
}

// end sends what was not streamed, and how the run ended.
func (s *eventStream) end(res *lambda.Result, err error) error {
	s.start(res.Version)
	done := struct {
		ErrorCode    string `json:",omitempty"`
		ErrorDetails string `json:",omitempty"`
		LogResult    string `json:",omitempty"`
	}{}
	switch {
	case err != nil: // the headers are gone: the stream says it
		f := s.c.translate(err)
		done.ErrorCode, done.ErrorDetails = f.code, f.message
	case res.FunctionError != "":
		done.ErrorCode, done.ErrorDetails = errorOf(res.Payload)
	case len(res.Payload) > 0:
		if err := s.chunk(res.Payload); err != nil {
			return nil //nolint:nilerr // the client has gone
		}
	}
	if res.LogTail != nil {
		done.LogResult = base64.StdEncoding.EncodeToString(res.LogTail)
	}
	body, merr := json.Marshal(done)
	if merr != nil {
		return merr
	}
	_ = s.send(eventHeaders("InvokeComplete", "application/json"), body) // the client may have gone
	return nil
}

// errorOf is the type and the details of a function's error.
func errorOf(payload []byte) (code, details string) {
	var e struct{ ErrorType string }
	if err := json.Unmarshal(payload, &e); err != nil || e.ErrorType == "" {
		return "Unhandled", string(payload)
	}
	return e.ErrorType, string(payload)
}
