package telemetry

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"kiln/lambda"
)

func numbered(fn int64, from, n int) []lambda.LogLine {
	out := lines(fn, from, n)
	for i := range out {
		out[i].ID = lambda.LogID{Epoch: 7, Seq: int64(from + i + 1)}
	}
	return out
}

func TestAWatcherThatNeverReadsKeepsNothingAndLearnsOfTheGap(t *testing.T) {
	h := NewHub(small)
	stalled := h.WatchLines(Topic{FunctionID: 1}, false)
	everything := h.WatchLines(Topic{}, false)
	for i := range 200 {
		h.PublishLines(numbered(1, i*100, 100))
	}
	if held := h.lines.held(); held > 3*small.Each {
		t.Errorf("%d bytes held", held)
	}
	for _, w := range []*Lines{stalled, everything} {
		if _, err := w.Next(t.Context()); !errors.Is(err, ErrGap) {
			t.Errorf("no gap: %v", err)
		}
		if got, err := w.Next(t.Context()); err != nil || len(got) == 0 {
			t.Errorf("after the gap: %d lines, %v", len(got), err)
		}
	}
}

func TestLinesAboveTheDurableWatermarkStay(t *testing.T) {
	h := NewHub(small)
	w := h.WatchLines(Topic{FunctionID: 1}, false)
	h.PublishLines(numbered(1, 0, 250)) // past the soft bound, below the hard one
	h.PublishLines(numbered(1, 250, 1))
	if got, err := w.Next(t.Context()); err != nil || got[0].ID.Seq != 1 {
		t.Errorf("%v", err)
	}
	late := h.WatchLines(Topic{FunctionID: 1}, true)
	h.lines.settle(lambda.LogID{Epoch: 7, Seq: 251})
	h.PublishLines(numbered(1, 251, 1))
	if _, err := late.Next(t.Context()); !errors.Is(err, ErrGap) {
		t.Errorf("durable lines stay past the soft bound: %v", err)
	}
}

func TestTopicsSeeOnlyTheirLinesAndEvents(t *testing.T) {
	h := NewHub(small)
	one, req, all := h.WatchLines(Topic{FunctionID: 1}, false), h.WatchLines(Topic{FunctionID: 1, RequestID: "x"}, false), h.WatchLines(Topic{}, false)
	ev := h.WatchEvents(Topic{FunctionID: 2})
	mixed := numbered(1, 0, 2)
	mixed[1].RequestID = "x"
	h.PublishLines(numbered(2, 10, 1))
	h.PublishLines(mixed)
	h.PublishEvent(Event{lambda.Report{RequestID: "a", FunctionID: 1}})
	h.PublishEvent(Event{lambda.Report{RequestID: "b", FunctionID: 2}})
	for _, c := range []struct {
		w    *Lines
		want int
	}{{one, 2}, {req, 1}, {all, 3}} {
		if got, err := c.w.Next(t.Context()); err != nil || len(got) != c.want {
			t.Errorf("topic %+v: %d lines, %v", c.w.topic, len(got), err)
		}
	}
	if got, err := ev.Next(t.Context()); err != nil || len(got) != 1 || got[0].Report.RequestID != "b" {
		t.Errorf("events: %+v, %v", got, err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := ev.Next(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("a cancelled wait: %v", err)
	}
}

// TestAViewerSeesEachLineOnce writes while viewers reconnect again and again, each going on from the last id it has.
func TestAViewerSeesEachLineOnceThroughTwentyReconnects(t *testing.T) {
	for _, trouble := range []float64{0, 0.2} {
		t.Run(fmt.Sprint(trouble), func(t *testing.T) {
			f := newFake()
			f.trouble = trouble
			h := open(t, f, t.TempDir(), small)
			const total = 6000
			go func() {
				for i := 0; i < total; i += 30 {
					h.Lines(lines(1, i, 30))
					h.Lines(lines(2, i, 3))
				}
			}()
			seen, reconnects := readAll(t, h, total)
			if reconnects < 20 {
				t.Errorf("only %d reconnects", reconnects)
			}
			for i, text := range seen {
				if text != fmt.Sprintf("1/%d", i) {
					t.Fatalf("line %d is %q", i, text)
				}
			}
		})
	}
}

func readAll(t *testing.T, h *house, total int) (seen []string, reconnects int) {
	var after lambda.LogID
	for len(seen) < total {
		tail := OpenTail(h.hub, h.sink, Topic{FunctionID: 1}, after, maxBacklog)
		for start := len(seen); len(seen) < total && len(seen)-start < total/25; {
			b, err := tail.Next(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if b.Skipped {
				t.Fatal("lines were skipped")
			}
			for _, l := range b.Lines {
				seen, after = append(seen, l.Text), l.ID
			}
			if len(seen)-start > total/25 { // give back what a slower viewer would not have read
				seen = seen[:start+total/25]
				after = idOf(b.Lines, seen[len(seen)-1])
			}
		}
		reconnects++
	}
	return seen, reconnects
}

func idOf(ls []lambda.LogLine, text string) lambda.LogID {
	return ls[slices.IndexFunc(ls, func(l lambda.LogLine) bool { return l.Text == text })].ID
}

func TestAViewerThatFellFarBehindIsToldThatLinesWereSkipped(t *testing.T) {
	f := newFake()
	h := open(t, f, t.TempDir(), small)
	tail := OpenTail(h.hub, f, Topic{FunctionID: 1}, lambda.LogID{}, 10)
	if b, err := tail.Next(t.Context()); err != nil || len(b.Lines) != 0 || b.Skipped {
		t.Fatalf("opening on nothing: %+v, %v", b, err)
	}
	for i := 0; i < maxBacklog+5000; i += 500 {
		h.Lines(lines(1, i, 500))
	}
	for h.Health().Waiting > 0 {
		time.Sleep(time.Millisecond)
	}
	b, err := tail.Next(t.Context())
	if err != nil || !b.Skipped || len(b.Lines) != maxBacklog || b.Lines[len(b.Lines)-1].Text != fmt.Sprintf("1/%d", maxBacklog+4999) {
		t.Errorf("%d lines, skipped %v, %v", len(b.Lines), b.Skipped, err)
	}
}

func TestATailGoesOnAfterHistoryFailed(t *testing.T) {
	f := newFake()
	h := open(t, f, t.TempDir(), small)
	h.Lines(lines(1, 0, 5))
	f.set(func() { f.down = true })
	tail := OpenTail(h.hub, f, Topic{FunctionID: 1}, lambda.LogID{}, 10)
	if _, err := tail.Next(t.Context()); err == nil {
		t.Error("no error while history is away")
	}
	f.set(func() { f.down = false })
	if b, err := tail.Next(t.Context()); err != nil || len(b.Lines) != 5 {
		t.Errorf("%d lines, %v", len(b.Lines), err)
	}
}

func TestManyWatchersOneStalled(t *testing.T) {
	h := NewHub(DefaultLimits)
	stalled := h.WatchLines(Topic{FunctionID: 1}, false)
	var mu sync.Mutex
	var late []time.Duration
	var wg sync.WaitGroup
	const watchers, n = 100, 500
	for range watchers {
		w := h.WatchLines(Topic{FunctionID: 1}, false)
		wg.Go(func() {
			for i := 0; i < n; {
				got, err := w.Next(t.Context())
				if err != nil {
					t.Error(err)
					return
				}
				i += len(got)
				mu.Lock()
				late = append(late, time.Since(got[len(got)-1].At))
				mu.Unlock()
			}
		})
	}
	var worst time.Duration
	for i := range n {
		ls := numbered(1, i, 1)
		start := time.Now()
		h.PublishLines(ls)
		worst = max(worst, time.Since(start))
	}
	wg.Wait()
	if got, err := stalled.Next(t.Context()); err != nil || len(got) != n {
		t.Errorf("the stalled one: %d, %v", len(got), err)
	}
	slices.Sort(late)
	t.Logf("delivery p50 %v p99 %v, worst publish %v", late[len(late)/2], late[len(late)*99/100], worst)
}
