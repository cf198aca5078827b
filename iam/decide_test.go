package iam

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"kiln/lambda"
)

const (
	fnARN   = "arn:aws:lambda:us-east-1:000000000000:function:orders"
	account = "000000000000"
)

var (
	root      = Principal{Kind: KindRoot, ARN: "arn:aws:iam::000000000000:root", Name: "root"}
	kim       = Principal{Kind: KindUser, ARN: "arn:aws:iam::000000000000:user/kim", Name: "Kim"}
	worker    = Principal{Kind: KindRole, ARN: "arn:aws:sts::000000000000:assumed-role/app/orders", Name: "app"}
	stranger  = Principal{Kind: KindUser, ARN: "arn:aws:iam::999999999999:user/kim", Name: "Mallory"}
	nobody    = Principal{Kind: KindAnonymous}
	events    = Service("events.amazonaws.com")
	someTime  = time.Date(2026, 11, 28, 12, 0, 0, 0, time.UTC)
	docHeader = `{"Version":"2012-10-17","Statement":[`
)

func doc(t testing.TB, use Use, statements ...string) *Document {
	t.Helper()
	d, err := Parse([]byte(docHeader+strings.Join(statements, ",")+"]}"), use)
	if err != nil {
		t.Fatalf("%v in %v", err, statements)
	}
	return d
}

func TestDecisions(t *testing.T) {
	const any = `{"Effect":"Allow","Action":"*","Resource":"*"}`
	invoke := func(resource string) string {
		return `{"Effect":"Allow","Action":"lambda:InvokeFunction","Resource":"` + resource + `"}`
	}
	when := func(condition string) string {
		return `{"Effect":"Allow","Action":"*","Resource":"*","Condition":` + condition + `}`
	}
	for _, c := range []struct {
		what     string
		who      Principal
		action   string
		resource string
		ctx      Context
		identity string
		on       string // resource policy's statement
		limit    string
		want     Reason
	}{
		{"no documents", kim, "lambda:InvokeFunction", fnARN, nil, "", "", "", ByNothing},
		{"an allow", kim, "lambda:InvokeFunction", fnARN, nil, any, "", "", ByIdentity},
		{"the action's case does not matter", kim, "LAMBDA:invokefunction", fnARN, nil, invoke(fnARN), "", "", ByIdentity},
		{"the resource's case does", kim, "lambda:InvokeFunction", strings.ToUpper(fnARN), nil, invoke(fnARN), "", "", ByNothing},
		{"another action", kim, "lambda:GetFunction", fnARN, nil, invoke(fnARN), "", "", ByNothing},
		{"another function", kim, "lambda:InvokeFunction", fnARN + "2", nil, invoke(fnARN), "", "", ByNothing},
		{"a qualifier is another resource", kim, "lambda:InvokeFunction", fnARN + ":prod", nil, invoke(fnARN), "", "", ByNothing},
		{"a wildcard covers it", kim, "lambda:InvokeFunction", fnARN + ":prod", nil, invoke(fnARN + ":*"), "", "", ByIdentity},
		{"a wildcard does not reach over a colon", kim, "lambda:InvokeFunction", "arn:aws:lambda:x:000000000000:function:orders", nil, invoke("arn:aws:*:000000000000:function:orders"), "", "", ByNothing},
		{"a question mark is one character", kim, "lambda:InvokeFunction", fnARN, nil, invoke("arn:aws:lambda:us-east-?:000000000000:function:order?"), "", "", ByIdentity},
		{"a path trick in the resource", kim, "lambda:InvokeFunction", "arn:aws:lambda:us-east-1:000000000000:function:orders/../admin", nil, invoke(fnARN), "", "", ByNothing},
		{"deny wins over allow", kim, "lambda:InvokeFunction", fnARN, nil, any + `,{"Effect":"Deny","Action":"lambda:*","Resource":"*"}`, "", "", ByDeny},
		{"the resource's deny wins", kim, "lambda:InvokeFunction", fnARN, nil, any, `{"Effect":"Deny","Principal":"*","Action":"lambda:*","Resource":"*"}`, "", ByDeny},
		{"the resource's deny binds root", root, "lambda:InvokeFunction", fnARN, nil, "", `{"Effect":"Deny","Principal":"*","Action":"lambda:*","Resource":"*"}`, "", ByDeny},
		{"root may", root, "iam:DeleteRole", "arn:aws:iam::000000000000:role/x", nil, "", "", "", ByRoot},
		{"NotAction covers the rest", kim, "lambda:GetFunction", fnARN, nil, `{"Effect":"Allow","NotAction":"iam:*","Resource":"*"}`, "", "", ByIdentity},
		{"NotAction leaves out", kim, "iam:CreateUser", "*", nil, `{"Effect":"Allow","NotAction":"iam:*","Resource":"*"}`, "", "", ByNothing},
		{"NotResource covers the rest", kim, "lambda:GetFunction", fnARN + "2", nil, `{"Effect":"Allow","Action":"*","NotResource":"` + fnARN + `"}`, "", "", ByIdentity},
		{"NotResource leaves out", kim, "lambda:GetFunction", fnARN, nil, `{"Effect":"Allow","Action":"*","NotResource":"` + fnARN + `"}`, "", "", ByNothing},
		{"NotResource with an unknown variable allows nothing", kim, "lambda:GetFunction", fnARN, nil, `{"Effect":"Allow","Action":"*","NotResource":"arn:aws:lambda:*:*:function:${aws:nothing}"}`, "", "", ByNothing},
		{"NotResource with an unknown variable denies", kim, "lambda:GetFunction", fnARN, nil, any + `,{"Effect":"Deny","Action":"*","NotResource":"arn:aws:lambda:*:*:function:${aws:nothing}"}`, "", "", ByDeny},

		{"the resource lets a user in", kim, "lambda:InvokeFunction", fnARN, nil, "", `{"Effect":"Allow","Principal":{"AWS":"arn:aws:iam::000000000000:user/kim"},"Action":"lambda:InvokeFunction","Resource":"*"}`, "", ByResource},
		{"but not one of the same name elsewhere", stranger, "lambda:InvokeFunction", fnARN, nil, "", `{"Effect":"Allow","Principal":{"AWS":"arn:aws:iam::000000000000:user/kim"},"Action":"lambda:InvokeFunction","Resource":"*"}`, "", ByNothing},
		{"a whole account is not enough", kim, "lambda:InvokeFunction", fnARN, nil, "", `{"Effect":"Allow","Principal":{"AWS":"000000000000"},"Action":"lambda:InvokeFunction","Resource":"*"}`, "", ByNothing},
		{"a role's sessions are the role", worker, "lambda:InvokeFunction", fnARN, nil, "", `{"Effect":"Allow","Principal":{"AWS":"arn:aws:iam::000000000000:role/some/path/app"},"Action":"lambda:InvokeFunction","Resource":"*"}`, "", ByResource},
		{"another role is not", worker, "lambda:InvokeFunction", fnARN, nil, "", `{"Effect":"Allow","Principal":{"AWS":"arn:aws:iam::000000000000:role/app2"},"Action":"lambda:InvokeFunction","Resource":"*"}`, "", ByNothing},
		{"a service", events, "lambda:InvokeFunction", fnARN, Context{"aws:sourcearn": {"arn:aws:events:us-east-1:000000000000:rule/tick"}}, "", `{"Effect":"Allow","Principal":{"Service":"events.amazonaws.com"},"Action":"lambda:InvokeFunction","Resource":"*","Condition":{"ArnLike":{"AWS:SourceArn":"arn:aws:events:us-east-1:000000000000:rule/*"}}}`, "", ByResource},
		{"a confused deputy", events, "lambda:InvokeFunction", fnARN, Context{"aws:sourcearn": {"arn:aws:events:us-east-1:999999999999:rule/tick"}}, "", `{"Effect":"Allow","Principal":{"Service":"events.amazonaws.com"},"Action":"lambda:InvokeFunction","Resource":"*","Condition":{"ArnLike":{"AWS:SourceArn":"arn:aws:events:us-east-1:000000000000:rule/*"}}}`, "", ByNothing},
		{"another service", Service("s3.amazonaws.com"), "lambda:InvokeFunction", fnARN, nil, "", `{"Effect":"Allow","Principal":{"Service":"events.amazonaws.com"},"Action":"lambda:InvokeFunction","Resource":"*"}`, "", ByNothing},
		{"a public URL", nobody, "lambda:InvokeFunctionUrl", fnARN, Context{"lambda:functionurlauthtype": {"NONE"}}, "", `{"Effect":"Allow","Principal":"*","Action":"lambda:InvokeFunctionUrl","Resource":"*","Condition":{"StringEquals":{"lambda:FunctionUrlAuthType":"NONE"}}}`, "", ByResource},
		{"a public URL made private", nobody, "lambda:InvokeFunctionUrl", fnARN, Context{"lambda:functionurlauthtype": {"AWS_IAM"}}, "", `{"Effect":"Allow","Principal":"*","Action":"lambda:InvokeFunctionUrl","Resource":"*","Condition":{"StringEquals":{"lambda:FunctionUrlAuthType":"NONE"}}}`, "", ByNothing},
		{"nobody is in no account", nobody, "lambda:InvokeFunction", fnARN, nil, any, `{"Effect":"Allow","Principal":{"AWS":"000000000000"},"Action":"*","Resource":"*"}`, "", ByNothing},
		{"NotPrincipal denies others", kim, "lambda:InvokeFunction", fnARN, nil, any, `{"Effect":"Deny","NotPrincipal":{"AWS":"arn:aws:iam::000000000000:user/lee"},"Action":"*","Resource":"*"}`, "", ByDeny},
		{"NotPrincipal spares the named", kim, "lambda:InvokeFunction", fnARN, nil, any, `{"Effect":"Deny","NotPrincipal":{"AWS":"arn:aws:iam::000000000000:user/kim"},"Action":"*","Resource":"*"}`, "", ByIdentity},

		{"a limit holds", kim, "lambda:InvokeFunction", fnARN, nil, any, "", `{"Effect":"Allow","Action":"logs:*","Resource":"*"}`, ByLimit},
		{"a limit lets through", kim, "lambda:InvokeFunction", fnARN, nil, any, "", `{"Effect":"Allow","Action":"lambda:*","Resource":"*"}`, ByIdentity},
		{"a limit's deny", kim, "lambda:InvokeFunction", fnARN, nil, any, "", any + `,{"Effect":"Deny","Action":"lambda:*","Resource":"*"}`, ByDeny},

		{"StringEquals", kim, "a:b", "*", Context{"k:x": {"v"}}, when(`{"StringEquals":{"K:X":["u","v"]}}`), "", "", ByIdentity},
		{"StringEquals takes no wildcard", kim, "a:b", "*", Context{"k:x": {"v"}}, when(`{"StringEquals":{"k:x":"*"}}`), "", "", ByNothing},
		{"StringEquals without the key", kim, "a:b", "*", nil, when(`{"StringEquals":{"k:x":"v"}}`), "", "", ByNothing},
		{"StringEqualsIfExists without the key", kim, "a:b", "*", nil, when(`{"StringEqualsIfExists":{"k:x":"v"}}`), "", "", ByIdentity},
		{"StringNotEquals", kim, "a:b", "*", Context{"k:x": {"w"}}, when(`{"StringNotEquals":{"k:x":["u","v"]}}`), "", "", ByIdentity},
		{"StringNotEquals fails on one", kim, "a:b", "*", Context{"k:x": {"v"}}, when(`{"StringNotEquals":{"k:x":["u","v"]}}`), "", "", ByNothing},
		{"StringNotEquals without the key", kim, "a:b", "*", nil, when(`{"StringNotEquals":{"k:x":"v"}}`), "", "", ByIdentity},
		{"StringNotEquals with an unknown variable", kim, "a:b", "*", Context{"k:x": {"v"}}, when(`{"StringNotEquals":{"k:x":"${aws:nothing}"}}`), "", "", ByNothing},
		{"StringLike", kim, "a:b", "*", Context{"k:x": {"abc"}}, when(`{"StringLike":{"k:x":"a*c"}}`), "", "", ByIdentity},
		{"StringEqualsIgnoreCase", kim, "a:b", "*", Context{"k:x": {"ABC"}}, when(`{"StringEqualsIgnoreCase":{"k:x":"abc"}}`), "", "", ByIdentity},
		{"all conditions must hold", kim, "a:b", "*", Context{"k:x": {"v"}, "k:y": {"2"}}, when(`{"StringEquals":{"k:x":"v"},"NumericLessThan":{"k:y":2}}`), "", "", ByNothing},
		{"NumericLessThanEquals", kim, "a:b", "*", Context{"k:y": {"2"}}, when(`{"NumericLessThanEquals":{"k:y":2}}`), "", "", ByIdentity},
		{"a number that is none", kim, "a:b", "*", Context{"k:y": {"two"}}, when(`{"NumericNotEquals":{"k:y":"2"}}`), "", "", ByIdentity},
		{"DateLessThan", kim, "a:b", "*", Context{"aws:currenttime": {"2026-11-28T12:00:00Z"}}, when(`{"DateLessThan":{"aws:CurrentTime":"2026-11-29T00:00:00Z"}}`), "", "", ByIdentity},
		{"DateGreaterThan by epoch", kim, "a:b", "*", Context{"aws:epochtime": {"1000"}}, when(`{"DateGreaterThan":{"aws:EpochTime":2000}}`), "", "", ByNothing},
		{"Bool", kim, "a:b", "*", Context{"aws:securetransport": {"false"}}, when(`{"Bool":{"aws:SecureTransport":false}}`), "", "", ByIdentity},
		{"IpAddress", kim, "a:b", "*", Context{"aws:sourceip": {"10.1.2.3"}}, when(`{"IpAddress":{"aws:SourceIp":"10.1.0.0/16"}}`), "", "", ByIdentity},
		{"IpAddress of a mapped address", kim, "a:b", "*", Context{"aws:sourceip": {"::ffff:10.1.2.3"}}, when(`{"IpAddress":{"aws:SourceIp":"10.1.0.0/16"}}`), "", "", ByIdentity},
		{"NotIpAddress", kim, "a:b", "*", Context{"aws:sourceip": {"10.1.2.3"}}, when(`{"NotIpAddress":{"aws:SourceIp":"10.1.0.0/16"}}`), "", "", ByNothing},
		{"Null true", kim, "a:b", "*", nil, when(`{"Null":{"k:x":"true"}}`), "", "", ByIdentity},
		{"Null false", kim, "a:b", "*", nil, when(`{"Null":{"k:x":"false"}}`), "", "", ByNothing},
		{"ForAllValues", kim, "a:b", "*", Context{"k:x": {"a", "b"}}, when(`{"ForAllValues:StringEquals":{"k:x":["a","b","c"]}}`), "", "", ByIdentity},
		{"ForAllValues fails on one", kim, "a:b", "*", Context{"k:x": {"a", "z"}}, when(`{"ForAllValues:StringEquals":{"k:x":["a","b"]}}`), "", "", ByNothing},
		{"ForAllValues of nothing", kim, "a:b", "*", nil, when(`{"ForAllValues:StringEquals":{"k:x":"a"}}`), "", "", ByIdentity},
		{"ForAnyValue", kim, "a:b", "*", Context{"k:x": {"z", "b"}}, when(`{"ForAnyValue:StringLike":{"k:x":"b*"}}`), "", "", ByIdentity},
		{"ForAnyValue of nothing", kim, "a:b", "*", nil, when(`{"ForAnyValue:StringNotEquals":{"k:x":"a"}}`), "", "", ByNothing},
		{"a variable", kim, "lambda:GetFunction", "arn:aws:lambda:us-east-1:000000000000:function:kim-a", Context{"aws:username": {"kim"}}, `{"Effect":"Allow","Action":"*","Resource":"arn:aws:lambda:*:*:function:${aws:username}-*"}`, "", "", ByIdentity},
		{"a variable's value is no wildcard", kim, "lambda:GetFunction", "arn:aws:lambda:us-east-1:000000000000:function:lee-a", Context{"aws:username": {"*"}}, `{"Effect":"Allow","Action":"*","Resource":"arn:aws:lambda:*:*:function:${aws:username}-*"}`, "", "", ByNothing},
		{"a variable's default", kim, "a:b", "*", Context{"k:x": {"none"}}, when(`{"StringEquals":{"k:x":"${aws:team, 'none'}"}}`), "", "", ByIdentity},
		{"a literal star", kim, "a:b", "*", Context{"k:x": {"a*"}}, when(`{"StringEquals":{"k:x":"a${*}"}}`), "", "", ByIdentity},
	} {
		p := Policies{}
		if c.identity != "" {
			p.Identity = []Named{{"mine", doc(t, Identity, c.identity)}}
		}
		if c.who.Kind == KindAnonymous {
			p.Identity = nil
		}
		if c.on != "" {
			p.Resource = &Named{"its", doc(t, Resource, c.on)}
		}
		if c.limit != "" {
			p.Limits = []Named{{"limit", doc(t, Identity, c.limit)}}
		}
		d := Decide(Request{Principal: c.who, Action: c.action, Resource: c.resource, Context: c.ctx}, p)
		allowed := c.want == ByIdentity || c.want == ByResource || c.want == ByRoot
		if d.Reason != c.want || d.Allowed != allowed {
			t.Errorf("%s: %s (allowed %v), want %s", c.what, d.Reason, d.Allowed, c.want)
		}
		if allowed != (d.MissingJSON() == "") && d.Reason == ByNothing {
			t.Errorf("%s: missing statement %q", c.what, d.MissingJSON())
		}
	}
}

func TestARefusalNamesTheMissingStatementAndTheConditionThatFails(t *testing.T) {
	r := Request{Principal: kim, Action: "lambda:InvokeFunction", Resource: fnARN, Context: Context{"aws:sourceip": {"1.2.3.4"}}}
	d := Decide(r, Policies{})
	if got := d.MissingJSON(); got != `{"Effect":"Allow","Action":"lambda:InvokeFunction","Resource":"`+fnARN+`"}` {
		t.Error(got)
	}
	if w := d.Explain(); w.Key != "policy.why.nothing" || w.Params["who"] != "Kim" {
		t.Errorf("%+v", w)
	}
	near := doc(t, Identity, `{"Sid":"Office","Effect":"Allow","Action":"lambda:*","Resource":"*","Condition":{"IpAddress":{"aws:SourceIp":"10.0.0.0/8"}}}`)
	d = Decide(r, Policies{Identity: []Named{{"office", near}}})
	if w := d.Explain(); w.Key != "policy.why.condition" || w.Params["key"] != "aws:SourceIp" || d.Near.Sid != "Office" {
		t.Errorf("%+v", w)
	}
	// The proposed statement, pasted, allows the request.
	added := doc(t, Identity, d.MissingJSON())
	if !Decide(r, Policies{Identity: []Named{{"office", near}, {"added", added}}}).Allowed {
		t.Error("the proposed statement does not help")
	}
}

func TestRolesOfPeople(t *testing.T) {
	for _, c := range []struct {
		role, action, resource string
		want                   bool
	}{
		{Owner, "iam:CreateUser", "*", true}, {Owner, "kiln:PutSetting", "*", true},
		{Developer, "lambda:UpdateFunctionCode", fnARN, true}, {Developer, "kiln:PutSetting", "*", false}, {Developer, "iam:CreateRole", "*", false}, {Developer, "kiln:ReadEnvironment", fnARN, true},
		{Developer, "iam:PassRole", "arn:aws:iam::000000000000:role/kiln-default", true}, {Developer, "iam:PassRole", "arn:aws:iam::000000000000:role/admin", false},
		{Viewer, "lambda:GetFunction", fnARN, true}, {Viewer, "lambda:InvokeFunction", fnARN, false}, {Viewer, "kiln:ReadEnvironment", fnARN, false}, {Viewer, "kiln:EditOwnPreferences", "*", true},
		{"", "lambda:GetFunction", fnARN, false}, {"Owner", "lambda:GetFunction", fnARN, false},
	} {
		p := kim
		p.Role = c.role
		if got, err := (BuiltIn{}).Allowed(t.Context(), p, c.action, c.resource); got != c.want || err != nil {
			t.Errorf("%q %s: %v, %v", c.role, c.action, got, err)
		}
		p.Kind = KindRole
		if got, _ := (BuiltIn{}).Allowed(t.Context(), p, c.action, c.resource); got {
			t.Errorf("a function's role passes as a person's: %s", c.action)
		}
	}
}

type fakeSource struct {
	role   *Role
	policy string
	reads  int
	err    error
}

func (f *fakeSource) RoleNamed(ctx context.Context, name string) (*Role, error) {
	f.reads++
	if f.role == nil || f.role.ARN[strings.LastIndexByte(f.role.ARN, '/')+1:] != name {
		return nil, lambda.E(lambda.NotFound, "role.missing", "arn", name)
	}
	return f.role, f.err
}

func (f *fakeSource) ResourcePolicy(ctx context.Context, arn string) (string, error) {
	f.reads++
	return f.policy, f.err
}

func TestTheAuthorityReadsDocumentsOnceAndForgets(t *testing.T) {
	f := &fakeSource{role: &Role{ARN: "arn:aws:iam::000000000000:role/app", Policies: map[string]string{"basic": awsPolicies + "service-role/AWSLambdaRole"}}}
	now := someTime
	a := NewAuthority(f, "us-east-1", func() time.Time { return now })
	for range 3 {
		if ok, err := a.Allowed(t.Context(), worker, "lambda:InvokeFunction", fnARN); !ok || err != nil {
			t.Fatal(ok, err)
		}
	}
	if f.reads != 2 {
		t.Errorf("%d reads", f.reads)
	}
	if now = now.Add(cacheTime); f.reads == 2 {
		_, _ = a.Allowed(t.Context(), worker, "lambda:InvokeFunction", fnARN)
	}
	if f.reads != 4 {
		t.Errorf("%d reads after a while", f.reads)
	}
	f.role.Policies = nil
	a.Forget()
	if ok, _ := a.Allowed(t.Context(), worker, "lambda:InvokeFunction", fnARN); ok {
		t.Error("a forgotten document still allows")
	}
	f.err = errors.New("database away")
	a.Forget()
	if ok, err := a.Allowed(t.Context(), worker, "lambda:InvokeFunction", fnARN); ok || err == nil {
		t.Error("allowed although documents cannot be read")
	}
	f.err, f.policy = nil, `{"broken`
	a.Forget()
	if ok, err := a.Allowed(t.Context(), kim, "lambda:InvokeFunction", fnARN); ok || err == nil {
		t.Error("allowed although the resource's document is broken")
	}
}

func TestTrustPolicies(t *testing.T) {
	const trust = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Service":"lambda.amazonaws.com"},"Action":"sts:AssumeRole"}]}`
	for _, c := range []struct {
		who  Principal
		want bool
	}{{Service("lambda.amazonaws.com"), true}, {Service("ec2.amazonaws.com"), false}, {root, false}, {kim, false}, {nobody, false}} {
		if got := MayAssume(trust, c.who, nil).Allowed; got != c.want {
			t.Errorf("%s: %v", c.who.ARN, got)
		}
	}
	const open = `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Principal":{"AWS":"000000000000"},"Action":"sts:AssumeRole"}}`
	if !MayAssume(open, root, nil).Allowed || MayAssume(`{}`, root, nil).Allowed {
		t.Error("root by trust")
	}
}

func TestDescriptionsNameEveryPart(t *testing.T) {
	d := doc(t, Resource, `{"Effect":"Allow","Principal":{"Service":"events.amazonaws.com"},"Action":"lambda:InvokeFunction","Resource":"*","Condition":{"ArnLike":{"AWS:SourceArn":"arn:x"}}}`)
	w := d.Describe()
	if len(w) != 3 || w[0].Key != "policy.words.allowActions" || w[1].Params["who"] != "events.amazonaws.com" || w[2].Params["key"] != "AWS:SourceArn" {
		t.Errorf("%+v", w)
	}
	for _, m := range ManagedPolicies() {
		if len(m.Doc.Describe()) == 0 {
			t.Errorf("%s says nothing", m.Name)
		}
	}
}

func BenchmarkDecide(b *testing.B) {
	p := Policies{Identity: []Named{{"owner", MustParse(allow(`"lambda:Get*","lambda:List*","lambda:InvokeFunction"`), Identity)}}}
	r := Request{Principal: kim, Action: "lambda:InvokeFunction", Resource: fnARN, Context: BaseContext(kim, someTime, "us-east-1", true)}
	b.ReportAllocs()
	for b.Loop() {
		if !Decide(r, p).Allowed {
			b.Fatal("denied")
		}
	}
}

func BenchmarkAuthority(b *testing.B) {
	f := &fakeSource{role: &Role{ARN: "arn:aws:iam::000000000000:role/app", Policies: map[string]string{"basic": awsPolicies + "service-role/AWSLambdaRole"}}}
	a := NewAuthority(f, "us-east-1", time.Now)
	b.ReportAllocs()
	for b.Loop() {
		if ok, _ := a.Allowed(b.Context(), worker, "lambda:InvokeFunction", fnARN); !ok {
			b.Fatal("denied")
		}
	}
}

func TestASessionHasTheRightsOfItsRoleWhateverPathAndSession(t *testing.T) {
	f := &fakeSource{role: &Role{ARN: "arn:aws:iam::000000000000:role/service-role/app", Policies: map[string]string{"basic": awsPolicies + "service-role/AWSLambdaRole"}}}
	a := NewAuthority(f, "us-east-1", time.Now)
	for session, want := range map[string]bool{"app/orders": true, "app/2026/11/28/[$LATEST]de9c": true, "other/app": false, "other/x/app": false} {
		p := Principal{Kind: KindRole, ARN: "arn:aws:sts::000000000000:assumed-role/" + session}
		if ok, err := a.Allowed(t.Context(), p, "lambda:InvokeFunction", fnARN); ok != want || err != nil {
			t.Errorf("%s: %v, %v", session, ok, err)
		}
	}
}
