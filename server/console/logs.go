package console

import (
	"context"
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/labstack/echo/v4"

	"kiln/lambda"
	"kiln/server/edge"
	"kiln/telemetry"
	"kiln/web"
)

// watchStore is what logs, invocations and charts need.
type watchStore interface {
	telemetry.History
	LogHistogram(ctx context.Context, q lambda.LogQuery, buckets int) ([][7]int64, error)
	Invocations(ctx context.Context, f lambda.InvocationFilter) ([]lambda.Report, error)
	Invocation(ctx context.Context, requestID string) (*lambda.Report, error)
	Bodies(ctx context.Context, requestID string) (*lambda.Bodies, error)
	Functions(ctx context.Context, f lambda.FunctionFilter) ([]*lambda.Function, error)
	Metrics(ctx context.Context, q lambda.MetricQuery) ([]lambda.MetricPoint, error)
	ErrorGroups(ctx context.Context, functionID int64, from time.Time, limit int) ([]lambda.ErrorGroup, error)
	Revisions(ctx context.Context, name string, before int64, limit int) ([]*lambda.Revision, error)
	RecentRevisions(ctx context.Context, from time.Time, limit int) ([]*lambda.Revision, error)
	QueueState(ctx context.Context, functionID int64) (lambda.QueueState, error)
	Setting(ctx context.Context, name string, into any) error
}

// Pipeline is what the console needs of telemetry's pipeline besides the hub.
type Pipeline interface {
	Health() telemetry.Health
	Live(functionID int64) []lambda.MetricPoint // what the roll-ups do not hold yet
	Running(functionID int64) int
}

const (
	logsAction  = "logs:FilterLogEvents"
	plainLines  = 200 // lines of a page without JavaScript
	maxLinePage = 10_000
	maxBuckets  = 400
	exportPage  = 5000
)

func (c *Console) logsRoutes() []Route {
	var all []Route
	for _, at := range []struct {
		path     string
		resource func(lambda.ARNs, edge.Param) string
	}{{"/logs", edge.OnAccount}, {"/functions/:name/logs", edge.OnFunction("name")}} {
		all = append(all,
			route(http.MethodGet, at.path, logsAction, at.resource, c.logsPage),
			route(http.MethodGet, at.path+"/lines", logsAction, at.resource, c.logLines),
			route(http.MethodGet, at.path+"/histogram", logsAction, at.resource, c.logHistogram),
			route(http.MethodGet, at.path+"/line", logsAction, at.resource, c.logLine),
			route(http.MethodGet, at.path+"/export", logsAction, at.resource, c.logExport),
		)
	}
	return all
}

// named is the function that the address names; the zero value on pages of the whole account.
func (c *Console) named(e echo.Context) (*lambda.Function, watched, error) {
	name := e.Param("name")
	if name == "" {
		return nil, watched{}, nil
	}
	f, err := c.Store.Function(e.Request().Context(), name)
	if err != nil {
		return nil, watched{}, err
	}
	return f, watched{ID: f.ID, Name: f.Name}, nil
}

// moment reads a query value in ms since 1970; the zero time for "".
func moment(e echo.Context, name string) (time.Time, error) {
	s := e.QueryParam(name)
	if s == "" {
		return time.Time{}, nil
	}
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil || n < 0 || n > 1<<53 {
		return time.Time{}, lambda.E(lambda.Invalid, "query.time", "name", name, "value", s)
	}
	if n == 0 {
		return time.Time{}, nil
	}
	return time.UnixMilli(n).UTC(), nil
}

// number reads a query value between 1 and most.
func number(e echo.Context, name string, usual, most int) int {
	n, err := strconv.Atoi(e.QueryParam(name))
	if err != nil || n < 1 {
		return usual
	}
	return min(n, most)
}

// logQuery reads what all log addresses share: from, to, request, level, q.
func logQuery(e echo.Context, f watched) (lambda.LogQuery, error) {
	q := lambda.LogQuery{FunctionID: f.ID, RequestID: e.QueryParam("request"), Contains: e.QueryParam("contains"), MinLevel: levelOf(e.QueryParam("level"))}
	var err error
	if q.From, err = moment(e, "from"); err != nil {
		return q, err
	}
	q.To, err = moment(e, "to")
	return q, err
}

var levelWords = []string{"", "trace", "debug", "info", "warn", "error", "fatal"}

func levelOf(s string) lambda.Level {
	return lambda.Level(max(0, slices.Index(levelWords, s)))
}

// logsPage is the viewer; without JavaScript it is the newest lines with a form.
func (c *Console) logsPage(e echo.Context) error {
	f, w, err := c.named(e)
	if err != nil {
		return err
	}
	q, err := logQuery(e, w)
	if err != nil {
		return err
	}
	q.Newest, q.Limit = true, plainLines
	ctx := c.Context(e)
	lines, err := c.Store.LogLines(ctx, q)
	if err != nil {
		return err
	}
	name := c.namer(ctx, w)
	v := web.Logs{
		Function: w.Name, Popped: e.QueryParam("pop") != "", Contains: q.Contains, Level: levelWords[q.MinLevel], Request: q.RequestID,
		From: e.QueryParam("from"), To: e.QueryParam("to"), Flash: c.flash(e),
	}
	for i := range lines {
		l := &lines[i]
		v.Lines = append(v.Lines, web.LogLine{At: l.At, Level: l.Level, Function: name(l.FunctionID), RequestID: l.RequestID, Text: l.Text})
	}
	if f != nil {
		head := c.head(ctx, f, "logs")
		v.Head = &head
	}
	return c.page(e, http.StatusOK, web.LogsPage(v))
}

// logLines is a page of lines for the viewer: before an id, around one, or the newest of a window.
func (c *Console) logLines(e echo.Context) error {
	_, w, err := c.named(e)
	if err != nil {
		return err
	}
	q, err := logQuery(e, w)
	if err != nil {
		return err
	}
	q.Limit = number(e, "limit", 1000, maxLinePage)
	ctx := e.Request().Context()
	lines, more, err := c.readLines(ctx, q, e.QueryParam("before"), e.QueryParam("around"))
	if err != nil {
		return err
	}
	reports, err := c.reportsOf(ctx, w.ID, lines)
	if err != nil {
		return err
	}
	b := appendLines([]byte{'{'}, lines, c.namer(ctx, w))
	if b, err = appendReports(append(b, ','), reports); err != nil {
		return err
	}
	b = append(b, `,"more":`+strconv.FormatBool(more)+`}`...)
	e.Response().Header().Set("Cache-Control", "no-store")
	return e.JSONBlob(http.StatusOK, b)
}

// readLines answers lines oldest first, and whether older ones may be there.
func (c *Console) readLines(ctx context.Context, q lambda.LogQuery, before, around string) ([]lambda.LogLine, bool, error) {
	id, err := parseLogID(before + around)
	if err != nil {
		return nil, false, err
	}
	if around != "" {
		return c.readAround(ctx, q, id)
	}
	q.Before, q.Newest = id, true
	lines, err := c.Store.LogLines(ctx, q)
	slices.Reverse(lines)
	return lines, len(lines) == q.Limit, err
}

func (c *Console) readAround(ctx context.Context, q lambda.LogQuery, id lambda.LogID) ([]lambda.LogLine, bool, error) {
	q.Limit = max(1, q.Limit/2)
	q.Before, q.Newest = lambda.LogID{Epoch: id.Epoch, Seq: id.Seq + 1}, true
	older, err := c.Store.LogLines(ctx, q)
	if err != nil {
		return nil, false, err
	}
	q.Before, q.Newest, q.After = lambda.LogID{}, false, id
	newer, err := c.Store.LogLines(ctx, q)
	slices.Reverse(older)
	return append(older, newer...), len(older) == q.Limit, err
}

// reportsOf are the reports of a page of lines.
func (c *Console) reportsOf(ctx context.Context, function int64, lines []lambda.LogLine) ([]lambda.Report, error) {
	if len(lines) == 0 {
		return nil, nil
	}
	last := lines[len(lines)-1].At
	return c.reports(ctx, lambda.InvocationFilter{FunctionID: function, From: lines[0].At.Add(-longestRun), To: last.Add(time.Second), Limit: reportPage})
}

func (c *Console) logHistogram(e echo.Context) error {
	_, w, err := c.named(e)
	if err != nil {
		return err
	}
	q, err := logQuery(e, w)
	if err != nil {
		return err
	}
	if q.From.IsZero() || !q.To.After(q.From) {
		return lambda.E(lambda.Invalid, "query.window")
	}
	counts, err := c.Store.LogHistogram(e.Request().Context(), q, number(e, "buckets", 120, maxBuckets))
	if err != nil {
		return err
	}
	return e.JSON(http.StatusOK, counts)
}

// logLine is the whole text of one line.
func (c *Console) logLine(e echo.Context) error {
	_, w, err := c.named(e)
	if err != nil {
		return err
	}
	id, err := parseLogID(e.QueryParam("id"))
	if err != nil {
		return err
	}
	q := lambda.LogQuery{FunctionID: w.ID, Before: lambda.LogID{Epoch: id.Epoch, Seq: id.Seq + 1}, Newest: true, Limit: 1}
	lines, err := c.Store.LogLines(e.Request().Context(), q)
	if err != nil {
		return err
	}
	if len(lines) == 0 || lines[0].ID != id {
		return lambda.E(lambda.NotFound, "log.line")
	}
	return e.String(http.StatusOK, lines[0].Text)
}
