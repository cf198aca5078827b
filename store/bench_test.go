package store_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"kiln/lambda"
	"kiln/store"
	"kiln/store/postgres"
	"kiln/store/storetest"
)

// durable is a store on a PostgreSQL with the settings of production: the one for tests does not sync its files.
func durable(b *testing.B) (*store.Store, string) {
	b.Helper()
	dir, err := os.MkdirTemp("", "kiln-bench-")
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o711); err != nil {
		b.Fatal(err)
	}
	p, err := postgres.Start(ctx, postgres.Options{Dir: filepath.Join(dir, "pg")})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = p.Stop(context.Background()) })
	return storetest.Open(b, p.URL()), p.URL()
}

// BenchmarkEnqueue is 64 callers with events of 1 KiB, each waiting for its commit.
func BenchmarkEnqueue(b *testing.B) {
	s, _ := durable(b)
	body := `{"x":"` + strings.Repeat("a", 1000) + `"}`
	b.SetParallelism(32) // per core of two
	b.ResetTimer()
	var took atomic.Int64
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			begun := time.Now()
			if err := s.Enqueue(ctx, event(1, body)); err != nil {
				b.Error(err)
			}
			took.Add(int64(time.Since(begun)))
		}
	})
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "events/s")
	b.ReportMetric(float64(took.Load())/float64(b.N)/1e6, "ms/ack")
}

// BenchmarkClaimAndSettle ends events of 10 functions in batches of 50.
func BenchmarkClaimAndSettle(b *testing.B) {
	s, url := durable(b)
	change(b, url, fmt.Sprintf(`INSERT INTO event_queue (function_id, request_id, function, qualifier, digest, source, by_name, client_context, trace_id,
		replay_of, payload, accepted_at, run_at) SELECT n %% 10, gen_random_uuid(), 'f', '', '', 'api', '', '', '', '', convert_to(repeat('a', 1000), 'UTF8'), now(), now() FROM generate_series(1, %d) n`, b.N+50))
	change(b, url, "ANALYZE event_queue")
	slots := map[int64]int{}
	for f := range int64(10) {
		slots[f] = 5
	}
	b.ResetTimer()
	var claiming time.Duration
	claims := 0
	for n := 0; n < b.N; {
		begun := time.Now()
		all := claim(b, s, "a", slots, time.Minute)
		claiming += time.Since(begun)
		claims++
		var done []lambda.Settlement
		for _, c := range all {
			done = append(done, lambda.Settlement{ID: c.ID, Claim: c.Claim, Done: true})
		}
		settle(b, s, done...)
		n += len(all)
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "events/s")
	b.ReportMetric(claiming.Seconds()*1000/float64(claims), "ms/claim")
}

// BenchmarkCopyLogs writes batches of 1,000 lines.
func BenchmarkCopyLogs(b *testing.B) {
	s, _ := durable(b)
	b.ResetTimer()
	for i := 0; b.Loop(); i++ {
		copyLogs(b, s, lines(int64(i%20+1), 1+i*1000, 1000, noon))
	}
	b.ReportMetric(float64(b.N)*1000/b.Elapsed().Seconds(), "lines/s")
}

// BenchmarkCopyRuns writes batches of 500 runs of 20 functions with their points.
func BenchmarkCopyRuns(b *testing.B) {
	s, _ := durable(b)
	b.ResetTimer()
	for i := 0; b.Loop(); i++ {
		runs := make([]lambda.Run, 500)
		for j := range runs {
			runs[j] = run(int64(j%20+1), lambda.StatusOK, noon.Add(time.Duration(i)*50*time.Millisecond), time.Duration(j)*time.Millisecond)
			runs[j].Bodies = nil
		}
		copyRuns(b, s, runs...)
	}
	b.ReportMetric(float64(b.N)*500/b.Elapsed().Seconds(), "runs/s")
}

// BenchmarkReads asks what pages ask, of 1,000,000 lines and 1,000,000 invocations of one day.
func BenchmarkReads(b *testing.B) {
	s, url := durable(b)
	midnight := noon.Add(-12 * time.Hour)
	change(b, url, fmt.Sprintf(`INSERT INTO log_lines SELECT 1 + n %% 10, '%[1]s'::timestamptz + n * interval '86 milliseconds', 1, n, NULL, 2, 3, false, '$LATEST', 'w', 'a line of text with number ' || n
		FROM generate_series(1, 1000000) n`, midnight.Format(time.RFC3339)))
	change(b, url, fmt.Sprintf(`INSERT INTO invocations SELECT gen_random_uuid(), 1 + n %% 10, '%[1]s'::timestamptz + n * interval '86 milliseconds', now(), 0, 0, 0, 1000 + n %% 5000, 10, 128, 40, 10, 10,
		CASE WHEN n %% 100 = 0 THEN 3 ELSE 1 END, false, false, '$LATEST', '', 'api', 'Kim', '', '', '', 'w', '' FROM generate_series(1, 1000000) n`, midnight.Format(time.RFC3339)))
	for minute := range 1440 {
		at := midnight.Add(time.Duration(minute) * time.Minute)
		var points []lambda.MetricPoint
		for f := range int64(11) {
			p := lambda.MetricPoint{FunctionID: f, At: at, N: 2000, SumUS: 1e6, MinUS: 100, MaxUS: 5e6, Hist: make([]uint32, lambda.HistogramBuckets)}
			for i := 60; i < 140; i++ {
				p.Hist[i] = uint32(i)
			}
			points = append(points, p)
		}
		if err := s.CopyRuns(ctx, nil, points); err != nil {
			b.Fatal(err)
		}
	}
	change(b, url, "VACUUM ANALYZE")
	for _, c := range []struct {
		name string
		read func() error
	}{
		{"newest 100 lines of a function's hour", func() error {
			_, err := s.LogLines(ctx, lambda.LogQuery{FunctionID: 3, From: midnight.Add(23 * time.Hour), To: midnight.Add(24 * time.Hour), Newest: true, Limit: 100})
			return err
		}},
		{"newest 100 lines of a function", func() error {
			_, err := s.LogLines(ctx, lambda.LogQuery{FunctionID: 3, Newest: true, Limit: 100})
			return err
		}},
		{"newest 100 lines of an earlier hour", func() error {
			_, err := s.LogLines(ctx, lambda.LogQuery{FunctionID: 3, From: midnight.Add(5 * time.Hour), To: midnight.Add(6 * time.Hour), Newest: true, Limit: 100})
			return err
		}},
		{"newest 100 lines of the account", func() error {
			_, err := s.LogLines(ctx, lambda.LogQuery{Newest: true, Limit: 100})
			return err
		}},
		{"chart of a function's day by minutes", func() error {
			_, err := s.Metrics(ctx, lambda.MetricQuery{FunctionID: 3, From: midnight, To: midnight.Add(24 * time.Hour), Step: time.Minute})
			return err
		}},
		{"sums of all functions over 7 days", func() error {
			_, err := s.MetricsByFunction(ctx, midnight.AddDate(0, 0, -6), midnight.Add(24*time.Hour))
			return err
		}},
		{"newest 50 invocations of a function", func() error {
			_, err := s.Invocations(ctx, lambda.InvocationFilter{FunctionID: 3})
			return err
		}},
		{"newest 50 failures of the account", func() error {
			_, err := s.Invocations(ctx, lambda.InvocationFilter{Status: []lambda.Status{lambda.StatusError}})
			return err
		}},
	} {
		b.Run(c.name, func(b *testing.B) {
			for b.Loop() {
				if err := c.read(); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkListFunctions is a page of 1,000 functions.
func BenchmarkListFunctions(b *testing.B) {
	s, _ := durable(b)
	code := put(b, s, "x")
	for i := range 1000 {
		if _, err := s.CreateFunction(ctx, kim, sample(fmt.Sprintf("f%04d", i), code)); err != nil {
			b.Fatal(err)
		}
	}
	b.ResetTimer()
	for b.Loop() {
		if all, err := s.Functions(ctx, lambda.FunctionFilter{Limit: 1000}); err != nil || len(all) != 1000 {
			b.Fatal(len(all), err)
		}
	}
}
