package gateway

import (
	"bufio"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"kiln/iam"
	"kiln/lambda"
)

// fake is store and engine at once: it answers what the scenario says and keeps the event.
type fake struct {
	target Target
	answer func(inv lambda.Invocation) (lambda.Result, error)
	event  urlEvent
	raw    []byte
	calls  int
}

func (f *fake) URLTarget(_ context.Context, id string) (*Target, error) {
	if id != f.target.URL.ID {
		return nil, lambda.E(lambda.NotFound, "url.missing")
	}
	return &f.target, nil
}

func (f *fake) Invoke(_ context.Context, inv lambda.Invocation) (lambda.Result, error) {
	f.calls++
	f.raw = inv.Event
	if err := json.Unmarshal(inv.Event, &f.event); err != nil {
		return lambda.Result{}, err
	}
	return f.answer(inv)
}

func (f *fake) OpenCode(_ context.Context, sha string) (io.ReadCloser, error) {
	if sha != "abc" {
		return nil, lambda.E(lambda.NotFound, "code.missing")
	}
	return io.NopCloser(strings.NewReader("zip bytes")), nil
}

var testNow = time.Date(2026, 11, 28, 14, 0, 0, 0, time.UTC)

func payload(s string) func(lambda.Invocation) (lambda.Result, error) {
	return func(lambda.Invocation) (lambda.Result, error) { return lambda.Result{Payload: []byte(s)}, nil }
}

func start(t *testing.T, f *fake) *httptest.Server {
	t.Helper()
	f.target.URL.ID, f.target.Function = "abc123", "orders"
	if f.target.URL.AuthType == "" {
		f.target.URL.AuthType = "NONE"
	}
	links := NewLinks("http://links", []byte("0123456789abcdef0123456789abcdef"))
	g := New(Options{URLs: f, Engine: f, Packages: f, Links: links, Region: "us-east-1", Domain: "localhost", NewID: func() string { return "id-1" },
		Now: func() time.Time { return testNow }, Log: slog.New(slog.DiscardHandler), Remote: func(*http.Request) string { return "203.0.113.9" },
		Authorize: func(r *http.Request, _ *Target) (iam.Principal, error) {
			switch r.Header.Get("Authorization") {
			case "":
				return iam.Principal{Kind: iam.KindAnonymous, Name: "anonymous"}, nil
			case "good":
				return iam.Principal{Kind: iam.KindUser, ARN: "arn:aws:iam::123456789012:user/kim", Name: "kim"}, nil
			}
			return iam.Principal{}, lambda.E(lambda.Denied, "denied")
		}})
	s := httptest.NewServer(g)
	t.Cleanup(s.Close)
	return s
}

const host = "abc123.lambda-url.us-east-1.localhost"

func send(t *testing.T, s *httptest.Server, method, path, host, body string, header ...string) (*http.Response, string) {
	t.Helper()
	req, err := http.NewRequest(method, s.URL, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.URL.Opaque = path // sent as it is
	if host != "" {
		req.Host = host
	}
	for i := 0; i < len(header); i += 2 {
		req.Header.Add(header[i], header[i+1])
	}
	res, err := http.DefaultTransport.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res, string(b)
}

func TestEventsKeepPathAndQueryByteForByte(t *testing.T) {
	for _, c := range []struct{ host, sent, rawPath, rawQuery, path string }{
		{host, "/", "/", "", "/"},
		{host, "/a%2Fb/%C3%A9?x=1&x=2&y=%20z", "/a%2Fb/%C3%A9", "x=1&x=2&y=%20z", "/a/b/é"},
		{host, "/a//b/../c", "/a//b/../c", "", "/a//b/../c"},
		{"", "/_url/abc123", "/", "", "/"},
		{"", "/_url/abc123/a%20b?q", "/a%20b", "q", "/a b"},
		{"", "/_url/abc123//x", "//x", "", "//x"},
	} {
		f := &fake{answer: payload(`"ok"`)}
		s := start(t, f)
		res, body := send(t, s, "GET", c.sent, c.host, "")
		e := f.event
		if res.StatusCode != 200 || body != "ok" || e.RawPath != c.rawPath || e.RawQueryString != c.rawQuery || e.RequestContext.HTTP.Path != c.path {
			t.Errorf("%s: %d %q %+v", c.sent, res.StatusCode, body, e)
		}
	}
}

func TestEventShape(t *testing.T) {
	f := &fake{answer: payload(`"ok"`)}
	s := start(t, f)
	send(t, s, "POST", "/p?a=1&a=2&b=", host, `{"n":1}`, "Content-Type", "application/json", "X-Two", "1", "X-Two", "2", "Cookie", "a=b; c=d", "User-Agent", "test", "Authorization", "good")
	var got map[string]any
	if err := json.Unmarshal(f.raw, &got); err != nil {
		t.Fatal(err)
	}
	ctx := got["requestContext"].(map[string]any)
	for what, ok := range map[string]bool{
		"version":      got["version"] == "2.0",
		"routeKey":     got["routeKey"] == "$default" && ctx["routeKey"] == "$default" && ctx["stage"] == "$default",
		"body as text": got["body"] == `{"n":1}` && got["isBase64Encoded"] == false,
		"headers":      got["headers"].(map[string]any)["x-two"] == "1,2",
		"cookies":      len(got["cookies"].([]any)) == 2 && got["cookies"].([]any)[1] == "c=d",
		"query":        got["queryStringParameters"].(map[string]any)["a"] == "1,2",
		"domain":       ctx["domainName"] == host && ctx["domainPrefix"] == "abc123" && ctx["apiId"] == "abc123",
		"http":         ctx["http"].(map[string]any)["sourceIp"] == "203.0.113.9" && ctx["http"].(map[string]any)["method"] == "POST",
		"time":         ctx["time"] == "28/Nov/2026:14:00:00 +0000" && ctx["timeEpoch"] == float64(testNow.UnixMilli()),
		"authorizer":   ctx["authorizer"].(map[string]any)["iam"].(map[string]any)["userArn"] == "arn:aws:iam::123456789012:user/kim" && ctx["accountId"] == "123456789012",
	} {
		if !ok {
			t.Errorf("%s is wrong in %s", what, f.raw)
		}
	}
}

func TestBinaryBodiesTravelAsBase64(t *testing.T) {
	for _, c := range []struct {
		contentType, body string
		base64            bool
	}{
		{"text/plain", "hi", false}, {"application/vnd.api+json; charset=utf-8", "{}", false}, {"image/png", "\x89PNG", true},
		{"text/plain", "\xff\xfe", true}, {"", "hi", true}, {"application/x-www-form-urlencoded", "a=b", true},
	} {
		f := &fake{answer: payload(`null`)}
		send(t, start(t, f), "POST", "/", host, c.body, "Content-Type", c.contentType)
		want := c.body
		if c.base64 {
			want = base64.StdEncoding.EncodeToString([]byte(c.body))
		}
		if f.event.IsBase64Encoded != c.base64 || f.event.Body != want {
			t.Errorf("%q: %+v", c.contentType, f.event)
		}
	}
}

func TestAnswers(t *testing.T) {
	for _, c := range []struct {
		what, payload string
		status        int
		body          string
		header        map[string]string
	}{
		{"plain object", `{"a":1}`, 200, `{"a":1}`, map[string]string{"Content-Type": "application/json"}},
		{"plain text", `"hello"`, 200, "hello", nil},
		{"full", `{"statusCode":201,"headers":{"X-N":5,"Content-Type":"text/html"},"body":"<b>","cookies":["a=1; Path=/"]}`, 201, "<b>", map[string]string{"X-N": "5", "Content-Type": "text/html", "Set-Cookie": "a=1; Path=/"}},
		{"base64", `{"statusCode":200,"body":"aGk=","isBase64Encoded":true}`, 200, "hi", nil},
		{"bad base64", `{"statusCode":200,"body":"%","isBase64Encoded":true}`, 502, "", nil},
		{"a status that is none", `{"statusCode":99}`, 502, "", nil},
		{"header injection", `{"statusCode":200,"headers":{"X-A":"b\r\nSet-Cookie: kiln_session=x"}}`, 200, "", map[string]string{"X-A": "b  Set-Cookie: kiln_session=x", "Set-Cookie": ""}},
		{"the console's cookie", `{"statusCode":200,"cookies":["kiln_session=x; Path=/","__Host-kiln_session=x","=kiln_session=x","kiln_session","\u0001kiln_session=x","ok=1","d=1; Domain=localhost"]}`, 200, "", map[string]string{"Set-Cookie": "ok=1"}},
	} {
		res, body := send(t, start(t, &fake{answer: payload(c.payload)}), "GET", "/", host, "")
		if res.StatusCode != c.status || c.body != "" && body != c.body {
			t.Errorf("%s: %d %q", c.what, res.StatusCode, body)
		}
		for k, v := range c.header {
			if got := strings.Join(res.Header.Values(k), "|"); got != v {
				t.Errorf("%s: %s is %q, want %q", c.what, k, got, v)
			}
		}
	}
}

func TestRefusalsReachNoFunction(t *testing.T) {
	for _, c := range []struct {
		what, host, path, auth string
		status                 int
		body                   string
	}{
		{"unknown host", "nobody.lambda-url.us-east-1.localhost", "/", "", 403, `{"Message":null}`},
		{"another region's host", "abc123.lambda-url.eu-west-1.localhost", "/", "", 403, `{"Message":null}`},
		{"no URL at all", "", "/", "", 403, `{"Message":null}`},
		{"unknown id", "", "/_url/zzz/", "", 403, `{"Message":null}`},
		{"refused", host, "/", "bad", 403, `{"Message":"Forbidden"}`},
		{"a console page", "", "/functions", "", 403, `{"Message":null}`},
	} {
		f := &fake{answer: payload(`1`)}
		header := []string{}
		if c.auth != "" {
			header = []string{"Authorization", c.auth}
		}
		res, body := send(t, start(t, f), "GET", c.path, c.host, "", header...)
		if res.StatusCode != c.status || body != c.body || f.calls != 0 {
			t.Errorf("%s: %d %s, %d calls", c.what, res.StatusCode, body, f.calls)
		}
	}
}

func TestFaultsOfARun(t *testing.T) {
	for _, c := range []struct {
		err    error
		result lambda.Result
		status int
	}{
		{nil, lambda.Result{FunctionError: "Unhandled", Payload: []byte(`{"errorMessage":"secret detail"}`)}, 502},
		{lambda.E(lambda.Throttled, "throttle.reserved"), lambda.Result{}, 429},
		{lambda.E(lambda.Unavailable, "runtime.missing"), lambda.Result{}, 503},
		{errors.New("pq: secret detail"), lambda.Result{}, 500},
	} {
		f := &fake{answer: func(lambda.Invocation) (lambda.Result, error) { return c.result, c.err }}
		res, body := send(t, start(t, f), "GET", "/", host, "")
		if res.StatusCode != c.status || strings.Contains(body, "secret") {
			t.Errorf("%v: %d %s", c.err, res.StatusCode, body)
		}
	}
}

func TestTheConsolesCookiesEndHere(t *testing.T) {
	f := &fake{answer: payload(`1`)}
	send(t, start(t, f), "GET", "/", host, "", "Cookie", "kiln_session=secret; a=b; __Host-kiln_session=secret", "Cookie", "KILN_csrf=secret")
	if strings.Contains(string(f.raw), "secret") || !slices.Equal(f.event.Cookies, []string{"a=b"}) {
		t.Errorf("the function saw %s", f.raw)
	}
}

func TestTooLargeBodies(t *testing.T) {
	f := &fake{answer: payload(`1`)}
	res, _ := send(t, start(t, f), "POST", "/", host, strings.Repeat("x", lambda.MaxEvent+1))
	if res.StatusCode != 413 || f.calls != 0 {
		t.Errorf("%d, %d calls", res.StatusCode, f.calls)
	}
}

func TestTheSharedOriginIsSandboxed(t *testing.T) {
	f := &fake{answer: payload(`{"statusCode":200,"headers":{"Content-Security-Policy":"default-src *","Service-Worker-Allowed":"/","Alt-Svc":"h2=\":1\"","Strict-Transport-Security":"max-age=1","NEL":"{}"}}`)}
	s := start(t, f)
	res, _ := send(t, s, "GET", "/_url/abc123/", "", "")
	if got := res.Header.Get("Content-Security-Policy"); !strings.HasPrefix(got, "sandbox") || strings.Contains(got, "same-origin") || res.Header.Get("Service-Worker-Allowed") != "" ||
		res.Header.Get("Alt-Svc")+res.Header.Get("Strict-Transport-Security")+res.Header.Get("Nel") != "" {
		t.Errorf("headers %v", res.Header)
	}
	res, _ = send(t, s, "GET", "/", host, "")
	if got := res.Header.Get("Content-Security-Policy"); got != "default-src *" {
		t.Errorf("on its own origin the function's policy counts, got %q", got)
	}
}

func TestCORS(t *testing.T) {
	f := &fake{answer: payload(`1`)}
	f.target.URL.CORS = &lambda.CORS{AllowOrigins: []string{"https://a.example"}, AllowMethods: []string{"GET", "PUT"}, AllowHeaders: []string{"x-a"}, MaxAge: 60}
	s := start(t, f)
	res, _ := send(t, s, "OPTIONS", "/", host, "", "Origin", "https://a.example", "Access-Control-Request-Method", "PUT")
	if res.Header.Get("Access-Control-Allow-Origin") != "https://a.example" || res.Header.Get("Access-Control-Allow-Methods") != "GET,PUT" || f.calls != 0 {
		t.Errorf("preflight: %v, %d calls", res.Header, f.calls)
	}
	res, _ = send(t, s, "GET", "/", host, "", "Origin", "https://b.example")
	if res.Header.Get("Access-Control-Allow-Origin") != "" || f.calls != 1 {
		t.Errorf("a foreign origin: %v", res.Header)
	}
}

func TestStreams(t *testing.T) {
	for _, c := range []struct {
		what   string
		pieces []string
		status int
		body   string
		header string // Content-Type
	}{
		{"plain bytes", []string{"ab", "cd"}, 200, "abcd", "application/octet-stream"},
		{"a prelude in one piece", []string{`{"statusCode":202,"headers":{"content-type":"text/event-stream"}}` + "\x00\x00\x00\x00\x00\x00\x00\x00data", "more"}, 202, "datamore", "text/event-stream"},
		{"a prelude in three", []string{`{"statusCode":2`, "03}\x00\x00\x00\x00", "\x00\x00\x00\x00x"}, 203, "x", "application/json"},
		{"JSON without prelude", []string{`{"a":`, `1}`}, 200, `{"a":1}`, "application/octet-stream"},
	} {
		f := &fake{answer: func(inv lambda.Invocation) (lambda.Result, error) {
			for _, p := range c.pieces {
				if err := inv.Stream([]byte(p)); err != nil {
					return lambda.Result{}, err
				}
			}
			return lambda.Result{}, nil
		}}
		f.target.URL.InvokeMode = "RESPONSE_STREAM"
		res, body := send(t, start(t, f), "GET", "/", host, "")
		if res.StatusCode != c.status || body != c.body || res.Header.Get("Content-Type") != c.header {
			t.Errorf("%s: %d %q %v", c.what, res.StatusCode, body, res.Header)
		}
	}
}

func TestABrokenStreamIsNoWholeAnswer(t *testing.T) {
	f := &fake{answer: func(inv lambda.Invocation) (lambda.Result, error) {
		_ = inv.Stream([]byte("half"))
		return lambda.Result{FunctionError: "Unhandled"}, nil
	}}
	f.target.URL.InvokeMode = "RESPONSE_STREAM"
	s := start(t, f)
	c, err := net.Dial("tcp", strings.TrimPrefix(s.URL, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	_, _ = io.WriteString(c, "GET / HTTP/1.1\r\nHost: "+host+"\r\n\r\n")
	res, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadAll(res.Body); err == nil {
		t.Error("the reader took half an answer for a whole one")
	}
}

func TestDownloadLinks(t *testing.T) {
	s := start(t, &fake{})
	links := NewLinks(s.URL, []byte("0123456789abcdef0123456789abcdef"))
	good := strings.TrimPrefix(links.Code("abc", testNow.Add(time.Minute)), s.URL)
	for _, c := range []struct {
		what, path string
		status     int
	}{
		{"good", good, 200},
		{"old", strings.TrimPrefix(links.Code("abc", testNow.Add(-time.Second)), s.URL), 403},
		{"another package", strings.Replace(good, "/abc?", "/abd?", 1), 403},
		{"a later end", strings.Replace(good, "expires=", "expires=9", 1), 403},
		{"no signature", "/_code/abc", 403},
		{"nothing there", strings.TrimPrefix(links.Code("zzz", testNow.Add(time.Minute)), s.URL), 404},
	} {
		res, body := send(t, s, "GET", c.path, "", "")
		if res.StatusCode != c.status || (body == "zip bytes") != (c.status == 200) {
			t.Errorf("%s: %d %q", c.what, res.StatusCode, body)
		}
	}
}

func FuzzResponses(f *testing.F) {
	f.Add([]byte(`{"statusCode":200,"headers":{"a":"b"},"body":"x","cookies":["a=b"]}`))
	f.Add([]byte(`"text"`))
	f.Fuzz(func(t *testing.T, b []byte) {
		w := httptest.NewRecorder()
		g := &cookieGuard{ResponseWriter: w}
		writeResult(g, lambda.Result{Payload: b})
		for _, c := range w.Header()["Set-Cookie"] {
			if strings.HasPrefix(strings.ToLower(strings.TrimLeft(c, "= \t")), "kiln_") { // a browser drops an empty name
				t.Errorf("the console's cookie got through: %q", c)
			}
		}
	})
}
