package console

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/labstack/echo/v4"

	"kiln/code"
	"kiln/iam"
	"kiln/lambda"
	"kiln/server/edge"
	"kiln/web"
)

// homeStore is what Home needs.
type homeStore interface {
	Functions(ctx context.Context, f lambda.FunctionFilter) ([]*lambda.Function, error)
	RecentRevisions(ctx context.Context, from time.Time, limit int) ([]*lambda.Revision, error)
	Metrics(ctx context.Context, q lambda.MetricQuery) ([]lambda.MetricPoint, error)
	ErrorGroups(ctx context.Context, functionID int64, from time.Time, limit int) ([]lambda.ErrorGroup, error)
	DeadLetters(ctx context.Context, functionID int64, before int64, limit int) ([]lambda.DeadLetter, error)
	Redrive(ctx context.Context, by iam.Principal, function string, ids []int64) (int, error)
	Setting(ctx context.Context, name string, into any) error
}

func (c *Console) homeRoutes() []Route {
	fn := edge.OnFunction("name")
	return []Route{
		route("GET", "/", "lambda:ListFunctions", edge.OnAccount, c.home),
		route("POST", "/functions/:name/try", "lambda:InvokeFunction", fn, c.try),
		route("POST", "/functions/:name/redrive", "lambda:InvokeFunction", fn, c.redrive),
	}
}

// home is the first run while nothing ever ran and there is one function, the sample; else the overview.
func (c *Console) home(e echo.Context) error {
	ctx := c.Context(e)
	runs, err := c.Store.Invocations(ctx, lambda.InvocationFilter{Limit: 1})
	if err != nil {
		return err
	}
	if len(runs) == 0 {
		functions, err := c.Store.Functions(ctx, lambda.FunctionFilter{Limit: 2})
		if err != nil {
			return err
		}
		if len(functions) == 1 {
			return c.firstRun(e, functions[0], nil)
		}
	}
	h, err := c.overview(ctx)
	if err != nil {
		return err
	}
	h.Flash = c.flash(e)
	return c.page(e, http.StatusOK, web.HomePage(h))
}

const manyFunctions = 1000

func (c *Console) overview(ctx context.Context) (web.Home, error) {
	now := c.Now()
	functions, err := c.Store.Functions(ctx, lambda.FunctionFilter{Limit: manyFunctions})
	if err != nil {
		return web.Home{}, err
	}
	day, err := c.Store.MetricsByFunction(ctx, now.Add(-24*time.Hour), now)
	if err != nil {
		return web.Home{}, err
	}
	revisions, err := c.Store.RecentRevisions(ctx, now.AddDate(0, 0, -7), 20)
	if err != nil {
		return web.Home{}, err
	}
	h := web.Home{Functions: len(functions), Machine: machineOf(c.Engine.Capacity())}
	h.Running, h.Workers = h.Machine.Running, h.Machine.Workers
	if err := c.dayFigures(ctx, &h); err != nil {
		return h, err
	}
	if h.Attention, err = c.attention(ctx, functions, day); err != nil {
		return h, err
	}
	for _, r := range revisions[:min(len(revisions), 10)] {
		h.Changes = append(h.Changes, changeOf(r))
	}
	h.Recent = c.recent(ctx, functions, revisions, day)
	return h, nil
}

func machineOf(c lambda.Capacity) web.Machine {
	return web.Machine{MemoryMB: c.MemoryMB, MemoryMaxMB: c.MemoryMaxMB, Workers: c.Workers, Running: c.Running, Queued: c.Queued, PreBooted: c.PreBooted}
}

func changeOf(r *lambda.Revision) web.Change {
	return web.Change{Function: r.Function, Number: r.Number, Cause: r.Cause, From: r.From, By: r.By, At: r.At}
}

// dayFigures fills the numbers and lines of the last 24 hours.
func (c *Console) dayFigures(ctx context.Context, h *web.Home) error {
	const periods = 48
	step := 24 * time.Hour / periods
	to := c.Now().Truncate(step).Add(step)
	from := to.Add(-24 * time.Hour)
	points, err := c.Store.Metrics(ctx, lambda.MetricQuery{From: from.Add(-24 * time.Hour), To: to, Step: step})
	if err != nil {
		return err
	}
	var day, before lambda.MetricPoint
	for _, p := range grid(points, from, step, periods) {
		day.Add(&p)
		f := figures(p, lambda.Prices{})
		h.Series.N = append(h.Series.N, float64(p.N))
		h.Series.ErrorShare = append(h.Series.ErrorShare, f.ErrorShare())
		h.Series.P95 = append(h.Series.P95, float64(f.P95))
		h.Series.Running = append(h.Series.Running, float64(p.MaxRunning))
	}
	for _, p := range grid(points, from.Add(-24*time.Hour), step, periods) {
		before.Add(&p)
	}
	h.Day, h.Before = figures(day, lambda.Prices{}), figures(before, lambda.Prices{})
	return nil
}

const shownRecent = 6

// recent are the functions that changed last, then those that ran most.
func (c *Console) recent(ctx context.Context, functions []*lambda.Function, revisions []*lambda.Revision, day map[int64]lambda.MetricPoint) []web.RecentFunction {
	rank := map[string]time.Time{}
	for _, r := range revisions {
		if rank[r.Function].Before(r.At) {
			rank[r.Function] = r.At
		}
	}
	chosen := slices.Clone(functions)
	slices.SortStableFunc(chosen, func(a, b *lambda.Function) int {
		if d := rank[b.Name].Compare(rank[a.Name]); d != 0 {
			return d
		}
		return int(day[b.ID].N - day[a.ID].N)
	})
	chosen = chosen[:min(len(chosen), shownRecent)]
	out := make([]web.RecentFunction, len(chosen))
	each(len(chosen), func(i int) {
		f := chosen[i]
		out[i] = web.RecentFunction{Name: f.Name, Hour: c.hourSpark(ctx, f.ID), Figures: figures(day[f.ID], lambda.Prices{})}
		if at := slices.IndexFunc(revisions, func(r *lambda.Revision) bool { return r.Function == f.Name }); at >= 0 {
			out[i].Change = changeOf(revisions[at])
		}
	})
	return out
}

// firstRun shows the sample, with its result when it just ran.
func (c *Console) firstRun(e echo.Context, f *lambda.Function, result *web.TryResult) error {
	ctx := c.Context(e)
	files, err := c.filesOf(ctx, f.Code)
	if err != nil {
		return err
	}
	page := web.FirstRun{Function: f.Name, Runtime: f.Runtime, Ready: c.runs(f.Runtime), Endpoint: c.Endpoint, Result: result}
	page.File, page.Code = mainFile(files, f.Handler)
	event, err := c.sampleEvent(ctx, f.Name)
	if err != nil {
		return err
	}
	page.Event, page.Body = event.Name, string(event.Body)
	return c.page(e, http.StatusOK, web.FirstRunPage(page))
}

// mainFile is the text file that a handler names, else the first text file.
func mainFile(files []lambda.File, handler string) (path, text string) {
	stem, _, _ := strings.Cut(handler, ".")
	for _, f := range files {
		if f.Binary || f.Large {
			continue
		}
		base, _, _ := strings.Cut(f.Path, ".")
		if path == "" || base == stem {
			path, text = f.Path, string(f.Data)
		}
		if base == stem {
			break
		}
	}
	return path, text
}

// sampleEvent is the first saved event of a function, else the hello-world one.
func (c *Console) sampleEvent(ctx context.Context, function string) (lambda.TestEvent, error) {
	events, err := c.Store.TestEvents(ctx, function)
	if err != nil {
		return lambda.TestEvent{}, err
	}
	if len(events) > 0 {
		return events[0], nil
	}
	hello := code.EventTemplates()[0]
	return lambda.TestEvent{Function: function, Name: hello.ID, Body: hello.Body}, nil
}

// try runs the sample with its event and shows what came of it.
func (c *Console) try(e echo.Context) error {
	ctx := c.Context(e)
	f, err := c.Store.Function(ctx, e.Param("name"))
	if err != nil {
		return err
	}
	event, err := c.sampleEvent(ctx, f.Name)
	if err != nil {
		return err
	}
	result := c.runSample(ctx, f, event.Body)
	if isHTMX(e) {
		return c.fragment(e, http.StatusOK, web.TryResultView(result))
	}
	return c.firstRun(e, f, &result)
}

func (c *Console) runSample(ctx context.Context, f *lambda.Function, event []byte) web.TryResult {
	who := edge.Principal(ctx)
	// A closed browser does not cancel the invocation.
	r, err := c.Engine.Invoke(context.WithoutCancel(ctx), lambda.Invocation{
		RequestID: edge.NewRequestID(), FunctionID: f.ID, Function: f.Name, Source: lambda.SourceTest, By: who.Name,
		Event: event, AcceptedAt: c.Now(), WantTail: true,
	})
	if err != nil {
		return web.TryResult{Function: f.Name, Error: web.ErrorText(web.Of(ctx).Locale, asDomain(err))}
	}
	return web.TryResult{
		OK: r.FunctionError == "", Payload: indented(r.Payload), Duration: r.Report.Duration, BilledMS: r.Report.BilledMS, MemoryMB: r.Report.MemoryMB,
		UsedMB: r.Report.MaxMemoryMB, Cold: r.Report.Cold, Log: splitText(logText(r.LogTail)), Function: f.Name, RequestID: r.Report.RequestID,
	}
}

const redriveBatch = 200

// redrive puts a function's dead letters back into the queue, the newest batch.
func (c *Console) redrive(e echo.Context) error {
	ctx := c.Context(e)
	f, err := c.Store.Function(ctx, e.Param("name"))
	if err != nil {
		return err
	}
	letters, err := c.Store.DeadLetters(ctx, f.ID, 0, redriveBatch)
	if err != nil {
		return err
	}
	ids := make([]int64, len(letters))
	for i, l := range letters {
		ids[i] = l.ID
	}
	if _, err := c.Store.Redrive(ctx, edge.Principal(ctx), f.Name, ids); err != nil {
		return err
	}
	c.Engine.Wake()
	return c.redirect(e, "/", "flash.redriven")
}

// indented is JSON with line breaks, or the text as it is; at most 64 KiB of it.
func indented(payload []byte) string {
	var b bytes.Buffer
	if len(payload) <= lambda.MaxKeptBody && json.Indent(&b, payload, "", "  ") == nil {
		return b.String()
	}
	return cutText(payload, lambda.MaxKeptBody)
}

func splitText(text string) []string {
	if text = strings.TrimRight(text, "\n"); text == "" {
		return nil
	}
	return strings.Split(text, "\n")
}
