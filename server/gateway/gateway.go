// Package gateway serves what users' code makes and what carries its own proof, on a listener and origin of its own: function URLs
// and signed download links. Nothing of the console is reachable here, and the console's cookies never pass in either direction.
package gateway

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"kiln/iam"
	"kiln/lambda"
)

// Target is a function URL with what is needed to serve it.
type Target struct {
	URL        lambda.URLConfig
	FunctionID int64
	Function   string // name
	ARN        string // of the function with the URL's qualifier, the resource that is authorized
}

// URLs finds function URLs.
type URLs interface {
	// URLTarget is NotFound for an unknown id.
	URLTarget(ctx context.Context, id string) (*Target, error)
}

// Engine runs functions.
type Engine interface {
	Invoke(ctx context.Context, inv lambda.Invocation) (lambda.Result, error)
}

// Packages opens kept packages for download links.
type Packages interface {
	OpenCode(ctx context.Context, sha256 string) (io.ReadCloser, error)
}

// Options says what a Gateway needs.
type Options struct {
	URLs     URLs
	Engine   Engine
	Packages Packages
	Links    *Links
	// Authorize decides whether the request may call t: for AWS_IAM by its signature and both sides' policies, for NONE by the resource
	// policy alone. It answers who called. An error of kind Denied or Unauthenticated refuses; anything else is a fault.
	Authorize func(r *http.Request, t *Target) (iam.Principal, error)
	Region    string
	Domain    string // function URLs live at <id>.lambda-url.<region>.<domain>
	NewID     func() string
	Now       func() time.Time
	Log       *slog.Logger
	// Remote is the client's address behind trusted proxies.
	Remote func(r *http.Request) string
}

// Gateway is the handler of the gateway's listener. It is safe for concurrent use.
type Gateway struct{ Options }

// New makes a Gateway.
func New(o Options) *Gateway { return &Gateway{o} }

const pathPrefix = "/_url/"

// ServeHTTP routes by Host first: a function's own origin serves nothing but the function.
func (g *Gateway) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	stripRequestCookies(r)
	if id, ok := g.idOfHost(r.Host); ok {
		g.serveURL(&cookieGuard{ResponseWriter: w}, r, id, rawTarget(r))
		return
	}
	switch raw := rawTarget(r); {
	case strings.HasPrefix(raw.path, pathPrefix):
		id, rest, _ := strings.Cut(raw.path[len(pathPrefix):], "/")
		raw.path = "/" + rest
		// All functions share the origin here: without the sandbox one could read another's pages.
		w.Header().Set("Content-Security-Policy", "sandbox allow-forms allow-scripts allow-popups")
		g.serveURL(&cookieGuard{ResponseWriter: w, sandboxed: true}, r, id, raw)
	case strings.HasPrefix(raw.path, linkPrefix):
		g.serveLink(w, r)
	case raw.path == "/healthz":
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, `{"status":"ok"}`)
	default:
		answer(w, http.StatusForbidden, nil)
	}
}

// idOfHost is the first label of <id>.lambda-url.<region>.<domain>.
func (g *Gateway) idOfHost(host string) (string, bool) {
	if i := strings.LastIndexByte(host, ':'); i > strings.LastIndexByte(host, ']') {
		host = host[:i]
	}
	id, rest, ok := strings.Cut(strings.ToLower(host), ".")
	return id, ok && rest == "lambda-url."+g.Region+"."+g.Domain
}

// target is the path and query exactly as they were sent.
type target struct{ path, query string }

func rawTarget(r *http.Request) target {
	uri := r.RequestURI
	if _, rest, absolute := strings.Cut(uri, "://"); absolute && !strings.HasPrefix(uri, "/") { // a client that takes us for a proxy
		uri = rest
		if i := strings.IndexAny(uri, "/?"); i >= 0 {
			uri = uri[i:]
		} else {
			uri = "/"
		}
	}
	path, query, _ := strings.Cut(uri, "?")
	if !strings.HasPrefix(path, "/") {
		path = "/" + path
	}
	return target{path, query}
}

func (g *Gateway) serveURL(w http.ResponseWriter, r *http.Request, id string, raw target) {
	t, err := g.URLs.URLTarget(r.Context(), id)
	if err != nil {
		if lambda.KindOf(err) == lambda.NotFound {
			answer(w, http.StatusForbidden, nil)
			return
		}
		g.fault(w, "find the function URL", err)
		return
	}
	if t.URL.CORS != nil && writeCORS(w, r, t.URL.CORS) {
		return
	}
	who, err := g.Authorize(r, t)
	if err != nil {
		switch lambda.KindOf(err) {
		case lambda.Denied, lambda.Unauthenticated:
			answer(w, http.StatusForbidden, "Forbidden")
		default:
			g.fault(w, "authorize a function URL", err)
		}
		return
	}
	event, err := g.event(r, raw, t, who)
	if err != nil {
		tooLarge := new(http.MaxBytesError)
		if errors.As(err, &tooLarge) {
			answer(w, http.StatusRequestEntityTooLarge, "Request must be smaller than 6291456 bytes for the InvokeFunction operation")
			return
		}
		answer(w, http.StatusBadRequest, "Bad Request")
		return
	}
	g.invoke(w, r, t, who, event)
}

func (g *Gateway) invoke(w http.ResponseWriter, r *http.Request, t *Target, who iam.Principal, event []byte) {
	inv := lambda.Invocation{RequestID: g.NewID(), FunctionID: t.FunctionID, Function: t.Function, Qualifier: t.URL.Qualifier, Source: lambda.SourceURL,
		By: who.Name, Event: event, TraceID: r.Header.Get("X-Amzn-Trace-Id"), AcceptedAt: g.Now()}
	w.Header().Set("X-Amzn-RequestId", inv.RequestID)
	var stream *responseStream
	if t.URL.InvokeMode == "RESPONSE_STREAM" {
		stream = &responseStream{w: w}
		inv.Stream = stream.write
	}
	// A client that goes away does not cancel what has started.
	res, err := g.Engine.Invoke(context.WithoutCancel(r.Context()), inv)
	switch {
	case err != nil && lambda.KindOf(err) == lambda.Throttled:
		answer(w, http.StatusTooManyRequests, "Rate Exceeded.")
	case err != nil && lambda.KindOf(err) == lambda.TooLarge:
		answer(w, http.StatusRequestEntityTooLarge, "Request Entity Too Large")
	case err != nil && lambda.KindOf(err) == lambda.Unavailable:
		g.Log.Warn("a function URL could not be served", "function", t.Function, "err", err)
		answer(w, http.StatusServiceUnavailable, "Service Unavailable")
	case err != nil:
		g.fault(w, "run a function URL", err)
	case stream != nil:
		stream.end(res)
	default:
		writeResult(w, res)
	}
}

func (g *Gateway) fault(w http.ResponseWriter, what string, err error) {
	g.Log.Error("gateway: "+what, "err", err)
	answer(w, http.StatusInternalServerError, "Internal Server Error")
}

// answer is AWS's own error body; message nil is JSON's null.
func answer(w http.ResponseWriter, status int, message any) {
	b, err := json.Marshal(map[string]any{"Message": message})
	if err != nil {
		status = http.StatusInternalServerError
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = w.Write(b)
}
