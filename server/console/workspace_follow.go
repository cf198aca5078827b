package console

import (
	"cmp"
	"context"
	"net/http"
	"slices"
	"time"

	"github.com/labstack/echo/v4"

	"kiln/lambda"
	"kiln/web"
)

// followRun is where a run stands; ?wait=1 holds the answer until it is done or 25 s have passed.
func (c *Console) followRun(e echo.Context) error {
	ctx := c.Context(e)
	fn, err := c.Store.Function(ctx, e.Param("name"))
	if err != nil {
		return err
	}
	wait := time.Duration(0)
	if e.QueryParam("wait") != "" {
		wait = followFor
	}
	run, err := c.follow(ctx, fn, e.Param("id"), wait)
	if err != nil {
		return err
	}
	return e.JSON(http.StatusOK, run)
}

func (c *Console) follow(ctx context.Context, fn *lambda.Function, id string, wait time.Duration) (runJSON, error) {
	if t := c.tests.get(id); t != nil && t.fn.ID == fn.ID {
		t.wait(ctx, wait)
		run, err := c.runJSON(ctx, t)
		run.Event = string(t.inv.Event)
		return run, err
	}
	return c.recorded(ctx, fn, id, wait)
}

const lookEvery = 250 * time.Millisecond

// recorded reads a run from the database: of an async event, of another server start, or one that was forgotten here.
func (c *Console) recorded(ctx context.Context, fn *lambda.Function, id string, wait time.Duration) (runJSON, error) {
	deadline := time.Now().Add(wait)
	for {
		r, err := c.Store.Invocation(ctx, id)
		switch {
		case err == nil && r.FunctionID != fn.ID:
			return runJSON{}, lambda.E(lambda.NotFound, "invocation.missing", "id", id)
		case err == nil:
			return c.fromReport(ctx, fn, r)
		case lambda.KindOf(err) != lambda.NotFound:
			return runJSON{}, err
		case wait == 0:
			return runJSON{}, err
		case time.Now().After(deadline):
			t := &testRun{fn: fn, inv: lambda.Invocation{RequestID: id, Async: true, AcceptedAt: c.Now()}}
			return c.render(ctx, fn, runView(t), runJSON{State: "queued"})
		}
		select {
		case <-ctx.Done():
			return runJSON{}, ctx.Err()
		case <-time.After(lookEvery):
		}
	}
}

func (c *Console) fromReport(ctx context.Context, fn *lambda.Function, r *lambda.Report) (runJSON, error) {
	v := web.TestRun{Function: fn.Name, RequestID: r.RequestID, State: "done", Draft: r.Draft(), At: r.AcceptedAt, Report: *r, TimeoutSec: fn.TimeoutSec}
	j := runJSON{State: "done"}
	var payload []byte
	b, err := c.Store.Bodies(ctx, r.RequestID)
	switch {
	case err == nil:
		payload, j.Event = b.Response, string(b.Event)
	case lambda.KindOf(err) != lambda.NotFound:
		return j, err
	}
	c.explain(ctx, &v, payload)
	j.Payload = string(payload)
	lines, err := c.Store.LogLines(ctx, lambda.LogQuery{FunctionID: fn.ID, RequestID: r.RequestID, Limit: 500})
	if err != nil {
		return j, err
	}
	for _, l := range lines {
		j.Log += l.Text + "\n"
	}
	return c.render(ctx, fn, v, j)
}

// earlierJSON is one line of the list of earlier runs.
type earlierJSON struct {
	RequestID string    `json:"requestId"`
	At        time.Time `json:"at"`
	Label     string    `json:"label"`
	Failed    bool      `json:"failed"`
}

const mostEarlier = 10

func (c *Console) earlierRuns(e echo.Context) error {
	ctx := c.Context(e)
	fn, err := c.Store.Function(ctx, e.Param("name"))
	if err != nil {
		return err
	}
	reports, err := c.Store.Invocations(ctx, lambda.InvocationFilter{FunctionID: fn.ID, Source: lambda.SourceTest, Limit: mostEarlier})
	if err != nil {
		return err
	}
	reports = newest(append(reports, c.tests.recent(fn.ID)...), mostEarlier)
	out := make([]earlierJSON, 0, len(reports))
	for _, r := range reports {
		label := web.Of(ctx).Locale.Millis(r.Duration) + " ms"
		if r.Status != lambda.StatusOK {
			label = cmp.Or(r.ErrorType, web.T(ctx, "ws.status."+string(r.Status)))
		}
		if r.Draft() {
			label = web.T(ctx, "ws.draft") + ", " + label
		}
		out = append(out, earlierJSON{RequestID: r.RequestID, At: r.AcceptedAt, Label: label, Failed: r.Status != lambda.StatusOK})
	}
	return e.JSON(http.StatusOK, out)
}

// newest are the n newest reports, each request once.
func newest(all []lambda.Report, n int) []lambda.Report {
	slices.SortStableFunc(all, func(a, b lambda.Report) int { return b.AcceptedAt.Compare(a.AcceptedAt) })
	seen := map[string]bool{}
	all = slices.DeleteFunc(all, func(r lambda.Report) bool {
		twice := seen[r.RequestID]
		seen[r.RequestID] = true
		return twice
	})
	return all[:min(n, len(all))]
}
