package lambdaapi

import (
	"encoding/json"
	"regexp"

	"kiln/iam"
	"kiln/lambda"
)

type permissionInput struct {
	StatementId         *string
	Action              *string
	Principal           *string
	SourceArn           string
	SourceAccount       string
	EventSourceToken    string
	PrincipalOrgID      string
	OrganizationId      string
	FunctionUrlAuthType string
	RevisionId          string
}

const statementPattern = `([a-zA-Z0-9-_]+)`

var (
	statementForm = regexp.MustCompile(`^[a-zA-Z0-9-_]{1,100}$`)
	actionForm    = regexp.MustCompile(`^(lambda:[*]|lambda:[a-zA-Z]+|[*])$`)
	serviceForm   = regexp.MustCompile(`^[a-z0-9-]+(\.[a-z0-9-]+)*\.amazon(aws)?\.com$`)
	accountForm   = regexp.MustCompile(`^\d{12}$`)
	principalForm = regexp.MustCompile(`^arn:aws[a-z-]*:(iam|sts)::\d{12}:(root|(user|role|assumed-role|federated-user)/[\w+=,.@/-]+)$`)
)

func (in *permissionInput) check() error {
	var k checks
	k.present(in.StatementId != nil, "statementId")
	k.present(in.Action != nil, "action")
	k.present(in.Principal != nil, "principal")
	if in.StatementId != nil {
		k.pattern(statementForm.MatchString(*in.StatementId), *in.StatementId, "statementId", statementPattern)
	}
	return k.err()
}

// principal is the statement's element: a service, an account, an ARN or everybody.
func principalOf(p string) (any, error) {
	switch {
	case p == "*":
		return "*", nil
	case serviceForm.MatchString(p):
		return map[string]string{"Service": p}, nil
	case accountForm.MatchString(p):
		return map[string]string{"AWS": "arn:aws:iam::" + p + ":root"}, nil
	case principalForm.MatchString(p):
		return map[string]string{"AWS": p}, nil
	}
	return nil, invalidValue("The provided principal was invalid. Please check the principal and try again.")
}

// conditions are those that the parameters stand for, in AWS's spelling.
func (in *permissionInput) conditions() map[string]map[string]string {
	equals := map[string]string{}
	for key, v := range map[string]string{"AWS:SourceAccount": in.SourceAccount, "lambda:EventSourceToken": in.EventSourceToken,
		"aws:PrincipalOrgID": in.PrincipalOrgID + in.OrganizationId, "lambda:FunctionUrlAuthType": in.FunctionUrlAuthType} {
		if v != "" {
			equals[key] = v
		}
	}
	out := map[string]map[string]string{}
	if len(equals) > 0 {
		out["StringEquals"] = equals
	}
	if in.SourceArn != "" {
		out["ArnLike"] = map[string]string{"AWS:SourceArn": in.SourceArn}
	}
	return out
}

// statement is the input as a policy's statement on a resource. The evaluator reads it once, so that nothing is kept that it cannot read.
func (in *permissionInput) statement(resource string) (json.RawMessage, error) {
	who, err := principalOf(*in.Principal)
	if err != nil {
		return nil, err
	}
	s := struct {
		Sid       string
		Effect    string
		Principal any
		Action    string
		Resource  string
		Condition map[string]map[string]string `json:",omitempty"`
	}{*in.StatementId, "Allow", who, *in.Action, resource, in.conditions()}
	text, err := json.Marshal(s)
	if err != nil {
		return nil, err
	}
	if _, err := iam.Parse([]byte(`{"Version":"2012-10-17","Statement":[`+string(text)+`]}`), iam.Resource); err != nil {
		return nil, invalidValue("The provided statement was invalid. Please check the parameters and try again.")
	}
	return text, nil
}

func (c *call) subject() lambda.PolicySubject {
	return lambda.PolicySubject{Function: c.function, Qualifier: c.qualifier}
}

func addPermission(c *call) (any, error) {
	var in permissionInput
	if err := c.decode(&in); err != nil {
		return nil, err
	}
	if err := in.check(); err != nil {
		return nil, err
	}
	if !actionForm.MatchString(*in.Action) {
		var k checks
		k.pattern(false, *in.Action, "action", `(lambda:[*]|lambda:[a-zA-Z]+|[*])`)
		return nil, k.err()
	}
	if c.qualifier == lambda.Latest {
		return nil, invalidValue("We currently do not support adding policies for $LATEST.")
	}
	return c.keepStatement(&in, c.subject(), c.arn(), "GetPolicy")
}

func (c *call) keepStatement(in *permissionInput, on lambda.PolicySubject, resource, getter string) (any, error) {
	text, err := in.statement(resource)
	if err != nil {
		return nil, err
	}
	p, err := c.api.Store.AddStatement(c.ctx(), c.who, on, lambda.PolicyStatement{SID: *in.StatementId, Document: text}, in.RevisionId)
	if err != nil {
		return nil, policyFailure(err, getter)
	}
	c.policiesChanged()
	out := struct {
		Statement  string
		RevisionId string `json:",omitempty"`
	}{Statement: string(text)}
	if on.Layer != "" {
		out.RevisionId = p.RevisionID
	}
	return out, nil
}

func policyFailure(err error, getter string) error {
	if lambda.KeyOf(err) == "policy.revision" {
		return stale(getter)
	}
	return err
}

func getPolicy(c *call) (any, error) { return c.policyOf(c.subject()) }

func (c *call) policyOf(on lambda.PolicySubject) (any, error) {
	p, err := c.api.Store.Policy(c.ctx(), on)
	if lambda.KeyOf(err) == "policy.missing" {
		return nil, notFound("The resource you requested does not exist.")
	}
	if err != nil {
		return nil, err
	}
	return struct{ Policy, RevisionId string }{p.Document(), p.RevisionID}, nil
}

func removePermission(c *call) (any, error) {
	return nil, c.dropStatement(c.subject(), c.path[1], "GetPolicy")
}

func (c *call) dropStatement(on lambda.PolicySubject, sid, getter string) error {
	switch _, err := c.api.Store.Policy(c.ctx(), on); lambda.KeyOf(err) {
	case "policy.missing":
		return notFound("No policy is associated with the given resource.")
	case "function.missing":
		return notFound("No policy found for: %s", c.arn())
	}
	err := c.api.Store.RemoveStatement(c.ctx(), c.who, on, sid, c.query.Get("RevisionId"))
	if err != nil {
		return policyFailure(err, getter)
	}
	c.policiesChanged()
	return nil
}

func addLayerPermission(c *call) (any, error) {
	var in permissionInput
	if err := c.decode(&in); err != nil {
		return nil, err
	}
	if err := in.check(); err != nil {
		return nil, err
	}
	var k checks
	k.pattern(*in.Action == "lambda:GetLayerVersion", *in.Action, "action", "lambda:GetLayerVersion")
	if err := k.err(); err != nil {
		return nil, err
	}
	on, err := c.layerSubject()
	if err != nil {
		return nil, err
	}
	in.RevisionId = c.query.Get("RevisionId")
	return c.keepStatement(&in, on, c.api.ARNs.LayerVersion(on.Layer, on.Qualifier), "GetLayerPolicy")
}

func (c *call) layerSubject() (lambda.PolicySubject, error) {
	name, err := c.readLayer(c.path[0])
	if err != nil {
		return lambda.PolicySubject{}, err
	}
	if _, err := c.api.Store.LayerVersion(c.ctx(), name, numberOf(c.path[1])); lambda.KindOf(err) == lambda.NotFound {
		return lambda.PolicySubject{}, notFound("Layer version %s does not exist.", c.api.ARNs.LayerVersion(name, c.path[1]))
	} else if err != nil {
		return lambda.PolicySubject{}, err
	}
	return lambda.PolicySubject{Layer: name, Qualifier: c.path[1]}, nil
}

func getLayerPolicy(c *call) (any, error) {
	on, err := c.layerSubject()
	if err != nil {
		return nil, err
	}
	p, err := c.policyOf(on)
	if f, ok := err.(*failure); ok && f.status == 404 {
		return nil, notFound("No policy is associated with the given resource.")
	}
	return p, err
}

func removeLayerPermission(c *call) (any, error) {
	on, err := c.layerSubject()
	if err != nil {
		return nil, err
	}
	return nil, c.dropStatement(on, c.path[2], "GetLayerPolicy")
}
