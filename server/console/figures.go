package console

import (
	"context"
	"sync"
	"time"

	"kiln/lambda"
	"kiln/web"
)

// figures sums a point up as pages show it.
func figures(m lambda.MetricPoint, p lambda.Prices) web.Figures {
	return web.Figures{
		N: m.N, Errors: m.Errors, Throttles: m.Throttles, Cold: m.Cold,
		P50: lambda.Quantile(m.Hist, 0.5), P95: lambda.Quantile(m.Hist, 0.95), Cost: p.Cost(m.N, m.GBMS),
	}
}

// prices is the account's setting; AWS's prices until somebody changes them.
func (c *Console) prices(ctx context.Context) lambda.Prices {
	p := lambda.DefaultPrices
	if err := c.Store.Setting(ctx, "prices", &p); err != nil {
		c.Log.WarnContext(ctx, "prices", "error", err)
		return lambda.DefaultPrices
	}
	return p
}

// grid puts a series, in which empty periods are left out, on n equal periods from `from` on.
func grid(points []lambda.MetricPoint, from time.Time, step time.Duration, n int) []lambda.MetricPoint {
	out := make([]lambda.MetricPoint, n)
	for i := range points {
		if at := int(points[i].At.Sub(from) / step); at >= 0 && at < n {
			out[at].Add(&points[i])
		}
	}
	return out
}

const sparkMinutes = 60

// hourSpark is a function's last hour by minutes.
func (c *Console) hourSpark(ctx context.Context, id int64) web.Spark {
	to := c.Now().Truncate(time.Minute).Add(time.Minute)
	from := to.Add(-sparkMinutes * time.Minute)
	points, err := c.Store.Metrics(ctx, lambda.MetricQuery{FunctionID: id, From: from, To: to, Step: time.Minute})
	if err != nil {
		c.Log.WarnContext(ctx, "sparkline", "error", err)
		return web.Spark{}
	}
	var s web.Spark
	// Two minutes make one point of the line: 30 points on 88 px.
	for pair := range chunks(grid(points, from, time.Minute, sparkMinutes), 2) {
		s.Values = append(s.Values, float64(pair.N))
		s.Errors = append(s.Errors, pair.Errors > 0)
	}
	return s
}

// chunks merges every n points into one.
func chunks(points []lambda.MetricPoint, n int) func(func(lambda.MetricPoint) bool) {
	return func(yield func(lambda.MetricPoint) bool) {
		for i := 0; i < len(points); i += n {
			var sum lambda.MetricPoint
			for j := i; j < min(i+n, len(points)); j++ {
				sum.Add(&points[j])
			}
			if !yield(sum) {
				return
			}
		}
	}
}

const parallelQueries = 4

// each calls f for 0 … n−1, a few at a time, and returns when all are done.
func each(n int, f func(i int)) {
	var wg sync.WaitGroup
	next := make(chan int)
	for range min(n, parallelQueries) {
		wg.Go(func() {
			for i := range next {
				f(i)
			}
		})
	}
	for i := range n {
		next <- i
	}
	close(next)
	wg.Wait()
}

// head is a function's header with its figures of the last 5 minutes.
func (c *Console) head(ctx context.Context, f *lambda.Function, tab string) web.FunctionHead {
	h := web.FunctionHead{Name: f.Name, Runtime: f.Runtime, Tab: tab}
	const window = 5
	now := c.Now()
	points, err := c.Store.Metrics(ctx, lambda.MetricQuery{FunctionID: f.ID, From: now.Add(-window * time.Minute), To: now, Step: time.Minute})
	if err != nil {
		c.Log.WarnContext(ctx, "vitals", "error", err)
		return h
	}
	var sum lambda.MetricPoint
	for i := range points {
		sum.Add(&points[i])
	}
	if sum.N > 0 {
		fig := figures(sum, lambda.Prices{})
		h.Vitals = &web.Vitals{PerMinute: float64(sum.N) / window, ErrorShare: fig.ErrorShare(), P95: fig.P95}
	}
	return h
}
