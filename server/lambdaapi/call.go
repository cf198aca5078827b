package lambdaapi

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"time"

	"kiln/iam"
	"kiln/lambda"
	"kiln/server/sigv4"
)

// call is one request on its way through an operation.
type call struct {
	api       *API
	w         http.ResponseWriter
	tracked   *tracked // w
	r         *http.Request
	op        *operation
	path      [3]string // decoded path parameters, in order
	query     url.Values
	body      []byte
	input     any // what decode read, for operations whose resource is named in the body
	id        sigv4.Identity
	who       iam.Principal
	requestID string
	service   string // whose operation it is: "lambda", "logs", "sts"
	worker    string // whose listener this is; "" for the console's

	// Of operations on a function.
	function  string // name
	qualifier string // "" when the caller named none
}

func (c *call) name() string {
	if c.op != nil {
		return c.op.name
	}
	return c.r.URL.Path
}

func (c *call) ctx() context.Context { return c.r.Context() }

// readBody takes the whole body, within the API's bound. Large ones wait for their turn.
func (c *call) readBody() error {
	n := c.r.ContentLength
	if n == 0 {
		return nil
	}
	if n > lambda.MaxRequest {
		return tooLarge("Request must be smaller than %d bytes for the %s operation", lambda.MaxRequest, c.name())
	}
	weight := n
	if n < 0 {
		weight = lambda.MaxRequest
	}
	if weight > largeBody {
		room, limit := c.api.large, bodyTime
		if c.worker != "" {
			room, limit = c.api.ofWorkers, workBodyTime
		}
		if err := room.Acquire(c.ctx(), weight); err != nil {
			return err
		}
		defer room.Release(weight)
		line := http.NewResponseController(c.w)
		_ = line.SetReadDeadline(time.Now().Add(limit)) // only of servers' own connections; nothing else stalls
		defer func() { _ = line.SetReadDeadline(time.Time{}) }()
	}
	if n > 0 {
		c.body = make([]byte, n)
		if _, err := io.ReadFull(c.r.Body, c.body); err != nil {
			return fmt.Errorf("read the request: %w", errors.Join(context.Canceled, err))
		}
		return nil
	}
	b, err := io.ReadAll(io.LimitReader(c.r.Body, lambda.MaxRequest+1))
	if err != nil {
		return fmt.Errorf("read the request: %w", errors.Join(context.Canceled, err))
	}
	if len(b) > lambda.MaxRequest {
		return tooLarge("Request must be smaller than %d bytes for the %s operation", lambda.MaxRequest, c.name())
	}
	c.body = b
	return nil
}

// decode reads the JSON body; an empty one is an empty object.
func (c *call) decode(into any) error {
	if len(bytes.TrimSpace(c.body)) == 0 {
		return nil
	}
	if err := json.Unmarshal(c.body, into); err != nil {
		return serialization()
	}
	return nil
}

var answers = sync.Pool{New: func() any { return new(bytes.Buffer) }}

// answer writes JSON as AWS does, or an empty body for nil.
func (c *call) answer(status int, v any) error {
	if v == nil {
		if status == http.StatusOK {
			c.w.Header().Set("Content-Type", "application/json")
		}
		c.w.WriteHeader(status)
		return nil
	}
	buf := answers.Get().(*bytes.Buffer)
	defer answers.Put(buf)
	buf.Reset()
	e := json.NewEncoder(buf)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return err
	}
	b := bytes.TrimSuffix(buf.Bytes(), []byte("\n"))
	h := c.w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("Content-Length", strconv.Itoa(len(b)))
	c.w.WriteHeader(status)
	_, _ = c.w.Write(b) // the client may have gone
	return nil
}

const (
	functionPattern  = `(arn:(aws[a-zA-Z-]*)?:lambda:)?((eusc-)?[a-z]{2}((-gov)|(-iso([a-z]?)))?-[a-z]+-\d{1}:)?(\d{12}:)?(function:)?([a-zA-Z0-9-_]+)(:(\$LATEST|[a-zA-Z0-9-_]+))?`
	qualifierPattern = `\$(LATEST(\.PUBLISHED)?)|[a-zA-Z0-9-_$]+`
)

var (
	functionForm  = regexp.MustCompile(`^(?:arn:aws[a-zA-Z-]*:lambda:)?(?:([a-z]{2}(?:-[a-z]+)+-\d):)?(?:(\d{12}):)?(?:function:)?([a-zA-Z0-9-_]+)(?::(\$LATEST|[a-zA-Z0-9-_]+))?$`)
	qualifierForm = regexp.MustCompile(`^(\$LATEST|[a-zA-Z0-9-_$]+)$`)
)

// isPlainName says whether a name is a function's alone, without account, region or qualifier. It is asked on every call: no regexp.
func isPlainName(s string) bool {
	for i := range len(s) {
		if c := s[i]; (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && c != '-' && c != '_' {
			return false
		}
	}
	return len(s) >= 1 && len(s) <= 64
}

// readFunction takes the function that the path names, in every form that AWS accepts, and the qualifier of name and query.
func (c *call) readFunction(raw string) error {
	c.qualifier = c.query.Get("Qualifier")
	if isPlainName(raw) && c.qualifier == "" { // the usual case
		c.function = raw
		return nil
	}
	var k checks
	k.most(raw, "functionName", 140)
	m := functionForm.FindStringSubmatch(raw)
	k.pattern(m != nil, raw, "functionName", functionPattern)
	if c.query.Has("Qualifier") {
		k.pattern(qualifierForm.MatchString(c.qualifier), c.qualifier, "qualifier", qualifierPattern)
		k.most(c.qualifier, "qualifier", 128)
	}
	if err := k.err(); err != nil {
		return err
	}
	if len(m[3]) > 64 {
		return invalidValue("1 validation error detected: Value '%s' at 'functionName' failed to satisfy constraint: Member must have length less than or equal to 64", m[3])
	}
	if m[1] != "" && m[1] != c.api.ARNs.Region {
		return notFound("Functions from '%s' are not reachable in this region ('%s')", m[1], c.api.ARNs.Region)
	}
	c.function = m[3]
	if m[4] != "" {
		if c.qualifier != "" && c.qualifier != m[4] {
			return invalidValue("The derived qualifier from the function name does not match the specified qualifier.")
		}
		c.qualifier = m[4]
	}
	if m[2] != "" && m[2] != c.api.ARNs.AccountID {
		return denied(fmt.Sprintf("User: %s is not authorized to perform: %s on resource: arn:aws:lambda:%s:%s:function:%s because no resource-based policy allows the %s action",
			c.who.ARN, c.op.Action, c.api.ARNs.Region, m[2], c.function, c.op.Action))
	}
	return nil
}

// arn is the function's ARN with the qualifier that the caller named.
func (c *call) arn() string { return c.api.ARNs.Function(c.function, c.qualifier) }

// param gives a decoded request's value by name, for the operation row.
func (c *call) param(name string) string {
	switch name {
	case "Function":
		return c.function
	case "Qualifier":
		return c.qualifier
	case "0":
		return c.path[0]
	case "1":
		return c.path[1]
	}
	return c.query.Get(name)
}

// limit is MaxItems of a list.
func (c *call) limit(most int) (int, error) {
	raw := c.query.Get("MaxItems")
	if raw == "" {
		return min(50, most), nil
	}
	n, err := strconv.Atoi(raw)
	if err != nil {
		return 0, serialization()
	}
	var k checks
	k.between(&n, "maxItems", 1, 10_000)
	return min(n, most), k.err()
}

// marker reads the marker of a list; "" for the first page.
func (c *call) marker() (string, error) {
	raw := c.query.Get("Marker")
	if raw == "" {
		return "", nil
	}
	key, ok := decodeMarker(raw)
	if !ok {
		return "", invalidValue("Invalid pagination token")
	}
	return key, nil
}

func (c *call) changed() {
	if c.api.Changed != nil {
		c.api.Changed(c.function)
	}
}

func unescape(segment string) (string, bool) {
	if !strings.Contains(segment, "%") {
		return segment, true
	}
	s, err := url.PathUnescape(segment)
	return s, err == nil
}
