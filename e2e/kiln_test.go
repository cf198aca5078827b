// Package e2e drives the real binary, with real Postgres, Node.js, Python and Chromium, as a person and as AWS's clients do.
package e2e

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

var binary string // the built kiln

func TestMain(m *testing.M) {
	os.Exit(run(m))
}

func run(m *testing.M) int {
	dir, err := os.MkdirTemp("", "kiln-e2e-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	binary = filepath.Join(dir, "kiln")
	build := exec.Command("go", "build", "-o", binary, "kiln")
	if out, err := build.CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "build kiln: %v\n%s", err, out)
		return 1
	}
	if err := os.Chmod(dir, 0o755); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer stopBrowser()
	return m.Run()
}

// server is one running kiln with a data folder of its own.
type server struct {
	t       *testing.T
	data    string
	console string // http://127.0.0.1:port
	gateway string
	env     []string
	uid     uint32 // the plain user to run as; 0 for the tests' own

	cmd    *exec.Cmd
	exited chan struct{}
	mu     sync.Mutex
	output strings.Builder
	link   string
}

// startServer starts kiln on free ports in a new data folder and waits for its sign-in link.
func startServer(t *testing.T, env ...string) *server {
	t.Helper()
	return startServerAs(t, 0, env...)
}

func startServerAs(t *testing.T, uid uint32, env ...string) *server {
	t.Helper()
	data, err := os.MkdirTemp("", "kiln-data-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(data) })
	if err := os.Chmod(data, 0o755); err != nil {
		t.Fatal(err)
	}
	s := &server{t: t, data: data, env: env, uid: uid}
	installRuntimes(t, data, uid)
	a, b := freeAddress(t), freeAddress(t)
	s.console, s.gateway = "http://"+a, "http://"+b
	s.start()
	t.Cleanup(func() {
		s.stop()
		if t.Failed() {
			t.Logf("kiln said:\n%s", tail(s.said(), 6000))
		}
	})
	return s
}

func tail(s string, n int) string { return s[max(0, len(s)-n):] }

func (s *server) start() {
	s.t.Helper()
	s.cmd = exec.Command(binary, "serve")
	s.cmd.Env = append(baseEnvironment(), append(s.env, "KILN_DATA="+s.data,
		"KILN_LISTEN="+strings.TrimPrefix(s.console, "http://"), "KILN_GATEWAY_LISTEN="+strings.TrimPrefix(s.gateway, "http://"))...)
	s.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if s.uid != 0 {
		s.cmd.SysProcAttr.Credential = &syscall.Credential{Uid: s.uid, Gid: s.uid}
		s.cmd.Env = append(s.cmd.Env, "HOME="+s.data, "USER=plain")
	}
	out, err := s.cmd.StderrPipe()
	if err != nil {
		s.t.Fatal(err)
	}
	s.cmd.Stdout = s.cmd.Stderr
	pr, pw := io.Pipe()
	s.cmd.Stdout = pw
	if err := s.cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	s.exited = make(chan struct{})
	links := make(chan string, 4)
	var readers sync.WaitGroup
	readers.Go(func() { s.read(out, links) })
	readers.Go(func() { s.read(pr, links) })
	cmd, exited := s.cmd, s.exited
	go func() {
		_ = cmd.Wait()
		pw.Close()
		readers.Wait()
		close(exited)
	}()
	select {
	case s.link = <-links:
	case <-exited:
		s.t.Fatalf("kiln ended at its start:\n%s", s.said())
	case <-time.After(2 * time.Minute):
		s.t.Fatalf("no sign-in link after two minutes:\n%s", s.said())
	}
}

var linkPattern = regexp.MustCompile(`http\S*/login\S*`)

func (s *server) read(r io.Reader, links chan<- string) {
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		s.mu.Lock()
		s.output.WriteString(lines.Text() + "\n")
		s.mu.Unlock()
		if l := linkPattern.FindString(lines.Text()); l != "" {
			select {
			case links <- l:
			default:
			}
		}
	}
}

// said is everything that kiln printed.
func (s *server) said() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.output.String()
}

// stop ends kiln as a service manager does, and kills it when that takes too long.
func (s *server) stop() {
	_ = s.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-s.exited:
	case <-time.After(60 * time.Second):
		s.t.Errorf("kiln did not stop within a minute of SIGTERM")
		s.kill()
	}
}

// kill ends kiln and everything it started at once.
func (s *server) kill() {
	_ = syscall.Kill(-s.cmd.Process.Pid, syscall.SIGKILL)
	<-s.exited
}

// command runs a sub-command on the server's data folder.
func (s *server) command(args ...string) (string, error) {
	return kiln(s.t.Context(), s.data, append(s.env, "KILN_LISTEN="+strings.TrimPrefix(s.console, "http://")), args...)
}

func kiln(ctx context.Context, data string, env []string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, binary, args...)
	cmd.Env = append(baseEnvironment(), append(env, "KILN_DATA="+data)...)
	out, err := cmd.CombinedOutput()
	if err != nil {
		err = fmt.Errorf("kiln %s: %w: %s", strings.Join(args, " "), err, tail(string(out), 2000))
	}
	return string(out), err
}

// baseEnvironment is the tests' environment without settings of Kiln and AWS that would leak in.
func baseEnvironment() (env []string) {
	for _, e := range os.Environ() {
		if !strings.HasPrefix(e, "KILN_") && !strings.HasPrefix(e, "AWS_") && !strings.HasPrefix(e, "DATABASE_URL") {
			env = append(env, e)
		}
	}
	return env
}

func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

var installOnce = sync.OnceValues(func() (string, error) {
	dir := filepath.Join(os.TempDir(), "kiln-test-runtimes") // every user of the machine can reach it
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", err
	}
	if found, _ := filepath.Glob(filepath.Join(dir, "runtimes", "nodejs22.x", "bin", "node")); len(found) > 0 {
		return filepath.Join(dir, "runtimes"), nil
	}
	if _, err := kiln(context.Background(), dir, nil, "runtimes", "install", "nodejs22.x"); err != nil {
		return "", err
	}
	return filepath.Join(dir, "runtimes"), nil
})

// installRuntimes gives a data folder the Node.js that the journeys use, fetched once per machine.
func installRuntimes(t *testing.T, data string, uid uint32) {
	t.Helper()
	from, err := installOnce()
	if err != nil {
		t.Fatalf("install Node.js 22 from npm: %v", err)
	}
	if err := copyTree(from, filepath.Join(data, "runtimes")); err != nil {
		t.Fatal(err)
	}
	switch {
	case uid != 0:
		giveTo(t, data, int(uid))
	case os.Geteuid() == 0: // the server's user owns its data folder
		info, err := os.Stat(filepath.Dir(from))
		if err != nil {
			t.Fatal(err)
		}
		giveTo(t, data, int(info.Sys().(*syscall.Stat_t).Uid))
	}
}

// giveTo makes the data folder belong to a user and its group of the same number.
func giveTo(t *testing.T, data string, uid int) {
	t.Helper()
	err := filepath.WalkDir(data, func(path string, _ os.DirEntry, err error) error {
		return errors.Join(err, os.Lchown(path, uid, -1))
	})
	if err != nil {
		t.Fatal(err)
	}
}

// copyTree links files where it can and copies them where it cannot.
func copyTree(from, to string) error {
	return filepath.WalkDir(from, func(path string, d os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		target := filepath.Join(to, strings.TrimPrefix(path, from))
		if d.IsDir() {
			return os.MkdirAll(target, 0o755)
		}
		if d.Type()&os.ModeSymlink != 0 {
			l, err := os.Readlink(path)
			if err != nil {
				return err
			}
			return os.Symlink(l, target)
		}
		return copyFile(path, target)
	})
}

func copyFile(from, to string) (err error) {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	info, err := in.Stat()
	if err != nil {
		return err
	}
	out, err := os.OpenFile(to, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, info.Mode().Perm())
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	return errors.Join(err, out.Close())
}
