package server

import (
	"bytes"
	"context"
	"fmt"
	"mime/multipart"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"kiln/code"
	"kiln/iam"
	"kiln/lambda"
)

func TestTheFirstVisitIsOneClickFromAResult(t *testing.T) {
	w := open(t)
	w.function(t, "hello", "node-hello", nil)
	body := w.page(t, "/")
	if !strings.Contains(body, `action="/functions/hello/try"`) || !strings.Contains(textOf(body), "export const handler") {
		t.Fatalf("no sample: %s", textOf(body))
	}
	resp, body := w.post(t, "/functions/hello/try", url.Values{})
	if resp.StatusCode != 200 || !strings.Contains(textOf(body), `"Hello, Minseo"`) || !strings.Contains(body, "saying hello") || strings.Contains(body, "START RequestId") {
		t.Errorf("result: %d %s", resp.StatusCode, textOf(body))
	}
	resp, body = w.do(t, "POST", "/functions/hello/try", "", "Origin", w.URL, "X-CSRF-Token", w.csrf, "HX-Request", "true")
	if resp.StatusCode != 200 || strings.Contains(body, "<html") || !strings.Contains(body, "14") {
		t.Errorf("fragment: %d %s", resp.StatusCode, body)
	}
}

func TestHomeSaysWhatNeedsAttention(t *testing.T) {
	w := open(t)
	orders := w.function(t, "orders-api", "node-hello", nil)
	w.function(t, "legacy", "node-hello", func(n *lambda.NewFunction) { n.Runtime = "ruby3.4" })
	w.runs(t, orders, 20, 0.1, 18*time.Millisecond)
	text := textOf(w.page(t, "/"))
	for _, want := range []string{"TypeError, 1 time", "Cannot read properties of undefined", "ruby3.4", "orders-api", "Needs attention 2"} {
		if !strings.Contains(text, want) {
			t.Errorf("Home lacks %q: %s", want, text)
		}
	}
	if ko := textOf(w.page(t, "/", "Accept-Language", "ko")); !strings.Contains(ko, "확인 필요") {
		t.Errorf("Korean: %s", ko)
	}
}

func TestTheListFiltersSortsAndPages(t *testing.T) {
	w := open(t)
	a := w.function(t, "alpha", "node-hello", func(n *lambda.NewFunction) {
		n.Description, n.Tags = "takes orders", map[string]string{"shop": "1"}
	})
	b := w.function(t, "beta", "python-hello", nil)
	w.runs(t, a, 10, 0, 5*time.Millisecond)
	w.runs(t, b, 10, 0.5, 500*time.Millisecond)
	for query, want := range map[string]string{
		"": "alpha beta", "q=orders": "alpha", "q=runtime:python": "beta", "q=errors%3E10": "beta", "q=tag:shop": "alpha", "q=tag:shop%3D2": "", "q=p95%3E100": "beta",
		"q=nothing": "", "sort=p95": "beta alpha", "sort=errors": "beta alpha", "q=%27%3B--": "",
	} {
		body := w.page(t, "/functions?"+query)
		var got []string
		for _, m := range regexp.MustCompile(`<tr data-href="/functions/([^"]+)"`).FindAllStringSubmatch(body, -1) {
			got = append(got, m[1])
		}
		if strings.Join(got, " ") != want {
			t.Errorf("%s: %v, want %s", query, got, want)
		}
	}
	if !strings.Contains(w.page(t, "/functions?q=zzz"), "No function matches") {
		t.Error("no empty state")
	}
}

func TestLongListsArePagedByKey(t *testing.T) {
	w := open(t)
	for i := range 55 {
		w.function(t, fmt.Sprintf("fn-%02d", i), "node-hello", nil)
	}
	body := w.page(t, "/functions")
	if strings.Count(body, "<tr data-href") != 50 || !strings.Contains(body, "after=fn-49") {
		t.Fatalf("%d rows", strings.Count(body, "<tr data-href"))
	}
	if body = w.page(t, "/functions?after=fn-49"); strings.Count(body, "<tr data-href") != 5 || strings.Contains(body, "after=") {
		t.Errorf("%d rows on the second page", strings.Count(body, "<tr data-href"))
	}
}

func TestEveryTemplateIsCreatedInOneClick(t *testing.T) {
	w := open(t)
	var choices []string
	for _, tpl := range code.Templates() {
		choices = append(choices, tpl.ID)
	}
	for _, template := range append(choices, "blank") {
		t.Run(template, func(t *testing.T) {
			form := formFields(t, w.page(t, "/new?template="+template), "/functions")
			if form.Get("template") != template || form.Get("name") == "" {
				t.Fatalf("form %v", form)
			}
			resp, body := w.post(t, "/functions", form)
			if resp.StatusCode != http.StatusSeeOther {
				t.Fatalf("%d %s", resp.StatusCode, textOf(body))
			}
			f, err := w.store.Function(t.Context(), form.Get("name"))
			if err != nil || resp.Header.Get("Location") != "/functions/"+f.Name {
				t.Fatalf("%v %s", err, resp.Header.Get("Location"))
			}
			if events, err := w.store.TestEvents(t.Context(), f.Name); err != nil || template != "blank" && len(events) != 1 {
				t.Errorf("events %v %v", events, err)
			}
		})
	}
	if form := formFields(t, w.page(t, "/new?template=node-hello"), "/functions"); form.Get("name") != "node-hello-2" {
		t.Errorf("the suggestion %q is taken", form.Get("name"))
	}
}

func TestWrongFieldsKeepWhatWasTyped(t *testing.T) {
	w := open(t)
	w.function(t, "taken", "node-hello", nil)
	for name, c := range map[string]struct{ field, value, want string }{
		"name with blanks": {"name", "my function", "Use 1 to 64 letters"},
		"name that exists": {"name", "taken", "exists already"},
		"memory too small": {"memory", "1", "Choose 128 to 10,240"},
		"memory in words":  {"memory", "lots", "Enter a whole number"},
		"markup as a name": {"name", `"><script>x</script>`, "Use 1 to 64 letters"},
	} {
		t.Run(name, func(t *testing.T) {
			form := formFields(t, w.page(t, "/new"), "/functions")
			form.Set(c.field, c.value)
			resp, body := w.post(t, "/functions", form)
			if resp.StatusCode != 422 || !strings.Contains(textOf(body), c.want) || strings.Contains(body, "<script>x") {
				t.Errorf("%d %s", resp.StatusCode, textOf(body))
			}
			if again := formFields(t, body, "/functions"); again.Get(c.field) != c.value {
				t.Errorf("%s was lost: %q", c.field, again.Get(c.field))
			}
		})
	}
}

// upload posts a package as the form does.
func (w *workshop) upload(t *testing.T, zip []byte, fields map[string]string) (*http.Response, string) {
	t.Helper()
	var b bytes.Buffer
	m := multipart.NewWriter(&b)
	for k, v := range fields {
		_ = m.WriteField(k, v)
	}
	_ = m.WriteField("_csrf", w.csrf)
	part, _ := m.CreateFormFile("zip", "p.zip")
	_, _ = part.Write(zip)
	_ = m.Close()
	return w.do(t, "POST", "/functions", b.String(), "Origin", w.URL, "Content-Type", m.FormDataContentType())
}

func TestADroppedZipFindsItsRuntimeAndHandler(t *testing.T) {
	w := open(t)
	for name, c := range map[string]struct {
		files            map[string]string
		runtime, handler string
	}{
		"node":   {map[string]string{"index.mjs": "export const handler = 1", "lib/x.js": ""}, "nodejs22.x", "index.handler"},
		"python": {map[string]string{"app.py": "import json\n\ndef handler(event, context):\n    pass\n"}, "python3.11", "app.handler"},
		"go":     {map[string]string{"bootstrap": "#!/bin/sh"}, "provided.al2023", "bootstrap"},
	} {
		t.Run(name, func(t *testing.T) {
			var files []lambda.File
			for path, text := range c.files {
				files = append(files, lambda.File{Path: path, Data: []byte(text), Mode: 0o755})
			}
			zip, err := code.Build(files)
			if err != nil {
				t.Fatal(err)
			}
			resp, body := w.upload(t, zip, map[string]string{"template": "zip", "name": "up-" + name, "memory": "128", "timeout": "3", "role": w.store.ARNs().Role("kiln-default")})
			if resp.StatusCode != http.StatusSeeOther {
				t.Fatalf("%d %s", resp.StatusCode, textOf(body))
			}
			f, err := w.store.Function(t.Context(), "up-"+name)
			if err != nil || f.Runtime != c.runtime || f.Handler != c.handler {
				t.Errorf("%+v %v", f, err)
			}
		})
	}
	for name, zip := range map[string][]byte{"no zip": []byte("hello"), "empty": nil, "cut off": []byte("PK\x03\x04")} {
		resp, body := w.upload(t, zip, map[string]string{"template": "zip", "name": "bad", "memory": "128", "timeout": "3"})
		if resp.StatusCode != 422 || !strings.Contains(body, `id="cr-zip-e"`) {
			t.Errorf("%s: %d %s", name, resp.StatusCode, textOf(body))
		}
	}
}

func TestConfigureSavesOnlyWhatChanged(t *testing.T) {
	w := open(t)
	w.function(t, "f", "node-hello", func(n *lambda.NewFunction) { n.Env = lambda.Environment{"LEVEL": "debug", "GONE": "1"} })
	form := formFields(t, w.page(t, "/functions/f/configure"), "/functions/f/configure")
	if form.Get("memory") != "128" || len(form["env_name"]) != 2 {
		t.Fatalf("form %v", form)
	}
	form.Set("memory", "256")
	form.Set("reserved", "5")
	form["env_name"], form["env_value"] = []string{"LEVEL", "NEW"}, []string{"info", ""}
	form.Set("paste", "# from the old place\nexport TOKEN='a b'\nLEVEL=warn\n")
	form["tag_name"], form["tag_value"] = []string{"shop"}, []string{"seoul"}

	form.Set("do", "review")
	resp, body := w.post(t, "/functions/f/configure", form)
	if text := textOf(body); resp.StatusCode != 200 || !strings.Contains(text, "128 MB 256 MB") || !strings.Contains(text, "7 changes") {
		t.Fatalf("review: %d %s", resp.StatusCode, text)
	}
	if f, _ := w.store.Function(t.Context(), "f"); f.MemoryMB != 128 {
		t.Fatal("a review saved")
	}
	form.Set("do", "save")
	if resp, body = w.post(t, "/functions/f/configure", form); resp.StatusCode != http.StatusSeeOther {
		t.Fatalf("save: %d %s", resp.StatusCode, textOf(body))
	}
	f, err := w.store.Function(t.Context(), "f")
	if err != nil || f.MemoryMB != 256 || f.TimeoutSec != 3 || f.Reserved == nil || *f.Reserved != 5 || f.Tags["shop"] != "seoul" ||
		fmt.Sprint(map[string]string(f.Env)) != "map[LEVEL:warn NEW: TOKEN:a b]" || f.Revision != 2 {
		t.Errorf("%+v env %v %v", f, map[string]string(f.Env), err)
	}
	if len(w.engine.changed) != 1 {
		t.Errorf("the engine heard %v", w.engine.changed)
	}
	if !strings.Contains(w.page(t, "/functions/f/configure"), "Saved. New calls use it") {
		t.Error("nothing says that it is saved")
	}
}

func TestConfigureSaysWhatIsWrongNextToTheField(t *testing.T) {
	w := open(t)
	w.function(t, "f", "node-hello", nil)
	for name, c := range map[string]struct {
		set  url.Values
		id   string
		want string
	}{
		"timeout":         {url.Values{"timeout": {"1200"}}, "f-timeout-e", "Choose 1 to 900."},
		"memory in words": {url.Values{"memory": {"much"}}, "f-memory-e", "Enter a whole number."},
		"reserved":        {url.Values{"reserved": {"950"}}, "f-reserved-e", "at most 900 here"},
		"reserved name":   {url.Values{"env_name": {"AWS_REGION"}, "env_value": {"x"}}, "f-environment-e", "AWS_REGION"},
		"pasted nonsense": {url.Values{"paste": {"A=1\nnonsense"}}, "f-environment-e", "Line 2"},
		"a name twice":    {url.Values{"env_name": {"AA", "AA"}, "env_value": {"1", "2"}}, "f-environment-e", "AA is there twice"},
		"handler":         {url.Values{"handler": {"a b"}}, "f-handler-e", "blanks"},
	} {
		t.Run(name, func(t *testing.T) {
			form := formFields(t, w.page(t, "/functions/f/configure"), "/functions/f/configure")
			for k, v := range c.set {
				form[k] = v
			}
			resp, body := w.post(t, "/functions/f/configure", form)
			at := strings.Index(body, `id="`+c.id+`"`)
			if resp.StatusCode != 422 || at < 0 || !strings.Contains(textOf(body[at:]), c.want) {
				t.Fatalf("%d %v %s", resp.StatusCode, at, textOf(body))
			}
			if f, _ := w.store.Function(t.Context(), "f"); f.Revision != 1 {
				t.Error("something was saved")
			}
		})
	}
}

func TestAConflictShowsBothValues(t *testing.T) {
	w := open(t)
	w.function(t, "f", "node-hello", nil)
	form := formFields(t, w.page(t, "/functions/f/configure"), "/functions/f/configure")
	memory, timeout := 512, 30
	if _, err := w.store.UpdateFunction(t.Context(), w.principal(), "f", 0, lambda.FunctionUpdate{MemoryMB: &memory, TimeoutSec: &timeout}); err != nil {
		t.Fatal(err)
	}
	form.Set("memory", "256")
	resp, body := w.post(t, "/functions/f/configure", form)
	text := textOf(body)
	if resp.StatusCode != http.StatusConflict || !strings.Contains(text, "saved r2 while you were editing") || !strings.Contains(text, "meanwhile saved: 512 MB") || !strings.Contains(text, "256 MB") {
		t.Fatalf("%d %s", resp.StatusCode, text)
	}
	again := formFields(t, body, "/functions/f/configure")
	if again.Get("timeout") != "30" || again.Get("memory") != "256" || again.Get("revision") != "2" {
		t.Fatalf("merged form %v", again)
	}
	if resp, body = w.post(t, "/functions/f/configure", again); resp.StatusCode != http.StatusSeeOther {
		t.Fatalf("%d %s", resp.StatusCode, textOf(body))
	}
	if f, _ := w.store.Function(t.Context(), "f"); f.MemoryMB != 256 || f.TimeoutSec != 30 {
		t.Errorf("%d MB %d s", f.MemoryMB, f.TimeoutSec)
	}
}

func TestRevisionsAreComparedAndRolledBack(t *testing.T) {
	w := open(t)
	w.function(t, "f", "node-hello", nil)
	memory := 256
	newCode := w.code(t, []lambda.File{{Path: "index.mjs", Data: []byte("export const handler = async () => 2;\n")}, {Path: "new.js", Data: []byte("1\n")}})
	for _, u := range []lambda.FunctionUpdate{{MemoryMB: &memory}, {Code: &newCode}} {
		if _, err := w.store.UpdateFunction(t.Context(), w.principal(), "f", 0, u); err != nil {
			t.Fatal(err)
		}
	}
	text := textOf(w.page(t, "/functions/f/versions?from=1&to=3"))
	for _, want := range []string{"Memory: 128 MB to 256 MB", "New code", "128 MB 256 MB", "new.js added +1", "export const handler = async () => 2", "2 files"} {
		if !strings.Contains(text, want) {
			t.Errorf("the page lacks %q: %s", want, text)
		}
	}
	question := w.page(t, "/functions/f/rollback?to=1", "HX-Request", "true")
	if !strings.Contains(question, `role="dialog"`) || !strings.Contains(textOf(question), "256 MB 128 MB") {
		t.Errorf("question %s", textOf(question))
	}
	resp, body := w.post(t, "/functions/f/rollback", formFields(t, question, "/functions/f/rollback"))
	f, err := w.store.Function(t.Context(), "f")
	if err != nil || resp.StatusCode != http.StatusSeeOther || f.Revision != 4 || f.MemoryMB != 128 || f.Code.SHA256 == newCode.SHA256 {
		t.Fatalf("%d %s %+v %v", resp.StatusCode, textOf(body), f, err)
	}
	if text = textOf(w.page(t, "/functions/f/versions")); !strings.Contains(text, "Code and configuration of r1") {
		t.Errorf("%s", text)
	}
}

func TestDeletingWantsTheNameTyped(t *testing.T) {
	w := open(t)
	w.function(t, "f", "node-hello", nil)
	resp, body := w.post(t, "/functions/f/delete", url.Values{"name": {"g"}})
	if resp.StatusCode != 422 || !strings.Contains(textOf(body), "This is not the name") {
		t.Fatalf("%d %s", resp.StatusCode, textOf(body))
	}
	if resp, body = w.post(t, "/functions/f/delete", url.Values{"name": {"f"}}); resp.StatusCode != http.StatusSeeOther || resp.Header.Get("Location") != "/functions" {
		t.Fatalf("%d %s", resp.StatusCode, textOf(body))
	}
	if _, err := w.store.Function(t.Context(), "f"); lambda.KindOf(err) != lambda.NotFound {
		t.Error("it is still there")
	}
	if resp, _ = w.do(t, "GET", "/functions/f/configure", ""); resp.StatusCode != 404 {
		t.Errorf("its page answers %d", resp.StatusCode)
	}
}

func TestThePaletteFindsFunctionsPagesAndActions(t *testing.T) {
	w := open(t)
	w.function(t, "orders-api", "node-hello", nil)
	for query, want := range map[string]string{
		"": "/new", "ord": "/functions/orders-api/configure", "ord log": "/functions/orders-api/logs", "audit": "/settings/audit", "8f2c1a": "/invocations/8f2c1a",
	} {
		body := w.page(t, "/palette?part=results&q="+url.QueryEscape(query), "HX-Request", "true")
		if !strings.Contains(body, `href="`+want+`"`) {
			t.Errorf("%q lacks %s: %s", query, want, textOf(body))
		}
	}
	if body := w.page(t, "/palette?part=results&q=%3Cb%3E", "HX-Request", "true"); !strings.Contains(body, "Nothing matches") {
		t.Errorf("%s", body)
	}
}

func TestSettingsAreSavedTogetherOrNotAtAll(t *testing.T) {
	w := open(t)
	form := formFields(t, w.page(t, "/settings/account"), "/settings/account")
	if form.Get("concurrency") != "1000" || form.Get("perMillion") != "0.2" || form.Get("perGBSecond") != "0.0000166667" {
		t.Fatalf("%v", form)
	}
	form.Set("concurrency", "500")
	form.Set("logDays", "0")
	resp, body := w.post(t, "/settings/account", form)
	if resp.StatusCode != 422 || !strings.Contains(textOf(body), "Choose 1 to 3,650.") {
		t.Fatalf("%d %s", resp.StatusCode, textOf(body))
	}
	n := 0
	if err := w.store.Setting(t.Context(), "concurrency", &n); err != nil || n != 0 {
		t.Errorf("saved in part: %d %v", n, err)
	}
	form.Set("logDays", "7")
	if resp, body = w.post(t, "/settings/account", form); resp.StatusCode != http.StatusSeeOther {
		t.Fatalf("%d %s", resp.StatusCode, textOf(body))
	}
	var r lambda.Retention
	if err := w.store.Setting(t.Context(), "retention", &r); err != nil || r.LogDays != 7 {
		t.Errorf("%+v %v", r, err)
	}
}

func TestSettingsShowRuntimesSessionsAndAudit(t *testing.T) {
	w := open(t)
	w.function(t, "f", "python-hello", nil)
	text := textOf(w.page(t, "/settings/runtimes"))
	for _, want := range []string{"22.21.1", "/usr/bin/node", "runs on python3.11", "in use", "Install nodejs24.x", "not found"} {
		if !strings.Contains(text, want) {
			t.Errorf("runtimes lack %q: %s", want, text)
		}
	}
	resp, _ := w.post(t, "/settings/runtimes/nodejs24.x/install", url.Values{})
	w.server.o.Console.Drain()
	if text = textOf(w.page(t, "/settings/runtimes")); resp.StatusCode != http.StatusSeeOther || !strings.Contains(text, "could not be downloaded") {
		t.Errorf("a failed installation says nothing: %s", text)
	}
	if text = textOf(w.page(t, "/settings/audit")); !strings.Contains(text, "lambda:CreateFunction") {
		t.Errorf("audit: %s", text)
	}
	if text = textOf(w.page(t, "/settings/sessions")); !strings.Contains(text, "this browser") {
		t.Errorf("sessions: %s", text)
	}
}

func TestAViewerSeesNoValuesAndNoButtons(t *testing.T) {
	w := open(t)
	secret := "hunter2-marker"
	w.function(t, "f", "node-hello", func(n *lambda.NewFunction) { n.Env = lambda.Environment{"TOKEN": secret} })
	env := lambda.Environment{"TOKEN": secret + "-new"}
	if _, err := w.store.UpdateFunction(t.Context(), w.principal(), "f", 0, lambda.FunctionUpdate{Env: &env}); err != nil {
		t.Fatal(err)
	}
	w.server.o.Gate.Decider = fixedRole("viewer")
	for _, path := range []string{"/functions/f/configure", "/functions/f/versions?from=1&to=2", "/settings/runtimes", "/settings/account", "/functions", "/"} {
		body := w.page(t, path)
		if strings.Contains(body, secret) {
			t.Errorf("%s shows a value", path)
		}
		if strings.Contains(body, "btn-act") && path != "/" {
			t.Errorf("%s offers to act", path)
		}
	}
	for _, c := range []struct{ method, path string }{{"POST", "/functions/f/configure"}, {"POST", "/functions/f/delete"}, {"POST", "/functions/f/rollback"}, {"POST", "/functions"}, {"GET", "/new"}, {"POST", "/settings/account"}, {"GET", "/settings/audit"}} {
		body := ""
		if c.method == "POST" {
			body = "_csrf=" + w.csrf
		}
		if resp, text := w.do(t, c.method, c.path, body, "Origin", w.URL); resp.StatusCode != http.StatusForbidden || !strings.Contains(textOf(text), "may not do") {
			t.Errorf("%s %s: %d %s", c.method, c.path, resp.StatusCode, textOf(text))
		}
	}
}

// fixedRole decides as if everybody had one role.
type fixedRole string

func (r fixedRole) Allowed(ctx context.Context, p iam.Principal, action, resource string) (bool, error) {
	p.Role = string(r)
	return iam.BuiltIn{}.Allowed(ctx, p, action, resource)
}

func TestADeveloperMayNotPassARoleThatHeMayNotPass(t *testing.T) {
	w := open(t)
	w.function(t, "f", "node-hello", nil)
	admin := iam.Role{ARN: w.store.ARNs().Role("admin"), Name: "admin", Trust: trustLambda,
		Policies: map[string]string{"all": `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"*","Resource":"*"}}`}}
	if err := w.store.PutRole(t.Context(), w.principal(), admin); err != nil {
		t.Fatal(err)
	}
	if body := w.page(t, "/functions/f/configure/role?role="+url.QueryEscape(admin.ARN), "HX-Request", "true"); !strings.Contains(body, "do everything") {
		t.Errorf("in words: %s", textOf(body))
	}
	w.server.o.Gate.Decider = noPass{}
	form := formFields(t, w.page(t, "/functions/f/configure"), "/functions/f/configure")
	form.Set("role", admin.ARN)
	if resp, body := w.post(t, "/functions/f/configure", form); resp.StatusCode != http.StatusForbidden || !strings.Contains(textOf(body), "iam:PassRole") {
		t.Errorf("%d %s", resp.StatusCode, textOf(body))
	}
	if f, _ := w.store.Function(t.Context(), "f"); f.Role == admin.ARN {
		t.Error("the role was given")
	}
}

func TestFunctionsGetOnlyRolesThatLambdaCanAssume(t *testing.T) {
	w := open(t)
	w.function(t, "f", "node-hello", nil)
	person := iam.Role{ARN: w.store.ARNs().Role("person"), Name: "person", Trust: strings.Replace(trustLambda, "lambda.", "ec2.", 1)}
	if err := w.store.PutRole(t.Context(), w.principal(), person); err != nil {
		t.Fatal(err)
	}
	for _, role := range []string{person.ARN, w.store.ARNs().Role("nobody")} {
		form := formFields(t, w.page(t, "/functions/f/configure"), "/functions/f/configure")
		form.Set("role", role)
		if resp, body := w.post(t, "/functions/f/configure", form); resp.StatusCode != http.StatusUnprocessableEntity || !strings.Contains(textOf(body), role) {
			t.Errorf("configure: %d %s", resp.StatusCode, textOf(body))
		}
		form = url.Values{"template": {"node-hello"}, "name": {"made"}, "runtime": {"nodejs22.x"}, "role": {role}}
		if resp, body := w.post(t, "/functions", form); resp.StatusCode != http.StatusUnprocessableEntity || !strings.Contains(textOf(body), role) {
			t.Errorf("create: %d %s", resp.StatusCode, textOf(body))
		}
	}
	if f, _ := w.store.Function(t.Context(), "made"); f != nil {
		t.Error("the function was made")
	}
}

const trustLambda = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Service":"lambda.amazonaws.com"},"Action":"sts:AssumeRole"}]}`

// noPass lets everything happen but passing a role.
type noPass struct{}

func (noPass) Allowed(_ context.Context, _ iam.Principal, action, _ string) (bool, error) {
	return action != "iam:PassRole", nil
}
