//go:build linux

package process

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"kiln/executor/runner"
)

var both = []string{"nodejs20.x", "python3.11"}

// does is one thing to do, in each language.
type does struct{ node, python string }

func (s does) in(rt string) string {
	if strings.HasPrefix(rt, "node") {
		return s.node
	}
	return s.python
}

func eachRuntime(t *testing.T, b *bed, f func(t *testing.T, rt string)) {
	for _, rt := range both {
		t.Run(rt, func(t *testing.T) { f(t, rt) })
	}
}

func waitExit(t testing.TB, s runner.Sandbox) runner.Exit {
	t.Helper()
	select {
	case <-s.Exited():
	case <-time.After(60 * time.Second):
		t.Fatal("the box does not end")
	}
	return s.Exit()
}

func TestOutputIsCompleteBeforeExited(t *testing.T) {
	b := open(t)
	code := does{
		node:   `process.stdout.write('x'.repeat(1<<20)+'END', () => process.exit(3)); await new Promise(()=>{})`,
		python: "import sys,os\nsys.stdout.write('x'*(1<<20)+'END')\nsys.stdout.flush()\nos._exit(3)",
	}
	eachRuntime(t, b, func(t *testing.T, rt string) {
		e := b.startOn(t, spec(rt, 128))
		if err := e.send(code.in(rt)); err != nil {
			t.Fatal(err)
		}
		exit := waitExit(t, e)
		if exit.Code != 3 || exit.Signal != "" {
			t.Errorf("exit %+v", exit)
		}
		if out := e.out.all(); len(out) != 1<<20+3 || !strings.HasSuffix(out, "END") {
			t.Errorf("%d bytes of output", len(out))
		}
	})
}

func TestALineOf20MBDoesNotHang(t *testing.T) {
	b := open(t)
	e := b.start(spec("python3.11", 256))
	if got := e.run("import os\nfor _ in range(20): os.write(1, b'y'*(1<<20)) and None\nos.write(1,b'\\n')\nreturn 1"); got != "1" {
		t.Fatal(got)
	}
	e.end()
	if n := len(e.out.all()); n < 1<<20 {
		t.Errorf("%d bytes arrived", n)
	}
}

func TestStopTwiceAndAfterTheExit(t *testing.T) {
	b := open(t)
	e := b.start(spec("python3.11", 128))
	var wg sync.WaitGroup
	for range 3 {
		wg.Go(func() {
			if err := e.Stop(context.Background()); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if err := e.Stop(context.Background()); err != nil {
		t.Error(err)
	}
	if exit := e.Exit(); exit.Code != -1 || exit.Signal != "killed" || exit.OutOfMemory {
		t.Errorf("exit %+v", exit)
	}
}

func TestACancelledStartLeavesNothing(t *testing.T) {
	b := open(t)
	spawner := spawnerOf(t, os.Getpid())
	for i := range 8 {
		ctx, cancel := context.WithTimeout(context.Background(), time.Duration(i)*4*time.Millisecond)
		box, err := b.Start(ctx, spec("python3.11", 128))
		cancel()
		if err == nil {
			if err := box.Stop(context.Background()); err != nil {
				t.Error(err)
			}
		}
	}
	b.wantNothingLeft(t)
	if now := spawnerOf(t, os.Getpid()); now != spawner { // a box that was killed before it was ready once ended the spawner
		t.Errorf("spawner %d became %d", spawner, now)
	}
}

// What an idle spawner keeps ready: one more of each waits to be put into its queue.
const (
	idleEmbryos = readyEmbryos + 1
	idleLoops   = spares + 1
)

// wantNothingLeft waits until no box has a note, a cgroup or a loop device, beyond what the spawner keeps ready.
func (b *bed) wantNothingLeft(t testing.TB) {
	t.Helper()
	notes := filepath.Join(stateFolder(b.data, b.Capabilities().Rung), "boxes")
	waitFor(t, "notes to go", func() bool {
		left, err := os.ReadDir(notes)
		return os.IsNotExist(err) || err == nil && len(left) <= idleEmbryos
	})
	controllers := len(controllersV1)
	waitFor(t, "box cgroups to go", func() bool { return len(boxCgroups(b.data, b.Capabilities().Rung)) <= idleEmbryos*controllers })
	waitFor(t, "loop devices to go", func() bool { return len(loopsOn(b.data)) <= idleLoops })
}

func boxCgroups(data string, rung runner.Rung) []string {
	name := cgroupName(stateFolder(data, rung))
	var found []string
	_ = filepath.WalkDir("/sys/fs/cgroup", func(path string, d os.DirEntry, err error) error {
		if err == nil && d.IsDir() && filepath.Base(filepath.Dir(path)) == name {
			found = append(found, path)
		}
		return nil
	})
	return found
}

// tenacious leaves children behind that have a session of their own and ignore every polite signal.
const tenacious = `import os,signal,time
for _ in range(3):
    if os.fork()==0:
        os.setsid()
        if os.fork()==0:
            for s in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT): signal.signal(s, signal.SIG_IGN)
            while True: time.sleep(1)
        os._exit(0)
time.sleep(0.1)
return sorted(int(p) for p in os.listdir('/proc') if p.isdigit())`

func TestNothingOfAStoppedBoxRemains(t *testing.T) {
	b := open(t)
	e := b.start(spec("python3.11", 128))
	ns := e.namespaces(t)
	if got := e.run(tenacious); strings.Count(got, ",") < 3 {
		t.Fatalf("processes inside: %s", got)
	}
	if n := processesIn(ns); n < 4 {
		t.Fatalf("%d processes in the box's pid namespace", n)
	}
	if err := e.Stop(context.Background()); err != nil {
		t.Fatal(err)
	}
	if n := processesIn(ns); n != 0 {
		t.Errorf("%d processes of the box live on", n)
	}
	b.wantNothingLeft(t)
}

// namespaces gives the box's pid namespace, as it sees it itself.
func (e *eval) namespaces(t testing.TB) pidNS {
	t.Helper()
	code := does{node: `return require('fs').readlinkSync('/proc/self/ns/pid')`, python: `import os
return os.readlink('/proc/self/ns/pid')`}
	got := e.run(code.python)
	if strings.HasPrefix(got, "error") {
		got = e.run(code.node)
	}
	return findNS(t, strings.Trim(got, `"`))
}

// pidNS is a box's pid namespace with its first process. Its number alone says nothing later: the kernel gives it away again.
type pidNS struct {
	link string
	pid  int
	born string
}

func findNS(t testing.TB, link string) pidNS {
	t.Helper()
	statuses, _ := filepath.Glob("/proc/[0-9]*/status")
	for _, path := range statuses {
		if to, err := os.Readlink(filepath.Dir(path) + "/ns/pid"); err != nil || to != link {
			continue
		}
		text, _ := os.ReadFile(path)
		_, nspid, _ := strings.Cut(string(text), "NSpid:")
		var pid, inside int
		if _, err := fmt.Sscan(nspid, &pid, &inside); err == nil && inside == 1 {
			return pidNS{link, pid, bornAt(pid)}
		}
	}
	t.Fatalf("no first process in %s", link)
	return pidNS{}
}

// processesIn counts the living. When the first process is dead, the kernel has ended all others before.
func processesIn(ns pidNS) (n int) {
	if bornAt(ns.pid) != ns.born {
		return 0
	}
	links, _ := filepath.Glob("/proc/[0-9]*/ns/pid")
	for _, l := range links {
		stat, _ := os.ReadFile(filepath.Dir(filepath.Dir(l)) + "/stat")
		if to, err := os.Readlink(l); err == nil && to == ns.link && !strings.Contains(string(stat), ") Z ") { // the dead wait for their parent
			n++
		}
	}
	return n
}

func loopsOn(dir string) (found []string) {
	files, _ := filepath.Glob("/sys/block/loop*/loop/backing_file")
	for _, f := range files {
		if b, err := os.ReadFile(f); err == nil && strings.HasPrefix(string(b), dir) {
			found = append(found, f)
		}
	}
	return found
}

func TestTheMemoryLimitEndsTheBoxAndSaysSo(t *testing.T) {
	b := open(t)
	code := does{
		node:   `const keep=[]; for(;;) keep.push(Buffer.alloc(8<<20, 1))`,
		python: "keep=[]\nwhile True: keep.append(b'x'*(8<<20))",
	}
	eachRuntime(t, b, func(t *testing.T, rt string) {
		neighbour := b.startOn(t, spec("python3.11", 128))
		e := b.startOn(t, spec(rt, 128))
		if err := e.send(code.in(rt)); err != nil {
			t.Fatal(err)
		}
		if b.Capabilities().Cgroups == "" && rt == "python3.11" {
			return // Python turns a refused allocation into MemoryError, which the bootstrap reports
		}
		exit := waitExit(t, e)
		if !exit.OutOfMemory || exit.PeakMemoryMB < 110 {
			t.Errorf("exit %+v; stderr %.300s", exit, e.err.all())
		}
		if b.Capabilities().Cgroups != "" && (exit.Signal != "killed" || exit.PeakMemoryMB > 130) {
			t.Errorf("exit %+v", exit)
		}
		if got := neighbour.run("return 'alive'"); got != `"alive"` {
			t.Errorf("the neighbour: %s", got)
		}
	})
}

func TestMetersShowMemory(t *testing.T) {
	b := open(t)
	if b.Capabilities().Cgroups == "" {
		t.Skip("no cgroups on this rung")
	}
	e := b.start(spec("python3.11", 256))
	before := e.MemoryMB()
	if got := e.run("global keep\nkeep=b'x'*(64<<20)\nreturn 1"); got != "1" {
		t.Fatal(got)
	}
	if after := e.MemoryMB(); after < before+60 || before > 60 {
		t.Errorf("in use %d MB, then %d MB", before, after)
	}
	if e.PeakMemoryMB() < before+60 {
		t.Errorf("peak %d MB", e.PeakMemoryMB())
	}
}

func TestTheServersEnvironmentDoesNotLeak(t *testing.T) {
	t.Setenv("KILN_MASTER_KEY_FILE", "/secret-of-the-server")
	b := open(t)
	e := b.start(spec("python3.11", 128))
	got := e.run("import os\nreturn [dict(os.environ), open('/proc/1/environ').read(), open('/proc/1/cmdline').read()]")
	if strings.Contains(got, "secret") || strings.Contains(got, "GOMAXPROCS") || strings.Contains(got, "KILN") {
		t.Errorf("environment inside: %s", got)
	}
	if got := e.run("import os\nreturn sorted(int(f) for f in os.listdir('/proc/1/fd'))"); got != "[0, 1, 2, 3, 4]" && got != "[0, 1, 2, 3, 4, 5]" {
		t.Errorf("descriptors inside: %s", got) // 5 is the folder being listed
	}
}

func TestFrozenBoxesThawAndCanBeStopped(t *testing.T) {
	b := open(t)
	if !b.Capabilities().Freezer {
		t.Skip("no freezer on this rung")
	}
	e := b.start(spec("python3.11", 128))
	f := e.Sandbox.(runner.Freezer)
	if err := f.Freeze(); err != nil {
		t.Fatal(err)
	}
	answered := make(chan string, 1)
	go func() { answered <- e.run("return 'thawed'") }()
	select {
	case got := <-answered:
		t.Fatalf("a frozen box answered %s", got)
	case <-time.After(50 * time.Millisecond):
	}
	if err := f.Thaw(); err != nil {
		t.Fatal(err)
	}
	if got := <-answered; got != `"thawed"` {
		t.Fatal(got)
	}
	if err := f.Freeze(); err != nil {
		t.Fatal(err)
	}
	if err := e.Stop(context.Background()); err != nil {
		t.Fatal(err)
	}
}

func TestABoxThatIsFrozenWhileItDiesStillDies(t *testing.T) {
	b := open(t)
	if !b.Capabilities().Freezer {
		t.Skip("no freezer on this rung")
	}
	for range 5 {
		e := b.start(spec("python3.11", 128))
		box := e.Sandbox.(*sandbox)
		done := make(chan error, 1)
		go func() { done <- e.Stop(context.Background()) }()
		for frozen := true; frozen; { // a server that does not keep to the rules
			select {
			case err := <-done:
				if err != nil {
					t.Error(err)
				}
				frozen = false
			default:
				_ = box.write(fdFreezer, map[bool]string{false: "FROZEN", true: "1"}[box.cgroups == "v2"])
				time.Sleep(30 * time.Millisecond)
			}
		}
	}
}

func TestTheCPUMeterCountsWork(t *testing.T) {
	b := open(t)
	e := b.start(spec("python3.11", 128))
	before := e.Sandbox.(runner.CPUMeter).CPU()
	e.run("import time\na=time.process_time()\nwhile time.process_time()-a<0.2: pass\nreturn 1")
	used := e.Sandbox.(runner.CPUMeter).CPU() - before
	if before < 0 || used < 180*time.Millisecond || used > 2*time.Second {
		t.Errorf("%v, then %v more", before, used)
	}
}

func TestAProvidedRuntimeHasNoChannel(t *testing.T) {
	b := open(t)
	s := spec("provided.al2023", 64)
	s.Code = b.tree("b5", map[string]string{"bootstrap": "#!/bin/sh\nls /proc/self/fd\n"})
	box, err := b.Start(t.Context(), s)
	if err != nil {
		t.Fatal(err)
	}
	if box.Channel() != nil || box.Records() != nil {
		t.Error("a channel")
	}
	out := collect(box.Stdout())
	waitExit(t, box)
	if got := out.all(); got != "0\n1\n2\n3\n" { // 3 is the folder being listed
		t.Errorf("descriptors inside: %q", got)
	}
	if err := box.Stderr().Close(); err != nil {
		t.Error(err)
	}
}

func TestAThrottledBoxGetsItsShare(t *testing.T) {
	b := open(t)
	if !b.Capabilities().CPUQuota {
		t.Skip("no cpu quota on this rung")
	}
	e := b.start(spec("python3.11", 128))
	if err := e.Sandbox.(runner.Throttler).Throttle(100); err != nil {
		t.Fatal(err)
	}
	spent := e.run("import time\na=time.process_time(); w=time.monotonic()\nwhile time.monotonic()-w<0.6: pass\nreturn time.process_time()-a")
	var seconds float64
	if _, err := fmt.Sscan(spent, &seconds); err != nil || seconds > 0.25 {
		t.Errorf("a box of a tenth of a core used %s s in 0.6 s", spent)
	}
	if err := e.Sandbox.(runner.Throttler).Throttle(0); err != nil {
		t.Error(err)
	}
}

func TestManyParallelStarts(t *testing.T) {
	b := open(t)
	n := 200
	if testing.Short() {
		n = 20
	}
	s := spec("provided.al2023", 64)
	s.Code = b.tree("b3", map[string]string{"bootstrap": "#!/bin/sh\necho up\nexec sleep 1000\n"})
	var wg sync.WaitGroup
	boxes := make([]runner.Sandbox, n)
	for i := range n {
		wg.Go(func() {
			box, err := b.Start(context.Background(), s)
			if err != nil {
				t.Error(err)
				return
			}
			boxes[i] = box
			if line, err := bufio.NewReader(box.Stdout()).ReadString('\n'); line != "up\n" {
				t.Errorf("%q %v", line, err)
			}
		})
	}
	wg.Wait()
	for _, box := range boxes {
		if box != nil {
			wg.Go(func() {
				if err := box.Stop(context.Background()); err != nil {
					t.Error(err)
				}
				if err := box.(*sandbox).closeAll(); err != nil {
					t.Error(err)
				}
			})
		}
	}
	wg.Wait()
	b.wantNothingLeft(t)
}

func TestTmpIsOnDiskAndNotTheFunctionsMemory(t *testing.T) {
	b := open(t)
	if !b.Capabilities().DiskTmp {
		t.Skip("/tmp is memory on this rung")
	}
	e := b.start(spec("python3.11", 128))
	got := e.run(`import os
f=open('/tmp/big','wb')
for _ in range(200): f.write(b'x'*(1<<20))
f.flush()
try:
    for _ in range(600): f.write(b'x'*(1<<20)); f.flush()
    full='never full'
except OSError as e: full=os.strerror(e.errno)
os.unlink('/tmp/big')
return full`)
	if got != `"No space left on device"` {
		t.Error(got)
	}
	select {
	case <-e.Exited():
		t.Errorf("writing to /tmp ended the box: %+v", e.Exit())
	default:
	}
}
