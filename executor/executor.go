// Package executor is the one way to run a function: Engine holds limits, admission, the cached configuration and the dispatch of
// queued invocations, over a Runner that holds the workers.
package executor

import (
	"context"
	"time"

	"kiln/lambda"
)

// Assignment is one run of one revision, in plain values: it could cross a network.
type Assignment struct {
	RequestID     string
	Digest        lambda.Digest    // which revision
	Runnable      *lambda.Runnable // what Digest names, where the caller has it: it spares a first run the look-up; nil else
	Event         []byte
	AcceptedAt    time.Time
	Timeout       time.Duration // counted from the handler's start
	InvokedARN    string        // what the context's invokedFunctionArn says
	TraceID       string
	ClientContext string
	WantTail      bool
	// Stream receives the response in pieces; nil for a buffered response. An error from it ends the run.
	Stream func(piece []byte) error
}

// Outcome is what a run came to. Report lacks only what the engine knows (Alias, Source, By, Attempt, ReplayOf).
type Outcome struct {
	Payload       []byte
	FunctionError string
	LogTail       []byte
	Report        lambda.Report
}

// Capacity is what a runner has and uses now.
type Capacity = lambda.Capacity

// Runner holds workers. It is safe for concurrent use.
type Runner interface {
	// Run runs a and returns when the handler is done and its output has been handed to the log sink.
	// A failed function is an Outcome; an error means that nothing ran: Throttled (the queue is full), Unavailable (no sandbox, no runtime; Key says which),
	// also with KeyDrained when Drain has ended the digest.
	// Cancelling ctx gives up waiting for a worker; it does not end a run that has started.
	Run(ctx context.Context, a Assignment) (Outcome, error)
	Capacity() Capacity
	// Running is the number of invocations of a digest that run or wait.
	Running(d lambda.Digest) int
	// Drain takes no new runs for digests that keep reports false for, lets running ones finish, then ends their workers.
	Drain(keep func(lambda.Digest) bool)
	// Run's owner calls Close after the last Run: it ends every worker and waits for them.
	Close(ctx context.Context) error
}
