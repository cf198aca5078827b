package executortest

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"sync"
	"testing"
	"time"

	"kiln/executor/runner"
)

// DriverBed is a driver under test.
type DriverBed struct {
	Driver runner.Driver
	// Runtime is the name of a Python runtime of the machine: the rules say what to do in Python, through Kiln's own bootstrap.
	Runtime string
	// Package puts files where the driver finds the code and gives their SHA-256.
	Package func(files map[string]string) string
	// Isolated: a sandbox shows nothing of the server's, not even descriptors that the server itself inherited.
	Isolated bool
	// Left describes what of stopped sandboxes is still there (processes, mounts, cgroups); nil when the driver leaves it to the suite.
	Left func() []string
}

// TestDriver holds a driver to the contract of runner.Driver and runner.Sandbox. open gives a fresh bed for each rule.
func TestDriver(t *testing.T, open func(t *testing.T) *DriverBed) {
	for name, rule := range map[string]func(*testing.T, *DriverBed){
		"Output is complete before Exited":        driverOutput,
		"A line of 20 MB does not hang":           driverLongLine,
		"Stop may be called twice and while busy": driverStop,
		"Stop before the boot has ended":          driverStopEarly,
		"Exit tells status and signal":            driverExit,
		"Nothing of the server leaks in":          driverLeak,
		"Many start at once":                      driverMany,
		"Freeze and thaw":                         driverFreeze,
		"A cold start has code and environment":   driverCold,
	} {
		t.Run(name, func(t *testing.T) { rule(t, open(t)) })
	}
}

// driven is a sandbox with a handler in it that runs the Python it is sent.
type driven struct {
	runner.Sandbox
	t              testing.TB
	stdout, stderr *drain
	records        *drain
	number         uint32
}

// drain reads a pipe to its end.
type drain struct {
	done chan struct{}
	text strings.Builder
}

func drainOf(r io.Reader) *drain {
	d := &drain{done: make(chan struct{})}
	go func() {
		_, _ = io.Copy(&d.text, r) // ends with the pipe
		close(d.done)
	}()
	return d
}

func (d *drain) all() string {
	<-d.done
	return d.text.String()
}

const evalHandler = "import os, sys, time\ndef handler(event, context):\n    scope = {}\n    exec('def f():\\n' + ''.join('    ' + l + '\\n' for l in event.split('\\n')), globals(), scope)\n    return scope['f']()\n"

func (b *DriverBed) spec() runner.Spec {
	return runner.Spec{ID: fmt.Sprint("contract-", contractSerial.Add(1)), Runtime: b.Runtime, MemoryMB: 256, EphemeralMB: 512}
}

func (b *DriverBed) start(t testing.TB, spec runner.Spec) *driven {
	t.Helper()
	s, err := b.Driver.Start(t.Context(), spec)
	if err != nil {
		t.Fatal(err)
	}
	d := &driven{Sandbox: s, t: t, stdout: drainOf(s.Stdout()), stderr: drainOf(s.Stderr()), records: drainOf(s.Records())}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		if err := s.Stop(ctx); err != nil {
			t.Error(err)
		}
		s.Channel().Close()
	})
	return d
}

// ready is a sandbox with the handler loaded.
func (b *DriverBed) ready(t testing.TB) *driven {
	t.Helper()
	d := b.start(t, b.spec())
	d.load(b.Package(map[string]string{"app.py": evalHandler}))
	return d
}

func (d *driven) load(code string) {
	d.t.Helper()
	d.want('B')
	if p, ok := d.Sandbox.(runner.PreBooter); ok && code != "" {
		if err := p.HandOver(d.t.Context(), runner.HandOver{Code: code, MemoryMB: 256, EphemeralMB: 512}); err != nil {
			d.t.Fatal(err)
		}
	}
	task, opt := "/var/task", "/opt"
	if l, ok := d.Sandbox.(runner.Located); ok {
		task, opt = l.Folders()
	}
	body, err := json.Marshal(map[string]any{"env": map[string]string{"MINE": "yes"}, "handler": "app.handler", "runtime": "python3.12", "task": task, "opt": opt, "limit": 6 << 20,
		"logFormat": "Text", "logLevel": "INFO", "name": "f", "version": "1", "memory": "256", "group": "g", "stream": "s"})
	if err != nil {
		d.t.Fatal(err)
	}
	d.send('H', body)
	d.want('L')
}

func (d *driven) send(kind byte, payload []byte) {
	d.t.Helper()
	b := binary.BigEndian.AppendUint32(nil, uint32(len(payload)))
	b = binary.BigEndian.AppendUint32(append(b, kind), d.number)
	if _, err := d.Channel().Write(append(b, payload...)); err != nil {
		d.t.Fatal(err)
	}
}

// tell sends Python to run, without waiting for what it returns.
func (d *driven) tell(code string) {
	d.t.Helper()
	d.number++
	event, _ := json.Marshal(code) // a string
	payload := make([]byte, 8, 16+len(event))
	payload = append(payload, 0, 2, 'i', 'd', 0, 0, 0, 0, 0, 0)
	d.send('I', append(payload, event...))
}

// run gives what the Python returned, as JSON.
func (d *driven) run(code string) string {
	d.t.Helper()
	d.tell(code)
	return d.want('R')
}

func (d *driven) want(kind byte) string {
	d.t.Helper()
	var head [memoryHeader]byte
	if err := d.Channel().SetReadDeadline(time.Now().Add(time.Minute)); err != nil {
		d.t.Fatal(err)
	}
	if _, err := io.ReadFull(d.Channel(), head[:]); err != nil {
		d.t.Fatalf("wait for frame %c: %v", kind, err)
	}
	payload := make([]byte, binary.BigEndian.Uint32(head[:]))
	if _, err := io.ReadFull(d.Channel(), payload); err != nil {
		d.t.Fatal(err)
	}
	if head[4] != kind {
		d.t.Fatalf("frame %c, want %c: %s", head[4], kind, payload)
	}
	return string(payload)
}

func (d *driven) ended() runner.Exit {
	d.t.Helper()
	select {
	case <-d.Exited():
	case <-time.After(time.Minute):
		d.t.Fatal("the sandbox does not end")
	}
	return d.Exit()
}

func driverOutput(t *testing.T, b *DriverBed) {
	d := b.ready(t)
	d.tell("os.write(1, b'x' * (1 << 20) + b'END')\nos.write(2, b'err')\nos._exit(3)")
	if e := d.ended(); e.Code != 3 || e.Signal != "" {
		t.Errorf("%+v", e)
	}
	if out := d.stdout.all(); len(out) != 1<<20+3 || !strings.HasSuffix(out, "END") {
		t.Errorf("%d bytes of output", len(out))
	}
	if out := d.stderr.all(); out != "err" {
		t.Errorf("stderr %q", out)
	}
}

func driverLongLine(t *testing.T, b *DriverBed) {
	d := b.ready(t)
	if got := d.run("n = 0\nwhile n < 20 << 20: n += os.write(1, b'y' * 65536)\nreturn n"); got != "20971520" {
		t.Error(got)
	}
}

func driverStop(t *testing.T, b *DriverBed) {
	d := b.ready(t)
	d.tell("import subprocess\nsubprocess.Popen(['sleep', '1000'])\nwhile True: pass")
	var all sync.WaitGroup
	for range 3 {
		all.Go(func() {
			if err := d.Stop(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if e := d.ended(); e.Code != -1 || e.Signal != "killed" || e.OutOfMemory {
		t.Errorf("%+v", e)
	}
	if err := d.Stop(t.Context()); err != nil {
		t.Error(err)
	}
	b.nothingLeft(t)
}

func (b *DriverBed) nothingLeft(t *testing.T) {
	t.Helper()
	if b.Left == nil {
		return
	}
	if left := b.Left(); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

func driverStopEarly(t *testing.T, b *DriverBed) {
	for range 5 {
		d := b.start(t, b.spec())
		if err := d.Stop(t.Context()); err != nil {
			t.Error(err)
		}
		d.ended()
	}
	b.nothingLeft(t)
}

func driverExit(t *testing.T, b *DriverBed) {
	d := b.ready(t)
	d.tell("sys.exit(0)")
	if e := d.ended(); e.Code != 0 || e.Signal != "" || e.OutOfMemory {
		t.Errorf("%+v", e)
	}
	if d.PeakMemoryMB() < 0 {
		t.Error("a negative peak")
	}
}

func driverLeak(t *testing.T, b *DriverBed) {
	t.Setenv("KILN_CONTRACT_SECRET", "leaked")
	d := b.ready(t)
	if got := d.run("return sorted(k for k in os.environ)"); got != `["MINE"]` {
		t.Errorf("environment %s", got)
	}
	if got := d.run("return open('/proc/self/environ').read().count('leaked')"); got != "0" {
		t.Error("the server's environment is in the sandbox")
	}
	if got := d.run("return sorted(int(f) for f in os.listdir('/proc/self/fd') if int(f) < 1000)[:5]"); got != "[0, 1, 2, 3, 4]" {
		t.Errorf("descriptors %s", got)
	}
	if got := d.run("return len(os.listdir('/proc/self/fd')) <= 6"); b.Isolated && got != "true" {
		t.Errorf("more descriptors than a worker needs: %s", d.run("return [os.readlink('/proc/self/fd/' + f) for f in os.listdir('/proc/self/fd') if os.path.islink('/proc/self/fd/' + f)]"))
	}
}

func driverMany(t *testing.T, b *DriverBed) {
	var all sync.WaitGroup
	for range 20 {
		all.Go(func() {
			s, err := b.Driver.Start(t.Context(), b.spec())
			if err != nil {
				t.Error(err)
				return
			}
			defer s.Channel().Close()
			if _, err := io.ReadFull(s.Channel(), make([]byte, memoryHeader)); err != nil {
				t.Error(err)
			}
			if err := s.Stop(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	b.nothingLeft(t)
}

func driverFreeze(t *testing.T, b *DriverBed) {
	d := b.ready(t)
	f, ok := d.Sandbox.(runner.Freezer)
	if !ok || !b.Driver.Capabilities().Freezer {
		t.Skip("the driver freezes nothing")
	}
	for range 3 {
		if err := f.Freeze(); err != nil {
			t.Fatal(err)
		}
		if err := f.Thaw(); err != nil {
			t.Fatal(err)
		}
		if got := d.run("return 1"); got != "1" {
			t.Error(got)
		}
	}
	if err := f.Freeze(); err != nil {
		t.Fatal(err)
	}
	if err := d.Stop(t.Context()); err != nil { // a frozen one can be ended
		t.Error(err)
	}
	d.ended()
}

func driverCold(t *testing.T, b *DriverBed) {
	spec := b.spec()
	spec.Code = b.Package(map[string]string{"app.py": evalHandler})
	spec.Env = []string{"PYTHONHASHSEED=7", "FROM_SPEC=yes"}
	d := b.start(t, spec)
	d.load("")
	if got := d.run("return [open('/proc/self/environ').read().count('FROM_SPEC=yes'), sys.flags.hash_randomization]"); got != "[1, 1]" {
		t.Error(got)
	}
}
