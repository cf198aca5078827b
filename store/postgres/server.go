// Package postgres runs a private PostgreSQL as a child process: made at first start, reached only through a unix socket in a folder
// that nobody else can enter, started again when it dies, ended with its parent. It also writes and reads backups.
package postgres

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"
)

// Options says where the database lives.
type Options struct {
	Dir      string       // everything is below it; made when missing
	Log      *slog.Logger // PostgreSQL's own messages; slog.Default() when nil
	Progress func(string) // told before a step that takes long, in a few English words; may be nil
	Settings []string     // further "name=value" settings, for tests
}

const (
	superuser = "kiln"
	database  = "kiln"
	// staleFor is how long a start waits for a dying predecessor to let go of the data folder.
	staleFor = 10 * time.Second
	// maxDeaths ends the restarts when the database dies this often without having answered in between.
	maxDeaths = 5
)

// Server is a running private PostgreSQL.
type Server struct {
	opts   Options
	bin    binaries
	owner  owner
	data   string
	socket string // folder
	log    *slog.Logger

	mu       sync.Mutex
	child    *exec.Cmd
	stopping bool
	err      error

	exited chan struct{} // closed when it has ended for good
}

// Start makes the database when there is none, starts it and returns when it answers. As root it runs as user kiln, else postgres.
func Start(ctx context.Context, o Options) (*Server, error) {
	s := &Server{opts: o, data: filepath.Join(o.Dir, "data"), log: o.Log, exited: make(chan struct{})}
	if s.log == nil {
		s.log = slog.Default()
	}
	if err := s.prepare(ctx); err != nil {
		return nil, err
	}
	ready := make(chan error, 1)
	go s.supervise(ready)
	select {
	case err := <-ready:
		if err == nil {
			err = s.ensureDatabase(ctx)
		}
		if err != nil {
			s.signal(syscall.SIGINT)
			<-s.exited
			return nil, err
		}
		return s, nil
	case <-ctx.Done():
		s.signal(syscall.SIGINT)
		<-s.exited
		return nil, fmt.Errorf("start PostgreSQL: %w", ctx.Err())
	}
}

func (s *Server) prepare(ctx context.Context) (err error) {
	if s.bin, err = choose(ctx, s.data); err != nil {
		return err
	}
	if s.owner, err = chooseOwner(s.data); err != nil {
		return err
	}
	if err := s.owner.folder(s.opts.Dir); err != nil {
		return err
	}
	if err := s.makeSocketFolder(); err != nil {
		return err
	}
	if major, err := majorOfData(s.data); err != nil || major != 0 {
		return err
	}
	return s.initialise(ctx)
}

// makeSocketFolder uses a short folder elsewhere when a socket's path (107 bytes) would not fit.
func (s *Server) makeSocketFolder() error {
	s.socket = filepath.Join(s.opts.Dir, "run")
	if len(s.socket)+len("/.s.PGSQL.5432") > 100 {
		dir, err := os.MkdirTemp("", "kiln-pg-")
		if err != nil {
			return fmt.Errorf("make a folder for the database's socket: %w", err)
		}
		s.socket = dir
	}
	return s.owner.folder(s.socket)
}

// initialise works beside the final folder and renames at the end: a broken first start leaves nothing half-made.
func (s *Server) initialise(ctx context.Context) error {
	s.progress("creating the database")
	fresh := s.data + ".new"
	if err := os.RemoveAll(fresh); err != nil {
		return fmt.Errorf("create the database: %w", err)
	}
	args := []string{"-D", fresh, "-U", superuser, "--auth-local=trust", "--auth-host=reject", "--encoding=UTF8", "--locale=C.UTF-8", "--no-instructions"}
	if slices.Contains(s.opts.Settings, "fsync=off") {
		args = append(args, "--no-sync")
	}
	cmd := exec.CommandContext(ctx, s.bin.path("initdb"), args...)
	cmd.SysProcAttr = s.owner.attributes()
	cmd.Dir = s.opts.Dir
	cmd.Env = environment()
	out, err := s.locked(cmd.CombinedOutput)
	if err != nil {
		return fmt.Errorf("create the database with initdb: %w: %s", err, lastLine(out))
	}
	if err := os.Rename(fresh, s.data); err != nil {
		return fmt.Errorf("create the database: %w", err)
	}
	return nil
}

// locked keeps the thread that starts a child alive until the child ends: a parent-death signal follows the thread.
func (s *Server) locked(f func() ([]byte, error)) ([]byte, error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	return f()
}

func (s *Server) progress(step string) {
	if s.opts.Progress != nil {
		s.opts.Progress(step)
	}
}

// environment keeps Kiln's own variables, which hold secrets, from the child.
func environment() []string {
	return []string{"PATH=" + os.Getenv("PATH"), "LC_ALL=C.UTF-8", "TZ=UTC"}
}

func lastLine(out []byte) string {
	lines := strings.Split(strings.TrimSpace(string(out)), "\n")
	return lines[len(lines)-1]
}

// supervise owns the child: it starts it, tells ready once, starts it again when it dies, and closes exited at the end.
// It keeps its thread for as long as there is a child, because the child's parent-death signal follows the thread.
func (s *Server) supervise(ready chan<- error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	defer close(s.exited)
	begun := time.Now()
	answered := false
	for deaths := 0; ; {
		up, err := s.runOnce(func() {
			if !answered {
				answered = true
				ready <- nil
			}
		})
		if s.isStopping() {
			s.fail(ready, answered, errors.New("stopped while starting"))
			return
		}
		if up {
			deaths, begun = 0, time.Now()
			s.log.Error("the database died and is started again", "error", err)
		}
		if deaths++; s.giveUp(err, deaths, begun) {
			s.fail(ready, answered, fmt.Errorf("PostgreSQL does not start: %w", err))
			return
		}
		time.Sleep(100 * time.Millisecond)
	}
}

// giveUp waits longer while another PostgreSQL, ended with its parent a moment ago, still holds the folder.
func (s *Server) giveUp(err error, deaths int, begun time.Time) bool {
	if time.Since(begun) < staleFor && heldByAnother(err) {
		s.dropStalePid()
		return false
	}
	return deaths >= maxDeaths
}

// socketLock is the file in the socket's folder that names the process listening there.
const socketLock = ".s.PGSQL.5432.lock"

func heldByAnother(err error) bool {
	said := err.Error()
	return strings.Contains(said, "postmaster.pid") || strings.Contains(said, "shared memory block") || strings.Contains(said, socketLock)
}

func (s *Server) fail(ready chan<- error, answered bool, err error) {
	s.mu.Lock()
	s.err = err
	s.mu.Unlock()
	if !answered {
		ready <- err
	}
	if s.socket != filepath.Join(s.opts.Dir, "run") {
		_ = os.RemoveAll(s.socket) // a temporary folder, empty by now
	}
}

// dropStalePid removes lock files whose process is no PostgreSQL: after a kill or a restart of the machine the number may be anybody's.
func (s *Server) dropStalePid() {
	for _, file := range []string{filepath.Join(s.data, "postmaster.pid"), filepath.Join(s.socket, socketLock)} {
		b, err := os.ReadFile(file)
		if err != nil {
			continue
		}
		first, _, _ := strings.Cut(string(b), "\n")
		if pid, err := strconv.Atoi(strings.TrimSpace(first)); err == nil && !isPostgres(pid) {
			_ = os.Remove(file)
		}
	}
}

// runOnce runs the child to its end; up says whether it answered.
func (s *Server) runOnce(whenUp func()) (up bool, err error) {
	cmd := s.command()
	out := &logWriter{log: s.log}
	cmd.Stdout, cmd.Stderr = out, out
	if err := s.begin(cmd); err != nil {
		return false, err
	}
	ended := make(chan error, 1)
	watch := make(chan bool, 1)
	stop := make(chan struct{})
	go func() { watch <- s.answers(stop) }()
	go func() { ended <- cmd.Wait() }()
	select {
	case up = <-watch:
		if up {
			whenUp()
		}
		err = <-ended
	case err = <-ended:
		close(stop)
		<-watch
	}
	s.mu.Lock()
	s.child = nil
	s.mu.Unlock()
	if err == nil {
		err = errors.New("it ended without an error")
	}
	return up, fmt.Errorf("%w: %s", err, out.last())
}

func (s *Server) begin(cmd *exec.Cmd) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stopping {
		return errors.New("stopping")
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	s.child = cmd
	return nil
}

func (s *Server) command() *exec.Cmd {
	args := []string{"-D", s.data, "-k", s.socket, "-c", "listen_addresses=", "-c", "unix_socket_permissions=0700"}
	settings := []string{"max_connections=60", "shared_buffers=64MB", "jit=off", "wal_level=minimal", "max_wal_senders=0", "timezone=UTC",
		"log_timezone=UTC", "log_min_messages=warning", "log_line_prefix=", "logging_collector=off", "wal_compression=on",
		"max_wal_size=1GB", "autovacuum_naptime=20s", "enable_partitionwise_aggregate=on"}
	for _, set := range append(settings, s.opts.Settings...) {
		args = append(args, "-c", set)
	}
	cmd := exec.Command(s.bin.path("postgres"), args...)
	cmd.SysProcAttr = s.owner.attributes()
	cmd.Dir = s.opts.Dir
	cmd.Env = environment()
	cmd.WaitDelay = 5 * time.Second // orphaned backends hold the pipe until they notice
	return cmd
}

// answers waits until a connection succeeds; false when stop is closed first.
func (s *Server) answers(stop <-chan struct{}) bool {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	go func() {
		select {
		case <-stop:
			cancel()
		case <-ctx.Done():
		}
	}()
	for tick := time.NewTicker(15 * time.Millisecond); ; {
		c, err := pgx.Connect(ctx, s.url("postgres"))
		if err == nil {
			_ = c.Close(ctx)
			tick.Stop()
			return true
		}
		select {
		case <-ctx.Done():
			tick.Stop()
			return false
		case <-tick.C:
		}
	}
}

func (s *Server) ensureDatabase(ctx context.Context) error {
	c, err := pgx.Connect(ctx, s.url("postgres"))
	if err != nil {
		return fmt.Errorf("connect to the new database: %w", err)
	}
	defer func() { _ = c.Close(ctx) }()
	var there bool
	if err := c.QueryRow(ctx, "SELECT EXISTS (SELECT FROM pg_database WHERE datname = $1)", database).Scan(&there); err != nil {
		return fmt.Errorf("look for the database: %w", err)
	}
	if there {
		return nil
	}
	if _, err := c.Exec(ctx, "CREATE DATABASE "+database); err != nil {
		return fmt.Errorf("create the database: %w", err)
	}
	return nil
}

// URL reaches Kiln's database over the private socket.
func (s *Server) URL() string { return s.url(database) }

func (s *Server) url(db string) string {
	q := url.Values{"host": {s.socket}, "user": {superuser}}
	return "postgres:///" + db + "?" + q.Encode()
}

// PID is the running postmaster's process id; 0 between two starts.
func (s *Server) PID() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.child == nil {
		return 0
	}
	return s.child.Process.Pid
}

// Exited is closed when the database has ended and is not started again: after Stop, or when it does not come up any more (Err says why).
func (s *Server) Exited() <-chan struct{} { return s.exited }

// Err is why the database ended for good; nil while it runs.
func (s *Server) Err() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.err
}

// Stop ends the database cleanly: open transactions are rolled back. When ctx ends first it is ended at once; its log repairs it at the next start.
func (s *Server) Stop(ctx context.Context) error {
	s.signal(syscall.SIGINT)
	select {
	case <-s.exited:
		return nil
	case <-ctx.Done():
		s.signal(syscall.SIGQUIT)
	}
	select {
	case <-s.exited:
	case <-time.After(3 * time.Second):
		s.signal(syscall.SIGKILL)
		<-s.exited
	}
	return fmt.Errorf("stop PostgreSQL cleanly: %w", ctx.Err())
}

func (s *Server) signal(sig syscall.Signal) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stopping = true
	if s.child != nil {
		_ = s.child.Process.Signal(sig) // it may have ended just now
	}
}

func (s *Server) isStopping() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.stopping
}
