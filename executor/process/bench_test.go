//go:build linux

package process

import (
	"testing"
	"time"

	"kiln/executor/runner"
)

// BenchmarkLifeOfABox measures a box's steps one after another: start (the runtime's process runs), boot (the runtime answers),
// hand-over, first answer after it, stop (nothing remains).
func BenchmarkLifeOfABox(b *testing.B) {
	d := open(b)
	h := runner.HandOver{Code: d.tree("be", map[string]string{"index.js": "", "app.py": ""}), MemoryMB: 128, EphemeralMB: 512}
	for _, rt := range both {
		b.Run(rt, func(b *testing.B) {
			var steps [5]time.Duration
			for b.Loop() {
				at := time.Now()
				lap := func(i int) {
					now := time.Now()
					steps[i] += now.Sub(at)
					at = now
				}
				e := d.startOn(b, spec(rt, 256))
				lap(0)
				e.run("return 1")
				lap(1)
				if err := e.Sandbox.(runner.PreBooter).HandOver(b.Context(), h); err != nil {
					b.Fatal(err)
				}
				lap(2)
				e.run("return 2")
				lap(3)
				e.end()
				lap(4)
			}
			for i, name := range []string{"start-ms", "boot-ms", "handover-ms", "call-ms", "stop-ms"} {
				b.ReportMetric(float64(steps[i].Microseconds())/1000/float64(b.N), name)
			}
		})
	}
}
