// Package lambdaapi is the AWS wire: the Lambda REST API, CloudWatch Logs and STS on one endpoint, told apart by the signature's
// service name and the target header. It turns them into the domain and back; rules and texts are AWS's.
package lambdaapi

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"net/http"
	"strings"
	"time"

	"golang.org/x/sync/semaphore"

	"kiln/iam"
	"kiln/lambda"
	"kiln/server/edge"
	"kiln/server/sigv4"
)

// Authority decides; iam.Authority has it.
type Authority interface {
	Decide(ctx context.Context, r iam.Request) (iam.Decision, error)
}

// Options says what an API needs.
type Options struct {
	Store     Store
	Engine    Engine
	Verifier  *sigv4.Verifier
	KeyOwner  func(keyID string) string // the worker that a key was issued to, "" for every other key; sigv4.Temporary.Owner
	Authority Authority
	Refusals  edge.Refusals
	ARNs      lambda.ARNs
	// CodeURL is a link from which a package can be downloaded for a while.
	CodeURL func(sha256 string) string
	// FunctionURL is the address of a function URL by its id.
	FunctionURL func(id string) string
	// CheckZip reports what is wrong with a package; code.Check.
	CheckZip func(zip []byte) error
	// Changed is told of every function whose code, configuration or target changed, after the commit. Engine.Changed.
	Changed func(name string)
	// PoliciesChanged is told after the commit of a changed resource policy. iam.Authority.Forget.
	PoliciesChanged func()
	Now             func() time.Time
	Log             *slog.Logger
	// Remote is the client's address behind trusted proxies; nil takes the connection's.
	Remote func(r *http.Request) string
}

// API answers AWS calls. It is safe for concurrent use.
type API struct {
	Options
	large     *semaphore.Weighted // bytes of large request bodies in memory
	ofWorkers *semaphore.Weighted // the same of workers' calls: hostile code must not take the room of deployments
}

const (
	largeBody  = 1 << 20   // bytes from which a body counts
	largeTotal = 300 << 20 // bytes of such bodies at once
	largeWork  = 150 << 20 // bytes of such bodies of workers at once

	bodyTime     = 10 * time.Minute // for a package over a slow line
	workBodyTime = time.Minute      // a worker is on this machine
)

// New makes the handler of signed calls.
func New(o Options) *API {
	if o.KeyOwner == nil {
		o.KeyOwner = func(id string) string { // without it no temporary key is taken anywhere
			if strings.HasPrefix(id, "ASIA") {
				return "nobody"
			}
			return ""
		}
	}
	if o.Remote == nil {
		o.Remote = func(r *http.Request) string { return r.RemoteAddr }
	}
	return &API{Options: o, large: semaphore.NewWeighted(largeTotal), ofWorkers: semaphore.NewWeighted(largeWork)}
}

// IsCall says whether a request is an AWS call: it carries a signature in its header.
func IsCall(r *http.Request) bool { return sigv4.IsSigned(r) }

// ForWorker is the API on a worker's own listener: it takes that worker's key and no other.
func (a *API) ForWorker(worker string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { a.serve(w, r, worker) })
}

// ServeHTTP answers one call on the console's listener, where workers' keys are worth nothing.
func (a *API) ServeHTTP(w http.ResponseWriter, r *http.Request) { a.serve(w, r, "") }

func (a *API) serve(w http.ResponseWriter, r *http.Request, worker string) {
	t := &tracked{ResponseWriter: w}
	c := &call{api: a, w: t, tracked: t, r: r, worker: worker, requestID: edge.NewRequestID()}
	w.Header()["X-Amzn-Requestid"] = []string{c.requestID}
	switch c.service = sigv4.Service(r); c.service {
	case "logs":
		c.fail(c.serveLogs(), writeJSONFailure)
	case "sts":
		c.fail(c.serveSTS(), writeQueryFailure)
	default:
		c.service = "lambda"
		c.fail(c.serveLambda(), (*failure).write)
	}
}

// fail writes an error in the service's own form.
func (c *call) fail(err error, write func(*failure, http.ResponseWriter)) {
	if err == nil {
		return
	}
	f := c.translate(err)
	if f.status >= http.StatusInternalServerError {
		c.api.Log.Error("api: "+c.name(), "request", c.requestID, "err", err)
	}
	write(f, c.w)
}

// identify reads the body and checks the signature over it.
func (c *call) identify() error {
	check, err := c.api.Verifier.Begin(c.r)
	if err != nil {
		return err
	}
	if err := c.readBody(); err != nil {
		return err
	}
	id, err := check.Finish(c.body)
	if err != nil {
		return err
	}
	regions := []string{c.api.ARNs.Region}
	if c.service == "sts" {
		regions = append(regions, "us-east-1") // of STS's global endpoint
	}
	if err := id.In(c.service, regions...); err != nil {
		return err
	}
	if c.api.KeyOwner(id.KeyID) != c.worker {
		return &sigv4.Error{Status: 403, Code: "UnrecognizedClientException", QueryCode: "InvalidClientTokenId", Message: "The security token included in the request is invalid."}
	}
	c.id = id
	c.who = id.Principal
	c.who.From = c.api.Remote(c.r)
	return nil
}

// authorize lets the caller through or refuses, which is kept for the audit.
func (c *call) authorize(action, resource string, keys iam.Context) error {
	if c.r.TLS != nil {
		secure := iam.Context{"aws:securetransport": {"true"}}
		maps.Copy(secure, keys)
		keys = secure
	}
	d, err := c.api.Authority.Decide(c.r.Context(), iam.Request{Principal: c.who, Action: action, Resource: resource, Context: keys})
	if err != nil {
		return err
	}
	if d.Allowed {
		return nil
	}
	e := lambda.AuditEntry{At: c.api.Now(), By: c.who.Name, ByARN: c.who.ARN, From: c.who.From, Action: action, Resource: resource, Denied: true}
	if err := c.api.Refusals.AuditRefusal(context.WithoutCancel(c.r.Context()), e); err != nil {
		c.api.Log.Error("refusal not audited", "err", err, "by", c.who.ARN, "action", action, "resource", resource)
	}
	return denied(refusalText(c.who, action, resource, d))
}

func refusalText(who iam.Principal, action, resource string, d iam.Decision) string {
	text := "User: " + who.ARN + " is not authorized to perform: " + action
	if resource != "*" {
		text += " on resource: " + resource
	}
	switch {
	case d.Reason == iam.ByDeny:
		return text + " with an explicit deny in an identity-based or resource-based policy"
	case d.Reason == iam.ByLimit:
		return text + " because no session policy allows the " + action + " action"
	}
	return text + " because no identity-based policy allows the " + action + " action"
}

// translate words any error as AWS does.
func (c *call) translate(err error) *failure {
	if f, ok := errors.AsType[*failure](err); ok {
		return f
	}
	if s, ok := errors.AsType[*sigv4.Error](err); ok {
		return &failure{status: s.Status, code: s.Code, message: s.Message, form: bareLower, query: s.QueryCode}
	}
	if e, ok := errors.AsType[*lambda.Error](err); ok {
		return c.domainFailure(e)
	}
	if errors.Is(err, context.Canceled) {
		return &failure{status: 499, code: "RequestAbortedException", message: "The client went away.", form: bareLower, cause: err}
	}
	return serviceFault(err)
}

// tracked knows whether an answer has begun.
type tracked struct {
	http.ResponseWriter
	begun bool
}

// WriteHeader notes that the answer begins.
func (t *tracked) WriteHeader(status int) {
	t.begun = true
	t.ResponseWriter.WriteHeader(status)
}

// Unwrap lets http.ResponseController reach Flush.
func (t *tracked) Unwrap() http.ResponseWriter { return t.ResponseWriter }

func (c *call) answered() bool { return c.tracked.begun }
