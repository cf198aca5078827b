package lambda

import (
	"encoding/json"
	"log/slog"
	"maps"
	"slices"
	"time"
)

// Version labels that are not numbers.
const (
	Latest = "$LATEST" // the version that a deploy changes
	Draft  = "$DRAFT"  // the label of a draft run; not a version that can be called from outside
)

// Environment holds a function's environment variables. It redacts itself when it is printed, logged or marshalled;
// read the map to get the values.
type Environment map[string]string

// String names the variables, never their values.
func (e Environment) String() string { return "environment" + namesOf(e) }

// LogValue names the variables, never their values.
func (e Environment) LogValue() slog.Value { return slog.StringValue(e.String()) }

// MarshalJSON is the sorted list of names: an environment cannot leak through a marshalled struct.
func (e Environment) MarshalJSON() ([]byte, error) { return json.Marshal(e.Names()) }

// Names is the sorted list of variable names.
func (e Environment) Names() []string { return slices.Sorted(maps.Keys(e)) }

func namesOf(e Environment) string {
	b, _ := json.Marshal(e.Names())
	return string(b)
}

// Config is everything about a function that one revision fixes, besides its code.
type Config struct {
	Runtime       string // AWS's name: "nodejs22.x", "python3.13", "provided.al2023"
	Handler       string // "index.handler"; free for provided runtimes
	Role          string // ARN of the execution role
	Description   string // ≤ 256 characters
	MemoryMB      int    // 128 … 10,240
	TimeoutSec    int    // 1 … 900
	EphemeralMB   int    // size of /tmp, 512 … 10,240
	Env           Environment
	Layers        []string // layer version ARNs, at most 5, lowest first
	DeadLetter    string   // ARN, "" for none
	LogFormat     string   // "Text" or "JSON"
	AppLogLevel   string   // with JSON only: TRACE … FATAL, "" for INFO
	SysLogLevel   string   // with JSON only: DEBUG, INFO, WARN, "" for INFO
	TracingMode   string   // "PassThrough" or "Active"
	Architectures []string // one of "x86_64", "arm64"
}

// Code names one package: the zip as it was uploaded or built.
type Code struct {
	SHA256 string // of the zip, lower-case hex (64 characters); AWS shows the same bytes as base64
	Size   int64  // of the zip, bytes
}

// Function is a function with its $LATEST configuration and code.
type Function struct {
	ID   int64
	Name string
	Config
	Code       Code
	Revision   int64  // grows by one with every deploy and configuration change; shown r57; the optimistic lock
	RevisionID string // AWS's RevisionId, a UUID that changes with every change
	Reserved   *int   // reserved concurrency; nil for none, 0 stops the function
	Tags       map[string]string
	CreatedAt  time.Time
	UpdatedAt  time.Time
	UpdatedBy  string // display name of who made Revision
}

// NewFunction is what creating a function takes.
type NewFunction struct {
	Name string
	Config
	Code Code // already stored
	Tags map[string]string
}

// FunctionUpdate holds what to change; nil leaves a field alone. One update is one revision,
// except that Reserved and Tags alone make none.
type FunctionUpdate struct {
	Runtime, Handler, Role, Description *string
	MemoryMB, TimeoutSec, EphemeralMB   *int
	Env                                 *Environment
	Layers                              *[]string
	DeadLetter                          *string
	LogFormat, AppLogLevel, SysLogLevel *string
	TracingMode                         *string
	Architectures                       *[]string
	Code                                *Code
	Reserved                            **int // pointer to nil removes the reservation
	Tags                                *map[string]string
	RevisionID                          string // when not "", Precondition unless it is the current one
	Note                                string // why, for the revision's history; "" for none
}

// FunctionFilter chooses and pages functions by name.
type FunctionFilter struct {
	Query string // part of the name or description; "" for all
	After string // the last name of the page before; "" for the first page
	Limit int    // at most 1,000; 0 means 50
}

// What made a revision.
const (
	RevisionCreated    = "create"
	RevisionDeployed   = "deploy"    // code changed
	RevisionConfigured = "configure" // configuration changed
	RevisionRolledBack = "rollback"  // code and configuration of an older revision
)

// Revision is one state of $LATEST in a function's history.
type Revision struct {
	Function string
	Number   int64
	Cause    string // RevisionCreated …
	Config   Config
	Code     Code
	By       string // display name
	At       time.Time
	From     int64  // with RevisionRolledBack: the number whose state it took
	Note     string // "" or what the person wrote
}

// Digest is the immutable key of a worker pool: an HMAC over code, layers, configuration and role (lower-case hex, 64 characters).
type Digest string

// Runnable is one digest with everything that a worker of it needs. Env is opened.
type Runnable struct {
	Digest     Digest
	FunctionID int64
	Function   string // name
	ARN        string // unqualified function ARN
	Version    string // label given to the worker: "$LATEST", "3" or "$DRAFT"
	Config
	Code      Code
	LayerCode []Code // in the order of Config.Layers
	Reserved  *int
}
