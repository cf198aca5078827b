package telemetry

import (
	"fmt"

	"github.com/prometheus/client_golang/prometheus"

	"kiln/lambda"
)

// meters are the pipeline's own figures for /metrics. None has a function's name as a label: their number is bounded.
type meters struct {
	lines    prometheus.Counter
	blocked  prometheus.Counter
	refused  prometheus.Counter
	write    prometheus.Histogram
	runs     *prometheus.CounterVec
	duration prometheus.Histogram
}

func newMeters() *meters {
	return &meters{
		lines:    prometheus.NewCounter(prometheus.CounterOpts{Name: "kiln_log_lines_total", Help: "Log lines taken from workers."}),
		blocked:  prometheus.NewCounter(prometheus.CounterOpts{Name: "kiln_log_blocked_total", Help: "Times that a worker's output had to wait."}),
		refused:  prometheus.NewCounter(prometheus.CounterOpts{Name: "kiln_telemetry_refused_total", Help: "Lines and reports that the database refused."}),
		write:    prometheus.NewHistogram(prometheus.HistogramOpts{Name: "kiln_log_write_seconds", Help: "Time to write one batch of log lines.", Buckets: prometheus.ExponentialBuckets(.001, 2, 12)}),
		runs:     prometheus.NewCounterVec(prometheus.CounterOpts{Name: "kiln_invocations_total", Help: "Invocations by status."}, []string{"status"}),
		duration: prometheus.NewHistogram(prometheus.HistogramOpts{Name: "kiln_invocation_seconds", Help: "Duration of handlers.", Buckets: prometheus.ExponentialBuckets(.0005, 2.5, 16)}),
	}
}

func (m *meters) run(r *lambda.Report) {
	m.runs.WithLabelValues(string(r.Status)).Inc()
	if r.Status != lambda.StatusThrottled {
		m.duration.Observe(r.Duration.Seconds())
	}
}

// register makes the figures visible.
func (p *Pipeline) register(to prometheus.Registerer) error {
	if to == nil {
		return nil
	}
	m := p.lines.meter
	gauge := func(name, help string, value func() float64) prometheus.Collector {
		return prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help}, value)
	}
	for _, c := range []prometheus.Collector{
		m.lines, m.blocked, m.refused, m.write, m.runs, m.duration,
		gauge("kiln_telemetry_waiting_bytes", "Bytes in memory that are not durable yet.", func() float64 { return float64(p.Health().Waiting) }),
		gauge("kiln_telemetry_spooled_bytes", "Bytes on disk that wait for the database.", func() float64 { return float64(p.Health().Spooled) }),
		gauge("kiln_live_bytes", "Bytes of log lines held for watchers.", func() float64 { return float64(p.hub.lines.held()) }),
		gauge("kiln_running", "Invocations that run or wait for a worker.", func() float64 { return float64(p.Running(0)) }),
	} {
		if err := to.Register(c); err != nil {
			return fmt.Errorf("telemetry: register metrics: %w", err)
		}
	}
	return nil
}
