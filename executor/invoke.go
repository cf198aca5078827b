package executor

import (
	"context"
	"encoding/json"
	"errors"
	"math/rand/v2"
	"strconv"
	"time"

	"kiln/lambda"
)

// run is one invocation on its way, and its place in the function's list of those.
type run struct {
	inv        lambda.Invocation
	target     *target
	runnable   *lambda.Runnable
	prev, next *run
}

// Invoke runs a function and answers when it has run. inv names the function and either a qualifier or a draft's digest;
// RequestID, TraceID and AcceptedAt are made when they are missing. A failed function is a Result.
// Errors: Invalid "event.json", "recursion.stopped"; TooLarge "event.size"; NotFound for what does not exist;
// Throttled "throttle.reserved", "throttle.account" and the runner's; Unavailable when nothing can run.
// Cancelling ctx gives up waiting for a worker; a run that has started goes on to its end and is recorded.
func (e *Engine) Invoke(ctx context.Context, inv lambda.Invocation) (lambda.Result, error) {
	if !e.life.begin() {
		return lambda.Result{}, errStopping()
	}
	defer e.life.end()
	r := &run{inv: inv}
	if err := accept(&r.inv, lambda.MaxEvent); err != nil {
		return lambda.Result{}, err
	}
	if err := e.aim(ctx, r); err != nil {
		return lambda.Result{}, err
	}
	f := r.target.f
	got, pooled := e.admit(f, 1)
	if got == 0 {
		e.recordThrottle(r)
		return lambda.Result{}, e.throttled(f)
	}
	defer e.release(f, 1, pooled)
	out, err := e.execute(ctx, r)
	if err != nil {
		if lambda.KindOf(err) == lambda.Throttled {
			e.recordThrottle(r)
		}
		return lambda.Result{}, err
	}
	return r.result(out), nil
}

// accept completes an event and holds it to its rules.
func accept(inv *lambda.Invocation, limit int) error {
	if len(inv.Event) > limit {
		return lambda.E(lambda.TooLarge, "event.size", "size", strconv.Itoa(len(inv.Event)), "max", strconv.Itoa(limit))
	}
	if len(inv.Event) == 0 {
		inv.Event = emptyEvent
	} else if !json.Valid(inv.Event) {
		return notJSON(inv.Event)
	}
	if inv.RequestID == "" {
		inv.RequestID = newRequestID()
	}
	if inv.AcceptedAt.IsZero() {
		inv.AcceptedAt = time.Now()
	}
	return nil
}

var emptyEvent = []byte("{}")

// notJSON says where the event stops being JSON.
func notJSON(event []byte) error {
	var v any
	err := json.Unmarshal(event, &v)
	line, column := 1, 1
	if syntax, ok := errors.AsType[*json.SyntaxError](err); ok {
		for _, c := range event[:max(0, min(int(syntax.Offset)-1, len(event)))] {
			column++
			if c == '\n' {
				line, column = line+1, 1
			}
		}
	}
	return lambda.E(lambda.Invalid, "event.json", "line", strconv.Itoa(line), "column", strconv.Itoa(column)).Because(err)
}

// aim finds what r runs and extends the chain of calls that led to it.
func (e *Engine) aim(ctx context.Context, r *run) error {
	tg, err := e.resolve(ctx, r.inv.Function, r.inv.Qualifier, r.inv.Digest)
	if err != nil {
		return err
	}
	r.target, r.runnable = tg, tg.first
	if tg.second != nil && rand.Float64() < tg.share {
		r.runnable = tg.second
	}
	r.inv.FunctionID = tg.f.id
	return nil
}

// execute runs r, which has a slot, and records how it ended. An error means that nothing ran.
func (e *Engine) execute(ctx context.Context, r *run) (*Outcome, error) {
	trace, depth := extendTrace(r.inv.TraceID, r.target.f.lineage)
	if depth > maxChain {
		return nil, lambda.E(lambda.Invalid, "recursion.stopped", "function", r.target.f.name, "max", strconv.Itoa(maxChain))
	}
	r.inv.TraceID = trace
	out, err := e.runOnce(ctx, r)
	if lambda.KeyOf(err) == KeyDrained { // the function changed in between
		e.Changed(r.inv.Function)
		if err := e.aim(ctx, r); err != nil {
			return nil, err
		}
		out, err = e.runOnce(ctx, r)
	}
	if err != nil {
		return nil, err
	}
	if r.inv.Async && out.Report.Status.Failed() && e.life.stopped.Load() {
		return nil, errStopping() // ended by the stop, not by itself: it runs again after the start
	}
	r.complete(&out.Report, len(out.Payload))
	e.o.Recorder.Record(lambda.Run{Report: out.Report, Bodies: r.bodies(out.Payload)})
	return &out, nil
}

// runOnce shows r among what runs now. Nothing of r changes meanwhile.
func (e *Engine) runOnce(ctx context.Context, r *run) (Outcome, error) {
	f := r.target.f
	f.enter(r)
	defer f.leave(r)
	return e.o.Runner.Run(ctx, r.assignment())
}

func (r *run) assignment() Assignment {
	return Assignment{
		RequestID: r.inv.RequestID, Digest: r.runnable.Digest, Runnable: r.runnable, Event: r.inv.Event, AcceptedAt: r.inv.AcceptedAt,
		Timeout: time.Duration(r.runnable.TimeoutSec) * time.Second, InvokedARN: r.target.invokedARN,
		TraceID: r.inv.TraceID, ClientContext: r.inv.ClientContext, WantTail: r.inv.WantTail, Stream: r.inv.Stream,
	}
}

// complete adds to a report what only the engine knows.
func (r *run) complete(p *lambda.Report, response int) {
	p.RequestID, p.TraceID, p.AcceptedAt = r.inv.RequestID, r.inv.TraceID, r.inv.AcceptedAt
	p.FunctionID, p.Function, p.Version, p.Alias = r.target.f.id, r.target.f.name, r.runnable.Version, r.target.alias
	p.Source, p.By, p.Async, p.Attempt, p.ReplayOf = r.inv.Source, r.inv.By, r.inv.Async, r.inv.Attempt, r.inv.ReplayOf
	p.MemoryMB, p.EventSize = r.runnable.MemoryMB, len(r.inv.Event)
	if r.inv.Stream == nil {
		p.ResponseSize = response
	}
}

func (r *run) bodies(response []byte) *lambda.Bodies {
	b := &lambda.Bodies{RequestID: r.inv.RequestID, CutEvent: len(r.inv.Event) > lambda.MaxKeptBody, CutResponse: len(response) > lambda.MaxKeptBody || r.inv.Stream != nil}
	if !b.CutEvent {
		b.Event = r.inv.Event
	}
	if !b.CutResponse {
		b.Response = response
	}
	return b
}

func (r *run) result(out *Outcome) lambda.Result {
	return lambda.Result{Payload: out.Payload, FunctionError: out.FunctionError, Version: r.runnable.Version, LogTail: out.LogTail, Report: out.Report}
}

// recordThrottle keeps a call that was turned away, for the charts and the list.
func (e *Engine) recordThrottle(r *run) {
	p := lambda.Report{Status: lambda.StatusThrottled, StartedAt: time.Now(), ErrorType: "TooManyRequestsException"}
	r.complete(&p, 0)
	e.o.Recorder.Record(lambda.Run{Report: p, Bodies: r.bodies(nil)})
}
