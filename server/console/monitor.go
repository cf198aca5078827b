package console

import (
	"bytes"
	"context"
	"net/http"
	"slices"
	"time"

	"github.com/a-h/templ"
	"github.com/labstack/echo/v4"

	"kiln/lambda"
	"kiln/server/edge"
	"kiln/telemetry"
	"kiln/web"
)

const (
	getMetrics  = "kiln:GetMetrics"
	liveSpan    = 5 * time.Minute
	liveStep    = 5 * time.Second
	maxSpan     = 366 * 24 * time.Hour
	mostPoints  = 120
	metricsTick = time.Second
	maxMarks    = 60
)

func (c *Console) monitorRoutes() []Route {
	fn := edge.OnFunction("name")
	return []Route{
		route(http.MethodGet, "/monitor", getMetrics, edge.OnAccount, c.monitorPage),
		route(http.MethodGet, "/monitor/data", getMetrics, edge.OnAccount, c.monitorData),
		route(http.MethodGet, "/functions/:name/monitor", getMetrics, fn, c.monitorPage),
		route(http.MethodGet, "/functions/:name/monitor/data", getMetrics, fn, c.monitorData),
	}
}

// spans are the windows to choose from, in seconds.
var spans = []int{300, 3600, 3 * 3600, 12 * 3600, 86400, 7 * 86400, 30 * 86400}

// steps are the lengths that a point may have.
var steps = []time.Duration{
	time.Minute, 2 * time.Minute, 5 * time.Minute, 10 * time.Minute, 15 * time.Minute, 30 * time.Minute,
	time.Hour, 2 * time.Hour, 6 * time.Hour, 12 * time.Hour, 24 * time.Hour, 7 * 24 * time.Hour,
}

// chartWindow is what the charts show: whole periods of one step.
type chartWindow struct {
	from, to time.Time
	step     time.Duration
	span     int  // seconds, one of spans; 0 for a custom window
	compare  bool // with the window before
	live     bool // ends now
}

// before is the window of the same length before w.
func (w chartWindow) before() chartWindow {
	b := w
	b.from, b.to = w.from.Add(-w.to.Sub(w.from)), w.from
	return b
}

// fine says whether the window is drawn from the single runs, because roll-ups are too coarse.
func (w chartWindow) fine() bool { return w.step < time.Minute }

func stepFor(span time.Duration) time.Duration {
	for _, s := range steps {
		if span <= s*mostPoints {
			return s
		}
	}
	return steps[len(steps)-1]
}

// chartWindowOf reads range, from, to and compare; without them it is the last 3 hours.
func (c *Console) chartWindowOf(e echo.Context) (chartWindow, error) {
	w := chartWindow{compare: e.QueryParam("compare") != ""}
	from, err := moment(e, "from")
	if err != nil {
		return w, err
	}
	to, err := moment(e, "to")
	if err != nil {
		return w, err
	}
	now := c.Now().UTC()
	if from.IsZero() {
		w.span = number(e, "range", spans[2], spans[len(spans)-1])
		w.live = true
		return w.aligned(now.Add(-time.Duration(w.span)*time.Second), now), nil
	}
	if to.IsZero() || to.After(now) {
		to = now
	}
	if !to.After(from) || to.Sub(from) > maxSpan {
		return w, lambda.E(lambda.Invalid, "query.window")
	}
	return w.aligned(from, to), nil
}

// aligned sets the step and rounds to whole periods; the last one is still going on when the window ends now.
func (w chartWindow) aligned(from, to time.Time) chartWindow {
	w.step = stepFor(to.Sub(from))
	if w.live && w.span <= int(liveSpan/time.Second) {
		w.step = liveStep
	}
	n := (to.Sub(from) + w.step - 1) / w.step
	w.to = to.Truncate(w.step)
	if w.to.Before(to) {
		w.to = w.to.Add(w.step)
	}
	w.from = w.to.Add(-max(n, 1) * w.step)
	return w
}

func (c *Console) monitorPage(e echo.Context) error {
	f, w, err := c.named(e)
	if err != nil {
		return err
	}
	window, err := c.chartWindowOf(e)
	if err != nil {
		return err
	}
	ctx := c.Context(e)
	v, err := c.monitorView(ctx, w, window)
	if err != nil {
		return err
	}
	v.Table = e.QueryParam("table") != ""
	if f != nil {
		head := c.head(ctx, f, "monitor")
		v.Head = &head
	}
	return c.page(e, http.StatusOK, web.MonitorPage(v))
}

// monitorView reads what the page shows without a script: figures and table.
func (c *Console) monitorView(ctx context.Context, w watched, window chartWindow) (web.Monitor, error) {
	v := web.Monitor{Function: w.Name, From: window.from, To: window.to, Step: window.step, Span: window.span, Spans: spans, Compare: window.compare, Live: window.live}
	var err error
	if v.Points, err = c.series(ctx, w.ID, window); err != nil {
		return v, err
	}
	v.Total = total(v.Points)
	if window.compare {
		before, err := c.series(ctx, w.ID, window.before())
		if err != nil {
			return v, err
		}
		all := total(before)
		v.Before, v.BeforePoints = &all, before
	}
	v.Prices = c.prices(ctx)
	return v, nil
}

func total(points []lambda.MetricPoint) lambda.MetricPoint {
	var all lambda.MetricPoint
	for i := range points {
		all.Add(&points[i])
	}
	return all
}

// series has one point for every period of the window; a period without runs is a zero point.
func (c *Console) series(ctx context.Context, id int64, w chartWindow) ([]lambda.MetricPoint, error) {
	read := c.points
	if w.fine() {
		read = c.finePoints
	}
	points, err := read(ctx, id, w.from, w.to, w.step)
	if err != nil {
		return nil, err
	}
	out := grid(points, w.from, w.step, int(w.to.Sub(w.from)/w.step))
	for i := range out {
		out[i].At = w.from.Add(time.Duration(i) * w.step)
	}
	return out, nil
}

// points is a series of a function (0 for all) with what the roll-ups do not hold yet; periods without data are left out.
func (c *Console) points(ctx context.Context, id int64, from, to time.Time, step time.Duration) ([]lambda.MetricPoint, error) {
	// Live is asked first: a minute that moves to the roll-ups in between is counted twice for one look, the other way round it would be
	// missing. The tab looks again after every change.
	live := c.Pipeline.Live(id)
	points, err := c.Store.Metrics(ctx, lambda.MetricQuery{FunctionID: id, From: from, To: to, Step: step})
	if err != nil {
		return nil, err
	}
	for i := range live {
		if at := live[i].At; !at.Before(from) && at.Before(to) {
			points = append(points, live[i])
		}
	}
	return points, nil
}

// finePoints makes points of single runs, for steps shorter than the roll-ups'. More runs than it reads are read from the roll-ups.
func (c *Console) finePoints(ctx context.Context, id int64, from, to time.Time, step time.Duration) ([]lambda.MetricPoint, error) {
	runs, err := c.reports(ctx, lambda.InvocationFilter{FunctionID: id, From: from, To: to, Limit: reportPage})
	if err != nil {
		return nil, err
	}
	if len(runs) == reportPage*reportPages {
		return c.points(ctx, id, from, to, step)
	}
	out := make([]lambda.MetricPoint, 0, len(runs))
	for i := range runs {
		p := telemetry.PointOf(&runs[i])
		p.At = startOf(&runs[i]).Truncate(step)
		p.MaxRunning = 0
		out = append(out, p)
	}
	return append(out, overlaps(runs, step)...), nil
}

func startOf(r *lambda.Report) time.Time {
	if r.StartedAt.IsZero() {
		return r.AcceptedAt.UTC()
	}
	return r.StartedAt.UTC()
}

// overlaps counts how many runs were going on at once, per period; every period that a run touches has its share.
func overlaps(runs []lambda.Report, step time.Duration) []lambda.MetricPoint {
	type edgeOf struct {
		at time.Time
		by int
	}
	var edges []edgeOf
	for i := range runs {
		if r := &runs[i]; !r.Draft() && r.Status != lambda.StatusThrottled {
			edges = append(edges, edgeOf{startOf(r), 1}, edgeOf{startOf(r).Add(max(r.Duration, time.Microsecond)), -1})
		}
	}
	slices.SortFunc(edges, func(a, b edgeOf) int { return a.at.Compare(b.at) })
	var out []lambda.MetricPoint
	now := 0
	for _, e := range edges {
		if at := e.at.Truncate(step); len(out) == 0 || !out[len(out)-1].At.Equal(at) {
			out = append(out, lambda.MetricPoint{At: at, MaxRunning: now})
		}
		now += e.by
		out[len(out)-1].MaxRunning = max(out[len(out)-1].MaxRunning, now)
	}
	return out
}

// watchMetrics tells a tab that figures changed, at most once a second; the tab reads the window that it shows.
func (s *socket) watchMetrics(ctx context.Context, a ask, f watched) error {
	events := s.c.Hub.WatchEvents(telemetry.Topic{FunctionID: f.ID})
	for {
		// A gap is a change like any other: the tab reads its whole window again.
		if _, err := events.Next(ctx); err != nil && ctx.Err() != nil {
			return nil
		}
		if !s.sendJSON(ctx, s.head(a.ID, "changed")) {
			return nil
		}
		sleep(ctx, metricsTick)
	}
}

// drawn is a component as text: figures are formatted in one place, also when a script shows them.
func drawn(ctx context.Context, part templ.Component) (string, error) {
	var b bytes.Buffer
	err := part.Render(ctx, &b)
	return b.String(), err
}
