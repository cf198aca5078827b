package iam

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"kiln/lambda"
)

// Source reads the documents; main makes it of the store.
type Source interface {
	// RoleNamed is a role by its name, which is unique whatever the path. NotFound for an unknown one.
	RoleNamed(ctx context.Context, name string) (*Role, error)
	// ResourcePolicy is the document on a resource's ARN; "" for none.
	ResourcePolicy(ctx context.Context, arn string) (string, error)
}

// Authority decides with all documents. Parsed ones are kept for a few seconds, or until Forget. It is safe for concurrent use.
type Authority struct {
	source Source
	region string
	now    func() time.Time

	mu    sync.RWMutex
	epoch int // raised by Forget: what was read before it is not kept
	docs  map[string]cachedDocs
}

type cachedDocs struct {
	docs  []Named
	until time.Time
}

const (
	maxCached = 20_000          // documents; past it the cache starts again
	cacheTime = 5 * time.Second // the net under a change that nobody reported
)

// NewAuthority makes an Authority.
func NewAuthority(s Source, region string, now func() time.Time) *Authority {
	return &Authority{source: s, region: region, now: now, docs: map[string]cachedDocs{}}
}

// Forget drops every cached document. Call it after each change of a role or a policy, before the change is answered.
func (a *Authority) Forget() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.epoch++
	clear(a.docs)
}

// Allowed says whether p may do action to resource.
func (a *Authority) Allowed(ctx context.Context, p Principal, action, resource string) (bool, error) {
	d, err := a.Decide(ctx, Request{Principal: p, Action: action, Resource: resource})
	return d.Allowed, err
}

// Decide answers a request with every document that bears on it. r.Context holds only the keys of the operation itself;
// those of every request are added. A document that cannot be read refuses.
func (a *Authority) Decide(ctx context.Context, r Request) (Decision, error) {
	if d, ok := quick(r); ok {
		return d, nil
	}
	p := Policies{Identity: peoplePolicies(r.Principal)}
	if role := roleOf(r.Principal.ARN); r.Principal.Kind == KindRole && role != "" {
		docs, err := a.cached(ctx, "role "+role, func() ([]Named, error) { return a.roleDocuments(ctx, role[strings.LastIndexByte(role, '/')+1:]) })
		if err != nil {
			return Decision{}, err
		}
		p.Identity = docs
	}
	res, err := a.cached(ctx, r.Resource, func() ([]Named, error) { return a.resourceDocument(ctx, r.Resource) })
	if err != nil {
		return Decision{}, err
	}
	if len(res) > 0 {
		p.Resource = &res[0]
	}
	if p.dynamic() {
		base := BaseContext(r.Principal, a.now(), a.region, false)
		maps.Copy(base, r.Context)
		r.Context = base
	}
	return Decide(r, p), nil
}

// dynamic says whether one of the documents looks at the request's context.
func (p *Policies) dynamic() bool {
	looks := func(n Named) bool { return n.Doc.dynamic }
	return slices.ContainsFunc(p.Identity, looks) || slices.ContainsFunc(p.Limits, looks) || p.Resource != nil && p.Resource.Doc.dynamic
}

// quick answers what no document changes: root's own account-wide questions.
func quick(r Request) (Decision, bool) {
	if r.Principal.Kind == KindRoot && r.Resource == "*" {
		return Decision{Allowed: true, Reason: ByRoot, request: r}, true
	}
	return Decision{}, false
}

func (a *Authority) cached(ctx context.Context, key string, read func() ([]Named, error)) ([]Named, error) {
	a.mu.RLock()
	c, ok := a.docs[key]
	epoch := a.epoch
	a.mu.RUnlock()
	now := a.now()
	if ok && now.Before(c.until) {
		return c.docs, nil
	}
	docs, err := read()
	if err != nil {
		return nil, fmt.Errorf("read the policies of %s: %w", key, err)
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.epoch == epoch {
		if len(a.docs) >= maxCached {
			clear(a.docs)
		}
		a.docs[key] = cachedDocs{docs, now.Add(cacheTime)}
	}
	return docs, nil
}

func (a *Authority) roleDocuments(ctx context.Context, name string) ([]Named, error) {
	role, err := a.source.RoleNamed(ctx, name)
	if lambda.KindOf(err) == lambda.NotFound {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return role.Documents()
}

// Documents parses the role's policies, in name order. A value that is the ARN of a managed policy stands for it.
func (r *Role) Documents() ([]Named, error) {
	var out []Named
	for name, text := range r.Policies {
		if m, ok := ManagedPolicy(text); ok {
			out = append(out, Named{m.Name, m.Doc})
			continue
		}
		d, err := Parse([]byte(text), Identity)
		if err != nil {
			return nil, fmt.Errorf("policy %s: %w", name, err)
		}
		out = append(out, Named{name, d})
	}
	slices.SortFunc(out, func(a, b Named) int { return compare(a.Name, b.Name) })
	return out, nil
}

func (a *Authority) resourceDocument(ctx context.Context, arn string) ([]Named, error) {
	text, err := a.source.ResourcePolicy(ctx, arn)
	if err != nil || text == "" {
		return nil, err
	}
	d, err := Parse([]byte(text), Resource)
	if err != nil {
		return nil, err
	}
	return []Named{{arn, d}}, nil
}

// MayAssume says whether a role's trust policy lets who take it; service principals are KindService with the service's name as ARN.
func MayAssume(trust string, who Principal, ctx Context) Decision {
	r := Request{Principal: who, Action: "sts:AssumeRole", Resource: "", Context: ctx}
	d, err := Parse([]byte(trust), Trust)
	if err != nil {
		return Decision{Reason: ByNothing, request: r}
	}
	if dec := Decide(Request{Principal: Principal{Kind: who.Kind, ARN: who.ARN}, Action: r.Action, Context: ctx}, Policies{Resource: &Named{"trust", d}}); who.Kind != KindRoot || dec.Reason != ByRoot {
		return dec
	}
	// Root may do everything in the account, but a session of a role needs the role's own trust.
	probe := Decision{request: r}
	if _, ok := probe.find(r, Named{"trust", d}, direct); ok {
		probe.Allowed, probe.Reason = true, ByResource
	} else {
		probe.Reason = ByNothing
	}
	return probe
}

// Service is the principal of an AWS service, for example "lambda.amazonaws.com".
func Service(name string) Principal { return Principal{Kind: KindService, ARN: name, Name: name} }
