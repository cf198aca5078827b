package web

import (
	"context"
	"strconv"
	"time"
)

// Home is the first page once something ran.
type Home struct {
	Day       Figures // the last 24 hours
	Before    Figures // the 24 hours before
	Series    DaySeries
	Running   int
	Workers   int
	Attention []Attention
	Recent    []RecentFunction
	Functions int
	Changes   []Change
	Machine   Machine
	Flash     string
}

// Figures are a function's or the account's figures of a period.
type Figures struct {
	N, Errors, Throttles, Cold int64
	P50, P95                   time.Duration
	Cost                       float64 // US dollars
}

// ErrorShare is 0 … 1.
func (f Figures) ErrorShare() float64 { return share(f.Errors, f.N) }

// ColdShare is 0 … 1.
func (f Figures) ColdShare() float64 { return share(f.Cold, f.N) }

func share(part, whole int64) float64 {
	if whole == 0 {
		return 0
	}
	return float64(part) / float64(whole)
}

// DaySeries are equal periods of the last 24 hours.
type DaySeries struct{ N, ErrorShare, P95, Running []float64 }

// Attention is one thing that a person should look at.
type Attention struct {
	State    State
	Function string // "" for things of the machine
	Text     string // after the function's name
	Sub      string
	Act      string // what the button says
	Href     string // where it goes
	Post     string // or what it posts
}

// RecentFunction is a line of Home's short list.
type RecentFunction struct {
	Name    string
	Hour    Spark
	Figures Figures
	Change  Change
}

// Change is one revision of one function as the feed and the lists tell it.
type Change struct {
	Function string
	Number   int64
	Cause    string // lambda.RevisionCreated …
	From     int64  // of a roll back
	By       string
	At       time.Time
}

// Machine is what Kiln's machine has and uses.
type Machine struct {
	MemoryMB, MemoryMaxMB int64
	Workers, Running      int
	Queued                int
	PreBooted             int
}

// FirstRun is Home before anything ran: a sample that is one click from its result.
type FirstRun struct {
	Function string
	Runtime  string
	File     string
	Code     string
	Event    string // name
	Body     string // of the event
	Ready    bool   // the machine can run it
	Endpoint string
	Result   *TryResult
}

// TryResult is what the sample answered.
type TryResult struct {
	OK        bool
	Payload   string
	Duration  time.Duration
	BilledMS  int64
	MemoryMB  int
	UsedMB    int
	Cold      bool
	Log       []string
	Error     string // what kept it from running, instead of all the above
	Function  string
	RequestID string
}

func (c Change) verbKey() string { return "change." + c.Cause }

func delta(now, before int64) float64 {
	if before == 0 {
		return 0
	}
	return float64(now-before) / float64(before)
}

func firstCommand(f FirstRun) string {
	return "aws lambda invoke --endpoint-url " + f.Endpoint + " \\\n  --function-name " + f.Function + " out.json"
}

func lineNumber(n int) string { return strconv.Itoa(n) }

// revision is how a revision's number is shown.
func revision(n int64) string { return "r" + strconv.FormatInt(n, 10) }

// signed is a change in per cent with its sign.
func signed(ctx context.Context, share float64) string {
	l := Of(ctx).Locale
	if share < 0 {
		return "−" + l.Percent(-share)
	}
	return "+" + l.Percent(share)
}
