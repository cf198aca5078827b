// Package lambda is the domain: what a function, a revision, an invocation, a report and a log line are, and which of them are valid.
// It imports the standard library only, does no I/O and has no clock of its own.
package lambda

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Kind says what went wrong in terms that every transport can map; the zero value is Internal.
type Kind int

// The kinds of error.
const (
	Internal        Kind = iota // unknown: shown as "Internal error" with the request id
	Invalid                     // the input breaks a rule; Problems names the fields
	Unauthenticated             // nobody is signed in
	Denied                      // signed in, but may not
	NotFound                    // no such thing
	Conflict                    // exists already, or somebody else changed it first
	Precondition                // the revision id that was named is not the current one
	Throttled                   // a concurrency or rate limit; try again later
	TooLarge                    // a size limit
	Unavailable                 // a part that is needed does not run now (database, sandbox, runtime)
)

var kindNames = [...]string{"internal", "invalid", "unauthenticated", "denied", "not found", "conflict", "precondition", "throttled", "too large", "unavailable"}

// String is the kind's name in English, for logs.
func (k Kind) String() string {
	if k < 0 || int(k) >= len(kindNames) {
		return fmt.Sprintf("Kind(%d)", int(k))
	}
	return kindNames[k]
}

// Params are the values that a message names, by name. They are shown to users: never put a secret in them.
type Params map[string]string

// Problem is one rule that one field of the input breaks.
type Problem struct {
	Field  string // the domain's field name in lower camel case, for example "memory"
	Key    string // message key, for example "range"
	Params Params
}

// Error is an error that a user may see. It carries a message key and parameters, no sentence:
// server/lambdaapi renders AWS's exact text, web the catalogue's ("error." + Key). Err is for the log only and never leaves the process.
type Error struct {
	Kind     Kind
	Key      string // dotted, for example "function.exists"; unique for one meaning
	Params   Params
	Problems []Problem // only with Invalid
	Err      error
}

// E makes an Error from a kind, a key and name-value pairs of parameters; it panics on an odd number of pairs.
func E(k Kind, key string, pairs ...string) *Error {
	return &Error{Kind: k, Key: key, Params: P(pairs...)}
}

// P makes Params from name-value pairs; it panics on an odd number of them.
func P(pairs ...string) Params {
	if len(pairs)%2 != 0 {
		panic("lambda.P: a name without a value")
	}
	if len(pairs) == 0 {
		return nil
	}
	p := make(Params, len(pairs)/2)
	for i := 0; i < len(pairs); i += 2 {
		p[pairs[i]] = pairs[i+1]
	}
	return p
}

// Because returns e with a cause that is logged and never shown.
func (e *Error) Because(err error) *Error {
	c := *e
	c.Err = err
	return &c
}

// Error is the log's form: kind, key, parameters, problems, cause.
func (e *Error) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s: %s", e.Kind, e.Key)
	writeParams(&b, e.Params)
	for _, p := range e.Problems {
		fmt.Fprintf(&b, "; %s %s", p.Field, p.Key)
		writeParams(&b, p.Params)
	}
	if e.Err != nil {
		fmt.Fprintf(&b, ": %v", e.Err)
	}
	return b.String()
}

func writeParams(b *strings.Builder, p Params) {
	for _, k := range slices.Sorted(maps.Keys(p)) {
		fmt.Fprintf(b, " %s=%q", k, p[k])
	}
}

// Unwrap gives the cause.
func (e *Error) Unwrap() error { return e.Err }

// KindOf is Internal for every error that is not an *Error.
func KindOf(err error) Kind {
	if e, ok := errors.AsType[*Error](err); ok {
		return e.Kind
	}
	return Internal
}

// KeyOf is "" for every error that is not an *Error.
func KeyOf(err error) string {
	if e, ok := errors.AsType[*Error](err); ok {
		return e.Key
	}
	return ""
}
