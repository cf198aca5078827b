package server

import (
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"runtime/debug"
	"slices"
	"strings"

	"github.com/labstack/echo/v4"

	"kiln/lambda"
	"kiln/server/edge"
	"kiln/web/messages"
)

// identify gives the request its id.
func (s *Server) identify(next echo.HandlerFunc) echo.HandlerFunc {
	return func(e echo.Context) error {
		id := edge.NewRequestID()
		e.Response().Header().Set("X-Request-Id", id)
		e.SetRequest(e.Request().WithContext(edge.WithRequestID(e.Request().Context(), id)))
		return next(e)
	}
}

// recover turns a panic into an internal error; the stack goes to the log.
func (s *Server) recover(next echo.HandlerFunc) echo.HandlerFunc {
	return func(e echo.Context) (err error) {
		defer func() {
			switch p := recover(); p {
			case nil:
			case http.ErrAbortHandler:
				panic(p)
			default:
				err = fmt.Errorf("panic: %v\n%s", p, debug.Stack())
			}
		}()
		return next(e)
	}
}

// protect sets the headers that keep a browser safe. Scripts and styles come from our own files only; the nonce is for the style
// element that the editor makes.
func (s *Server) protect(next echo.HandlerFunc) echo.HandlerFunc {
	return func(e echo.Context) error {
		nonce := randomText(16)
		e.SetRequest(e.Request().WithContext(edge.WithNonce(e.Request().Context(), nonce)))
		h := e.Response().Header()
		h.Set("Content-Security-Policy", "default-src 'none'; script-src 'self'; style-src 'self' 'nonce-"+nonce+"'; img-src 'self' data:; font-src 'self'; "+
			"connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'; object-src 'none'")
		h.Set("Cache-Control", "no-store") // but for built files, which say otherwise
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("X-Frame-Options", "DENY")
		h.Set("Referrer-Policy", "same-origin")
		h.Set("Cross-Origin-Opener-Policy", "same-origin")
		h.Set("Cross-Origin-Resource-Policy", "same-origin")
		h.Set("Permissions-Policy", "camera=(), microphone=(), geolocation=(), payment=(), usb=()")
		if s.secure() {
			h.Set("Strict-Transport-Security", "max-age=31536000")
		}
		return next(e)
	}
}

func randomText(bytes int) string {
	b := make([]byte, bytes)
	_, _ = rand.Read(b) // never fails
	return base64.RawURLEncoding.EncodeToString(b)
}

// secure says whether browsers reach the console by https.
func (s *Server) secure() bool { return s.o.TLS != nil || s.o.URL != nil && s.o.URL.Scheme == "https" }

// checkHost refuses names that Kiln was not told to answer under: a foreign name that resolves to this machine (DNS rebinding) gets nothing.
func (s *Server) checkHost(next echo.HandlerFunc) echo.HandlerFunc {
	return func(e echo.Context) error {
		if !s.hostAllowed(e.Request().Host) {
			return lambda.E(lambda.Denied, "host.unknown")
		}
		return next(e)
	}
}

func (s *Server) hostAllowed(host string) bool {
	name := host
	if h, _, err := net.SplitHostPort(host); err == nil {
		name = h
	}
	name = strings.ToLower(strings.TrimSuffix(strings.Trim(name, "[]"), "."))
	if ip, err := netip.ParseAddr(name); err == nil {
		return ip.IsLoopback() || ip.String() == s.listenIP() || slices.Contains(s.o.Hosts, name) || s.o.URL != nil && s.o.URL.Hostname() == name
	}
	return name == "localhost" || slices.Contains(s.o.Hosts, name) || s.o.URL != nil && strings.EqualFold(s.o.URL.Hostname(), name)
}

// listenIP is the address of the listener when it is one address: a numeric host cannot be rebound.
func (s *Server) listenIP() string {
	if s.o.Listener == nil {
		return ""
	}
	if a, ok := s.o.Listener.Addr().(*net.TCPAddr); ok && !a.IP.IsUnspecified() {
		return a.IP.String()
	}
	return ""
}

// maxBody is the largest body of a write, in bytes: a package and its fields.
const maxBody = lambda.MaxZip + 1<<20

// checkWrite refuses writes, and websocket requests, that another site caused, and writes without the session's token.
func (s *Server) checkWrite(next echo.HandlerFunc) echo.HandlerFunc {
	return func(e echo.Context) error {
		r := e.Request()
		socket := e.IsWebSocket()
		write := r.Method != http.MethodGet && r.Method != http.MethodHead && r.Method != http.MethodOptions
		if !write && !socket {
			return next(e)
		}
		if !sameOrigin(r) {
			return lambda.E(lambda.Denied, "origin.foreign")
		}
		if r.ContentLength > maxBody {
			return lambda.E(lambda.TooLarge, "body.large", "max", messages.English.Bytes(maxBody))
		}
		r.Body = http.MaxBytesReader(e.Response(), r.Body, maxBody)
		session := edge.SessionOf(r.Context())
		if write && session.ID != 0 {
			if err := checkCSRF(e, session.CSRF); err != nil {
				return err
			}
		}
		return next(e)
	}
}

// sameOrigin needs the browser's word: Origin, or Sec-Fetch-Site where a browser leaves Origin out.
func sameOrigin(r *http.Request) bool {
	origin := r.Header.Get("Origin")
	if origin == "" {
		return r.Header.Get("Sec-Fetch-Site") == "same-origin"
	}
	u, err := url.Parse(origin)
	return err == nil && u.Host != "" && strings.EqualFold(u.Host, r.Host)
}

const (
	csrfHeader = "X-CSRF-Token"
	csrfField  = "_csrf"
)

func checkCSRF(e echo.Context, want string) error {
	got := e.Request().Header.Get(csrfHeader)
	if got == "" {
		got = e.FormValue(csrfField)
	}
	if subtle.ConstantTimeCompare([]byte(got), []byte(want)) != 1 {
		return lambda.E(lambda.Denied, "csrf.missing")
	}
	return nil
}

// clientIP is the caller's address.
func (s *Server) clientIP(r *http.Request) string { return ClientIP(r, s.o.TrustedProxies) }

// ClientIP believes X-Forwarded-For only from trusted proxies, from the right: the first address that is none of them is the caller.
func ClientIP(r *http.Request, proxies []netip.Prefix) string {
	trusted := func(ip netip.Addr) bool {
		return slices.ContainsFunc(proxies, func(p netip.Prefix) bool { return p.Contains(ip.Unmap()) })
	}
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		host = r.RemoteAddr
	}
	at, err := netip.ParseAddr(host)
	if err != nil || !trusted(at) {
		return host
	}
	hops := strings.Split(strings.Join(r.Header.Values("X-Forwarded-For"), ","), ",")
	for _, hop := range slices.Backward(hops) {
		ip, err := netip.ParseAddr(strings.TrimSpace(hop))
		if err != nil {
			break
		}
		at = ip
		if !trusted(ip) {
			break
		}
	}
	return at.String()
}
