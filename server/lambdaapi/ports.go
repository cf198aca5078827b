package lambdaapi

import (
	"context"
	"io"
	"time"

	"kiln/iam"
	"kiln/lambda"
)

// Engine runs functions; executor.Engine has it.
type Engine interface {
	Invoke(ctx context.Context, inv lambda.Invocation) (lambda.Result, error)
	InvokeAsync(ctx context.Context, inv lambda.Invocation) (requestID string, err error)
}

// Store is what the API needs of the database; store.Store has it. Each group is declared where it is used.
type Store interface {
	functionStore
	versionStore
	aliasStore
	layerStore
	policyStore
	asyncStore
	urlStore
	documentStore
	accountStore
	logStore
}

type functionStore interface {
	CreateFunction(ctx context.Context, by iam.Principal, n lambda.NewFunction) (*lambda.Function, error)
	Function(ctx context.Context, name string) (*lambda.Function, error)
	Functions(ctx context.Context, f lambda.FunctionFilter) ([]*lambda.Function, error)
	UpdateFunction(ctx context.Context, by iam.Principal, name string, revision int64, u lambda.FunctionUpdate) (*lambda.Function, error)
	DeleteFunction(ctx context.Context, by iam.Principal, name string) error
	ChangeTags(ctx context.Context, by iam.Principal, function string, set map[string]string, remove []string) error
	PutCode(ctx context.Context, zip io.Reader) (lambda.Code, error)
	Target(ctx context.Context, name, qualifier string) (*lambda.Target, error)
	Role(ctx context.Context, arn string) (*iam.Role, error)
}

type versionStore interface {
	PublishVersion(ctx context.Context, by iam.Principal, name string, p lambda.Publication) (*lambda.Version, error)
	Version(ctx context.Context, name string, number int64) (*lambda.Version, error)
	Versions(ctx context.Context, name string, after int64, limit int) ([]*lambda.Version, error)
	DeleteVersion(ctx context.Context, by iam.Principal, name string, number int64) error
}

type aliasStore interface {
	CreateAlias(ctx context.Context, by iam.Principal, a lambda.Alias) (*lambda.Alias, error)
	Alias(ctx context.Context, function, name string) (*lambda.Alias, error)
	Aliases(ctx context.Context, function, version, after string, limit int) ([]*lambda.Alias, error)
	UpdateAlias(ctx context.Context, by iam.Principal, function, name string, u lambda.AliasUpdate) (*lambda.Alias, error)
	DeleteAlias(ctx context.Context, by iam.Principal, function, name string) error
}

type layerStore interface {
	PublishLayer(ctx context.Context, by iam.Principal, l lambda.LayerVersion) (*lambda.LayerVersion, error)
	LayerVersion(ctx context.Context, layer string, number int64) (*lambda.LayerVersion, error)
	Layers(ctx context.Context, f lambda.LayerFilter) ([]lambda.LayerVersion, error)
	LayerVersions(ctx context.Context, layer string, f lambda.LayerFilter) ([]lambda.LayerVersion, error)
	DeleteLayerVersion(ctx context.Context, by iam.Principal, layer string, number int64) error
}

type policyStore interface {
	Policy(ctx context.Context, on lambda.PolicySubject) (*lambda.ResourcePolicy, error)
	AddStatement(ctx context.Context, by iam.Principal, on lambda.PolicySubject, st lambda.PolicyStatement, revisionID string) (*lambda.ResourcePolicy, error)
	RemoveStatement(ctx context.Context, by iam.Principal, on lambda.PolicySubject, sid, revisionID string) error
}

type asyncStore interface {
	AsyncConfig(ctx context.Context, function, qualifier string) (*lambda.EventInvokeConfig, error)
	AsyncConfigs(ctx context.Context, function, after string, limit int) ([]lambda.EventInvokeConfig, error)
	PutAsyncConfig(ctx context.Context, by iam.Principal, c lambda.EventInvokeConfig) (*lambda.EventInvokeConfig, error)
	UpdateAsyncConfig(ctx context.Context, by iam.Principal, function, qualifier string, u lambda.AsyncUpdate) (*lambda.EventInvokeConfig, error)
	DeleteAsyncConfig(ctx context.Context, by iam.Principal, function, qualifier string) error
}

type urlStore interface {
	CreateURL(ctx context.Context, by iam.Principal, c lambda.URLConfig) (*lambda.URLConfig, error)
	URL(ctx context.Context, function, qualifier string) (*lambda.URLConfig, error)
	URLs(ctx context.Context, function, after string, limit int) ([]*lambda.URLConfig, error)
	UpdateURL(ctx context.Context, by iam.Principal, function, qualifier string, u lambda.URLUpdate) (*lambda.URLConfig, error)
	DeleteURL(ctx context.Context, by iam.Principal, function, qualifier string) error
}

type documentStore interface {
	PutDocument(ctx context.Context, by iam.Principal, action string, d lambda.Document) error
	Document(ctx context.Context, kind, id string) (*lambda.Document, error)
	Documents(ctx context.Context, kind, function, after string, limit int) ([]lambda.Document, error)
	DeleteDocument(ctx context.Context, by iam.Principal, action, kind, id string) error
}

type accountStore interface {
	AccountUsage(ctx context.Context) (functions int, codeBytes int64, err error)
	Concurrency(ctx context.Context) (limit, reserved int, err error)
}

type logStore interface {
	LogLines(ctx context.Context, q lambda.LogQuery) ([]lambda.LogLine, error)
	Invocations(ctx context.Context, f lambda.InvocationFilter) ([]lambda.Report, error)
	LogStreams(ctx context.Context, functionID int64, prefix, after string, from time.Time, limit int) ([]lambda.LogStream, error)
	SetLogRetention(ctx context.Context, by iam.Principal, function string, days *int) error
	LogRetention(ctx context.Context, function string) (days *int, err error)
	DeleteLogs(ctx context.Context, by iam.Principal, function string) error
}
