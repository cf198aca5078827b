package iam

import (
	"encoding/json"
	"strconv"
	"strings"
	"time"
)

// Request is a question.
type Request struct {
	Principal Principal
	Action    string // "lambda:InvokeFunction"
	Resource  string // ARN, or "*" for the account
	Context   Context
}

// Named is a document with the name under which people know it.
type Named struct {
	Name string
	Doc  *Document
}

// Policies are the documents that bear on a request.
type Policies struct {
	Identity []Named // of the principal
	Limits   []Named // session policies and boundaries: each must allow too
	Resource *Named  // of the resource; nil for none
}

// Reason says how a decision came about.
type Reason string

// The reasons.
const (
	ByIdentity Reason = "identity" // a statement of the principal's policies allows it
	ByResource Reason = "resource" // the resource's policy allows it
	ByRoot     Reason = "root"     // the account's root may
	ByDeny     Reason = "deny"     // a statement denies it
	ByLimit    Reason = "limit"    // a session policy or boundary does not allow it
	ByNothing  Reason = "nothing"  // no statement allows it
)

// Decision is the answer with its explanation.
type Decision struct {
	Allowed   bool
	Reason    Reason
	Policy    string     // name of the deciding document; "" with ByRoot and ByNothing
	Statement *Statement // the deciding one; nil when none was
	Index     int        // of Statement in its document, from 0
	// With ByNothing: the statement that would allow it but for one condition, if there is one, and the key that fails.
	Near    *Statement
	NearKey string
	request Request
}

// Decide answers r from the documents: an explicit deny wins, then any allow; nothing else is allowed.
func Decide(r Request, p Policies) Decision {
	d := Decision{request: r}
	if d.deny(r, p) {
		return d
	}
	mine := d.allowedBy(r, p.Identity)
	res := other
	if p.Resource != nil {
		res = d.resource(r, *p.Resource, mine)
	}
	switch {
	case r.Principal.Kind == KindRoot:
		d.Reason, d.Allowed, d.Statement, d.Policy = ByRoot, true, nil, ""
	case mine:
		d.Reason, d.Allowed = ByIdentity, true
	case res == direct:
		d.Reason, d.Allowed = ByResource, true
	default:
		d.Reason = ByNothing
		return d
	}
	d.Near, d.NearKey = nil, ""
	return d.within(r, p.Limits)
}

// deny looks for an explicit deny everywhere.
func (d *Decision) deny(r Request, p Policies) bool {
	all := append(append([]Named{}, p.Identity...), p.Limits...)
	if p.Resource != nil {
		all = append(all, *p.Resource)
	}
	for _, n := range all {
		for i := range n.Doc.Statements {
			s := &n.Doc.Statements[i]
			if s.Effect == Deny && s.about(&r) != other && s.covers(n.Doc, &r) && s.failing(n.Doc, r.Context) == "" {
				d.Reason, d.Policy, d.Statement, d.Index = ByDeny, n.Name, s, i
				return true
			}
		}
	}
	return false
}

// allowedBy looks for a statement of the principal's own policies.
func (d *Decision) allowedBy(r Request, docs []Named) bool {
	for _, n := range docs {
		if _, ok := d.find(r, n, direct); ok {
			return true
		}
	}
	return false
}

func (d *Decision) resource(r Request, n Named, found bool) grant {
	if found {
		return other
	}
	g, _ := d.find(r, n, direct)
	return g
}

// find looks for an allowing statement whose principal fits at least as well as least; it notes it, or the nearest miss.
func (d *Decision) find(r Request, n Named, least grant) (grant, bool) {
	for i := range n.Doc.Statements {
		s := &n.Doc.Statements[i]
		if s.Effect != Allow || !s.covers(n.Doc, &r) {
			continue
		}
		g := s.about(&r)
		if g < least {
			continue
		}
		key := s.failing(n.Doc, r.Context)
		if key == "" {
			d.Policy, d.Statement, d.Index = n.Name, s, i
			return g, true
		}
		if d.Near == nil {
			d.Near, d.NearKey = s, key
		}
	}
	return other, false
}

// within holds an allowed decision to the limits.
func (d Decision) within(r Request, limits []Named) Decision {
	for _, n := range limits {
		probe := Decision{}
		if _, ok := probe.find(r, n, direct); !ok {
			return Decision{Reason: ByLimit, Policy: n.Name, request: r}
		}
	}
	return d
}

// about says how the statement's principal element fits; a statement without one is about whoever it is attached to.
func (s *Statement) about(r *Request) grant {
	switch {
	case s.Principal != nil:
		if g := s.Principal.fits(&r.Principal); g != other || s.Effect == Allow {
			return g
		}
		return other
	case s.NotPrincipal != nil:
		if s.NotPrincipal.fits(&r.Principal) == other {
			return direct
		}
		return other
	}
	return direct
}

func (s *Statement) covers(d *Document, r *Request) bool {
	if s.Action != nil && !matchesAction(s.Action, r.Action) || s.NotAction != nil && matchesAction(s.NotAction, r.Action) {
		return false
	}
	if s.Resource != nil {
		yes, _ := matchesResource(s.Resource, d.Version, r.Resource, r.Context)
		return yes
	}
	yes, unclear := matchesResource(s.NotResource, d.Version, r.Resource, r.Context)
	return !yes && (!unclear || s.Effect == Deny)
}

// failing is the key of the first condition that is not met; "" when all are.
func (s *Statement) failing(d *Document, ctx Context) string {
	for i := range s.Conditions {
		if !s.Conditions[i].holds(d.Version, ctx, s.Effect) {
			return s.Conditions[i].Key
		}
	}
	return ""
}

// Missing is the statement that, added to the principal's policy, would allow the request; nil when a deny or a limit stands in the way.
func (d Decision) Missing() *Statement {
	if d.Allowed || d.Reason != ByNothing {
		return nil
	}
	return &Statement{Effect: Allow, Action: []string{d.request.Action}, Resource: []string{d.request.Resource}}
}

// MissingJSON is Missing as text for a person to paste; "" when there is none.
func (d Decision) MissingJSON() string {
	s := d.Missing()
	if s == nil {
		return ""
	}
	b, err := json.Marshal(s)
	if err != nil {
		return ""
	}
	return string(b)
}

// BaseContext is what is known of every request: who, when, from where, over what.
func BaseContext(p Principal, now time.Time, region string, tls bool) Context {
	c := Context{
		"aws:currenttime": {now.UTC().Format(time.RFC3339)}, "aws:epochtime": {strconv.FormatInt(now.Unix(), 10)},
		"aws:securetransport": {strconv.FormatBool(tls)}, "aws:requestedregion": {region}, "aws:principaltype": {principalType(p)},
	}
	if p.From != "" {
		c["aws:sourceip"] = []string{hostOf(p.From)}
	}
	if p.Kind == KindAnonymous || p.Kind == KindService || p.Kind == "" {
		return c
	}
	c["aws:principalarn"], c["aws:principalaccount"], c["aws:userid"] = []string{p.ARN}, []string{accountIn(p.ARN)}, []string{p.ARN}
	if role := roleOf(p.ARN); role != "" {
		c["aws:principalarn"] = []string{role}
	}
	if _, name, ok := strings.Cut(p.ARN, ":user/"); ok {
		c["aws:username"] = []string{name}
	}
	return c
}

func principalType(p Principal) string {
	switch p.Kind {
	case KindRoot:
		return "Account"
	case KindUser:
		return "User"
	case KindRole:
		return "AssumedRole"
	case KindService:
		return "Service"
	}
	return "Anonymous"
}

// hostOf is the address without its port.
func hostOf(addr string) string {
	i := strings.LastIndexByte(addr, ':')
	if i < 0 || strings.IndexByte(addr, ':') != i && !strings.HasPrefix(addr, "[") {
		return addr // no port, or a bare IPv6 address
	}
	return strings.Trim(addr[:i], "[]")
}
