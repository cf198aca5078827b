//go:build !linux

package process

import (
	"context"
	"errors"
	"log/slog"
	"os"

	"kiln/executor/runner"
	"kiln/executor/runtimes"
	"kiln/lambda"
)

// Driver runs nothing: this system has no sandbox that Kiln knows.
type Driver struct{}

var _ runner.Driver = (*Driver)(nil)

// ParentLink exists on Linux only.
type ParentLink struct{}

// Inherited gives nil: there is no parent.
func Inherited() *ParentLink { return nil }

// NeedsParent is false: there are no rights to separate.
func NeedsParent() bool { return false }

// Supervision is what the root parent starts, on Linux.
type Supervision struct {
	Args       []string
	Data, Code string
	Log        *slog.Logger
}

// RunAsServer is for Linux: elsewhere there is no parent.
func RunAsServer(string, []string, *os.File) (int, error) { return 1, errors.ErrUnsupported }

// Supervise is for Linux.
func Supervise(Supervision) (int, error) { return 1, errors.ErrUnsupported }

// SpawnerMain is for Linux.
func SpawnerMain([]string) int { return 2 }

// New gives a driver of rung D.
func New(context.Context, Options) (*Driver, error) { return &Driver{}, nil }

// Capabilities names the one thing that is missing.
func (*Driver) Capabilities() runner.Capabilities {
	return runner.Capabilities{Rung: runner.RungD, Missing: []lambda.Problem{{Field: "isolation", Key: "sandbox.needLinux"}}}
}

// AcceptRung changes nothing here.
func (*Driver) AcceptRung(runner.Rung) {}

// Start always refuses.
func (*Driver) Start(context.Context, runner.Spec) (runner.Sandbox, error) {
	return nil, lambda.E(lambda.Unavailable, "sandbox.none")
}

// Reap has nothing to do.
func (*Driver) Reap(context.Context) error { return nil }

// Runtimes is empty: nothing could run them.
func (*Driver) Runtimes(context.Context) ([]runtimes.Runtime, error) { return nil, nil }

// Close has nothing to do.
func (*Driver) Close(context.Context) error { return nil }
