//go:build linux

package process

import (
	"bufio"
	"context"
	"encoding/json"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"kiln/executor/runner"
	"kiln/executor/runtimes"
)

// TestMain lets the test binary play the spawner and the box's first program.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == "spawner" {
		os.Exit(SpawnerMainWith(os.Args[2:], Config{Discover: testRuntimes, Bootstraps: testBootstraps}))
	}
	if len(os.Args) > 1 && strings.HasPrefix(os.Args[1], "helper-") {
		os.Exit(helperMain(os.Args[1], os.Args[2:]))
	}
	os.Exit(m.Run())
}

func testRuntimes() []runtimes.Runtime {
	list := []runtimes.Runtime{{Name: "provided.al2023", Family: runtimes.Provided}}
	if p, err := filepath.EvalSymlinks("/usr/bin/node"); err == nil {
		list = append(list, runtimes.Runtime{Name: "nodejs20.x", Family: runtimes.Node, Binary: p})
	}
	if p, err := filepath.EvalSymlinks("/usr/bin/python3"); err == nil {
		list = append(list, runtimes.Runtime{Name: "python3.11", Family: runtimes.Python, Binary: p})
	}
	return list
}

// testBootstraps writes the bootstraps of testdata, which run whatever a test sends. They are compiled in: the spawner's folder is /.
func testBootstraps(dir string) error {
	for name, text := range bootstrapTexts {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			return err
		}
	}
	return nil
}

// bed is a driver with its data folder.
type bed struct {
	*Driver
	t    testing.TB
	data string
}

var boxNumber atomic.Int64

func dataFolder(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "kiln-sandbox-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(dir, "code"), 0o755); err != nil {
		t.Fatal(err)
	}
	return dir
}

// open gives a driver of the best rung that this process can have: A as root, B as a plain user.
func open(t testing.TB) *bed {
	t.Helper()
	data := dataFolder(t)
	d, err := New(t.Context(), Options{Data: data})
	if err != nil {
		t.Fatal(err)
	}
	b := &bed{Driver: d, t: t, data: data}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
		defer cancel()
		if err := d.Close(ctx); err != nil {
			t.Error(err)
		}
	})
	if rung := d.Capabilities().Rung; rung == runner.RungD {
		t.Skipf("this machine has no sandbox: %+v", d.Capabilities().Missing)
	}
	return b
}

// tree puts files into the code folder and gives their digest-shaped name.
func (b *bed) tree(name string, files map[string]string) string {
	b.t.Helper()
	digest := strings.Repeat("0", 64-len(name)) + name
	for at, text := range files {
		path := filepath.Join(b.data, "code", digest, at)
		mode := os.FileMode(0o644)
		if strings.HasPrefix(text, "#!") {
			mode = 0o755
		}
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			b.t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), mode); err != nil {
			b.t.Fatal(err)
		}
	}
	return digest
}

// eval is a box whose runtime runs what the test sends.
type eval struct {
	runner.Sandbox
	t        testing.TB
	in       *bufio.Reader
	out, err *collector
	n        int
	mu       sync.Mutex
}

// collector reads a pipe to its end.
type collector struct {
	done chan struct{}
	text strings.Builder
}

func collect(r io.ReadCloser) *collector {
	c := &collector{done: make(chan struct{})}
	go func() {
		defer close(c.done)
		defer r.Close()
		_, _ = io.Copy(&c.text, r)
	}()
	return c
}

func (c *collector) all() string {
	<-c.done
	return c.text.String()
}

func spec(rt string, memoryMB int) runner.Spec {
	return runner.Spec{ID: "t-" + time.Now().Format("150405") + "-" + string(rune('a'+boxNumber.Add(1)%26)), Runtime: rt, MemoryMB: memoryMB, EphemeralMB: 512}
}

func (b *bed) start(s runner.Spec) *eval {
	b.t.Helper()
	return b.startOn(b.t, s)
}

func (b *bed) startOn(t testing.TB, s runner.Spec) *eval {
	t.Helper()
	if s.Runtime == "nodejs20.x" {
		if _, err := exec.LookPath("/usr/bin/node"); err != nil {
			t.Skip("no Node.js here")
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	box, err := b.Start(ctx, s)
	if err != nil {
		t.Fatalf("start %s: %v", s.Runtime, err)
	}
	e := &eval{Sandbox: box, t: t, out: collect(box.Stdout()), err: collect(box.Stderr())}
	if box.Channel() != nil {
		e.in = bufio.NewReaderSize(box.Channel(), 64<<10)
	}
	t.Cleanup(func() { e.end() })
	return e
}

func (e *eval) end() {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	if err := e.Stop(ctx); err != nil {
		e.t.Error(err)
	}
	if e.Channel() != nil {
		e.Channel().Close()
		e.Records().Close()
	}
}

type result struct {
	ID    int             `json:"id"`
	Value json.RawMessage `json:"value"`
	Error string          `json:"error"`
}

// run sends source and gives its value as JSON text, or "error: …".
func (e *eval) run(code string) string {
	e.t.Helper()
	e.mu.Lock()
	defer e.mu.Unlock()
	if err := e.send(code); err != nil {
		return "error: " + err.Error()
	}
	if err := e.Channel().SetReadDeadline(time.Now().Add(60 * time.Second)); err != nil {
		e.t.Fatal(err)
	}
	line, err := e.in.ReadBytes('\n')
	if err != nil {
		return "error: " + err.Error()
	}
	var r result
	if err := json.Unmarshal(line, &r); err != nil {
		e.t.Fatalf("answer %q: %v", line, err)
	}
	if r.Error != "" {
		return "error: " + r.Error
	}
	return string(r.Value)
}

func (e *eval) send(code string) error {
	e.n++
	b, err := json.Marshal(map[string]any{"id": e.n, "code": code})
	if err != nil {
		return err
	}
	_, err = e.Channel().Write(append(b, '\n'))
	return err
}

func waitFor(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
		if ok() {
			return
		}
	}
	t.Fatalf("waited too long for %s", what)
}
