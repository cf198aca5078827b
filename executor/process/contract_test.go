//go:build linux

package process

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"kiln/executor/runner"
	"kiln/lambda"
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
func (e *eval) namespaces(t testing.TB) string {
	t.Helper()
	code := does{node: `return require('fs').readlinkSync('/proc/self/ns/pid')`, python: `import os
return os.readlink('/proc/self/ns/pid')`}
	got := e.run(code.python)
	if strings.HasPrefix(got, "error") {
		got = e.run(code.node)
	}
	return strings.Trim(got, `"`)
}

func processesIn(ns string) (n int) {
	links, _ := filepath.Glob("/proc/[0-9]*/ns/pid")
	for _, l := range links {
		stat, _ := os.ReadFile(filepath.Dir(filepath.Dir(l)) + "/stat")
		if to, err := os.Readlink(l); err == nil && to == ns && !strings.Contains(string(stat), ") Z ") { // the dead wait for their parent
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

func TestTheCPUMeterCountsWork(t *testing.T) {
	b := open(t)
	e := b.start(spec("python3.11", 128))
	before := e.Sandbox.(runner.CPUMeter).CPU()
	e.run("import time\na=time.process_time()\nwhile time.process_time()-a<0.2: pass\nreturn 1")
	used := e.Sandbox.(runner.CPUMeter).CPU() - before
	if before <= 0 || used < 180*time.Millisecond || used > 2*time.Second {
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

func TestHandOverMountsCodeLayersAndTmpOnce(t *testing.T) {
	b := open(t)
	h := runner.HandOver{MemoryMB: 128, EphemeralMB: 600,
		Code:   b.tree("c0de", map[string]string{"index.js": "code of the function", "sub/x": "1"}),
		Layers: []string{b.tree("1a", map[string]string{"a": "low", "both": "low"}), b.tree("1b", map[string]string{"b": "high", "both": "high"})}}
	eachRuntime(t, b, func(t *testing.T, rt string) {
		e := b.startOn(t, spec(rt, 256))
		if err := e.Sandbox.(runner.PreBooter).HandOver(t.Context(), h); err != nil {
			t.Fatal(err)
		}
		code := does{
			node: `const fs=require('fs'); process.chdir('/var/task'); const r=p=>fs.readFileSync(p,'utf8');
let w; try{fs.writeFileSync('/var/task/new','x'); w='written'}catch(e){w=e.code}
let o; try{fs.writeFileSync('/opt/new','x'); o='written'}catch(e){o=e.code}
fs.writeFileSync('/tmp/mine','x'); const s=fs.statfsSync('/tmp');
return [r('index.js'),r('/opt/a'),r('/opt/b'),r('/opt/both'),w,o,fs.readdirSync('/tmp').join()].join(' ')`,
			python: `import os
os.chdir('/var/task')
r=lambda p: open(p).read()
def w(p):
    try: open(p,'w'); return 'written'
    except OSError as e: return 'EROFS' if e.errno==30 else str(e)
open('/tmp/mine','w')
return ' '.join([r('index.js'),r('/opt/a'),r('/opt/b'),r('/opt/both'),w('/var/task/new'),w('/opt/new'),','.join(os.listdir('/tmp'))])`,
		}
		if got := e.run(code.in(rt)); got != `"code of the function low high high EROFS EROFS mine"` {
			t.Error(got)
		}
		if err := e.Sandbox.(runner.PreBooter).HandOver(t.Context(), h); err == nil {
			t.Error("a box was handed over twice")
		}
	})
}

func TestHandOverLowersTheMemoryLimit(t *testing.T) {
	b := open(t)
	if b.Capabilities().Cgroups == "" {
		t.Skip("no cgroups on this rung")
	}
	e := b.start(spec("python3.11", 256))
	if err := e.Sandbox.(runner.PreBooter).HandOver(t.Context(), runner.HandOver{Code: b.tree("c0", map[string]string{"a": ""}), MemoryMB: 150, EphemeralMB: 512}); err != nil {
		t.Fatal(err)
	}
	if err := e.send("x=b'x'*(200<<20)"); err != nil {
		t.Fatal(err)
	}
	if exit := waitExit(t, e); !exit.OutOfMemory || exit.PeakMemoryMB > 151 {
		t.Errorf("exit %+v", exit)
	}
}

func TestHandOverRefusesWhatIsNotATree(t *testing.T) {
	b := open(t)
	link := strings.Repeat("0", 60) + "1111"
	if err := os.Symlink("/etc", filepath.Join(b.data, "code", link)); err != nil {
		t.Fatal(err)
	}
	e := b.start(spec("python3.11", 128))
	for _, code := range []string{link, strings.Repeat("f", 64), "../../etc", strings.Repeat("F", 64), ""} {
		if err := e.Sandbox.(runner.PreBooter).HandOver(t.Context(), runner.HandOver{Code: code, MemoryMB: 128, EphemeralMB: 512}); err == nil {
			t.Errorf("code %q was mounted", code)
		}
	}
	if got := e.run("import os\nreturn os.listdir('/var/task')"); got != "[]" {
		t.Error(got)
	}
}

func TestTheListenersInsideBelongToTheBox(t *testing.T) {
	b := open(t)
	e := b.start(spec("python3.11", 128))
	for port, l := range map[int]net.Listener{9001: e.RuntimeAPI(), 9002: e.AWS()} {
		if l == nil {
			t.Fatalf("no listener for %d", port)
		}
		go func() {
			c, err := l.Accept()
			if err != nil {
				return
			}
			defer c.Close()
			line, _ := bufio.NewReader(c).ReadString('\n')
			_, _ = io.WriteString(c, strings.ToUpper(line))
		}()
		got := e.run(fmt.Sprintf("import socket\ns=socket.create_connection(('127.0.0.1',%d),5)\ns.sendall(b'hello\\n')\nreturn s.makefile().readline()", port))
		if got != `"HELLO\n"` {
			t.Errorf("port %d: %s", port, got)
		}
	}
}

func TestColdStartRunsTheFunctionsOwnProgram(t *testing.T) {
	b := open(t)
	s := spec("provided.al2023", 128)
	s.Env = []string{"GREETING=hello there", "EMPTY=", "PATH=/usr/bin:/bin"}
	s.Code = b.tree("b0", map[string]string{"bootstrap": "#!/bin/sh\nset -o pipefail\nsource /var/task/lib.sh\necho \"$GREETING $(pwd) $WHO\"\necho err >&2\nexit 7\n", "lib.sh": "WHO=$(id -un)\n"})
	e := b.start(s)
	if exit := waitExit(t, e); exit.Code != 7 {
		t.Errorf("exit %+v: %s", exit, e.err.all())
	}
	if out := e.out.all(); out != "hello there /var/task sbx_user1051\n" {
		t.Errorf("output %q", out)
	}
	if err := e.err.all(); err != "err\n" {
		t.Errorf("errors %q", err)
	}
}

func TestAnExecWrapperStartsTheRuntime(t *testing.T) {
	b := open(t)
	s := spec("python3.11", 128)
	s.Env = []string{"PATH=/usr/bin:/bin"}
	s.Code = b.tree("b1", map[string]string{"wrap": "#!/bin/bash\nexport WRAPPED=yes\nexec \"$@\"\n"})
	s.Wrapper = "/var/task/wrap"
	if got := b.start(s).run("import os\nreturn os.environ['WRAPPED']"); got != `"yes"` {
		t.Error(got)
	}
}

func TestABoxThatEndsAtOnceStillDeliversItsOutput(t *testing.T) {
	b := open(t)
	s := spec("provided.al2023", 64)
	s.Code = b.tree("b4", map[string]string{"bootstrap": "#!/bin/sh\necho short life\n"})
	for range 20 {
		e := b.start(s)
		if exit, out := waitExit(t, e), e.out.all(); exit.Code != 0 || out != "short life\n" {
			t.Errorf("%+v %q", exit, out)
		}
	}
}

func TestAMissingProgramIsTheFunctionsFault(t *testing.T) {
	b := open(t)
	s := spec("provided.al2023", 128)
	s.Code = b.tree("b2", map[string]string{"readme": "no bootstrap"})
	_, err := b.Start(t.Context(), s)
	if lambda.KeyOf(err) != "sandbox.entrypoint" || !errors.Is(err, runner.ErrNoEntrypoint) {
		t.Errorf("error %v", err)
	}
	s.Runtime = "python3.99"
	s.Code = ""
	if _, err = b.Start(t.Context(), s); lambda.KeyOf(err) != "runtime.missing" {
		t.Errorf("error %v", err)
	}
	b.wantNothingLeft(t)
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
	ns := []string{plain.namespaces(t), frozen.namespaces(t)}
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
