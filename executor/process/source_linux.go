package process

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"kiln/executor/runner"
	"kiln/lambda"
)

// linkVariable names the descriptor of the parent's link in the server's environment.
const linkVariable = "KILN_PARENT_FD"

// ParentLink is the server's end of the socket over which its parent passes the spawner's sockets.
type ParentLink struct{ f *os.File }

// Inherited gives the link when this process was started by Supervise, else nil. Call it once, early: it removes the variable.
func Inherited() *ParentLink {
	fd, err := strconv.Atoi(os.Getenv(linkVariable))
	os.Unsetenv(linkVariable)
	if err != nil || fd < 3 {
		return nil
	}
	unix.CloseOnExec(fd)
	return &ParentLink{f: os.NewFile(uintptr(fd), "parent")}
}

// source gives the driver one spawner after another: the parent's, or one that it starts itself.
type source struct {
	opts Options
	link *wire
	rung runner.Rung // of our own spawner
	own  *exec.Cmd
	gone chan struct{} // closed when our own spawner was reaped
}

func newSource(o Options) *source {
	s := &source{opts: o, rung: runner.RungB}
	if o.Link != nil {
		w, err := newWire(o.Link.f)
		if err == nil {
			s.link = w
			return s
		}
		o.Log.Error("the parent's link cannot be used", "err", err)
	}
	if os.Geteuid() == 0 {
		s.rung = runner.RungA
	}
	return s
}

// next waits for a spawner and its greeting. Without any sandbox on this machine it gives no wire, rung D and what is missing.
func (s *source) next(ctx context.Context) (*wire, runner.Capabilities, error) {
	if s.link != nil {
		w, caps, err := s.fromParent(ctx)
		if err != nil || caps.Rung != runner.RungD {
			return w, caps, err
		}
		w.close()
		s.link.close()
		s.link = nil
		return s.fallBack(ctx, caps)
	}
	w, caps, err := s.start(ctx)
	if err == nil && caps.Rung != runner.RungD {
		return w, caps, nil
	}
	if err != nil {
		caps.Missing = append(caps.Missing, cannot(err))
	} else {
		w.close()
	}
	if s.rung == runner.RungA && os.Geteuid() == 0 {
		return s.fallBack(ctx, caps)
	}
	caps.Rung = runner.RungD
	return nil, caps, nil
}

func cannot(err error) lambda.Problem {
	return lambda.Problem{Field: "isolation", Key: "sandbox.cannot", Params: lambda.P("detail", err.Error())}
}

// fallBack tries rung B after rung A was not possible; above is what kept it from that.
func (s *source) fallBack(ctx context.Context, above runner.Capabilities) (*wire, runner.Capabilities, error) {
	s.close()
	s.rung = runner.RungB
	w, caps, err := s.start(ctx)
	caps.Missing = append(caps.Missing, above.Missing...)
	if err == nil && caps.Rung != runner.RungD {
		return w, caps, nil
	}
	if err == nil {
		w.close()
	} else {
		caps.Missing = append(caps.Missing, cannot(err))
	}
	caps.Rung = runner.RungD
	return nil, caps, ctx.Err()
}

func (s *source) fromParent(ctx context.Context) (*wire, runner.Capabilities, error) {
	stop := context.AfterFunc(ctx, func() { _ = s.link.c.SetReadDeadline(time.Now()) })
	defer stop()
	_, fds, err := s.link.recv(make([]byte, 16), 1)
	if err == nil && len(fds) != 1 {
		err = errors.New("the parent sent no socket")
	}
	if err != nil {
		closeFds(fds)
		return nil, runner.Capabilities{Rung: runner.RungD}, fmt.Errorf("wait for the parent's spawner: %w", err)
	}
	return greet(os.NewFile(uintptr(fds[0]), "spawner"))
}

// greet waits for a spawner's hello, which comes after its probing.
func greet(f *os.File) (*wire, runner.Capabilities, error) {
	none := runner.Capabilities{Rung: runner.RungD}
	w, err := newWire(f)
	if err != nil {
		return nil, none, err
	}
	buf := make([]byte, 64<<10)
	err = w.c.SetReadDeadline(time.Now().Add(helloTimeout))
	var r reply
	if err == nil {
		var n int
		if n, _, err = w.recv(buf, 0); err == nil {
			err = json.Unmarshal(buf[:n], &r)
		}
	}
	if err == nil && r.Hello == nil {
		err = errors.New("no greeting")
	}
	if err = errors.Join(err, w.c.SetReadDeadline(time.Time{})); err != nil {
		w.close()
		return nil, none, fmt.Errorf("the spawner's greeting: %w", err)
	}
	return w, *r.Hello, nil
}

// start starts a spawner of our own.
func (s *source) start(ctx context.Context) (*wire, runner.Capabilities, error) {
	s.close()
	none := runner.Capabilities{Rung: runner.RungD}
	if ctx.Err() != nil {
		return nil, none, ctx.Err()
	}
	cmd, ours, err := spawnerCommand(s.opts.Data, s.opts.Code, s.rung)
	if err != nil {
		return nil, none, err
	}
	if err := cmd.Start(); err != nil {
		return nil, none, errors.Join(fmt.Errorf("start the spawner: %w", err), ours.Close(), cmd.ExtraFiles[0].Close())
	}
	cmd.ExtraFiles[0].Close()
	s.own, s.gone = cmd, make(chan struct{})
	go func() {
		defer close(s.gone)
		if err := cmd.Wait(); err != nil {
			s.opts.Log.Error("the spawner ended", "err", err)
		}
	}()
	return greet(ours)
}

// close waits for our own spawner, whose socket is closed already, and ends it when it does not end.
func (s *source) close() {
	if s.own == nil {
		return
	}
	t := time.NewTimer(10 * time.Second)
	defer t.Stop()
	select {
	case <-s.gone:
	case <-t.C:
		_ = s.own.Process.Kill()
		<-s.gone
	}
	s.own = nil
}

// spawnerCommand is the command of a spawner; ours is our end of its socket. On rung B it enters a user and a mount namespace.
func spawnerCommand(data, code string, rung runner.Rung) (cmd *exec.Cmd, ours *os.File, err error) {
	ours, theirs, err := socketpair(unix.SOCK_SEQPACKET)
	if err != nil {
		return nil, nil, err
	}
	if data, err = filepath.Abs(data); err != nil {
		return nil, nil, errors.Join(err, ours.Close(), theirs.Close())
	}
	if code, err = filepath.Abs(code); err != nil {
		return nil, nil, errors.Join(err, ours.Close(), theirs.Close())
	}
	cmd = exec.Command("/proc/self/exe", "spawner", "-rung", string(rung), "-data", data, "-code", code, "-state", stateFolder(data, rung))
	cmd.Env = []string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME=" + os.Getenv("HOME")}
	cmd.Dir = "/"
	cmd.Stderr = os.Stderr
	cmd.ExtraFiles = []*os.File{theirs}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // the terminal's signals are not for it
	if rung == runner.RungB {
		cmd.SysProcAttr.Cloneflags = syscall.CLONE_NEWUSER | syscall.CLONE_NEWNS
		cmd.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Geteuid(), Size: 1}}
		cmd.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getegid(), Size: 1}}
	}
	return cmd, ours, nil
}

// stateFolder is out of the server's reach on rung A: the server owns the data folder.
func stateFolder(data string, rung runner.Rung) string {
	if rung == runner.RungB {
		return filepath.Join(data, "sandbox")
	}
	h := fnv.New64a()
	_, _ = io.WriteString(h, data)
	return fmt.Sprintf("/run/kiln/%016x", h.Sum64())
}
