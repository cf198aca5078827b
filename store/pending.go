package store

import (
	"context"
	"errors"
	"time"

	"kiln/iam"
	"kiln/lambda"

	"gorm.io/gorm"
)

var errNotBuilt = errors.New("store: not built yet")

type enqueuer struct{}

func startEnqueuer(*Store) *enqueuer { return nil }
func (*enqueuer) stop()              {}

type bodyTrims struct{}

func newBodyTrims() *bodyTrims { return nil }

func (s *Store) makePartitions(context.Context, time.Time) error     { return nil }
func (s *Store) layerCode(*gorm.DB, []string) ([]lambda.Code, error) { return nil, nil }

// ---- drafts and test events ----

// Draft is the user's draft; NotFound "draft.missing" when there is none.
func (s *Store) Draft(ctx context.Context, user int64, function string) (*lambda.DraftState, error) {
	return nil, errNotBuilt
}

// SaveDraft writes the changed files of a draft (a nil Data with Deleted removes a file). seq is the draft's Seq that the client knows,
// 0 for a new draft; Conflict "draft.changed" when another tab saved in between. It answers the new state without file contents.
func (s *Store) SaveDraft(ctx context.Context, by iam.Principal, function string, base, seq int64, changed []lambda.DraftFile) (*lambda.DraftState, error) {
	return nil, errNotBuilt
}

// DiscardDraft removes it; no error when there is none.
func (s *Store) DiscardDraft(ctx context.Context, user int64, function string) error {
	return errNotBuilt
}

// PinDraft names the revision digest of a draft run: code built from the draft with the deployed configuration. At most one per user and function
// is kept; it stays runnable for 10 minutes.
func (s *Store) PinDraft(ctx context.Context, by iam.Principal, function string, c lambda.Code) (lambda.Digest, error) {
	return "", errNotBuilt
}

// TestEvents are the saved events of a function by name.
func (s *Store) TestEvents(ctx context.Context, function string) ([]lambda.TestEvent, error) {
	return nil, errNotBuilt
}

// PutTestEvent saves or replaces an event.
func (s *Store) PutTestEvent(ctx context.Context, by iam.Principal, e lambda.TestEvent) error {
	return errNotBuilt
}

// DeleteTestEvent removes one; no error when there is none.
func (s *Store) DeleteTestEvent(ctx context.Context, by iam.Principal, function, name string) error {
	return errNotBuilt
}

// ---- running ----

// Target resolves a name and qualifier ("" is $LATEST). NotFound "function.missing", "version.missing", "alias.missing".
func (s *Store) Target(ctx context.Context, name, qualifier string) (*lambda.Target, error) {
	return nil, errNotBuilt
}

// Runnable is what a digest names. NotFound "digest.missing".
func (s *Store) Runnable(ctx context.Context, d lambda.Digest) (*lambda.Runnable, error) {
	return nil, errNotBuilt
}

// Reachable are the digests of one function that $LATEST, a version, an alias, a queued event or a draft run of the last 10 minutes reach.
func (s *Store) Reachable(ctx context.Context, function string) (map[lambda.Digest]bool, error) {
	return nil, errNotBuilt
}

// Enqueue returns when the event is committed. Concurrent calls share a commit.
func (s *Store) Enqueue(ctx context.Context, inv *lambda.Invocation) error { return errNotBuilt }

// Claim takes up to slots[functionID] due events of each named function, oldest first, for `lease`. node names this server's start.
func (s *Store) Claim(ctx context.Context, node string, slots map[int64]int, lease time.Duration) ([]lambda.Claimed, error) {
	return nil, errNotBuilt
}

// DueFunctions are the functions that have events due at now, with their number, at most limit, the longest waiting first, and when the next event becomes due.
func (s *Store) DueFunctions(ctx context.Context, limit int) (due map[int64]int, next time.Time, err error) {
	return nil, time.Time{}, errNotBuilt
}

// ExtendLease prolongs this node's claims.
func (s *Store) ExtendLease(ctx context.Context, node string, ids []int64, lease time.Duration) error {
	return errNotBuilt
}

// Settle ends or delays claimed events in one transaction; a settlement whose claim is outdated is left out and counted in lost.
func (s *Store) Settle(ctx context.Context, all []lambda.Settlement) (lost int, err error) {
	return 0, errNotBuilt
}

// ReleaseLeases gives back every claim of node, for a clean stop.
func (s *Store) ReleaseLeases(ctx context.Context, node string) error { return errNotBuilt }

// QueueState is one function's queue; 0 for the whole account.
func (s *Store) QueueState(ctx context.Context, functionID int64) (lambda.QueueState, error) {
	return lambda.QueueState{}, errNotBuilt
}

// DeadLetters is one page, newest first; before 0 starts at the newest.
func (s *Store) DeadLetters(ctx context.Context, functionID int64, before int64, limit int) ([]lambda.DeadLetter, error) {
	return nil, errNotBuilt
}

// Redrive puts dead letters back into the queue as new events (attempt 0); it answers how many.
func (s *Store) Redrive(ctx context.Context, by iam.Principal, function string, ids []int64) (int, error) {
	return 0, errNotBuilt
}

// ---- telemetry ----

// CopyLogs writes lines in id order with synchronous_commit off and answers the WAL position that covers them.
func (s *Store) CopyLogs(ctx context.Context, lines []lambda.LogLine) (lsn uint64, err error) {
	return 0, errNotBuilt
}

// RepairLogs writes lines of which some may be there already; it is durable when it returns.
func (s *Store) RepairLogs(ctx context.Context, lines []lambda.LogLine) error { return errNotBuilt }

// FlushedLSN is the WAL position up to which the database is durable.
func (s *Store) FlushedLSN(ctx context.Context) (uint64, error) { return 0, errNotBuilt }

// CopyRuns writes invocation rows and bodies and adds the metric points to minute and hour roll-ups, in one transaction (durable).
// The points are those of exactly these runs, one per function and minute and one with FunctionID 0 for the whole account per minute; they are
// added as given. A batch is repeated unchanged after a doubtful commit: when every one of its runs (request id and attempt) is there already
// nothing is written, points included. With no runs the points are always added.
func (s *Store) CopyRuns(ctx context.Context, runs []lambda.Run, points []lambda.MetricPoint) error {
	return errNotBuilt
}

// LogLines reads kept lines.
func (s *Store) LogLines(ctx context.Context, q lambda.LogQuery) ([]lambda.LogLine, error) {
	return nil, errNotBuilt
}

// LogHistogram counts lines by level in `buckets` equal periods of [from, to).
func (s *Store) LogHistogram(ctx context.Context, q lambda.LogQuery, buckets int) ([][7]int64, error) {
	return nil, errNotBuilt
}

// Invocations is one page, newest first.
func (s *Store) Invocations(ctx context.Context, f lambda.InvocationFilter) ([]lambda.Report, error) {
	return nil, errNotBuilt
}

// Invocation is the newest attempt of a request id (full, or a unique prefix of at least 6 characters). NotFound "invocation.missing".
func (s *Store) Invocation(ctx context.Context, requestID string) (*lambda.Report, error) {
	return nil, errNotBuilt
}

// Bodies are an invocation's kept event and response. NotFound "bodies.missing".
func (s *Store) Bodies(ctx context.Context, requestID string) (*lambda.Bodies, error) {
	return nil, errNotBuilt
}

// Metrics is a series with one point per step (empty periods left out), oldest first.
func (s *Store) Metrics(ctx context.Context, q lambda.MetricQuery) ([]lambda.MetricPoint, error) {
	return nil, errNotBuilt
}

// MetricsByFunction sums [from, to) per function, for the list and Home.
func (s *Store) MetricsByFunction(ctx context.Context, from, to time.Time) (map[int64]lambda.MetricPoint, error) {
	return nil, errNotBuilt
}

// ErrorGroup is one kind of error of one function.
type ErrorGroup = lambda.ErrorGroup

// ErrorGroups are the kinds of error since from, newest first.
func (s *Store) ErrorGroups(ctx context.Context, functionID int64, from time.Time, limit int) ([]ErrorGroup, error) {
	return nil, errNotBuilt
}

// Retain makes partitions ahead and drops those that are older than the settings say; called hourly.
func (s *Store) Retain(ctx context.Context, now time.Time) error { return errNotBuilt }
