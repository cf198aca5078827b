// Package telemetry carries log lines and reports from workers to whoever is watching, at once, and to Postgres, in batches,
// without losing or doubling one of them. It also keeps the live figures that the roll-ups are made of.
package telemetry

import (
	"context"

	"kiln/lambda"
)

// Sink is what the pipeline needs of the database; store.Store has it. CopyRuns gets the points of exactly the runs it is given
// (one per function and minute, and FunctionID 0 for the account) and leaves both out when the runs are there already,
// so that a batch can be repeated after a doubtful commit.
type Sink interface {
	CopyLogs(ctx context.Context, lines []lambda.LogLine) (lsn uint64, err error)
	RepairLogs(ctx context.Context, lines []lambda.LogLine) error
	FlushedLSN(ctx context.Context) (uint64, error)
	CopyRuns(ctx context.Context, runs []lambda.Run, points []lambda.MetricPoint) error
}
