package store_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"kiln/lambda"
	"kiln/store"
	"kiln/store/storetest"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
)

var noon = time.Now().UTC().Truncate(24 * time.Hour).Add(-12 * time.Hour) // of yesterday

func lines(function int64, from, n int, at time.Time) []lambda.LogLine {
	all := make([]lambda.LogLine, n)
	for i := range all {
		all[i] = lambda.LogLine{ID: lambda.LogID{Epoch: 1, Seq: int64(from + i)}, FunctionID: function, At: at.Add(time.Duration(from+i) * time.Millisecond),
			Version: lambda.Latest, Worker: "w", Stream: lambda.StreamRecord, Level: lambda.Level(i % 7), Text: fmt.Sprintf("line %d 100%%", from+i)}
	}
	return all
}

func copyLogs(t testing.TB, s *store.Store, all []lambda.LogLine) uint64 {
	t.Helper()
	lsn, err := s.CopyLogs(ctx, all)
	if err != nil {
		t.Fatal(err)
	}
	return lsn
}

func read(t testing.TB, s *store.Store, q lambda.LogQuery) []lambda.LogLine {
	t.Helper()
	all, err := s.LogLines(ctx, q)
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func seqs(all []lambda.LogLine) string {
	var b strings.Builder
	for _, l := range all {
		fmt.Fprintf(&b, "%d ", l.ID.Seq)
	}
	return strings.TrimSpace(b.String())
}

func TestLogLinesComeBackByEveryKey(t *testing.T) {
	s := storetest.New(t)
	request := uuid.NewString()
	mine := lines(1, 1, 10, noon)
	mine[4].RequestID, mine[4].Text, mine[4].Cut = request, "Ünïcode \x00 needle_", true
	copyLogs(t, s, mine)
	copyLogs(t, s, lines(2, 11, 5, noon.AddDate(0, 0, 1)))
	for _, c := range []struct {
		what string
		q    lambda.LogQuery
		want string
	}{
		{"all of one", lambda.LogQuery{FunctionID: 1}, "1 2 3 4 5 6 7 8 9 10"},
		{"newest", lambda.LogQuery{FunctionID: 1, Newest: true, Limit: 3}, "10 9 8"},
		{"before", lambda.LogQuery{FunctionID: 1, Before: lambda.LogID{Epoch: 1, Seq: 8}, Limit: 2}, "7 6"},
		{"after", lambda.LogQuery{FunctionID: 1, After: lambda.LogID{Epoch: 1, Seq: 8}}, "9 10"},
		{"after an older start", lambda.LogQuery{After: lambda.LogID{Epoch: 0, Seq: 99}, Limit: 2}, "1 2"},
		{"whole account", lambda.LogQuery{Newest: true, Limit: 7}, "15 14 13 12 11 10 9"},
		{"window", lambda.LogQuery{FunctionID: 1, From: mine[2].At, To: mine[5].At}, "3 4 5"},
		{"newest of a window", lambda.LogQuery{FunctionID: 1, From: mine[2].At, To: mine[7].At, Newest: true, Limit: 3}, "7 6 5"},
		{"before in a window", lambda.LogQuery{FunctionID: 1, From: mine[2].At, To: mine[7].At, Before: lambda.LogID{Epoch: 1, Seq: 5}}, "4 3"},
		{"after in a window", lambda.LogQuery{FunctionID: 1, From: mine[2].At, To: mine[7].At, After: lambda.LogID{Epoch: 1, Seq: 5}}, "6 7"},
		{"window of the account", lambda.LogQuery{From: mine[8].At, To: noon.AddDate(0, 0, 2), Newest: true}, "15 14 13 12 11 10 9"},
		{"window up to a quiet day's end", lambda.LogQuery{From: mine[8].At, To: noon.Add(11 * time.Hour)}, "9 10"},
		{"window without lines", lambda.LogQuery{FunctionID: 1, From: noon.Add(time.Hour), To: noon.Add(2 * time.Hour)}, ""},
		{"level", lambda.LogQuery{FunctionID: 1, MinLevel: lambda.LevelError}, "6 7"},
		{"substring", lambda.LogQuery{Contains: "NEEDLE_"}, "5"},
		{"no wildcard", lambda.LogQuery{Contains: "100%_"}, ""},
		{"request", lambda.LogQuery{RequestID: request}, "5"},
		{"no request", lambda.LogQuery{RequestID: "x"}, ""},
	} {
		if got := seqs(read(t, s, c.q)); got != c.want {
			t.Errorf("%s: %s, want %s", c.what, got, c.want)
		}
	}
	l := read(t, s, lambda.LogQuery{RequestID: request})[0]
	if l.RequestID != request || !l.Cut || l.Text != "Ünïcode \uFFFD needle_" || !l.At.Equal(mine[4].At) || l.Worker != "w" || l.Stream != lambda.StreamRecord {
		t.Errorf("%+v", l)
	}
	counts, err := s.LogHistogram(ctx, lambda.LogQuery{FunctionID: 1, From: noon, To: noon.Add(20 * time.Millisecond)}, 2)
	if err != nil || counts[0][0] != 2 || counts[0][1] != 2 || counts[1][2] != 1 {
		t.Errorf("%v, %v", counts, err)
	}
}

func TestRepairingLogsDoublesNothing(t *testing.T) {
	s := storetest.New(t)
	all := lines(1, 1, 100, noon)
	copyLogs(t, s, all[:60])
	if _, err := s.CopyLogs(ctx, all[50:]); err == nil {
		t.Error("lines were doubled in silence")
	}
	for range 2 {
		if err := s.RepairLogs(ctx, all); err != nil {
			t.Fatal(err)
		}
	}
	if got := read(t, s, lambda.LogQuery{FunctionID: 1}); len(got) != 100 {
		t.Errorf("%d lines", len(got))
	}
}

func TestLogsBecomeDurableAtTheirPosition(t *testing.T) {
	s := storetest.New(t)
	lsn := copyLogs(t, s, lines(1, 1, 10, noon))
	for deadline := time.Now().Add(20 * time.Second); ; {
		flushed, err := s.FlushedLSN(ctx)
		if err != nil {
			t.Fatal(err)
		}
		if flushed >= lsn {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("flushed %d, not %d", flushed, lsn)
		}
	}
}

func run(function int64, status lambda.Status, at time.Time, d time.Duration) lambda.Run {
	r := lambda.Report{RequestID: uuid.NewString(), FunctionID: function, Version: lambda.Latest, Source: lambda.SourceAPI, AcceptedAt: at, StartedAt: at,
		Duration: d, BilledMS: d.Milliseconds(), MemoryMB: 128, MaxMemoryMB: 40, Status: status, Worker: "w"}
	if status.Failed() {
		r.ErrorType, r.ErrorMessage = "TypeError", "it broke"
	}
	return lambda.Run{Report: r, Bodies: &lambda.Bodies{RequestID: r.RequestID, Event: []byte(`{}`), Response: []byte(`"ok"`)}}
}

func pointsOf(runs []lambda.Run) []lambda.MetricPoint {
	var all []lambda.MetricPoint
	for _, r := range runs {
		hist := make([]uint32, lambda.HistogramBuckets)
		us := r.Report.Duration.Microseconds()
		hist[lambda.BucketOf(us)] = 1
		p := lambda.MetricPoint{FunctionID: r.Report.FunctionID, At: r.Report.StartedAt.Truncate(time.Minute), N: 1, SumUS: us, MinUS: us, MaxUS: us, MemoryMB: 128, Hist: hist}
		if r.Report.Status.Failed() {
			p.Errors = 1
		}
		account := p
		account.FunctionID = 0
		all = append(all, p, account)
	}
	return all
}

func copyRuns(t testing.TB, s *store.Store, runs ...lambda.Run) {
	t.Helper()
	if err := s.CopyRuns(ctx, runs, pointsOf(runs)); err != nil {
		t.Fatal(err)
	}
}

func TestRunsAreListedFilteredAndPaged(t *testing.T) {
	s := storetest.New(t)
	f := create(t, s, "orders")
	var runs []lambda.Run
	for i := range 10 {
		status := lambda.StatusOK
		if i%5 == 0 {
			status = lambda.StatusTimeout
		}
		runs = append(runs, run(f.ID, status, noon.Add(time.Duration(i)*time.Second), time.Duration(i+1)*time.Millisecond))
	}
	runs[3].Report.Cold, runs[3].Report.Version = true, "3"
	copyRuns(t, s, runs...)
	copyRuns(t, s, run(f.ID+1, lambda.StatusOK, noon, time.Second))
	key := lambda.InvocationKey{At: runs[7].Report.StartedAt, RequestID: runs[7].Report.RequestID}
	for _, c := range []struct {
		what string
		f    lambda.InvocationFilter
		want string
	}{
		{"newest", lambda.InvocationFilter{FunctionID: f.ID, Limit: 3}, "9 8 7"},
		{"page", lambda.InvocationFilter{FunctionID: f.ID, Before: key, Limit: 2}, "6 5"},
		{"failures", lambda.InvocationFilter{Status: []lambda.Status{lambda.StatusTimeout, lambda.StatusError}}, "5 0"},
		{"cold", lambda.InvocationFilter{Cold: ptr(true)}, "3"},
		{"version", lambda.InvocationFilter{Version: "3", Source: lambda.SourceAPI}, "3"},
		{"slow", lambda.InvocationFilter{FunctionID: f.ID, MinMS: 9}, "9"},
		{"window", lambda.InvocationFilter{FunctionID: f.ID, From: runs[2].Report.StartedAt, To: runs[4].Report.StartedAt}, "3 2"},
	} {
		got, err := s.Invocations(ctx, c.f)
		if err != nil {
			t.Fatal(err)
		}
		var have []string
		for _, r := range got {
			have = append(have, fmt.Sprint(int(r.StartedAt.Sub(noon)/time.Second)))
		}
		if strings.Join(have, " ") != c.want {
			t.Errorf("%s: %v, want %s", c.what, have, c.want)
		}
	}
	id := runs[4].Report.RequestID
	for _, part := range []string{id, id[:8], strings.ToUpper(id[:20]), id[:6]} {
		if r, err := s.Invocation(ctx, part); err != nil || r.RequestID != id || r.Function != "orders" || r.Duration != 5*time.Millisecond || r.Status != lambda.StatusOK {
			t.Errorf("%s: %+v, %v", part, r, err)
		}
	}
	for _, part := range []string{"", id[:5], "%", uuid.NewString(), id[:9] + "zz"} {
		_, err := s.Invocation(ctx, part)
		wantKey(t, err, lambda.NotFound, "invocation.missing")
	}
	groups, err := s.ErrorGroups(ctx, 0, noon, 10)
	if err != nil || len(groups) != 1 || groups[0].N != 2 || groups[0].Function != "orders" || groups[0].Message != "it broke" || groups[0].LastRequest != runs[5].Report.RequestID {
		t.Errorf("%+v, %v", groups, err)
	}
}

func TestRepeatedBatchAddsNothing(t *testing.T) {
	s := storetest.New(t)
	runs := []lambda.Run{run(1, lambda.StatusOK, noon, time.Millisecond), run(1, lambda.StatusError, noon, time.Millisecond)}
	for range 3 {
		copyRuns(t, s, runs...)
	}
	m, err := s.Metrics(ctx, lambda.MetricQuery{FunctionID: 1, From: noon, To: noon.Add(time.Hour), Step: time.Minute})
	if err != nil || len(m) != 1 || m[0].N != 2 || m[0].Errors != 1 {
		t.Errorf("%+v, %v", m, err)
	}
	if all, err := s.Invocations(ctx, lambda.InvocationFilter{}); len(all) != 2 || err != nil {
		t.Error(len(all), err)
	}
	bad := runs[0]
	bad.Report.RequestID = "x"
	wantKey(t, s.CopyRuns(ctx, []lambda.Run{bad}, nil), lambda.Invalid, "event.request")
}

func TestMetricsSumOverStepsAndFunctions(t *testing.T) {
	s := storetest.New(t)
	for minute := range 180 {
		at := noon.Add(-2 * time.Hour).Add(time.Duration(minute) * time.Minute)
		copyRuns(t, s, run(int64(1+minute%2), lambda.StatusOK, at, time.Duration(minute+1)*time.Millisecond))
	}
	for _, c := range []struct {
		q             lambda.MetricQuery
		points, first int64
	}{
		{lambda.MetricQuery{FunctionID: 1, From: noon.Add(-time.Hour), To: noon, Step: 10 * time.Minute}, 6, 5},
		{lambda.MetricQuery{From: noon.Add(-time.Hour), To: noon, Step: time.Minute}, 60, 1},
		{lambda.MetricQuery{From: noon.Add(-3 * time.Hour), To: noon.Add(time.Hour), Step: time.Hour}, 3, 60},
		{lambda.MetricQuery{FunctionID: 9, From: noon.Add(-time.Hour), To: noon, Step: time.Hour}, 0, 0},
	} {
		m, err := s.Metrics(ctx, c.q)
		if err != nil || int64(len(m)) != c.points || c.points > 0 && m[0].N != c.first {
			t.Errorf("%+v: %d points, %v", c.q, len(m), err)
		}
	}
	hour, err := s.Metrics(ctx, lambda.MetricQuery{From: noon.Add(-2 * time.Hour), To: noon.Add(time.Hour), Step: 24 * time.Hour})
	if err != nil || hour[0].MinUS != 1000 || hour[0].MaxUS != 180_000 {
		t.Fatalf("%+v, %v", hour, err)
	}
	if p50 := lambda.Quantile(hour[0].Hist, 0.5); p50 < 80*time.Millisecond || p50 > 100*time.Millisecond {
		t.Errorf("p50 %v", p50)
	}
	for _, c := range []struct {
		from, to  time.Duration
		one, both int64
	}{{-2 * time.Hour, time.Hour, 90, 180}, {-90 * time.Minute, 30 * time.Minute, 60, 120}, {-10 * time.Minute, -5 * time.Minute, 3, 5}, {-100 * time.Minute, -61 * time.Minute, 20, 39}} {
		sums, err := s.MetricsByFunction(ctx, noon.Add(c.from), noon.Add(c.to))
		if err != nil || sums[1].N != c.one || sums[0].N != c.both {
			t.Errorf("%+v: %d of function 1, %d of all, %v", c, sums[1].N, sums[0].N, err)
		}
	}
}

func TestBodiesAreTrimmedButFailuresStay(t *testing.T) {
	s := storetest.New(t)
	var runs []lambda.Run
	for i := range 450 {
		runs = append(runs, run(1, lambda.StatusOK, noon.Add(time.Duration(i)*time.Millisecond), time.Millisecond))
	}
	failure := run(1, lambda.StatusError, noon.Add(-time.Second), time.Millisecond)
	failure.Bodies.Response = make([]byte, lambda.MaxKeptBody+1)
	runs = append([]lambda.Run{failure}, runs...)
	for len(runs) > 0 {
		n := min(90, len(runs))
		copyRuns(t, s, runs[:n]...)
		runs = runs[n:]
	}
	if err := s.Retain(ctx, time.Now()); err != nil {
		t.Fatal(err)
	}
	all, err := s.Invocations(ctx, lambda.InvocationFilter{FunctionID: 1, Limit: 500})
	if err != nil {
		t.Fatal(err)
	}
	kept := 0
	for _, r := range all {
		if _, err := s.Bodies(ctx, r.RequestID); err == nil {
			kept++
		}
	}
	if len(all) != 451 || kept != 201 {
		t.Errorf("%d runs, %d bodies", len(all), kept)
	}
	b, err := s.Bodies(ctx, failure.Report.RequestID)
	if err != nil || string(b.Event) != "{}" || b.Response != nil || !b.CutResponse {
		t.Errorf("%+v, %v", b, err)
	}
}

func TestPartitionsComeAheadAndGoWithRetention(t *testing.T) {
	url := storetest.Database(t)
	s := storetest.Open(t, url)
	if err := s.SetSetting(ctx, kim, "retention", lambda.Retention{LogDays: 7, InvocationDays: 3, AuditDays: 30}); err != nil {
		t.Fatal(err)
	}
	future := time.Now().AddDate(0, 0, 10).UTC()
	copyLogs(t, s, lines(1, 1, 3, future)) // no partition yet: the net takes them
	copyRuns(t, s, run(1, lambda.StatusOK, future, time.Second))
	if err := s.Retain(ctx, future); err != nil {
		t.Fatal(err)
	}
	for day, want := range map[int]bool{-1: false, 9: true, 10: true, 13: true, 14: false} {
		name := "log_lines_" + time.Now().UTC().AddDate(0, 0, day).Format("20060102")
		if got := scalar[bool](t, url, "SELECT to_regclass('"+name+"') IS NOT NULL"); got != want {
			t.Errorf("%s is there: %v", name, got)
		}
	}
	if n := scalar[int64](t, url, "SELECT count(*) FROM log_lines_default"); n != 0 {
		t.Errorf("%d lines are left in the default partition", n)
	}
	if got := read(t, s, lambda.LogQuery{FunctionID: 1}); len(got) != 3 {
		t.Errorf("%d lines after the move", len(got))
	}
	if err := s.Retain(ctx, future.AddDate(0, 0, 8)); err != nil {
		t.Fatal(err)
	}
	if got := read(t, s, lambda.LogQuery{FunctionID: 1}); len(got) != 0 {
		t.Errorf("%d lines outlived their retention", len(got))
	}
	if all, err := s.Invocations(ctx, lambda.InvocationFilter{}); len(all) != 0 || err != nil {
		t.Error(len(all), err)
	}
}

func scalar[T any](t testing.TB, url, sql string) (v T) {
	t.Helper()
	c, err := pgx.Connect(ctx, url)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close(context.Background()) }()
	if err := c.QueryRow(ctx, sql).Scan(&v); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
	return v
}
