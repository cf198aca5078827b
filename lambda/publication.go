package lambda

import (
	"encoding/json"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// Publication is what publishing a version takes.
type Publication struct {
	Description string // "" takes the function's
	CodeSHA256  string // hex; when not "", Invalid "version.code" unless it is $LATEST's
	RevisionID  string // when not "", Precondition unless it is the current one
}

// AliasUpdate holds what to change; nil leaves a field alone.
type AliasUpdate struct {
	Version     *string
	Weights     *map[string]float64
	Description *string
	RevisionID  string // when not "", Precondition unless it is the current one
}

// Apply gives the alias after u, without checking it.
func (u *AliasUpdate) Apply(a Alias) Alias {
	set(&a.Version, u.Version)
	set(&a.Weights, u.Weights)
	set(&a.Description, u.Description)
	return a
}

// AsyncUpdate holds what to change of an EventInvokeConfig; nil leaves a field alone.
type AsyncUpdate struct {
	MaxRetries, MaxAgeSec *int
	OnSuccess, OnFailure  *string
}

// Apply gives the configuration after u, without checking it.
func (u *AsyncUpdate) Apply(c EventInvokeConfig) EventInvokeConfig {
	if u.MaxRetries != nil {
		c.MaxRetries = u.MaxRetries
	}
	if u.MaxAgeSec != nil {
		c.MaxAgeSec = u.MaxAgeSec
	}
	set(&c.OnSuccess, u.OnSuccess)
	set(&c.OnFailure, u.OnFailure)
	return c
}

// URLUpdate holds what to change of a function URL; nil leaves a field alone.
type URLUpdate struct {
	AuthType, InvokeMode *string
	CORS                 **CORS // pointer to nil removes the rule
}

// Apply gives the URL after u, without checking it.
func (u *URLUpdate) Apply(c URLConfig) URLConfig {
	set(&c.AuthType, u.AuthType)
	set(&c.InvokeMode, u.InvokeMode)
	set(&c.CORS, u.CORS)
	return c
}

// Validate reports every rule that c breaks.
func (c *URLConfig) Validate() error {
	var p problems
	if c.Qualifier != "" && (!aliasPattern.MatchString(c.Qualifier) || onlyDigits.MatchString(c.Qualifier)) {
		p.add("qualifier", "aliasName", "value", c.Qualifier)
	}
	p.oneOf("authType", c.AuthType, "NONE", "AWS_IAM")
	p.oneOf("invokeMode", c.InvokeMode, "BUFFERED", "RESPONSE_STREAM")
	if c.CORS != nil {
		c.CORS.check(&p)
	}
	return p.err()
}

func (c *CORS) check(p *problems) {
	p.between("cors.maxAge", c.MaxAge, 0, 86_400)
	for _, l := range []struct {
		field string
		all   []string
	}{{"cors.allowHeaders", c.AllowHeaders}, {"cors.allowOrigins", c.AllowOrigins}, {"cors.exposeHeaders", c.ExposeHeaders}} {
		if len(l.all) > 100 {
			p.add(l.field, "count", "max", "100")
		}
	}
	if len(c.AllowMethods) > 6 {
		p.add("cors.allowMethods", "count", "max", "6")
	}
}

var layerNamePattern = lazily(`^[a-zA-Z0-9-_]{1,140}$`)

// Validate reports every rule that l breaks, as what is about to be published.
func (l *LayerVersion) Validate() error {
	var p problems
	if !layerNamePattern.MatchString(l.Layer) {
		p.add("layerName", "layerName", "value", l.Layer)
	}
	if utf8.RuneCountInString(l.Description) > 256 {
		p.add("description", "length", "max", "256")
	}
	if len(l.License) > 512 {
		p.add("licenseInfo", "length", "max", "512")
	}
	if len(l.Runtimes) > 15 {
		p.add("compatibleRuntimes", "count", "max", "15")
	}
	for _, a := range l.Architectures {
		if !slices.Contains([]string{"x86_64", "arm64"}, a) {
			p.add("compatibleArchitectures", "enum", "value", a, "allowed", "x86_64, arm64")
		}
	}
	if l.Code.SHA256 == "" {
		p.add("code", "required")
	}
	return p.err()
}

// PolicySubject is what a resource policy is on: a function with a qualifier ("" for the function itself), or a layer with a version's number.
type PolicySubject struct {
	Function  string
	Layer     string
	Qualifier string
}

// PolicyStatement is one statement of a resource policy as a JSON object; its Sid is SID.
type PolicyStatement struct {
	SID      string
	Document json.RawMessage
}

// ResourcePolicy is the policy on a function or a layer version.
type ResourcePolicy struct {
	Statements []PolicyStatement
	RevisionID string
}

// Document is the whole policy as AWS shows it.
func (p *ResourcePolicy) Document() string {
	texts := make([]string, len(p.Statements))
	for i, s := range p.Statements {
		texts[i] = string(s.Document)
	}
	return `{"Version":"2012-10-17","Id":"default","Statement":[` + strings.Join(texts, ",") + `]}`
}

const maxPolicy = 20_480 // bytes of a resource policy

var sidPattern = lazily(`^[a-zA-Z0-9-_]{1,100}$`)

// Validate reports every rule that p breaks.
func (p *ResourcePolicy) Validate() error {
	var all problems
	for _, s := range p.Statements {
		if !sidPattern.MatchString(s.SID) {
			all.add("statementId", "statementID", "value", s.SID)
		}
		if !json.Valid(s.Document) {
			all.add("statement", "json")
		}
	}
	if len(p.Document()) > maxPolicy {
		all.add("policy", "bytes", "max", strconv.Itoa(maxPolicy))
	}
	return all.err()
}

// Kinds of Document.
const (
	DocProvisioned   = "provisioned-concurrency" // ID <function>:<qualifier>
	DocEventSource   = "event-source-mapping"    // ID a UUID
	DocCodeSigning   = "code-signing-config"     // ID its ARN
	DocSigningOf     = "function-code-signing"   // ID the function's name
	DocRuntimeUpdate = "runtime-management"      // ID <function>:<qualifier>
	DocRecursion     = "recursion"               // ID the function's name
	DocSnapStart     = "snap-start"              // ID the function's name
)

// Document is a part of a function's or the account's settings that is checked by its front, kept, and answered as it came.
type Document struct {
	Kind      string // DocProvisioned …
	ID        string // unique within the kind
	Function  string // the function it ends with; "" for the account's
	Qualifier string
	Body      json.RawMessage // ≤ 64 KiB
	UpdatedAt time.Time
}

// Validate reports every rule that d breaks.
func (d *Document) Validate() error {
	var p problems
	if d.Kind == "" || d.ID == "" || len(d.ID) > 512 {
		p.add("id", "required")
	}
	if len(d.Body) > 65_536 {
		p.add("body", "bytes", "max", "65536")
	} else if !json.Valid(d.Body) {
		p.add("body", "json")
	}
	return p.err()
}

// LogStream is the log of one worker.
type LogStream struct {
	Name        string
	First, Last time.Time
}

// LayerFilter chooses and pages layers by name, or one layer's versions by number.
type LayerFilter struct {
	Runtime      string // "" for all
	Architecture string
	After        string // layers: the last name of the page before
	Before       int64  // versions: numbers below; 0 starts at the newest
	Limit        int    // at most 1,000; 0 means 50
}
