package gateway

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"kiln/lambda"
)

const linkPrefix = "/_code/"

// Links makes and checks download links for packages: each names one package and a time at which it ends.
type Links struct {
	base string // http://127.0.0.1:8081
	key  []byte
}

// NewLinks takes the gateway's own address and a key that nobody else has (32 bytes).
func NewLinks(base string, key []byte) *Links { return &Links{base, key} }

// Code is a link to a package that works until `until`.
func (l *Links) Code(sha string, until time.Time) string {
	expires := strconv.FormatInt(until.Unix(), 10)
	q := url.Values{"expires": {expires}, "signature": {l.sign(sha, expires)}}
	return l.base + linkPrefix + sha + "?" + q.Encode()
}

func (l *Links) sign(sha, expires string) string {
	m := hmac.New(sha256.New, l.key)
	_, _ = io.WriteString(m, "kiln code link\n"+sha+"\n"+expires) // a hash never fails
	return hex.EncodeToString(m.Sum(nil))
}

func (l *Links) valid(sha string, q url.Values, now time.Time) bool {
	expires := q.Get("expires")
	if !hmac.Equal([]byte(l.sign(sha, expires)), []byte(q.Get("signature"))) {
		return false
	}
	until, err := strconv.ParseInt(expires, 10, 64)
	return err == nil && now.Unix() < until
}

func (g *Gateway) serveLink(w http.ResponseWriter, r *http.Request) {
	sha := r.URL.Path[len(linkPrefix):]
	if r.Method != http.MethodGet && r.Method != http.MethodHead || !g.Links.valid(sha, r.URL.Query(), g.Now()) {
		answer(w, http.StatusForbidden, "Request has expired or its signature does not match")
		return
	}
	body, err := g.Packages.OpenCode(r.Context(), sha)
	if err != nil {
		if lambda.KindOf(err) == lambda.NotFound {
			answer(w, http.StatusNotFound, "Not Found")
			return
		}
		g.fault(w, "open a package", err)
		return
	}
	defer body.Close()
	w.Header().Set("Content-Type", "application/zip")
	w.Header().Set("Content-Disposition", `attachment; filename="`+sha[:min(12, len(sha))]+`.zip"`)
	w.Header().Set("X-Content-Type-Options", "nosniff")
	if _, err := io.Copy(w, body); err != nil {
		g.Log.Warn("gateway: a download broke off", "err", err)
		panic(http.ErrAbortHandler)
	}
}
