package web

import (
	"context"
	"strconv"

	"kiln/lambda"
)

// ConfigurePart is what the pages beside Configure share: each has forms of its own, saved at once.
type ConfigurePart struct {
	Head     FunctionHead
	Key      string            // of configureParts
	Problems map[string]string // field → what is wrong
	Above    string            // what is wrong with a whole form
	Flash    string
}

// configureParts are the pages beside Configure, in the order of the menu.
var configureParts = []string{"layers", "async", "url"}

func (p ConfigurePart) path(rest string) string {
	return FunctionPath(p.Head.Name, "configure/"+p.Key+rest)
}

func (p ConfigurePart) field(name, label, value string) Field {
	return Field{ID: "f-" + name, Name: name, Label: label, Value: value, Error: p.Problems[name]}
}

// Async is the page of asynchronous events: what becomes of them, and how the queue stands.
type Async struct {
	ConfigurePart
	IsSet                                 bool // something else than the defaults was saved
	Retries, MaxAge, OnSuccess, OnFailure string
	DeadLetter                            string
	Revision                              int64
	Functions                             []string // ARNs to suggest as destinations
	Queue                                 lambda.QueueState
	Dead                                  []lambda.DeadLetter // newest first
}

func (a Async) maxAgeField(ctx context.Context) Field {
	f := numeric(a.field("maxAge", T(ctx, "async.maxage"), a.MaxAge), T(ctx, "unit.sec"))
	f.Hint = T(ctx, "async.maxage.hint")
	return f
}

func (a Async) destination(name, label, value string) Field {
	f := mono(a.field(name, label, value))
	f.List = "destinations"
	return f
}

func (a Async) deadLetterField(ctx context.Context) Field {
	f := mono(a.field("deadLetter", T(ctx, "async.deadletter"), a.DeadLetter))
	f.Hint = T(ctx, "async.deadletter.hint")
	return f
}

func (a Async) facts(ctx context.Context) []Fact {
	l := Of(ctx).Locale
	return []Fact{
		{Label: T(ctx, "async.waiting"), Value: l.Int(a.Queue.Waiting)},
		{Label: T(ctx, "async.running"), Value: l.Int(a.Queue.Running)},
		{Label: T(ctx, "async.delayed"), Value: l.Int(a.Queue.Delayed)},
		{Label: T(ctx, "async.dead"), Value: l.Int(a.Queue.Dead)},
		{Label: T(ctx, "async.oldest"), Value: strconv.FormatInt(int64(a.Queue.OldestAge.Seconds()), 10), Unit: T(ctx, "unit.sec")},
	}
}

func deadReason(ctx context.Context, d lambda.DeadLetter) string {
	switch d.Reason {
	case "retries", "age", "success":
		return T(ctx, "async.reason."+d.Reason)
	}
	return d.Reason
}
