package main

import (
	"context"
	"errors"
	"fmt"
)

// stage is one long-lived part of the server. run returns when ctx has ended and the part has drained.
type stage struct {
	name string
	run  func(ctx context.Context) error
}

// runStages starts the parts in order and, when ctx ends or one of them fails, ends them one after another in the opposite order:
// what takes work in stops before what does it, and that before what keeps its results.
func runStages(ctx context.Context, stages []stage) error {
	type ended struct {
		i   int
		err error
	}
	over := make(chan ended, len(stages))
	done := make([]chan struct{}, len(stages))
	cancels := make([]context.CancelFunc, len(stages))
	for i, s := range stages {
		var own context.Context
		own, cancels[i] = context.WithCancel(context.WithoutCancel(ctx))
		done[i] = make(chan struct{})
		go func() {
			err := s.run(own)
			close(done[i])
			over <- ended{i, err}
		}()
	}
	var failures []error
	note := func(e ended, early bool) {
		if e.err == nil && early {
			e.err = errors.New("ended by itself")
		}
		if e.err != nil && !errors.Is(e.err, context.Canceled) {
			failures = append(failures, fmt.Errorf("%s: %w", stages[e.i].name, e.err))
		}
	}
	left := len(stages)
	select {
	case <-ctx.Done():
	case e := <-over:
		left--
		note(e, true)
	}
	for i := len(stages) - 1; i >= 0; i-- {
		cancels[i]()
		<-done[i]
	}
	for ; left > 0; left-- {
		note(<-over, false)
	}
	return errors.Join(failures...)
}
