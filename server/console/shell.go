package console

import (
	"context"
	"net/url"
	"strings"
	"time"

	"github.com/labstack/echo/v4"

	"kiln/iam"
	"kiln/lambda"
	"kiln/server/edge"
	"kiln/web"
	"kiln/web/messages"
)

const viewKey = "kiln.view"

// Context is the request's context with the View that every page and fragment needs; it is made once per request.
func (c *Console) Context(e echo.Context) context.Context {
	if v, ok := e.Get(viewKey).(*web.View); ok {
		return web.With(e.Request().Context(), v)
	}
	ctx := e.Request().Context()
	s, who := edge.SessionOf(ctx), edge.Principal(ctx)
	v := &web.View{
		Locale: localeOf(e, s), Zone: zoneOf(e), Now: c.Now(), Theme: s.Preferences["theme"], Path: e.Request().URL.Path,
		CSRF: s.CSRF, Nonce: edge.Nonce(ctx), RequestID: edge.RequestID(ctx), User: c.person(ctx, who),
	}
	e.Set(viewKey, v)
	return web.With(ctx, v)
}

func (c *Console) person(ctx context.Context, who iam.Principal) web.Person {
	if who.Kind != iam.KindUser {
		return web.Person{}
	}
	return web.Person{
		Name: who.Name, Role: who.Role,
		Write: c.Gate.May(ctx, "lambda:UpdateFunctionConfiguration", "*"),
		Owner: c.Gate.May(ctx, "kiln:PutSetting", "*"),
	}
}

// localeOf is the preference, else what the sign-in page chose, else what the browser asks for.
func localeOf(e echo.Context, s edge.Session) messages.Locale {
	if l, ok := messages.ParseLocale(s.Preferences["locale"]); ok {
		return l
	}
	if cookie, err := e.Cookie("kiln_locale"); err == nil {
		if l, ok := messages.ParseLocale(cookie.Value); ok {
			return l
		}
	}
	return messages.FromHeader(e.Request().Header.Get("Accept-Language"))
}

// zoneOf is the browser's time zone as page.ts keeps it in a cookie; UTC until then.
func zoneOf(e echo.Context) *time.Location {
	cookie, err := e.Cookie("kiln_zone")
	if err != nil || cookie.Value == "" || cookie.Value == "Local" || len(cookie.Value) > 64 {
		return time.UTC
	}
	zone, err := time.LoadLocation(cookie.Value)
	if err != nil {
		return time.UTC
	}
	return zone
}

// fillRail reads what the left rail shows. It is decoration: a failure leaves it empty and is logged.
func (c *Console) fillRail(ctx context.Context) {
	v := web.Of(ctx)
	v.Rail.Host, v.Rail.Rung, v.Rail.Runtimes = c.Host, c.Engine.Capacity().Rung, len(c.Runtimes.Ready())
	n, err := c.Store.CountFunctions(ctx)
	if err != nil {
		c.Log.WarnContext(ctx, "rail", "error", err)
		return
	}
	v.Rail.Functions = n
	v.Rail.Pins = strings.Fields(edge.SessionOf(ctx).Preferences["pinned"])
	v.Rail.Pinned = c.pins(ctx)
}

const maxPins = 8

func (c *Console) pins(ctx context.Context) []web.Pin {
	names := strings.Fields(edge.SessionOf(ctx).Preferences["pinned"])
	if len(names) == 0 {
		return nil
	}
	now := c.Now()
	figures, err := c.Store.MetricsByFunction(ctx, now.Add(-15*time.Minute), now)
	if err != nil {
		return nil
	}
	var pins []web.Pin
	for _, name := range names[:min(len(names), maxPins)] {
		f, err := c.Store.Function(ctx, name)
		if err != nil {
			continue // deleted since
		}
		pins = append(pins, web.Pin{Name: name, State: c.state(f, figures[f.ID])})
	}
	return pins
}

// state is a function's health by its figures of the last minutes.
func (c *Console) state(f *lambda.Function, m lambda.MetricPoint) web.State {
	switch {
	case f.Reserved != nil && *f.Reserved == 0:
		return web.StateStopped
	case !c.runs(f.Runtime):
		return web.StateNoRuntime
	case m.Errors > 0 && m.Errors*20 >= m.N:
		return web.StateFailing
	case m.Throttles > 0:
		return web.StateThrottled
	case m.N == 0:
		return web.StateIdle
	}
	return web.StateOK
}

// runs says whether this machine can run functions of a runtime, be it by a near version.
func (c *Console) runs(runtime string) bool {
	_, ok := c.Runtimes.Resolve(runtime)
	return ok
}

// here says whether the very runtime is on this machine.
func (c *Console) here(runtime string) bool {
	r, ok := c.Runtimes.Resolve(runtime)
	return ok && r.Name == runtime
}

// maxForm is the largest form, in bytes: a package as a file and its fields.
const maxForm = lambda.MaxZip + 1<<20

// escapeNext makes a path of this site a query value.
func escapeNext(path string) string { return url.QueryEscape(path) }
