package web

import (
	"bytes"
	"context"
	"encoding/json"
	"maps"
	"net/url"
	"strconv"
	"strings"
	"time"

	"kiln/lambda"
)

// Invocations is the list of one function or of all, newest first, with one of them open beside it.
type Invocations struct {
	Function string // "" for all
	Head     *FunctionHead
	Query    url.Values // the address's, to keep what is chosen in every link
	Rows     []lambda.Report
	Next     string // key of the next page, "" on the last one
	Chosen   string // request id of the open sheet
	Sheet    *Sheet
	Slow     int // ms; 0 when not filtered
	P95      time.Duration
	From, To time.Time
	Live     bool
	Flash    string
}

// Sheet is everything about one invocation.
type Sheet struct {
	Report   lambda.Report
	Function string // of the list that it stands beside; "" for all
	Bodies   *lambda.Bodies
	Lines    []lambda.LogLine
	Frames   []RunFrame
	Group    *lambda.ErrorGroup
	MayRun   bool
}

func (v Invocations) path() string {
	if v.Function == "" {
		return "/invocations"
	}
	return FunctionPath(v.Function, "invocations")
}

// with is the address with some values changed ("" removes one); pages and sheets begin anew unless they are what changes.
func (v Invocations) with(pairs ...string) string {
	q := url.Values(maps.Clone(v.Query))
	q.Del("before")
	q.Del("id")
	for i := 0; i+1 < len(pairs); i += 2 {
		q.Set(pairs[i], pairs[i+1])
		if pairs[i+1] == "" {
			q.Del(pairs[i])
		}
	}
	if len(q) == 0 {
		return v.path()
	}
	return v.path() + "?" + q.Encode()
}

// open is the address of one row's sheet; it keeps the page.
func (v Invocations) open(r *lambda.Report) string {
	return v.with("before", v.Query.Get("before"), "id", r.RequestID)
}

func (v Invocations) closed() string { return v.with("before", v.Query.Get("before")) }

// choice is one link of a group.
type choice struct {
	label, href, icon, tone string
	on                      bool
}

// kinds are the buttons of the status.
func (v Invocations) kinds(ctx context.Context) []choice {
	status, cold := v.Query.Get("status"), v.Query.Get("cold") != ""
	all := []choice{
		{label: T(ctx, "inv.all"), href: v.with("status", "", "cold", "", "slow", ""), on: status == "" && !cold && v.Slow == 0},
		{label: T(ctx, "inv.errors"), href: v.with("status", "errors", "cold", "", "slow", ""), icon: "err", tone: "c-e", on: status == "errors"},
		{label: T(ctx, "inv.throttled"), href: v.with("status", "throttled", "cold", "", "slow", ""), icon: "hour", tone: "c-w", on: status == "throttled"},
		{label: T(ctx, "inv.cold"), href: v.with("status", "", "cold", "1", "slow", ""), on: cold},
	}
	limit := v.P95
	if v.Slow > 0 {
		limit = time.Duration(v.Slow) * time.Millisecond
	}
	if limit >= time.Millisecond {
		ms := limit.Round(time.Millisecond)
		all = append(all, choice{label: T(ctx, "inv.slow", "ms", Of(ctx).Locale.Millis(ms)), href: v.with("status", "", "cold", "", "slow", strconv.FormatInt(ms.Milliseconds(), 10)), on: v.Slow > 0})
	}
	return all
}

var windows = []string{"", "300", "900", "3600", "10800", "86400", "604800"}

func (v Invocations) windows(ctx context.Context) []choice {
	var all []choice
	for _, s := range windows {
		all = append(all, choice{label: windowText(ctx, s), href: v.with("range", s, "from", "", "to", ""), on: v.Query.Get("range") == s && v.Query.Get("from") == ""})
	}
	return all
}

func windowText(ctx context.Context, seconds string) string {
	if seconds == "" {
		return T(ctx, "inv.anytime")
	}
	n, _ := strconv.Atoi(seconds)
	return T(ctx, "inv.last", "span", Of(ctx).Locale.Span(time.Duration(n)*time.Second))
}

// window is what the range picker shows.
func (v Invocations) window(ctx context.Context) string {
	if v.Query.Get("from") == "" {
		return windowText(ctx, v.Query.Get("range"))
	}
	o := Of(ctx)
	text := o.Locale.Clock(o.Local(v.From)) + " – "
	if !v.To.IsZero() {
		text += o.Locale.Clock(o.Local(v.To))
	}
	if !sameDayIn(o, v.From, o.Now) {
		text = o.When(v.From) + " " + text
	}
	return text
}

func sameDayIn(o *View, a, b time.Time) bool {
	return o.Local(a).Format(time.DateOnly) == o.Local(b).Format(time.DateOnly)
}

var sourceNames = []string{lambda.SourceTest, lambda.SourceAPI, lambda.SourceURL, lambda.SourceSchedule, lambda.SourceReplay, lambda.SourceFunction}

func (v Invocations) sources(ctx context.Context) []choice {
	all := []choice{{label: T(ctx, "inv.any"), href: v.with("source", ""), on: v.Query.Get("source") == ""}}
	for _, s := range sourceNames {
		all = append(all, choice{label: sourceText(ctx, s), icon: sourceIcon(s), href: v.with("source", s), on: v.Query.Get("source") == s})
	}
	return all
}

// versions are those that the rows show, and the chosen one.
func (v Invocations) versions(ctx context.Context) []choice {
	all := []choice{{label: T(ctx, "inv.any"), href: v.with("version", ""), on: v.Query.Get("version") == ""}}
	seen := map[string]bool{}
	for _, name := range append([]string{v.Query.Get("version")}, versionsOf(v.Rows)...) {
		if name != "" && !seen[name] {
			seen[name] = true
			all = append(all, choice{label: VersionText(ctx, name), href: v.with("version", name), on: v.Query.Get("version") == name})
		}
	}
	return all
}

func versionsOf(rows []lambda.Report) []string {
	var out []string
	for i := range rows {
		out = append(out, rows[i].Version)
	}
	return out
}

// chosenLabel is the label of the link that is on.
func chosenLabel(all []choice) string {
	for _, c := range all {
		if c.on {
			return c.label
		}
	}
	return ""
}

// filtered says whether the list shows less than everything.
func (v Invocations) filtered() bool {
	for _, name := range []string{"status", "cold", "slow", "source", "version", "range", "from"} {
		if v.Query.Get(name) != "" {
			return true
		}
	}
	return false
}

func sourceText(ctx context.Context, s string) string { return T(ctx, "js.source."+s) }

func sourceIcon(s string) string {
	switch s {
	case lambda.SourceTest:
		return "play"
	case lambda.SourceSchedule:
		return "cal"
	case lambda.SourceReplay:
		return "replay"
	case lambda.SourceFunction:
		return "fn"
	}
	return "globe"
}

// VersionText is how a version is shown: "latest", "draft" or "v12".
func VersionText(ctx context.Context, v string) string {
	switch v {
	case lambda.Latest, "":
		return T(ctx, "inv.latest")
	case lambda.Draft:
		return T(ctx, "js.draft")
	}
	return "v" + v
}

// statusOf is an invocation's result as class, icon and word.
func statusOf(ctx context.Context, r *lambda.Report) (class, icon, word string) {
	switch {
	case r.Status == lambda.StatusOK:
		return "ok", "check", "OK"
	case r.Status == lambda.StatusRunning:
		return "", "hour", T(ctx, "js.status.running")
	case r.Status == lambda.StatusThrottled:
		return "warn", "hour", T(ctx, "js.status.throttled")
	case r.Status == lambda.StatusError && r.ErrorType != "":
		return "err", "err", Visible(r.ErrorType)
	}
	return "err", "err", T(ctx, "js.status."+string(r.Status))
}

// exactMillis shows hundredths, as REPORT does.
func exactMillis(ctx context.Context, d time.Duration) string {
	return Of(ctx).Locale.Decimal(float64(d.Microseconds())/1000, 2)
}

// phase is one bar of the timeline; from and width are in per cent.
type phase struct {
	key, class  string
	d           time.Duration
	from, width float64
}

// timeline is what happened from acceptance to the answer. The first phase of an async event is its wait in the queue.
func (s Sheet) timeline() []phase {
	r := &s.Report
	all := []phase{{key: "inv.queued", class: "q", d: r.Queued}}
	if r.Cold {
		all = append(all, phase{key: "inv.init", class: "n", d: r.Init})
	}
	all = append(all, phase{key: "inv.run", class: "r", d: r.Duration})
	total := max(r.Queued+r.Init+r.Duration, time.Microsecond)
	var at time.Duration
	for i := range all {
		all[i].from = 100 * float64(at) / float64(total)
		all[i].width = max(0.5, 100*float64(all[i].d)/float64(total))
		at += all[i].d
	}
	return all
}

// span is the time from acceptance to the end.
func (s Sheet) span(ctx context.Context) string {
	o := Of(ctx)
	end := s.Report.StartedAt.Add(s.Report.Duration)
	return o.Local(s.Report.AcceptedAt).Format("15:04:05.000") + " – " + o.Local(end).Format("15:04:05.000")
}

func (s Sheet) action(verb string) string {
	return FunctionPath(s.Report.Function, "invocations") + "/" + url.PathEscape(s.Report.RequestID) + "/" + verb
}

// replayable says whether the event is kept whole.
func (s Sheet) replayable() bool { return s.MayRun && s.Bodies != nil && !s.Bodies.CutEvent }

func (s Sheet) editPath() string {
	return FunctionPath(s.Report.Function, "") + "?replay=" + url.QueryEscape(s.Report.RequestID)
}

func (s Sheet) logPath() string {
	return LogsPath(s.Report.Function) + "?request=" + url.QueryEscape(s.Report.RequestID) + "&from=" + strconv.FormatInt(s.Report.AcceptedAt.Add(-time.Minute).UnixMilli(), 10)
}

func (s Sheet) framePath(f RunFrame) string {
	return FunctionPath(s.Report.Function, "") + f.href()
}

const maxBodyLines = 2000

// codeToken is a piece of a line of JSON with the class of its colour.
type codeToken struct{ class, text string }

// jsonLines shows a body: JSON indented and coloured, anything else as it is; control characters become visible.
func jsonLines(body []byte) [][]codeToken {
	var b bytes.Buffer
	isJSON := json.Indent(&b, body, "", "  ") == nil
	if !isJSON {
		b.Reset()
		b.Write(body)
	}
	var out [][]codeToken
	for line := range strings.SplitSeq(b.String(), "\n") {
		if len(out) == maxBodyLines {
			return append(out, []codeToken{{"c", "…"}})
		}
		if isJSON {
			out = append(out, colour(line))
		} else {
			out = append(out, []codeToken{{"", Visible(line)}})
		}
	}
	return out
}

// colour splits one line of indented JSON: strings that are values, numbers, and everything else.
func colour(line string) []codeToken {
	var out []codeToken
	for line != "" {
		n, class := 1, ""
		switch c := line[0]; {
		case c == '"':
			if n = stringEnd(line); !strings.HasPrefix(line[n:], ":") {
				class = "s"
			}
		case c == '-' || c >= '0' && c <= '9' || strings.HasPrefix(line, "true") || strings.HasPrefix(line, "false") || strings.HasPrefix(line, "null"):
			class = "m"
			for n < len(line) && !strings.ContainsRune(",]} ", rune(line[n])) {
				n++
			}
		default:
			for n < len(line) && !strings.ContainsRune(`"-0123456789tfn`, rune(line[n])) {
				n++
			}
		}
		out = append(out, codeToken{class, Visible(line[:n])})
		line = line[n:]
	}
	return out
}

func stringEnd(s string) int {
	for i := 1; i < len(s); i++ {
		switch s[i] {
		case '\\':
			i++
		case '"':
			return i + 1
		}
	}
	return len(s)
}

func invocationsFrame(ctx context.Context, v Invocations) Frame {
	f := Frame{Title: T(ctx, "nav.invocations"), Nav: "invocations", Function: v.Head, Fixed: true, Watch: true, Live: v.Live, Flash: v.Flash, Crumbs: []Crumb{{Label: T(ctx, "nav.invocations")}}}
	if v.Head != nil {
		f.Nav = "functions"
		f.Title = T(ctx, "inv.title", "function", v.Function)
		f.Crumbs = []Crumb{{T(ctx, "nav.functions"), "/functions"}, {Label: v.Function}}
	}
	return f
}

// lineView is a line of the sheet's log.
func (s Sheet) lineView(l *lambda.LogLine) LogLine {
	return LogLine{At: l.At, Level: l.Level, Function: s.Report.Function, RequestID: l.RequestID, Text: l.Text}
}

func secondsOf(ctx context.Context, t time.Time) string { return Of(ctx).Local(t).Format("05.000") }
