package lambdaapi

import (
	"bytes"
	"strconv"
	"strings"

	"kiln/iam"
	"kiln/lambda"
)

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

type codeUpdate struct {
	codeInput
	Architectures []string
	DryRun        bool
	Publish       bool
	RevisionId    string
}

func updateCode(c *call) (any, error) {
	var in codeUpdate
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
	if in.DryRun {
		before.Code = code
		return c.latest(before, updated)
	}
	return c.deploy(&in, code)
}

// deploy makes the package $LATEST's, and a version when asked for.
func (c *call) deploy(in *codeUpdate, code lambda.Code) (any, error) {
	u := lambda.FunctionUpdate{Code: &code, RevisionID: in.RevisionId}
	if len(in.Architectures) > 0 {
		u.Architectures = &in.Architectures
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
