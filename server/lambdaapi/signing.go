package lambdaapi

import (
	"encoding/json"
	"strings"

	"kiln/lambda"
)

// ---- code signing ----

type wireSigning struct {
	CodeSigningConfigId  string
	CodeSigningConfigArn string
	Description          string
	AllowedPublishers    *struct{ SigningProfileVersionArns []string } `json:",omitempty"`
	CodeSigningPolicies  struct{ UntrustedArtifactOnDeployment string }
	LastModified         string
}

type signingInput struct {
	Description         *string
	AllowedPublishers   *struct{ SigningProfileVersionArns []string }
	CodeSigningPolicies *struct{ UntrustedArtifactOnDeployment string }
}

func (in *signingInput) apply(s *wireSigning) error {
	var k checks
	if in.CodeSigningPolicies != nil {
		k.oneOf(in.CodeSigningPolicies.UntrustedArtifactOnDeployment, "codeSigningPolicies.untrustedArtifactOnDeployment", "Warn", "Enforce")
		s.CodeSigningPolicies.UntrustedArtifactOnDeployment = in.CodeSigningPolicies.UntrustedArtifactOnDeployment
	}
	if in.Description != nil {
		k.most(*in.Description, "description", 256)
		s.Description = *in.Description
	}
	if in.AllowedPublishers != nil {
		s.AllowedPublishers = in.AllowedPublishers
	}
	return k.err()
}

func signingOut(s *wireSigning) any {
	return struct{ CodeSigningConfig *wireSigning }{s}
}

func createSigning(c *call) (any, error) {
	var in signingInput
	if err := c.decode(&in); err != nil {
		return nil, err
	}
	var k checks
	k.present(in.AllowedPublishers != nil, "allowedPublishers")
	if err := k.err(); err != nil {
		return nil, err
	}
	id := "csc-" + strings.ReplaceAll(c.requestID, "-", "")[:17]
	s := &wireSigning{CodeSigningConfigId: id, CodeSigningConfigArn: "arn:aws:lambda:" + c.api.ARNs.Region + ":" + c.api.ARNs.AccountID + ":code-signing-config:" + id, LastModified: stampOf(c.api.Now())}
	s.CodeSigningPolicies.UntrustedArtifactOnDeployment = "Warn"
	if err := in.apply(s); err != nil {
		return nil, err
	}
	return signingOut(s), c.keepDocument("lambda:CreateCodeSigningConfig", lambda.Document{Kind: lambda.DocCodeSigning, ID: s.CodeSigningConfigArn}, s)
}

func (c *call) signing(arn string) (*wireSigning, error) {
	s := &wireSigning{}
	return s, c.readDocument(lambda.DocCodeSigning, arn, s, notFound("The Lambda code signing configuration %s can not be found.", arn))
}

func getSigning(c *call) (any, error) {
	s, err := c.signing(c.path[0])
	return signingOut(s), err
}

func updateSigning(c *call) (any, error) {
	var in signingInput
	if err := c.decode(&in); err != nil {
		return nil, err
	}
	s, err := c.signing(c.path[0])
	if err != nil {
		return nil, err
	}
	if err := in.apply(s); err != nil {
		return nil, err
	}
	s.LastModified = stampOf(c.api.Now())
	return signingOut(s), c.keepDocument("lambda:UpdateCodeSigningConfig", lambda.Document{Kind: lambda.DocCodeSigning, ID: c.path[0]}, s)
}

func deleteSigning(c *call) (any, error) {
	users, err := c.signedFunctions(c.path[0])
	if err != nil {
		return nil, err
	}
	if len(users) > 0 {
		return nil, conflict("Cannot delete the code signing configuration because it is attached to a function.")
	}
	err = c.api.Store.DeleteDocument(c.ctx(), c.who, "lambda:DeleteCodeSigningConfig", lambda.DocCodeSigning, c.path[0])
	if lambda.KindOf(err) == lambda.NotFound {
		return nil, notFound("The Lambda code signing configuration %s can not be found.", c.path[0])
	}
	return nil, err
}

func listSigning(c *call) (any, error) {
	all, next, err := c.documentPage(lambda.DocCodeSigning, "")
	if err != nil {
		return nil, err
	}
	out := struct {
		NextMarker         string `json:",omitempty"`
		CodeSigningConfigs []json.RawMessage
	}{next, []json.RawMessage{}}
	for _, d := range all {
		out.CodeSigningConfigs = append(out.CodeSigningConfigs, d.Body)
	}
	return out, nil
}

// documentPage is one page of a kind.
func (c *call) documentPage(kind, function string) ([]lambda.Document, string, error) {
	limit, err := c.limit(100)
	if err != nil {
		return nil, "", err
	}
	after, err := c.marker()
	if err != nil {
		return nil, "", err
	}
	all, err := c.api.Store.Documents(c.ctx(), kind, function, after, limit+1)
	if err != nil {
		return nil, "", err
	}
	all, next := page(all, limit, func(d lambda.Document) string { return d.ID })
	return all, next, nil
}

type wireSigningOf struct {
	CodeSigningConfigArn string
	FunctionName         string
}

func (c *call) signedFunctions(arn string) ([]string, error) {
	all, err := c.api.Store.Documents(c.ctx(), lambda.DocSigningOf, "", "", 1000)
	var out []string
	for _, d := range all {
		var s wireSigningOf
		if err := json.Unmarshal(d.Body, &s); err == nil && s.CodeSigningConfigArn == arn {
			out = append(out, c.api.ARNs.Function(d.ID, ""))
		}
	}
	return out, err
}

func listSigned(c *call) (any, error) {
	all, err := c.signedFunctions(c.path[0])
	return struct{ FunctionArns []string }{append([]string{}, all...)}, err
}

func putFunctionSigning(c *call) (any, error) {
	var in wireSigningOf
	if err := c.decode(&in); err != nil {
		return nil, err
	}
	if _, err := c.signing(in.CodeSigningConfigArn); err != nil {
		if f, ok := err.(*failure); ok && f.status == 404 {
			return nil, &failure{status: 404, code: "CodeSigningConfigNotFoundException", form: typedUpper,
				message: "The code signing configuration cannot be found. Check that the provided configuration is not deleted: " + in.CodeSigningConfigArn + "."}
		}
		return nil, err
	}
	in.FunctionName = c.function
	return in, c.keepDocument("lambda:PutFunctionCodeSigningConfig", lambda.Document{Kind: lambda.DocSigningOf, ID: c.function, Function: c.function}, in)
}

func getFunctionSigning(c *call) (any, error) {
	if _, err := c.api.Store.Function(c.ctx(), c.function); err != nil {
		return nil, err
	}
	var out wireSigningOf
	err := c.readDocument(lambda.DocSigningOf, c.function, &out, errNoDocument)
	if err == errNoDocument { //nolint:errorlint // our own sentinel, never wrapped
		return struct{}{}, nil
	}
	return out, err
}

var errNoDocument = &failure{}

func deleteFunctionSigning(c *call) (any, error) {
	if _, err := c.api.Store.Function(c.ctx(), c.function); err != nil {
		return nil, err
	}
	err := c.api.Store.DeleteDocument(c.ctx(), c.who, "lambda:DeleteFunctionCodeSigningConfig", lambda.DocSigningOf, c.function)
	if lambda.KindOf(err) == lambda.NotFound {
		err = nil
	}
	return nil, err
}
