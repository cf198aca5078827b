package gateway

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"

	"kiln/lambda"
)

// response is what a handler may return in payload format 2.0.
type response struct {
	StatusCode      *int                       `json:"statusCode"`
	Headers         map[string]json.RawMessage `json:"headers"`
	Body            *string                    `json:"body"`
	Cookies         []string                   `json:"cookies"`
	IsBase64Encoded bool                       `json:"isBase64Encoded"`
}

// writeResult turns a handler's answer into HTTP: an object with statusCode says it all, anything else is the body of a 200.
func writeResult(w http.ResponseWriter, res lambda.Result) {
	if res.FunctionError != "" {
		answer(w, http.StatusBadGateway, "Internal Server Error")
		return
	}
	var r response
	if err := json.Unmarshal(res.Payload, &r); err != nil || r.StatusCode == nil {
		writeInferred(w, res.Payload)
		return
	}
	var body []byte
	if r.Body != nil {
		body = []byte(*r.Body)
	}
	if r.IsBase64Encoded {
		decoded, err := base64.StdEncoding.DecodeString(string(body))
		if err != nil {
			answer(w, http.StatusBadGateway, "Internal Server Error")
			return
		}
		body = decoded
	}
	if !r.writeHead(w) {
		answer(w, http.StatusBadGateway, "Internal Server Error")
		return
	}
	_, _ = w.Write(body)
}

// writeHead writes status and headers; false when the status is none that HTTP knows.
func (r *response) writeHead(w http.ResponseWriter) bool {
	if *r.StatusCode < 200 || *r.StatusCode > 599 {
		return false
	}
	h := w.Header()
	h.Set("Content-Type", "application/json")
	for name, value := range r.Headers {
		if allowedHeader(name) {
			h.Set(name, headerText(value))
		}
	}
	for _, c := range r.Cookies {
		h.Add("Set-Cookie", c)
	}
	w.WriteHeader(*r.StatusCode)
	return true
}

// allowedHeader keeps what belongs to the connection, and what guards it, out of functions' hands.
func allowedHeader(name string) bool {
	switch strings.ToLower(name) {
	case "connection", "transfer-encoding", "content-length", "keep-alive", "upgrade", "trailer", "te", "proxy-authenticate", "x-amzn-requestid":
		return false
	}
	return name != "" && !strings.ContainsAny(name, " \t\r\n:")
}

// headerText takes strings as they are and numbers and booleans in JSON's form.
func headerText(raw json.RawMessage) string {
	var s string
	if err := json.Unmarshal(raw, &s); err != nil {
		s = string(raw)
	}
	return strings.NewReplacer("\r", " ", "\n", " ").Replace(s)
}

func writeInferred(w http.ResponseWriter, payload []byte) {
	w.Header().Set("Content-Type", "application/json")
	var text string
	if err := json.Unmarshal(payload, &text); err == nil {
		payload = []byte(text)
	}
	_, _ = w.Write(payload)
}

// maxPrelude bounds the JSON that may stand before a streamed body.
const maxPrelude = 64 << 10

var preludeEnd = make([]byte, 8)

// responseStream writes a streamed answer as it comes. A stream may begin with a JSON prelude {statusCode, headers, cookies}
// and eight zero bytes (awslambda.HttpResponseStream); without it the body is plain bytes.
type responseStream struct {
	w      http.ResponseWriter
	held   []byte // the beginning, until it is known whether it is a prelude
	headed bool
}

func (s *responseStream) write(piece []byte) error {
	if s.headed {
		return s.send(piece)
	}
	s.held = append(s.held, piece...)
	if s.held[0] == '{' && len(s.held) <= maxPrelude {
		i := bytes.Index(s.held, preludeEnd)
		if i < 0 {
			return nil
		}
		return s.begin(i)
	}
	return s.plain()
}

// begin reads the prelude that ends at i.
func (s *responseStream) begin(i int) error {
	var r response
	if err := json.Unmarshal(s.held[:i], &r); err != nil {
		return s.plain()
	}
	if r.StatusCode == nil {
		ok := http.StatusOK
		r.StatusCode = &ok
	}
	s.headed = true
	if !r.writeHead(s.w) {
		answer(s.w, http.StatusBadGateway, "Internal Server Error")
		return fmt.Errorf("the stream named the status %d", *r.StatusCode)
	}
	rest := s.held[i+len(preludeEnd):]
	s.held = nil
	return s.send(rest)
}

func (s *responseStream) plain() error {
	s.headed = true
	s.w.Header().Set("Content-Type", "application/octet-stream")
	held := s.held
	s.held = nil
	return s.send(held)
}

func (s *responseStream) send(b []byte) error {
	if _, err := s.w.Write(b); err != nil {
		return err
	}
	return http.NewResponseController(s.w).Flush()
}

// end closes the answer. A failure after the first byte can only be told by breaking the connection off.
func (s *responseStream) end(res lambda.Result) {
	switch {
	case res.FunctionError != "" && s.headed:
		panic(http.ErrAbortHandler)
	case res.FunctionError != "":
		answer(s.w, http.StatusBadGateway, "Internal Server Error")
	case !s.headed && len(s.held) > 0:
		_ = s.plain()
	case !s.headed && len(res.Payload) > 0: // the handler did not stream
		writeResult(s.w, res)
	}
}
