package console

import (
	"context"
	"time"

	"kiln/lambda"
)

func (c *Console) monitorRoutes() []Route { return nil }

// points is a series of a function (0 for all) with what the roll-ups do not hold yet; periods without data are left out.
func (c *Console) points(ctx context.Context, id int64, from, to time.Time, step time.Duration) ([]lambda.MetricPoint, error) {
	points, err := c.Store.Metrics(ctx, lambda.MetricQuery{FunctionID: id, From: from, To: to, Step: step})
	if err != nil {
		return nil, err
	}
	for _, p := range c.Pipeline.Live(id) {
		if at := p.At.Truncate(step); !at.Before(from) && at.Before(to) {
			p.At = at
			points = merge(points, &p)
		}
	}
	return points, nil
}

// merge adds a point to the period that it belongs to; points are in order and new ones nearly always at the end.
func merge(points []lambda.MetricPoint, p *lambda.MetricPoint) []lambda.MetricPoint {
	i := len(points)
	for i > 0 && points[i-1].At.After(p.At) {
		i--
	}
	if i > 0 && points[i-1].At.Equal(p.At) {
		points[i-1].Add(p)
		return points
	}
	points = append(points, lambda.MetricPoint{})
	copy(points[i+1:], points[i:])
	points[i] = *p
	return points
}

func (s *socket) watchMetrics(ctx context.Context, a ask, f watched) error { return nil }
