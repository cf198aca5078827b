// Package server is the console's listener: it tells signed AWS calls from browsers, protects the browser's side (host, origin, CSRF,
// content security policy, sessions) and gives every route of its children their authorization.
package server

import (
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"time"

	"github.com/labstack/echo/v4"

	"kiln/server/console"
	"kiln/server/edge"
)

// Options are what a Server needs.
type Options struct {
	Listener       net.Listener // already listening; Run closes it
	TLS            *tls.Config  // nil for plain HTTP
	URL            *url.URL     // the console's public address; its host is allowed and its scheme decides about Secure cookies
	Hosts          []string     // further allowed hosts; localhost and IP addresses of the loopback always are
	TrustedProxies []netip.Prefix
	Console        *console.Console
	Sessions       *Sessions
	Gate           *edge.Gate
	AWS            http.Handler // signed calls; nil answers 404 to them
	Metrics        http.Handler // Prometheus registry, served to loopback only
	Health         func(context.Context) Health
	Log            *slog.Logger
	Now            func() time.Time
}

// Health is what GET /healthz answers.
type Health struct {
	Status   string   `json:"status"` // "ok" or "degraded"
	Database string   `json:"database"`
	Rung     string   `json:"rung"`
	Runtimes []string `json:"runtimes"`
	Version  string   `json:"version"`
}

// Server answers on one listener. Make it with New.
type Server struct {
	o     Options
	http  *http.Server
	login *limiter
}

// New wires routes and middleware; nothing listens before Run.
func New(o Options) *Server {
	s := &Server{o: o, login: newLimiter(10, time.Minute)}
	s.http = &http.Server{
		Handler: s.Handler(), TLSConfig: o.TLS,
		ReadHeaderTimeout: 10 * time.Second, IdleTimeout: 2 * time.Minute, MaxHeaderBytes: 64 << 10,
		ErrorLog: slog.NewLogLogger(o.Log.Handler(), slog.LevelDebug),
	}
	return s
}

// Run serves until ctx ends, then stops accepting, answers what runs for at most grace, and returns.
// Sockets are hijacked connections: their owner, the console, ends them.
func (s *Server) Run(ctx context.Context, grace time.Duration) error {
	served := make(chan error, 1)
	go func() {
		if s.o.TLS != nil {
			served <- s.http.ServeTLS(s.o.Listener, "", "")
			return
		}
		served <- s.http.Serve(s.o.Listener)
	}()
	select {
	case err := <-served:
		return err
	case <-ctx.Done():
	}
	stop, cancel := context.WithTimeout(context.WithoutCancel(ctx), grace)
	defer cancel()
	err := s.http.Shutdown(stop)
	if err != nil {
		_ = s.http.Close() // what still runs after the grace is cut
	}
	if served := <-served; !errors.Is(served, http.ErrServerClosed) {
		return served
	}
	if errors.Is(err, context.DeadlineExceeded) {
		return nil
	}
	return err
}

// Handler is everything on this listener. AWS calls are told apart before pages are routed.
func (s *Server) Handler() http.Handler {
	e := s.echo()
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if isSigned(r) {
			if s.o.AWS == nil {
				http.NotFound(w, r)
				return
			}
			s.o.AWS.ServeHTTP(w, r)
			return
		}
		e.ServeHTTP(w, r)
	})
}

// isSigned says whether a request carries an AWS signature header; presigned ones belong to the gateway.
func isSigned(r *http.Request) bool {
	return strings.HasPrefix(r.Header.Get("Authorization"), "AWS4-HMAC-SHA256")
}

func (s *Server) echo() *echo.Echo {
	e := echo.New()
	e.HideBanner, e.HidePort = true, true
	e.HTTPErrorHandler = s.o.Console.Fail
	e.IPExtractor = s.clientIP
	e.Use(s.identify, s.recover, s.protect, s.checkHost, s.authenticate, s.checkWrite)
	s.ownRoutes(e)
	for _, r := range s.Routes() {
		e.Add(r.Method, r.Path, s.authorized(r))
	}
	e.RouteNotFound("/*", func(echo.Context) error { return echo.ErrNotFound })
	return e
}

// Routes are the routes with an authorization row: sign-in and the console's.
func (s *Server) Routes() []console.Route {
	return append(s.loginRoutes(), s.o.Console.Routes()...)
}

// authorized runs a route's handler after its row let the principal through.
func (s *Server) authorized(r console.Route) echo.HandlerFunc {
	return func(e echo.Context) error {
		if err := s.o.Gate.Authorize(e.Request().Context(), r.Row, e.Param); err != nil {
			return err
		}
		return r.Handle(e)
	}
}
