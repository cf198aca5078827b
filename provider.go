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
	// worker serves the AWS endpoint as seen by one worker; nil closes the door.
	worker func(worker string, run *lambda.Runnable) http.Handler
	log    *slog.Logger
}

// Revision is store.Store's Runnable.
func (p *provider) Revision(ctx context.Context, d lambda.Digest) (*lambda.Runnable, error) {
	return p.store.Runnable(ctx, d)
}

// Tree unpacks a package once.
func (p *provider) Tree(ctx context.Context, sha256 string) error { return p.cache.Tree(ctx, sha256) }

// Credentials are none yet: a function's calls back to Kiln come with the Permissions issue.
func (p *provider) Credentials(context.Context, string, string) (runner.Credentials, error) {
	return runner.Credentials{}, nil
}

// ServeAWS serves one worker's own listener until it is closed.
func (p *provider) ServeAWS(l net.Listener, worker string, run *lambda.Runnable) {
	if p.worker == nil {
		_ = l.Close() // a refused connection is told from a slow one at once
		return
	}
	srv := &http.Server{Handler: p.worker(worker, run), ReadHeaderTimeout: 10 * time.Second,
		ErrorLog: slog.NewLogLogger(p.log.Handler(), slog.LevelDebug)}
	if err := srv.Serve(l); !errors.Is(err, net.ErrClosed) && !errors.Is(err, http.ErrServerClosed) {
		p.log.Debug("a worker's AWS endpoint ended", "worker", worker, "err", err)
	}
}
