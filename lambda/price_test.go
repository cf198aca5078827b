package lambda

import (
	"math"
	"testing"
	"time"
)

func TestCostIsAWSs(t *testing.T) {
	if got := DefaultPrices.Cost(1_000_000, 1000*1000); math.Abs(got-(0.20+0.0166667)) > 1e-6 {
		t.Errorf("%v", got)
	}
}

func TestQuantilesStayWithinTheHistogramsError(t *testing.T) {
	hist := make([]uint32, HistogramBuckets)
	for us := int64(1000); us <= 100_000; us += 100 {
		hist[BucketOf(us)]++
	}
	for q, want := range map[float64]time.Duration{0.5: 50_500 * time.Microsecond, 0.95: 95_050 * time.Microsecond, 0: time.Millisecond, 1: 100 * time.Millisecond} {
		if got := Quantile(hist, q); math.Abs(float64(got-want)) > 0.06*float64(want) {
			t.Errorf("q %v: %v, want about %v", q, got, want)
		}
	}
	if Quantile(nil, 0.5) != 0 {
		t.Error("an empty histogram has a quantile")
	}
}

func TestAddedPointsAreTheWhole(t *testing.T) {
	p := MetricPoint{N: 2, MinUS: 5, MaxUS: 9, SumUS: 14}
	p.Add(&MetricPoint{N: 1, MinUS: 3, MaxUS: 3, SumUS: 3, Errors: 1, Hist: make([]uint32, HistogramBuckets)})
	p.Add(&MetricPoint{Throttles: 4})
	if p.N != 3 || p.MinUS != 3 || p.MaxUS != 9 || p.SumUS != 17 || p.Errors != 1 || p.Throttles != 4 || len(p.Hist) != HistogramBuckets {
		t.Errorf("%+v", p)
	}
}

func TestSettingsAreChecked(t *testing.T) {
	if DefaultRetention.Validate() != nil || DefaultPrices.Validate() != nil {
		t.Error("the defaults are refused")
	}
	if KindOf(Retention{LogDays: 0, InvocationDays: 1, AuditDays: 9999}.Validate()) != Invalid || KindOf(Prices{PerMillion: -1}.Validate()) != Invalid {
		t.Error("wrong settings pass")
	}
}
