package process

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strconv"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"kiln/executor/runner"
	"kiln/executor/runtimes"
)

// bootTimeout bounds the time from the clone to the runtime's first instruction.
const bootTimeout = 20 * time.Second

// box is one sandbox as the spawner sees it.
type box struct {
	id   uint64
	slot int
	uid  int

	mu sync.Mutex
	embryo
	mntns    int  // −1 once it belongs to a function
	stopping bool // a kill was asked for

	memoryMB int
	tmpMB    int
	oomMB    int // without a cgroup: the limit that rlimits hold
}

// kill ends everything inside, frozen or not. It may come at any time.
func (b *box) kill() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.stopping && b.cg != nil && b.pid != 0 {
		go b.insist()
	}
	b.stopping = true
	b.killLocked()
}

// insist kills again until the box is gone: the server may have frozen it after the first time, and a frozen process does not die.
func (b *box) insist() {
	for {
		time.Sleep(100 * time.Millisecond)
		b.mu.Lock()
		gone := b.pid == 0
		b.killLocked()
		b.mu.Unlock()
		if gone {
			return
		}
	}
}

func (b *box) killLocked() {
	if b.pid == 0 {
		return
	}
	_ = unix.PidfdSendSignal(b.pidfd, unix.SIGKILL, nil, 0) // it may have ended by itself
	if b.cg != nil {
		thaw(b.cg.paths)
	}
}

// pipes are the descriptors of one box: ours go to the server, theirs to the box.
type pipes struct {
	ours   map[byte]int
	theirs []int // stdout, stderr, channel, records, status
	status *wire
}

func newPipes() (*pipes, error) {
	p := &pipes{ours: map[byte]int{}}
	for _, letter := range []byte{fdStdout, fdStderr} {
		if err := p.pipe(letter); err != nil {
			return nil, errors.Join(err, p.close())
		}
	}
	channel, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, errors.Join(err, p.close())
	}
	p.ours[fdChannel] = channel[0]
	p.theirs = append(p.theirs, channel[1])
	if err := p.pipe(fdRecords); err != nil {
		return nil, errors.Join(err, p.close())
	}
	a, b, err := socketpair(unix.SOCK_SEQPACKET)
	if err != nil {
		return nil, errors.Join(err, p.close())
	}
	defer b.Close()
	theirs, err := unix.FcntlInt(b.Fd(), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return nil, errors.Join(err, a.Close(), p.close())
	}
	p.theirs = append(p.theirs, theirs)
	p.status, err = newWire(a)
	if err != nil {
		return nil, errors.Join(err, p.close())
	}
	return p, nil
}

func (p *pipes) pipe(letter byte) error {
	var fds [2]int
	if err := unix.Pipe2(fds[:], unix.O_CLOEXEC); err != nil {
		return os.NewSyscallError("pipe2", err)
	}
	p.ours[letter] = fds[0]
	p.theirs = append(p.theirs, fds[1])
	return nil
}

func (p *pipes) closeTheirs() {
	closeFds(p.theirs)
	p.theirs = nil
}

// drop closes what the server does not get.
func (p *pipes) drop(letters ...byte) {
	for _, l := range letters {
		unix.Close(p.ours[l])
		delete(p.ours, l)
	}
}

func (p *pipes) close() error {
	p.closeTheirs()
	for _, fd := range p.ours {
		if fd >= 0 {
			unix.Close(fd)
		}
	}
	if p.status != nil {
		p.status.close()
	}
	return nil
}

var errStopped = errors.New("stopped while starting")

// boot talks with the first program until the runtime runs. On an error the box is dead or dying; the caller waits for its end.
func (s *spawner) boot(b *box, p *pipes, conf *boxConf, plan *mountPlan) error {
	if err := p.status.c.SetDeadline(time.Now().Add(bootTimeout)); err != nil {
		return err
	}
	if err := p.status.sendJSON(conf, plan.fds...); err != nil {
		return fmt.Errorf("configure the box: %w", err)
	}
	st, fds, err := readStatus(p.status)
	if err != nil {
		return err
	}
	if st == nil || !st.Ready || len(fds) < 2 {
		closeFds(fds)
		return errors.New("the box is not ready")
	}
	for i, letter := range []byte{fdAPI, fdAWS, fdDNS, fdDNSTCP}[:min(4, len(fds))] {
		p.ours[letter] = fds[i]
	}
	if b.mntns, err = unix.Open("/proc/"+strconv.Itoa(b.pid)+"/ns/mnt", unix.O_RDONLY|unix.O_CLOEXEC, 0); err != nil {
		return fmt.Errorf("open the box's mount namespace: %w", err)
	}
	if err := p.status.send([]byte("go")); err != nil {
		return fmt.Errorf("let the box go: %w", err)
	}
	if st, fds, err := readStatus(p.status); err != nil || st != nil {
		closeFds(fds)
		return errors.Join(err, errors.New("the box did not start its runtime"))
	}
	return nil
}

// readStatus gives nil and no error at the end of the socket.
func readStatus(w *wire) (*status, []int, error) {
	buf := make([]byte, 8<<10)
	n, fds, err := w.recv(buf, 4)
	if isEOF(err) {
		return nil, nil, nil
	}
	if err != nil {
		return nil, nil, fmt.Errorf("the box's first program: %w", err)
	}
	st := &status{}
	if err := json.Unmarshal(buf[:n], st); err != nil {
		closeFds(fds)
		return nil, nil, fmt.Errorf("the box's first program: %w", err)
	}
	if st.Error != "" {
		closeFds(fds)
		if st.Exec {
			return nil, nil, execError{errors.New(st.Error)}
		}
		return nil, nil, fmt.Errorf("box: %s", st.Error)
	}
	return st, fds, nil
}

// wait returns when the first process has ended, which ends all others of its pid namespace before.
// It takes no thread: the runtime poller watches the pidfd.
func (b *box) wait() (unix.WaitStatus, unix.Rusage, error) {
	var ws unix.WaitStatus
	var usage unix.Rusage
	fd, err := unix.FcntlInt(uintptr(b.pidfd), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return ws, usage, err
	}
	if err := unix.SetNonblock(fd, true); err != nil {
		return ws, usage, errors.Join(err, unix.Close(fd))
	}
	f := os.NewFile(uintptr(fd), "pidfd")
	defer f.Close()
	raw, err := f.SyscallConn()
	if err != nil {
		return ws, usage, err
	}
	var waitErr error
	err = raw.Read(func(uintptr) bool {
		for {
			pid, err := unix.Wait4(b.pid, &ws, unix.WNOHANG, &usage)
			if errors.Is(err, unix.EINTR) {
				continue
			}
			waitErr = err
			return pid != 0 || err != nil
		}
	})
	return ws, usage, errors.Join(err, waitErr)
}

// bury waits for the box's end and removes what was its own.
func (s *spawner) bury(b *box) *runner.Exit {
	ws, usage, err := b.wait()
	if err != nil {
		s.log.Error("wait for a box", "box", b.name, "err", err)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.pid = 0
	unix.Close(b.pidfd)
	if b.mntns >= 0 {
		unix.Close(b.mntns)
		b.mntns = -1
	}
	exit := b.exit(ws, usage)
	if b.link >= 0 {
		s.net.disconnect(b.link, b.name)
	}
	if b.cg != nil {
		if err := b.cg.destroy(); err != nil {
			s.log.Error("a box's cgroup stays", "box", b.name, "err", err)
		}
	}
	s.unnote(b.name)
	return exit
}

func (b *box) exit(ws unix.WaitStatus, usage unix.Rusage) *runner.Exit {
	e := &runner.Exit{Code: ws.ExitStatus()}
	if ws.Signaled() {
		e.Code, e.Signal = -1, signalName(ws.Signal())
	}
	if b.cg != nil {
		e.OutOfMemory, e.PeakMemoryMB = b.cg.oomKilled(), b.cg.peakMB()
		return e
	}
	// Without a cgroup an allocation fails instead: runtimes abort, close to the limit.
	e.PeakMemoryMB = int(usage.Maxrss >> 10)
	e.OutOfMemory = !b.stopping && (ws.Signaled() || ws.ExitStatus() != 0) && e.PeakMemoryMB >= b.oomMB*9/10
	return e
}

func signalName(sig syscall.Signal) string {
	switch sig {
	case unix.SIGKILL:
		return "killed"
	case unix.SIGSEGV:
		return "segmentation fault"
	case unix.SIGABRT:
		return "aborted"
	}
	return sig.String()
}

// argv is the runtime's command, behind the function's own wrapper when it has one.
func argv(rt runtimes.Runtime, wrapper string) []string {
	if wrapper == "" {
		return rt.Argv()
	}
	return append([]string{wrapper}, rt.Argv()...)
}
