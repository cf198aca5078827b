package store_test

import (
	"encoding/json"
	"strings"
	"sync"
	"testing"
	"time"

	"kiln/iam"
	"kiln/lambda"
	"kiln/store"
	"kiln/store/storetest"
)

func publish(t testing.TB, s *store.Store, name string) *lambda.Version {
	t.Helper()
	v, err := s.PublishVersion(ctx, kim, name, lambda.Publication{})
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func update(t testing.TB, s *store.Store, name string, u lambda.FunctionUpdate) *lambda.Function {
	t.Helper()
	f, err := s.UpdateFunction(ctx, kim, name, 0, u)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func TestVersionsAreImmutableAndNeverReused(t *testing.T) {
	s := storetest.New(t)
	f := create(t, s, "orders")
	if v := publish(t, s, "orders"); v.Number != 1 || v.Config.Env["GREETING"] != "planted-marker-5c1" {
		t.Fatalf("%+v", v)
	}
	if v := publish(t, s, "orders"); v.Number != 1 {
		t.Errorf("unchanged code made version %d", v.Number)
	}
	update(t, s, "orders", lambda.FunctionUpdate{MemoryMB: ptr(512)})
	if v := publish(t, s, "orders"); v.Number != 2 || v.Config.MemoryMB != 512 {
		t.Errorf("%+v", v)
	}
	if v, err := s.Version(ctx, "orders", 1); err != nil || v.Config.MemoryMB != 128 {
		t.Errorf("version 1 changed: %+v, %v", v, err)
	}
	_, err := s.PublishVersion(ctx, kim, "orders", lambda.Publication{CodeSHA256: "00"})
	wantKey(t, err, lambda.Invalid, "version.code")
	_, err = s.PublishVersion(ctx, kim, "orders", lambda.Publication{RevisionID: f.RevisionID})
	wantKey(t, err, lambda.Precondition, "revision.id")
	if err := s.DeleteVersion(ctx, kim, "orders", 2); err != nil {
		t.Fatal(err)
	}
	if err := s.DeleteVersion(ctx, kim, "orders", 2); err != nil {
		t.Errorf("deleting twice: %v", err)
	}
	if v := publish(t, s, "orders"); v.Number != 3 {
		t.Errorf("number %d after a deleted 2", v.Number)
	}
	if all, err := s.Versions(ctx, "orders", 1, 10); err != nil || len(all) != 1 || all[0].Number != 3 {
		t.Errorf("%+v, %v", all, err)
	}
}

func TestQualifiersResolve(t *testing.T) {
	s := storetest.New(t)
	create(t, s, "orders")
	publish(t, s, "orders")
	update(t, s, "orders", lambda.FunctionUpdate{MemoryMB: ptr(512)})
	publish(t, s, "orders")
	if _, err := s.CreateAlias(ctx, kim, lambda.Alias{Function: "orders", Name: "prod", Version: "1", Weights: map[string]float64{"2": 0.25}}); err != nil {
		t.Fatal(err)
	}
	if _, err := s.PutAsyncConfig(ctx, kim, lambda.EventInvokeConfig{Function: "orders", Qualifier: "prod", MaxRetries: ptr(0)}); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		qualifier, version, alias, second string
		memory                            int
	}{{"", "$LATEST", "", "", 512}, {"$LATEST", "$LATEST", "", "", 512}, {"1", "1", "", "", 128}, {"prod", "1", "prod", "2", 128}} {
		target, err := s.Target(ctx, "orders", c.qualifier)
		if err != nil {
			t.Fatal(err)
		}
		r := target.Runnable
		if r.Version != c.version || target.Alias != c.alias || r.MemoryMB != c.memory || r.Env["GREETING"] == "" || (c.second != "") != (target.Second != nil) {
			t.Errorf("%q: %+v", c.qualifier, target)
		}
		byDigest, err := s.Runnable(ctx, r.Digest)
		if err != nil || byDigest.Version != c.version || byDigest.Code != r.Code || byDigest.ARN != "arn:aws:lambda:us-east-1:000000000000:function:orders" {
			t.Errorf("%q by digest: %+v, %v", c.qualifier, byDigest, err)
		}
		reach, err := s.Reachable(ctx, "orders")
		if err != nil || !reach[r.Digest] {
			t.Errorf("%q is not reachable: %v, %v", c.qualifier, reach, err)
		}
	}
	if target, _ := s.Target(ctx, "orders", "prod"); target.Share != 0.25 || target.Second.Version != "2" || *target.Async.MaxRetries != 0 {
		t.Errorf("%+v", target)
	}
	for qualifier, key := range map[string]string{"9": "version.missing", "none": "alias.missing"} {
		_, err := s.Target(ctx, "orders", qualifier)
		wantKey(t, err, lambda.NotFound, key)
	}
	_, err := s.Target(ctx, "nothing", "")
	wantKey(t, err, lambda.NotFound, "function.missing")
	_, err = s.Runnable(ctx, "00")
	wantKey(t, err, lambda.NotFound, "digest.missing")
}

func TestDigestsFollowWhatWorkersSee(t *testing.T) {
	s := storetest.New(t)
	create(t, s, "orders")
	digest := func() lambda.Digest {
		target, err := s.Target(ctx, "orders", "")
		if err != nil {
			t.Fatal(err)
		}
		return target.Runnable.Digest
	}
	first := digest()
	update(t, s, "orders", lambda.FunctionUpdate{Description: ptr("other words")})
	if digest() != first {
		t.Error("a description changed the digest")
	}
	update(t, s, "orders", lambda.FunctionUpdate{Env: &lambda.Environment{"GREETING": "b"}})
	if digest() == first {
		t.Error("an environment value did not change the digest")
	}
	if _, err := s.RollBack(ctx, kim, "orders", 0, 1); err != nil {
		t.Fatal(err)
	}
	if digest() != first {
		t.Error("the same state has another digest")
	}
	owner, err := s.FirstOwner(ctx)
	if err != nil {
		t.Fatal(err)
	}
	by := iam.Principal{Kind: iam.KindUser, UserID: owner.ID, Name: owner.Name}
	pinned, err := s.PinDraft(ctx, by, "orders", put(t, s, "draft code"))
	if err != nil {
		t.Fatal(err)
	}
	r, err := s.Runnable(ctx, pinned)
	if err != nil || r.Version != lambda.Draft || r.Env["GREETING"] != "planted-marker-5c1" || pinned == first {
		t.Errorf("%+v, %v", r, err)
	}
	again, err := s.PinDraft(ctx, by, "orders", put(t, s, "newer draft code"))
	if err != nil {
		t.Fatal(err)
	}
	if reach, err := s.Reachable(ctx, "orders"); err != nil || reach[pinned] || !reach[again] || !reach[first] {
		t.Errorf("%v, %v", reach, err)
	}
}

func TestAliasesMoveUnderTheirRevision(t *testing.T) {
	s := storetest.New(t)
	create(t, s, "orders")
	publish(t, s, "orders")
	a, err := s.CreateAlias(ctx, kim, lambda.Alias{Function: "orders", Name: "prod", Version: "1"})
	if err != nil {
		t.Fatal(err)
	}
	_, err = s.CreateAlias(ctx, kim, *a)
	wantKey(t, err, lambda.Conflict, "alias.exists")
	_, err = s.CreateAlias(ctx, kim, lambda.Alias{Function: "orders", Name: "dev", Version: "7"})
	wantKey(t, err, lambda.NotFound, "version.missing")
	b, err := s.UpdateAlias(ctx, kim, "orders", "prod", lambda.AliasUpdate{Version: ptr(lambda.Latest), RevisionID: a.RevisionID})
	if err != nil || b.Version != lambda.Latest || b.RevisionID == a.RevisionID {
		t.Fatalf("%+v, %v", b, err)
	}
	_, err = s.UpdateAlias(ctx, kim, "orders", "prod", lambda.AliasUpdate{Version: ptr("1"), RevisionID: a.RevisionID})
	wantKey(t, err, lambda.Precondition, "revision.id")
	if _, err := s.UpdateAlias(ctx, kim, "orders", "prod", lambda.AliasUpdate{Version: ptr("1")}); err != nil {
		t.Fatal(err)
	}
	wantKey(t, s.DeleteVersion(ctx, kim, "orders", 1), lambda.Conflict, "version.used")
	if all, err := s.Aliases(ctx, "orders", "1", "", 10); err != nil || len(all) != 1 {
		t.Error(all, err)
	}
	if all, err := s.Aliases(ctx, "orders", "2", "", 10); err != nil || len(all) != 0 {
		t.Error(all, err)
	}
	for range 2 {
		if err := s.DeleteAlias(ctx, kim, "orders", "prod"); err != nil {
			t.Fatal(err)
		}
	}
	_, err = s.Alias(ctx, "orders", "prod")
	wantKey(t, err, lambda.NotFound, "alias.missing")
}

func TestLayersBelongToFunctionsForAsLongAsTheyUseThem(t *testing.T) {
	s := storetest.New(t)
	create(t, s, "orders")
	code := put(t, s, "a layer")
	l, err := s.PublishLayer(ctx, kim, lambda.LayerVersion{Layer: "tools", Runtimes: []string{"nodejs22.x"}, Code: code})
	if err != nil || l.Number != 1 {
		t.Fatal(l, err)
	}
	arn := s.ARNs().LayerVersion("tools", "1")
	update(t, s, "orders", lambda.FunctionUpdate{Layers: &[]string{arn}})
	for _, c := range []struct {
		arns []string
		key  string
	}{
		{[]string{s.ARNs().LayerVersion("tools", "2")}, "layer.missing"},
		{[]string{arn, arn}, "layer.twice"},
		{[]string{strings.Replace(arn, "us-east-1", "eu-west-1", 1)}, "layer.region"},
		{[]string{strings.Replace(arn, "000000000000", "111111111111", 1)}, "layer.missing"},
	} {
		_, err := s.UpdateFunction(ctx, kim, "orders", 0, lambda.FunctionUpdate{Layers: &c.arns})
		wantKey(t, err, lambda.Invalid, c.key)
	}
	if err := s.DeleteLayerVersion(ctx, kim, "tools", 1); err != nil {
		t.Fatal(err)
	}
	update(t, s, "orders", lambda.FunctionUpdate{MemoryMB: ptr(512)})
	target, err := s.Target(ctx, "orders", "")
	if err != nil || len(target.Runnable.LayerCode) != 1 || target.Runnable.LayerCode[0] != code {
		t.Errorf("%+v, %v", target, err)
	}
	if err := s.Retain(ctx, time.Now().AddDate(0, 0, 3)); err != nil {
		t.Fatal(err)
	}
	if r, err := s.OpenCode(ctx, code.SHA256); err != nil {
		t.Errorf("the layer's package was swept: %v", err)
	} else {
		_ = r.Close()
	}
	second, err := s.PublishLayer(ctx, kim, lambda.LayerVersion{Layer: "tools", Code: code})
	if err != nil || second.Number != 2 {
		t.Errorf("number %v after a deleted 1, %v", second, err)
	}
	for f, want := range map[store.LayerFilter]int{{}: 1, {Runtime: "nodejs22.x"}: 0, {After: "tools"}: 0, {Architecture: "arm64"}: 1} {
		if all, err := s.Layers(ctx, f); err != nil || len(all) != want {
			t.Errorf("%+v: %+v, %v", f, all, err)
		}
	}
	if all, err := s.LayerVersions(ctx, "tools", store.LayerFilter{}); err != nil || len(all) != 1 {
		t.Error(all, err)
	}
	_, err = s.LayerVersion(ctx, "tools", 1)
	wantKey(t, err, lambda.NotFound, "layer.missing")
}

func TestUnusedCodeIsSweptAndUsedCodeStays(t *testing.T) {
	s := storetest.New(t)
	f := create(t, s, "orders")
	unused := put(t, s, "unused")
	if err := s.Retain(ctx, time.Now()); err != nil {
		t.Fatal(err)
	}
	if _, err := s.OpenCode(ctx, unused.SHA256); err != nil {
		t.Errorf("a fresh package was swept: %v", err)
	}
	if err := s.Retain(ctx, time.Now().AddDate(0, 0, 2)); err != nil {
		t.Fatal(err)
	}
	_, err := s.OpenCode(ctx, unused.SHA256)
	wantKey(t, err, lambda.NotFound, "code.missing")
	if _, err := s.OpenCode(ctx, f.Code.SHA256); err != nil {
		t.Error(err)
	}
}

func TestPoliciesHoldStatementsInOrder(t *testing.T) {
	s := storetest.New(t)
	create(t, s, "orders")
	publish(t, s, "orders")
	on := lambda.PolicySubject{Function: "orders"}
	_, err := s.Policy(ctx, on)
	wantKey(t, err, lambda.NotFound, "policy.missing")
	statement := func(sid string) lambda.PolicyStatement {
		return lambda.PolicyStatement{SID: sid, Document: json.RawMessage(`{"Sid":"` + sid + `","Effect":"Allow","Action":"lambda:InvokeFunction"}`)}
	}
	var wg sync.WaitGroup
	for _, sid := range []string{"a", "b", "c"} {
		wg.Go(func() {
			if _, err := s.AddStatement(ctx, kim, on, statement(sid), ""); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	p, err := s.Policy(ctx, on)
	if err != nil || len(p.Statements) != 3 || !json.Valid([]byte(p.Document())) || !strings.Contains(p.Document(), `{"Sid":"a","Effect":"Allow"`) {
		t.Fatalf("%+v, %v", p, err)
	}
	_, err = s.AddStatement(ctx, kim, on, statement("a"), "")
	wantKey(t, err, lambda.Conflict, "statement.exists")
	_, err = s.AddStatement(ctx, kim, on, statement("d"), "00")
	wantKey(t, err, lambda.Precondition, "policy.revision")
	_, err = s.AddStatement(ctx, kim, on, statement("bad sid"), "")
	wantKey(t, err, lambda.Invalid, "input.invalid")
	wantKey(t, s.RemoveStatement(ctx, kim, on, "x", ""), lambda.NotFound, "statement.missing")
	_, err = s.AddStatement(ctx, kim, lambda.PolicySubject{Function: "orders", Qualifier: "9"}, statement("a"), "")
	wantKey(t, err, lambda.NotFound, "version.missing")
	if doc, err := s.ResourcePolicy(ctx, s.ARNs().Function("orders", "")); err != nil || doc != p.Document() {
		t.Error(doc, err)
	}
	for _, arn := range []string{s.ARNs().Function("orders", "1"), s.ARNs().Function("none", ""), "arn:aws:s3:::b", "x"} {
		if doc, err := s.ResourcePolicy(ctx, arn); err != nil || doc != "" {
			t.Error(arn, doc, err)
		}
	}
	for _, sid := range []string{"a", "b", "c"} {
		if err := s.RemoveStatement(ctx, kim, on, sid, ""); err != nil {
			t.Fatal(err)
		}
	}
	_, err = s.Policy(ctx, on)
	wantKey(t, err, lambda.NotFound, "policy.missing")

	if _, err := s.PublishLayer(ctx, kim, lambda.LayerVersion{Layer: "tools", Code: put(t, s, "l")}); err != nil {
		t.Fatal(err)
	}
	layer := lambda.PolicySubject{Layer: "tools", Qualifier: "1"}
	for _, sid := range []string{"a", "b"} {
		if _, err := s.AddStatement(ctx, kim, layer, statement(sid), ""); err != nil {
			t.Fatal(err)
		}
	}
	if doc, err := s.ResourcePolicy(ctx, s.ARNs().LayerVersion("tools", "1")); err != nil || strings.Count(doc, "Sid") != 2 {
		t.Error(doc, err)
	}
	_, err = s.Policy(ctx, lambda.PolicySubject{Layer: "tools", Qualifier: "x"})
	wantKey(t, err, lambda.NotFound, "layer.missing")
}

func TestAsyncConfigurationsCheckDestinations(t *testing.T) {
	s := storetest.New(t)
	create(t, s, "orders")
	create(t, s, "sink")
	arns := s.ARNs()
	for _, c := range []struct {
		to, key string
		kind    lambda.Kind
	}{
		{arns.Function("sink", ""), "", 0}, {"arn:aws:sqs:us-east-1:000000000000:q", "", 0}, {arns.Function("orders", ""), "async.self", lambda.Invalid},
		{arns.Function("none", ""), "async.destination", lambda.Invalid}, {arns.Function("sink", "7"), "async.destination", lambda.Invalid}, {"x", "input.invalid", lambda.Invalid},
	} {
		_, err := s.PutAsyncConfig(ctx, kim, lambda.EventInvokeConfig{Function: "orders", Qualifier: lambda.Latest, OnFailure: c.to})
		wantKey(t, err, c.kind, c.key)
	}
	u, err := s.UpdateAsyncConfig(ctx, kim, "orders", lambda.Latest, lambda.AsyncUpdate{MaxAgeSec: ptr(60)})
	if err != nil || *u.MaxAgeSec != 60 || u.OnFailure == "" || u.MaxRetries != nil {
		t.Errorf("%+v, %v", u, err)
	}
	_, err = s.UpdateAsyncConfig(ctx, kim, "sink", lambda.Latest, lambda.AsyncUpdate{})
	wantKey(t, err, lambda.NotFound, "async.missing")
	if all, err := s.AsyncConfigs(ctx, "orders", "", 10); err != nil || len(all) != 1 {
		t.Error(all, err)
	}
	if err := s.DeleteAsyncConfig(ctx, kim, "orders", lambda.Latest); err != nil {
		t.Fatal(err)
	}
	wantKey(t, s.DeleteAsyncConfig(ctx, kim, "orders", lambda.Latest), lambda.NotFound, "async.missing")
}

func TestFunctionURLs(t *testing.T) {
	s := storetest.New(t)
	create(t, s, "orders")
	u, err := s.CreateURL(ctx, kim, lambda.URLConfig{Function: "orders", AuthType: "NONE", CORS: &lambda.CORS{AllowOrigins: []string{"*"}}})
	if err != nil || len(u.ID) != 32 || u.InvokeMode != "BUFFERED" {
		t.Fatal(u, err)
	}
	_, err = s.CreateURL(ctx, kim, lambda.URLConfig{Function: "orders", AuthType: "NONE"})
	wantKey(t, err, lambda.Conflict, "url.exists")
	_, err = s.CreateURL(ctx, kim, lambda.URLConfig{Function: "orders", AuthType: "NONE", Qualifier: "prod"})
	wantKey(t, err, lambda.NotFound, "alias.missing")
	if got, err := s.URLByID(ctx, u.ID); err != nil || got.Function != "orders" || got.CORS.AllowOrigins[0] != "*" {
		t.Error(got, err)
	}
	var none *lambda.CORS
	if got, err := s.UpdateURL(ctx, kim, "orders", "", lambda.URLUpdate{AuthType: ptr("AWS_IAM"), CORS: &none}); err != nil || got.AuthType != "AWS_IAM" || got.CORS != nil {
		t.Error(got, err)
	}
	if got, err := s.URL(ctx, "orders", ""); err != nil || got.CORS != nil || got.ID != u.ID {
		t.Error(got, err)
	}
	if all, err := s.URLs(ctx, "orders", "", 0); err != nil || len(all) != 1 {
		t.Error(all, err)
	}
	if err := s.DeleteURL(ctx, kim, "orders", ""); err != nil {
		t.Fatal(err)
	}
	_, err = s.URLByID(ctx, u.ID)
	wantKey(t, err, lambda.NotFound, "url.missing")
}

func TestDocumentsTagsAndAccount(t *testing.T) {
	s := storetest.New(t)
	create(t, s, "orders")
	d := lambda.Document{Kind: lambda.DocRecursion, ID: "orders", Function: "orders", Body: json.RawMessage(`{"RecursiveLoop":"Allow"}`)}
	for range 2 {
		if err := s.PutDocument(ctx, kim, "lambda:PutFunctionRecursionConfig", d); err != nil {
			t.Fatal(err)
		}
	}
	if got, err := s.Document(ctx, d.Kind, "orders"); err != nil || got.Function != "orders" || !strings.Contains(string(got.Body), "Allow") {
		t.Error(got, err)
	}
	if all, err := s.Documents(ctx, d.Kind, "orders", "", 10); err != nil || len(all) != 1 {
		t.Error(all, err)
	}
	if err := s.ChangeTags(ctx, kim, "orders", map[string]string{"a": "1", "b": "2"}, nil); err != nil {
		t.Fatal(err)
	}
	if err := s.ChangeTags(ctx, kim, "orders", nil, []string{"a", "x"}); err != nil {
		t.Fatal(err)
	}
	if f, err := s.Function(ctx, "orders"); err != nil || len(f.Tags) != 1 || f.Tags["b"] != "2" {
		t.Error(f.Tags, err)
	}
	wantKey(t, s.ChangeTags(ctx, kim, "orders", map[string]string{"aws:x": "1"}, nil), lambda.Invalid, "input.invalid")
	if n, bytes, err := s.AccountUsage(ctx); n != 1 || bytes != int64(len("code of orders")) || err != nil {
		t.Error(n, bytes, err)
	}
	if err := s.SetLogRetention(ctx, kim, "orders", ptr(3)); err != nil {
		t.Fatal(err)
	}
	if days, err := s.LogRetention(ctx, "orders"); err != nil || *days != 3 {
		t.Error(days, err)
	}
	if err := s.DeleteFunction(ctx, kim, "orders"); err != nil {
		t.Fatal(err)
	}
	_, err := s.Document(ctx, d.Kind, "orders")
	wantKey(t, err, lambda.NotFound, "document.missing")
}
