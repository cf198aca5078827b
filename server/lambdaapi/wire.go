package lambdaapi

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"time"

	"kiln/lambda"
)

const awsTime = "2006-01-02T15:04:05.000-0700"

func stampOf(t time.Time) string { return t.UTC().Format(awsTime) }

// base64SHA turns the domain's hexadecimal hash into AWS's form.
func base64SHA(hexSHA string) string {
	b, err := hex.DecodeString(hexSHA)
	if err != nil {
		return ""
	}
	return base64.StdEncoding.EncodeToString(b)
}

// hexSHA is the other way round; what is no hash stays as it is and matches nothing.
func hexSHA(b64 string) string {
	b, err := base64.StdEncoding.DecodeString(b64)
	if err != nil || len(b) != sha256.Size {
		return b64
	}
	return hex.EncodeToString(b)
}

type (
	wireEnvironment struct {
		Variables map[string]string `json:",omitempty"`
		Error     *wireEnvError     `json:",omitempty"`
	}
	wireEnvError struct{ ErrorCode, Message string }
	wireTracing  struct{ Mode string }
	wireStorage  struct{ Size int }
	wireSnap     struct{ ApplyOn, OptimizationStatus string }
	wireLogging  struct {
		LogFormat           string
		ApplicationLogLevel string `json:",omitempty"`
		SystemLogLevel      string `json:",omitempty"`
		LogGroup            string
	}
	wireDeadLetter struct{ TargetArn string }
	wireLayer      struct {
		Arn      string
		CodeSize int64
	}
	wireRuntimeVersion struct{ RuntimeVersionArn string }
	wireVPC            struct {
		SubnetIds               []string
		SecurityGroupIds        []string
		VpcId                   string
		Ipv6AllowedForDualStack bool
	}
)

// configuration is a function's configuration on the wire; what is left out depends on the call (LAMBDA-API.md §2).
type configuration struct {
	FunctionName               string
	FunctionArn                string
	Runtime                    string `json:",omitempty"`
	Role                       string
	Handler                    string `json:",omitempty"`
	CodeSize                   int64
	Description                string
	Timeout                    int
	MemorySize                 int
	LastModified               string
	CodeSha256                 string
	Version                    string
	DeadLetterConfig           *wireDeadLetter  `json:",omitempty"`
	Environment                *wireEnvironment `json:",omitempty"`
	TracingConfig              wireTracing
	RevisionId                 string
	Layers                     []wireLayer `json:",omitempty"`
	State                      string      `json:",omitempty"`
	StateReason                string      `json:",omitempty"`
	StateReasonCode            string      `json:",omitempty"`
	LastUpdateStatus           string      `json:",omitempty"`
	LastUpdateStatusReason     string      `json:",omitempty"`
	LastUpdateStatusReasonCode string      `json:",omitempty"`
	PackageType                string
	Architectures              []string
	EphemeralStorage           wireStorage
	SnapStart                  wireSnap
	RuntimeVersionConfig       *wireRuntimeVersion `json:",omitempty"`
	LoggingConfig              wireLogging
	VpcConfig                  *wireVPC `json:",omitempty"`
}

// state is what a function is shown to be in.
type state int

const (
	listed  state = iota // lists say nothing of it
	created              // just made: pending
	updated              // just changed: in progress
	settled              // ready
)

func (c *configuration) setState(s state) {
	switch s {
	case created:
		c.State, c.StateReason, c.StateReasonCode = "Pending", "The function is being created.", "Creating"
	case updated:
		c.State, c.LastUpdateStatus = "Active", "InProgress"
		c.LastUpdateStatusReason, c.LastUpdateStatusReasonCode = "The function is being created.", "Creating"
	case settled:
		c.State, c.LastUpdateStatus = "Active", "Successful"
	default:
		c.RuntimeVersionConfig = nil
	}
}

// about is what configuration needs besides Config.
type about struct {
	name, version, revisionID string
	code                      lambda.Code
	description               string
	modified                  time.Time
	snapStart                 string // "" for None
	secret                    bool   // the caller may not see environment values
}

func (a *API) configuration(cfg *lambda.Config, i about, s state) configuration {
	arn := a.ARNs.Function(i.name, "")
	if i.version != lambda.Latest {
		arn = a.ARNs.Function(i.name, i.version)
	}
	c := configuration{
		FunctionName: i.name, FunctionArn: arn, Runtime: cfg.Runtime, Role: cfg.Role, Handler: cfg.Handler, CodeSize: i.code.Size,
		Description: i.description, Timeout: cfg.TimeoutSec, MemorySize: cfg.MemoryMB, LastModified: stampOf(i.modified), CodeSha256: base64SHA(i.code.SHA256),
		Version: i.version, TracingConfig: wireTracing{cfg.TracingMode}, RevisionId: i.revisionID, PackageType: "Zip", Architectures: cfg.Architectures,
		EphemeralStorage: wireStorage{cfg.EphemeralMB}, SnapStart: snapOf(i),
		LoggingConfig:        wireLogging{cfg.LogFormat, cfg.AppLogLevel, cfg.SysLogLevel, "/aws/lambda/" + i.name},
		RuntimeVersionConfig: &wireRuntimeVersion{a.runtimeVersion(cfg.Runtime)},
	}
	if len(cfg.Env) > 0 {
		c.Environment = environmentOf(cfg.Env, i.secret)
	}
	if cfg.DeadLetter != "" {
		c.DeadLetterConfig = &wireDeadLetter{cfg.DeadLetter}
	}
	for _, l := range cfg.Layers {
		c.Layers = append(c.Layers, wireLayer{Arn: l})
	}
	c.setState(s)
	return c
}

func environmentOf(env lambda.Environment, secret bool) *wireEnvironment {
	if secret {
		return &wireEnvironment{Error: &wireEnvError{"AccessDeniedException", "Lambda was unable to decrypt your environment variables because you are not allowed to read them (kiln:ReadEnvironment)."}}
	}
	return &wireEnvironment{Variables: env}
}

func snapOf(i about) wireSnap {
	s := wireSnap{"None", "Off"}
	if i.snapStart != "" {
		s.ApplyOn = i.snapStart
	}
	if i.snapStart == "PublishedVersions" && i.version != lambda.Latest {
		s.OptimizationStatus = "On"
	}
	return s
}

// runtimeVersion is a stable ARN per runtime, as AWS has one per patch level.
func (a *API) runtimeVersion(runtime string) string {
	sum := sha256.Sum256([]byte("kiln runtime " + runtime))
	return "arn:aws:lambda:" + a.ARNs.Region + "::runtime:" + hex.EncodeToString(sum[:])
}

func (c *call) latest(f *lambda.Function, s state) (configuration, error) {
	snap, err := c.snapStart(f.Name)
	if err != nil {
		return configuration{}, err
	}
	return c.latestWith(f, s, snap)
}

func (c *call) latestWith(f *lambda.Function, s state, snap string) (configuration, error) {
	secret, err := c.secretEnvironment(&f.Config, f.Name)
	if err != nil {
		return configuration{}, err
	}
	i := about{name: f.Name, version: lambda.Latest, revisionID: f.RevisionID, code: f.Code, description: f.Description, modified: f.UpdatedAt, snapStart: snap, secret: secret}
	cfg := c.api.configuration(&f.Config, i, s)
	return cfg, c.layerSizes(&cfg)
}

func (c *call) numbered(v *lambda.Version, s state) (configuration, error) {
	secret, err := c.secretEnvironment(&v.Config, v.Function)
	if err != nil {
		return configuration{}, err
	}
	i := about{name: v.Function, version: numberText(v.Number), revisionID: v.RevisionID, code: v.Code, description: v.Description, modified: v.At, secret: secret}
	cfg := c.api.configuration(&v.Config, i, s)
	return cfg, c.layerSizes(&cfg)
}
