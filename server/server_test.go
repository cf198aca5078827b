package server

import (
	"context"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"kiln/iam"
	"kiln/lambda"
	"kiln/server/console"
	"kiln/server/edge"
)

// people is a session store with one owner; login tokens are used once.
type people struct {
	mu       sync.Mutex
	tokens   map[string]bool
	sessions map[string]iam.Session
	prefs    map[string]string
	refused  []lambda.AuditEntry
	asked    int
	reading  func() // called after a session was read
	role     string
}

func (p *people) CheckLoginToken(_ context.Context, token string) (bool, error) {
	return p.tokens[token], nil
}

func (p *people) ConsumeLoginToken(_ context.Context, token, _, _ string) (string, iam.User, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.tokens[token] {
		return "", iam.User{}, lambda.E(lambda.Unauthenticated, "login.link")
	}
	delete(p.tokens, token)
	secret := "secret-" + token
	p.sessions[secret] = iam.Session{ID: int64(len(p.sessions) + 1), User: iam.User{ID: 7, Name: "Kim Minseo", Role: p.role}}
	return secret, p.sessions[secret].User, nil
}

func (p *people) SessionBySecret(_ context.Context, secret string) (*iam.Session, error) {
	p.mu.Lock()
	p.asked++
	s, ok := p.sessions[secret]
	p.mu.Unlock()
	if p.reading != nil {
		p.reading()
	}
	if !ok {
		return nil, lambda.E(lambda.Unauthenticated, "session.ended")
	}
	return &s, nil
}

func (p *people) Preferences(context.Context, int64) (map[string]string, error) { return p.prefs, nil }

func (p *people) EndSession(_ context.Context, _ iam.Principal, _, id int64) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	for secret, s := range p.sessions {
		if id == 0 || s.ID == id {
			delete(p.sessions, secret)
		}
	}
	return nil
}

func (p *people) AuditRefusal(_ context.Context, e lambda.AuditEntry) error {
	p.refused = append(p.refused, e)
	return nil
}

// shell is the store of a console without functions.
type shell struct {
	console.Store
	people *people
}

func (shell) CountFunctions(context.Context) (int, error) { return 0, nil }
func (s shell) SetPreference(_ context.Context, _ int64, name, value string) error {
	s.people.prefs[name] = value
	return nil
}

type still struct{ console.Engine }

func (still) Capacity() lambda.Capacity { return lambda.Capacity{Rung: "A"} }

type bare struct{ console.Runtimes }

func (bare) Ready() []console.Runtime { return nil }

// house is a server over fakes, and a client that keeps cookies and does not follow redirects.
type house struct {
	*httptest.Server
	people *people
	client *http.Client
	server *Server
}

func build(t *testing.T, change func(*Options)) *house {
	t.Helper()
	log := slog.New(slog.NewTextHandler(io.Discard, nil))
	p := &people{tokens: map[string]bool{"once": true}, sessions: map[string]iam.Session{}, prefs: map[string]string{}, role: "owner"}
	arns := lambda.ARNs{Region: "us-east-1", AccountID: "000000000000"}
	gate := &edge.Gate{Decider: iam.BuiltIn{}, Audit: p, ARNs: arns, Log: log}
	sessions := NewSessions(p, arns, time.Now)
	c := console.New(console.Options{Store: shell{people: p}, Engine: still{}, Runtimes: bare{}, Gate: gate, Sessions: sessions, ARNs: arns, Host: "test", Log: log, Now: time.Now})
	o := Options{
		Console: c, Sessions: sessions, Gate: gate, Log: log, Now: time.Now,
		Health: func(context.Context) Health { return Health{Status: "ok"} },
	}
	if change != nil {
		change(&o)
	}
	s := New(o)
	ts := httptest.NewServer(s.Handler())
	t.Cleanup(ts.Close)
	client := &http.Client{Jar: &jar{}, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	return &house{ts, p, client, s}
}

// jar keeps every cookie for every address, as a hostile test needs.
type jar struct{ all map[string]*http.Cookie }

func (j *jar) SetCookies(_ *url.URL, cookies []*http.Cookie) {
	if j.all == nil {
		j.all = map[string]*http.Cookie{}
	}
	for _, c := range cookies {
		if c.MaxAge < 0 {
			delete(j.all, c.Name)
			continue
		}
		j.all[c.Name] = c
	}
}

func (j *jar) Cookies(*url.URL) (out []*http.Cookie) {
	for _, c := range j.all {
		out = append(out, c)
	}
	return out
}

// do sends a request with headers given as name-value pairs; "Host" sets the host.
func (h *house) do(t *testing.T, method, path, body string, headers ...string) (*http.Response, string) {
	t.Helper()
	r, err := http.NewRequest(method, h.URL+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	if body != "" {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	for i := 0; i < len(headers); i += 2 {
		if headers[i] == "Host" {
			r.Host = headers[i+1]
		} else {
			r.Header.Set(headers[i], headers[i+1])
		}
	}
	resp, err := h.client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp, string(b)
}

// signIn uses the login link and answers the CSRF token of the home page.
func (h *house) signIn(t *testing.T) string {
	t.Helper()
	resp, _ := h.do(t, "POST", "/login", "token=once&next=/", "Origin", h.URL)
	if resp.StatusCode != http.StatusSeeOther {
		t.Fatalf("sign-in: %d", resp.StatusCode)
	}
	_, body := h.do(t, "GET", "/logout-is-no-page", "")
	m := regexp.MustCompile(`data-csrf="([^"]+)"`).FindStringSubmatch(body)
	if m == nil {
		t.Fatalf("no token in %s", body)
	}
	return m[1]
}

func TestEveryRouteHasItsRow(t *testing.T) {
	h := build(t, nil)
	seen := map[string]bool{}
	for _, r := range h.server.Routes() {
		switch {
		case r.Row.Target != r.Method+" "+r.Path:
			t.Errorf("%s %s: its row is of %q", r.Method, r.Path, r.Row.Target)
		case seen[r.Row.Target]:
			t.Errorf("%s is there twice", r.Row.Target)
		case !r.Row.Open && (r.Row.Action == "" || r.Row.Resource == nil):
			t.Errorf("%s has no action or no resource", r.Row.Target)
		case r.Row.Open && r.Path != "/login" && r.Path != "/logout":
			t.Errorf("%s is open to everybody", r.Row.Target)
		}
		seen[r.Row.Target] = true
	}
	own := map[string]bool{"GET /static/*": true, "GET /words/*": true, "GET /favicon.ico": true, "GET /robots.txt": true, "GET /healthz": true, "GET /metrics": true}
	for _, r := range h.server.echo().Routes() {
		if target := r.Method + " " + r.Path; !seen[target] && !own[target] && r.Method != "echo_route_not_found" {
			t.Errorf("%s is routed without a row", target)
		}
	}
}

func TestNobodyGetsInWithoutASession(t *testing.T) {
	h := build(t, nil)
	for _, r := range h.server.Routes() {
		if r.Row.Open {
			continue
		}
		path := strings.NewReplacer(":name", "f", ":number", "1", ":id", "1").Replace(r.Path)
		resp, body := h.do(t, r.Method, path, "", "Origin", h.URL)
		signedOut := resp.StatusCode == http.StatusUnauthorized || resp.StatusCode == http.StatusSeeOther && strings.HasPrefix(resp.Header.Get("Location"), "/login")
		if !signedOut {
			t.Errorf("%s %s: %d %.80s", r.Method, path, resp.StatusCode, body)
		}
	}
}

func TestALoginLinkSignsInOnce(t *testing.T) {
	h := build(t, nil)
	resp, body := h.do(t, "GET", "/login?token=once", "")
	if resp.StatusCode != 200 || !strings.Contains(body, "<button") || !h.people.tokens["once"] {
		t.Fatalf("GET used the link up or shows no button: %d %s", resp.StatusCode, body)
	}
	resp, _ = h.do(t, "POST", "/login", "token=once&next=//evil.example/", "Origin", h.URL)
	if resp.StatusCode != http.StatusSeeOther || resp.Header.Get("Location") != "/" {
		t.Fatalf("%d %s", resp.StatusCode, resp.Header.Get("Location"))
	}
	cookie := resp.Cookies()[0]
	if cookie.Name != "kiln_session" || !cookie.HttpOnly || cookie.Domain != "" || cookie.SameSite != http.SameSiteLaxMode {
		t.Errorf("cookie %v", cookie)
	}
	if resp, _ = h.do(t, "POST", "/login", "token=once", "Origin", h.URL, "Cookie", ""); resp.StatusCode != http.StatusForbidden && resp.StatusCode != http.StatusUnauthorized {
		t.Errorf("the link worked twice: %d", resp.StatusCode)
	}
}

func TestHTTPSMakesTheCookieHostOnlyAndSecure(t *testing.T) {
	h := build(t, func(o *Options) { o.URL = &url.URL{Scheme: "https", Host: "kiln.example"} })
	resp, _ := h.do(t, "POST", "/login", "token=once", "Origin", "https://kiln.example", "Host", "kiln.example")
	if c := resp.Cookies(); len(c) != 1 || c[0].Name != "__Host-kiln_session" || !c[0].Secure || c[0].Path != "/" {
		t.Errorf("%d %v", resp.StatusCode, c)
	}
	if resp.Header.Get("Strict-Transport-Security") == "" {
		t.Error("no Strict-Transport-Security")
	}
}

func TestWritesNeedOriginAndToken(t *testing.T) {
	h := build(t, nil)
	token := h.signIn(t)
	for name, c := range map[string]struct {
		headers []string
		body    string
		status  int
	}{
		"own origin and header token":  {[]string{"Origin", h.URL, "X-CSRF-Token", token}, "name=theme&value=dark", 303},
		"own origin and field token":   {[]string{"Origin", h.URL}, "name=theme&value=dark&_csrf=" + token, 303},
		"fetch metadata for an origin": {[]string{"Sec-Fetch-Site", "same-origin", "X-CSRF-Token", token}, "name=theme&value=dark", 303},
		"foreign origin":               {[]string{"Origin", "http://evil.example", "X-CSRF-Token", token}, "name=theme&value=dark", 403},
		"null origin":                  {[]string{"Origin", "null", "X-CSRF-Token", token}, "name=theme&value=dark", 403},
		"another port":                 {[]string{"Origin", "http://127.0.0.1:1", "X-CSRF-Token", token}, "name=theme&value=dark", 403},
		"no origin":                    {[]string{"X-CSRF-Token", token}, "name=theme&value=dark", 403},
		"no token":                     {[]string{"Origin", h.URL}, "name=theme&value=dark", 403},
		"wrong token":                  {[]string{"Origin", h.URL, "X-CSRF-Token", token + "x"}, "name=theme&value=dark", 403},
	} {
		t.Run(name, func(t *testing.T) {
			delete(h.people.prefs, "theme")
			resp, body := h.do(t, "POST", "/preferences", c.body, c.headers...)
			if resp.StatusCode != c.status {
				t.Errorf("%d %.200s", resp.StatusCode, body)
			}
			if wrote := h.people.prefs["theme"] != ""; wrote != (c.status == 303) {
				t.Errorf("written: %v", wrote)
			}
		})
	}
}

func TestForeignHostNamesGetNothing(t *testing.T) {
	h := build(t, func(o *Options) { o.Hosts = []string{"kiln.lab"} })
	for host, want := range map[string]int{"localhost:8080": 200, "127.0.0.1:1": 200, "[::1]:80": 200, "kiln.lab": 200, "KILN.LAB.": 200,
		"evil.example": 403, "localhost.evil.example": 403, "10.1.2.3": 403, "": 200} {
		resp, body := h.do(t, "GET", "/login", "", "Host", host)
		if host != "" && resp.StatusCode != want {
			t.Errorf("%q: %d %.100s", host, resp.StatusCode, body)
		}
	}
}

func TestSignedCallsGoToTheAPIAndPagesDoNot(t *testing.T) {
	h := build(t, func(o *Options) {
		o.AWS = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, "api") })
	})
	if _, body := h.do(t, "GET", "/2015-03-31/functions", "", "Authorization", "AWS4-HMAC-SHA256 Credential=x", "Host", "lambda.us-east-1.amazonaws.com"); body != "api" {
		t.Errorf("a signed call got %.100s", body)
	}
	if _, body := h.do(t, "GET", "/login", "", "Authorization", "Basic x"); body == "api" {
		t.Error("an unsigned call reached the API")
	}
}

func TestAnswersCarryTheSecurityHeaders(t *testing.T) {
	h := build(t, nil)
	first, _ := h.do(t, "GET", "/login", "")
	second, _ := h.do(t, "GET", "/nothing", "")
	csp := first.Header.Get("Content-Security-Policy")
	if strings.Contains(csp, "unsafe") || !strings.Contains(csp, "default-src 'none'") || csp == second.Header.Get("Content-Security-Policy") {
		t.Errorf("policy %q", csp)
	}
	for _, name := range []string{"X-Content-Type-Options", "X-Frame-Options", "Referrer-Policy", "X-Request-Id"} {
		if second.Header.Get(name) == "" {
			t.Errorf("no %s", name)
		}
	}
}

func TestErrorsFitTheirAudience(t *testing.T) {
	h := build(t, nil)
	h.signIn(t)
	page, body := h.do(t, "GET", "/nothing", "", "Accept-Language", "ko")
	if page.StatusCode != 404 || !strings.Contains(body, `lang="ko"`) || !strings.Contains(body, "여기에는 아무것도 없습니다") {
		t.Errorf("page: %d %.300s", page.StatusCode, body)
	}
	htmx, body := h.do(t, "GET", "/nothing", "", "HX-Request", "true")
	if htmx.Header.Get("HX-Retarget") != "#notices" || strings.Contains(body, "<html") || !strings.Contains(body, `class="toast"`) {
		t.Errorf("htmx: %v %.300s", htmx.Header, body)
	}
	if _, body = h.do(t, "GET", "/nothing", "", "Accept", "application/json"); !strings.Contains(body, `"key":"page.missing"`) {
		t.Errorf("json: %s", body)
	}
}

func TestAViewerIsRefusedAndTheRefusalIsAudited(t *testing.T) {
	h := build(t, nil)
	row := edge.Row{Target: "x", Action: "lambda:DeleteFunction", Resource: edge.OnFunction("name")}
	ctx := edge.WithPrincipal(context.Background(), iam.Principal{Kind: iam.KindUser, Role: "viewer", Name: "Vi", ARN: "arn:vi", From: "1.2.3.4"})
	err := h.server.o.Gate.Authorize(ctx, row, func(string) string { return "f" })
	if lambda.KindOf(err) != lambda.Denied {
		t.Fatal(err)
	}
	if r := h.people.refused; len(r) != 1 || !r[0].Denied || r[0].Resource != "arn:aws:lambda:us-east-1:000000000000:function:f" || r[0].From != "1.2.3.4" {
		t.Errorf("audit %+v", r)
	}
}

func TestWarmRequestsAskNoDatabaseForTheSessionAndSignOutIsAtOnce(t *testing.T) {
	h := build(t, nil)
	token := h.signIn(t)
	asked := h.people.asked
	for range 3 {
		h.do(t, "GET", "/nothing", "")
	}
	if h.people.asked != asked {
		t.Errorf("asked %d times more", h.people.asked-asked)
	}
	ended, release := h.server.o.Sessions.Watch(7, 1)
	defer release()
	cookie := h.client.Jar.(*jar).all["kiln_session"]
	h.do(t, "POST", "/logout", "_csrf="+token, "Origin", h.URL)
	select {
	case <-ended:
	case <-time.After(5 * time.Second):
		t.Error("sockets of the session were not told")
	}
	h.client.Jar.(*jar).all["kiln_session"] = cookie
	if resp, _ := h.do(t, "GET", "/", ""); resp.StatusCode != http.StatusSeeOther || !strings.HasPrefix(resp.Header.Get("Location"), "/login") {
		t.Errorf("the old cookie still works: %d", resp.StatusCode)
	}
}

func TestSignInIsRateLimited(t *testing.T) {
	h := build(t, nil)
	var last int
	for range 12 {
		resp, _ := h.do(t, "POST", "/login", "token=guess", "Origin", h.URL)
		last = resp.StatusCode
	}
	if last != http.StatusTooManyRequests {
		t.Errorf("%d", last)
	}
}

func TestOnlyTrustedProxiesNameTheCaller(t *testing.T) {
	h := build(t, nil)
	r := httptest.NewRequest("GET", "/", nil)
	r.RemoteAddr = "127.0.0.1:99"
	r.Header.Set("X-Forwarded-For", "6.6.6.6, 9.9.9.9, 10.0.0.1")
	if got := h.server.clientIP(r); got != "127.0.0.1" {
		t.Errorf("believed an untrusted header: %s", got)
	}
	h.server.o.TrustedProxies = prefixes("127.0.0.0/8", "10.0.0.0/8")
	if got := h.server.clientIP(r); got != "9.9.9.9" {
		t.Errorf("caller %s", got)
	}
}

func TestMetricsAreForThisMachine(t *testing.T) {
	h := build(t, func(o *Options) {
		o.Metrics = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "kiln_up 1") })
	})
	if _, body := h.do(t, "GET", "/metrics", ""); body != "kiln_up 1" {
		t.Errorf("%.100s", body)
	}
	for name, value := range map[string]string{"X-Forwarded-For": "1.2.3.4", "Forwarded": "for=1.2.3.4", "Via": "1.1 proxy", "X-Real-IP": "1.2.3.4"} {
		if resp, _ := h.do(t, "GET", "/metrics", "", name, value); resp.StatusCode != 404 {
			t.Errorf("through a proxy (%s): %d", name, resp.StatusCode)
		}
	}
}

func prefixes(all ...string) (out []netip.Prefix) {
	for _, p := range all {
		out = append(out, netip.MustParsePrefix(p))
	}
	return out
}

func TestNothingLargerThanAPackageIsReadInAWrite(t *testing.T) {
	h := build(t, nil)
	token := h.signIn(t)
	resp, body := h.do(t, "POST", "/preferences", strings.Repeat("x", maxBody+1), "Origin", h.URL, "X-CSRF-Token", token, "Accept", "application/json")
	if resp.StatusCode != http.StatusRequestEntityTooLarge || !strings.Contains(body, "body.large") {
		t.Errorf("%d %.200s", resp.StatusCode, body)
	}
}

func TestASessionThatEndsWhileItIsReadIsNotRemembered(t *testing.T) {
	h := build(t, nil)
	h.signIn(t)
	s := h.server.o.Sessions
	s.Changed(7)
	h.people.reading = func() {
		h.people.reading = nil
		if err := s.End(t.Context(), iam.Principal{}, 7, 1); err != nil {
			t.Error(err)
		}
	}
	for range 2 { // the first read began before the end
		_, err := s.find(t.Context(), "secret-once")
		if last := lambda.KindOf(err) == lambda.Unauthenticated; h.people.reading == nil && last {
			return
		}
	}
	t.Error("the session lives on")
}
