package store_test

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"kiln/iam"
	"kiln/lambda"
	"kiln/secret"
	"kiln/store"
	"kiln/store/postgres"
	"kiln/store/storetest"

	"github.com/jackc/pgx/v5"
)

// everything is each row of each table as text.
func everything(t *testing.T, url string) string {
	t.Helper()
	c, err := pgx.Connect(ctx, url)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close(ctx) }()
	rows, err := c.Query(ctx, "SELECT relname FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace")
	if err != nil {
		t.Fatal(err)
	}
	tables, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil || len(tables) < 20 {
		t.Fatal(tables, err)
	}
	var all strings.Builder
	for _, table := range tables {
		rows, err := c.Query(ctx, "SELECT x::text FROM "+table+" x")
		if err != nil {
			t.Fatal(err)
		}
		texts, err := pgx.CollectRows(rows, pgx.RowTo[string])
		if err != nil {
			t.Fatal(err)
		}
		all.WriteString(strings.Join(texts, "\n"))
	}
	return all.String()
}

// plant puts a marker into every kind of secret.
func plant(t *testing.T, s *store.Store, marker string) (session string) {
	t.Helper()
	owner, err := s.FirstOwner(ctx)
	if err != nil {
		t.Fatal(err)
	}
	by := iam.Principal{Kind: iam.KindUser, ARN: "arn", Name: "Kim", UserID: owner.ID}
	n := sample("orders", put(t, s, "x"))
	n.Env = lambda.Environment{"TOKEN": marker}
	if _, err := s.CreateFunction(ctx, by, n); err != nil {
		t.Fatal(err)
	}
	update(t, s, "orders", lambda.FunctionUpdate{Env: &lambda.Environment{"TOKEN": marker + "2"}})
	publish(t, s, "orders")
	if _, err := s.PinDraft(ctx, by, "orders", put(t, s, "draft")); err != nil {
		t.Fatal(err)
	}
	if _, err := s.RollBack(ctx, by, "orders", 0, 1); err != nil {
		t.Fatal(err)
	}
	if err := s.PutRootKey(ctx, "AKIAROOT00000000", marker); err != nil {
		t.Fatal(err)
	}
	token, err := s.NewLoginToken(ctx, owner.ID, time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	kept, err := s.NewLoginToken(ctx, owner.ID, time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	session, _, err = s.ConsumeLoginToken(ctx, token, "", "")
	if err != nil {
		t.Fatal(err)
	}
	return session + " " + kept
}

func TestSecretsAreNowherePlain(t *testing.T) {
	url := storetest.Database(t)
	s := storetest.Open(t, url)
	const marker = "planted-marker-77f"
	secrets := append(strings.Fields(plant(t, s, marker)), marker)
	all := everything(t, url)
	if !strings.Contains(all, "orders") || !strings.Contains(all, "TOKEN") {
		t.Fatal("the scan does not see what is there")
	}
	for _, form := range secrets {
		for _, x := range []string{form, strings.ToUpper(form), hexOf(form)} {
			if strings.Contains(all, x) {
				t.Errorf("%q is readable", x)
			}
		}
	}
	var dump bytes.Buffer
	if err := postgres.Dump(ctx, url, &dump); err != nil {
		t.Fatal(err)
	}
	if bytes.Contains(dump.Bytes(), []byte(marker)) {
		t.Error("a backup holds the marker")
	}
}

func hexOf(s string) string {
	const digits = "0123456789abcdef"
	var b strings.Builder
	for i := range len(s) {
		b.WriteByte(digits[s[i]>>4])
		b.WriteByte(digits[s[i]&15])
	}
	return b.String()
}

func TestRotationSealsEverythingAnew(t *testing.T) {
	url := storetest.Database(t)
	first := storetest.Open(t, url)
	plant(t, first, "planted-marker-9aa")
	digest := reachOne(t, first)
	first.Close()
	fresh := secret.NewKey()
	both, err := secret.NewRing(fresh, storetest.Key)
	if err != nil {
		t.Fatal(err)
	}
	o := storetest.Options(url)
	o.Keys = both
	rotating, err := store.Open(ctx, o)
	if err != nil {
		t.Fatal(err)
	}
	if n, err := rotating.Reseal(ctx); err != nil || n < 8 {
		t.Errorf("%d values, %v", n, err)
	}
	if n, err := rotating.Reseal(ctx); err != nil || n != 0 {
		t.Errorf("%d values again, %v", n, err)
	}
	rotating.Close()
	if o.Keys, err = secret.NewRing(fresh); err != nil {
		t.Fatal(err)
	}
	last, err := store.Open(ctx, o)
	if err != nil {
		t.Fatal(err)
	}
	defer last.Close()
	f, err := last.Function(ctx, "orders")
	if err != nil || f.Env["TOKEN"] != "planted-marker-9aa" {
		t.Errorf("%v, %v", f, err)
	}
	if r, err := last.Runnable(ctx, digest); err != nil || r.Env["TOKEN"] == "" {
		t.Errorf("%v, %v", r, err)
	}
	if k, err := last.AccessKey(ctx, "AKIAROOT00000000"); err != nil || k.Secret != "planted-marker-9aa" || k.Principal.Kind != iam.KindRoot {
		t.Errorf("%v", err)
	}
	o.Keys, o.MasterKey = nil, storetest.Key
	last.Close()
	if _, err := store.Open(ctx, o); err == nil {
		t.Error("the old key still opens")
	}
}

func reachOne(t *testing.T, s *store.Store) lambda.Digest {
	t.Helper()
	target, err := s.Target(ctx, "orders", "")
	if err != nil {
		t.Fatal(err)
	}
	return target.Runnable.Digest
}

func TestAccessKeysOfPeople(t *testing.T) {
	s := storetest.New(t)
	u, err := s.CreateUser(ctx, kim, store.User{Name: "Lee", Email: "lee@example.com", Role: "developer"})
	if err != nil {
		t.Fatal(err)
	}
	k, err := s.NewAccessKey(ctx, kim, u.ID)
	if err != nil || len(k.ID) != 20 || len(k.Secret) != 40 {
		t.Fatal(k, err)
	}
	got, err := s.AccessKey(ctx, k.ID)
	if err != nil || got.Secret != k.Secret || got.Principal.UserID != u.ID || got.Principal.Role != "developer" || got.Principal.Kind != iam.KindUser {
		t.Errorf("%+v, %v", got, err)
	}
	if all, err := s.AccessKeys(ctx, u.ID); err != nil || len(all) != 1 || all[0].Secret != "" || all[0].UsedAt.IsZero() {
		t.Error(all, err)
	}
	wantKey(t, s.DeleteAccessKey(ctx, kim, u.ID+1, k.ID), lambda.NotFound, "key.missing")
	if err := s.DeleteAccessKey(ctx, kim, u.ID, k.ID); err != nil {
		t.Fatal(err)
	}
	_, err = s.AccessKey(ctx, k.ID)
	wantKey(t, err, lambda.Unauthenticated, "key.missing")
	for _, id := range []string{"AKIAONE000000000", "AKIATWO000000000"} {
		if err := s.PutRootKey(ctx, id, "a root secret of some length"); err != nil {
			t.Fatal(err)
		}
	}
	_, err = s.AccessKey(ctx, "AKIAONE000000000")
	wantKey(t, err, lambda.Unauthenticated, "key.missing")
}

func TestPeopleAlwaysHaveAnOwner(t *testing.T) {
	s := storetest.New(t)
	owner, err := s.FirstOwner(ctx)
	if err != nil {
		t.Fatal(err)
	}
	wantKey(t, s.DeleteUser(ctx, kim, owner.ID), lambda.Conflict, "user.lastOwner")
	demoted := owner
	demoted.Role = "viewer"
	wantKey(t, s.UpdateUser(ctx, kim, demoted), lambda.Conflict, "user.lastOwner")
	lee, err := s.CreateUser(ctx, kim, store.User{Name: "Lee", Email: "Lee@example.com", Role: "owner"})
	if err != nil {
		t.Fatal(err)
	}
	_, err = s.CreateUser(ctx, kim, store.User{Name: "Other", Email: "lee@EXAMPLE.com", Role: "viewer"})
	wantKey(t, err, lambda.Conflict, "user.exists")
	_, err = s.CreateUser(ctx, kim, store.User{Name: "Root", Role: "root"})
	wantKey(t, err, lambda.Invalid, "user.wrong")
	secretOf, err := s.NewSession(ctx, lee.ID, "", "")
	if err != nil {
		t.Fatal(err)
	}
	if err := s.SetPasswordHash(ctx, kim, lee.ID, "$argon2id$…"); err != nil {
		t.Fatal(err)
	}
	_, err = s.SessionBySecret(ctx, secretOf)
	wantKey(t, err, lambda.Unauthenticated, "session.ended")
	if u, hash, err := s.UserByEmail(ctx, "LEE@example.com"); err != nil || u.ID != lee.ID || hash == "" {
		t.Error(u, hash, err)
	}
	_, _, err = s.UserByEmail(ctx, "")
	wantKey(t, err, lambda.NotFound, "user.missing")
	if err := s.DeleteUser(ctx, kim, owner.ID); err != nil {
		t.Fatal(err)
	}
	if all, err := s.Users(ctx); err != nil || len(all) != 1 {
		t.Error(all, err)
	}
}

func TestDraftsPreferencesAndEvents(t *testing.T) {
	s := storetest.New(t)
	create(t, s, "orders")
	owner, err := s.FirstOwner(ctx)
	if err != nil {
		t.Fatal(err)
	}
	by := iam.Principal{UserID: owner.ID, Name: owner.Name}
	_, err = s.Draft(ctx, owner.ID, "orders")
	wantKey(t, err, lambda.NotFound, "draft.missing")
	save := func(seq int64, files ...lambda.DraftFile) error {
		_, err := s.SaveDraft(ctx, by, "orders", 1, seq, files)
		return err
	}
	if err := save(0, lambda.DraftFile{Path: "a.js", Data: []byte("1")}, lambda.DraftFile{Path: "b.js", Data: []byte{}}, lambda.DraftFile{Path: "c.js", Deleted: true}); err != nil {
		t.Fatal(err)
	}
	wantKey(t, save(0), lambda.Conflict, "draft.changed")
	if err := save(1, lambda.DraftFile{Path: "a.js", Data: []byte("2")}, lambda.DraftFile{Path: "c.js"}); err != nil {
		t.Fatal(err)
	}
	wantKey(t, save(1), lambda.Conflict, "draft.changed")
	wantKey(t, save(2, lambda.DraftFile{Path: "big", Data: make([]byte, 33<<20)}), lambda.TooLarge, "draft.size")
	d, err := s.Draft(ctx, owner.ID, "orders")
	if err != nil || d.Seq != 2 || len(d.Files) != 2 || string(d.Files[0].Data) != "2" || d.Files[1].Path != "b.js" || d.User != "Owner" {
		t.Errorf("%+v, %v", d, err)
	}
	for range 2 {
		if err := s.DiscardDraft(ctx, owner.ID, "orders"); err != nil {
			t.Fatal(err)
		}
	}
	for _, v := range []string{"ko", "en", ""} {
		if err := s.SetPreference(ctx, owner.ID, "locale", v); err != nil {
			t.Fatal(err)
		}
		if all, err := s.Preferences(ctx, owner.ID); err != nil || all["locale"] != v {
			t.Error(all, err)
		}
	}
	wantKey(t, s.SetPreference(ctx, owner.ID, "x", strings.Repeat("v", 5000)), lambda.Invalid, "preference.size")
	e := lambda.TestEvent{Function: "orders", Name: "first", Body: []byte(`{"a": 1}`)}
	for range 2 {
		if err := s.PutTestEvent(ctx, by, e); err != nil {
			t.Fatal(err)
		}
	}
	if all, err := s.TestEvents(ctx, "orders"); err != nil || len(all) != 1 || string(all[0].Body) != `{"a": 1}` || all[0].By != "Owner" {
		t.Error(all, err)
	}
	for range 2 {
		if err := s.DeleteTestEvent(ctx, by, "orders", "first"); err != nil {
			t.Fatal(err)
		}
	}
	if r, err := s.Role(ctx, role); err != nil || !strings.Contains(r.Trust, "lambda.amazonaws.com") || len(r.Policies) != 1 {
		t.Error(r, err)
	}
	wantKey(t, s.DeleteRole(ctx, kim, role), lambda.Conflict, "role.used")
}
