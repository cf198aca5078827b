package lambda

import "time"

// Where an invocation came from.
const (
	SourceTest     = "test" // the console's test panel
	SourceAPI      = "api"  // the Invoke API
	SourceURL      = "url"  // a function URL
	SourceSchedule = "schedule"
	SourceReplay   = "replay"
	SourceFunction = "function" // another function's destination
)

// Invocation is one accepted event on its way through the engine.
type Invocation struct {
	RequestID     string // UUID
	FunctionID    int64
	Function      string // name
	Qualifier     string // what the caller named: "", "$LATEST", "3", an alias, or "$DRAFT"
	Digest        Digest // set for draft runs, pinned at the click; "" means resolve Qualifier
	Async         bool
	Source        string
	By            string // display name of the caller
	Event         []byte // JSON, ≤ 6,291,556 bytes (async 1,048,576)
	ClientContext string // JSON or ""
	TraceID       string // X-Amzn-Trace-Id
	AcceptedAt    time.Time
	Attempt       int    // 0 for the first run; counts only runs that failed
	ReplayOf      string // request id or ""
	WantTail      bool   // the caller wants the last 4 KiB of the log with the result
	// Stream, when set, receives the response in pieces while it is made (InvokeWithResponseStream, streamed URLs); Result.Payload is then empty.
	Stream func(piece []byte) error
}

// Status is how an invocation ended.
type Status string

// The statuses. Everything but StatusOK counts as an error, except StatusThrottled, which counts as a throttle.
const (
	StatusRunning   Status = "running"
	StatusOK        Status = "ok"
	StatusError     Status = "error"   // the handler failed, or the code could not be loaded
	StatusTimeout   Status = "timeout" // ended at its deadline
	StatusMemory    Status = "memory"  // ended by its memory limit
	StatusExit      Status = "exit"    // the runtime went away
	StatusThrottled Status = "throttled"
)

// Failed says whether s counts as an error.
func (s Status) Failed() bool {
	return s != StatusOK && s != StatusRunning && s != StatusThrottled
}

// Result is what an invocation answered. A failed run is a Result, not an error.
type Result struct {
	Payload       []byte // the handler's answer, or AWS's error object when FunctionError is set
	FunctionError string // "" or "Unhandled"
	Version       string // the executed version
	LogTail       []byte // the last 4 KiB with START, END and REPORT, when asked for
	Report        Report
}

// Report is the source of every metric, of the START, END and REPORT lines, and of the invocations list.
type Report struct {
	RequestID    string
	FunctionID   int64
	Function     string
	Version      string // executed version, or "$DRAFT"
	Alias        string // "" unless called by alias
	Source       string
	By           string
	Async        bool
	Attempt      int
	ReplayOf     string
	AcceptedAt   time.Time
	StartedAt    time.Time     // the handler's start
	Queued       time.Duration // from acceptance to a worker
	Init         time.Duration // cold starts only
	Duration     time.Duration // of the handler
	BilledMS     int64
	MemoryMB     int
	MaxMemoryMB  int
	Cold         bool
	Status       Status
	ErrorType    string // for example "TypeError"
	ErrorMessage string // ≤ 1,024 characters
	Worker       string // its log stream
	EventSize    int    // bytes
	ResponseSize int    // bytes
	TraceID      string
}

// Draft says whether the report is of a draft run: kept out of charts, alarms and cost.
func (r *Report) Draft() bool { return r.Version == Draft }

// Bodies are an invocation's kept event and response; each ≤ 64 KiB, longer ones are not kept (Cut… tells).
type Bodies struct {
	RequestID             string
	Event, Response       []byte
	CutEvent, CutResponse bool
}

// Run is one finished invocation with the bodies that are kept of it, if any.
type Run struct {
	Report Report
	Bodies *Bodies
}

// InvocationFilter chooses invocations, newest first.
type InvocationFilter struct {
	FunctionID int64 // 0 for all
	Status     []Status
	Version    string
	Source     string
	Cold       *bool
	MinMS      int // slower than
	From, To   time.Time
	Before     InvocationKey // page key: older than this one
	Limit      int           // at most 500; 0 means 50
}

// InvocationKey orders invocations.
type InvocationKey struct {
	At        time.Time // StartedAt
	RequestID string
}
