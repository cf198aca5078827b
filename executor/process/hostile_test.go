//go:build linux

package process

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"kiln/executor/runner"
	"kiln/lambda"
)

// hostile is a server that speaks to a spawner without the driver's manners.
type hostile struct {
	t    *testing.T
	w    *wire
	data string
}

func hostileServer(t *testing.T) *hostile {
	t.Helper()
	data := dataFolder(t)
	rung := runner.RungA
	if os.Geteuid() != 0 {
		rung = runner.RungB
	}
	src := newSource(Options{Data: data}.withDefaults())
	w, caps, err := src.next(t.Context())
	if err != nil || caps.Rung != rung {
		t.Skipf("no spawner of rung %s here: %v %+v", rung, err, caps)
	}
	t.Cleanup(func() { w.close(); src.close() })
	return &hostile{t: t, w: w, data: data}
}

func (h *hostile) send(b []byte, fds ...int) {
	h.t.Helper()
	if len(b) == 0 {
		return // an empty packet is the end of the socket
	}
	if err := h.w.send(b, fds...); err != nil {
		h.t.Fatal(err)
	}
}

// next gives the spawner's next word.
func (h *hostile) next() (reply, int) {
	h.t.Helper()
	if err := h.w.c.SetReadDeadline(time.Now().Add(20 * time.Second)); err != nil {
		h.t.Fatal(err)
	}
	buf := make([]byte, 64<<10)
	n, fds, err := h.w.recv(buf, maxFds)
	if err != nil {
		h.t.Fatal(err)
	}
	closeFds(fds)
	var r reply
	if err := json.Unmarshal(buf[:n], &r); err != nil {
		h.t.Fatal(err)
	}
	return r, len(fds)
}

func TestTheSpawnerSurvivesAHostileServer(t *testing.T) {
	h := hostileServer(t)
	for name, b := range badPackets {
		if len(b) == 0 {
			continue
		}
		h.send(b)
		if r, fds := h.next(); r.Error == "" || fds > 0 {
			t.Errorf("%s: answered %+v with %d descriptors", name, r, fds)
		}
	}
	noise := rand.New(rand.NewPCG(1, 2))
	for range 200 {
		b := make([]byte, 1+noise.IntN(4000))
		for i := range b {
			b[i] = byte(noise.Uint32())
		}
		h.send(b)
		if r, _ := h.next(); r.Error == "" {
			t.Errorf("noise was answered %+v", r)
		}
	}
	h.send(make([]byte, maxPacket+5000))
	if r, _ := h.next(); r.Error == "" {
		t.Errorf("a giant was answered %+v", r)
	}
	h.wantAnswers()
}

// wantAnswers checks that the spawner still works.
func (h *hostile) wantAnswers() {
	h.t.Helper()
	h.send(packet(`{"op":"reap","seq":77}`, ""))
	if r, _ := h.next(); r.Seq != 77 || r.Error != "" {
		h.t.Errorf("afterwards: %+v", r)
	}
}

func TestTheSpawnerTakesNoDescriptors(t *testing.T) {
	h := hostileServer(t)
	before := openFilesOf(t, spawnerOf(t, os.Getpid()))
	for range 50 {
		h.send(packet(`{"op":"reap","seq":1}`, ""), 0, 1, 2)
		h.next()
	}
	if after := openFilesOf(t, spawnerOf(t, os.Getpid())); after > before+50 { // of the 150 that were sent; a fresh spawner opens some of its own
		t.Errorf("%d descriptors became %d", before, after)
	}
}

func openFilesOf(t *testing.T, pid int) int {
	t.Helper()
	fds, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", pid))
	if err != nil {
		t.Skipf("cannot see the spawner's descriptors: %v", err)
	}
	return len(fds)
}

func TestABoxNumberBelongsToOneBox(t *testing.T) {
	h := hostileServer(t)
	start := packet(`{"op":"start","seq":5,"box":9,"runtime":"python3.11","memory":128,"tmp":512}`, "")
	h.send(start)
	h.send(start)
	refusedOnce := false
	for range 2 {
		r, _ := h.next()
		if r.Say == sayDone && r.Error != "" {
			refusedOnce = true
		}
	}
	if !refusedOnce {
		t.Error("two boxes share a number")
	}
	h.send(packet(`{"op":"kill","seq":6,"box":12345}`, "")) // of nobody
	if r, _ := h.next(); r.Seq != 6 {
		t.Errorf("%+v", r)
	}
	h.wantAnswers()
}

func TestABoxMayNotGrow(t *testing.T) {
	h := hostileServer(t)
	digest := strings.Repeat("1", 64)
	if err := os.Mkdir(filepath.Join(h.data, "code", digest), 0o755); err != nil {
		t.Fatal(err)
	}
	h.send(packet(`{"op":"start","seq":5,"box":9,"runtime":"python3.11","memory":128,"tmp":512}`, ""))
	if r, fds := h.next(); r.Say != sayStarted || fds == 0 {
		t.Fatalf("%+v", r)
	}
	h.send(packet(`{"op":"hand-over","seq":6,"box":9,"memory":30000,"tmp":512,"code":"`+digest+`"}`, ""))
	if r, _ := h.next(); r.Error == "" {
		t.Error("a box of 128 MB took 30,000")
	}
}

// The server writes below the data folder. What it puts there as a runtime is shown to boxes at most, and never run outside one.
func TestRuntimesOfTheDataFolderAreNeverRunAsRoot(t *testing.T) {
	h := hostileServer(t)
	bin := filepath.Join(h.data, "runtimes", "nodejs77.x", "bin")
	if err := os.MkdirAll(bin, 0o755); err != nil {
		t.Fatal(err)
	}
	mark := filepath.Join(h.data, "was-run-outside")
	if err := os.WriteFile(filepath.Join(bin, "node"), []byte("#!/bin/sh\ntouch "+mark+"\nid -u\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("/etc", filepath.Join(h.data, "runtimes", "nodejs78.x")); err != nil {
		t.Fatal(err)
	}
	h.send(packet(`{"op":"runtimes","seq":3}`, ""))
	r, _ := h.next()
	listed := fmt.Sprint(r.Runtimes)
	if !strings.Contains(listed, "nodejs77.x") || strings.Contains(listed, "nodejs78.x") {
		t.Errorf("runtimes %s", listed)
	}
	for _, name := range []string{"nodejs77.x", "nodejs78.x"} {
		h.send(packet(`{"op":"start","seq":4,"box":1`+name[6:8]+`,"runtime":"`+name+`","memory":128,"tmp":512}`, ""))
		r, _ = h.next()
		if name == "nodejs78.x" && r.Key != "runtime.missing" {
			t.Errorf("%s: %+v", name, r)
		}
	}
	h.wantAnswersSoon()
	if _, err := os.Stat(mark); err == nil {
		t.Error("the server's program ran outside a box")
	}
}

// wantAnswersSoon is wantAnswers among events.
func (h *hostile) wantAnswersSoon() {
	h.t.Helper()
	h.send(packet(`{"op":"reap","seq":78}`, ""))
	for range 10 {
		if r, _ := h.next(); r.Seq == 78 {
			return
		}
	}
	h.t.Error("no answer")
}

func TestTheEndOfTheSocketEndsEveryBox(t *testing.T) {
	b := open(t)
	e := b.start(spec("python3.11", 128))
	e.run(tenacious)
	ns := e.namespaces(t)
	b.mu.Lock()
	w := b.w
	b.mu.Unlock()
	w.close()
	waitFor(t, "the box to end", func() bool { return processesIn(ns) == 0 })
	waitExit(t, e)
	if got := b.start(spec("python3.11", 128)).run("return 1"); got != "1" {
		t.Error(got)
	}
}

func TestALowerRungThanAcceptedRunsNothing(t *testing.T) {
	b := open(t)
	b.mu.Lock()
	b.caps.Rung = runner.RungB
	b.mu.Unlock()
	b.AcceptRung(runner.RungA)
	if _, err := b.Start(t.Context(), spec("python3.11", 128)); lambda.KeyOf(err) != "sandbox.tooWeak" {
		t.Errorf("error %v", err)
	}
	b.AcceptRung(runner.RungB)
	box, err := b.Start(t.Context(), spec("python3.11", 128))
	if err != nil {
		t.Fatal(err)
	}
	if err := box.Stop(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestAForeignStateFolderIsRefused(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "state")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(dir, 0o777); err != nil {
		t.Fatal(err)
	}
	if err := ownFolder(dir); err == nil {
		t.Error("a folder that everybody can write was taken")
	}
	link := dir + "-link"
	if err := os.Symlink(dir, link); err != nil {
		t.Fatal(err)
	}
	if err := ownFolder(link); err == nil {
		t.Error("a link was taken")
	}
	if os.Geteuid() == 0 {
		if err := unix.Chown(dir, plainUID, plainUID); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		if err := ownFolder(dir); err == nil {
			t.Error("somebody else's folder was taken")
		}
	}
}
