package executor

import "sync/atomic"

// dispatcher runs queued events.
type dispatcher struct {
	hungry atomic.Bool // events are due for which there was no slot
}

func (d *dispatcher) init() {}
