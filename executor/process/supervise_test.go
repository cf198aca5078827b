//go:build linux

package process

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"kiln/executor/runner"
)

// house is a real root parent with its spawner and its unprivileged server.
type house struct {
	t      *testing.T
	cmd    *exec.Cmd
	in     io.Writer
	lines  chan string
	data   string
	server int
	ended  chan error
}

func newHouse(t *testing.T, data string, mode ...string) *house {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root")
	}
	if data == "" {
		data = dataFolder(t)
		if err := os.Chown(data, plainUID, plainUID); err != nil {
			t.Fatal(err)
		}
	}
	h := &house{t: t, data: data, lines: make(chan string, 100), ended: make(chan error, 1)}
	h.cmd = exec.Command("/proc/self/exe", append([]string{"helper-parent", data}, mode...)...)
	h.cmd.Env = append(os.Environ(), "SECRET_OF_ROOT=1")
	h.cmd.Stderr = os.Stderr
	in, err := h.cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	h.in = in
	out, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	h.cmd.Stdout = w
	if err := h.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	w.Close()
	go func() {
		defer close(h.lines)
		defer out.Close()
		for s := bufio.NewScanner(out); s.Scan(); {
			h.lines <- s.Text()
		}
	}()
	go func() { h.ended <- h.cmd.Wait() }()
	t.Cleanup(func() { h.killAll() })
	var uid int
	var rung runner.Rung
	up := h.line("up")
	if _, err := fmt.Sscan(up, &h.server, &uid, &rung); err != nil || uid != plainUID || rung != runner.RungA {
		t.Fatalf("the server came up as %q", up)
	}
	return h
}

// line waits for a line that begins with word and gives the rest.
func (h *house) line(word string) string {
	h.t.Helper()
	timeout := time.After(30 * time.Second)
	for {
		select {
		case l, ok := <-h.lines:
			if !ok {
				h.t.Fatalf("the server ended before it said %q", word)
			}
			if rest, ok := strings.CutPrefix(l, word); ok {
				return strings.TrimSpace(rest)
			}
			if strings.HasPrefix(l, "error") {
				h.t.Fatal(l)
			}
		case <-timeout:
			h.t.Fatalf("no %q", word)
		}
	}
}

func (h *house) box(kind string) pidNS {
	h.t.Helper()
	if _, err := io.WriteString(h.in, kind+"\n"); err != nil {
		h.t.Fatal(err)
	}
	return findNS(h.t, strings.Trim(h.line("box"), `"`))
}

func (h *house) killAll() {
	for _, pid := range append(childrenOf(h.cmd.Process.Pid), h.cmd.Process.Pid) {
		_ = unix.Kill(pid, unix.SIGKILL)
	}
}

func childrenOf(parent int) (pids []int) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", parent, parent))
	if err == nil && len(b) > 0 {
		for f := range strings.FieldsSeq(string(b)) {
			var pid int
			if _, err := fmt.Sscan(f, &pid); err == nil {
				pids = append(pids, pid)
			}
		}
		return pids
	}
	return nil
}

func (h *house) wait() int {
	h.t.Helper()
	select {
	case <-h.ended:
		return h.cmd.ProcessState.ExitCode()
	case <-time.After(30 * time.Second):
		h.t.Fatal("the parent does not end")
	}
	return 0
}

func (h *house) wantNothing(ns ...pidNS) {
	h.t.Helper()
	for _, n := range ns {
		waitFor(h.t, "boxes to end", func() bool { return processesIn(n) == 0 })
	}
	waitFor(h.t, "cgroups to go", func() bool { return len(boxCgroups(h.data, runner.RungA)) == 0 })
	waitFor(h.t, "the state folder to go", func() bool {
		_, err := os.Stat(stateFolder(h.data, runner.RungA))
		return os.IsNotExist(err)
	})
	waitFor(h.t, "loop devices to go", func() bool { return len(loopsOn(h.data)) == 0 })
}

func TestTheServerIsUnprivilegedAndStopsInStages(t *testing.T) {
	h := newHouse(t, "")
	ns := h.box("plain")
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", h.server))
	if err != nil || !strings.Contains(string(status), "CapEff:\t0000000000000000") {
		t.Errorf("the server's rights: %v %s", err, status)
	}
	if err := h.cmd.Process.Signal(unix.SIGTERM); err != nil {
		t.Fatal(err)
	}
	h.line("stopping")
	h.line("stopped")
	if code := h.wait(); code != 0 {
		t.Errorf("exit status %d", code)
	}
	h.wantNothing(ns)
}

func TestTheServerSurvivesItsSpawner(t *testing.T) {
	h := newHouse(t, "")
	one, two := h.box("plain"), h.box("frozen")
	for range 2 {
		if err := unix.Kill(spawnerOf(t, h.cmd.Process.Pid), unix.SIGKILL); err != nil {
			t.Fatal(err)
		}
		waitFor(t, "the boxes to end", func() bool { return processesIn(one)+processesIn(two) == 0 })
		one = h.box("plain")
		if processesIn(one) == 0 {
			t.Fatal("no box after the spawner's death")
		}
	}
	if err := h.cmd.Process.Signal(unix.SIGINT); err != nil {
		t.Fatal(err)
	}
	if code := h.wait(); code != 0 {
		t.Errorf("exit status %d", code)
	}
	h.wantNothing(one, two)
}

func TestASecondSignalEndsAtOnce(t *testing.T) {
	h := newHouse(t, "", "stubborn")
	ns := h.box("plain")
	for range 2 {
		if err := h.cmd.Process.Signal(unix.SIGTERM); err != nil {
			t.Fatal(err)
		}
		time.Sleep(50 * time.Millisecond) // two signals at once would be one
	}
	if code := h.wait(); code != 128+9 {
		t.Errorf("exit status %d", code)
	}
	h.wantNothing(ns)
}

func TestNothingOutlivesAKilledServer(t *testing.T) {
	h := newHouse(t, "")
	ns := []pidNS{h.box("plain"), h.box("frozen")}
	if err := unix.Kill(h.server, unix.SIGKILL); err != nil {
		t.Fatal(err)
	}
	if code := h.wait(); code != 128+9 {
		t.Errorf("exit status %d", code)
	}
	h.wantNothing(ns...)
}

func TestNothingOutlivesAKilledParent(t *testing.T) {
	h := newHouse(t, "")
	ns := h.box("plain")
	if err := h.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	h.line("stopped")
	h.wantNothing(ns)
}

func TestReapAfterEverythingWasKilled(t *testing.T) {
	h := newHouse(t, "")
	ns := []pidNS{h.box("plain"), h.box("frozen")}
	spawner := spawnerOf(t, h.cmd.Process.Pid)
	for _, pid := range []int{h.cmd.Process.Pid, h.server, spawner} {
		if err := unix.Kill(pid, unix.SIGKILL); err != nil {
			t.Fatal(err)
		}
	}
	h.wait()
	again := newHouse(t, h.data)
	for _, n := range ns {
		if processesIn(n) != 0 {
			t.Error("a box lives on after the next start")
		}
	}
	ns = append(ns, again.box("plain"))
	if err := again.cmd.Process.Signal(unix.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if code := again.wait(); code != 0 {
		t.Errorf("exit status %d", code)
	}
	again.wantNothing(ns...)
}

func TestADataFolderOfSomebodyElseIsNotTouched(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root")
	}
	who := &account{name: "plain", uid: plainUID, gid: plainUID}
	full := dataFolder(t) // root's, with a folder in it
	if err := prepareData(full, who); err == nil || !strings.Contains(err.Error(), "chown") {
		t.Errorf("error %v", err)
	}
	fresh := full + "/fresh"
	if err := prepareData(fresh, who); err != nil {
		t.Error(err)
	}
	var st unix.Stat_t
	if err := unix.Stat(fresh, &st); err != nil || st.Uid != plainUID || st.Mode&0o777 != 0o700 {
		t.Errorf("%v %+v", err, st)
	}
	if err := os.Chmod(full, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := prepareData(fresh, who); err == nil || !strings.Contains(err.Error(), "cannot reach") {
		t.Errorf("error %v", err)
	}
}
