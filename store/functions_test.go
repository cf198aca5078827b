package store_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"strings"
	"sync"
	"testing"
	"time"

	"kiln/iam"
	"kiln/lambda"
	"kiln/store"
	"kiln/store/storetest"
)

var (
	ctx = context.Background()
	kim = iam.Principal{Kind: iam.KindUser, ARN: "arn:aws:iam::000000000000:user/1", Name: "Kim Minseo", UserID: 1, From: "127.0.0.1"}
)

const role = "arn:aws:iam::000000000000:role/kiln-default"

// put keeps a package that no other text gives.
func put(t testing.TB, s *store.Store, text string) lambda.Code {
	t.Helper()
	c, err := s.PutCode(ctx, strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func sample(name string, code lambda.Code) lambda.NewFunction {
	return lambda.NewFunction{Name: name, Code: code, Config: lambda.Config{Runtime: "nodejs22.x", Handler: "index.handler", Role: role,
		Env: lambda.Environment{"GREETING": "planted-marker-5c1"}}}
}

// create makes a function.
func create(t testing.TB, s *store.Store, name string) *lambda.Function {
	t.Helper()
	f, err := s.CreateFunction(ctx, kim, sample(name, put(t, s, "code of "+name)))
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// wantKey checks kind and key of an error.
func wantKey(t testing.TB, err error, kind lambda.Kind, key string) {
	t.Helper()
	if lambda.KindOf(err) != kind || lambda.KeyOf(err) != key {
		t.Errorf("got %v, want %v %s", err, kind, key)
	}
}

func ptr[T any](v T) *T { return &v }

func TestFunctionLivesFromCreateToDelete(t *testing.T) {
	s := storetest.New(t)
	f := create(t, s, "orders")
	if f.Revision != 1 || f.MemoryMB != 128 || f.Env["GREETING"] != "planted-marker-5c1" || f.UpdatedBy != "Kim Minseo" || f.RevisionID == "" {
		t.Errorf("created: %+v", f)
	}
	_, err := s.CreateFunction(ctx, kim, sample("orders", f.Code))
	wantKey(t, err, lambda.Conflict, "function.exists")
	_, err = s.CreateFunction(ctx, kim, sample("other", lambda.Code{SHA256: "00"}))
	wantKey(t, err, lambda.NotFound, "code.missing")
	_, err = s.CreateFunction(ctx, kim, sample("bad name", f.Code))
	wantKey(t, err, lambda.Invalid, "input.invalid")

	g, err := s.UpdateFunction(ctx, kim, "orders", 1, lambda.FunctionUpdate{MemoryMB: ptr(256), Env: &lambda.Environment{"GREETING": "other-marker", "NEW": "x"}})
	if err != nil || g.Revision != 2 || g.MemoryMB != 256 || g.RevisionID == f.RevisionID {
		t.Fatalf("updated: %+v, %v", g, err)
	}
	_, err = s.UpdateFunction(ctx, kim, "orders", 1, lambda.FunctionUpdate{MemoryMB: ptr(512)})
	wantKey(t, err, lambda.Conflict, "function.changed")
	_, err = s.UpdateFunction(ctx, kim, "orders", 0, lambda.FunctionUpdate{MemoryMB: ptr(512), RevisionID: f.RevisionID})
	wantKey(t, err, lambda.Precondition, "revision.id")
	_, err = s.UpdateFunction(ctx, kim, "orders", 2, lambda.FunctionUpdate{MemoryMB: ptr(1)})
	wantKey(t, err, lambda.Invalid, "input.invalid")

	h, err := s.RollBack(ctx, kim, "orders", 2, 1)
	if err != nil || h.Revision != 3 || h.MemoryMB != 128 || h.Env["GREETING"] != "planted-marker-5c1" {
		t.Fatalf("rolled back: %+v, %v", h, err)
	}
	all, err := s.Revisions(ctx, "orders", 0, 2)
	if err != nil || len(all) != 2 || all[0].Cause != lambda.RevisionRolledBack || all[0].From != 1 || all[1].Config.Env["NEW"] != "x" {
		t.Fatalf("revisions: %+v, %v", all, err)
	}
	older, err := s.Revisions(ctx, "orders", all[1].Number, 2)
	if err != nil || len(older) != 1 || older[0].Cause != lambda.RevisionCreated {
		t.Fatalf("older revisions: %+v, %v", older, err)
	}
	recent, err := s.RecentRevisions(ctx, time.Now().Add(-time.Hour), 10)
	if err != nil || len(recent) != 3 || recent[0].Function != "orders" || len(recent[0].Config.Env) != 0 {
		t.Fatalf("recent revisions: %+v, %v", recent, err)
	}
	_, err = s.Revision(ctx, "orders", 9)
	wantKey(t, err, lambda.NotFound, "revision.missing")

	if err := s.DeleteFunction(ctx, kim, "orders"); err != nil {
		t.Fatal(err)
	}
	_, err = s.Function(ctx, "orders")
	wantKey(t, err, lambda.NotFound, "function.missing")
	wantKey(t, s.DeleteFunction(ctx, kim, "orders"), lambda.NotFound, "function.missing")
}

func TestEveryChangeIsAuditedWithoutValues(t *testing.T) {
	s := storetest.New(t)
	create(t, s, "orders")
	if _, err := s.UpdateFunction(ctx, kim, "orders", 0, lambda.FunctionUpdate{MemoryMB: ptr(256), Env: &lambda.Environment{"NEW_NAME": "secret-value"}, Tags: &map[string]string{"team": "a"}}); err != nil {
		t.Fatal(err)
	}
	if err := s.AuditRefusal(ctx, lambda.AuditEntry{By: "x\x00", Action: "lambda:Invoke", Resource: "r"}); err != nil {
		t.Fatal(err)
	}
	all, err := s.Audit(ctx, 0, 10)
	if err != nil {
		t.Fatal(err)
	}
	var actions []string
	for _, e := range all {
		actions = append(actions, e.Action)
	}
	if got := strings.Join(actions, " "); got != "lambda:Invoke lambda:UpdateFunctionConfiguration lambda:TagResource lambda:CreateFunction" {
		t.Fatalf("actions: %s", got)
	}
	u := all[1]
	if u.By != "Kim Minseo" || u.From != "127.0.0.1" || u.Detail["memory"] != "128 → 256" || u.Detail["environment"] != "added NEW_NAME; removed GREETING" {
		t.Errorf("entry: %+v", u)
	}
	if !all[0].Denied {
		t.Error("the refusal is not marked")
	}
	page, err := s.AuditPage(ctx, store.AuditFilter{Before: all[1].ID, Action: "lambda:", Limit: 1})
	if err != nil || len(page) != 1 || page[0].ID != all[2].ID {
		t.Errorf("page: %+v, %v", page, err)
	}
}

func TestConcurrentUpdatesLoseNothing(t *testing.T) {
	s := storetest.New(t)
	create(t, s, "orders")
	const writers = 24
	var wg sync.WaitGroup
	conflicts := make(chan error, writers)
	for i := range writers {
		wg.Go(func() {
			revision := int64(1)
			if i%2 == 0 {
				revision = 0
			}
			_, err := s.UpdateFunction(ctx, kim, "orders", revision, lambda.FunctionUpdate{MemoryMB: ptr(200 + i)})
			if err != nil {
				conflicts <- err
			}
		})
	}
	wg.Wait()
	close(conflicts)
	refused := int64(0)
	for err := range conflicts {
		wantKey(t, err, lambda.Conflict, "function.changed")
		refused++
	}
	f, err := s.Function(ctx, "orders")
	if err != nil || f.Revision != 1+writers-refused {
		t.Errorf("revision %d after %d refusals, %v", f.Revision, refused, err)
	}
}

func TestReservationsAreBoundedByTheAccount(t *testing.T) {
	s := storetest.New(t)
	create(t, s, "a")
	create(t, s, "b")
	reserve := func(name string, n *int) error {
		_, err := s.UpdateFunction(ctx, kim, name, 0, lambda.FunctionUpdate{Reserved: &n})
		return err
	}
	if err := reserve("a", ptr(600)); err != nil {
		t.Fatal(err)
	}
	wantKey(t, reserve("b", ptr(400)), lambda.Invalid, "input.invalid")
	if err := reserve("b", ptr(300)); err != nil {
		t.Fatal(err)
	}
	wantKey(t, s.SetSetting(ctx, kim, "concurrency", 999), lambda.Invalid, "setting.concurrency")
	if err := reserve("a", nil); err != nil {
		t.Fatal(err)
	}
	if err := s.SetSetting(ctx, kim, "concurrency", 500); err != nil {
		t.Fatal(err)
	}
	wantKey(t, reserve("a", ptr(200)), lambda.Invalid, "input.invalid")
	f, err := s.Function(ctx, "a")
	if err != nil || f.Reserved != nil || f.Revision != 1 {
		t.Errorf("%+v, %v", f, err)
	}
}

func TestFunctionsArePagedByName(t *testing.T) {
	s := storetest.New(t)
	for _, name := range []string{"beta", "Alpha", "alpha_1", "gamma"} {
		create(t, s, name)
	}
	for _, c := range []struct {
		f    lambda.FunctionFilter
		want string
	}{
		{lambda.FunctionFilter{Limit: 2}, "Alpha alpha_1"},
		{lambda.FunctionFilter{Limit: 2, After: "alpha_1"}, "beta gamma"},
		{lambda.FunctionFilter{Query: "ALPHA"}, "Alpha alpha_1"},
		{lambda.FunctionFilter{Query: "_"}, "alpha_1"},
		{lambda.FunctionFilter{Query: "%"}, ""},
	} {
		all, err := s.Functions(ctx, c.f)
		if err != nil {
			t.Fatal(err)
		}
		var names []string
		for _, f := range all {
			names = append(names, f.Name)
		}
		if got := strings.Join(names, " "); got != c.want {
			t.Errorf("%+v: %s", c.f, got)
		}
	}
	if n, err := s.CountFunctions(ctx); n != 4 || err != nil {
		t.Error(n, err)
	}
}

func TestCodeIsKeptOnceAndComesBackWhole(t *testing.T) {
	s := storetest.New(t)
	big := bytes.Repeat([]byte("0123456789abcdef"), 160<<10) // 2.5 chunks
	for range 2 {
		c, err := s.PutCode(ctx, bytes.NewReader(big))
		if err != nil || c.Size != int64(len(big)) {
			t.Fatal(c, err)
		}
		r, err := s.OpenCode(ctx, c.SHA256)
		if err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(r)
		if err != nil || !bytes.Equal(got, big) {
			t.Fatalf("%d bytes came back, %v", len(got), err)
		}
	}
	_, err := s.OpenCode(ctx, "nothing")
	wantKey(t, err, lambda.NotFound, "code.missing")
	_, err = s.PutCode(ctx, io.LimitReader(zeros{}, lambda.MaxZip+1))
	wantKey(t, err, lambda.TooLarge, "code.size")
	if c, err := s.PutCode(ctx, strings.NewReader("")); err != nil || c.Size != 0 {
		t.Error(c, err)
	}
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

func TestLoginLinksWorkOnce(t *testing.T) {
	s := storetest.New(t)
	owner, err := s.FirstOwner(ctx)
	if err != nil || owner.Role != "owner" {
		t.Fatal(owner, err)
	}
	if again, err := s.FirstOwner(ctx); err != nil || again.ID != owner.ID {
		t.Fatal(again, err)
	}
	token, err := s.NewLoginToken(ctx, owner.ID, time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	old, err := s.NewLoginToken(ctx, owner.ID, -time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	for tok, want := range map[string]bool{token: true, old: false, "": false, "x": false} {
		if ok, err := s.CheckLoginToken(ctx, tok); ok != want || err != nil {
			t.Errorf("%q: %v, %v", tok, ok, err)
		}
	}
	secret, u, err := s.ConsumeLoginToken(ctx, token, "10.0.0.1", "browser")
	if err != nil || u.ID != owner.ID {
		t.Fatal(u, err)
	}
	for _, tok := range []string{token, old, ""} {
		_, _, err := s.ConsumeLoginToken(ctx, tok, "", "")
		wantKey(t, err, lambda.Unauthenticated, "login.link")
	}
	session, err := s.SessionBySecret(ctx, secret)
	if err != nil || session.User.ID != owner.ID || session.From != "10.0.0.1" {
		t.Fatal(session, err)
	}
	if err := s.EndSession(ctx, kim, owner.ID, session.ID); err != nil {
		t.Fatal(err)
	}
	_, err = s.SessionBySecret(ctx, secret)
	wantKey(t, err, lambda.Unauthenticated, "session.ended")
}

func TestSecondServerIsRefused(t *testing.T) {
	url := storetest.Database(t)
	first := storetest.Open(t, url)
	if _, err := store.Open(ctx, storetest.Options(url)); !errors.Is(err, store.ErrSecondServer) {
		t.Errorf("a second server: %v", err)
	}
	epoch := first.Epoch()
	first.Close()
	if second := storetest.Open(t, url); second.Epoch() != epoch+1 {
		t.Errorf("epoch %d after %d", second.Epoch(), epoch)
	}
}

func TestWrongMasterKeyIsRefused(t *testing.T) {
	url := storetest.Database(t)
	storetest.Open(t, url).Close()
	o := storetest.Options(url)
	o.MasterKey = []byte("another master key for the tests")
	if _, err := store.Open(ctx, o); err == nil || !strings.Contains(err.Error(), "another master key") {
		t.Errorf("opened with a wrong key: %v", err)
	}
	storetest.Open(t, url)
}
