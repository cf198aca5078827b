package postgres

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// child makes this test binary be the parent of a PostgreSQL that is killed with it.
const child = "KILN_TEST_POSTGRES_PARENT"

func TestMain(m *testing.M) {
	if dir := os.Getenv(child); dir != "" {
		s, err := Start(context.Background(), Options{Dir: dir})
		if err != nil {
			fmt.Println("failed:", err)
			os.Exit(1)
		}
		fmt.Println("pid", s.PID())
		select {}
	}
	os.Exit(m.Run())
}

// folder is reachable by every user, as t.TempDir is not.
func folder(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "kiln-postgres-test-")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(dir, 0o711); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return filepath.Join(dir, "pg")
}

var background = context.Background()

func start(t *testing.T, o Options) *Server {
	t.Helper()
	s, err := Start(background, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Stop(background) })
	return s
}

// query waits until the database answers again.
func query[T any](t *testing.T, url, sql string) (v T) {
	t.Helper()
	ctx, cancel := context.WithTimeout(background, 60*time.Second)
	defer cancel()
	for {
		c, err := pgx.Connect(ctx, url)
		if err == nil {
			err = c.QueryRow(ctx, sql).Scan(&v)
			_ = c.Close(ctx)
		}
		if err == nil {
			return v
		}
		if ctx.Err() != nil {
			t.Fatalf("%s: %v", sql, err)
		}
	}
}

func TestDatabaseIsPrivateAndOutlivesItsServer(t *testing.T) {
	dir := folder(t)
	var steps []string
	s := start(t, Options{Dir: dir, Progress: func(step string) { steps = append(steps, step) }})
	if len(steps) != 1 {
		t.Errorf("told %v", steps)
	}
	query[int](t, s.URL(), "WITH x AS (SELECT 1) SELECT 1")
	if got := query[string](t, s.URL(), "SHOW listen_addresses"); got != "" {
		t.Errorf("listens on %q", got)
	}
	info, err := os.Stat(filepath.Join(dir, "run"))
	if err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("socket folder: %v, %v", info, err)
	}
	env, err := os.ReadFile(fmt.Sprintf("/proc/%d/environ", s.PID()))
	if err != nil || bytes.Contains(env, []byte("HOME=")) {
		t.Errorf("the server's environment leaked: %q, %v", env, err)
	}
	if os.Geteuid() == 0 {
		if st, err := os.Stat(fmt.Sprintf("/proc/%d", s.PID())); err != nil || st.Sys().(*syscall.Stat_t).Uid == 0 {
			t.Error("runs as root")
		}
	}
	if err := s.Stop(background); err != nil {
		t.Fatal(err)
	}
	<-s.Exited()
	if err := s.Stop(background); err != nil {
		t.Errorf("second Stop: %v", err)
	}
	steps = nil
	again := start(t, Options{Dir: dir, Progress: func(step string) { steps = append(steps, step) }})
	if len(steps) != 0 {
		t.Errorf("a second start told %v", steps)
	}
	query[int](t, again.URL(), "SELECT 1")
}

func TestDeadDatabaseIsStartedAgain(t *testing.T) {
	s := start(t, Options{Dir: folder(t)})
	if err := execute(s.URL(), "CREATE TABLE kept AS SELECT 7 AS n"); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		pid := s.PID()
		if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		if n := query[int](t, s.URL(), "SELECT n FROM kept"); n != 7 {
			t.Errorf("n = %d", n)
		}
	}
	select {
	case <-s.Exited():
		t.Error("it says that it ended for good")
	default:
	}
}

func execute(url, sql string) error {
	c, err := pgx.Connect(background, url)
	if err != nil {
		return err
	}
	defer func() { _ = c.Close(background) }()
	_, err = c.Exec(background, sql)
	return err
}

func TestDatabaseEndsWithItsKilledParentAndComesBackAtOnce(t *testing.T) {
	dir := folder(t)
	parent := exec.Command(os.Args[0])
	parent.Env = append(os.Environ(), child+"="+dir)
	out, err := parent.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := parent.Start(); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatal(line, err)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(strings.TrimPrefix(line, "pid ")))
	if err != nil {
		t.Fatal(line)
	}
	if err := parent.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = parent.Wait()
	s := start(t, Options{Dir: dir}) // while the old one may still be ending
	query[int](t, s.URL(), "SELECT 1")
	if s.PID() == pid || isPostgres(pid) {
		t.Errorf("process %d outlived its parent", pid)
	}
}

func TestStalePidFilesAreNoObstacle(t *testing.T) {
	dir := folder(t)
	s := start(t, Options{Dir: dir})
	if err := s.Stop(background); err != nil {
		t.Fatal(err)
	}
	other := exec.Command("sleep", "60")
	if err := other.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = other.Process.Kill(); _ = other.Wait() }()
	stale := fmt.Sprintf("%d\n%s\n0\n5432\n\n\n\n", other.Process.Pid, filepath.Join(dir, "data"))
	file := filepath.Join(dir, "data", "postmaster.pid")
	if err := os.WriteFile(file, []byte(stale), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Chown(file, s.owner.uid, s.owner.gid); s.owner.drop && err != nil {
		t.Fatal(err)
	}
	query[int](t, start(t, Options{Dir: dir}).URL(), "SELECT 1")
}

func TestWhatCannotStartSaysWhy(t *testing.T) {
	old := folder(t)
	if err := os.MkdirAll(filepath.Join(old, "data"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(old, "data", "PG_VERSION"), []byte("9\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	_, err := Start(background, Options{Dir: old})
	if err == nil || !strings.Contains(err.Error(), "postgresql-9") || !strings.Contains(err.Error(), "nothing was changed") {
		t.Errorf("a missing major: %v", err)
	}
	_, err = Start(background, Options{Dir: folder(t), Settings: []string{"no_such_setting=1"}})
	if err == nil || !strings.Contains(err.Error(), "no_such_setting") {
		t.Errorf("a wrong setting: %v", err)
	}
	if os.Geteuid() == 0 {
		_, err = Start(background, Options{Dir: filepath.Join(t.TempDir(), "pg")})
		if err == nil || !strings.Contains(err.Error(), "cannot reach") {
			t.Errorf("a closed folder: %v", err)
		}
	}
	ended, cancel := context.WithCancel(background)
	cancel()
	if _, err := Start(ended, Options{Dir: folder(t)}); err == nil {
		t.Error("a cancelled start succeeded")
	}
}

func TestLongFoldersGetAShortSocket(t *testing.T) {
	dir := filepath.Join(folder(t), strings.Repeat("long/", 20))
	if err := os.MkdirAll(filepath.Dir(dir), 0o711); err != nil {
		t.Fatal(err)
	}
	s := start(t, Options{Dir: dir})
	query[int](t, s.URL(), "SELECT 1")
	if err := s.Stop(background); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(s.socket); err == nil {
		t.Error("the temporary folder is left")
	}
}

func TestBackupsComeBackWhole(t *testing.T) {
	s := start(t, Options{Dir: folder(t)})
	if err := execute(s.URL(), "CREATE TABLE kept (n int PRIMARY KEY); INSERT INTO kept SELECT generate_series(1, 1000)"); err != nil {
		t.Fatal(err)
	}
	var dump bytes.Buffer
	if err := Dump(background, s.URL(), &dump); err != nil {
		t.Fatal(err)
	}
	if err := execute(s.URL(), "DELETE FROM kept; CREATE TABLE later (n int)"); err != nil {
		t.Fatal(err)
	}
	if err := Restore(background, s.URL(), bytes.NewReader(dump.Bytes())); err != nil {
		t.Fatal(err)
	}
	if n := query[int](t, s.URL(), "SELECT count(*) FROM kept"); n != 1000 {
		t.Errorf("%d rows", n)
	}
	if query[bool](t, s.URL(), "SELECT to_regclass('later') IS NOT NULL") {
		t.Error("what came after the backup is still there")
	}
	for _, damaged := range [][]byte{[]byte("no dump"), dump.Bytes()[:dump.Len()/2], nil} {
		err := Restore(background, s.URL(), bytes.NewReader(damaged))
		if err == nil || !strings.Contains(err.Error(), "restore the database") {
			t.Errorf("a damaged backup: %v", err)
		}
		if n := query[int](t, s.URL(), "SELECT count(*) FROM kept"); n != 1000 {
			t.Errorf("%d rows after a damaged backup", n)
		}
	}
}
