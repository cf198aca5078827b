package sigv4

import (
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

const (
	algorithm = "AWS4-HMAC-SHA256"
	stamp     = "20060102T150405Z"

	unsignedPayload = "UNSIGNED-PAYLOAD"
	streaming       = "STREAMING-" // begins the hash of an aws-chunked payload
	emptyHash       = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
)

// claim is what a request says about its signature.
type claim struct {
	keyID, date, region, service string // the credential scope
	headers                      []string
	signature                    string // hex
	at                           time.Time
	stamp                        string
	token                        string
	presigned                    bool
	expires                      time.Duration // presigned only
	hash                         string        // what the request says of its payload; "" when nothing
}

// IsSigned says whether a request carries an AWS signature in its header.
func IsSigned(r *http.Request) bool {
	return strings.HasPrefix(r.Header.Get("Authorization"), algorithm)
}

// IsPresigned says whether a request carries an AWS signature in its query.
func IsPresigned(r *http.Request) bool {
	return strings.Contains(r.URL.RawQuery, "X-Amz-Signature=")
}

// Service is the service name of a request's credential scope, unverified: for routing only. "" when there is none.
func Service(r *http.Request) string {
	_, rest, _ := strings.Cut(r.Header.Get("Authorization"), "Credential=")
	scope, _, _ := strings.Cut(rest, ",")
	parts := strings.Split(scope, "/")
	if len(parts) != 5 {
		return ""
	}
	return parts[3]
}

func parse(r *http.Request) (*claim, *Error) {
	if !IsSigned(r) {
		if IsPresigned(r) {
			return parsePresigned(r)
		}
		if auth := r.Header.Get("Authorization"); auth != "" {
			return nil, incomplete("Unsupported AWS 'algorithm': '%s'.", firstWord(auth))
		}
		return nil, missing()
	}
	c := &claim{hash: r.Header.Get("X-Amz-Content-Sha256"), token: r.Header.Get("X-Amz-Security-Token")}
	credential, err := c.readHeader(r.Header.Get("Authorization"))
	if err != nil {
		return nil, err
	}
	c.stamp = r.Header.Get("X-Amz-Date")
	if c.stamp == "" {
		if t, err := http.ParseTime(r.Header.Get("Date")); err == nil {
			c.stamp = t.UTC().Format(stamp)
		}
	}
	if c.stamp == "" {
		return nil, incomplete("Authorization header requires existence of either a 'X-Amz-Date' or a 'Date' header. Authorization=%s", algorithm)
	}
	return c, c.read(credential)
}

func firstWord(s string) string {
	word, _, _ := strings.Cut(s, " ")
	return word[:min(len(word), 40)]
}

// readHeader takes the three parameters of the Authorization header.
func (c *claim) readHeader(auth string) (credential string, _ *Error) {
	rest := strings.TrimSpace(auth[len(algorithm):])
	for part := range strings.SplitSeq(rest, ",") {
		name, value, _ := strings.Cut(strings.TrimSpace(part), "=")
		switch name {
		case "Credential":
			credential = value
		case "SignedHeaders":
			c.headers = strings.Split(value, ";")
		case "Signature":
			c.signature = value
		}
	}
	var lacks strings.Builder
	for _, p := range []struct{ name, value string }{{"Credential", credential}, {"Signature", c.signature}, {"SignedHeaders", strings.Join(c.headers, ";")}} {
		if p.value == "" {
			lacks.WriteString("Authorization header requires '" + p.name + "' parameter. ")
		}
	}
	if lacks.Len() > 0 {
		return "", incomplete("%sAuthorization=%s", lacks.String(), algorithm)
	}
	return credential, nil
}

// read takes the credential scope and checks what can be checked without the key.
func (c *claim) read(credential string) *Error {
	parts := strings.Split(credential, "/")
	if len(parts) != 5 {
		return incomplete("Credential must have exactly 5 slash-delimited elements, e.g. keyid/date/region/service/term, got '%s'", credential)
	}
	c.keyID, c.date, c.region, c.service = parts[0], parts[1], parts[2], parts[3]
	if c.service != "s3" && (c.hash == unsignedPayload || strings.HasPrefix(c.hash, streaming)) {
		c.hash = "" // only S3 leaves payloads out of the signature: everybody else's is hashed, whatever the header says
	}
	if parts[4] != "aws4_request" {
		return invalid("Credential should be scoped with a valid terminator: 'aws4_request', not '%s'. ", parts[4])
	}
	t, err := time.Parse(stamp, c.stamp)
	if err != nil {
		return incomplete("Date must be in ISO-8601 'basic format'. Got '%s'. See http://en.wikipedia.org/wiki/ISO_8601", c.stamp)
	}
	c.at = t
	if c.stamp[:8] != c.date {
		return invalid("Date in Credential scope does not match YYYYMMDD from ISO-8601 version of date from HTTP: '%s' != '%s', from '%s'.", c.date, c.stamp[:8], c.stamp)
	}
	if len(c.signature) != 64 || len(c.headers) > 100 {
		return mismatch()
	}
	return c.requiresHost()
}

func (c *claim) requiresHost() *Error {
	for _, h := range c.headers {
		if h == "host" {
			return nil
		}
	}
	return invalid("'Host' or ':authority' must be a 'SignedHeader' in the AWS Authorization.")
}

func parsePresigned(r *http.Request) (*claim, *Error) {
	q, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return nil, incomplete("The query string cannot be read.")
	}
	for _, name := range []string{"X-Amz-Algorithm", "X-Amz-Credential", "X-Amz-Date", "X-Amz-SignedHeaders", "X-Amz-Signature"} {
		if len(q[name]) != 1 {
			return nil, incomplete("AWS query-string parameters must include '%s'. Re-examine the query-string parameters.", name)
		}
	}
	if q.Get("X-Amz-Algorithm") != algorithm {
		return nil, incomplete("Unsupported AWS 'algorithm': '%s'.", firstWord(q.Get("X-Amz-Algorithm")))
	}
	c := &claim{presigned: true, signature: q.Get("X-Amz-Signature"), headers: strings.Split(q.Get("X-Amz-SignedHeaders"), ";"),
		stamp: q.Get("X-Amz-Date"), token: q.Get("X-Amz-Security-Token"), hash: q.Get("X-Amz-Content-Sha256"), expires: 15 * time.Minute}
	if c.hash == "" {
		c.hash = r.Header.Get("X-Amz-Content-Sha256")
	}
	if e := q.Get("X-Amz-Expires"); e != "" {
		n, err := strconv.Atoi(e)
		if err != nil || n < 1 || n > 604_800 {
			return nil, incomplete("X-Amz-Expires must be between 1 and 604800 seconds")
		}
		c.expires = time.Duration(n) * time.Second
	}
	if err := c.read(q.Get("X-Amz-Credential")); err != nil {
		return nil, err
	}
	if c.hash == "" && c.service == "s3" {
		c.hash = unsignedPayload
	}
	return c, nil
}

// fresh holds the request to the clock.
func (c *claim) fresh(now time.Time, skew time.Duration) *Error {
	now = now.UTC()
	minutes := int(skew / time.Minute)
	if c.at.After(now.Add(skew)) {
		return invalid("Signature not yet current: %s is still later than %s (%s + %d min.)", c.stamp, now.Add(skew).Format(stamp), now.Format(stamp), minutes)
	}
	limit := skew
	if c.presigned {
		limit = c.expires
	}
	if c.at.Before(now.Add(-limit)) {
		return invalid("Signature expired: %s is now earlier than %s (%s - %d min.)", c.stamp, now.Add(-limit).Format(stamp), now.Format(stamp), int(limit/time.Minute))
	}
	return nil
}
