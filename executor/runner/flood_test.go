package runner_test

import (
	"log/slog"
	"runtime"
	"sync/atomic"
	"testing"

	"kiln/executor/executortest"
	"kiln/executor/runner"
	"kiln/executor/runtimes"
	"kiln/lambda"
)

// counting is a sink that keeps nothing.
type counting struct{ lines, bytes, largest atomic.Int64 }

func (c *counting) Lines(lines []lambda.LogLine) {
	for _, l := range lines {
		c.lines.Add(1)
		c.bytes.Add(int64(len(l.Text)))
		if n := int64(len(l.Text)); n > c.largest.Load() {
			c.largest.Store(n)
		}
	}
}

// TestAFloodOfOutputIsHeldInLittleMemory prints 1 GB, with and without newlines: nothing hangs, nothing is lost, little is held.
func TestAFloodOfOutputIsHeldInLittleMemory(t *testing.T) {
	if testing.Short() {
		t.Skip("prints 1 GB")
	}
	var sink counting
	p := executortest.NewProvider(t, "")
	boots := t.TempDir()
	if err := runtimes.WriteBootstraps(boots); err != nil {
		t.Fatal(err)
	}
	s := &stand{Provider: p}
	s.serve(t, runner.Options{Driver: &executortest.Processes{Code: p.Dir, Boots: boots, Runtimes: machine}, Provider: p, Sink: &sink, Runtimes: machine, Log: slog.New(slog.DiscardHandler)})
	d := s.Deploy(t, "flood", lambda.Config{Runtime: "python3.11", Handler: "app.handler"}, py(`
import os
def handler(e, c):
    line = (b'z' * 1023 + b'\n') * 1024
    long = b'y' * (1 << 20)
    for _ in range(512):
        for block in (line, long):
            at = 0
            while at < len(block): at += os.write(1, block[at:])
    return 'done'
`))
	a := event(d, `{}`)
	a.Timeout = 15 * 60 * 1e9
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	out := s.do(t, a)
	runtime.ReadMemStats(&after)
	if string(out.Payload) != `"done"` {
		t.Errorf("%s", out.Payload)
	}
	if got, want := sink.bytes.Load(), int64(512*(1023*1024+1<<20)); got != want {
		t.Errorf("%d bytes of text, want %d", got, want)
	}
	if sink.largest.Load() > 262_144 {
		t.Errorf("a line of %d bytes", sink.largest.Load())
	}
	if grown := int64(after.HeapSys) - int64(before.HeapSys); grown > 64<<20 {
		t.Errorf("the heap grew by %d MB", grown>>20)
	}
}
