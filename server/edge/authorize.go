package edge

import (
	"context"
	"log/slog"
	"time"

	"kiln/iam"
	"kiln/lambda"
)

// Decider says whether a principal may do an action to a resource.
type Decider interface {
	Allowed(ctx context.Context, p iam.Principal, action, resource string) (bool, error)
}

// Refusals keeps refusals for the audit; store.Store has it.
type Refusals interface {
	AuditRefusal(ctx context.Context, e lambda.AuditEntry) error
}

// Gate is the one place that authorizes.
type Gate struct {
	Decider Decider
	Audit   Refusals
	ARNs    lambda.ARNs
	Log     *slog.Logger
}

// Authorize lets the context's principal through row or answers Unauthenticated "session.ended" or Denied "access.denied"
// (with who, action and resource), which it audits. It runs after decoding and before the handler.
func (g *Gate) Authorize(ctx context.Context, row Row, p Param) error {
	if row.Open {
		return nil
	}
	who := Principal(ctx)
	if who.Kind == iam.KindAnonymous || who.Kind == "" {
		return lambda.E(lambda.Unauthenticated, "session.ended")
	}
	resource := row.Resource(g.ARNs, p)
	ok, err := g.Decider.Allowed(ctx, who, row.Action, resource)
	if err != nil {
		return err
	}
	if ok {
		return nil
	}
	g.refused(ctx, who, row.Action, resource)
	return lambda.E(lambda.Denied, "access.denied", "who", who.Name, "action", row.Action, "resource", resource)
}

// May says whether the context's principal would be let through, without auditing: for drawing only what can be done.
func (g *Gate) May(ctx context.Context, action, resource string) bool {
	ok, err := g.Decider.Allowed(ctx, Principal(ctx), action, resource)
	return err == nil && ok
}

func (g *Gate) refused(ctx context.Context, who iam.Principal, action, resource string) {
	e := lambda.AuditEntry{At: time.Now(), By: who.Name, ByARN: who.ARN, From: who.From, Action: action, Resource: resource, Denied: true}
	if err := g.Audit.AuditRefusal(context.WithoutCancel(ctx), e); err != nil {
		g.Log.Error("refusal not audited", "error", err, "by", who.ARN, "action", action, "resource", resource)
	}
}
