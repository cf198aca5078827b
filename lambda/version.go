package lambda

import "time"

// Version is a published, immutable state of a function. Number counts from 1.
type Version struct {
	Function    string
	Number      int64
	Config      Config
	Code        Code
	Description string // of the version
	RevisionID  string
	By          string
	At          time.Time
}

// Alias points at one version, and with Weights at a second one for a share of the calls.
type Alias struct {
	Function    string
	Name        string
	Version     string             // a number as text, or "$LATEST"
	Weights     map[string]float64 // version → share 0 … 1; at most one entry
	Description string
	RevisionID  string
	UpdatedAt   time.Time
}

// LayerVersion is one published version of a layer.
type LayerVersion struct {
	Layer         string // name
	Number        int64
	Description   string
	License       string
	Runtimes      []string
	Architectures []string
	Code          Code
	At            time.Time
}

// EventInvokeConfig says what becomes of async events of one qualifier.
type EventInvokeConfig struct {
	Function   string
	Qualifier  string // "$LATEST", a number or an alias
	MaxRetries *int   // 0 … 2; nil means 2
	MaxAgeSec  *int   // 60 … 21,600; nil means 21,600
	OnSuccess  string // destination ARN or ""
	OnFailure  string
	UpdatedAt  time.Time
}

// URLConfig is a function URL.
type URLConfig struct {
	Function   string
	Qualifier  string // "" for $LATEST, or an alias
	ID         string // the host's first label
	AuthType   string // "NONE" or "AWS_IAM"
	InvokeMode string // "BUFFERED" or "RESPONSE_STREAM"
	CORS       *CORS
	CreatedAt  time.Time
	UpdatedAt  time.Time
}

// CORS is a function URL's cross-origin rule.
type CORS struct {
	AllowCredentials                                        bool
	AllowHeaders, AllowMethods, AllowOrigins, ExposeHeaders []string
	MaxAge                                                  int // seconds
}

// Target is what a name and a qualifier resolve to: one runnable, or two with a share for the second.
type Target struct {
	Runnable *Runnable
	Alias    string // "" unless the qualifier is an alias
	Second   *Runnable
	Share    float64 // of calls that go to Second
	Async    EventInvokeConfig
}

// Claimed is a queued event that this node may run until LeaseUntil.
type Claimed struct {
	ID         int64
	Claim      int64 // fences Settle: a number raised at every claim
	Throttles  int   // how often it was put back for lack of a slot
	Invocation Invocation
	LeaseUntil time.Time
}

// Settlement ends or delays a claimed event. Exactly one of Done, RetryAt and Dead is set.
type Settlement struct {
	ID, Claim int64
	Done      bool
	RetryAt   time.Time
	Throttled bool   // RetryAt because of a limit: Attempt is not raised
	Dead      string // why it was given up: "retries", "age"
	Report    Report // of the last run; zero when it never ran
	Response  []byte // kept with a dead letter, ≤ 64 KiB
	// Target is the ARN that the event is kept under as a dead letter; "" for none. With Done it is an on-success destination
	// that cannot be called from here: the event is kept with the reason "success".
	Target string
	// Next is the destination's event, enqueued in the same transaction; nil for none.
	Next *Invocation
}

// DeadLetter is an event that was given up.
type DeadLetter struct {
	ID         int64
	Invocation Invocation
	Target     string // ARN of the dead-letter queue or destination that it is kept under, "" for none
	Reason     string
	Attempts   int
	ErrorType  string
	ErrorText  string
	At         time.Time
}

// QueueState is a function's async queue.
type QueueState struct {
	Waiting   int64
	Running   int64
	Delayed   int64 // waiting for a retry or after a throttle
	Dead      int64
	OldestAge time.Duration
}

// AuditEntry is one change or one refusal.
type AuditEntry struct {
	ID       int64
	At       time.Time
	By       string // display name
	ByARN    string
	From     string // remote address
	Action   string // "lambda:UpdateFunctionCode"
	Resource string // ARN
	Denied   bool
	Detail   map[string]string // what changed; names only for secrets
}
