package gateway

import (
	"net/http"
	"slices"
	"strconv"
	"strings"
	"unicode"

	"kiln/lambda"
)

// Browsers share cookies across the ports of one host, so the console's cookies reach this listener. They end here.
func consoleCookie(name string) bool {
	name = strings.TrimPrefix(strings.TrimSpace(name), "__Host-")
	return strings.HasPrefix(strings.ToLower(name), "kiln_")
}

func stripRequestCookies(r *http.Request) {
	lines := r.Header["Cookie"]
	if len(lines) == 0 {
		return
	}
	var kept []string
	for _, line := range lines {
		for c := range strings.SplitSeq(line, ";") {
			name, _, _ := strings.Cut(c, "=")
			if c = strings.TrimSpace(c); c != "" && !consoleCookie(name) {
				kept = append(kept, c)
			}
		}
	}
	if len(kept) == 0 {
		r.Header.Del("Cookie")
		return
	}
	r.Header["Cookie"] = []string{strings.Join(kept, "; ")}
}

// cookieGuard removes from answers what would reach the console: its cookie names and cookies for a whole domain.
// sandboxed answers keep their sandbox whatever the function says.
type cookieGuard struct {
	http.ResponseWriter
	sandboxed bool
	done      bool
}

// WriteHeader guards the headers once, before they are sent.
func (g *cookieGuard) WriteHeader(status int) {
	g.guard()
	g.ResponseWriter.WriteHeader(status)
}

// Write sends the guarded headers first.
func (g *cookieGuard) Write(b []byte) (int, error) {
	g.guard()
	return g.ResponseWriter.Write(b)
}

// Unwrap lets http.ResponseController reach Flush.
func (g *cookieGuard) Unwrap() http.ResponseWriter { return g.ResponseWriter }

func (g *cookieGuard) guard() {
	if g.done {
		return
	}
	g.done = true
	h := g.Header()
	h["Set-Cookie"] = slices.DeleteFunc(h["Set-Cookie"], forbiddenCookie)
	if g.sandboxed {
		h.Set("Content-Security-Policy", "sandbox allow-forms allow-scripts allow-popups")
		h.Del("Service-Worker-Allowed")
		for _, name := range originWide {
			h.Del(name)
		}
	}
}

// originWide headers would speak for every function, and on one host for the console too.
var originWide = []string{"Clear-Site-Data", "Strict-Transport-Security", "Alt-Svc", "Nel", "Report-To", "Reporting-Endpoints"}

// forbiddenCookie says whether a line of Set-Cookie must not reach a browser. One without a name comes back as its bare value,
// which the console would read as a cookie of its own.
func forbiddenCookie(line string) bool {
	parts := strings.Split(line, ";")
	name, _, named := strings.Cut(parts[0], "=")
	if name = strings.TrimSpace(name); !named || name == "" || strings.ContainsFunc(name, unicode.IsControl) || consoleCookie(name) {
		return true
	}
	for _, attribute := range parts[1:] {
		key, _, _ := strings.Cut(attribute, "=")
		if strings.EqualFold(strings.TrimSpace(key), "domain") {
			return true
		}
	}
	return false
}

// writeCORS adds the URL's cross-origin answer; true when it was a preflight, which never reaches the function.
func writeCORS(w http.ResponseWriter, r *http.Request, c *lambda.CORS) bool {
	origin := r.Header.Get("Origin")
	if origin == "" {
		return false
	}
	h := w.Header()
	h.Add("Vary", "Origin")
	if allowed, any := matches(c.AllowOrigins, origin); allowed {
		if any && !c.AllowCredentials {
			origin = "*"
		}
		h.Set("Access-Control-Allow-Origin", origin)
		if c.AllowCredentials {
			h.Set("Access-Control-Allow-Credentials", "true")
		}
		if len(c.ExposeHeaders) > 0 {
			h.Set("Access-Control-Expose-Headers", strings.Join(c.ExposeHeaders, ","))
		}
	}
	if r.Method != http.MethodOptions || r.Header.Get("Access-Control-Request-Method") == "" {
		return false
	}
	h.Set("Access-Control-Allow-Methods", strings.Join(c.AllowMethods, ","))
	if len(c.AllowHeaders) > 0 {
		h.Set("Access-Control-Allow-Headers", strings.Join(c.AllowHeaders, ","))
	}
	if c.MaxAge > 0 {
		h.Set("Access-Control-Max-Age", strconv.Itoa(c.MaxAge))
	}
	w.WriteHeader(http.StatusOK)
	return true
}

func matches(allowed []string, origin string) (ok, any bool) {
	any = slices.Contains(allowed, "*")
	return any || slices.ContainsFunc(allowed, func(a string) bool { return strings.EqualFold(a, origin) }), any
}
