package console

import (
	"cmp"
	"context"
	"net/http"
	"slices"
	"strconv"

	"github.com/labstack/echo/v4"

	"kiln/lambda"
	"kiln/web"
)

// monitorJSON is a window of charts. Series have one value per time; null is a gap: a period that has no such figure.
type monitorJSON struct {
	From    int64                 `json:"from"` // seconds
	To      int64                 `json:"to"`
	Step    float64               `json:"step"`
	T       []float64             `json:"t"`
	Series  map[string][]*float64 `json:"series"`
	Before  map[string][]*float64 `json:"before,omitempty"`
	Marks   []markJSON            `json:"marks"`
	Errors  []errorKindJSON       `json:"errors"`
	More    bool                  `json:"more"` // more failures than were read
	Queue   queueJSON             `json:"queue"`
	Limit   int                   `json:"limit"` // concurrency
	Running int                   `json:"running"`
	Facts   string                `json:"facts"` // HTML
	Table   string                `json:"table,omitempty"`
}

type markJSON struct {
	At    float64 `json:"at"` // seconds
	Kind  string  `json:"kind"`
	Label string  `json:"label"`
	By    string  `json:"by"`
	Href  string  `json:"href"`
}

type errorKindJSON struct {
	Type    string    `json:"type"`
	Message string    `json:"message"`
	N       int       `json:"n"`
	Spark   []float64 `json:"spark"`
	Last    string    `json:"last"` // request id of the newest
}

type queueJSON struct {
	Waiting int64   `json:"waiting"`
	Running int64   `json:"running"`
	Delayed int64   `json:"delayed"`
	Dead    int64   `json:"dead"`
	Oldest  float64 `json:"oldest"` // seconds
}

func (c *Console) monitorData(e echo.Context) error {
	f, w, err := c.named(e)
	if err != nil {
		return err
	}
	window, err := c.chartWindowOf(e)
	if err != nil {
		return err
	}
	ctx := c.Context(e)
	v, err := c.monitorView(ctx, w, window)
	if err != nil {
		return err
	}
	out := monitorJSON{From: window.from.Unix(), To: window.to.Unix(), Step: window.step.Seconds(), Series: columns(v.Points, v.Prices)}
	for i := range v.Points {
		out.T = append(out.T, float64(v.Points[i].At.UnixMilli())/1000)
	}
	if v.Before != nil {
		out.Before = columns(v.BeforePoints, v.Prices)
	}
	if err := c.fillMonitor(ctx, &out, f, w, window); err != nil {
		return err
	}
	if out.Facts, err = drawn(ctx, web.MonitorFacts(v)); err != nil {
		return err
	}
	if e.QueryParam("table") != "" {
		if out.Table, err = drawn(ctx, web.MonitorTable(v)); err != nil {
			return err
		}
	}
	e.Response().Header().Set("Cache-Control", "no-store")
	return e.JSON(http.StatusOK, out)
}

func (c *Console) fillMonitor(ctx context.Context, out *monitorJSON, f *lambda.Function, w watched, window chartWindow) error {
	var err error
	if out.Marks, err = c.marks(ctx, w, window); err != nil {
		return err
	}
	if out.Errors, out.More, err = c.errorKinds(ctx, w.ID, window); err != nil {
		return err
	}
	q, err := c.Store.QueueState(ctx, w.ID)
	if err != nil {
		return err
	}
	out.Queue = queueJSON{q.Waiting, q.Running, q.Delayed, q.Dead, q.OldestAge.Seconds()}
	out.Running = c.Pipeline.Running(w.ID)
	if f != nil && f.Reserved != nil {
		out.Limit = *f.Reserved
		return nil
	}
	out.Limit, err = c.concurrency(ctx)
	return err
}

// column makes one value of a point; false is a gap.
type column func(p *lambda.MetricPoint) (float64, bool)

func count(get func(p *lambda.MetricPoint) int64) column {
	return func(p *lambda.MetricPoint) (float64, bool) { return float64(get(p)), true }
}

// ofRuns is a figure that a period without runs does not have.
func ofRuns(get func(p *lambda.MetricPoint) float64) column {
	return func(p *lambda.MetricPoint) (float64, bool) { return get(p), p.N > 0 }
}

func quantile(q float64) column {
	return ofRuns(func(p *lambda.MetricPoint) float64 {
		d := lambda.Quantile(p.Hist, q)
		// A bucket's middle can lie outside of what was measured.
		us := min(max(d.Microseconds(), p.MinUS), p.MaxUS)
		return float64(us) / 1000
	})
}

func chartColumns(prices lambda.Prices) map[string]column {
	return map[string]column{
		"ok":      count(func(p *lambda.MetricPoint) int64 { return p.N - p.Errors }),
		"err":     count(func(p *lambda.MetricPoint) int64 { return p.Errors }),
		"thr":     count(func(p *lambda.MetricPoint) int64 { return p.Throttles }),
		"cold":    count(func(p *lambda.MetricPoint) int64 { return p.Cold }),
		"retry":   count(func(p *lambda.MetricPoint) int64 { return p.Retries }),
		"dead":    count(func(p *lambda.MetricPoint) int64 { return p.DeadLetters }),
		"run":     count(func(p *lambda.MetricPoint) int64 { return int64(p.MaxRunning) }),
		"cost":    func(p *lambda.MetricPoint) (float64, bool) { return prices.Cost(p.N, p.GBMS), true },
		"p50":     quantile(0.5),
		"p95":     quantile(0.95),
		"p99":     quantile(0.99),
		"min":     ofRuns(func(p *lambda.MetricPoint) float64 { return float64(p.MinUS) / 1000 }),
		"max":     ofRuns(func(p *lambda.MetricPoint) float64 { return float64(p.MaxUS) / 1000 }),
		"avg":     ofRuns(func(p *lambda.MetricPoint) float64 { return float64(p.SumUS) / float64(p.N) / 1000 }),
		"success": ofRuns(func(p *lambda.MetricPoint) float64 { return 100 * float64(p.N-p.Errors) / float64(p.N) }),
		"used":    ofRuns(func(p *lambda.MetricPoint) float64 { return float64(p.MaxMemoryMB) }),
		"set":     ofRuns(func(p *lambda.MetricPoint) float64 { return float64(p.MemoryMB) }),
		"init": func(p *lambda.MetricPoint) (float64, bool) {
			return float64(p.InitSumUS) / float64(max(p.Cold, 1)) / 1000, p.Cold > 0
		},
		"initMax": func(p *lambda.MetricPoint) (float64, bool) { return float64(p.InitMaxUS) / 1000, p.Cold > 0 },
	}
}

func columns(points []lambda.MetricPoint, prices lambda.Prices) map[string][]*float64 {
	out := map[string][]*float64{}
	for name, get := range chartColumns(prices) {
		col := make([]*float64, len(points))
		for i := range points {
			if v, ok := get(&points[i]); ok {
				col[i] = &v
			}
		}
		out[name] = col
	}
	return out
}

// marks are the deploys and configuration changes within the window, oldest first.
func (c *Console) marks(ctx context.Context, w watched, window chartWindow) ([]markJSON, error) {
	revisions, err := c.revisionsIn(ctx, w, window)
	if err != nil {
		return nil, err
	}
	out := []markJSON{}
	for _, r := range revisions {
		if r.At.Before(window.from) || !r.At.Before(window.to) {
			continue
		}
		label := "r" + strconv.FormatInt(r.Number, 10)
		if w.ID == 0 {
			label = r.Function + " " + label
		}
		out = append(out, markJSON{At: float64(r.At.UnixMilli()) / 1000, Kind: r.Cause, Label: label, By: r.By, Href: web.FunctionPath(r.Function, "versions")})
	}
	slices.SortFunc(out, func(a, b markJSON) int { return cmp.Compare(a.At, b.At) })
	return out, nil
}

func (c *Console) revisionsIn(ctx context.Context, w watched, window chartWindow) ([]*lambda.Revision, error) {
	if w.ID == 0 {
		return c.Store.RecentRevisions(ctx, window.from, maxMarks)
	}
	return c.Store.Revisions(ctx, w.Name, 0, maxMarks)
}

// errorKinds counts the window's failures by their type and says whether there are more than it read.
func (c *Console) errorKinds(ctx context.Context, id int64, w chartWindow) ([]errorKindJSON, bool, error) {
	runs, err := c.reports(ctx, lambda.InvocationFilter{FunctionID: id, Status: failures, From: w.from, To: w.to, Limit: reportPage})
	if err != nil {
		return nil, false, err
	}
	byType := map[string]*errorKindJSON{}
	for i := range runs {
		r := &runs[i]
		if r.Draft() {
			continue
		}
		kind := cmp.Or(r.ErrorType, string(r.Status))
		k := byType[kind]
		if k == nil { // runs come newest first
			k = &errorKindJSON{Type: web.Visible(kind), Message: web.Visible(r.ErrorMessage), Last: r.RequestID, Spark: make([]float64, sparkBars)}
			byType[kind] = k
		}
		k.N++
		at := int(startOf(r).Sub(w.from) * sparkBars / w.to.Sub(w.from))
		k.Spark[min(max(at, 0), sparkBars-1)]++
	}
	out := []errorKindJSON{}
	for _, k := range byType {
		out = append(out, *k)
	}
	slices.SortFunc(out, func(a, b errorKindJSON) int { return cmp.Or(cmp.Compare(b.N, a.N), cmp.Compare(a.Type, b.Type)) })
	return out[:min(len(out), maxKinds)], len(runs) == reportPage*reportPages, nil
}

const (
	sparkBars = 40
	maxKinds  = 20
)
