package sigv4

import (
	"net/http"
	"slices"
	"strconv"
	"strings"
)

const hexDigits = "0123456789ABCDEF"

func unreserved(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '-' || c == '_' || c == '.' || c == '~'
}

func appendEscaped(b []byte, c byte) []byte {
	return append(b, '%', hexDigits[c>>4], hexDigits[c&15])
}

// rawTarget is the path and query exactly as the client sent them.
func rawTarget(r *http.Request) (path, query string) {
	uri := r.RequestURI
	if uri == "" { // a request that was made, not received
		uri = r.URL.RequestURI()
	}
	if i := strings.Index(uri, "://"); i > 0 && !strings.HasPrefix(uri, "/") {
		uri = uri[i+3:]
		if j := strings.IndexAny(uri, "/?"); j >= 0 {
			uri = uri[j:]
		} else {
			uri = "/"
		}
	}
	path, query, _ = strings.Cut(uri, "?")
	if path == "" {
		path = "/"
	}
	return path, query
}

// appendPath escapes the path once more than it was sent; S3's is taken as it is.
func appendPath(b []byte, path, service string) []byte {
	if service == "s3" {
		return append(b, path...)
	}
	for i := range len(path) {
		if c := path[i]; unreserved(c) || c == '/' {
			b = append(b, c)
		} else {
			b = appendEscaped(b, c)
		}
	}
	return b
}

// cleanPath removes dot segments and empty ones, as some clients do before they sign.
func cleanPath(path string) string {
	var kept []string
	for s := range strings.SplitSeq(path, "/") {
		switch s {
		case "", ".":
		case "..":
			if len(kept) > 0 {
				kept = kept[:len(kept)-1]
			}
		default:
			kept = append(kept, s)
		}
	}
	out := "/" + strings.Join(kept, "/")
	if strings.HasSuffix(path, "/") && out != "/" {
		out += "/"
	}
	return out
}

func appendQuery(b []byte, query string, presigned bool) []byte {
	if query == "" {
		return b
	}
	var pairs []string
	for p := range strings.SplitSeq(query, "&") {
		if p == "" || presigned && strings.HasPrefix(p, "X-Amz-Signature=") {
			continue
		}
		name, value, _ := strings.Cut(p, "=")
		pairs = append(pairs, normal(name)+"="+normal(value))
	}
	slices.SortFunc(pairs, comparePairs)
	for i, p := range pairs {
		if i > 0 {
			b = append(b, '&')
		}
		b = append(b, p...)
	}
	return b
}

// comparePairs orders by name and then value; '=' would sort behind some characters of names.
func comparePairs(a, b string) int {
	an, av, _ := strings.Cut(a, "=")
	bn, bv, _ := strings.Cut(b, "=")
	if c := strings.Compare(an, bn); c != 0 {
		return c
	}
	return strings.Compare(av, bv)
}

// normal is the one escaped form of a part of a query.
func normal(s string) string {
	if isNormal(s) {
		return s
	}
	out := make([]byte, 0, len(s)+16)
	for i := 0; i < len(s); i++ {
		c := s[i]
		switch {
		case c == '%' && i+2 < len(s) && unhex(s[i+1]) >= 0 && unhex(s[i+2]) >= 0:
			c = byte(unhex(s[i+1])<<4 | unhex(s[i+2]))
			i += 2
		case c == '+':
			c = ' '
		}
		if unreserved(c) {
			out = append(out, c)
		} else {
			out = appendEscaped(out, c)
		}
	}
	return string(out)
}

func isNormal(s string) bool {
	for i := range len(s) {
		if !unreserved(s[i]) {
			return false
		}
	}
	return true
}

func unhex(c byte) int {
	switch {
	case c >= '0' && c <= '9':
		return int(c - '0')
	case c >= 'a' && c <= 'f':
		return int(c-'a') + 10
	case c >= 'A' && c <= 'F':
		return int(c-'A') + 10
	}
	return -1
}

// appendHeaders writes the signed headers; false when one of them is not in the request.
func appendHeaders(b []byte, r *http.Request, names []string) ([]byte, bool) {
	for _, name := range names {
		b = append(append(b, name...), ':')
		switch name {
		case "host":
			b = append(b, r.Host...)
		case "content-length":
			b = strconv.AppendInt(b, max(r.ContentLength, 0), 10)
		default:
			values := r.Header[http.CanonicalHeaderKey(name)]
			if name == "transfer-encoding" {
				values = r.TransferEncoding // the server takes it out of the headers
			}
			if len(values) == 0 {
				return b, false
			}
			for i, v := range values {
				if i > 0 {
					b = append(b, ',')
				}
				b = appendTrimmed(b, v)
			}
		}
		b = append(b, '\n')
	}
	return b, true
}

// appendTrimmed drops outer blanks and folds runs of inner ones.
func appendTrimmed(b []byte, v string) []byte {
	v = strings.TrimSpace(v)
	for i := range len(v) {
		if v[i] == ' ' && i > 0 && v[i-1] == ' ' {
			continue
		}
		b = append(b, v[i])
	}
	return b
}

// unsignedHeader is the name of an X-Amz header that the signature does not cover; "" when all are covered.
// Without this a request could be changed on its way: the invocation type is such a header.
func unsignedHeader(r *http.Request, c *claim) string {
	for name := range r.Header {
		if !strings.HasPrefix(name, "X-Amz-") || name == "X-Amz-Security-Token" || c.presigned && name == "X-Amz-Content-Sha256" {
			continue
		}
		if !slices.ContainsFunc(c.headers, func(h string) bool { return strings.EqualFold(h, name) }) {
			return name
		}
	}
	return ""
}
