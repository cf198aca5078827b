package telemetry

import (
	"cmp"
	"slices"
	"time"

	"kiln/lambda"
)

type pointKey struct {
	fn     int64
	minute int64 // Unix minutes
}

// points are the figures of some runs: one point per function and minute, and one with function 0 for the whole account.
type points map[pointKey]*lambda.MetricPoint

// minuteOf is the period that a run belongs to: the one it started in, or was refused in.
func minuteOf(r *lambda.Report) time.Time {
	at := r.StartedAt
	if at.IsZero() {
		at = r.AcceptedAt
	}
	return at.UTC().Truncate(time.Minute)
}

// add counts a run; running and runningAll are the highest concurrency seen at its end. Draft runs count nowhere.
func (p points) add(r *lambda.Report, running, runningAll int) {
	if r.Draft() {
		return
	}
	at := minuteOf(r)
	p.at(r.FunctionID, at).add(r, running)
	p.at(0, at).add(r, runningAll)
}

type point lambda.MetricPoint

func (p points) at(fn int64, at time.Time) *point {
	k := pointKey{fn, at.Unix() / 60}
	m := p[k]
	if m == nil {
		m = &lambda.MetricPoint{FunctionID: fn, At: at}
		p[k] = m
	}
	return (*point)(m)
}

func (m *point) add(r *lambda.Report, running int) {
	if r.Status == lambda.StatusThrottled {
		m.Throttles++
		return
	}
	us := r.Duration.Microseconds()
	if m.N == 0 || us < m.MinUS {
		m.MinUS = us
	}
	m.N++
	m.SumUS += us
	m.MaxUS = max(m.MaxUS, us)
	if r.Status.Failed() {
		m.Errors++
	}
	if r.Attempt > 0 {
		m.Retries++
	}
	if r.Cold {
		m.Cold++
		m.InitSumUS += r.Init.Microseconds()
		m.InitMaxUS = max(m.InitMaxUS, r.Init.Microseconds())
	}
	m.BilledMS += r.BilledMS
	m.GBMS += r.BilledMS * int64(r.MemoryMB) // MB-ms until list() rounds
	m.MaxMemoryMB = max(m.MaxMemoryMB, r.MaxMemoryMB)
	m.MemoryMB = max(m.MemoryMB, r.MemoryMB)
	m.MaxRunning = max(m.MaxRunning, running, 1)
	if m.Hist == nil {
		m.Hist = make([]uint32, lambda.HistogramBuckets)
	}
	m.Hist[lambda.BucketOf(us)]++
}

// list is the points by function and time, with GBMS in its unit.
func (p points) list() []lambda.MetricPoint {
	out := make([]lambda.MetricPoint, 0, len(p))
	for _, m := range p {
		out = append(out, finished(*m))
	}
	slices.SortFunc(out, func(a, b lambda.MetricPoint) int {
		return cmp.Or(cmp.Compare(a.FunctionID, b.FunctionID), a.At.Compare(b.At))
	})
	return out
}

func finished(m lambda.MetricPoint) lambda.MetricPoint {
	m.GBMS = (m.GBMS + 1023) / 1024
	return m
}

// merge adds b to a. Both are of the same function and period.
func merge(a, b lambda.MetricPoint) lambda.MetricPoint {
	if a.N == 0 || b.N > 0 && b.MinUS < a.MinUS {
		a.MinUS = b.MinUS
	}
	a.N += b.N
	a.Errors += b.Errors
	a.Throttles += b.Throttles
	a.Cold += b.Cold
	a.SumUS += b.SumUS
	a.MaxUS = max(a.MaxUS, b.MaxUS)
	a.InitSumUS += b.InitSumUS
	a.InitMaxUS = max(a.InitMaxUS, b.InitMaxUS)
	a.BilledMS += b.BilledMS
	a.GBMS += b.GBMS
	a.MaxMemoryMB = max(a.MaxMemoryMB, b.MaxMemoryMB)
	a.MemoryMB = max(a.MemoryMB, b.MemoryMB)
	a.MaxRunning = max(a.MaxRunning, b.MaxRunning)
	a.Retries += b.Retries
	a.DeadLetters += b.DeadLetters
	a.Hist = mergeHist(a.Hist, b.Hist)
	return a
}

func mergeHist(a, b []uint32) []uint32 {
	if a == nil || b == nil {
		return slices.Concat(a, b)
	}
	sum := slices.Clone(a)
	for i, n := range b {
		sum[i] += n
	}
	return sum
}

// PointOf are the figures of one run alone, at the minute that it belongs to; N and Throttles are 0 for a draft run.
func PointOf(r *lambda.Report) lambda.MetricPoint {
	var m point
	if !r.Draft() {
		m.add(r, 1)
	}
	m.FunctionID, m.At = r.FunctionID, minuteOf(r)
	return finished(lambda.MetricPoint(m))
}
