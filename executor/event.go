package executor

import (
	"context"
	"math/rand/v2"
	"time"

	"kiln/lambda"
)

// Why an event was given up; DeadLetter.Reason.
const (
	DeadRetries   = "retries"   // every allowed run failed
	DeadAge       = "age"       // it would have been older than its limit at the next run
	DeadMissing   = "missing"   // its function, version or alias is gone
	DeadRecursion = "recursion" // functions called each other in a circle
)

const (
	defaultRetries = 2
	defaultAge     = 6 * time.Hour
)

// runClaimed runs one claimed event and settles it. slot is nil when none is held for it yet.
func (e *Engine) runClaimed(ctx context.Context, c *lambda.Claimed, slot *slots) {
	r := &run{inv: c.Invocation}
	r.inv.Async = true
	s, settled := e.tryEvent(ctx, c, r, slot)
	if settled {
		s.ID, s.Claim = c.ID, c.Claim
		e.queue.add(s)
		return
	}
	e.queue.drop([]lambda.Settlement{{ID: c.ID, Claim: c.Claim}}) // stopped: its lease is given back
}

func (e *Engine) tryEvent(ctx context.Context, c *lambda.Claimed, r *run, slot *slots) (lambda.Settlement, bool) {
	defer func() {
		if slot != nil {
			e.release(slot.f, slot.n, slot.pooled)
		}
	}()
	if err := e.aim(ctx, r); err != nil {
		if lambda.KindOf(err) == lambda.NotFound {
			return lambda.Settlement{Dead: DeadMissing}, true
		}
		e.o.Log.Error("resolving a queued event's function", "function", r.inv.Function, "err", err)
		return e.backOff(c, r), true
	}
	if time.Since(r.inv.AcceptedAt) > r.maxAge() {
		return e.dead(ctx, r, DeadAge, nil), true
	}
	if slot == nil {
		n, pooled := e.admitEvent(r.target.f)
		if n == 0 {
			return e.backOff(c, r), true
		}
		slot = &slots{f: r.target.f, n: n, pooled: pooled}
	}
	out, err := e.execute(ctx, r)
	if err != nil {
		return e.notRun(ctx, c, r, err)
	}
	return e.ended(ctx, r, out), true
}

// notRun settles an event that did not get to run. When the engine stops it is left to its lease.
func (e *Engine) notRun(ctx context.Context, c *lambda.Claimed, r *run, err error) (lambda.Settlement, bool) {
	switch {
	case e.life.stopped.Load():
		return lambda.Settlement{}, false
	case lambda.KeyOf(err) == "recursion.stopped":
		return e.dead(ctx, r, DeadRecursion, nil), true
	}
	if k := lambda.KindOf(err); k != lambda.Throttled && k != lambda.Unavailable {
		e.o.Log.Error("running a queued event", "function", r.inv.Function, "request", r.inv.RequestID, "err", err)
	}
	return e.backOff(c, r), true
}

// ended settles an event whose handler ran.
func (e *Engine) ended(ctx context.Context, r *run, out *Outcome) lambda.Settlement {
	if out.FunctionError == "" && !out.Report.Status.Failed() {
		s := lambda.Settlement{Done: true, Report: out.Report}
		e.deliver(ctx, r, &s, r.target.async.OnSuccess, conditionSuccess, out)
		return s
	}
	retries := defaultRetries
	if n := r.target.async.MaxRetries; n != nil {
		retries = *n
	}
	if r.inv.Attempt >= retries {
		return e.dead(ctx, r, DeadRetries, out)
	}
	delays := e.o.Timing.Retry
	at := time.Now().Add(delays[min(r.inv.Attempt, len(delays)-1)])
	if at.Sub(r.inv.AcceptedAt) > r.maxAge() {
		return e.dead(ctx, r, DeadAge, out)
	}
	return lambda.Settlement{RetryAt: at, Report: out.Report}
}

// backOff puts an event back that could not run, for a time that doubles with every such try and is spread so that not all come back at once.
func (e *Engine) backOff(c *lambda.Claimed, r *run) lambda.Settlement {
	d := e.o.Timing.ThrottleBase << min(c.Throttles, 20)
	if d <= 0 || d > e.o.Timing.ThrottleMax {
		d = e.o.Timing.ThrottleMax
	}
	d -= time.Duration(rand.Int64N(int64(d)/5 + 1))
	at := time.Now().Add(d)
	if end := r.inv.AcceptedAt.Add(r.maxAge()); at.After(end) {
		at = end.Add(time.Millisecond) // the next claim finds it too old and gives it up
	}
	return lambda.Settlement{RetryAt: at, Throttled: true}
}

func (r *run) maxAge() time.Duration {
	if r.target != nil && r.target.async.MaxAgeSec != nil {
		return time.Duration(*r.target.async.MaxAgeSec) * time.Second
	}
	return defaultAge
}

// dead gives an event up; out is nil when it did not run.
func (e *Engine) dead(ctx context.Context, r *run, reason string, out *Outcome) lambda.Settlement {
	s := lambda.Settlement{Dead: reason}
	condition := conditionRetries
	if reason == DeadAge {
		condition = conditionAge
	}
	if out != nil {
		s.Report = out.Report
		if len(out.Payload) <= lambda.MaxKeptBody {
			s.Response = out.Payload
		}
	}
	e.deliver(ctx, r, &s, r.target.async.OnFailure, condition, out)
	if queue := r.runnable.DeadLetter; queue != "" {
		s.Target = queue
	}
	return s
}
