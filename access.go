package main

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/google/uuid"

	"kiln/code"
	"kiln/executor/runner"
	"kiln/iam"
	"kiln/lambda"
	"kiln/server"
	"kiln/server/gateway"
	"kiln/server/lambdaapi"
	"kiln/server/sigv4"
)

// keyLife bounds a worker's temporary keys. They end with their worker, which revokes them, and with the server, whose memory holds
// them; a worker that is busy for longer than this would be refused, because workers are not recycled by age.
const keyLife = 30 * 24 * time.Hour

// linkLife is how long a download link works, as AWS's.
const linkLife = 10 * time.Minute

// access is who may do what, over every surface: keys, signatures, documents.
type access struct {
	keys      *sigv4.Temporary
	verifier  *sigv4.Verifier
	authority *iam.Authority
	links     *gateway.Links
}

func (h *house) openAccess() {
	a := &h.access
	a.keys = sigv4.NewTemporary(h.store)
	a.verifier = sigv4.New(sigv4.Options{Keys: a.keys, Now: time.Now})
	a.authority = iam.NewAuthority(h.store, h.config.Region, time.Now)
	a.links = gateway.NewLinks(h.gatewayURL(), h.keys.Derive("download links"))
}

// newAPI is the signed AWS endpoint.
func (h *house) newAPI() *lambdaapi.API {
	return lambdaapi.New(lambdaapi.Options{
		Store: h.store, Engine: h.engine, Verifier: h.access.verifier, KeyOwner: h.access.keys.Owner, Authority: h.access.authority, Refusals: h.store, ARNs: h.store.ARNs(),
		CodeURL:     func(sha string) string { return h.access.links.Code(sha, time.Now().Add(linkLife)) },
		FunctionURL: h.functionURL, CheckZip: code.Check, Changed: engine{h.engine, h.ahead}.Changed, PoliciesChanged: h.access.authority.Forget,
		Now: time.Now, Log: h.log, Remote: h.remote,
	})
}

// functionURL is the address of a function URL: <id>.lambda-url.<region>.<domain> on the gateway's port.
func (h *house) functionURL(id string) string {
	host := id + ".lambda-url." + h.config.Region + "." + h.config.GatewayDomain
	if _, port, err := net.SplitHostPort(h.gateway.Addr().String()); err == nil && port != "80" && port != "443" {
		host = net.JoinHostPort(host, port)
	}
	return h.scheme() + "://" + host + "/"
}

// remote is the client's address behind the trusted proxies.
func (h *house) remote(r *http.Request) string { return server.ClientIP(r, h.config.trustedProxyNets) }

// newGateway serves function URLs and download links.
func (h *house) newGateway() *gateway.Gateway {
	return gateway.New(gateway.Options{URLs: gatewayURLs{h}, Engine: h.engine, Packages: h.store, Links: h.access.links, Authorize: h.authorizeURL,
		Region: h.config.Region, Domain: h.config.GatewayDomain, NewID: uuid.NewString, Now: time.Now, Log: h.log, Remote: h.remote})
}

type gatewayURLs struct{ h *house }

// URLTarget finds the URL and the function that it calls.
func (g gatewayURLs) URLTarget(ctx context.Context, id string) (*gateway.Target, error) {
	u, err := g.h.store.URLByID(ctx, id)
	if err != nil {
		return nil, err
	}
	f, err := g.h.store.Function(ctx, u.Function)
	if err != nil {
		return nil, err
	}
	return &gateway.Target{URL: *u, FunctionID: f.ID, Function: f.Name, ARN: g.h.store.ARNs().Function(f.Name, u.Qualifier)}, nil
}

// authorizeURL lets a request call a function URL: with AuthType NONE whom the resource policy lets, with AWS_IAM who signed and may.
func (h *house) authorizeURL(r *http.Request, t *gateway.Target) (iam.Principal, error) {
	who := iam.Principal{Kind: iam.KindAnonymous, Name: "anonymous", From: h.remote(r)}
	if t.URL.AuthType == "AWS_IAM" {
		signer, err := h.signer(r)
		if err != nil {
			return who, err
		}
		who = signer
	}
	d, err := h.access.authority.Decide(r.Context(), iam.Request{Principal: who, Action: "lambda:InvokeFunctionUrl", Resource: t.ARN,
		Context: iam.Context{"lambda:functionurlauthtype": {t.URL.AuthType}, "aws:sourceip": {who.From}}})
	if err != nil {
		return who, err
	}
	if !d.Allowed {
		return who, lambda.E(lambda.Denied, "access.denied", "who", who.Name, "action", "lambda:InvokeFunctionUrl", "resource", t.ARN)
	}
	return who, nil
}

// signer verifies a request to the gateway. It has to read the body, and leaves it to be read again.
func (h *house) signer(r *http.Request) (iam.Principal, error) {
	c, err := h.access.verifier.Begin(r)
	if err == nil {
		err = c.Identity.In("lambda", h.config.Region)
	}
	if err == nil && h.access.keys.Owner(c.Identity.KeyID) != "" {
		err = errors.New("a worker's key outside its worker")
	}
	if err != nil {
		return iam.Principal{}, lambda.E(lambda.Unauthenticated, "signature.wrong").Because(err)
	}
	body, err := io.ReadAll(io.LimitReader(r.Body, lambda.MaxEvent+1))
	if err != nil {
		return iam.Principal{}, lambda.E(lambda.Unauthenticated, "signature.wrong").Because(err)
	}
	who, err := c.Finish(body)
	if err != nil {
		return iam.Principal{}, lambda.E(lambda.Unauthenticated, "signature.wrong").Because(err)
	}
	r.Body = io.NopCloser(io.MultiReader(bytes.NewReader(body), r.Body))
	who.Principal.From = h.remote(r)
	return who.Principal, nil
}

// workerCredentials issues the keys of an execution role to one worker.
func (h *house) workerCredentials(worker, roleARN string) runner.Credentials {
	name := roleARN[strings.LastIndexByte(roleARN, '/')+1:]
	session := worker[strings.LastIndexByte(worker, ']')+1:] // of 2026/11/28/[$LATEST]de9c…: the rest has characters that no session may have
	p := iam.Principal{Kind: iam.KindRole, ARN: "arn:aws:sts::" + h.config.AccountID + ":assumed-role/" + name + "/" + session, Name: name}
	k := h.access.keys.Issue(worker, p, time.Now().Add(keyLife))
	return runner.Credentials{AccessKeyID: k.ID, SecretAccessKey: k.Secret, SessionToken: k.Token}
}

// workerEndpoint is the AWS endpoint inside one worker's sandbox: it takes that worker's keys and no others.
func (h *house) workerEndpoint(worker string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { h.api.ForWorker(worker).ServeHTTP(w, r) })
}
