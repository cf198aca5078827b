package console_test

import (
	"bytes"
	"fmt"
	"sync"
	"testing"
	"time"

	"kiln/code"
	"kiln/iam"
	"kiln/lambda"
	"kiln/server/console"
	"kiln/store"
	"kiln/store/storetest"
	"kiln/telemetry"
)

// onPostgres is a house whose lines, runs and figures are kept by the real store; only its people are made up.
func onPostgres(t *testing.T, limits telemetry.Limits) (*house, *store.Store, *lambda.Function) {
	t.Helper()
	db := storetest.New(t)
	zip, err := code.Build([]lambda.File{{Path: "index.mjs", Data: []byte("export const handler = async () => 1\n")}})
	if err != nil {
		t.Fatal(err)
	}
	c, err := db.PutCode(t.Context(), bytes.NewReader(zip))
	if err != nil {
		t.Fatal(err)
	}
	arns := lambda.ARNs{Region: storetest.Region, AccountID: storetest.AccountID}
	f, err := db.CreateFunction(t.Context(), iam.System, lambda.NewFunction{Name: "orders-api", Code: c, Config: lambda.Config{Runtime: "nodejs22.x", Handler: "index.handler", Role: arns.Role("kiln-basic")}})
	if err != nil {
		t.Fatal(err)
	}
	h := newHouseOn(t, limits, db, db)
	return h, db, f
}

var _ console.Store = (*store.Store)(nil)

func TestNothingIsLostOrDoubledOnPostgres(t *testing.T) {
	const total, cuts = 20_000, 8
	h, _, f := onPostgres(t, telemetry.Limits{Each: 1 << 20, All: 8 << 20, KeptEach: 64 << 10, KeptAll: 1 << 20, Spool: 64 << 20})
	r := &reader{got: map[string]int{}}
	var writer sync.WaitGroup
	writer.Go(func() {
		for n := 0; n < total; n += 50 {
			batch := make([]lambda.LogLine, 50)
			for i := range batch {
				batch[i] = line(f.ID, "0f2c1a77-41d0-4e0b-9a6e-6b1f0c2d9e55", fmt.Sprint(n+i))
			}
			h.pipeline.Lines(batch)
		}
	})
	for i := 0; len(r.got) < total; i++ {
		ws := h.open(t)
		_ = ws.WriteJSON(sub("logs", "orders-api", map[string]any{"after": firstID(r.last)}))
		for stop := (i + 1) * total / cuts; len(r.got) < total && (i >= cuts || len(r.got) < stop); {
			r.take(read(t, ws))
		}
		ws.NetConn().Close()
	}
	writer.Wait()
	if len(r.got) != total || r.doubled != 0 {
		t.Errorf("%d of %d lines, %d doubled", len(r.got), total, r.doubled)
	}
}

func TestPagesShowWhatPostgresKeeps(t *testing.T) {
	h, db, f := onPostgres(t, telemetry.DefaultLimits)
	run := report(1, time.Now().Truncate(time.Microsecond), 14*time.Millisecond, lambda.StatusError)
	run.Report.FunctionID, run.Report.ErrorType, run.Report.ErrorMessage = f.ID, "TypeError", "no id"
	run.Bodies = &lambda.Bodies{RequestID: run.Report.RequestID, Event: []byte(`{"order":17}`), Response: []byte(`{"errorType":"TypeError"}`)}
	h.pipeline.Lines([]lambda.LogLine{line(f.ID, run.Report.RequestID, "hello from Postgres")})
	h.pipeline.Record(run)
	for end := time.Now().Add(20 * time.Second); ; {
		lines, err := db.LogLines(t.Context(), lambda.LogQuery{FunctionID: f.ID})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := db.Invocation(t.Context(), run.Report.RequestID); err == nil && len(lines) == 1 {
			break
		}
		if time.Now().After(end) {
			t.Fatal("the run is not kept")
		}
	}
	if ids := h.rows(t, "/functions/orders-api/invocations?status=errors"); len(ids) != 1 || ids[0] != run.Report.RequestID {
		t.Errorf("rows %v", ids)
	}
	for path, want := range map[string]string{
		"/functions/orders-api/invocations?id=" + run.Report.RequestID: "hello from Postgres",
		"/functions/orders-api/logs":                                   "hello from Postgres",
		"/functions/orders-api/logs/export?format=ndjson":              `"message":"hello from Postgres"`,
		"/functions/orders-api/logs/lines":                             "hello from Postgres",
		"/functions/orders-api/logs?contains=POSTGRES":                 "hello from",
		"/logs":                         "orders-api",
		"/functions/orders-api/monitor": "mon-facts",
		fmt.Sprintf("/logs/histogram?from=%d&to=%d&buckets=10", time.Now().Add(-time.Hour).UnixMilli(), time.Now().Add(time.Minute).UnixMilli()): "[[",
	} {
		if status, body := h.get(t, path); status != 200 || !bytes.Contains([]byte(body), []byte(want)) {
			t.Errorf("%s: %d without %q", path, status, want)
		}
	}
	if w := h.charts(t, "/functions/orders-api/monitor/data?range=3600"); sum(w.Series["err"]) != 1 || len(w.Errors) != 1 || w.Limit != 1000 {
		t.Errorf("charts %+v", w)
	}
}
