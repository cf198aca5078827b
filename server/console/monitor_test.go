package console_test

import (
	"encoding/json"
	"fmt"
	"math"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"kiln/lambda"
	"kiln/telemetry"
)

// window is what the charts get.
type window struct {
	T      []float64             `json:"t"`
	Step   float64               `json:"step"`
	Series map[string][]*float64 `json:"series"`
	Before map[string][]*float64 `json:"before"`
	Errors []struct {
		Type string
		N    int
	}
	Marks []struct {
		At    float64
		Kind  string
		Label string
	}
	Limit int
	Facts string
}

func (h *house) charts(t *testing.T, path string) window {
	t.Helper()
	status, body := h.get(t, path, "Accept", "application/json")
	var w window
	if err := json.Unmarshal([]byte(body), &w); err != nil || status != http.StatusOK {
		t.Fatalf("%d %v %.300s", status, err, body)
	}
	return w
}

// sum of a series without its gaps.
func sum(values []*float64) (n float64) {
	for _, v := range values {
		if v != nil {
			n += *v
		}
	}
	return n
}

func report(n int, at time.Time, d time.Duration, s lambda.Status) lambda.Run {
	return lambda.Run{Report: lambda.Report{
		RequestID: fmt.Sprintf("%08d-0000-4000-8000-000000000000", n), FunctionID: 1, Function: "orders-api", Version: "3", Source: "api",
		Status: s, AcceptedAt: at, StartedAt: at, Duration: d, BilledMS: d.Milliseconds(), MemoryMB: 1024, MaxMemoryMB: 60,
	}}
}

func TestChartsAreTrue(t *testing.T) {
	h := newHouse(t, telemetry.DefaultLimits)
	at := time.Now().Add(-40 * time.Minute).Truncate(10 * time.Minute)
	var ms []float64
	for i := range 1000 {
		d := time.Duration(i+1) * time.Millisecond
		status := lambda.StatusOK
		if i%10 == 0 {
			status = lambda.StatusTimeout
		}
		ms = append(ms, float64(i+1))
		h.pipeline.Record(report(i, at.Add(time.Duration(i%3)*time.Minute), d, status))
	}
	draft := report(5000, at, time.Hour, lambda.StatusOK)
	draft.Report.Version = lambda.Draft
	h.pipeline.Record(draft)
	throttled := report(5001, at, 0, lambda.StatusThrottled)
	h.pipeline.Record(throttled)
	for _, path := range []string{"/functions/orders-api/monitor/data?range=3600", "/monitor/data?range=3600", "/functions/orders-api/monitor/data?range=43200"} {
		w := h.charts(t, path)
		if ok, bad, thr := sum(w.Series["ok"]), sum(w.Series["err"]), sum(w.Series["thr"]); ok != 900 || bad != 100 || thr != 1 {
			t.Errorf("%s: %v ok, %v errors, %v throttled", path, ok, bad, thr)
		}
		want := 1000*0.20/1e6 + 500.5*0.0000166667 // 1,000 runs of 500.5 ms at 1 GB
		if got := sum(w.Series["cost"]); math.Abs(got-want) > 0.001*want {
			t.Errorf("%s: cost %v, want %v", path, got, want)
		}
		for i := range w.T {
			ran := *w.Series["ok"][i]+*w.Series["err"][i] > 0
			if (w.Series["p95"][i] != nil) != ran || (w.Series["success"][i] != nil) != ran {
				t.Errorf("%s: period %d ran %v and has p95 %v", path, i, ran, w.Series["p95"][i])
			}
		}
	}
	w := h.charts(t, "/functions/orders-api/monitor/data?range=43200")
	i := slices.IndexFunc(w.Series["p50"], func(v *float64) bool { return v != nil })
	for name, q := range map[string]float64{"p50": 0.5, "p95": 0.95, "p99": 0.99} {
		if exact := ms[int(q*1000)-1]; math.Abs(*w.Series[name][i]-exact) > 0.09*exact {
			t.Errorf("%s is %v, exactly %v", name, *w.Series[name][i], exact)
		}
	}
	if *w.Series["min"][i] != 1 || *w.Series["max"][i] != 1000 || *w.Series["avg"][i] != 500.5 {
		t.Errorf("min %v, max %v, avg %v", *w.Series["min"][i], *w.Series["max"][i], *w.Series["avg"][i])
	}
	if len(w.Errors) != 1 || w.Errors[0].Type != "timeout" || w.Errors[0].N != 100 {
		t.Errorf("errors %+v", w.Errors)
	}
}

func TestAWindowsChangesAndTheWindowBefore(t *testing.T) {
	h := newHouse(t, telemetry.DefaultLimits)
	now := time.Now()
	h.db.revisions = []*lambda.Revision{
		{Function: "orders-api", Number: 4, Cause: lambda.RevisionDeployed, At: now.Add(-10 * time.Minute)},
		{Function: "orders-api", Number: 3, Cause: lambda.RevisionConfigured, At: now.Add(-100 * time.Minute)},
	}
	for i := range 10 {
		h.pipeline.Record(report(i, now.Add(-20*time.Minute), time.Millisecond, lambda.StatusOK))
	}
	for i := range 5 {
		h.pipeline.Record(report(100+i, now.Add(-90*time.Minute), time.Millisecond, lambda.StatusOK))
	}
	w := h.charts(t, "/functions/orders-api/monitor/data?range=3600&compare=1")
	if sum(w.Series["ok"]) != 10 || sum(w.Before["ok"]) != 5 || !strings.Contains(w.Facts, "+100 %") {
		t.Errorf("now %v, before %v, %s", sum(w.Series["ok"]), sum(w.Before["ok"]), w.Facts)
	}
	if len(w.Marks) != 1 || w.Marks[0].Label != "r4" || w.Marks[0].Kind != lambda.RevisionDeployed {
		t.Errorf("marks %+v", w.Marks)
	}
}

func TestTheLiveWindowIsMadeOfSingleRuns(t *testing.T) {
	h := newHouse(t, telemetry.DefaultLimits)
	at := time.Now().Add(-2 * time.Minute).Truncate(time.Minute)
	for i := range 4 { // three at once, then one alone
		start := at.Add(time.Duration(i) * time.Second)
		if i == 3 {
			start = at.Add(40 * time.Second)
		}
		h.pipeline.Record(report(i, start, 3500*time.Millisecond, lambda.StatusOK))
	}
	for {
		w := h.charts(t, "/functions/orders-api/monitor/data?range=300")
		if sum(w.Series["ok"]) < 4 { // still on the way to the store
			continue
		}
		i := slices.Index(w.T, float64(at.Unix()))
		if w.Step != 5 || i < 0 || *w.Series["run"][i] != 3 || *w.Series["run"][i+8] != 1 || *w.Series["run"][i+4] != 0 {
			t.Errorf("step %v at %d: %v", w.Step, i, w.Series["run"])
		}
		return
	}
}

func TestAWrongWindowIsRefused(t *testing.T) {
	h := newHouse(t, telemetry.DefaultLimits)
	for _, q := range []string{"from=x", "from=2000&to=1000", "from=1&to=999999999999", "from=-5"} {
		if status, _ := h.get(t, "/functions/orders-api/monitor?"+q); status != http.StatusUnprocessableEntity {
			t.Errorf("%s: %d", q, status)
		}
	}
	if status, _ := h.get(t, "/functions/missing/monitor"); status != http.StatusNotFound {
		t.Error(status)
	}
}
