package server

import (
	"net/url"
	"strings"
	"testing"

	"kiln/lambda"
)

func TestAsyncEventsAreConfiguredOnTheirPage(t *testing.T) {
	w := open(t)
	w.function(t, "orders", "node-hello", nil)
	w.function(t, "after", "node-hello", nil)
	at, after := "/functions/orders/configure/async", w.store.ARNs().Function("after", "")
	form := formFields(t, w.page(t, at), at)
	if form.Get("retries") != "2" || form.Get("maxAge") != "" {
		t.Errorf("defaults: %v", form)
	}
	form.Set("retries", "0")
	form.Set("maxAge", "90")
	form.Set("onFailure", after)
	w.sent(t, at, form)
	cfg, err := w.store.AsyncConfig(t.Context(), "orders", lambda.Latest)
	if err != nil || *cfg.MaxRetries != 0 || *cfg.MaxAgeSec != 90 || cfg.OnFailure != after || cfg.OnSuccess != "" {
		t.Fatalf("%+v %v", cfg, err)
	}
	if again := formFields(t, w.page(t, at), at); again.Get("retries") != "0" || again.Get("onFailure") != after {
		t.Errorf("shown: %v", again)
	}
	for name, c := range map[string]struct{ field, value, want string }{
		"an age in words":     {"maxAge", "soon", "Enter a whole number"},
		"an age too short":    {"maxAge", "5", "Choose 60 to"},
		"many retries":        {"retries", "9", "Choose 0 to 2"},
		"no ARN":              {"onSuccess", `"><script>x`, "is not an ARN"},
		"itself":              {"onSuccess", w.store.ARNs().Function("orders", ""), "its own destination"},
		"a function not here": {"onFailure", w.store.ARNs().Function("gone", ""), "does not exist"},
	} {
		t.Run(name, func(t *testing.T) {
			form := url.Values{"retries": {"1"}}
			form.Set(c.field, c.value)
			resp, body := w.post(t, at, form)
			if resp.StatusCode != 422 || !strings.Contains(textOf(body), c.want) || strings.Contains(body, "<script>x") {
				t.Errorf("%d %s", resp.StatusCode, textOf(body))
			}
		})
	}
	w.sent(t, at+"/reset", url.Values{})
	if _, err := w.store.AsyncConfig(t.Context(), "orders", lambda.Latest); lambda.KeyOf(err) != "async.missing" {
		t.Errorf("reset: %v", err)
	}
}

func TestTheDeadLetterTargetIsPartOfTheConfiguration(t *testing.T) {
	w := open(t)
	f := w.function(t, "orders", "node-hello", nil)
	at := "/functions/orders/configure/async"
	form := formFields(t, w.page(t, at), at+"/dead-letter")
	form.Set("deadLetter", "arn:aws:sqs:us-east-1:000000000000:failed")
	w.sent(t, at+"/dead-letter", form)
	now, err := w.store.Function(t.Context(), "orders")
	if err != nil || now.DeadLetter != form.Get("deadLetter") || now.Revision != f.Revision+1 {
		t.Fatalf("%+v %v", now, err)
	}
	if resp, body := w.post(t, at+"/dead-letter", form); resp.StatusCode != 422 || !strings.Contains(textOf(body), "changed this function in the meantime") {
		t.Errorf("an old page: %d %s", resp.StatusCode, textOf(body))
	}
}

func TestAFunctionURLIsMadePublicAndPrivateAgain(t *testing.T) {
	w := open(t)
	w.function(t, "site", "node-hello", nil)
	at := "/functions/site/configure/url"
	form := formFields(t, w.page(t, at), at)
	if form.Get("authType") != "AWS_IAM" {
		t.Errorf("a new URL is public: %v", form)
	}
	form.Set("authType", "NONE")
	form.Set("origins", "https://a.example, https://b.example")
	form.Set("methods", "get,post")
	form.Set("corsMaxAge", "60")
	form.Del("credentials")
	w.sent(t, at, form)
	u, err := w.store.URL(t.Context(), "site", "")
	if err != nil || u.AuthType != "NONE" || len(u.CORS.AllowOrigins) != 2 || u.CORS.AllowMethods[0] != "GET" || u.CORS.MaxAge != 60 || u.CORS.AllowCredentials {
		t.Fatalf("%+v %v", u, err)
	}
	on := lambda.PolicySubject{Function: "site"}
	p, err := w.store.Policy(t.Context(), on)
	if err != nil || len(p.Statements) != 1 || !strings.Contains(string(p.Statements[0].Document), `"lambda:FunctionUrlAuthType":"NONE"`) || w.forgotten != 1 {
		t.Fatalf("policy %+v %v, told %d times", p, err, w.forgotten)
	}
	text := textOf(w.page(t, at))
	for _, want := range []string{"curl http://" + u.ID + ".lambda-url.", "curl http://127.0.0.1:8081/_url/" + u.ID + "/", "FunctionURLAllowPublicAccess", "Everybody may call it"} {
		if !strings.Contains(text, want) {
			t.Errorf("lacks %q: %s", want, text)
		}
	}
	w.sent(t, at+"/change", url.Values{"authType": {"AWS_IAM"}, "invokeMode": {"RESPONSE_STREAM"}})
	if u, _ = w.store.URL(t.Context(), "site", ""); u.AuthType != "AWS_IAM" || u.InvokeMode != "RESPONSE_STREAM" || u.CORS != nil {
		t.Errorf("changed: %+v", u)
	}
	if p, err := w.store.Policy(t.Context(), on); err == nil && len(p.Statements) > 0 {
		t.Errorf("still public: %+v", p)
	}
	w.sent(t, at+"/change", url.Values{"authType": {"NONE"}, "invokeMode": {"BUFFERED"}})
	w.sent(t, at+"/delete", url.Values{})
	if _, err = w.store.URL(t.Context(), "site", ""); lambda.KeyOf(err) != "url.missing" {
		t.Errorf("deleted: %v", err)
	}
	if p, err := w.store.Policy(t.Context(), on); err == nil && len(p.Statements) > 0 {
		t.Errorf("the statement outlives the URL: %+v", p)
	}
	for _, form := range []url.Values{{"authType": {"EVERYBODY"}, "invokeMode": {"BUFFERED"}}, {"authType": {"NONE"}, "invokeMode": {"BUFFERED"}, "corsMaxAge": {"90000"}}} {
		if resp, body := w.post(t, at, form); resp.StatusCode != 422 {
			t.Errorf("%v: %d %s", form, resp.StatusCode, textOf(body))
		}
	}
	if p, err := w.store.Policy(t.Context(), on); err == nil && len(p.Statements) > 0 {
		t.Errorf("a refused form made it public: %+v", p)
	}
}

func TestLayersAreChosenInTheirOrder(t *testing.T) {
	w := open(t)
	f := w.function(t, "orders", "node-hello", nil)
	at := "/functions/orders/configure/layers"
	if text := textOf(w.page(t, at)); !strings.Contains(text, "No layer has been published yet") {
		t.Errorf("without layers: %s", text)
	}
	for _, name := range []string{"lib", "data"} {
		if _, err := w.store.PublishLayer(t.Context(), w.principal(), lambda.LayerVersion{Layer: name, Code: f.Code}); err != nil {
			t.Fatal(err)
		}
	}
	form := formFields(t, w.page(t, at), at)
	lib, data := w.store.ARNs().LayerVersion("lib", "1"), w.store.ARNs().LayerVersion("data", "1")
	form["layer"] = []string{"", lib, "", data}
	w.sent(t, at, form)
	if now, err := w.store.Function(t.Context(), "orders"); err != nil || strings.Join(now.Layers, " ") != lib+" "+data {
		t.Fatalf("%v %v", now.Layers, err)
	}
	for name, c := range map[string]struct {
		layers []string
		want   string
	}{
		"one that is not there": {[]string{w.store.ARNs().LayerVersion("gone", "4")}, "There is no layer version"},
		"no ARN":                {[]string{`"><script>x`}, ""},
		"six":                   {[]string{lib, data, lib, data, lib, data}, "At most 5"},
	} {
		if resp, body := w.post(t, at, url.Values{"layer": c.layers}); resp.StatusCode != 422 || !strings.Contains(textOf(body), c.want) || strings.Contains(body, "<script>x") {
			t.Errorf("%s: %d %s", name, resp.StatusCode, textOf(body))
		}
	}
	form = formFields(t, w.page(t, at), at)
	form["layer"] = nil
	w.sent(t, at, form)
	if now, _ := w.store.Function(t.Context(), "orders"); len(now.Layers) != 0 {
		t.Errorf("removed: %v", now.Layers)
	}
}
