package web

import (
	"context"
	"net/url"
	"strconv"
	"time"

	"kiln/lambda"
)

// Monitor is the charts of one function or of the account. Points are whole, one per step, also of periods without runs.
type Monitor struct {
	Function     string // "" for the account
	Head         *FunctionHead
	From, To     time.Time
	Step         time.Duration
	Span         int   // seconds, 0 for a custom window
	Spans        []int // to choose from
	Compare      bool
	Live         bool
	Table        bool // shows the table at once; a script loads it when it is asked for
	Points       []lambda.MetricPoint
	Total        lambda.MetricPoint
	Before       *lambda.MetricPoint // of the window before, when compared
	BeforePoints []lambda.MetricPoint
	Prices       lambda.Prices
}

func (v Monitor) path() string {
	if v.Function == "" {
		return "/monitor"
	}
	return FunctionPath(v.Function, "monitor")
}

// with is the address of another window, compared or not as now.
func (v Monitor) with(span int) string {
	q := url.Values{"range": {strconv.Itoa(span)}}
	if v.Compare {
		q.Set("compare", "1")
	}
	return v.path() + "?" + q.Encode()
}

// compared is the address of the same window with or without the one before.
func (v Monitor) compared(on bool) string {
	q := url.Values{}
	if v.Span > 0 {
		q.Set("range", strconv.Itoa(v.Span))
	} else {
		q.Set("from", strconv.FormatInt(v.From.UnixMilli(), 10))
		q.Set("to", strconv.FormatInt(v.To.UnixMilli(), 10))
	}
	if on {
		q.Set("compare", "1")
	}
	return v.path() + "?" + q.Encode()
}

// tabled is the address of the same window as a table.
func (v Monitor) tabled() string { return v.compared(v.Compare) + "&table=1" }

func spanText(ctx context.Context, seconds int) string {
	if seconds == 300 {
		return T(ctx, "mon.live")
	}
	return T(ctx, "mon.span."+strconv.Itoa(seconds))
}

// length is the window's in words.
func (v Monitor) length(ctx context.Context) string {
	if v.Span > 0 {
		return T(ctx, "mon.span."+strconv.Itoa(v.Span))
	}
	return Of(ctx).Locale.Span(v.To.Sub(v.From))
}

// window is the window's begin and end.
func (v Monitor) window(ctx context.Context) string {
	o := Of(ctx)
	a, b := o.Local(v.From), o.Local(v.To)
	if a.Format(time.DateOnly) != b.Format(time.DateOnly) {
		return o.Locale.Day(a, o.Local(o.Now)) + " " + o.Locale.Minute(a) + " – " + o.Locale.Day(b, o.Local(o.Now)) + " " + o.Locale.Minute(b)
	}
	return o.Locale.Minute(a) + " – " + o.Locale.Minute(b)
}

// facts are the window's figures, each with its change against the window before.
func (v Monitor) facts(ctx context.Context) []Fact {
	l, t := Of(ctx).Locale, &v.Total
	facts := []Fact{{Label: T(ctx, "mon.invocations"), Value: l.Int(t.N), Extra: v.change(ctx, func(p *lambda.MetricPoint) float64 { return float64(p.N) })}}
	facts = append(facts, v.rates(ctx)...)
	return append(facts,
		Fact{Label: T(ctx, "mon.throttled"), Value: l.Int(t.Throttles), Extra: v.change(ctx, func(p *lambda.MetricPoint) float64 { return float64(p.Throttles) })},
		Fact{Label: T(ctx, "mon.cost"), Value: exactDollars(ctx, v.Prices.Cost(t.N, t.GBMS)), Extra: T(ctx, "mon.prices"), Href: "/settings"},
	)
}

// rates are the figures that a window without runs does not have.
func (v Monitor) rates(ctx context.Context) []Fact {
	l, t := Of(ctx).Locale, &v.Total
	labels := []string{"mon.success", "p50", "p95", "p99", "mon.coldStarts"}
	if t.N == 0 {
		var out []Fact
		for _, label := range labels {
			out = append(out, Fact{Label: textOr(ctx, label), Value: "–"})
		}
		return out
	}
	out := []Fact{{Label: T(ctx, "mon.success"), Value: l.Percent(float64(t.N-t.Errors) / float64(t.N)), Unit: "%", Exact: T(ctx, "mon.errorsOf", "n", t.Errors, "all", t.N)}}
	for i, q := range []float64{0.5, 0.95, 0.99} {
		out = append(out, Fact{Label: labels[i+1], Value: l.Millis(lambda.Quantile(t.Hist, q)), Unit: "ms", Extra: v.change(ctx, func(p *lambda.MetricPoint) float64 {
			return float64(lambda.Quantile(p.Hist, q).Milliseconds())
		})})
	}
	return append(out, Fact{Label: T(ctx, "mon.coldStarts"), Value: l.Percent(float64(t.Cold) / float64(t.N)), Unit: "%", Extra: l.Int(t.Cold)})
}

func textOr(ctx context.Context, label string) string {
	if label[0] == 'p' {
		return label
	}
	return T(ctx, label)
}

// change is the difference to the window before: "+12 %", "same"; "" when nothing is compared.
func (v Monitor) change(ctx context.Context, get func(*lambda.MetricPoint) float64) string {
	if v.Before == nil {
		return ""
	}
	now, before := get(&v.Total), get(v.Before)
	switch {
	case now == before:
		return T(ctx, "mon.same")
	case before == 0:
		return T(ctx, "mon.wasNone")
	}
	d := (now - before) / before * 100
	sign := "+"
	if d < 0 {
		sign, d = "−", -d
	}
	decimals := 0
	if d < 10 {
		decimals = 1
	}
	return sign + Of(ctx).Locale.Decimal(d, decimals) + " %"
}

// exactDollars shows small amounts to four figures: costs of a few runs are tiny, and nothing is not the same as little.
func exactDollars(ctx context.Context, f float64) string {
	if f > 0 && f < 0.01 {
		return "$" + strconv.FormatFloat(f, 'f', 6, 64)
	}
	return Of(ctx).Locale.Dollars(f)
}

// timeText is a row's time in the table.
func (v Monitor) timeText(ctx context.Context, t time.Time) string {
	o := Of(ctx)
	switch {
	case v.Step < time.Minute:
		return o.Locale.Clock(o.Local(t))
	case v.To.Sub(v.From) > 24*time.Hour:
		return o.Locale.Day(o.Local(t), o.Local(o.Now)) + " " + o.Locale.Minute(o.Local(t))
	}
	return o.Locale.Minute(o.Local(t))
}

func quantileText(ctx context.Context, p *lambda.MetricPoint, q float64) string {
	if p.N == 0 {
		return "–"
	}
	return Of(ctx).Locale.Millis(lambda.Quantile(p.Hist, q))
}

func monitorFrame(ctx context.Context, v Monitor) Frame {
	f := Frame{Title: T(ctx, "mon.titleAll"), Nav: "home", Function: v.Head, Fixed: true, Watch: true, Live: v.Live, Crumbs: []Crumb{{T(ctx, "nav.home"), "/"}, {Label: T(ctx, "mon.titleAll")}}}
	if v.Head != nil {
		f.Nav = "functions"
		f.Title = T(ctx, "mon.title", "function", v.Function)
		f.Crumbs = []Crumb{{T(ctx, "nav.functions"), "/functions"}, {Label: v.Function}}
	}
	return f
}

// chartPlaces are the charts in order: what the island draws, with the heading.
var chartPlaces = []string{"invocations", "duration", "errors", "success", "concurrency", "cold", "memory", "cost", "async"}

// monitorColumns are the table's columns; cells has their values.
var monitorColumns = []string{
	"mon.invocations", "mon.errors", "mon.throttled", "mon.p50", "mon.p95", "mon.p99", "mon.min", "mon.avg", "mon.max", "mon.concurrency",
	"mon.coldStarts", "mon.initMax", "mon.memoryUsed", "mon.retries", "mon.dead", "mon.cost",
}

func (v Monitor) cells(ctx context.Context, p *lambda.MetricPoint) []string {
	l := Of(ctx).Locale
	us := func(us int64) string {
		if p.N == 0 {
			return "–"
		}
		return l.Millis(time.Duration(us) * time.Microsecond)
	}
	memory, first := "–", "–"
	if p.N > 0 {
		memory = l.Int(int64(p.MaxMemoryMB))
	}
	if p.Cold > 0 {
		first = us(p.InitMaxUS)
	}
	return []string{
		l.Int(p.N), l.Int(p.Errors), l.Int(p.Throttles), quantileText(ctx, p, 0.5), quantileText(ctx, p, 0.95), quantileText(ctx, p, 0.99),
		us(p.MinUS), us(p.SumUS / max(p.N, 1)), us(p.MaxUS), l.Int(int64(p.MaxRunning)), l.Int(p.Cold), first, memory, l.Int(p.Retries), l.Int(p.DeadLetters),
		exactDollars(ctx, v.Prices.Cost(p.N, p.GBMS)),
	}
}
