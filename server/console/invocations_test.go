package console_test

import (
	"fmt"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"kiln/lambda"
	"kiln/telemetry"
)

var rowIDs = regexp.MustCompile(`<tr data-id="([^"]+)"`)

func (h *house) rows(t *testing.T, path string) []string {
	t.Helper()
	status, body := h.get(t, path)
	if status != http.StatusOK {
		t.Fatalf("%s: %d %.300s", path, status, body)
	}
	var ids []string
	for _, m := range rowIDs.FindAllStringSubmatch(body, -1) {
		ids = append(ids, m[1])
	}
	return ids
}

// keep puts runs into the store without the way through the pipeline.
func (h *house) keep(t *testing.T, runs ...lambda.Run) {
	t.Helper()
	if err := h.db.CopyRuns(t.Context(), runs, nil); err != nil {
		t.Fatal(err)
	}
}

func TestEveryInvocationIsOnOnePage(t *testing.T) {
	h := newHouse(t, telemetry.DefaultLimits)
	now := time.Now().Truncate(time.Microsecond) // as Postgres keeps it
	for i := range 120 {
		h.keep(t, report(i, now.Add(-time.Duration(i/3)*time.Second), time.Millisecond, lambda.StatusOK)) // three share their time
	}
	seen := map[string]int{}
	pages := 0
	for path := "/functions/orders-api/invocations"; path != ""; pages++ {
		_, body := h.get(t, path)
		for _, m := range rowIDs.FindAllStringSubmatch(body, -1) {
			seen[m[1]]++
		}
		path = ""
		if m := regexp.MustCompile(`class="more-link"><a class="btn" href="([^"]+)"`).FindStringSubmatch(body); m != nil {
			path = strings.ReplaceAll(m[1], "&amp;", "&")
		}
	}
	if len(seen) != 120 || pages != 3 {
		t.Errorf("%d invocations on %d pages", len(seen), pages)
	}
	for id, n := range seen {
		if n != 1 {
			t.Errorf("%s is there %d times", id, n)
		}
	}
}

func TestFiltersChooseInvocations(t *testing.T) {
	h := newHouse(t, telemetry.DefaultLimits)
	now := time.Now()
	failed, cold, slow, old := report(1, now, time.Millisecond, lambda.StatusError), report(2, now, time.Millisecond, lambda.StatusOK), report(3, now, time.Second, lambda.StatusOK), report(4, now.Add(-time.Hour), time.Millisecond, lambda.StatusOK)
	cold.Report.Cold, slow.Report.Source = true, lambda.SourceTest
	h.keep(t, failed, cold, slow, old)
	for query, want := range map[string]int{
		"": 4, "status=errors": 1, "cold=1": 1, "slow=500": 1, "source=test": 1, "version=3": 4, "version=9": 0, "range=900": 3, "status=throttled": 0,
		fmt.Sprintf("from=%d&to=%d", now.Add(-2*time.Hour).UnixMilli(), now.Add(-time.Minute).UnixMilli()): 1,
	} {
		if got := h.rows(t, "/functions/orders-api/invocations?"+query); len(got) != want {
			t.Errorf("%q: %d rows, want %d", query, len(got), want)
		}
	}
}

func TestTheSheetShowsOneInvocationAsText(t *testing.T) {
	h := newHouse(t, telemetry.DefaultLimits)
	r := report(7, time.Now(), 14*time.Millisecond, lambda.StatusError)
	r.Report.ErrorType, r.Report.ErrorMessage = "<b>TypeError</b>", "<script>x</script> \x1b[31m"
	r.Bodies = &lambda.Bodies{RequestID: r.Report.RequestID, Event: []byte(`{"a":"<i>","n":[1,true]}`), Response: []byte(`{"errorType":"TypeError","trace":["    at f (/var/task/lib/a.js:3:7)"]}`)}
	h.keep(t, r)
	status, body := h.get(t, "/functions/orders-api/invocations?id="+r.Report.RequestID)
	for _, want := range []string{"&lt;b&gt;TypeError", "&lt;script&gt;", "␛[31m", "&#34;&lt;i&gt;&#34;", "/functions/orders-api?file=lib%2Fa.js&amp;line=3", `action="/functions/orders-api/invocations/` + r.Report.RequestID + `/replay"`} {
		if !strings.Contains(body, want) {
			t.Errorf("%d: %s is missing", status, want)
		}
	}
	if _, other := h.get(t, "/functions/resize/invocations?id="+r.Report.RequestID); strings.Contains(other, "TypeError") {
		t.Error("it is shown under another function")
	}
	if _, viewers := h.get(t, "/functions/orders-api/invocations?id="+r.Report.RequestID, "Cookie", "kiln_session=secret-2"); strings.Contains(viewers, "/replay") {
		t.Error("somebody who may only look is offered to run it")
	}
}

// post sends a form as our own page does.
func (h *house) post(t *testing.T, path string) *http.Response {
	t.Helper()
	_, page := h.get(t, "/functions/orders-api/invocations")
	token := regexp.MustCompile(`data-csrf="([^"]+)"`).FindStringSubmatch(page)[1]
	r, err := http.NewRequest(http.MethodPost, h.URL+path, strings.NewReader(url.Values{"_csrf": {token}}.Encode()))
	if err != nil {
		t.Fatal(err)
	}
	for name, v := range map[string]string{"Cookie": cookie, "Origin": h.URL, "Content-Type": "application/x-www-form-urlencoded"} {
		r.Header.Set(name, v)
	}
	client := http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	resp, err := client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	_, _ = io.Copy(io.Discard, resp.Body)
	resp.Body.Close()
	return resp
}

func TestAReplayRunsTheKeptEventAgain(t *testing.T) {
	h := newHouse(t, telemetry.DefaultLimits)
	kept, cut, gone := report(1, time.Now(), 1, lambda.StatusOK), report(2, time.Now(), 1, lambda.StatusOK), report(3, time.Now(), 1, lambda.StatusOK)
	kept.Bodies = &lambda.Bodies{RequestID: kept.Report.RequestID, Event: []byte(`{"order":17}`)}
	cut.Bodies = &lambda.Bodies{RequestID: cut.Report.RequestID, CutEvent: true}
	h.keep(t, kept, cut, gone)
	root := "/functions/orders-api/invocations/"
	resp := h.post(t, root+kept.Report.RequestID+"/replay")
	if resp.StatusCode != http.StatusSeeOther || len(h.engine.invoked) != 1 {
		t.Fatalf("%d, %d runs", resp.StatusCode, len(h.engine.invoked))
	}
	inv := h.engine.invoked[0]
	if string(inv.Event) != `{"order":17}` || inv.ReplayOf != kept.Report.RequestID || inv.Source != lambda.SourceReplay || inv.By != "Kim Minseo" {
		t.Errorf("%+v", inv)
	}
	if want := "/functions/orders-api/invocations?id=" + inv.RequestID; resp.Header.Get("Location") != want {
		t.Errorf("it leads to %s", resp.Header.Get("Location"))
	}
	for _, id := range []string{cut.Report.RequestID, gone.Report.RequestID, "11111111-0000-4000-8000-000000000000"} {
		if resp := h.post(t, root+id+"/replay"); resp.StatusCode != http.StatusNotFound {
			t.Errorf("%s: %d", id, resp.StatusCode)
		}
	}
	if resp := h.post(t, root+kept.Report.RequestID+"/event"); resp.StatusCode != http.StatusSeeOther || len(h.db.events) != 1 || string(h.db.events[0].Body) != `{"order":17}` {
		t.Errorf("%d, events %+v", resp.StatusCode, h.db.events)
	}
}
