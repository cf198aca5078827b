package store

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"strconv"
	"time"

	"kiln/lambda"
)

// configRow is the columns that functions, revisions, versions and runnables have in common.
type configRow struct {
	Runtime       string
	Handler       string
	Role          string
	Description   string
	MemoryMB      int `gorm:"column:memory_mb"`
	TimeoutSec    int
	EphemeralMB   int `gorm:"column:ephemeral_mb"`
	Env           []byte
	Layers        textList
	DeadLetter    string
	LogFormat     string
	AppLogLevel   string
	SysLogLevel   string
	TracingMode   string
	Architectures textList
	CodeSHA256    string `gorm:"column:code_sha256"`
	CodeSize      int64
	LayerCode     jsonColumn[[]lambda.Code]
}

// configRowOf seals the environment for this function.
func (s *Store) configRowOf(function int64, c lambda.Config, code lambda.Code, layers []lambda.Code) (configRow, error) {
	env, err := s.sealEnv(function, c.Env)
	return configRow{
		Runtime: c.Runtime, Handler: c.Handler, Role: c.Role, Description: clean(c.Description),
		MemoryMB: c.MemoryMB, TimeoutSec: c.TimeoutSec, EphemeralMB: c.EphemeralMB, Env: env, Layers: c.Layers,
		DeadLetter: c.DeadLetter, LogFormat: c.LogFormat, AppLogLevel: c.AppLogLevel, SysLogLevel: c.SysLogLevel,
		TracingMode: c.TracingMode, Architectures: c.Architectures, CodeSHA256: code.SHA256, CodeSize: code.Size,
		LayerCode: jsonColumn[[]lambda.Code]{layers},
	}, err
}

// columns are the values for an update by name.
func (r *configRow) columns() map[string]any {
	return map[string]any{
		"runtime": r.Runtime, "handler": r.Handler, "role": r.Role, "description": r.Description, "memory_mb": r.MemoryMB,
		"timeout_sec": r.TimeoutSec, "ephemeral_mb": r.EphemeralMB, "env": r.Env, "layers": r.Layers, "dead_letter": r.DeadLetter,
		"log_format": r.LogFormat, "app_log_level": r.AppLogLevel, "sys_log_level": r.SysLogLevel, "tracing_mode": r.TracingMode,
		"architectures": r.Architectures, "code_sha256": r.CodeSHA256, "code_size": r.CodeSize, "layer_code": r.LayerCode,
	}
}

func (r *configRow) code() lambda.Code { return lambda.Code{SHA256: r.CodeSHA256, Size: r.CodeSize} }

// config opens the environment.
func (s *Store) config(function int64, r *configRow) (lambda.Config, error) {
	env, err := s.openEnv(function, r.Env)
	if err != nil {
		return lambda.Config{}, err
	}
	c := r.closed()
	c.Env = env
	return c, nil
}

// closed is the configuration without its environment.
func (r *configRow) closed() lambda.Config {
	return lambda.Config{
		Runtime: r.Runtime, Handler: r.Handler, Role: r.Role, Description: r.Description,
		MemoryMB: r.MemoryMB, TimeoutSec: r.TimeoutSec, EphemeralMB: r.EphemeralMB, Layers: r.Layers,
		DeadLetter: r.DeadLetter, LogFormat: r.LogFormat, AppLogLevel: r.AppLogLevel, SysLogLevel: r.SysLogLevel,
		TracingMode: r.TracingMode, Architectures: r.Architectures,
	}
}

func envPlace(function int64) string {
	return "environment of function " + strconv.FormatInt(function, 10)
}

// sealEnv is nil for an empty environment.
func (s *Store) sealEnv(function int64, env lambda.Environment) ([]byte, error) {
	if len(env) == 0 {
		return nil, nil
	}
	b, err := json.Marshal(map[string]string(env)) // the plain map: an Environment marshals as its names
	if err != nil {
		return nil, fmt.Errorf("seal the environment: %w", err)
	}
	return s.ring.Seal(b, envPlace(function)), nil
}

func (s *Store) openEnv(function int64, sealed []byte) (lambda.Environment, error) {
	if len(sealed) == 0 {
		return nil, nil
	}
	b, err := s.ring.Open(sealed, envPlace(function))
	if err != nil {
		return nil, fmt.Errorf("open the %s: %w", envPlace(function), err)
	}
	var env map[string]string
	if err := json.Unmarshal(b, &env); err != nil {
		return nil, fmt.Errorf("read the %s: %w", envPlace(function), err)
	}
	return env, nil
}

// digest is a MAC, because a plain hash over short values can be guessed. What no worker sees (the description, the dead-letter
// target) is left out: changing it keeps the workers.
func (s *Store) digest(function int64, label string, c lambda.Config, code lambda.Code, layers []lambda.Code) lambda.Digest {
	env := map[string]string{} // an empty environment, list or map is the same as none
	maps.Copy(env, c.Env)
	b, err := json.Marshal([]any{function, label, c.Runtime, c.Handler, c.Role, c.MemoryMB, c.TimeoutSec, c.EphemeralMB, env,
		append([]string{}, c.Layers...), append([]lambda.Code{}, layers...), c.LogFormat, c.AppLogLevel, c.SysLogLevel, c.TracingMode, c.Architectures, code.SHA256})
	if err != nil { // plain texts and numbers always marshal
		panic("store: " + err.Error())
	}
	mac := hmac.New(sha256.New, s.digestKey)
	_, _ = mac.Write(b) // a hash never fails
	return lambda.Digest(hex.EncodeToString(mac.Sum(nil)))
}

type functionRow struct {
	ID          int64 `gorm:"primaryKey"`
	Name        string
	Config      configRow `gorm:"embedded"`
	Digest      string
	Revision    int64
	RevisionID  string `gorm:"column:revision_id"`
	Reserved    *int
	Tags        textMap
	LastVersion int64
	LogDays     *int
	CreatedAt   time.Time `gorm:"autoCreateTime:false"`
	UpdatedAt   time.Time `gorm:"autoUpdateTime:false"`
	UpdatedBy   string
}

func (functionRow) TableName() string { return "functions" }

func (s *Store) function(r *functionRow) (*lambda.Function, error) {
	c, err := s.config(r.ID, &r.Config)
	if err != nil {
		return nil, err
	}
	return &lambda.Function{ID: r.ID, Name: r.Name, Config: c, Code: r.Config.code(), Revision: r.Revision, RevisionID: r.RevisionID,
		Reserved: r.Reserved, Tags: r.Tags, CreatedAt: r.CreatedAt, UpdatedAt: r.UpdatedAt, UpdatedBy: r.UpdatedBy}, nil
}

type revisionRow struct {
	FunctionID int64 `gorm:"primaryKey"`
	Number     int64 `gorm:"primaryKey;autoIncrement:false"`
	Cause      string
	Config     configRow `gorm:"embedded"`
	ByName     string
	At         time.Time
	FromNumber int64
	Note       string
}

func (revisionRow) TableName() string { return "revisions" }

// closedDomain leaves the environment out.
func (r *revisionRow) closedDomain(function string) *lambda.Revision {
	return &lambda.Revision{Function: function, Number: r.Number, Cause: r.Cause, Config: r.Config.closed(), Code: r.Config.code(), By: r.ByName,
		At: r.At, From: r.FromNumber, Note: r.Note}
}

type runnableRow struct {
	Digest     string `gorm:"primaryKey"`
	FunctionID int64
	Version    string
	Config     configRow `gorm:"embedded"`
	MadeAt     time.Time
}

func (runnableRow) TableName() string { return "runnables" }

// runnable joins what a digest names with what is the function's own.
func (s *Store) runnable(d lambda.Digest, label string, f *functionRow, r *configRow) (*lambda.Runnable, error) {
	c, err := s.config(f.ID, r)
	if err != nil {
		return nil, err
	}
	return &lambda.Runnable{Digest: d, FunctionID: f.ID, Function: f.Name, ARN: s.arns.Function(f.Name, ""), Version: label, Config: c,
		Code: r.code(), LayerCode: r.LayerCode.v, Reserved: f.Reserved}, nil
}
