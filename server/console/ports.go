package console

import (
	"context"
	"time"

	"kiln/iam"
	"kiln/lambda"
)

// Store is what the console needs of the database; store.Store has it. Each file declares what its pages need.
type Store interface {
	shellStore
	homeStore
	functionStore
	createStore
	roleStore
	versionStore
	publishStore
	asyncStore
	layerStore
	urlStore
	settingsStore
	workspaceStore
	watchStore
}

// shellStore is what the frame of every page needs.
type shellStore interface {
	CountFunctions(ctx context.Context) (int, error)
	Function(ctx context.Context, name string) (*lambda.Function, error)
	Preferences(ctx context.Context, user int64) (map[string]string, error)
	SetPreference(ctx context.Context, user int64, name, value string) error
	MetricsByFunction(ctx context.Context, from, to time.Time) (map[int64]lambda.MetricPoint, error)
}

// Engine is what the console needs of the executor.
type Engine interface {
	Capacity() lambda.Capacity
	Running(function string) int // invocations of a function that run now
	Wake()                       // events became due
	workspaceEngine
}

// Runtime is one runtime that this machine can run.
type Runtime struct {
	Name    string // "nodejs22.x"
	Version string // "22.20.0"; "" for provided
	Path    string // of the interpreter; "" for provided
}

// Runtimes is what the console needs of executor/runtimes.
type Runtimes interface {
	Ready() []Runtime                         // newest of each family first
	Resolve(name string) (r Runtime, ok bool) // the one that runs functions of this runtime: itself or a near version
	Refresh(ctx context.Context)              // look again
}

// Installer installs runtimes on this machine.
type Installer interface {
	CanInstall(name string) bool
	// Install returns when the runtime is there; progress may be called from another goroutine and total may be 0.
	Install(ctx context.Context, name string, progress func(done, total int64)) error
}

// Sessions is what the console needs of the server's sessions.
type Sessions interface {
	End(ctx context.Context, by iam.Principal, user, session int64) error // 0 ends all of the user
	Changed(user int64)                                                   // the user's preferences changed
	Watch(user, session int64) (ended <-chan struct{}, release func())    // for sockets: closed when the session ends
}
