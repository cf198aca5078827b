package server

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"kiln/lambda"
)

// sent posts a form and wants to be sent on.
func (w *workshop) sent(t *testing.T, path string, form url.Values) {
	t.Helper()
	if resp, body := w.post(t, path, form); resp.StatusCode != http.StatusSeeOther {
		t.Fatalf("%s: %d %s", path, resp.StatusCode, textOf(body))
	}
}

// publishTwice makes versions 1 and 2 of a function through its pages.
func (w *workshop) publishTwice(t *testing.T, name string) {
	t.Helper()
	form := formFields(t, w.page(t, "/functions/"+name+"/publish"), "/functions/"+name+"/publish")
	form.Set("description", "first <b>release</b>")
	w.sent(t, "/functions/"+name+"/publish", form)
	memory := 512
	if _, err := w.store.UpdateFunction(t.Context(), w.principal(), name, 0, lambda.FunctionUpdate{MemoryMB: &memory}); err != nil {
		t.Fatal(err)
	}
	w.sent(t, "/functions/"+name+"/publish", formFields(t, w.page(t, "/functions/"+name+"/publish"), "/functions/"+name+"/publish"))
}

func TestVersionsArePublishedAndDeletedOnTheirPage(t *testing.T) {
	w := open(t)
	w.function(t, "orders", "node-hello", nil)
	w.publishTwice(t, "orders")
	all, err := w.store.Versions(t.Context(), "orders", 0, 0)
	if err != nil || len(all) != 2 || all[0].Description != "first <b>release</b>" || all[1].Config.MemoryMB != 512 {
		t.Fatalf("%v %v", all, err)
	}
	body := w.page(t, "/functions/orders/versions")
	if text := textOf(body); !strings.Contains(text, "v2") || !strings.Contains(text, "first <b>release</b>") || strings.Contains(body, "<b>release") {
		t.Errorf("page: %s", text)
	}
	w.sent(t, "/functions/orders/publish", url.Values{})
	if text := textOf(w.page(t, "/functions/orders/versions")); !strings.Contains(text, "Nothing has changed since the newest version") {
		t.Errorf("an unchanged function: %s", text)
	}
	if resp, body := w.post(t, "/functions/orders/publish", url.Values{"revisionId": {"old"}}); resp.StatusCode != 422 || !strings.Contains(textOf(body), "was changed in the meantime") {
		t.Errorf("an old page: %d %s", resp.StatusCode, textOf(body))
	}
	w.sent(t, "/functions/orders/versions/1/delete", url.Values{})
	if all, _ = w.store.Versions(t.Context(), "orders", 0, 0); len(all) != 1 || all[0].Number != 2 {
		t.Errorf("after deleting: %v", all)
	}
}

func TestAliasesAreMovedWeightedAndRolledBack(t *testing.T) {
	w := open(t)
	w.function(t, "orders", "node-hello", nil)
	w.publishTwice(t, "orders")
	form := formFields(t, w.page(t, "/functions/orders/aliases"), "/functions/orders/aliases")
	if form.Get("version") != "2" {
		t.Errorf("suggests %q", form.Get("version"))
	}
	form.Set("alias", "prod")
	w.sent(t, "/functions/orders/aliases", form)
	at := "/functions/orders/aliases/prod"
	form = formFields(t, w.page(t, at), at)
	stale := url.Values{"version": {"1"}, "revisionId": {form.Get("revisionId")}}
	form.Set("second", "1")
	form.Set("share", "12.5")
	w.sent(t, at, form)
	a, err := w.store.Alias(t.Context(), "orders", "prod")
	if err != nil || a.Version != "2" || a.Weights["1"] != 0.125 {
		t.Fatalf("%+v %v", a, err)
	}
	if text := textOf(w.page(t, "/functions/orders/versions")); !strings.Contains(text, "prod 87.5 %") || !strings.Contains(text, "prod 12.5 %") {
		t.Errorf("flags: %s", text)
	}
	if resp, body := w.post(t, at, stale); resp.StatusCode != 422 || !strings.Contains(textOf(body), "was changed in the meantime") {
		t.Errorf("a stale page: %d %s", resp.StatusCode, textOf(body))
	}
	if resp, body := w.post(t, "/functions/orders/versions/1/delete", url.Values{}); resp.StatusCode != 409 || !strings.Contains(textOf(body), "prod") {
		t.Errorf("deleting a version in use: %d %s", resp.StatusCode, textOf(body))
	}
	w.sent(t, at, url.Values{"version": {"1"}})
	if a, _ = w.store.Alias(t.Context(), "orders", "prod"); a.Version != "1" || len(a.Weights) != 0 {
		t.Errorf("rolled back: %+v", a)
	}
	w.sent(t, at+"/delete", url.Values{})
	if _, err = w.store.Alias(t.Context(), "orders", "prod"); lambda.KeyOf(err) != "alias.missing" {
		t.Errorf("deleted: %v", err)
	}
}

func TestWrongAliasesKeepWhatWasTyped(t *testing.T) {
	w := open(t)
	w.function(t, "orders", "node-hello", nil)
	w.publishTwice(t, "orders")
	w.sent(t, "/functions/orders/aliases", url.Values{"alias": {"taken"}, "version": {"1"}})
	for name, c := range map[string]struct {
		form url.Values
		want string
	}{
		"digits only":         {url.Values{"alias": {"12"}, "version": {"1"}}, "cannot be an alias"},
		"a name in use":       {url.Values{"alias": {"taken"}, "version": {"1"}}, "exists already"},
		"no such version":     {url.Values{"alias": {"a"}, "version": {"9"}}, "no such version"},
		"a share above all":   {url.Values{"alias": {"a"}, "version": {"1"}, "second": {"2"}, "share": {"101"}}, "Choose 0 % to 100 %"},
		"a share in words":    {url.Values{"alias": {"a"}, "version": {"1"}, "second": {"2"}, "share": {"NaN"}}, "Choose 0 % to 100 %"},
		"one version twice":   {url.Values{"alias": {"a"}, "version": {"1"}, "second": {"1"}, "share": {"5"}}, "chosen twice"},
		"$LATEST with others": {url.Values{"alias": {"a"}, "version": {"$LATEST"}, "second": {"1"}, "share": {"5"}}, "cannot share"},
	} {
		t.Run(name, func(t *testing.T) {
			resp, body := w.post(t, "/functions/orders/aliases", c.form)
			if resp.StatusCode != 422 || !strings.Contains(textOf(body), c.want) {
				t.Errorf("%d %s", resp.StatusCode, textOf(body))
			}
			if again := formFields(t, body, "/functions/orders/aliases"); again.Get("alias") != c.form.Get("alias") || again.Get("share") != c.form.Get("share") {
				t.Errorf("lost: %v", again)
			}
		})
	}
}
