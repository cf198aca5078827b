package console

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/labstack/echo/v4"

	"kiln/lambda"
	"kiln/server/edge"
	"kiln/web"
)

const (
	answerWithin = 2 * time.Second  // then the page says "running" and follows
	formWithin   = 20 * time.Second // the same without JavaScript
	followFor    = 25 * time.Second // one long poll
	maxEvent     = 6_291_556        // bytes, AWS's limit of a synchronous event
	maxRunBody   = maxDraftBody + 4*maxEvent
	shownAnswer  = 64 << 10 // bytes of the answer in the page's own text
)

type runRequest struct {
	draftEdit
	Target string `json:"target"` // "draft" or "deployed"
	Async  bool   `json:"async"`
	Event  string `json:"event"`
}

// runJSON is one run as the island gets it.
type runJSON struct {
	RequestID    string      `json:"requestId"`
	State        string      `json:"state"`
	Target       string      `json:"target"`
	At           time.Time   `json:"at"`
	HTML         string      `json:"html"`
	Payload      string      `json:"payload"`
	Failed       bool        `json:"failed"`
	ErrorType    string      `json:"errorType"`
	ErrorMessage string      `json:"errorMessage"`
	Frames       []frameJSON `json:"frames"`
	Log          string      `json:"log"`
	Event        string      `json:"event,omitempty"`
}

type frameJSON struct {
	Path   string `json:"path"`
	Line   int    `json:"line"`
	Column int    `json:"column"`
}

type runAnswer struct {
	Saved *savedJSON `json:"saved"`
	Run   runJSON    `json:"run"`
}

// runTest runs an event on the draft or on what is deployed. The run does not depend on the browser's connection.
func (c *Console) runTest(e echo.Context) error {
	var in runRequest
	if err := decodeJSON(e, &in, maxRunBody); err != nil {
		return err
	}
	ctx := c.Context(e)
	fn, err := c.Store.Function(ctx, e.Param("name"))
	if err != nil {
		return err
	}
	inv, saved, err := c.invocation(ctx, fn, in)
	if err != nil {
		return c.failSaved(e, saved, err)
	}
	run, err := c.runFor(ctx, fn, inv, answerWithin)
	if err != nil {
		return c.failSaved(e, saved, err)
	}
	return e.JSON(http.StatusOK, runAnswer{Saved: saved, Run: run})
}

// runFor starts an invocation and answers where it stands when it is done or after d.
func (c *Console) runFor(ctx context.Context, fn *lambda.Function, inv lambda.Invocation, d time.Duration) (runJSON, error) {
	t, err := c.startTest(ctx, fn, inv)
	if err != nil {
		return runJSON{}, err
	}
	t.wait(ctx, d)
	return c.runJSON(ctx, t)
}

// invocation checks the event and, for a draft, saves what came along and pins what will run.
func (c *Console) invocation(ctx context.Context, fn *lambda.Function, in runRequest) (lambda.Invocation, *savedJSON, error) {
	inv := lambda.Invocation{
		RequestID: edge.NewRequestID(), FunctionID: fn.ID, Function: fn.Name, Async: in.Async, Source: lambda.SourceTest,
		By: edge.Principal(ctx).Name, Event: []byte(cmp.Or(strings.TrimSpace(in.Event), "{}")), AcceptedAt: c.Now(), WantTail: true,
	}
	if len(inv.Event) > maxEvent {
		return inv, nil, lambda.E(lambda.TooLarge, "event.size")
	}
	if !json.Valid(inv.Event) {
		return inv, nil, lambda.E(lambda.Invalid, "event.json")
	}
	if in.Target != "draft" {
		return inv, nil, nil
	}
	if err := c.mayRunDraft(ctx, fn); err != nil {
		return inv, nil, err
	}
	saved, err := c.save(ctx, fn, in.draftEdit)
	if err != nil {
		return inv, nil, err
	}
	inv.Qualifier = lambda.Draft
	inv.Digest, err = c.pin(ctx, fn, seqNow(in.draftEdit, saved))
	return inv, saved, err
}

// mayRunDraft: running a draft is deploying for one call, with the function's role.
func (c *Console) mayRunDraft(ctx context.Context, fn *lambda.Function) error {
	p := func(string) string { return fn.Name }
	if err := c.Gate.Authorize(ctx, edge.Row{Target: "run draft", Action: "lambda:UpdateFunctionCode", Resource: edge.OnFunction("name")}, p); err != nil {
		return err
	}
	if fn.Role == "" {
		return nil
	}
	return c.Gate.Authorize(ctx, edge.Row{Target: "run draft", Action: "iam:PassRole", Resource: func(lambda.ARNs, edge.Param) string { return fn.Role }}, p)
}

// pinned is a draft that was built and pinned lately.
type pinned struct {
	seq, revision int64
	digest        lambda.Digest
	at            time.Time
}

type pinKey struct {
	user     int64
	function int64
}

// pins remembers, for each person and function, what the last draft run pinned: running the same draft again needs no database.
type pins struct {
	mu  sync.Mutex
	all map[pinKey]pinned
}

const (
	pinFor  = 5 * time.Minute // the store keeps a pin for 10
	mostPin = 1000
)

func (p *pins) get(k pinKey, seq, revision int64, now time.Time) lambda.Digest {
	p.mu.Lock()
	defer p.mu.Unlock()
	x, ok := p.all[k]
	if !ok || x.seq != seq || x.revision != revision || now.Sub(x.at) > pinFor {
		return ""
	}
	return x.digest
}

func (p *pins) put(k pinKey, x pinned) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.all == nil || len(p.all) >= mostPin {
		p.all = map[pinKey]pinned{}
	}
	p.all[k] = x
}

// pin builds the person's draft, whose Seq must be seq, and names the digest to run.
func (c *Console) pin(ctx context.Context, fn *lambda.Function, seq int64) (lambda.Digest, error) {
	by := edge.Principal(ctx)
	k := pinKey{user: by.UserID, function: fn.ID}
	if d := c.pinned.get(k, seq, fn.Revision, c.Now()); d != "" {
		return d, nil
	}
	d, err := c.Store.Draft(ctx, by.UserID, fn.Name)
	if err != nil {
		return "", err
	}
	if d.Seq != seq {
		return "", lambda.E(lambda.Conflict, "draft.changed")
	}
	zip, err := c.mergedBytes(ctx, fn, d)
	if err != nil {
		return "", err
	}
	pkg, err := c.Store.PutCode(ctx, bytes.NewReader(zip))
	if err != nil {
		return "", err
	}
	digest, err := c.Store.PinDraft(ctx, by, fn.Name, pkg)
	if err != nil {
		return "", err
	}
	c.pinned.put(k, pinned{seq: seq, revision: fn.Revision, digest: digest, at: c.Now()})
	return digest, nil
}

// startTest hands the invocation to the engine. An async one is durable when it returns; a sync one goes on without its caller.
func (c *Console) startTest(ctx context.Context, fn *lambda.Function, inv lambda.Invocation) (*testRun, error) {
	t := &testRun{fn: fn, inv: inv, done: make(chan struct{})}
	own := context.WithoutCancel(ctx)
	if inv.Async {
		if _, err := c.Engine.InvokeAsync(own, inv); err != nil {
			return nil, err
		}
		return t, nil
	}
	c.tests.add(t)
	c.tests.wg.Go(func() {
		t.result, t.err = c.Engine.Invoke(own, inv)
		c.tests.finished(t)
	})
	return t, nil
}

// runJSON is where a run stands now. Its error is that of a run that never ran.
func (c *Console) runJSON(ctx context.Context, t *testRun) (runJSON, error) {
	if t.inv.Async {
		return c.render(ctx, t.fn, runView(t), runJSON{State: "queued"})
	}
	if !t.isDone() {
		return c.render(ctx, t.fn, runView(t), runJSON{State: "running"})
	}
	if t.err != nil {
		return runJSON{}, t.err
	}
	v := runView(t)
	c.explain(ctx, &v, t.result.Payload)
	return c.render(ctx, t.fn, v, runJSON{State: "done", Payload: string(t.result.Payload), Log: logText(t.result.LogTail)})
}

func runView(t *testRun) web.TestRun {
	v := web.TestRun{
		Function: t.fn.Name, RequestID: t.inv.RequestID, Draft: t.inv.Digest != "", At: t.inv.AcceptedAt, State: "running", TimeoutSec: t.fn.TimeoutSec,
	}
	if t.inv.Async {
		v.State = "queued"
	}
	if !t.inv.Async && t.isDone() {
		v.State, v.Report = "done", t.result.Report
	}
	return v
}

// explain adds to a finished run what its answer and its error say.
func (c *Console) explain(ctx context.Context, v *web.TestRun, payload []byte) {
	v.Raw = cutText(payload, shownAnswer)
	if v.Report.Status.Failed() {
		failure := parseFailure(payload)
		v.Report.ErrorType = cmp.Or(v.Report.ErrorType, failure.Type)
		v.Report.ErrorMessage = cmp.Or(failure.Message, v.Report.ErrorMessage)
		v.Frames = failure.Frames
	} else {
		v.HTTPStatus = httpStatus(payload)
	}
	v.Hints = hints(ctx, *v, payload)
}

func (c *Console) render(ctx context.Context, fn *lambda.Function, v web.TestRun, j runJSON) (runJSON, error) {
	var html bytes.Buffer
	if err := web.RunResult(v).Render(ctx, &html); err != nil {
		return j, err
	}
	j.RequestID, j.At, j.HTML, j.Target = v.RequestID, v.At, html.String(), "deployed"
	if v.Draft {
		j.Target = "draft"
	}
	j.Failed = j.State == "done" && v.Report.Status != lambda.StatusOK
	j.ErrorType, j.ErrorMessage = v.Report.ErrorType, v.Report.ErrorMessage
	for _, f := range v.Frames {
		if f.Path != "" {
			j.Frames = append(j.Frames, frameJSON{Path: f.Path, Line: f.Line, Column: max(f.Column, 1)})
		}
	}
	return j, nil
}

// runForm runs an event without JavaScript and answers with the whole page.
func (c *Console) runForm(e echo.Context) error {
	ctx := c.Context(e)
	b, err := c.bench(ctx, e.Param("name"))
	if err != nil {
		return err
	}
	in := runRequest{Target: "deployed", Async: e.FormValue("async") != "", Event: e.FormValue("event")}
	if b.changed() > 0 {
		in.Target, in.Seq, in.Base = "draft", b.draft.Seq, b.draft.Base
	}
	ev := formEvent{text: in.Event}
	inv, _, err := c.invocation(ctx, b.fn, in)
	if err == nil {
		var t *testRun
		if t, err = c.startTest(ctx, b.fn, inv); err == nil {
			t.wait(ctx, map[bool]time.Duration{true: 0, false: formWithin}[inv.Async])
			run := runView(t)
			if run.State == "done" && t.err == nil {
				c.explain(ctx, &run, t.result.Payload)
			}
			if t.err == nil || run.State != "done" {
				return c.workspacePage(e, http.StatusOK, b, ev, &run)
			}
			err = t.err
		}
	}
	known := asDomain(err)
	if known.Kind == lambda.Internal {
		return err
	}
	status := edge.Status(known)
	ev.problem = oops(ctx, status, known).Text
	return c.workspacePage(e, status, b, ev, nil)
}

// runOfQuery is the run that ?run=<id> names, for a page without JavaScript that looks again.
func (c *Console) runOfQuery(e echo.Context, fn *lambda.Function) (*web.TestRun, error) {
	id := e.QueryParam("run")
	if id == "" {
		return nil, nil
	}
	ctx := c.Context(e)
	if t := c.tests.get(id); t != nil && t.fn.ID == fn.ID {
		v := runView(t)
		if v.State == "done" && t.err == nil {
			c.explain(ctx, &v, t.result.Payload)
		}
		return &v, nil
	}
	r, err := c.Store.Invocation(ctx, id)
	if lambda.KindOf(err) == lambda.NotFound {
		return &web.TestRun{Function: fn.Name, RequestID: id, State: "queued", At: c.Now()}, nil
	}
	if err != nil || r.FunctionID != fn.ID {
		return nil, err
	}
	v := web.TestRun{Function: fn.Name, RequestID: id, State: "done", Draft: r.Draft(), At: r.AcceptedAt, Report: *r, TimeoutSec: fn.TimeoutSec}
	if b, err := c.Store.Bodies(ctx, r.RequestID); err == nil {
		c.explain(ctx, &v, b.Response)
	}
	return &v, nil
}
