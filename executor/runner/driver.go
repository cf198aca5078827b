package runner

import (
	"context"
	"errors"
	"io"
	"net"
	"net/netip"
	"time"

	"kiln/lambda"
)

// Rung is a step of the sandbox ladder (SANDBOX.md §1): A is the strongest, D runs nothing.
type Rung string

// The rungs.
const (
	RungA Rung = "A"
	RungB Rung = "B"
	RungC Rung = "C"
	RungD Rung = "D"
)

// Capabilities is what a driver found at start. Reasons and Missing are message keys with parameters, for Settings › Runtimes.
type Capabilities struct {
	Rung     Rung
	Network  bool   // functions can reach the internet
	Cgroups  string // "v1", "hybrid", "v2" or ""
	Freezer  bool
	DiskTmp  bool // /tmp is on disk, not charged to the function's memory
	CPUQuota bool
	UserSlot bool             // one uid per sandbox
	Missing  []lambda.Problem // what keeps the machine from the next rung, and what to do
}

// Spec is all that a driver is told to make a sandbox: names, digests and numbers, never paths, uids, argv or mount options.
type Spec struct {
	ID          string // unique within the server's life: letters, digits, '-'
	Runtime     string // name in executor/runtimes: "nodejs22.x", "python3.11", "provided.al2023"
	MemoryMB    int    // limit at boot: the pool's memory class
	EphemeralMB int    // size of /tmp
	// Code and Layers are set for a cold start (provided runtimes, an exec wrapper, NODE_* in the environment):
	// the code is mounted before the runtime starts, with Env in its environment. Empty: a pre-booted sandbox.
	Code    string   // SHA-256 of the package, lower-case hex
	Layers  []string // the same of each layer, lowest first
	Env     []string // NAME=value, only with Code; ≤ 64 KiB together
	Network Network  // with Code
	// Wrapper is AWS_LAMBDA_EXEC_WRAPPER, a path inside the sandbox under /opt or /var/task; "" for none.
	Wrapper string
}

// HandOver turns a pre-booted sandbox into a function's.
type HandOver struct {
	Code        string // SHA-256 of the package, lower-case hex
	Layers      []string
	MemoryMB    int // the function's own limit, at most the Spec's
	EphemeralMB int
	Network     Network
}

// Network is what a function may reach where the driver has a network (Capabilities.Network): the internet, and single targets in private
// ranges that its owner opened. The zero value is the internet alone. A pre-booted sandbox reaches nothing.
type Network struct {
	Closed  bool     `json:"closed,omitempty"` // not the internet
	Targets []Target `json:"targets,omitempty"`
}

// Target is a TCP port on IPv4 addresses. Loopback, link-local and multicast addresses and Kiln's own are refused.
type Target struct {
	Prefix netip.Prefix `json:"prefix"`
	Port   uint16       `json:"port"`
}

// Exit says how a sandbox ended.
type Exit struct {
	Code         int    // exit status, −1 when a signal ended it
	Signal       string // "killed"; "" for none
	OutOfMemory  bool   // the memory limit ended the runtime or one of its processes
	PeakMemoryMB int
}

// Driver starts sandboxes. It is safe for concurrent use; package executortest holds every rule it must keep.
type Driver interface {
	Capabilities() Capabilities
	// Start returns once the runtime's process runs; cancelling ctx after that has no effect on it.
	Start(ctx context.Context, spec Spec) (Sandbox, error)
	// Reap ends whatever a dead server of the same data folder left behind: processes, cgroups, mounts, loop devices.
	Reap(ctx context.Context) error
}

// Sandbox is one box with one worker in it. The runner calls its methods under its own lock, Stop and Exited excepted.
type Sandbox interface {
	ID() string
	// Channel is Kiln's end of the socketpair that the bootstrap has as descriptor 3; the bootstrap's end is in blocking mode. nil for provided runtimes.
	Channel() net.Conn
	// Records is the read end of the pipe that the bootstrap has as descriptor 4: framed log records. nil for provided runtimes.
	// Records, Stdout and Stderr are pipes in non-blocking mode and have syscall.Conn (an *os.File does): the runner empties them before a run's END.
	Records() io.ReadCloser
	Stdout() io.ReadCloser
	Stderr() io.ReadCloser
	// RuntimeAPI listens on 127.0.0.1:9001 inside the sandbox, AWS on 127.0.0.1:9002. nil where the rung has none.
	RuntimeAPI() net.Listener
	AWS() net.Listener
	// PeakMemoryMB and MemoryMB read the cgroup's meters; 0 where there is none. Cheap: no call to the spawner.
	PeakMemoryMB() int
	MemoryMB() int
	// Exited is closed when the process and all its children are gone and every write end of its output is closed.
	Exited() <-chan struct{}
	// Exit is valid after Exited.
	Exit() Exit
	// Stop kills everything inside and waits until nothing remains (processes, cgroup, mounts, namespaces). Idempotent, callable after the exit and while starting.
	Stop(ctx context.Context) error
}

// PreBooter is a sandbox that can be booted before its function is known.
type PreBooter interface {
	HandOver(ctx context.Context, h HandOver) error
}

// Throttler limits a sandbox's share of the processor, in thousandths of one core; 0 lifts the limit.
// Boot and init run without; the runner sets it before the first invocation.
type Throttler interface {
	Throttle(milliCPU int) error
}

// Freezer stops and continues a sandbox. Both are cheap and do not call the spawner.
type Freezer interface {
	Freeze() error
	Thaw() error
}

// Located is a sandbox that sees its code elsewhere than at /var/task and /opt: one without a file system of its own.
type Located interface {
	Folders() (task, opt string)
}

// CPUMeter tells how much processor time a sandbox has used. Cheap: it is read every few milliseconds while calls wait.
type CPUMeter interface {
	CPU() time.Duration
}

// ErrNoEntrypoint is what Start's error wraps when the package of a provided runtime holds no program to start.
var ErrNoEntrypoint = errors.New("the package has no bootstrap")
