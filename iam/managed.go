package iam

import "slices"

// Managed is a policy that everybody has: AWS's usual ones for functions and the roles of people.
type Managed struct {
	Name string
	ARN  string
	Text string // JSON
	Doc  *Document
}

const awsPolicies = "arn:aws:iam::aws:policy/"

func managed(path, name, text string) Managed {
	return Managed{Name: name, ARN: awsPolicies + path + name, Text: text, Doc: MustParse(text, Identity)}
}

func allow(actions string) string {
	return `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":[` + actions + `],"Resource":"*"}]}`
}

const writeLogs = `"logs:CreateLogGroup","logs:CreateLogStream","logs:PutLogEvents"`

var managedPolicies = []Managed{
	managed("", "AdministratorAccess", allow(`"*"`)),
	managed("", "ReadOnlyAccess", allow(`"lambda:Get*","lambda:List*","logs:Describe*","logs:Get*","logs:Filter*","logs:StartQuery","iam:Get*","iam:List*","iam:Simulate*","secretsmanager:Describe*","secretsmanager:List*","sts:GetCallerIdentity"`)),
	managed("", "AWSLambda_FullAccess", `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":["lambda:*","logs:Describe*","logs:Get*","logs:Filter*","iam:ListRoles","iam:GetRole","iam:GetRolePolicy","iam:ListAttachedRolePolicies","iam:ListRolePolicies"],"Resource":"*"},`+
		`{"Effect":"Allow","Action":"iam:PassRole","Resource":"*","Condition":{"StringEquals":{"iam:PassedToService":"lambda.amazonaws.com"}}}]}`),
	managed("", "AWSLambda_ReadOnlyAccess", allow(`"lambda:Get*","lambda:List*","logs:Describe*","logs:Get*","logs:Filter*","iam:ListRoles"`)),
	managed("service-role/", "AWSLambdaBasicExecutionRole", allow(writeLogs)),
	managed("service-role/", "AWSLambdaRole", allow(`"lambda:InvokeFunction"`)),
	managed("", "AWSLambdaExecute", allow(`"logs:*"`)),
	managed("", "AWSLambdaInvocation-DynamoDB", allow(`"lambda:InvokeFunction"`)),
	managed("", "AWSXRayDaemonWriteAccess", allow(`"xray:PutTraceSegments","xray:PutTelemetryRecords","xray:GetSamplingRules","xray:GetSamplingTargets","xray:GetSamplingStatisticSummaries"`)),
	managed("", "CloudWatchLogsFullAccess", allow(`"logs:*"`)),
	managed("", "SecretsManagerReadWrite", allow(`"secretsmanager:*"`)),
	managed("", "IAMReadOnlyAccess", allow(`"iam:Get*","iam:List*","iam:Simulate*"`)),
	managed("", "IAMFullAccess", allow(`"iam:*"`)),
}

// ManagedPolicies are all of them, by name.
func ManagedPolicies() []Managed {
	all := slices.Clone(managedPolicies)
	slices.SortFunc(all, func(a, b Managed) int { return compare(a.Name, b.Name) })
	return all
}

// ManagedPolicy is one by ARN.
func ManagedPolicy(arn string) (Managed, bool) {
	i := slices.IndexFunc(managedPolicies, func(m Managed) bool { return m.ARN == arn })
	if i < 0 {
		return Managed{}, false
	}
	return managedPolicies[i], true
}

func compare(a, b string) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}

// The roles of people.
const (
	Owner     = "owner"
	Developer = "developer"
	Viewer    = "viewer"
)

// ReadEnvironment is the action of seeing the values of a function's environment variables.
const ReadEnvironment = "kiln:ReadEnvironment"

const look = `"lambda:Get*","lambda:List*","logs:Get*","logs:Filter*","logs:Describe*","kiln:Get*","kiln:List*","kiln:EditOwn*","sts:GetCallerIdentity"`

// peopleRoles are the documents of the roles of people. A developer passes the default role and those that an owner put under
// service-role/ or developer/: the right to pass every role would be the right to become owner.
var peopleRoles = map[string]Named{
	Owner: {"owner", MustParse(allow(`"*"`), Identity)},
	Developer: {"developer", MustParse(`{"Version":"2012-10-17","Statement":[{"Sid":"Work","Effect":"Allow","Action":["lambda:*","logs:*","`+ReadEnvironment+`","iam:GetRole","iam:ListRoles","iam:GetRolePolicy","iam:ListRolePolicies","iam:ListAttachedRolePolicies","iam:SimulatePrincipalPolicy",`+look+`],"Resource":"*"},`+
		`{"Sid":"PassRole","Effect":"Allow","Action":"iam:PassRole","Resource":["arn:aws:iam::*:role/kiln-default","arn:aws:iam::*:role/service-role/*","arn:aws:iam::*:role/developer/*"]}]}`, Identity)},
	Viewer: {"viewer", MustParse(allow(look), Identity)},
}

// RolePolicy is the document of a person's role; false for an unknown one.
func RolePolicy(role string) (Named, bool) {
	n, ok := peopleRoles[role]
	return n, ok
}
