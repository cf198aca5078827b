//go:build linux

package process

import (
	"testing"
)

var both = []string{"nodejs20.x", "python3.11"}

func TestABoxRunsWhatItIsSent(t *testing.T) {
	b := open(t)
	for _, rt := range both {
		t.Run(rt, func(t *testing.T) {
			e := b.startOn(t, spec(rt, 128))
			if got := e.run("return 6*7"); got != "42" {
				t.Fatalf("got %s; stderr %s", got, e.err.text.String())
			}
		})
	}
}
