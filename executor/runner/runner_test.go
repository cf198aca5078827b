package runner_test

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"kiln/executor"
	"kiln/executor/executortest"
	"kiln/executor/process"
	"kiln/executor/runner"
	"kiln/executor/runtimes"
	"kiln/lambda"
)

var machine *runtimes.Set

// TestMain lets the test binary play the sandbox driver's spawner.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == "spawner" {
		os.Exit(process.SpawnerMain(os.Args[2:]))
	}
	machine = runtimes.Discover(context.Background(), os.Getenv("KILN_TEST_DATA"))
	os.Exit(m.Run())
}

// stand is a runner over plain processes.
type stand struct {
	*executortest.Provider
	*runner.Runner
	boots string
}

var serial atomic.Int64

func newStand(t testing.TB, change func(*runner.Options)) *stand {
	t.Helper()
	s := &stand{Provider: executortest.NewProvider(t, ""), boots: filepath.Join(t.TempDir(), "boots")}
	if err := runtimes.WriteBootstraps(s.boots); err != nil {
		t.Fatal(err)
	}
	o := runner.Options{
		Driver:   &executortest.Processes{Code: s.Provider.Dir, Boots: s.boots, Runtimes: machine},
		Provider: s.Provider, Sink: s.Provider, Runtimes: machine, Log: slog.New(slog.DiscardHandler),
	}
	if testing.Verbose() {
		o.Log = slog.New(slog.NewTextHandler(os.Stderr, nil))
	}
	if change != nil {
		change(&o)
	}
	s.serve(t, o)
	return s
}

// newSandbox is the real sandbox driver on the best rung of this machine, and its code folder.
func newSandbox(t testing.TB) (*process.Driver, string) {
	t.Helper()
	data, err := os.MkdirTemp("", "kiln-runner-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(data) })
	if err := errors.Join(os.Chmod(data, 0o755), os.Mkdir(filepath.Join(data, "code"), 0o755)); err != nil {
		t.Fatal(err)
	}
	d, err := process.New(t.Context(), process.Options{Data: data})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
		defer cancel()
		if err := d.Close(ctx); err != nil {
			t.Error(err)
		}
	})
	if c := d.Capabilities(); c.Rung == runner.RungD {
		t.Skipf("no sandbox here: %+v", c.Missing)
	}
	return d, filepath.Join(data, "code")
}

// newSandboxStand is a runner over the real sandbox.
func newSandboxStand(t testing.TB) *stand {
	t.Helper()
	d, code := newSandbox(t)
	s := &stand{Provider: executortest.NewProvider(t, code)}
	s.serve(t, runner.Options{Driver: d, Provider: s.Provider, Sink: s.Provider, Runtimes: machine, Log: slog.New(slog.DiscardHandler)})
	return s
}

func TestTheSandboxKeepsTheDriversContract(t *testing.T) {
	d, code := newSandbox(t)
	rt, _, err := machine.Resolve("python3.11")
	if err != nil {
		t.Skip(err)
	}
	p := executortest.NewProvider(t, code)
	executortest.TestDriver(t, func(t *testing.T) *executortest.DriverBed {
		return &executortest.DriverBed{Driver: d, Runtime: rt.Name, Isolated: true, Package: func(files map[string]string) string { return p.Package(t, files) }}
	})
}

// serve starts the runner and ends it with the test.
func (s *stand) serve(t testing.TB, o runner.Options) {
	s.Runner = runner.New(o)
	ctx, stop := context.WithCancel(context.Background())
	tended := make(chan error, 1)
	go func() { tended <- s.Runner.Tend(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-tended; err != nil {
			t.Error(err)
		}
		ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
		defer cancel()
		if err := s.Runner.Close(ctx); err != nil {
			t.Error(err)
		}
	})
}

func event(d lambda.Digest, body string) executor.Assignment {
	n := serial.Add(1)
	return executor.Assignment{RequestID: "00000000-0000-4000-8000-" + strconv.FormatInt(1e11+n, 10), Digest: d, Event: []byte(body),
		AcceptedAt: time.Now(), Timeout: 10 * time.Second, InvokedARN: "arn:aws:lambda:us-east-1:000000000000:function:f", WantTail: true}
}

func (s *stand) do(t testing.TB, a executor.Assignment) executor.Outcome {
	t.Helper()
	out, err := s.Run(t.Context(), a)
	if err != nil {
		t.Fatal(err)
	}
	return out
}
