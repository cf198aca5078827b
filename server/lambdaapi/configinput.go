package lambdaapi

import (
	"bytes"
	"encoding/json"
	"regexp"
	"strings"

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
