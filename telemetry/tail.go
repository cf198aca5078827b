package telemetry

import (
	"cmp"
	"context"
	"errors"
	"slices"

	"kiln/lambda"
)

// History reads kept lines; store.Store has it.
type History interface {
	LogLines(ctx context.Context, q lambda.LogQuery) ([]lambda.LogLine, error)
}

// Batch is what a Tail gives: lines in id order, each once. Skipped says that lines before these were left out
// because too many were missed; they are in history.
type Batch struct {
	Lines   []lambda.LogLine
	Skipped bool
}

const (
	maxBacklog  = 10_000 // lines that a Tail reads again at once after it fell behind
	historyPage = 1_000
)

// Tail is a live view with its history: watch first, read history, drop doubles by id; after a gap, read history again.
// A reconnecting viewer opens a new Tail with the last id that it has. It is for one goroutine.
type Tail struct {
	hub     *Hub
	history History
	topic   Topic
	want    int
	watch   *Lines
	last    lambda.LogID
	opened  bool // the first lines were given, or the viewer brought an id
	stale   bool // history must be read before going on
}

// OpenTail starts a view after the line `after`, or, when it is zero, with the newest `lines` kept lines.
func OpenTail(hub *Hub, history History, topic Topic, after lambda.LogID, lines int) *Tail {
	return &Tail{hub: hub, history: history, topic: topic, last: after, opened: after != lambda.LogID{}, want: min(max(lines, 1), maxBacklog),
		stale: true, watch: hub.WatchLines(topic, true)}
}

// Next waits for the next lines. The first call answers at once, perhaps with none. An error of history can be tried again: nothing is lost by it.
func (t *Tail) Next(ctx context.Context) (Batch, error) {
	for {
		if t.stale {
			b, err := t.catchUp(ctx)
			if errors.Is(err, ErrGap) {
				continue
			}
			return b, err
		}
		lines, err := t.watch.Next(ctx)
		if errors.Is(err, ErrGap) {
			t.stale = true
			continue
		}
		if err != nil {
			return Batch{}, err
		}
		if lines = t.fresh(lines); len(lines) > 0 {
			return Batch{Lines: lines}, nil
		}
	}
}

// fresh drops what was given before and moves on.
func (t *Tail) fresh(lines []lambda.LogLine) []lambda.LogLine {
	for len(lines) > 0 && !t.last.Less(lines[0].ID) {
		lines = lines[1:]
	}
	if len(lines) > 0 {
		t.last = lines[len(lines)-1].ID
	}
	return lines
}

// catchUp joins history and what the hub holds; a view that goes on waits for what is in the spool first. Whatever left the hub before the rewind was durable before history is read.
func (t *Tail) catchUp(ctx context.Context) (Batch, error) {
	if t.opened {
		if err := t.hub.awaitWhole(ctx); err != nil {
			return Batch{}, err
		}
	}
	t.watch.rewind()
	kept, skipped, err := t.readHistory(ctx)
	if err != nil {
		return Batch{}, err
	}
	held, err := t.watch.held()
	if err != nil {
		return Batch{}, err
	}
	all := mergeByID(kept, held)
	all = slices.DeleteFunc(all, func(l lambda.LogLine) bool { return !t.last.Less(l.ID) })
	if most := t.most(); len(all) > most {
		all, skipped = all[len(all)-most:], true
	}
	b := Batch{Lines: t.fresh(all), Skipped: skipped && t.opened}
	t.stale, t.opened = false, true
	return b, nil
}

func (t *Tail) most() int {
	if t.opened {
		return maxBacklog
	}
	return t.want
}

// readHistory reads the newest kept lines after t.last, at most what may be given, page by page.
func (t *Tail) readHistory(ctx context.Context) (lines []lambda.LogLine, skipped bool, err error) {
	most := t.most()
	q := lambda.LogQuery{FunctionID: t.topic.FunctionID, RequestID: t.topic.RequestID, Newest: true}
	for len(lines) < most {
		q.Limit = min(historyPage, most-len(lines))
		page, err := t.history.LogLines(ctx, q)
		if err != nil {
			return nil, false, err
		}
		for _, l := range page {
			if !t.last.Less(l.ID) {
				return lines, false, nil
			}
			lines = append(lines, l)
		}
		if len(page) < q.Limit {
			return lines, false, nil
		}
		q.Before = page[len(page)-1].ID
	}
	return lines, true, nil
}

func byID(a, b lambda.LogLine) int {
	return cmp.Or(cmp.Compare(a.ID.Epoch, b.ID.Epoch), cmp.Compare(a.ID.Seq, b.ID.Seq))
}

func mergeByID(a, b []lambda.LogLine) []lambda.LogLine {
	all := slices.Concat(a, b)
	slices.SortStableFunc(all, byID)
	return slices.CompactFunc(all, func(x, y lambda.LogLine) bool { return x.ID == y.ID })
}
