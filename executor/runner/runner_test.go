package runner_test

import (
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"kiln/executor"
	"kiln/executor/executortest"
	"kiln/executor/runner"
	"kiln/executor/runtimes"
	"kiln/lambda"
)

var machine *runtimes.Set

func TestMain(m *testing.M) {
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
	return s
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

