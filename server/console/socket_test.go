package console_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"kiln/iam"
	"kiln/lambda"
	"kiln/server/console"
	"kiln/telemetry"
)

// frame is what a tab gets.
type frame struct {
	Sub      int64             `json:"s"`
	Kind     string            `json:"k"`
	Message  string            `json:"m"`
	Lines    [][]any           `json:"l"`
	Runs     [][]any           `json:"r"`
	Reports  []map[string]any  `json:"p"`
	Spooling bool              `json:"spooling"`
	Series   map[string][]*any `json:"series"`
}

func (h *house) dial(t testing.TB, headers ...string) (*websocket.Conn, *http.Response, error) {
	t.Helper()
	head := http.Header{"Cookie": {cookie}, "Origin": {h.URL}}
	for i := 0; i < len(headers); i += 2 {
		head.Set(headers[i], headers[i+1])
	}
	return websocket.DefaultDialer.Dial("ws"+strings.TrimPrefix(h.URL, "http")+"/socket", head)
}

func (h *house) open(t testing.TB, headers ...string) *websocket.Conn {
	t.Helper()
	ws, _, err := h.dial(t, headers...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ws.Close() })
	return ws
}

func read(t testing.TB, ws *websocket.Conn) frame {
	t.Helper()
	_ = ws.SetReadDeadline(time.Now().Add(20 * time.Second))
	var f frame
	if err := ws.ReadJSON(&f); err != nil {
		t.Fatal(err)
	}
	return f
}

// until reads frames until one is what is waited for.
func until(t testing.TB, ws *websocket.Conn, ok func(frame) bool) frame {
	t.Helper()
	for {
		if f := read(t, ws); ok(f) {
			return f
		}
	}
}

func sub(topic, fn string, more map[string]any) map[string]any {
	m := map[string]any{"op": "sub", "id": 1, "topic": topic, "fn": fn}
	for k, v := range more {
		m[k] = v
	}
	return m
}

func line(fn int64, request, text string) lambda.LogLine {
	return lambda.LogLine{FunctionID: fn, RequestID: request, Version: "$LATEST", Worker: "w", At: time.Now(), Level: lambda.LevelInfo, Text: text}
}

func TestALineIsSeenAtOnceWithItsInvocation(t *testing.T) {
	h := newHouse(t, telemetry.DefaultLimits)
	ws := h.open(t)
	_ = ws.WriteJSON(sub("logs", "orders-api", map[string]any{"newest": 100}))
	if f := read(t, ws); f.Kind != "lines" || len(f.Lines) != 0 {
		t.Fatalf("the first frame is %+v", f)
	}
	h.pipeline.Lines([]lambda.LogLine{line(2, "other", "not mine"), line(1, "run-1", "hello \"<b>\" \x1b[31m 한국어 \xff")})
	f := until(t, ws, func(f frame) bool { return len(f.Lines) > 0 })
	if got := f.Lines[0][6]; got != "hello \"<b>\" \x1b[31m 한국어 \uFFFD" || len(f.Lines) != 1 {
		t.Errorf("lines %v", f.Lines)
	}
	if r := f.Runs[0]; r[0] != "run-1" || r[4] != "orders-api" {
		t.Errorf("runs %v", f.Runs)
	}
	h.pipeline.Record(lambda.Run{Report: lambda.Report{RequestID: "run-1", FunctionID: 1, Function: "orders-api", Version: "$LATEST", Status: lambda.StatusOK, StartedAt: time.Now()}})
	if f := until(t, ws, func(f frame) bool { return len(f.Reports) > 0 }); f.Reports[0]["id"] != "run-1" || f.Reports[0]["s"] != "ok" {
		t.Errorf("reports %v", f.Reports)
	}
}

func TestALongLineComesShortenedAndWholeOnDemand(t *testing.T) {
	h := newHouse(t, telemetry.DefaultLimits)
	ws := h.open(t)
	_ = ws.WriteJSON(sub("logs", "orders-api", nil))
	read(t, ws)
	text := strings.Repeat("가", 80_000)
	h.pipeline.Lines([]lambda.LogLine{line(1, "r", text)})
	f := until(t, ws, func(f frame) bool { return len(f.Lines) > 0 })
	l := f.Lines[0]
	if got := l[6].(string); len(got) > 16<<10 || !strings.HasPrefix(text, got) || l[8] != float64(len(text)) {
		t.Fatalf("%d bytes, full %v", len(got), l[8])
	}
	// The line must be kept before it can be read.
	id := fmt.Sprintf("%v-%v", l[0], l[1])
	for {
		if status, body := h.get(t, "/functions/orders-api/logs/line?id="+id); status == http.StatusOK {
			if body != text {
				t.Errorf("%d of %d bytes", len(body), len(text))
			}
			return
		}
	}
}

// reader is a tab that loses its connection again and again and keeps what it got by id.
type reader struct {
	got     map[string]int
	last    string
	doubled int
}

// take applies a frame as the tab does: what is not newer than the last line is left out.
func (r *reader) take(f frame) {
	for _, l := range f.Lines {
		id := fmt.Sprintf("%.0f-%.0f", l[0], l[1])
		if r.got[id]++; r.got[id] > 1 {
			r.doubled++
		}
		r.last = id
	}
}

func TestNothingIsLostOrDoubledOverForcedReconnects(t *testing.T) {
	const total, cuts = 60_000, 20
	// Small buffers: the hub lets go of lines quickly, so that history is read again and again.
	h := newHouse(t, telemetry.Limits{Each: 1 << 20, All: 8 << 20, KeptEach: 64 << 10, KeptAll: 1 << 20, Spool: 64 << 20})
	r := &reader{got: map[string]int{}}
	var writer sync.WaitGroup
	writer.Go(func() {
		for n := 0; n < total; n += 50 {
			batch := make([]lambda.LogLine, 50)
			for i := range batch {
				batch[i] = line(1, "run", fmt.Sprint(n+i))
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
		ws.NetConn().Close() // as a lost network, without a goodbye
	}
	writer.Wait()
	if len(r.got) != total || r.doubled != 0 {
		t.Errorf("%d of %d lines, %d doubled", len(r.got), total, r.doubled)
	}
	t.Logf("%d lines over %d connections: 0 lost, %d doubled", len(r.got), cuts, r.doubled)
}

// firstID asks for everything when there is nothing yet: the first line has number 1.
func firstID(last string) string {
	if last == "" {
		return "0-1"
	}
	return last
}

func TestASlowViewerIsCutAndCatchesUpWhileOthersAreNot(t *testing.T) {
	h := newHouse(t, telemetry.Limits{Each: 4 << 20, All: 64 << 20, KeptEach: 256 << 10, KeptAll: 4 << 20, Spool: 64 << 20})
	slow, quick := h.open(t), h.open(t)
	for _, ws := range []*websocket.Conn{slow, quick} {
		_ = ws.WriteJSON(sub("logs", "orders-api", map[string]any{"after": "0-1"}))
		read(t, ws)
	}
	const total = 6000
	text := strings.Repeat("x", 8<<10)
	go func() {
		for n := 0; n < total; n += 20 {
			batch := make([]lambda.LogLine, 20)
			for i := range batch {
				batch[i] = line(1, "run", text)
			}
			h.pipeline.Lines(batch)
		}
	}()
	q := &reader{got: map[string]int{}}
	for len(q.got) < total {
		q.take(read(t, quick))
	}
	// 48 MB do not fit into the slow one's buffers: the server gives it up by itself.
	for deadline := time.Now().Add(30 * time.Second); h.console.OpenSockets() > 1; {
		if time.Now().After(deadline) {
			t.Fatal("the slow viewer is still there")
		}
		time.Sleep(10 * time.Millisecond)
	}
	s := &reader{got: map[string]int{}}
	for {
		var f frame
		if err := slow.ReadJSON(&f); err != nil {
			break
		}
		s.take(f)
	}
	if len(s.got) == total {
		t.Error("the slow viewer got everything although it was cut")
	}
	again := h.open(t)
	_ = again.WriteJSON(sub("logs", "orders-api", map[string]any{"after": firstID(s.last)}))
	for len(s.got) < total {
		s.take(read(t, again))
	}
	if q.doubled+s.doubled != 0 {
		t.Errorf("doubled: %d, %d", q.doubled, s.doubled)
	}
}

func TestARevokedSessionClosesItsTabsAndNoOthers(t *testing.T) {
	h := newHouse(t, telemetry.DefaultLimits)
	mine, other := h.open(t), h.open(t, "Cookie", "kiln_session=secret-2")
	for _, ws := range []*websocket.Conn{mine, other} {
		_ = ws.WriteJSON(sub("logs", "orders-api", nil))
		read(t, ws)
	}
	if err := h.sessions.End(t.Context(), iam.System, 7, 1); err != nil {
		t.Fatal(err)
	}
	_, _, err := mine.ReadMessage()
	if !websocket.IsCloseError(err, 4401) {
		t.Errorf("the revoked tab got %v", err)
	}
	h.pipeline.Lines([]lambda.LogLine{line(1, "r", "still here")})
	until(t, other, func(f frame) bool { return len(f.Lines) == 1 })
}

func TestOnlyOurOwnPagesMayOpenTheSocket(t *testing.T) {
	h := newHouse(t, telemetry.DefaultLimits)
	for name, headers := range map[string][]string{
		"a foreign origin":     {"Origin", "https://evil.example"},
		"another port":         {"Origin", "http://127.0.0.1:1"},
		"no origin":            {"Origin", ""},
		"an unreadable origin": {"Origin", "null"},
		"no session":           {"Cookie", ""},
	} {
		if ws, resp, err := h.dial(t, headers...); err == nil {
			ws.Close()
			t.Errorf("%s is let in", name)
		} else if resp == nil || resp.StatusCode < 300 {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestATopicNeedsItsPermission(t *testing.T) {
	h := newHouse(t, telemetry.DefaultLimits)
	for _, c := range []struct {
		cookie, topic, fn string
		denied            bool
	}{
		{"kiln_session=secret-2", "logs", "orders-api", false},
		{cookie, "nothing", "orders-api", true},
		{cookie, "logs", "no-such-function", true},
		{cookie, "logs", "../../etc", true},
	} {
		ws := h.open(t, "Cookie", c.cookie)
		_ = ws.WriteJSON(sub(c.topic, c.fn, nil))
		if f := read(t, ws); (f.Kind == "denied") != c.denied || c.denied && f.Message == "" {
			t.Errorf("%+v: %+v", c, f)
		}
	}
	// Somebody without any role does not even get the socket.
	if _, resp, err := h.dial(t, "Cookie", "kiln_session=secret-3"); err == nil || resp.StatusCode != http.StatusForbidden {
		t.Errorf("nobody got %v", err)
	}
	for _, row := range console.TopicRows() {
		if row.Action == "" || row.Resource == nil || row.Open {
			t.Errorf("topic without a row: %+v", row)
		}
	}
}

func TestATabCannotAskForTooMuch(t *testing.T) {
	h := newHouse(t, telemetry.DefaultLimits)
	ws := h.open(t)
	for i := range 17 {
		_ = ws.WriteJSON(map[string]any{"op": "sub", "id": i + 1, "topic": "runs"})
	}
	if f := until(t, ws, func(f frame) bool { return f.Kind == "denied" }); f.Sub != 17 {
		t.Errorf("%+v", f)
	}
	_ = ws.WriteMessage(websocket.TextMessage, []byte(`{"op":"`+strings.Repeat("x", 5000)+`"}`))
	_ = ws.SetReadDeadline(time.Now().Add(10 * time.Second))
	for {
		if _, _, err := ws.ReadMessage(); err != nil {
			return
		}
	}
}

func TestTheTabLearnsThatTheDatabaseIsAway(t *testing.T) {
	h := newHouse(t, telemetry.DefaultLimits)
	ws := h.open(t)
	_ = ws.WriteJSON(sub("logs", "orders-api", nil))
	read(t, ws)
	h.db.away.Store(true)
	h.pipeline.Lines([]lambda.LogLine{line(1, "r", "x")})
	if f := until(t, ws, func(f frame) bool { return f.Kind == "health" }); !f.Spooling {
		t.Errorf("%+v", f)
	}
	h.db.away.Store(false)
	if f := until(t, ws, func(f frame) bool { return f.Kind == "health" }); f.Spooling {
		t.Errorf("%+v", f)
	}
}

func TestPingsAreAnsweredWithBothClocks(t *testing.T) {
	h := newHouse(t, telemetry.DefaultLimits)
	ws := h.open(t)
	_ = ws.WriteJSON(map[string]any{"op": "ping", "at": 12.5})
	_, b, err := ws.ReadMessage()
	var f struct {
		K   string
		At  float64
		Now int64
	}
	if err != nil || json.Unmarshal(b, &f) != nil || f.K != "pong" || f.At != 12.5 || f.Now == 0 {
		t.Errorf("%s %v", b, err)
	}
}
