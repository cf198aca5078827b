package lambda

import (
	"math"
	"time"
)

// Prices are what invocations would cost at AWS, in US dollars; the account setting "prices".
type Prices struct {
	PerMillion  float64 // requests
	PerGBSecond float64
}

// DefaultPrices are AWS's for x86 in us-east-1.
var DefaultPrices = Prices{PerMillion: 0.20, PerGBSecond: 0.0000166667}

// Cost is what n invocations that used gbms (billed ms × MB ÷ 1024) would cost, in US dollars.
func (p Prices) Cost(n, gbms int64) float64 {
	return float64(n)*p.PerMillion/1e6 + float64(gbms)/1000*p.PerGBSecond
}

// Retention is how many days history is kept; the account setting "retention".
type Retention struct {
	LogDays        int // 1 … 3,650
	InvocationDays int // 1 … 3,650
	AuditDays      int // 1 … 3,650
}

// DefaultRetention is what a new account keeps.
var DefaultRetention = Retention{LogDays: 30, InvocationDays: 30, AuditDays: 365}

// DefaultConcurrency is the account setting "concurrency" of a new account.
const DefaultConcurrency = 1000

// Validate reports every rule that r breaks.
func (r Retention) Validate() error {
	var p problems
	p.between("logDays", r.LogDays, 1, 3650)
	p.between("invocationDays", r.InvocationDays, 1, 3650)
	p.between("auditDays", r.AuditDays, 1, 3650)
	return p.err()
}

// Validate reports every rule that p breaks.
func (p Prices) Validate() error {
	var all problems
	for _, f := range []struct {
		field string
		v     float64
	}{{"perMillion", p.PerMillion}, {"perGBSecond", p.PerGBSecond}} {
		if math.IsNaN(f.v) || f.v < 0 || f.v > 1000 {
			all.add(f.field, "range", "min", "0", "max", "1000")
		}
	}
	return all.err()
}

// Quantile is the duration below which the share q (0 … 1) of a histogram's runs lie, 0 for an empty one.
func Quantile(hist []uint32, q float64) time.Duration {
	var total uint64
	for _, n := range hist {
		total += uint64(n)
	}
	if total == 0 {
		return 0
	}
	rank := uint64(math.Ceil(q * float64(total)))
	var seen uint64
	for bucket, n := range hist {
		if seen += uint64(n); seen >= max(rank, 1) {
			return BucketValue(bucket)
		}
	}
	return BucketValue(len(hist) - 1)
}

// BucketValue is the duration that stands for a histogram bucket: the middle of its bounds on the logarithmic scale.
func BucketValue(bucket int) time.Duration {
	return time.Duration(math.Exp2((float64(bucket)+0.5)/8) * float64(time.Microsecond))
}

// Add merges q, of a later or the same period, into p: figures are summed, extremes kept, histograms merged.
func (p *MetricPoint) Add(q *MetricPoint) {
	if q.N > 0 && (p.N == 0 || q.MinUS < p.MinUS) {
		p.MinUS = q.MinUS
	}
	p.N += q.N
	p.Errors += q.Errors
	p.Throttles += q.Throttles
	p.Cold += q.Cold
	p.SumUS += q.SumUS
	p.MaxUS = max(p.MaxUS, q.MaxUS)
	p.InitSumUS += q.InitSumUS
	p.InitMaxUS = max(p.InitMaxUS, q.InitMaxUS)
	p.BilledMS += q.BilledMS
	p.GBMS += q.GBMS
	p.MaxMemoryMB = max(p.MaxMemoryMB, q.MaxMemoryMB)
	p.MemoryMB = max(p.MemoryMB, q.MemoryMB)
	p.MaxRunning = max(p.MaxRunning, q.MaxRunning)
	p.Retries += q.Retries
	p.DeadLetters += q.DeadLetters
	p.addHist(q.Hist)
}

func (p *MetricPoint) addHist(h []uint32) {
	if len(h) == 0 {
		return
	}
	if len(p.Hist) == 0 {
		p.Hist = make([]uint32, HistogramBuckets)
	}
	for i, n := range h[:min(len(h), len(p.Hist))] {
		p.Hist[i] += n
	}
}
