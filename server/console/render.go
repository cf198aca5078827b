package console

import (
	"compress/gzip"
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"net/http"
	"strconv"
	"strings"
	"sync"

	"github.com/a-h/templ"
	"github.com/labstack/echo/v4"

	"kiln/lambda"
	"kiln/server/edge"
	"kiln/web"
	"kiln/web/messages"
)

// page answers with a whole page: the view gets what the rail shows.
func (c *Console) page(e echo.Context, status int, p templ.Component) error {
	ctx := c.Context(e)
	if edge.SessionOf(ctx).ID != 0 {
		c.fillRail(ctx)
	}
	return write(e, ctx, status, p)
}

// fragment answers with a piece of a page for htmx.
func (c *Console) fragment(e echo.Context, status int, p templ.Component) error {
	return write(e, c.Context(e), status, p)
}

func write(e echo.Context, ctx context.Context, status int, p templ.Component) error {
	h := e.Response().Header()
	h.Set(echo.HeaderContentType, echo.MIMETextHTMLCharsetUTF8)
	h.Set("Cache-Control", "no-store")
	h.Add("Vary", "HX-Request")
	if isHTMX(e) || !strings.Contains(e.Request().Header.Get("Accept-Encoding"), "gzip") {
		e.Response().WriteHeader(status)
		return p.Render(ctx, e.Response())
	}
	return writeZipped(e, ctx, status, p)
}

// zippers are kept: a new one costs 800 KB.
var zippers = sync.Pool{New: func() any { return gzip.NewWriter(io.Discard) }}

const mostPadding = 128

// writeZipped compresses a page. A page holds the CSRF token beside what the address says, so its compressed length could be made to
// tell the token byte by byte; a comment of random length in gzip's header, which no reader shows, hides the length.
func writeZipped(e echo.Context, ctx context.Context, status int, p templ.Component) (err error) {
	h := e.Response().Header()
	h.Add("Vary", "Accept-Encoding")
	h.Set("Content-Encoding", "gzip")
	e.Response().WriteHeader(status)
	z := zippers.Get().(*gzip.Writer)
	defer zippers.Put(z)
	z.Reset(e.Response())
	z.Comment = strings.Repeat("-", rand.IntN(mostPadding))
	defer func() { err = errors.Join(err, z.Close()) }()
	return p.Render(ctx, z)
}

// isHTMX says whether the answer replaces a piece of a page.
func isHTMX(e echo.Context) bool { return e.Request().Header.Get("HX-Request") == "true" }

func wantsJSON(e echo.Context) bool {
	return strings.HasPrefix(e.Request().Header.Get("Accept"), echo.MIMEApplicationJSON)
}

// redirect goes to another page after a write, with a short message for it (a key of the catalogue, "" for none).
func (c *Console) redirect(e echo.Context, to, flashKey string) error {
	if flashKey != "" {
		e.SetCookie(&http.Cookie{Name: flashCookie, Value: flashKey, Path: "/", MaxAge: 30, HttpOnly: true, SameSite: http.SameSiteLaxMode, Secure: e.IsTLS()})
	}
	if isHTMX(e) {
		e.Response().Header().Set("HX-Redirect", to)
		return e.NoContent(http.StatusNoContent)
	}
	return e.Redirect(http.StatusSeeOther, to)
}

const flashCookie = "kiln_flash"

// flash takes the message that a redirect brought along. Only keys of the catalogue are shown.
func (c *Console) flash(e echo.Context) string {
	cookie, err := e.Cookie(flashCookie)
	if err != nil {
		return ""
	}
	e.SetCookie(&http.Cookie{Name: flashCookie, Path: "/", MaxAge: -1, HttpOnly: true, SameSite: http.SameSiteLaxMode})
	if !strings.HasPrefix(cookie.Value, "flash.") || !messages.Has(cookie.Value) {
		return ""
	}
	return web.T(c.Context(e), cookie.Value)
}

// Render is page for the server's own pages (sign-in).
func (c *Console) Render(e echo.Context, status int, p templ.Component) error {
	return c.page(e, status, p)
}

// Fail is the one place where an error becomes an answer: a page, a notice for htmx, or JSON; Internal errors are logged with the
// request id and say nothing more to the person. It is echo's error handler.
func (c *Console) Fail(err error, e echo.Context) {
	if e.Response().Committed {
		return
	}
	ctx := c.Context(e)
	known := asDomain(err)
	status := edge.Status(known)
	if status == http.StatusInternalServerError {
		c.Log.ErrorContext(ctx, "request failed", "error", err, "method", e.Request().Method, "path", e.Request().URL.Path, "request", edge.RequestID(ctx))
	}
	if werr := c.answer(e, ctx, status, known); werr != nil {
		c.Log.WarnContext(ctx, "error answer not written", "error", werr)
	}
}

func (c *Console) answer(e echo.Context, ctx context.Context, status int, err *lambda.Error) error {
	o := oops(ctx, status, err)
	switch {
	case wantsJSON(e):
		return e.JSON(status, errorJSON{Key: err.Key, Message: o.Text, RequestID: edge.RequestID(ctx), Problems: problemsJSON(ctx, err)})
	case isHTMX(e) && status == http.StatusUnauthorized:
		e.Response().Header().Set("HX-Redirect", "/login")
		return e.NoContent(status)
	case isHTMX(e):
		e.Response().Header().Set("HX-Retarget", "#notices")
		e.Response().Header().Set("HX-Reswap", "innerHTML")
		return c.fragment(e, status, web.OopsNotice(o))
	case status == http.StatusUnauthorized && e.Request().Method == http.MethodGet:
		return e.Redirect(http.StatusSeeOther, "/login?next="+escapeNext(e.Request().URL.RequestURI()))
	}
	return c.page(e, status, web.OopsPage(o))
}

// errorJSON is an error for the islands.
type errorJSON struct {
	Key       string        `json:"key"`
	Message   string        `json:"message"`
	RequestID string        `json:"requestId"`
	Problems  []problemJSON `json:"problems,omitempty"`
}

type problemJSON struct {
	Field   string `json:"field"`
	Message string `json:"message"`
}

func problemsJSON(ctx context.Context, err *lambda.Error) []problemJSON {
	var out []problemJSON
	for _, p := range err.Problems {
		out = append(out, problemJSON{Field: p.Field, Message: web.ProblemText(web.Of(ctx).Locale, p)})
	}
	return out
}

func oops(ctx context.Context, status int, err *lambda.Error) web.Oops {
	o := web.Oops{Status: status, Text: web.ErrorText(web.Of(ctx).Locale, err)}
	if len(err.Problems) > 0 {
		o.Text = web.ProblemText(web.Of(ctx).Locale, err.Problems[0])
	}
	if status == http.StatusInternalServerError || status == http.StatusServiceUnavailable {
		o.RequestID = edge.RequestID(ctx)
	}
	if err.Key == "access.denied" {
		o.Denied = &web.Denied{Who: err.Params["who"], Action: err.Params["action"], Resource: err.Params["resource"], Role: edge.Principal(ctx).Role}
	}
	return o
}

// asDomain makes a domain error of whatever err is; echo's own (no such route, wrong method, body too large) get keys of ours.
func asDomain(err error) *lambda.Error {
	if d, ok := errors.AsType[*lambda.Error](err); ok {
		return d
	}
	if h, ok := errors.AsType[*echo.HTTPError](err); ok {
		switch h.Code {
		case http.StatusNotFound:
			return lambda.E(lambda.NotFound, "page.missing")
		case http.StatusMethodNotAllowed:
			return lambda.E(lambda.NotFound, "method.wrong")
		case http.StatusRequestEntityTooLarge:
			return lambda.E(lambda.TooLarge, "body.large", "max", strconv.Itoa(maxForm>>20)+" MB")
		}
	}
	if tooLarge, ok := errors.AsType[*http.MaxBytesError](err); ok {
		return lambda.E(lambda.TooLarge, "body.large", "max", messages.English.Bytes(tooLarge.Limit))
	}
	return lambda.E(lambda.Internal, "internal").Because(err)
}
