package lambda

import (
	"math/bits"
	"time"
)

// HistogramBuckets is the number of buckets of a duration histogram: bucket = floor(8·log2(µs)), error −1.2 to −2.5 % at p50, p95, p99.
const HistogramBuckets = 256

// MetricPoint is one function's (or, with FunctionID 0, the whole account's) figures of one period.
type MetricPoint struct {
	FunctionID  int64
	At          time.Time // start of the period
	N           int64     // invocations that ran (throttles are not in N)
	Errors      int64
	Throttles   int64
	Cold        int64
	SumUS       int64 // durations, microseconds
	MinUS       int64
	MaxUS       int64
	InitSumUS   int64
	InitMaxUS   int64
	BilledMS    int64
	GBMS        int64 // billed ms × MB ÷ 1024, rounded up per point
	MaxMemoryMB int
	MemoryMB    int // the limit that was set
	MaxRunning  int // highest concurrency seen
	Retries     int64
	DeadLetters int64
	Hist        []uint32 // len HistogramBuckets or nil
}

// MetricQuery asks for a series. Step is a minute or an hour multiple; the store chooses minute or hour roll-ups.
type MetricQuery struct {
	FunctionID int64 // 0 for the whole account
	From, To   time.Time
	Step       time.Duration
}

// ErrorGroup is one kind of error of one function.
type ErrorGroup struct {
	FunctionID  int64
	Function    string
	ErrorType   string
	Message     string // of the newest
	N           int64
	First, Last time.Time
	LastRequest string
}

// BucketOf is the histogram bucket of a duration in microseconds: floor(8·log2(us)).
func BucketOf(us int64) int {
	if us < 1 {
		return 0
	}
	e := bits.Len64(uint64(us)) - 1
	if e < 3 {
		return smallBuckets[us]
	}
	// Compare the mantissa (scaled to 2^16) with 2^(i/8).
	m := uint64(us) << 16 >> uint(e)
	i := 0
	for i < 7 && m >= eighths[i+1] {
		i++
	}
	return min(8*e+i, HistogramBuckets-1)
}

var smallBuckets = [8]int{0, 0, 8, 12, 16, 18, 20, 22}

var eighths = [8]uint64{65536, 71468, 77936, 84990, 92682, 101070, 110218, 120194}
