package lambdaapi

import (
	"bytes"
	"encoding/json"
	"regexp"
	"strconv"
	"strings"

	"kiln/iam"
	"kiln/lambda"
)

// codeInput names a package: the zip itself, or a place in S3.
type codeInput struct {
	ZipFile         []byte
	S3Bucket        *string
	S3Key           *string
	S3ObjectVersion *string
	ImageUri        *string
}

type environmentInput struct{ Variables map[string]string }

// configInput is what creating and updating a configuration have in common; nil leaves a field alone.
type configInput struct {
	Description      *string
	Handler          *string
	MemorySize       *int
	Role             *string
	Runtime          *string
	Timeout          *int
	Layers           *[]string
	RevisionId       string
	Environment      *environmentInput
	DeadLetterConfig *struct{ TargetArn *string }
	EphemeralStorage *struct{ Size *int }
	TracingConfig    *struct{ Mode *string }
	SnapStart        *struct{ ApplyOn *string }
	LoggingConfig    *struct{ LogFormat, ApplicationLogLevel, SystemLogLevel, LogGroup *string }
	VpcConfig        *struct{ SubnetIds, SecurityGroupIds []string }
}

type createInput struct {
	configInput
	FunctionName  string
	Code          *codeInput
	PackageType   *string
	Publish       bool
	Tags          map[string]string
	Architectures []string
}

// listRuntimes is the set as AWS words it.
func listRuntimes() string { return "[" + strings.Join(lambda.Runtimes, ", ") + "] or be a valid ARN" }

// retired are runtimes that AWS once took.
var retired = regexp.MustCompile(`^(nodejs(\d+\.x|4\.3|4\.3-edge|)|python(2\.7|3\.[6-9])|ruby2\.[57]|java8(\.al2)?|java11|go1\.x|dotnet(core\d\.\d|[56])|provided)$`)

func checkRuntime(runtime *string) error {
	if runtime == nil {
		return nil
	}
	for _, r := range lambda.Runtimes {
		if r == *runtime {
			return nil
		}
	}
	if retired.MatchString(*runtime) {
		return invalidValue("The runtime parameter of %s is no longer supported for creating or updating AWS Lambda functions. We recommend you use a supported runtime while creating or updating functions.", *runtime)
	}
	return invalidValue("Value %s at 'runtime' failed to satisfy constraint: Member must satisfy enum value set: %s", *runtime, listRuntimes())
}

const (
	rolePattern  = `arn:(aws[a-zA-Z-]*)?:iam::\d{12}:role/?[a-zA-Z_0-9+=,.@\-_/]+`
	layerPattern = `(arn:(aws[a-zA-Z-]*)?:lambda:(eusc-)?[a-z]{2}((-gov)|(-iso([a-z]?)))?-[a-z]+-\d{1}:\d{12}:layer:[a-zA-Z0-9-_]+:[0-9]+)|(arn:[a-zA-Z0-9-]+:lambda:::awslayer:[a-zA-Z0-9-_]+)`
)

var (
	roleForm  = regexp.MustCompile(`^` + rolePattern + `$`)
	layerForm = regexp.MustCompile(`^(` + layerPattern + `)$`)
)

// check holds the input to the model's constraints, then to the rules that AWS checks later.
func (in *configInput) check(k *checks) {
	if in.Role != nil {
		k.pattern(roleForm.MatchString(*in.Role), *in.Role, "role", rolePattern)
	}
	if in.Handler != nil {
		k.most(*in.Handler, "handler", 128)
		k.pattern(!strings.ContainsAny(*in.Handler, " \t\r\n"), *in.Handler, "handler", `[^\s]+`)
	}
	if in.Description != nil {
		k.most(*in.Description, "description", 256)
	}
	k.between(in.MemorySize, "memorySize", lambda.MinMemoryMB, lambda.MaxMemoryMB)
	k.between(in.Timeout, "timeout", 1, lambda.MaxTimeoutSec)
	if in.EphemeralStorage != nil {
		k.between(in.EphemeralStorage.Size, "ephemeralStorage.size", lambda.MinEphemeralMB, lambda.MaxEphemeralMB)
	}
	if in.TracingConfig != nil && in.TracingConfig.Mode != nil {
		k.oneOf(*in.TracingConfig.Mode, "tracingConfig.mode", "Active", "PassThrough")
	}
	if in.SnapStart != nil && in.SnapStart.ApplyOn != nil {
		k.oneOf(*in.SnapStart.ApplyOn, "snapStart.applyOn", "PublishedVersions", "None")
	}
	in.checkMore(k)
}

func (in *configInput) checkMore(k *checks) {
	if in.Layers != nil && !allMatch(layerForm, *in.Layers) {
		k.add("'["+strings.Join(*in.Layers, ", ")+"]'", "layers", "Member must satisfy constraint: [Member must have length less than or equal to 2048, Member must have length greater than or equal to 1, Member must satisfy regular expression pattern: "+layerPattern+", Member must not be null]")
	}
	if l := in.LoggingConfig; l != nil {
		if l.LogFormat != nil {
			k.oneOf(*l.LogFormat, "loggingConfig.logFormat", "JSON", "Text")
		}
		if l.ApplicationLogLevel != nil {
			k.oneOf(*l.ApplicationLogLevel, "loggingConfig.applicationLogLevel", "TRACE", "DEBUG", "INFO", "WARN", "ERROR", "FATAL")
		}
		if l.SystemLogLevel != nil {
			k.oneOf(*l.SystemLogLevel, "loggingConfig.systemLogLevel", "DEBUG", "INFO", "WARN")
		}
	}
	if v := in.VpcConfig; v != nil {
		checkIDs(k, v.SubnetIds, "vpcConfig.subnetIds", `subnet-[0-9a-z]*`)
		checkIDs(k, v.SecurityGroupIds, "vpcConfig.securityGroupIds", `sg-[0-9a-zA-Z]*`)
	}
}

func checkIDs(k *checks, ids []string, field, pattern string) {
	if !allMatch(regexp.MustCompile("^"+pattern+"$"), ids) {
		k.add("'["+strings.Join(ids, ", ")+"]'", field, "Member must satisfy constraint: [Member must have length less than or equal to 1024, Member must have length greater than or equal to 0, Member must satisfy regular expression pattern: "+pattern+"]")
	}
}

func allMatch(p *regexp.Regexp, all []string) bool {
	for _, s := range all {
		if !p.MatchString(s) {
			return false
		}
	}
	return true
}

func (in *configInput) snapStart() *string {
	if in.SnapStart == nil {
		return nil
	}
	return in.SnapStart.ApplyOn
}

// rules are those that AWS checks behind the model.
func (in *configInput) rules() error {
	if in.Layers != nil && len(*in.Layers) > lambda.MaxLayers {
		return invalidValue("Cannot reference more than 5 layers.")
	}
	if v := in.VpcConfig; v != nil && len(v.SubnetIds) > 0 { // there are no networks here
		return invalidValue("Error occurred while DescribeSubnets. EC2 Error Code: InvalidSubnetID.NotFound. EC2 Error Message: The subnet ID '%s' does not exist", v.SubnetIds[0])
	}
	if v := in.VpcConfig; v != nil && len(v.SecurityGroupIds) > 0 {
		return invalidValue("Error occurred while DescribeSecurityGroups. EC2 Error Code: InvalidGroup.NotFound. EC2 Error Message: The security group '%s' does not exist", v.SecurityGroupIds[0])
	}
	if err := in.environmentRules(); err != nil {
		return err
	}
	return checkRuntime(in.Runtime)
}

// environmentRules words the size rule: the client sees its own values back, nobody else does.
func (in *configInput) environmentRules() error {
	if in.Environment == nil || lambda.Environment(in.Environment.Variables).Size() <= lambda.MaxEnvironment {
		return nil
	}
	var text bytes.Buffer
	e := json.NewEncoder(&text)
	e.SetEscapeHTML(false)
	if err := e.Encode(in.Environment.Variables); err != nil {
		return err
	}
	return invalidValue("Lambda was unable to configure your environment variables because the environment variables you have provided exceeded the 4KB limit. String measured: %s", strings.TrimSpace(text.String()))
}

// update is the input as the domain's change.
func (in *configInput) update() lambda.FunctionUpdate {
	u := lambda.FunctionUpdate{Runtime: in.Runtime, Handler: in.Handler, Role: in.Role, Description: in.Description, MemoryMB: in.MemorySize,
		TimeoutSec: in.Timeout, Layers: in.Layers, RevisionID: in.RevisionId}
	if in.Environment != nil {
		env := lambda.Environment(in.Environment.Variables)
		u.Env = &env
	}
	if in.DeadLetterConfig != nil {
		u.DeadLetter = orEmpty(in.DeadLetterConfig.TargetArn)
	}
	if in.EphemeralStorage != nil {
		u.EphemeralMB = in.EphemeralStorage.Size
	}
	if in.TracingConfig != nil {
		u.TracingMode = in.TracingConfig.Mode
	}
	if l := in.LoggingConfig; l != nil {
		u.LogFormat, u.AppLogLevel, u.SysLogLevel = l.LogFormat, l.ApplicationLogLevel, l.SystemLogLevel
	}
	return u
}

func orEmpty(s *string) *string {
	if s == nil {
		s = new(string)
	}
	return s
}

// decodeCreate reads the input before the caller is authorized: the function's name is in it.
func decodeCreate(c *call) error {
	in := &createInput{}
	c.input = in
	if err := c.decode(in); err != nil {
		return err
	}
	return c.readFunction(in.FunctionName)
}

func createFunction(c *call) (any, error) {
	in := c.input.(*createInput)
	if err := checkCreate(in); err != nil {
		return nil, err
	}
	u := in.update()
	n := lambda.NewFunction{Name: c.function, Config: u.Apply(lambda.Config{}), Tags: in.Tags}
	if len(in.Architectures) > 0 {
		n.Architectures = in.Architectures
	}
	if err := c.mayPass(n.Role); err != nil {
		return nil, err
	}
	code, err := c.keepZip(in.Code)
	if err != nil {
		return nil, err
	}
	n.Code = code
	f, err := c.api.Store.CreateFunction(c.ctx(), c.who, n)
	if err != nil {
		return nil, err
	}
	if err := c.keepSnapStart(in.snapStart()); err != nil {
		return nil, err
	}
	c.changed()
	if !in.Publish {
		return c.latest(f, created)
	}
	v, err := c.api.Store.PublishVersion(c.ctx(), c.who, f.Name, lambda.Publication{})
	if err != nil {
		return nil, err
	}
	return c.numbered(v, created)
}

func checkCreate(in *createInput) error {
	var k checks
	k.present(in.Role != nil, "role")
	k.present(in.Code != nil, "code")
	in.check(&k)
	checkArchitectures(&k, in.Architectures)
	if in.PackageType != nil {
		k.oneOf(*in.PackageType, "packageType", "Image", "Zip")
	}
	if err := k.err(); err != nil {
		return err
	}
	if err := in.rules(); err != nil {
		return err
	}
	switch {
	case in.PackageType != nil && *in.PackageType == "Image":
		return invalidValue("Container images are not supported here; use a .zip package.")
	case in.Runtime == nil:
		return invalidValue("Runtime is mandatory for functions created with deployment packages.")
	case in.Handler == nil && !strings.HasPrefix(*in.Runtime, "provided"):
		return invalidValue("Handler is mandatory for functions created with deployment packages.")
	case len(in.Tags) > lambda.MaxTags:
		return invalidValue("Number of tags exceeds resource tag limit.")
	}
	return nil
}

func checkArchitectures(k *checks, all []string) {
	if len(all) > 1 {
		k.add("'["+strings.Join(all, ", ")+"]'", "architectures", "Member must have length less than or equal to 1")
	}
	for _, a := range all {
		if a != "x86_64" && a != "arm64" {
			k.add("'["+strings.Join(all, ", ")+"]'", "architectures", "Member must satisfy constraint: [Member must satisfy enum value set: [x86_64, arm64], Member must not be null]")
			return
		}
	}
}

// mayPass holds the caller to iam:PassRole, and the role to Lambda's trust.
func (c *call) mayPass(role string) error {
	if err := c.authorize("iam:PassRole", role, iam.Context{"iam:passedtoservice": {"lambda.amazonaws.com"}}); err != nil {
		return err
	}
	r, err := c.api.Store.Role(c.ctx(), role)
	if lambda.KindOf(err) == lambda.NotFound || err == nil && !iam.MayAssume(r.Trust, iam.Service("lambda.amazonaws.com"), nil).Allowed {
		return invalidValue("The role defined for the function cannot be assumed by Lambda.")
	}
	return err
}

// keepZip checks the package and keeps it.
func (c *call) keepZip(in *codeInput) (lambda.Code, error) {
	switch {
	case in.ImageUri != nil:
		return lambda.Code{}, invalidValue("Please don't provide ImageUri when updating a function with packageType Zip.")
	case in.S3Bucket != nil:
		return lambda.Code{}, invalidValue("Error occurred while GetObject. S3 Error Code: NoSuchBucket. S3 Error Message: The specified bucket does not exist")
	case len(in.ZipFile) == 0:
		return lambda.Code{}, invalidValue("Please provide a source for function code.")
	case len(in.ZipFile) > lambda.MaxZip:
		return lambda.Code{}, tooLarge("Zipped size must be smaller than %d bytes", lambda.MaxZip)
	}
	if err := c.api.CheckZip(in.ZipFile); err != nil {
		return lambda.Code{}, err
	}
	return c.api.Store.PutCode(c.ctx(), bytes.NewReader(in.ZipFile))
}

func getFunction(c *call) (any, error) {
	cfg, sha, err := c.described()
	if err != nil {
		return nil, err
	}
	out := struct {
		Configuration configuration
		Code          struct{ RepositoryType, Location string }
		Tags          map[string]string `json:",omitempty"`
		Concurrency   *concurrency      `json:",omitempty"`
	}{Configuration: *cfg}
	out.Code.RepositoryType, out.Code.Location = "S3", c.api.CodeURL(sha)
	f, err := c.api.Store.Function(c.ctx(), c.function)
	if err != nil {
		return nil, err
	}
	out.Tags = f.Tags
	if f.Reserved != nil {
		out.Concurrency = &concurrency{*f.Reserved}
	}
	return out, nil
}

type concurrency struct{ ReservedConcurrentExecutions int }

// described is the configuration of what the caller named, and the hash of its package.
func (c *call) described() (*configuration, string, error) {
	version, err := c.resolve()
	if err != nil {
		return nil, "", err
	}
	if version != lambda.Latest {
		v, err := c.api.Store.Version(c.ctx(), c.function, numberOf(version))
		if err != nil {
			return nil, "", err
		}
		cfg, err := c.numbered(v, settled)
		if c.qualifier != version { // an alias is answered under its own ARN
			cfg.FunctionArn = c.arn()
		}
		return &cfg, v.Code.SHA256, err
	}
	f, err := c.api.Store.Function(c.ctx(), c.function)
	if err != nil {
		return nil, "", err
	}
	cfg, err := c.latest(f, settled)
	cfg.FunctionArn = c.arn()
	return &cfg, f.Code.SHA256, err
}

// resolve is the version that the qualifier stands for.
func (c *call) resolve() (string, error) {
	if c.qualifier == "" || c.qualifier == lambda.Latest {
		return lambda.Latest, nil
	}
	if isNumber(c.qualifier) {
		return c.qualifier, nil
	}
	a, err := c.api.Store.Alias(c.ctx(), c.function, c.qualifier)
	if err != nil {
		return "", err
	}
	return a.Version, nil
}

func getConfiguration(c *call) (any, error) {
	cfg, _, err := c.described()
	return cfg, err
}

func listFunctions(c *call) (any, error) {
	limit, err := c.limit(1000)
	if err != nil {
		return nil, err
	}
	after, err := c.marker()
	if err != nil {
		return nil, err
	}
	if v := c.query.Get("FunctionVersion"); c.query.Has("FunctionVersion") && v != "ALL" {
		var k checks
		k.oneOf(v, "functionVersion", "ALL")
		return nil, k.err()
	}
	// The store reads at most 1,000: the last page may announce one more that is empty.
	all, err := c.api.Store.Functions(c.ctx(), lambda.FunctionFilter{After: after, Limit: min(limit+1, 1000)})
	if err != nil {
		return nil, err
	}
	next := ""
	if len(all) > limit || limit == 1000 && len(all) == limit {
		all = all[:limit]
		next = encodeMarker(all[limit-1].Name)
	}
	return c.functionList(all, next)
}

func (c *call) functionList(all []*lambda.Function, next string) (any, error) {
	out := struct {
		NextMarker *string
		Functions  []configuration
	}{Functions: []configuration{}}
	if next != "" {
		out.NextMarker = &next
	}
	snaps, err := c.snapStarts()
	if err != nil {
		return nil, err
	}
	for _, f := range all {
		cfg, err := c.latestWith(f, listed, snaps[f.Name])
		if err != nil {
			return nil, err
		}
		if c.query.Get("FunctionVersion") == "ALL" {
			cfg.FunctionArn += ":" + lambda.Latest
		}
		out.Functions = append(out.Functions, cfg)
		if c.query.Get("FunctionVersion") == "ALL" {
			versions, err := c.api.Store.Versions(c.ctx(), f.Name, 0, 1000)
			if err != nil {
				return nil, err
			}
			for _, v := range versions {
				cfg, err := c.numbered(v, listed)
				if err != nil {
					return nil, err
				}
				out.Functions = append(out.Functions, cfg)
			}
		}
	}
	return out, nil
}

func updateConfiguration(c *call) (any, error) {
	var in configInput
	if err := c.decode(&in); err != nil {
		return nil, err
	}
	if err := c.unqualified(); err != nil {
		return nil, err
	}
	var k checks
	in.check(&k)
	if err := k.err(); err != nil {
		return nil, err
	}
	if err := in.rules(); err != nil {
		return nil, err
	}
	if in.Role != nil {
		if err := c.mayPass(*in.Role); err != nil {
			return nil, err
		}
	}
	f, err := c.api.Store.UpdateFunction(c.ctx(), c.who, c.function, 0, in.update())
	if err != nil {
		return nil, err
	}
	if err := c.keepSnapStart(in.snapStart()); err != nil {
		return nil, err
	}
	c.changed()
	return c.latest(f, updated)
}

// unqualified refuses operations on a version or an alias that only the function itself has.
func (c *call) unqualified() error {
	if c.qualifier == "" || c.qualifier == lambda.Latest {
		return nil
	}
	return invalidValue("This operation is permitted on Lambda functions only. Aliases and versions do not support this operation. Please specify either a function name or an unqualified function ARN.")
}

func updateCode(c *call) (any, error) {
	var in struct {
		codeInput
		Architectures []string
		DryRun        bool
		Publish       bool
		RevisionId    string
	}
	if err := c.decode(&in); err != nil {
		return nil, err
	}
	if err := c.unqualified(); err != nil {
		return nil, err
	}
	var k checks
	checkArchitectures(&k, in.Architectures)
	if err := k.err(); err != nil {
		return nil, err
	}
	before, err := c.api.Store.Function(c.ctx(), c.function)
	if err != nil {
		return nil, err
	}
	if in.RevisionId != "" && in.RevisionId != before.RevisionID {
		return nil, stale("GetFunction/GetAlias")
	}
	code, err := c.keepZip(&in.codeInput)
	if err != nil {
		return nil, err
	}
	u := lambda.FunctionUpdate{Code: &code, RevisionID: in.RevisionId}
	if len(in.Architectures) > 0 {
		u.Architectures = &in.Architectures
	}
	if in.DryRun {
		before.Code = code
		return c.latest(before, updated)
	}
	f, err := c.api.Store.UpdateFunction(c.ctx(), c.who, c.function, 0, u)
	if err != nil {
		return nil, err
	}
	c.changed()
	if !in.Publish {
		return c.latest(f, updated)
	}
	v, err := c.api.Store.PublishVersion(c.ctx(), c.who, c.function, lambda.Publication{})
	if err != nil {
		return nil, err
	}
	return c.numbered(v, updated)
}

func deleteFunction(c *call) (any, error) {
	switch {
	case c.qualifier == lambda.Latest:
		return nil, invalidValue("$LATEST version cannot be deleted without deleting the function.")
	case c.qualifier != "" && !isNumber(c.qualifier):
		return nil, invalidValue("Deletion of aliases is not currently supported.")
	case c.qualifier != "":
		if _, err := c.api.Store.Function(c.ctx(), c.function); err != nil {
			return nil, err
		}
		if err := c.api.Store.DeleteVersion(c.ctx(), c.who, c.function, numberOf(c.qualifier)); err != nil {
			return nil, err
		}
	default:
		if err := c.api.Store.DeleteFunction(c.ctx(), c.who, c.function); err != nil {
			return nil, err
		}
		c.policiesChanged()
	}
	c.changed()
	return nil, nil
}

func (c *call) policiesChanged() {
	if c.api.PoliciesChanged != nil {
		c.api.PoliciesChanged()
	}
}

// secretEnvironment says whether a person may see a function but not its environment's values.
func (c *call) secretEnvironment(cfg *lambda.Config, name string) (bool, error) {
	if len(cfg.Env) == 0 || c.who.Kind != iam.KindUser {
		return false, nil
	}
	d, err := c.api.Authority.Decide(c.ctx(), iam.Request{Principal: c.who, Action: iam.ReadEnvironment, Resource: c.api.ARNs.Function(name, "")})
	return !d.Allowed, err
}

// layerSizes fills in what only the layers know.
func (c *call) layerSizes(cfg *configuration) error {
	for i := range cfg.Layers {
		name, number, ok := splitLayer(cfg.Layers[i].Arn)
		if !ok {
			continue
		}
		v, err := c.api.Store.LayerVersion(c.ctx(), name, number)
		if lambda.KindOf(err) == lambda.NotFound { // a deleted version stays usable
			continue
		}
		if err != nil {
			return err
		}
		cfg.Layers[i].CodeSize = v.Code.Size
	}
	return nil
}

func isNumber(s string) bool {
	return s != "" && strings.Trim(s, "0123456789") == ""
}

func numberOf(s string) int64 {
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil {
		return -1 // matches no version
	}
	return n
}

func numberText(n int64) string { return strconv.FormatInt(n, 10) }
