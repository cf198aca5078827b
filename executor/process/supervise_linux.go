package process

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"os/signal"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"kiln/executor/runner"
)

// Supervision is what the root parent starts.
type Supervision struct {
	Args       []string // the server's own, for example "serve"
	Data, Code string   // as in Options
	Log        *slog.Logger
}

// NeedsParent says whether the server must be started through Supervise: it is root and was not started by it.
func NeedsParent() bool { return os.Geteuid() == 0 && os.Getenv(linkVariable) == "" }

// Supervise is the root parent's whole life: it starts the spawner as root and the server (this program again, with Args) as the
// unprivileged user, starts a new spawner when one dies, forwards SIGTERM and SIGINT as SIGTERM, and on a second one ends all at once.
// It returns the server's exit status.
func Supervise(s Supervision) (int, error) {
	who, err := serverUser(s.Data)
	if err != nil {
		return 1, err
	}
	return superviseAs(s, who)
}

func superviseAs(s Supervision, who *account) (int, error) {
	if s.Log == nil {
		s.Log = slog.Default()
	}
	if s.Code == "" {
		s.Code = filepath.Join(s.Data, "code")
	}
	if err := prepareData(s.Data, who); err != nil {
		return 1, err
	}
	p := &parent{s: s, children: newThread(), spawnerGone: make(chan struct{})}
	return p.run(who)
}

type parent struct {
	s        Supervision
	children *thread // what it starts dies or is told when this thread ends: never before the process
	link     *wire

	mu          sync.Mutex
	spawner     *os.Process
	stopping    bool
	spawnerGone chan struct{}
}

func (p *parent) run(who *account) (int, error) {
	signals := make(chan os.Signal, 4)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP)
	defer signal.Stop(signals)
	ours, theirs, err := socketpair(unix.SOCK_SEQPACKET)
	if err != nil {
		return 1, err
	}
	if p.link, err = newWire(ours); err != nil {
		return 1, err
	}
	defer p.link.close()
	go p.keepSpawner()
	server := p.serverCommand(who, theirs)
	if err := p.children.do(server.Start); err != nil {
		theirs.Close()
		p.stopSpawner()
		return 1, fmt.Errorf("start the server as %s: %w", who.name, err)
	}
	theirs.Close()
	code := p.watch(server, signals)
	p.stopSpawner()
	return code, nil
}

func (p *parent) serverCommand(who *account, link *os.File) *exec.Cmd {
	cmd := exec.Command("/proc/self/exe", p.s.Args...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	for _, kv := range os.Environ() {
		name, _, _ := strings.Cut(kv, "=")
		if name != "HOME" && name != "USER" && name != "LOGNAME" {
			cmd.Env = append(cmd.Env, kv)
		}
	}
	cmd.Env = append(cmd.Env, "HOME="+p.s.Data, "USER="+who.name, "LOGNAME="+who.name, linkVariable+"=3")
	cmd.ExtraFiles = []*os.File{link}
	// Its own process group: the terminal's ^C must reach it once, through this process.
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: who.uid, Gid: who.gid}, Pdeathsig: syscall.SIGTERM, Setpgid: true}
	return cmd
}

// watch forwards signals until the server ends.
func (p *parent) watch(server *exec.Cmd, signals <-chan os.Signal) int {
	ended := make(chan error, 1)
	go func() { ended <- server.Wait() }()
	for asked := 0; ; {
		select {
		case err := <-ended:
			return exitStatus(err)
		case sig := <-signals:
			if sig == syscall.SIGHUP {
				continue
			}
			if asked++; asked == 1 {
				_ = server.Process.Signal(syscall.SIGTERM) // it may have ended by itself
			} else {
				_ = server.Process.Kill()
			}
		}
	}
}

func exitStatus(err error) int {
	exit, ok := errors.AsType[*exec.ExitError](err)
	if !ok {
		if err != nil {
			return 1
		}
		return 0
	}
	if ws, ok := exit.Sys().(syscall.WaitStatus); ok && ws.Signaled() {
		return 128 + int(ws.Signal())
	}
	return exit.ExitCode()
}

// keepSpawner starts a spawner, passes its socket to the server, and does so again whenever one dies.
// A spawner that ended well was left by the server: no other is wanted.
func (p *parent) keepSpawner() {
	defer close(p.spawnerGone)
	for wait := 100 * time.Millisecond; ; wait = min(2*wait, 5*time.Second) {
		began := time.Now()
		err := p.runSpawner()
		if err == nil || p.stopped() {
			return
		}
		p.s.Log.Error("the spawner ended; starting another", "err", err)
		if time.Since(began) > time.Minute {
			wait = 100 * time.Millisecond
		}
		time.Sleep(wait)
	}
}

func (p *parent) runSpawner() error {
	cmd, ours, err := spawnerCommand(p.s.Data, p.s.Code, runner.RungA)
	if err != nil {
		return err
	}
	defer ours.Close()
	err = p.children.do(cmd.Start)
	cmd.ExtraFiles[0].Close()
	if err != nil {
		return fmt.Errorf("start the spawner: %w", err)
	}
	p.mu.Lock()
	p.spawner = cmd.Process
	p.mu.Unlock()
	if err := p.link.send([]byte("spawner"), int(ours.Fd())); err != nil {
		p.s.Log.Error("pass the spawner's socket to the server", "err", err)
	}
	ours.Close()
	return cmd.Wait()
}

func (p *parent) stopped() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.stopping
}

// stopSpawner waits for the spawner, which ends with the server's socket, and ends it when it does not.
func (p *parent) stopSpawner() {
	p.mu.Lock()
	p.stopping = true
	process := p.spawner
	p.mu.Unlock()
	t := time.NewTimer(10 * time.Second)
	defer t.Stop()
	select {
	case <-p.spawnerGone:
	case <-t.C:
		if process != nil {
			_ = process.Kill()
		}
		<-p.spawnerGone
	}
}

// account is the unprivileged user of the server.
type account struct {
	name     string
	uid, gid uint32
}

// serverUser is kiln, made when it is missing and can be, else postgres. Never nobody: other services share that one.
func serverUser(data string) (*account, error) {
	a, err := lookupAccount("kiln")
	if err == nil {
		return a, nil
	}
	if err := makeUser(data); err == nil {
		if a, err := lookupAccount("kiln"); err == nil {
			return a, nil
		}
	}
	if a, err := lookupAccount("postgres"); err == nil {
		return a, nil
	}
	return nil, errors.New("there is no user kiln, and it could not be made: run `useradd --system kiln` and start again")
}

func makeUser(data string) error {
	if path, err := exec.LookPath("useradd"); err == nil {
		return exec.Command(path, "--system", "--user-group", "--home-dir", data, "--no-create-home", "--shell", "/usr/sbin/nologin", "kiln").Run()
	}
	path, err := exec.LookPath("adduser") // busybox
	if err != nil {
		return err
	}
	return exec.Command(path, "-S", "-D", "-H", "-h", data, "-s", "/sbin/nologin", "kiln").Run()
}

func lookupAccount(name string) (*account, error) {
	u, err := user.Lookup(name)
	if err != nil {
		return nil, err
	}
	uid, err1 := strconv.ParseUint(u.Uid, 10, 32)
	gid, err2 := strconv.ParseUint(u.Gid, 10, 32)
	if err := errors.Join(err1, err2); err != nil || uid == 0 {
		return nil, fmt.Errorf("user %s has no usable uid: %w", name, errors.Join(err, errors.ErrUnsupported))
	}
	return &account{name: name, uid: uint32(uid), gid: uint32(gid)}, nil
}

// RunAsServer runs this program again with args as the unprivileged user, for commands that work on the data folder while no server runs:
// what they write belongs to the server from the start. It returns the exit status.
func RunAsServer(data string, args []string, stdin *os.File) (int, error) {
	who, err := serverUser(data)
	if err != nil {
		return 1, err
	}
	if err := prepareData(data, who); err != nil {
		return 1, err
	}
	cmd := exec.Command("/proc/self/exe", args...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = stdin, os.Stdout, os.Stderr
	cmd.Env = append(os.Environ(), "HOME="+data, "USER="+who.name, "LOGNAME="+who.name)
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: who.uid, Gid: who.gid}}
	return exitStatus(cmd.Run()), nil
}

// prepareData makes the data folder the server's. A folder that has content of another owner is not touched.
func prepareData(dir string, who *account) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("make the data folder: %w", err)
	}
	info, err := os.Stat(dir)
	if err != nil {
		return fmt.Errorf("the data folder: %w", err)
	}
	if st, ok := info.Sys().(*syscall.Stat_t); ok && st.Uid != who.uid {
		entries, err := os.ReadDir(dir)
		if err != nil {
			return fmt.Errorf("read the data folder: %w", err)
		}
		if len(entries) > 0 {
			return fmt.Errorf("the data folder %s does not belong to %s: run `chown -R %s: %s` and start again", dir, who.name, who.name, dir)
		}
		if err := os.Chown(dir, int(who.uid), int(who.gid)); err != nil {
			return fmt.Errorf("give the data folder to %s: %w", who.name, err)
		}
	}
	return reachable(filepath.Dir(dir), who)
}

// reachable checks that the user can pass through every folder above its data.
func reachable(dir string, who *account) error {
	for ; ; dir = filepath.Dir(dir) {
		info, err := os.Stat(dir)
		if err != nil {
			return fmt.Errorf("the data folder's parents: %w", err)
		}
		st, ok := info.Sys().(*syscall.Stat_t)
		own := ok && (st.Uid == who.uid && st.Mode&0o100 != 0 || st.Gid == who.gid && st.Mode&0o010 != 0)
		if !own && info.Mode().Perm()&0o001 == 0 {
			return fmt.Errorf("the user %s cannot reach the data folder through %s: choose another one with KILN_DATA", who.name, dir)
		}
		if dir == "/" {
			return nil
		}
	}
}
