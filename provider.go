package main

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"time"

	"kiln/code"
	"kiln/executor/runner"
	"kiln/lambda"
	"kiln/store"
)

// provider gives the runner what it needs of a revision: the store's rows, the unpacked package, and the AWS endpoint of its worker.
type provider struct {
	store *store.Store
	cache *code.Cache
	// issue makes the keys of an execution role for one worker.
	issue  func(worker, roleARN string) runner.Credentials
	revoke func(worker string)
	// worker is the AWS endpoint as one worker sees it.
	worker func(worker string) http.Handler
	log    *slog.Logger
}

// Revision is store.Store's Runnable.
func (p *provider) Revision(ctx context.Context, d lambda.Digest) (*lambda.Runnable, error) {
	return p.store.Runnable(ctx, d)
}

// Tree unpacks a package once.
func (p *provider) Tree(ctx context.Context, sha256 string) error { return p.cache.Tree(ctx, sha256) }

// Credentials are temporary keys of the function's role that only its own worker's endpoint takes.
func (p *provider) Credentials(_ context.Context, worker, roleARN string) (runner.Credentials, error) {
	return p.issue(worker, roleARN), nil
}

// ServeAWS serves one worker's own listener until it is closed.
func (p *provider) ServeAWS(l net.Listener, worker string, _ *lambda.Runnable) {
	defer p.revoke(worker)
	srv := &http.Server{Handler: p.worker(worker), ReadHeaderTimeout: 10 * time.Second, IdleTimeout: 2 * time.Minute, MaxHeaderBytes: 64 << 10,
		ErrorLog: slog.NewLogLogger(p.log.Handler(), slog.LevelDebug)}
	if err := srv.Serve(&boundedListener{Listener: l}); !errors.Is(err, net.ErrClosed) && !errors.Is(err, http.ErrServerClosed) {
		p.log.Debug("a worker's AWS endpoint ended", "worker", worker, "err", err)
	}
}
