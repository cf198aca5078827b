package console

import (
	"cmp"
	"context"
	"maps"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/labstack/echo/v4"

	"kiln/lambda"
	"kiln/server/edge"
	"kiln/web"
)

const (
	listInvocations = "kiln:ListInvocations"
	getInvocation   = "kiln:GetInvocation"
	invocationPage  = 50
	sheetLines      = 500
	replayWithin    = 2 * time.Second
	longestMS       = lambda.MaxTimeoutSec * 1000
)

func (c *Console) invocationsRoutes() []Route {
	fn := edge.OnFunction("name")
	one := "/functions/:name/invocations/:id"
	return []Route{
		route(http.MethodGet, "/invocations", listInvocations, edge.OnAccount, c.invocationsPage),
		route(http.MethodGet, "/functions/:name/invocations", listInvocations, fn, c.invocationsPage),
		route(http.MethodPost, one+"/replay", "lambda:InvokeFunction", fn, c.replay),
		route(http.MethodPost, one+"/event", "lambda:InvokeFunction", fn, c.saveEvent),
	}
}

var failures = []lambda.Status{lambda.StatusError, lambda.StatusTimeout, lambda.StatusMemory, lambda.StatusExit}

// statusFilters are what the page's status buttons mean.
var statusFilters = map[string][]lambda.Status{
	"ok": {lambda.StatusOK}, "errors": failures, "throttled": {lambda.StatusThrottled}, "timeout": {lambda.StatusTimeout},
}

// invocationFilter reads the page's address.
func (c *Console) invocationFilter(e echo.Context, w watched) (lambda.InvocationFilter, error) {
	f := lambda.InvocationFilter{
		FunctionID: w.ID, Status: statusFilters[e.QueryParam("status")], Version: e.QueryParam("version"), Source: e.QueryParam("source"),
		Limit: invocationPage + 1, MinMS: number(e, "slow", 0, longestMS),
	}
	if e.QueryParam("cold") != "" {
		cold := true
		f.Cold = &cold
	}
	var err error
	if f.From, err = moment(e, "from"); err != nil {
		return f, err
	}
	if f.To, err = moment(e, "to"); err != nil {
		return f, err
	}
	if s := number(e, "range", 0, 366*86400); s > 0 && f.From.IsZero() {
		f.From = c.Now().Add(-time.Duration(s) * time.Second)
	}
	f.Before, err = parseInvocationKey(e.QueryParam("before"))
	return f, err
}

// parseInvocationKey reads "microseconds.request-id".
func parseInvocationKey(s string) (lambda.InvocationKey, error) {
	if s == "" {
		return lambda.InvocationKey{}, nil
	}
	at, id, _ := strings.Cut(s, ".")
	us, err := strconv.ParseInt(at, 10, 64)
	if err != nil || id == "" {
		return lambda.InvocationKey{}, lambda.E(lambda.Invalid, "query.page", "value", s)
	}
	return lambda.InvocationKey{At: time.UnixMicro(us).UTC(), RequestID: id}, nil
}

func (c *Console) invocationsPage(e echo.Context) error {
	f, w, err := c.named(e)
	if err != nil {
		return err
	}
	filter, err := c.invocationFilter(e, w)
	if err != nil {
		return err
	}
	ctx, part := c.Context(e), e.QueryParam("part")
	if id := e.QueryParam("id"); id != "" && part == "sheet" {
		return c.sheetOnly(e, ctx, w, id)
	}
	v, err := c.invocationList(ctx, maps.Clone(e.QueryParams()), filter, w)
	if err != nil {
		return err
	}
	if part == "rows" {
		return c.fragment(e, http.StatusOK, web.InvocationRows(v))
	}
	if f != nil {
		head := c.head(ctx, f, "invocations")
		v.Head = &head
	}
	if v.Chosen != "" {
		if v.Sheet, err = c.sheet(ctx, w, v.Chosen); err != nil {
			return err
		}
	}
	v.Flash = c.flash(e)
	return c.page(e, http.StatusOK, web.InvocationsPage(v))
}

func (c *Console) invocationList(ctx context.Context, q url.Values, f lambda.InvocationFilter, w watched) (web.Invocations, error) {
	rows, err := c.Store.Invocations(ctx, f)
	if err != nil {
		return web.Invocations{}, err
	}
	q.Del("part")
	v := web.Invocations{Function: w.Name, Query: q, Chosen: q.Get("id"), Slow: f.MinMS, From: f.From, To: f.To, Live: f.To.IsZero() && f.Before.RequestID == ""}
	if len(rows) > invocationPage {
		rows = rows[:invocationPage]
		last := rows[len(rows)-1]
		v.Next = strconv.FormatInt(last.StartedAt.UnixMicro(), 10) + "." + last.RequestID
	}
	v.Rows = rows
	v.P95 = c.recentP95(ctx, w.ID)
	return v, nil
}

// recentP95 is what "slow" means: slower than 95 of 100 runs of the last hour. 0 when nothing ran.
func (c *Console) recentP95(ctx context.Context, id int64) time.Duration {
	to := c.Now().Truncate(time.Minute).Add(time.Minute)
	points, err := c.points(ctx, id, to.Add(-time.Hour), to, time.Minute)
	if err != nil {
		return 0
	}
	var all lambda.MetricPoint
	for i := range points {
		all.Add(&points[i])
	}
	return lambda.Quantile(all.Hist, 0.95)
}

func (c *Console) sheetOnly(e echo.Context, ctx context.Context, w watched, id string) error {
	s, err := c.sheet(ctx, w, id)
	if err != nil {
		return err
	}
	return c.fragment(e, http.StatusOK, web.InvocationSheet(*s))
}

// sheet is everything about one invocation. One that is not in the list yet is shown as running.
func (c *Console) sheet(ctx context.Context, w watched, id string) (*web.Sheet, error) {
	r, err := c.Store.Invocation(ctx, id)
	if lambda.KindOf(err) == lambda.NotFound && len(id) == 36 {
		return &web.Sheet{Report: lambda.Report{RequestID: id, Function: w.Name, Status: lambda.StatusRunning}, Function: w.Name}, nil
	}
	if err != nil {
		return nil, err
	}
	if w.ID != 0 && r.FunctionID != w.ID {
		return nil, lambda.E(lambda.NotFound, "invocation.missing", "id", id)
	}
	if err := c.mayOn(ctx, getInvocation, r.Function); err != nil {
		return nil, err
	}
	s := &web.Sheet{Report: *r, Function: w.Name, MayRun: c.Gate.May(ctx, "lambda:InvokeFunction", c.ARNs.Function(r.Function, ""))}
	if err := c.fillBodies(ctx, s); err != nil {
		return nil, err
	}
	if s.Lines, err = c.Store.LogLines(ctx, lambda.LogQuery{FunctionID: r.FunctionID, RequestID: r.RequestID, Limit: sheetLines}); err != nil {
		return nil, err
	}
	return s, c.fillError(ctx, s)
}

// mayOn authorizes what a page shows beside what its route is for.
func (c *Console) mayOn(ctx context.Context, action, function string) error {
	row := edge.Row{Target: action, Action: action, Resource: edge.OnFunction("name")}
	return c.Gate.Authorize(ctx, row, func(string) string { return function })
}

func (c *Console) fillBodies(ctx context.Context, s *web.Sheet) error {
	b, err := c.Store.Bodies(ctx, s.Report.RequestID)
	switch {
	case lambda.KindOf(err) == lambda.NotFound:
		return nil
	case err != nil:
		return err
	}
	s.Bodies = b
	return nil
}

// fillError adds the stack's frames and how often this kind of error was seen.
func (c *Console) fillError(ctx context.Context, s *web.Sheet) error {
	if !s.Report.Status.Failed() {
		return nil
	}
	if s.Bodies != nil {
		s.Frames = parseFailure(s.Bodies.Response).Frames
	}
	groups, err := c.Store.ErrorGroups(ctx, s.Report.FunctionID, c.Now().AddDate(0, 0, -7), 100)
	if err != nil {
		return err
	}
	for i := range groups {
		if groups[i].ErrorType == s.Report.ErrorType {
			s.Group = &groups[i]
			return nil
		}
	}
	return nil
}

// keptEvent is a past invocation of the function with its event. A cut event cannot be used again.
func (c *Console) keptEvent(ctx context.Context, f *lambda.Function, id string) (*lambda.Report, []byte, error) {
	r, err := c.Store.Invocation(ctx, id)
	if err != nil {
		return nil, nil, err
	}
	if r.FunctionID != f.ID {
		return nil, nil, lambda.E(lambda.NotFound, "invocation.missing", "id", id)
	}
	b, err := c.Store.Bodies(ctx, r.RequestID)
	if err != nil {
		return nil, nil, err
	}
	if b.CutEvent {
		return nil, nil, lambda.E(lambda.NotFound, "bodies.missing")
	}
	return r, b.Event, nil
}

// replay runs a kept event again on what is deployed now, and shows the new invocation.
func (c *Console) replay(e echo.Context) error {
	f, _, err := c.named(e)
	if err != nil {
		return err
	}
	ctx := c.Context(e)
	r, event, err := c.keptEvent(ctx, f, e.Param("id"))
	if err != nil {
		return err
	}
	inv := lambda.Invocation{
		RequestID: edge.NewRequestID(), FunctionID: f.ID, Function: f.Name, Source: lambda.SourceReplay, By: edge.Principal(ctx).Name,
		Event: event, AcceptedAt: c.Now(), ReplayOf: r.RequestID, WantTail: true,
	}
	t, err := c.startTest(ctx, f, inv)
	if err != nil {
		return err
	}
	t.wait(ctx, replayWithin)
	if t.isDone() && t.err != nil {
		return t.err
	}
	return c.redirect(e, web.InvocationPath(f.Name, inv.RequestID), "flash.replayed")
}

// saveEvent keeps a past invocation's event as a test event of its function.
func (c *Console) saveEvent(e echo.Context) error {
	f, _, err := c.named(e)
	if err != nil {
		return err
	}
	ctx := c.Context(e)
	r, event, err := c.keptEvent(ctx, f, e.Param("id"))
	if err != nil {
		return err
	}
	by := edge.Principal(ctx)
	name := cmp.Or(strings.TrimSpace(e.FormValue("event")), "from-"+r.RequestID[:min(6, len(r.RequestID))])
	if err := c.Store.PutTestEvent(ctx, by, lambda.TestEvent{Function: f.Name, Name: name, Body: event, By: by.Name, At: c.Now()}); err != nil {
		return err
	}
	return c.redirect(e, web.InvocationPath(f.Name, r.RequestID), "flash.eventSaved")
}
