package lambda

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// The limits of LAMBDA-API.md §1.
const (
	MaxEvent        = 6_291_556   // bytes of a synchronous event or response
	MaxAsyncEvent   = 1_048_576   // bytes of an async event
	MaxZip          = 52_428_800  // bytes
	MaxUnzipped     = 262_144_000 // bytes
	MaxRequest      = 70_167_211  // bytes of an API request
	MaxEnvironment  = 4096        // bytes of all names and values as JSON
	MaxLayers       = 5
	MaxTags         = 50
	MinMemoryMB     = 128
	MaxMemoryMB     = 10_240
	MaxTimeoutSec   = 900
	MinEphemeralMB  = 512
	MaxEphemeralMB  = 10_240
	MaxKeptBody     = 65_536 // bytes of an event or response that is kept with its invocation
	MinUnreserved   = 100    // account concurrency that reservations must leave
	MaxSyncDuration = 900    // seconds
)

// Runtimes are the runtime names that are accepted, in the order in which they are offered.
var Runtimes = []string{
	"nodejs24.x", "nodejs22.x", "nodejs20.x",
	"python3.14", "python3.13", "python3.12", "python3.11", "python3.10",
	"provided.al2023", "provided.al2",
	"ruby3.4", "ruby3.3", "ruby3.2", "java21", "java17", "dotnet8",
}

// reservedNames are the variables that a worker's environment sets itself (LAMBDA-API.md §4); functions may not.
var reservedNames = []string{
	"_HANDLER", "_X_AMZN_TRACE_ID", "AWS_DEFAULT_REGION", "AWS_REGION", "AWS_EXECUTION_ENV", "AWS_LAMBDA_FUNCTION_NAME",
	"AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "AWS_LAMBDA_FUNCTION_VERSION", "AWS_LAMBDA_INITIALIZATION_TYPE", "AWS_LAMBDA_LOG_GROUP_NAME",
	"AWS_LAMBDA_LOG_STREAM_NAME", "AWS_ACCESS_KEY", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN",
	"AWS_LAMBDA_RUNTIME_API", "LAMBDA_TASK_ROOT", "LAMBDA_RUNTIME_DIR",
}

var (
	namePattern    = lazily(`^[a-zA-Z0-9-_]{1,64}$`)
	handlerPattern = lazily(`^[^\s]+$`)
	envPattern     = lazily(`^[a-zA-Z]([a-zA-Z0-9_])+$`)
	rolePattern    = lazily(`^arn:(aws[a-zA-Z-]*)?:iam::\d{12}:role/?[a-zA-Z_0-9+=,.@\-_/]+$`)
	layerPattern   = lazily(`^arn:[a-zA-Z0-9-]+:lambda:[a-zA-Z0-9-]+:\d{12}:layer:[a-zA-Z0-9-_]+:[0-9]+$`)
	targetPattern  = lazily(`^(arn:(aws[a-zA-Z0-9-]*):([a-zA-Z0-9\-])+:([a-z]{2}(-gov)?-[a-z]+-\d{1})?:(\d{12})?:(.*))?$`)
	aliasPattern   = lazily(`^[a-zA-Z0-9-_]{1,128}$`)
	onlyDigits     = lazily(`^[0-9]+$`)
	tagPattern     = lazily(`^([\p{L}\p{Z}\p{N}_.:/=+\-@]*)$`)
	eventPattern   = lazily(`^[\p{L}\p{N}][\p{L}\p{N} ._-]{0,63}$`)
)

// problems gathers the rules that an input breaks.
type problems []Problem

func (p *problems) add(field, key string, pairs ...string) {
	*p = append(*p, Problem{Field: field, Key: key, Params: P(pairs...)})
}

func (p *problems) between(field string, v, low, high int) {
	if v < low || v > high {
		p.add(field, "range", "value", strconv.Itoa(v), "min", strconv.Itoa(low), "max", strconv.Itoa(high))
	}
}

func (p *problems) oneOf(field, v string, allowed ...string) {
	if !slices.Contains(allowed, v) {
		p.add(field, "enum", "value", v, "allowed", strings.Join(allowed, ", "))
	}
}

// err is nil when nothing is wrong.
func (p problems) err() error {
	if len(p) == 0 {
		return nil
	}
	return &Error{Kind: Invalid, Key: "input.invalid", Problems: p}
}

// WithDefaults fills the fields that AWS fills when they are left out.
func (c Config) WithDefaults() Config {
	setDefault(&c.MemoryMB, MinMemoryMB)
	setDefault(&c.TimeoutSec, 3)
	setDefault(&c.EphemeralMB, MinEphemeralMB)
	setDefault(&c.TracingMode, "PassThrough")
	setDefault(&c.LogFormat, "Text")
	if c.LogFormat == "JSON" {
		setDefault(&c.AppLogLevel, "INFO")
		setDefault(&c.SysLogLevel, "INFO")
	}
	if len(c.Architectures) == 0 {
		c.Architectures = []string{"x86_64"}
	}
	return c
}

func setDefault[T comparable](field *T, v T) {
	var zero T
	if *field == zero {
		*field = v
	}
}

// Validate reports every rule that n breaks as one Invalid error. It expects WithDefaults.
func (n *NewFunction) Validate() error {
	var p problems
	if !namePattern.MatchString(n.Name) {
		p.add("name", "functionName", "value", n.Name)
	}
	n.Config.check(&p)
	checkTags(&p, n.Tags)
	if n.Code.SHA256 == "" {
		p.add("code", "required")
	}
	return p.err()
}

// Validate reports every rule that c breaks as one Invalid error. It expects WithDefaults.
func (c *Config) Validate() error {
	var p problems
	c.check(&p)
	return p.err()
}

func (c *Config) check(p *problems) {
	p.oneOf("runtime", c.Runtime, Runtimes...)
	checkHandler(p, c.Runtime, c.Handler)
	if !rolePattern.MatchString(c.Role) {
		p.add("role", "roleARN", "value", c.Role)
	}
	if utf8.RuneCountInString(c.Description) > 256 {
		p.add("description", "length", "max", "256")
	}
	p.between("memory", c.MemoryMB, MinMemoryMB, MaxMemoryMB)
	p.between("timeout", c.TimeoutSec, 1, MaxTimeoutSec)
	p.between("ephemeralStorage", c.EphemeralMB, MinEphemeralMB, MaxEphemeralMB)
	checkEnvironment(p, c.Env)
	c.checkLayers(p)
	if !targetPattern.MatchString(c.DeadLetter) {
		p.add("deadLetter", "arn", "value", c.DeadLetter)
	}
	p.oneOf("tracing", c.TracingMode, "PassThrough", "Active")
	c.checkLogging(p)
	if len(c.Architectures) != 1 {
		p.add("architectures", "one")
	} else {
		p.oneOf("architectures", c.Architectures[0], "x86_64", "arm64")
	}
}

func checkHandler(p *problems, runtime, handler string) {
	provided := strings.HasPrefix(runtime, "provided")
	switch {
	case handler == "" && !provided:
		p.add("handler", "required")
	case len(handler) > 128:
		p.add("handler", "length", "max", "128")
	case handler != "" && !handlerPattern.MatchString(handler):
		p.add("handler", "blanks", "value", handler)
	}
}

func (c *Config) checkLayers(p *problems) {
	if len(c.Layers) > MaxLayers {
		p.add("layers", "count", "max", strconv.Itoa(MaxLayers))
	}
	for _, l := range c.Layers {
		if !layerPattern.MatchString(l) {
			p.add("layers", "arn", "value", l)
		}
	}
}

func (c *Config) checkLogging(p *problems) {
	p.oneOf("logFormat", c.LogFormat, "Text", "JSON")
	if c.LogFormat == "JSON" {
		p.oneOf("appLogLevel", c.AppLogLevel, "TRACE", "DEBUG", "INFO", "WARN", "ERROR", "FATAL")
		p.oneOf("sysLogLevel", c.SysLogLevel, "DEBUG", "INFO", "WARN")
	} else if c.AppLogLevel != "" || c.SysLogLevel != "" {
		p.add("logFormat", "levelsNeedJSON")
	}
}

// checkEnvironment names variables, never their values.
func checkEnvironment(p *problems, env Environment) {
	var reserved []string
	for _, name := range env.Names() {
		switch {
		case slices.Contains(reservedNames, name):
			reserved = append(reserved, name)
		case !envPattern.MatchString(name):
			p.add("environment", "envName", "name", name)
		case strings.ContainsRune(env[name], 0) || !utf8.ValidString(env[name]):
			p.add("environment", "envValue", "name", name)
		}
	}
	if len(reserved) > 0 {
		p.add("environment", "envReserved", "names", strings.Join(reserved, ", "))
	}
	if size := env.Size(); size > MaxEnvironment {
		p.add("environment", "envSize", "size", strconv.Itoa(size), "max", strconv.Itoa(MaxEnvironment))
	}
}

// Size is what counts against MaxEnvironment: the bytes of the variables as one JSON object.
func (e Environment) Size() int {
	if len(e) == 0 {
		return 0
	}
	b, err := json.Marshal(map[string]string(e))
	if err != nil { // a map of strings always marshals
		return MaxEnvironment + 1
	}
	return len(b)
}

func checkTags(p *problems, tags map[string]string) {
	if len(tags) > MaxTags {
		p.add("tags", "count", "max", strconv.Itoa(MaxTags))
	}
	for _, k := range slices.Sorted(maps.Keys(tags)) {
		v := tags[k]
		switch {
		case k == "" || utf8.RuneCountInString(k) > 128 || !tagPattern.MatchString(k):
			p.add("tags", "tagName", "name", k)
		case utf8.RuneCountInString(v) > 256 || !tagPattern.MatchString(v):
			p.add("tags", "tagValue", "name", k)
		case strings.HasPrefix(strings.ToLower(k), "aws:"):
			p.add("tags", "tagReserved", "name", k)
		}
	}
}

// ValidateTags reports every rule that a function's whole tag set breaks.
func ValidateTags(tags map[string]string) error {
	var p problems
	checkTags(&p, tags)
	return p.err()
}

// Apply gives the configuration after u, without checking it.
func (u *FunctionUpdate) Apply(c Config) Config {
	set(&c.Runtime, u.Runtime)
	set(&c.Handler, u.Handler)
	set(&c.Role, u.Role)
	set(&c.Description, u.Description)
	set(&c.MemoryMB, u.MemoryMB)
	set(&c.TimeoutSec, u.TimeoutSec)
	set(&c.EphemeralMB, u.EphemeralMB)
	set(&c.Env, u.Env)
	set(&c.Layers, u.Layers)
	set(&c.DeadLetter, u.DeadLetter)
	set(&c.TracingMode, u.TracingMode)
	set(&c.Architectures, u.Architectures)
	u.applyLogging(&c)
	return c
}

func (u *FunctionUpdate) applyLogging(c *Config) {
	set(&c.LogFormat, u.LogFormat)
	set(&c.AppLogLevel, u.AppLogLevel)
	set(&c.SysLogLevel, u.SysLogLevel)
	if c.LogFormat == "Text" {
		if u.AppLogLevel == nil {
			c.AppLogLevel = ""
		}
		if u.SysLogLevel == nil {
			c.SysLogLevel = ""
		}
	}
	*c = c.WithDefaults()
}

func set[T any](field *T, v *T) {
	if v != nil {
		*field = *v
	}
}

const maxNote = 256 // characters of a revision's note

// ChangesRevision says whether u changes what a revision fixes.
func (u *FunctionUpdate) ChangesRevision() bool {
	r := *u
	r.Reserved, r.Tags, r.RevisionID, r.Note = nil, nil, "", ""
	return r != FunctionUpdate{}
}

// Validate reports every rule that the function would break after u. account is the account's concurrency limit and
// reservedElsewhere the sum of the other functions' reservations.
func (u *FunctionUpdate) Validate(f *Function, account, reservedElsewhere int) error {
	var p problems
	after := u.Apply(f.Config)
	after.check(&p)
	if utf8.RuneCountInString(u.Note) > maxNote {
		p.add("note", "length", "max", strconv.Itoa(maxNote))
	}
	if u.Tags != nil {
		checkTags(&p, *u.Tags)
	}
	if u.Reserved != nil && *u.Reserved != nil {
		checkReserved(&p, **u.Reserved, account, reservedElsewhere)
	}
	return p.err()
}

func checkReserved(p *problems, want, account, elsewhere int) {
	if want < 0 {
		p.add("reserved", "range", "value", strconv.Itoa(want), "min", "0", "max", strconv.Itoa(account-MinUnreserved-elsewhere))
	} else if account-elsewhere-want < MinUnreserved {
		p.add("reserved", "unreserved", "min", strconv.Itoa(MinUnreserved), "max", strconv.Itoa(max(0, account-MinUnreserved-elsewhere)))
	}
}

// Validate reports every rule that e breaks.
func (e *TestEvent) Validate() error {
	var p problems
	if !eventPattern.MatchString(e.Name) {
		p.add("name", "eventName", "value", e.Name)
	}
	if len(e.Body) > MaxEvent {
		p.add("body", "bytes", "max", strconv.Itoa(MaxEvent))
	} else if !json.Valid(e.Body) {
		p.add("body", "json")
	}
	return p.err()
}

// Validate reports every rule that a breaks.
func (a *Alias) Validate() error {
	var p problems
	if !aliasPattern.MatchString(a.Name) || onlyDigits.MatchString(a.Name) {
		p.add("name", "aliasName", "value", a.Name)
	}
	if a.Version != Latest && !onlyDigits.MatchString(a.Version) {
		p.add("version", "versionName", "value", a.Version)
	}
	if utf8.RuneCountInString(a.Description) > 256 {
		p.add("description", "length", "max", "256")
	}
	a.checkWeights(&p)
	return p.err()
}

func (a *Alias) checkWeights(p *problems) {
	if len(a.Weights) > 1 {
		p.add("weights", "count", "max", "1")
	}
	for v, share := range a.Weights {
		switch {
		case a.Version == Latest || v == Latest:
			p.add("weights", "latest")
		case v == a.Version:
			p.add("weights", "sameVersion", "version", v)
		case !onlyDigits.MatchString(v):
			p.add("weights", "versionName", "value", v)
		case share < 0 || share > 1:
			p.add("weights", "range", "value", fmt.Sprint(share), "min", "0", "max", "1")
		}
	}
}

// Validate reports every rule that c breaks.
func (c *EventInvokeConfig) Validate() error {
	var p problems
	if c.MaxRetries != nil {
		p.between("maxRetries", *c.MaxRetries, 0, 2)
	}
	if c.MaxAgeSec != nil {
		p.between("maxAge", *c.MaxAgeSec, 60, 21_600)
	}
	for _, d := range []struct{ field, arn string }{{"onSuccess", c.OnSuccess}, {"onFailure", c.OnFailure}} {
		if !targetPattern.MatchString(d.arn) {
			p.add(d.field, "arn", "value", d.arn)
		}
	}
	return p.err()
}
