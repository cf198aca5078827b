package lambdaapi

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"kiln/lambda"
)

// entry is one line of a log as clients see it: a kept line, or one that is rendered from a report.
type entry struct {
	at     time.Time
	order  int // START before the lines, END and REPORT after them
	seq    int64
	stream string
	text   string
	id     string
}

// reportLines renders START, END and REPORT of an invocation.
func reportLines(r *lambda.Report) []entry {
	end := r.StartedAt.Add(r.Duration)
	start := fmt.Sprintf("START RequestId: %s Version: %s\n", r.RequestID, r.Version)
	report := fmt.Sprintf("REPORT RequestId: %s\tDuration: %.2f ms\tBilled Duration: %d ms\tMemory Size: %d MB\tMax Memory Used: %d MB\t",
		r.RequestID, float64(r.Duration.Microseconds())/1000, r.BilledMS, r.MemoryMB, r.MaxMemoryMB)
	if r.Cold {
		report += fmt.Sprintf("Init Duration: %.2f ms\t", float64(r.Init.Microseconds())/1000)
	}
	switch r.Status {
	case lambda.StatusTimeout:
		report += "Status: timeout"
	case lambda.StatusMemory, lambda.StatusExit:
		report += "Status: error\tError Type: " + r.ErrorType
	}
	return []entry{
		{at: r.StartedAt, order: -1, stream: r.Worker, text: start, id: r.RequestID + "-0"},
		{at: end, order: 1, stream: r.Worker, text: fmt.Sprintf("END RequestId: %s\n", r.RequestID), id: r.RequestID + "-1"},
		{at: end, order: 2, stream: r.Worker, text: report + "\n", id: r.RequestID + "-2"},
	}
}

const maxEvents = 10_000

// span is a period of a function's log, in memory: at most `limit` lines and what their invocations add.
func (c *call) span(f *lambda.Function, worker string, from, to time.Time, newest bool, limit int) ([]entry, error) {
	lines, err := c.api.Store.LogLines(c.ctx(), lambda.LogQuery{FunctionID: f.ID, Worker: worker, From: from, To: to, Newest: newest, Limit: limit})
	if err != nil {
		return nil, err
	}
	if len(lines) == limit { // reports outside the lines that are shown would stand alone
		if newest {
			from = lines[len(lines)-1].At
		} else {
			to = lines[len(lines)-1].At
		}
	}
	var all []entry
	for i := range lines {
		l := &lines[i]
		all = append(all, entry{at: l.At, seq: l.ID.Seq, stream: l.Worker, text: l.Text + "\n", id: fmt.Sprintf("%d-%d", l.ID.Epoch, l.ID.Seq)})
	}
	reports, err := c.reports(f, worker, from, to)
	if err != nil {
		return nil, err
	}
	for i := range reports {
		for _, e := range reportLines(&reports[i]) {
			if !e.at.Before(from) && (to.IsZero() || e.at.Before(to)) {
				all = append(all, e)
			}
		}
	}
	slices.SortStableFunc(all, func(a, b entry) int {
		return cmp.Or(a.at.Truncate(time.Microsecond).Compare(b.at.Truncate(time.Microsecond)), cmp.Compare(a.order, b.order), cmp.Compare(a.seq, b.seq))
	})
	return all, nil
}

// reports are the invocations of a period, at most maxEvents.
func (c *call) reports(f *lambda.Function, worker string, from, to time.Time) ([]lambda.Report, error) {
	q := lambda.InvocationFilter{FunctionID: f.ID, From: from, To: to, Limit: 500}
	if !from.IsZero() {
		q.From = from.Add(-lambda.MaxSyncDuration * time.Second) // it may have started before and ended in the period
	}
	var out []lambda.Report
	for len(out) < maxEvents {
		page, err := c.api.Store.Invocations(c.ctx(), q)
		if err != nil {
			return nil, err
		}
		for _, r := range page {
			if (worker == "" || r.Worker == worker) && r.Status != lambda.StatusThrottled {
				out = append(out, r)
			}
		}
		if len(page) < q.Limit {
			break
		}
		last := page[len(page)-1]
		q.Before = lambda.InvocationKey{At: last.StartedAt, RequestID: last.RequestID}
	}
	return out, nil
}

func (in *logInput) period() (from, to time.Time) {
	if in.StartTime != nil {
		from = time.UnixMilli(*in.StartTime)
	}
	if in.EndTime != nil {
		to = time.UnixMilli(*in.EndTime)
	}
	return from, to
}

type wireEvent struct {
	Timestamp     int64  `json:"timestamp"`
	Message       string `json:"message"`
	IngestionTime int64  `json:"ingestionTime"`
	EventID       string `json:"eventId,omitempty"`
	LogStreamName string `json:"logStreamName,omitempty"`
}

func (e *entry) wire() wireEvent {
	return wireEvent{Timestamp: e.at.UnixMilli(), Message: e.text, IngestionTime: e.at.UnixMilli()}
}

func getLogEvents(c *call, in *logInput) (any, error) {
	f, err := c.functionOf(in)
	if err != nil {
		return nil, err
	}
	if in.LogStreamName == "" {
		return nil, logFailure("InvalidParameterException", "1 validation error detected: Value null at 'logStreamName' failed to satisfy constraint: Member must not be null")
	}
	limit := in.limit(maxEvents, maxEvents)
	at, err := in.place()
	if err != nil {
		return nil, err
	}
	from, to := at.narrow(in.period())
	all, err := c.span(f, in.LogStreamName, from, to, at.back, limit+at.skip)
	if err != nil {
		return nil, err
	}
	all = at.pass(all)
	if at.back {
		all = all[max(0, len(all)-limit):]
	} else {
		all = all[:min(len(all), limit)]
	}
	out := struct {
		Events            []wireEvent `json:"events"`
		NextForwardToken  string      `json:"nextForwardToken"`
		NextBackwardToken string      `json:"nextBackwardToken"`
	}{Events: []wireEvent{}}
	for i := range all {
		out.Events = append(out.Events, all[i].wire())
	}
	out.NextForwardToken, out.NextBackwardToken = at.behind(all).token(), at.before(all).token()
	return out, nil
}

// place is where a page of a log ends: a millisecond, and how many of its entries were given already, seen from the direction of reading.
type place struct {
	back bool
	ms   int64 // −1 for the end of the period
	skip int
}

func (p place) token() string {
	direction := "f"
	if p.back {
		direction = "b"
	}
	return fmt.Sprintf("%s/%d/%d", direction, p.ms, p.skip)
}

// place reads where to go on.
func (in *logInput) place() (place, error) {
	p := place{back: !in.StartFromHead, ms: -1}
	if in.NextToken == "" {
		return p, nil
	}
	parts := strings.Split(in.NextToken, "/")
	if len(parts) != 3 || parts[0] != "f" && parts[0] != "b" {
		return p, logFailure("InvalidParameterException", "The specified nextToken is invalid.")
	}
	ms, err1 := strconv.ParseInt(parts[1], 10, 64)
	skip, err2 := strconv.Atoi(parts[2])
	if err1 != nil || err2 != nil || ms < -1 || skip < 0 || skip > maxEvents*10 {
		return p, logFailure("InvalidParameterException", "The specified nextToken is invalid.")
	}
	return place{parts[0] == "b", ms, skip}, nil
}

// narrow is the part of a period that lies ahead.
func (p place) narrow(from, to time.Time) (time.Time, time.Time) {
	switch {
	case p.ms < 0:
	case p.back:
		to = time.UnixMilli(p.ms + 1)
	default:
		from = time.UnixMilli(p.ms)
	}
	return from, to
}

// pass leaves out what was given already.
func (p place) pass(all []entry) []entry {
	n := min(p.skip, len(all))
	if p.back {
		return all[:len(all)-n]
	}
	return all[n:]
}

// behind is the place after a page, before the one in front of it. An empty page ends where it began.
func (p place) behind(page []entry) place {
	if len(page) == 0 {
		return place{false, p.ms, p.skip}
	}
	ms := page[len(page)-1].at.UnixMilli()
	n := 0
	for n < len(page) && page[len(page)-1-n].at.UnixMilli() == ms {
		n++
	}
	if n == len(page) && ms == p.ms && !p.back {
		n += p.skip
	}
	return place{false, ms, n}
}

func (p place) before(page []entry) place {
	if len(page) == 0 {
		return place{true, p.ms, p.skip}
	}
	ms := page[0].at.UnixMilli()
	n := 0
	for n < len(page) && page[n].at.UnixMilli() == ms {
		n++
	}
	if n == len(page) && ms == p.ms && p.back {
		n += p.skip
	}
	return place{true, ms, n}
}

func filterLogEvents(c *call, in *logInput) (any, error) {
	f, err := c.functionOf(in)
	if err != nil {
		return nil, err
	}
	match, err := parsePattern(in.FilterPattern)
	if err != nil {
		return nil, err
	}
	limit := in.limit(maxEvents, maxEvents)
	in.StartFromHead = true
	at, err := in.place()
	if err != nil {
		return nil, err
	}
	from, to := at.narrow(in.period())
	all, err := c.span(f, "", from, to, false, maxEvents+at.skip)
	if err != nil {
		return nil, err
	}
	full := len(all) >= maxEvents
	all = at.pass(all)
	out := struct {
		Events             []wireEvent `json:"events"`
		SearchedLogStreams []struct{}  `json:"searchedLogStreams"`
		NextToken          string      `json:"nextToken,omitempty"`
	}{Events: []wireEvent{}, SearchedLogStreams: []struct{}{}}
	for i := range all {
		e := &all[i]
		if !match(e.text) || !in.takesStream(e.stream) {
			continue
		}
		if len(out.Events) == limit {
			out.NextToken = at.behind(all[:i]).token()
			return out, nil
		}
		w := e.wire()
		w.EventID, w.LogStreamName = e.id, e.stream
		out.Events = append(out.Events, w)
	}
	if full && len(all) > 0 {
		out.NextToken = at.behind(all).token()
	}
	return out, nil
}

func (in *logInput) takesStream(s string) bool {
	return (len(in.LogStreamNames) == 0 || slices.Contains(in.LogStreamNames, s)) && strings.HasPrefix(s, in.LogStreamNamePrefix)
}
