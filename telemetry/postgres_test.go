package telemetry_test

import (
	"context"
	"fmt"
	"sync"
	"syscall"
	"testing"
	"time"

	"kiln/lambda"
	"kiln/store"
	"kiln/store/storetest"
	"kiln/telemetry"
)

// open runs a pipeline on a real database; stop flushes it.
func open(t testing.TB, s *store.Store) (*telemetry.Pipeline, *telemetry.Hub, func()) {
	t.Helper()
	hub := telemetry.NewHub(telemetry.Limits{})
	p, err := telemetry.New(telemetry.Options{Sink: s, Hub: hub, Epoch: s.Epoch(), Folder: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- p.Run(ctx) }()
	stop := sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(stop)
	return p, hub, stop
}

func batch(fn int64, from, n int) []lambda.LogLine {
	out := make([]lambda.LogLine, n)
	for i := range out {
		out[i] = lambda.LogLine{FunctionID: fn, RequestID: "8f507cfc-0000-4000-8000-000000000001", Version: lambda.Latest, Worker: "w", At: time.Now(), Level: lambda.LevelInfo, Text: fmt.Sprintf("%d/%d", fn, from+i)}
	}
	return out
}

// kept is every kept line of a function, oldest first.
func kept(t *testing.T, s *store.Store, fn int64) []lambda.LogLine {
	t.Helper()
	var all []lambda.LogLine
	q := lambda.LogQuery{FunctionID: fn, Limit: 5000}
	for {
		page, err := s.LogLines(t.Context(), q)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, page...)
		if len(page) < q.Limit {
			return all
		}
		q.After = page[len(page)-1].ID
	}
}

func TestNothingIsLostOrDoubledWhenPostgresIsKilled(t *testing.T) {
	s := storetest.New(t)
	p, _, stop := open(t, s)
	const functions, perFunction, runs = 3, 6000, 300
	at := time.Now().UTC().Truncate(time.Minute)
	var wg sync.WaitGroup
	for fn := int64(1); fn <= functions; fn++ {
		wg.Go(func() {
			for i := 0; i < perFunction; i += 20 {
				p.Lines(batch(fn, i, 20))
				if i%20 == 0 && i/20 < runs {
					p.Record(lambda.Run{Report: lambda.Report{RequestID: fmt.Sprintf("8f507cfc-%04d-4000-8000-%012d", fn, i/20), FunctionID: fn, Version: lambda.Latest, Status: lambda.StatusOK, Source: lambda.SourceAPI,
						AcceptedAt: at, StartedAt: at, Duration: time.Millisecond, BilledMS: 1, MemoryMB: 128}})
				}
				time.Sleep(8 * time.Millisecond) // seconds of work, in which the database dies three times
			}
		})
	}
	for range 3 {
		time.Sleep(150 * time.Millisecond)
		if pid := storetest.Server(t).PID(); pid != 0 {
			_ = syscall.Kill(pid, syscall.SIGKILL)
		}
		for i := 0; !p.Health().Away && i < 200; i++ {
			time.Sleep(5 * time.Millisecond)
		}
	}
	wg.Wait()
	for p.Health().Waiting > 0 || p.Health().Spooled > 0 {
		time.Sleep(20 * time.Millisecond)
	}
	stop()
	for fn := int64(1); fn <= functions; fn++ {
		lines := kept(t, s, fn)
		if len(lines) != perFunction {
			t.Errorf("function %d: %d lines, want %d", fn, len(lines), perFunction)
		}
		for i, l := range lines[:min(len(lines), perFunction)] {
			if want := fmt.Sprintf("%d/%d", fn, i); l.Text != want {
				t.Fatalf("function %d: line %d is %q, want %q", fn, i, l.Text, want)
			}
		}
		points, err := s.Metrics(t.Context(), lambda.MetricQuery{FunctionID: fn, From: at, To: at.Add(time.Minute), Step: time.Minute})
		if err != nil || len(points) != 1 || points[0].N != runs {
			t.Errorf("function %d: points %+v, %v", fn, points, err)
		}
	}
}

func TestAViewerOnPostgresSeesEachLineOnce(t *testing.T) {
	s := storetest.New(t)
	p, hub, _ := open(t, s)
	const total = 3000
	go func() {
		for i := 0; i < total; i += 10 {
			p.Lines(batch(1, i, 10))
		}
	}()
	var after lambda.LogID
	n := 0
	for range 20 {
		tail := telemetry.OpenTail(hub, s, telemetry.Topic{FunctionID: 1}, after, 10_000)
		for start := n; n < total && n-start < total/20; {
			b, err := tail.Next(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			for _, l := range b.Lines {
				if want := fmt.Sprintf("1/%d", n); l.Text != want {
					t.Fatalf("line %d is %q", n, l.Text)
				}
				n, after = n+1, l.ID
			}
		}
	}
	if n != total {
		t.Errorf("%d lines", n)
	}
}

// BenchmarkLinesKept is the way into Postgres until the lines are durable.
func BenchmarkLinesKept(b *testing.B) {
	s := storetest.New(b)
	p, _, stop := open(b, s)
	lines := batch(1, 0, 50)
	n := 0
	for b.Loop() {
		p.Lines(lines)
		n += len(lines)
	}
	stop()
	b.ReportMetric(float64(n)/b.Elapsed().Seconds(), "lines/s")
}
