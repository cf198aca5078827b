//go:build linux

package process

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"kiln/executor/runner"
	"kiln/lambda"
)

func TestCloseEndsEverything(t *testing.T) {
	b := open(t)
	e := b.start(spec("python3.11", 128))
	ns := e.namespaces(t)
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	if err := b.Close(ctx); err != nil {
		t.Fatal(err)
	}
	waitExit(t, e)
	if n := processesIn(ns); n != 0 {
		t.Errorf("%d processes live on", n)
	}
	if _, err := os.Stat(stateFolder(b.data, b.Capabilities().Rung)); !os.IsNotExist(err) {
		t.Errorf("the state folder remains: %v", err)
	}
	if _, err := b.Start(context.Background(), spec("python3.11", 128)); lambda.KindOf(err) != lambda.Unavailable {
		t.Errorf("start after close: %v", err)
	}
}

func TestReapAfterTheSpawnerWasKilled(t *testing.T) {
	b := open(t)
	plain, frozen := b.start(spec("python3.11", 128)), b.start(spec("python3.11", 128))
	ns := []pidNS{plain.namespaces(t), frozen.namespaces(t)}
	if got := plain.run("import ctypes\nreturn ctypes.CDLL(None).prctl(1,0,0,0,0)"); got != "0" { // tries to outlive its spawner
		t.Fatal(got)
	}
	plain.run(tenacious)
	if err := frozen.Sandbox.(runner.Freezer).Freeze(); err != nil {
		t.Fatal(err)
	}
	if err := unix.Kill(spawnerOf(t, os.Getpid()), unix.SIGKILL); err != nil {
		t.Fatal(err)
	}
	waitExit(t, plain)
	waitExit(t, frozen)
	for _, n := range ns {
		waitFor(t, "processes to end", func() bool { return processesIn(n) == 0 })
	}
	b.wantNothingLeft(t)
	if got := b.start(spec("python3.11", 128)).run("return 'again'"); got != `"again"` {
		t.Error(got)
	}
	if err := b.Reap(t.Context()); err != nil {
		t.Error(err)
	}
}

// spawnerOf finds the spawner among a process's children.
func spawnerOf(t testing.TB, parent int) int {
	t.Helper()
	stats, _ := filepath.Glob("/proc/[0-9]*/stat")
	for _, path := range stats {
		text, err := os.ReadFile(path)
		if err != nil {
			continue
		}
		pid, ppid := 0, 0
		var state string
		_, rest, _ := strings.Cut(string(text), ") ")
		if _, err := fmt.Sscan(string(text), &pid); err != nil {
			continue
		}
		if _, err := fmt.Sscan(rest, &state, &ppid); err != nil || ppid != parent {
			continue
		}
		line, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
		if strings.Contains(string(line), "\x00spawner\x00-rung") {
			return pid
		}
	}
	t.Fatal("no spawner")
	return 0
}
