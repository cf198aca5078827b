package executortest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"kiln/executor/runner"
	"kiln/executor/runtimes"
)

// Processes is a runner.Driver that starts real interpreters as plain child processes: no isolation at all.
// Code is expected unpacked under Code/<sha256>; a single layer is used where it lies.
type Processes struct {
	Code     string        // folder of unpacked packages
	Boots    string        // folder that WriteBootstraps filled
	Runtimes *runtimes.Set // what Spec.Runtime names
}

// Capabilities claims rung A, so that nothing is refused in tests.
func (d *Processes) Capabilities() runner.Capabilities {
	return runner.Capabilities{Rung: runner.RungA, Network: true, Freezer: true}
}

// Reap has nothing to do: children end with their channel.
func (d *Processes) Reap(context.Context) error { return nil }

// child is one process.
type child struct {
	id       string
	cmd      *exec.Cmd
	channel  net.Conn
	api      net.Listener
	read     map[string]*os.File // Kiln's ends: "stdout", "stderr", "records"
	driver   *Processes
	exited   chan struct{}
	exit     runner.Exit
	stopOnce sync.Once

	mu   sync.Mutex
	task string
	opt  string
}

// Start keeps the contract of runner.Driver.
func (d *Processes) Start(_ context.Context, spec runner.Spec) (runner.Sandbox, error) {
	rt, _, err := d.Runtimes.Resolve(spec.Runtime)
	if err != nil {
		return nil, err
	}
	c := &child{id: spec.ID, driver: d, exited: make(chan struct{}), read: map[string]*os.File{}}
	argv, err := d.command(c, rt, spec)
	if err != nil {
		return nil, err
	}
	c.cmd = exec.Command(argv[0], argv[1:]...)
	c.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	c.cmd.Dir = "/"
	c.cmd.Env = append([]string{"PATH=/usr/local/bin:/usr/bin:/bin"}, spec.Env...)
	if spec.Code != "" {
		c.cmd.Dir = c.task
		c.cmd.Env = append(c.cmd.Env, "LAMBDA_TASK_ROOT="+c.task)
	}
	if rt.Family == runtimes.Provided {
		if c.api, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
			return nil, fmt.Errorf("listen for the Runtime API: %w", err)
		}
		c.cmd.Env = append(c.cmd.Env, "AWS_LAMBDA_RUNTIME_API="+c.api.Addr().String())
	}
	if err := c.start(rt.Family != runtimes.Provided); err != nil {
		return nil, err
	}
	return c, nil
}

func (d *Processes) command(c *child, rt runtimes.Runtime, spec runner.Spec) ([]string, error) {
	if spec.Code != "" {
		c.place(spec.Code, spec.Layers)
	}
	argv := rt.Argv()
	for i, a := range argv {
		argv[i] = strings.Replace(strings.Replace(a, "/var/runtime", d.Boots, 1), "/var/task", c.task, 1)
	}
	if rt.Family == runtimes.Provided {
		if info, err := os.Stat(argv[0]); err != nil || info.Mode()&0o111 == 0 {
			return nil, fmt.Errorf("%s: %w", argv[0], runner.ErrNoEntrypoint)
		}
	}
	if spec.Wrapper != "" {
		argv = append([]string{strings.Replace(spec.Wrapper, "/var/task", c.task, 1)}, argv...)
	}
	return argv, nil
}

func (c *child) place(code string, layers []string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.task, c.opt = filepath.Join(c.driver.Code, code), "/nonexistent"
	if len(layers) > 0 {
		c.opt = filepath.Join(c.driver.Code, layers[len(layers)-1])
	}
}

// start opens the pipes and the channel and starts the command. The child's ends are closed here once it runs.
func (c *child) start(withChannel bool) error {
	var theirs []*os.File
	defer func() {
		for _, f := range theirs {
			f.Close()
		}
	}()
	pipe := func(name string) (*os.File, error) {
		r, w, err := os.Pipe()
		if err != nil {
			return nil, fmt.Errorf("open a pipe: %w", err)
		}
		c.read[name] = r
		theirs = append(theirs, w)
		return w, nil
	}
	var err, err2, err3 error
	c.cmd.Stdout, err = pipe("stdout")
	c.cmd.Stderr, err2 = pipe("stderr")
	if withChannel {
		var far, records *os.File
		c.channel, far, err3 = socketPair()
		if err3 == nil {
			theirs = append(theirs, far)
			records, err3 = pipe("records")
			c.cmd.ExtraFiles = []*os.File{far, records}
		}
	}
	if err := errors.Join(err, err2, err3); err != nil {
		return err
	}
	if err := c.cmd.Start(); err != nil {
		return fmt.Errorf("start %s: %w", c.cmd.Path, err)
	}
	go c.wait()
	return nil
}

// socketPair gives Kiln's end and the worker's end, which stays in blocking mode.
func socketPair() (net.Conn, *os.File, error) {
	syscall.ForkLock.RLock() // not every system can make them close-on-exec at once
	fds, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM, 0)
	if err == nil {
		syscall.CloseOnExec(fds[0])
		syscall.CloseOnExec(fds[1])
	}
	syscall.ForkLock.RUnlock()
	if err != nil {
		return nil, nil, fmt.Errorf("make a socket pair: %w", err)
	}
	near := os.NewFile(uintptr(fds[0]), "channel")
	defer near.Close()
	conn, err := net.FileConn(near)
	if err != nil {
		return nil, nil, fmt.Errorf("open the channel: %w", err)
	}
	return conn, os.NewFile(uintptr(fds[1]), "channel"), nil
}

func (c *child) wait() {
	err := c.cmd.Wait()
	_ = syscall.Kill(-c.cmd.Process.Pid, syscall.SIGKILL) // its children; there may be none
	c.exit = runner.Exit{Code: c.cmd.ProcessState.ExitCode()}
	if s, ok := c.cmd.ProcessState.Sys().(syscall.WaitStatus); ok && err != nil && s.Signaled() {
		c.exit.Signal = s.Signal().String()
	}
	if u, ok := c.cmd.ProcessState.SysUsage().(*syscall.Rusage); ok {
		c.exit.PeakMemoryMB = int(u.Maxrss / 1024)
	}
	close(c.exited)
}

func (c *child) ID() string                  { return c.id }
func (c *child) Channel() net.Conn           { return c.channel }
func (c *child) Records() io.ReadCloser      { return c.file("records") }
func (c *child) Stdout() io.ReadCloser       { return c.file("stdout") }
func (c *child) Stderr() io.ReadCloser       { return c.file("stderr") }
func (c *child) RuntimeAPI() net.Listener    { return c.api }
func (c *child) AWS() net.Listener           { return nil }
func (c *child) Exited() <-chan struct{}     { return c.exited }
func (c *child) Exit() runner.Exit           { return c.exit }
func (c *child) Throttle(milliCPU int) error { return nil }
func (c *child) Freeze() error               { return syscall.Kill(-c.cmd.Process.Pid, syscall.SIGSTOP) }
func (c *child) Thaw() error                 { return syscall.Kill(-c.cmd.Process.Pid, syscall.SIGCONT) }
func (c *child) PeakMemoryMB() int           { return c.status("VmHWM:") }
func (c *child) MemoryMB() int               { return c.status("VmRSS:") }

func (c *child) file(name string) io.ReadCloser {
	if f := c.read[name]; f != nil {
		return f
	}
	return nil
}

// HandOver notes where the code lies.
func (c *child) HandOver(_ context.Context, h runner.HandOver) error {
	c.place(h.Code, h.Layers)
	return nil
}

// Folders says where the process sees its code: nothing is mounted.
func (c *child) Folders() (task, opt string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.task, c.opt
}

// CPU is the processor time of the main thread.
func (c *child) CPU() time.Duration {
	b, err := os.ReadFile("/proc/" + strconv.Itoa(c.cmd.Process.Pid) + "/schedstat")
	if err != nil {
		return 0
	}
	first, _, _ := strings.Cut(string(b), " ")
	ns, _ := strconv.ParseInt(first, 10, 64) // 0 when it cannot be read
	return time.Duration(ns)
}

func (c *child) status(field string) int {
	b, _ := os.ReadFile("/proc/" + strconv.Itoa(c.cmd.Process.Pid) + "/status") // gone: 0
	for line := range strings.Lines(string(b)) {
		if rest, ok := strings.CutPrefix(line, field); ok {
			kb, _ := strconv.Atoi(strings.TrimSuffix(strings.TrimSpace(rest), " kB"))
			return kb / 1024
		}
	}
	return 0
}

// Stop keeps the contract of runner.Sandbox.
func (c *child) Stop(ctx context.Context) error {
	c.stopOnce.Do(func() {
		_ = syscall.Kill(-c.cmd.Process.Pid, syscall.SIGKILL) // gone already is what is wanted
		if c.api != nil {
			c.api.Close()
		}
	})
	select {
	case <-c.exited:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
