package console

import (
	"context"
	"strconv"
	"strings"
	"time"

	"kiln/lambda"
	"kiln/telemetry"
)

const (
	maxNewest    = 5000
	frameLines   = 2000      // lines in one frame at most
	frameBytes   = 512 << 10 // text in one frame at most
	reportPage   = 500
	reportPages  = 10
	longestRun   = lambda.MaxTimeoutSec * time.Second
	retryHistory = time.Second
	checkHealth  = time.Second
)

// parseLogID reads "epoch-seq"; the zero id for "".
func parseLogID(s string) (lambda.LogID, error) {
	if s == "" {
		return lambda.LogID{}, nil
	}
	a, b, _ := strings.Cut(s, "-")
	epoch, err := strconv.ParseInt(a, 10, 64)
	seq, err2 := strconv.ParseInt(b, 10, 64)
	if err != nil || err2 != nil || epoch < 0 || seq < 0 {
		return lambda.LogID{}, lambda.E(lambda.Invalid, "log.id", "value", s)
	}
	return lambda.LogID{Epoch: epoch, Seq: seq}, nil
}

// watchLogs sends lines and the reports of their invocations: first what is kept, then what comes.
func (s *socket) watchLogs(ctx context.Context, a ask, f watched) error {
	after, err := parseLogID(a.After)
	if err != nil {
		return err
	}
	t := telemetry.Topic{FunctionID: f.ID, RequestID: a.Request}
	v := &logViewer{
		s: s, ask: a, topic: t, name: s.c.namer(ctx, f), last: after,
		events: s.c.Hub.WatchHeldEvents(t),
		tail:   telemetry.OpenTail(s.c.Hub, s.c.Store, t, after, min(max(a.Newest, 0), maxNewest)),
	}
	if err := v.first(ctx); err != nil {
		return err
	}
	s.wg.Go(func() { v.reports(ctx) })
	s.wg.Go(func() { v.health(ctx) })
	v.lines(ctx)
	return nil
}

// logViewer is one subscription to logs.
type logViewer struct {
	s      *socket
	ask    ask
	topic  telemetry.Topic
	name   func(int64) string
	tail   *telemetry.Tail
	events *telemetry.Events
	last   lambda.LogID // sent
	sent   time.Time
}

// first sends what is kept already, with its reports. It sends a frame even when there is nothing, so that the tab knows.
func (v *logViewer) first(ctx context.Context) error {
	b, err := v.next(ctx)
	if err != nil {
		return err
	}
	from := time.UnixMilli(v.ask.From)
	lines := b.Lines
	for len(lines) > 0 && lines[0].At.Before(from) {
		lines = lines[1:]
	}
	since := from
	if len(lines) > 0 && lines[0].At.Before(since) || v.ask.From == 0 && len(lines) > 0 {
		since = lines[0].At
	}
	reports, err := v.s.c.reportsSince(ctx, v.topic.FunctionID, since)
	if err != nil {
		return err
	}
	if b.Skipped {
		if err := v.skipped(ctx, lines); err != nil {
			return err
		}
	}
	v.send(ctx, lines, reports)
	return nil
}

// reportsSince are the newest reports down to a time, at most some thousands, oldest first. Runs that began before it may have lines after it.
func (c *Console) reportsSince(ctx context.Context, function int64, since time.Time) ([]lambda.Report, error) {
	return c.reports(ctx, lambda.InvocationFilter{FunctionID: function, From: since.Add(-longestRun), Limit: reportPage})
}

func (c *Console) reports(ctx context.Context, f lambda.InvocationFilter) ([]lambda.Report, error) {
	var all []lambda.Report
	for range reportPages {
		page, err := c.Store.Invocations(ctx, f)
		if err != nil {
			return nil, err
		}
		all = append(all, page...)
		if len(page) < f.Limit {
			break
		}
		end := page[len(page)-1]
		f.Before = lambda.InvocationKey{At: end.StartedAt, RequestID: end.RequestID}
	}
	return all, nil
}

// next waits for lines. While history cannot be read it tries again: nothing is lost by that.
func (v *logViewer) next(ctx context.Context) (telemetry.Batch, error) {
	for {
		b, err := v.tail.Next(ctx)
		if err == nil || ctx.Err() != nil {
			return b, ctx.Err()
		}
		v.s.c.Log.WarnContext(ctx, "log history", "error", err)
		sleep(ctx, retryHistory)
	}
}

func sleep(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}

func (v *logViewer) lines(ctx context.Context) {
	for {
		b, err := v.next(ctx)
		if err != nil {
			return
		}
		if b.Skipped && v.skipped(ctx, b.Lines) != nil {
			return
		}
		if !v.send(ctx, b.Lines, nil) {
			return
		}
		v.s.pace(ctx, v.sent)
	}
}

// skipped sends what a tail left out because too much was missed: it reads the lines between the last one that was sent and the
// first one of the batch page by page, at the pace of this viewer.
func (v *logViewer) skipped(ctx context.Context, before []lambda.LogLine) error {
	for {
		page, err := v.s.c.Store.LogLines(ctx, lambda.LogQuery{FunctionID: v.topic.FunctionID, RequestID: v.topic.RequestID, After: v.last, Limit: frameLines})
		if err != nil {
			return err
		}
		n := len(page)
		for len(page) > 0 && len(before) > 0 && !page[len(page)-1].ID.Less(before[0].ID) {
			page = page[:len(page)-1]
		}
		if !v.send(ctx, page, nil) {
			return ctx.Err()
		}
		if len(page) < n || n < frameLines {
			return nil
		}
	}
}

// send sends lines in frames of a bounded size, the reports with the last of them.
func (v *logViewer) send(ctx context.Context, lines []lambda.LogLine, reports []lambda.Report) bool {
	for {
		n := frameOf(lines)
		var with []lambda.Report
		if n == len(lines) {
			with = reports
		}
		b, err := v.encode(lines[:n], with)
		if err != nil {
			v.s.c.Log.ErrorContext(ctx, "log frame", "error", err)
			return false
		}
		if !v.s.send(ctx, b) {
			return false
		}
		v.sent = time.Now()
		if n > 0 {
			v.last = lines[n-1].ID
		}
		if lines = lines[n:]; len(lines) == 0 {
			return true
		}
	}
}

// frameOf is how many of the lines fit into one frame.
func frameOf(lines []lambda.LogLine) int {
	size := 0
	for i := range lines {
		size += min(len(lines[i].Text), maxWireText)
		if i >= frameLines || size > frameBytes && i > 0 {
			return i
		}
	}
	return len(lines)
}

func (v *logViewer) encode(lines []lambda.LogLine, reports []lambda.Report) ([]byte, error) {
	b := make([]byte, 0, 256+160*len(lines))
	b = v.begin(b)
	if len(lines) > 0 {
		b = appendLines(append(b, ','), lines, v.name)
	}
	if len(reports) > 0 {
		var err error
		if b, err = appendReports(append(b, ','), reports); err != nil {
			return nil, err
		}
	}
	return append(b, '}'), nil
}

// begin opens a frame's object with its head.
func (v *logViewer) begin(b []byte) []byte {
	b = append(b, `{"k":"lines","s":`...)
	b = strconv.AppendInt(b, v.ask.ID, 10)
	b = append(b, `,"now":`...)
	return strconv.AppendInt(b, v.s.c.Now().UnixMilli(), 10)
}

// reports sends the turns of invocations; after a gap it reads the list again.
func (v *logViewer) reports(ctx context.Context) {
	for {
		events, err := v.events.Next(ctx)
		if ctx.Err() != nil {
			return
		}
		var reports []lambda.Report
		if err != nil {
			if reports, err = v.s.c.reportsSince(ctx, v.topic.FunctionID, v.s.c.Now()); err != nil {
				sleep(ctx, retryHistory)
			}
		}
		for _, e := range events {
			reports = append(reports, e.Report)
		}
		if b, err := v.encode(nil, reports); err != nil || !v.s.send(ctx, b) {
			return
		}
		sleep(ctx, frameTime(v.s.c.sockets.count.Load()))
	}
}

// health tells the tab when the database begins or ceases to take lines.
func (v *logViewer) health(ctx context.Context) {
	away := false
	for ctx.Err() == nil {
		if h := v.s.c.Pipeline.Health(); h.Away != away {
			away = h.Away
			v.s.sendJSON(ctx, struct {
				head
				Spooling bool `json:"spooling"`
			}{v.s.head(v.ask.ID, "health"), away})
		}
		sleep(ctx, checkHealth)
	}
}

// watchRuns sends the turns of invocations.
func (s *socket) watchRuns(ctx context.Context, a ask, f watched) error {
	v := &logViewer{s: s, ask: a, events: s.c.Hub.WatchEvents(telemetry.Topic{FunctionID: f.ID, RequestID: a.Request})}
	v.topic.FunctionID = f.ID
	v.reports(ctx)
	return nil
}
