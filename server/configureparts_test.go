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
