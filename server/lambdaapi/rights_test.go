package lambdaapi_test

import (
	"io"
	"net"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"

	"kiln/iam"
	"kiln/server/lambdaapi"
	"kiln/server/sigv4"
)

func TestEveryOperationHasItsRow(t *testing.T) {
	seen := map[string]bool{}
	for _, r := range lambdaapi.Rows() {
		if seen[r.Target] {
			t.Errorf("%s has two rows", r.Target)
		}
		seen[r.Target] = true
		if !r.Open && (!strings.Contains(r.Action, ":") || r.Resource == nil) {
			t.Errorf("%s is open to everybody", r.Target)
		}
	}
	if len(seen) < 70 {
		t.Errorf("only %d operations", len(seen))
	}
}

// key issues a key for somebody.
func (w *world) key(p iam.Principal) aws.Credentials {
	k := w.keys.Issue("", p, time.Now().Add(time.Hour))
	return aws.Credentials{AccessKeyID: k.ID, SecretAccessKey: k.Secret, SessionToken: k.Token}
}

func person(role string) iam.Principal {
	return iam.Principal{Kind: iam.KindUser, ARN: "arn:aws:iam::000000000000:user/" + role, Name: role, UserID: 7, Role: role}
}

func TestWhoMayDoWhat(t *testing.T) {
	w := newWorld(t)
	w.create("f", `"Environment":{"Variables":{"TOKEN":"hunter2"}}`)
	if err := w.store.PutRole(t.Context(), iam.System, iam.Role{ARN: "arn:aws:iam::000000000000:role/admin", Name: "admin", Policies: map[string]string{"all": "arn:aws:iam::aws:policy/AdministratorAccess"},
		Trust: `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Service":"lambda.amazonaws.com"},"Action":"sts:AssumeRole"}]}`}); err != nil {
		t.Fatal(err)
	}
	session := func(role string) iam.Principal {
		return iam.Principal{Kind: iam.KindRole, ARN: "arn:aws:sts::000000000000:assumed-role/" + role + "/w", Name: role}
	}
	viewer, developer, worker, admin := w.key(person(iam.Viewer)), w.key(person(iam.Developer)), w.key(session("kiln-default")), w.key(session("admin"))
	for _, c := range []struct {
		what         string
		who          aws.Credentials
		method, path string
		body         string
		want         int
	}{
		{"a viewer looks", viewer, "GET", fns + "f", "", 200},
		{"a viewer changes nothing", viewer, "PUT", fns + "f/configuration", `{"Timeout":5}`, 403},
		{"a viewer runs nothing", viewer, "POST", fns + "f/invocations", `{}`, 403},
		{"a viewer creates nothing", viewer, "POST", "/2015-03-31/functions", w.createBody("v", ""), 403},
		{"a developer creates", developer, "POST", "/2015-03-31/functions", w.createBody("d", ""), 201},
		{"a developer does not pass a strong role", developer, "POST", "/2015-03-31/functions", strings.Replace(w.createBody("d2", ""), "kiln-default", "admin", 1), 403},
		{"nor afterwards", developer, "PUT", fns + "d/configuration", `{"Role":"arn:aws:iam::000000000000:role/admin"}`, 403},
		{"the default role invokes nothing", worker, "POST", fns + "f/invocations", `{}`, 403},
		{"a strong role invokes", admin, "POST", fns + "f/invocations", `{}`, 200},
		{"and reads", admin, "GET", "/2015-03-31/functions", "", 200},
	} {
		if a := w.as(c.who, "lambda", c.method, c.path, c.body); a.status != c.want {
			t.Errorf("%s: %d %s", c.what, a.status, a.body)
		}
	}
	w.good(201, "POST", fns+"f/policy", `{"StatementId":"s","Action":"lambda:InvokeFunction","Principal":"arn:aws:iam::000000000000:role/kiln-default"}`)
	if a := w.as(worker, "lambda", "POST", fns+"f/invocations", `{}`); a.status != 200 {
		t.Errorf("the resource policy does not let the role in: %d %s", a.status, a.body)
	}
	if a := w.as(worker, "lambda", "POST", fns+"d/invocations", `{}`); a.status != 403 {
		t.Errorf("the policy of one function lets into another: %d", a.status)
	}
	w.good(204, "DELETE", fns+"f/policy/s", "")
	a := w.as(worker, "lambda", "POST", fns+"f/invocations", `{}`)
	if a.status != 403 || a.header.Get("X-Amzn-Errortype") != "AccessDeniedException" || !strings.Contains(a.body, `{"Message":"User: arn:aws:sts::000000000000:assumed-role/kiln-default/w is not authorized to perform: lambda:InvokeFunction on resource: `+arn+`f because no identity-based policy allows the lambda:InvokeFunction action"}`) {
		t.Errorf("%d %s", a.status, a.body)
	}
	if a := w.as(viewer, "lambda", "GET", fns+"f", ""); strings.Contains(a.body, "hunter2") || !strings.Contains(a.body, "AccessDeniedException") {
		t.Errorf("a viewer reads the environment: %s", a.body)
	}
	if a := w.as(developer, "lambda", "GET", fns+"f/configuration", ""); !strings.Contains(a.body, "hunter2") {
		t.Errorf("a developer does not read the environment: %s", a.body)
	}
	audit, err := w.store.Audit(t.Context(), 0, 50)
	if err != nil {
		t.Fatal(err)
	}
	refused := 0
	for _, e := range audit {
		if e.Denied {
			refused++
		}
	}
	if refused < 8 {
		t.Errorf("only %d refusals are in the audit", refused)
	}
}

func TestAWorkersListenerTakesOnlyItsOwnKey(t *testing.T) {
	w := newWorld(t)
	p := iam.Principal{Kind: iam.KindRole, ARN: "arn:aws:sts::000000000000:assumed-role/kiln-default/w", Name: "kiln-default"}
	mine, other := w.keys.Issue("w1", p, time.Now().Add(time.Hour)), w.keys.Issue("w2", p, time.Now().Add(time.Hour))
	s := httptest.NewServer(w.api.ForWorker("w1"))
	defer s.Close()
	own := aws.Credentials{AccessKeyID: mine.ID, SecretAccessKey: mine.Secret, SessionToken: mine.Token}
	if a := w.as(own, "sts", "POST", "/", "Action=GetCallerIdentity&Version=2011-06-15", "Content-Type", "application/x-www-form-urlencoded"); a.status != 403 {
		t.Errorf("a worker's key is taken outside its worker: %d %s", a.status, a.body)
	}
	w.url = s.URL
	for _, c := range []struct {
		what string
		cred aws.Credentials
		want int
	}{
		{"its own", own, 200},
		{"another worker's", aws.Credentials{AccessKeyID: other.ID, SecretAccessKey: other.Secret, SessionToken: other.Token}, 403},
		{"the root key", aws.Credentials{AccessKeyID: keyID, SecretAccessKey: secret}, 403},
	} {
		if a := w.as(c.cred, "sts", "POST", "/", "Action=GetCallerIdentity&Version=2011-06-15", "Content-Type", "application/x-www-form-urlencoded"); a.status != c.want {
			t.Errorf("%s: %d %s", c.what, a.status, a.body)
		}
	}
}

func TestSignaturesForOtherServicesAndRegionsAreRefused(t *testing.T) {
	w := newWorld(t)
	root := aws.Credentials{AccessKeyID: keyID, SecretAccessKey: secret}
	for _, service := range []string{"s3", "iam", "execute-api"} {
		if a := w.as(root, service, "GET", "/2015-03-31/functions", ""); a.status != 403 || !strings.Contains(a.body, "correct service: 'lambda'") {
			t.Errorf("%s: %d %s", service, a.status, a.body)
		}
	}
	id := sigv4.Identity{Service: "lambda", Region: "eu-west-1"}
	if err := id.In("lambda", "us-east-1"); err == nil {
		t.Error("another region's signature is taken")
	}
}

func TestAWorkerThatStallsDoesNotHoldDeploymentsUp(t *testing.T) {
	w := newWorld(t)
	key := w.keys.Issue("w1", iam.Principal{Kind: iam.KindRole, ARN: "arn:aws:sts::000000000000:assumed-role/kiln-default/w"}, time.Now().Add(time.Hour))
	s := httptest.NewServer(w.api.ForWorker("w1"))
	defer s.CloseClientConnections()
	now := time.Now().UTC().Format("20060102T150405Z")
	for range 5 {
		c, err := net.Dial("tcp", s.Listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		_, err = io.WriteString(c, "POST "+fns+"f/invocations HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nTransfer-Encoding: chunked\r\nX-Amz-Date: "+now+"\r\nX-Amz-Security-Token: "+key.Token+
			"\r\nAuthorization: AWS4-HMAC-SHA256 Credential="+key.ID+"/"+now[:8]+"/us-east-1/lambda/aws4_request, SignedHeaders=host;x-amz-date;x-amz-security-token, Signature="+strings.Repeat("0", 64)+"\r\n\r\n")
		if err != nil {
			t.Fatal(err)
		}
		_ = c.SetReadDeadline(time.Now().Add(300 * time.Millisecond)) // those that find no room are never asked to go on
		_, _ = c.Read(make([]byte, 25))
	}
	if a := w.do("POST", fns+"f/invocations", `"`+strings.Repeat("x", 2<<20)+`"`); a.status != 404 {
		t.Errorf("%d %.200s", a.status, a.body)
	}
}
