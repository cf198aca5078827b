package telemetry

import (
	"context"
	"errors"
	"sync"

	"kiln/lambda"
)

// ErrGap tells a watcher that it fell behind: it must read what is missing from history and go on.
var ErrGap = errors.New("telemetry: the watcher fell behind")

// Topic chooses what a watcher sees. The zero value is everything.
type Topic struct {
	FunctionID int64
	RequestID  string // with FunctionID: of this invocation only
}

// Event is a turn in an invocation's life. A started one has Report.Status StatusRunning.
type Event struct {
	Report lambda.Report
}

// Limits bound the memory of log lines. Each is for one function, All for all of them together.
type Limits struct {
	Each, All         int // bytes not yet durable; past it the spool file or back-pressure
	KeptEach, KeptAll int // bytes kept for watchers after they are durable
	Spool             int64
}

// DefaultLimits are HOUSE.md §3b's.
var DefaultLimits = Limits{Each: 4 << 20, All: 256 << 20, KeptEach: 1 << 20, KeptAll: 64 << 20, Spool: 1 << 30}

// Hub hands lines and events to any number of watchers at once. Publishing never waits for one of them: each walks at its own pace,
// and one that is too far behind gets ErrGap. It is safe for concurrent use.
type Hub struct {
	lines  *feed[lambda.LogLine]
	events *feed[Event]

	mu    sync.Mutex
	whole chan struct{} // nil when history and hub together hold every line; else closed when they do again
}

const (
	lineOverhead = 160 // bytes that a line takes besides its text
	eventSize    = 512
)

// NewHub makes a hub that holds every line that is not durable yet, within l; the zero value is DefaultLimits.
func NewHub(l Limits) *Hub {
	if l == (Limits{}) {
		l = DefaultLimits
	}
	return &Hub{
		// A function may go past its limit by what one call brings, hence the factor.
		lines:  newFeed[lambda.LogLine](bounds{softEach: l.KeptEach, hardEach: 2 * l.Each, softAll: l.KeptAll, hardAll: 2 * l.All}),
		events: newFeed[Event](bounds{softEach: 512 << 10, hardEach: 512 << 10, softAll: 8 << 20, hardAll: 8 << 20}),
	}
}

// PublishLines appends lines of one function, in id order. The caller leaves them unchanged from then on.
func (h *Hub) PublishLines(lines []lambda.LogLine) {
	if len(lines) == 0 {
		return
	}
	h.lines.publish(&chunk[lambda.LogLine]{fn: lines[0].FunctionID, bytes: sizeOf(lines), last: lines[len(lines)-1].ID, items: lines})
}

// PublishEvent appends one event.
func (h *Hub) PublishEvent(e Event) {
	h.events.publish(&chunk[Event]{fn: e.Report.FunctionID, bytes: eventSize, items: []Event{e}})
}

// setWhole says whether lines are in the spool, where neither a watcher nor history finds them.
func (h *Hub) setWhole(whole bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if whole && h.whole != nil {
		close(h.whole)
		h.whole = nil
	} else if !whole && h.whole == nil {
		h.whole = make(chan struct{})
	}
}

// awaitWhole waits until no line is in the spool only.
func (h *Hub) awaitWhole(ctx context.Context) error {
	h.mu.Lock()
	whole := h.whole
	h.mu.Unlock()
	if whole == nil {
		return nil
	}
	select {
	case <-whole:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func sizeOf(lines []lambda.LogLine) int {
	n := 0
	for i := range lines {
		n += len(lines[i].Text) + lineOverhead
	}
	return n
}

// Lines is a watcher of log lines. It needs no closing and is for one goroutine.
type Lines struct {
	topic Topic
	cursor[lambda.LogLine]
}

// WatchLines starts at the present moment, or with the oldest line that is held.
func (h *Hub) WatchLines(t Topic, held bool) *Lines {
	return &Lines{topic: t, cursor: *h.lines.watch(t.FunctionID, held)}
}

// Next waits for the topic's next lines, in id order; ErrGap or ctx's error.
func (w *Lines) Next(ctx context.Context) ([]lambda.LogLine, error) {
	for {
		got, err := w.next(ctx)
		if err != nil {
			return nil, err
		}
		if out := w.match(got); len(out) > 0 {
			return out, nil
		}
	}
}

// held gives the topic's lines that are there already, without waiting.
func (w *Lines) held() ([]lambda.LogLine, error) {
	var out []lambda.LogLine
	for {
		got, gap, _ := w.take()
		if gap {
			return nil, ErrGap
		}
		if got == nil {
			return out, nil
		}
		out = append(out, w.match(got)...)
	}
}

func (w *Lines) match(got []*chunk[lambda.LogLine]) []lambda.LogLine {
	if len(got) == 1 && w.topic.RequestID == "" {
		return got[0].items
	}
	var out []lambda.LogLine
	for _, c := range got {
		if w.topic.RequestID == "" {
			out = append(out, c.items...)
			continue
		}
		for i := range c.items {
			if c.items[i].RequestID == w.topic.RequestID {
				out = append(out, c.items[i])
			}
		}
	}
	return out
}

// Events is a watcher of events. It needs no closing and is for one goroutine.
type Events struct {
	topic Topic
	cursor[Event]
}

// WatchEvents starts at the present moment.
func (h *Hub) WatchEvents(t Topic) *Events {
	return &Events{topic: t, cursor: *h.events.watch(t.FunctionID, false)}
}

// WatchHeldEvents starts with the oldest event that is held: some of them are not in the list of invocations yet, and others are in both.
func (h *Hub) WatchHeldEvents(t Topic) *Events {
	return &Events{topic: t, cursor: *h.events.watch(t.FunctionID, true)}
}

// Next waits for the topic's next events; after ErrGap, read the list of invocations again and go on.
func (w *Events) Next(ctx context.Context) ([]Event, error) {
	for {
		got, err := w.next(ctx)
		if err != nil {
			return nil, err
		}
		var out []Event
		for _, c := range got {
			if w.topic.RequestID == "" || c.items[0].Report.RequestID == w.topic.RequestID {
				out = append(out, c.items...)
			}
		}
		if len(out) > 0 {
			return out, nil
		}
	}
}
