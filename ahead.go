package main

import (
	"context"
	"log/slog"

	"kiln/executor"
	"kiln/lambda"
)

// unpacker looks functions up that changed and unpacks their packages: their next call finds both done.
type unpacker struct {
	engine interface {
		Ahead(ctx context.Context, function string) (*lambda.Runnable, error)
	}
	tree  func(ctx context.Context, sha256 string) error
	names chan string
	log   *slog.Logger
}

const aheadBound = 256 // changed functions that wait

func newUnpacker(e *executor.Engine, tree func(context.Context, string) error, log *slog.Logger) *unpacker {
	return &unpacker{engine: e, tree: tree, names: make(chan string, aheadBound), log: log}
}

// tell asks for a function's packages. It never waits: when many functions change at once, the rest is unpacked when it is called.
func (u *unpacker) tell(function string) {
	if function == "" {
		return
	}
	select {
	case u.names <- function:
	default:
	}
}

// run unpacks until ctx ends.
func (u *unpacker) run(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case name := <-u.names:
			if err := u.unpack(ctx, name); err != nil && ctx.Err() == nil {
				u.log.Debug("unpack ahead", "function", name, "err", err) // the call that needs it says it
			}
		}
	}
}

func (u *unpacker) unpack(ctx context.Context, function string) error {
	r, err := u.engine.Ahead(ctx, function)
	if err != nil {
		return err
	}
	for _, c := range append([]lambda.Code{r.Code}, r.LayerCode...) {
		if err := u.tree(ctx, c.SHA256); err != nil {
			return err
		}
	}
	return nil
}

// engine is the executor's, which also has changed functions unpacked ahead.
type engine struct {
	*executor.Engine
	ahead *unpacker
}

// Changed follows a committed change.
func (e engine) Changed(function string) {
	e.Engine.Changed(function)
	e.ahead.tell(function)
}
