package lambda

import (
	"strings"
)

// ARNs makes the ARNs of one account in one region.
type ARNs struct {
	Region, AccountID string
}

// Function is the ARN of a function; qualifier "" leaves it unqualified.
func (a ARNs) Function(name, qualifier string) string {
	arn := "arn:aws:lambda:" + a.Region + ":" + a.AccountID + ":function:" + name
	if qualifier != "" {
		arn += ":" + qualifier
	}
	return arn
}

// LayerVersion is the ARN of one version of a layer; version "" names the layer.
func (a ARNs) LayerVersion(layer, version string) string {
	arn := "arn:aws:lambda:" + a.Region + ":" + a.AccountID + ":layer:" + layer
	if version != "" {
		arn += ":" + version
	}
	return arn
}

// Role is the ARN of a role.
func (a ARNs) Role(name string) string { return "arn:aws:iam::" + a.AccountID + ":role/" + name }

// FunctionRef is what a caller named: a function and perhaps a qualifier.
type FunctionRef struct {
	Name, Qualifier   string
	Region, AccountID string // "" when the reference did not name them
}

var refPattern = lazily(`^(?:arn:aws[a-zA-Z-]*:lambda:([a-z]{2}(?:-[a-z]+)+-\d):(\d{12}):function:|(\d{12}):function:|function:)?([a-zA-Z0-9-_]{1,64})(?::(\$LATEST|[a-zA-Z0-9-_]{1,128}))?$`)

// ParseFunctionRef reads a name, name:qualifier, a partial ARN (123456789012:function:name) or a full ARN.
// Invalid "function.ref" otherwise.
func ParseFunctionRef(s string) (FunctionRef, error) {
	m := refPattern.FindStringSubmatch(s)
	if m == nil {
		return FunctionRef{}, E(Invalid, "function.ref", "value", s)
	}
	r := FunctionRef{Region: m[1], AccountID: m[2] + m[3], Name: m[4], Qualifier: m[5]}
	return r, nil
}

// FunctionOfLogGroup is the function that a log group "/aws/lambda/<function>" belongs to; "" for any other group.
func FunctionOfLogGroup(group string) string {
	name, ok := strings.CutPrefix(group, "/aws/lambda/")
	if !ok || !namePattern.MatchString(name) {
		return ""
	}
	return name
}
