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

func TestSmoke(t *testing.T) {
	s := newStand(t, nil)
	node := s.Deploy(t, "hello", lambda.Config{Runtime: "nodejs20.x", Handler: "index.handler"}, map[string]string{
		"index.js": `console.log("init"); exports.handler = async (e, c) => { console.log("hi", e, c.awsRequestId); return {ok: e.a} }`})
	py := s.Deploy(t, "hello", lambda.Config{Runtime: "python3.11", Handler: "app.handler"}, map[string]string{
		"app.py": "import logging\nprint('init')\ndef handler(e, c):\n    print('hi', e)\n    logging.warning('careful %s', c.aws_request_id)\n    return {'ok': e['a']}\n"})
	for _, d := range []lambda.Digest{node, py} {
		for range 3 {
			out := s.do(t, event(d, `{"a":1}`))
			t.Logf("%s %s %+v\n%s", out.Payload, out.FunctionError, out.Report, out.LogTail)
		}
	}
}
