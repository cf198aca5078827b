package lambdaapi_test

import (
	"archive/zip"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	sdk "github.com/aws/aws-sdk-go-v2/service/lambda"

	"kiln/code"
	"kiln/iam"
	"kiln/lambda"
	"kiln/server/lambdaapi"
	"kiln/server/sigv4"
	"kiln/store"
	"kiln/store/storetest"
)

const (
	keyID  = "AKIAKILNTESTROOT0000"
	secret = "test-secret-of-the-root-key"
	role   = "arn:aws:iam::000000000000:role/kiln-default"
	arn    = "arn:aws:lambda:us-east-1:000000000000:function:"
)

// fakeEngine runs functions by what their names begin with, after finding them as the real one does.
type fakeEngine struct {
	store *store.Store
	mu    sync.Mutex
	seen  []lambda.Invocation
}

func (e *fakeEngine) Invoke(ctx context.Context, inv lambda.Invocation) (lambda.Result, error) {
	t, err := e.store.Target(ctx, inv.Function, inv.Qualifier)
	if err != nil {
		return lambda.Result{}, err
	}
	e.mu.Lock()
	e.seen = append(e.seen, inv)
	e.mu.Unlock()
	if len(inv.Event) > 0 && !json.Valid(inv.Event) {
		return lambda.Result{}, lambda.E(lambda.Invalid, "event.json")
	}
	res := lambda.Result{Payload: inv.Event, Version: t.Runnable.Version}
	if len(inv.Event) == 0 {
		res.Payload = []byte("null")
	}
	if inv.WantTail {
		res.LogTail = []byte("START RequestId: " + inv.RequestID + " Version: $LATEST\n")
	}
	switch {
	case strings.HasPrefix(inv.Function, "fail"):
		res.FunctionError, res.Payload = "Unhandled", []byte(`{"errorType":"Error","errorMessage":"no"}`)
	case strings.HasPrefix(inv.Function, "busy"):
		return res, lambda.E(lambda.Throttled, "throttle.reserved", "reason", "ReservedFunctionConcurrentInvocationLimitExceeded")
	case strings.HasPrefix(inv.Function, "gone"):
		return res, lambda.E(lambda.Unavailable, "runtime.missing", "runtime", "ruby3.4")
	}
	if inv.Stream != nil && res.FunctionError == "" {
		for _, piece := range strings.SplitAfter(string(res.Payload), ",") {
			if err := inv.Stream([]byte(piece)); err != nil {
				return res, err
			}
		}
		res.Payload = nil
	}
	return res, nil
}

func (e *fakeEngine) InvokeAsync(ctx context.Context, inv lambda.Invocation) (string, error) {
	if _, err := e.store.Target(ctx, inv.Function, inv.Qualifier); err != nil {
		return "", err
	}
	if !json.Valid(inv.Event) {
		return "", lambda.E(lambda.Invalid, "event.json")
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.seen = append(e.seen, inv)
	return inv.RequestID, nil
}

// world is a server with the API on a real database.
type world struct {
	t         testing.TB
	store     *store.Store
	engine    *fakeEngine
	authority *iam.Authority
	keys      *sigv4.Temporary
	api       *lambdaapi.API
	url       string
	server    *httptest.Server
	said      []string // texts of the errors that scenes provoked
}

func newWorld(t testing.TB) *world {
	t.Helper()
	w := &world{t: t, store: storetest.New(t)}
	if err := w.store.PutRootKey(t.Context(), keyID, secret); err != nil {
		t.Fatal(err)
	}
	w.engine = &fakeEngine{store: w.store}
	w.authority = iam.NewAuthority(w.store, storetest.Region, time.Now)
	w.keys = sigv4.NewTemporary(w.store)
	verifier := sigv4.New(sigv4.Options{Keys: w.keys, Now: time.Now})
	w.api = lambdaapi.New(lambdaapi.Options{Store: w.store, Engine: w.engine, Verifier: verifier, KeyOwner: w.keys.Owner, Authority: w.authority, Refusals: w.store, ARNs: w.store.ARNs(),
		CodeURL:     func(sha string) string { return "http://127.0.0.1:8081/_code/" + sha },
		FunctionURL: func(id string) string { return "http://" + id + ".lambda-url.us-east-1.localhost:8081/" },
		CheckZip:    code.Check, PoliciesChanged: w.authority.Forget, Now: time.Now, Log: slog.New(slog.NewTextHandler(io.Discard, nil))})
	w.server = httptest.NewServer(w.api)
	t.Cleanup(w.server.Close)
	w.url = w.server.URL
	return w
}

func (w *world) client() *sdk.Client {
	return sdk.New(sdk.Options{BaseEndpoint: &w.url, Region: storetest.Region, RetryMaxAttempts: 1,
		Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
			return aws.Credentials{AccessKeyID: keyID, SecretAccessKey: secret}, nil
		})})
}

type answer struct {
	status int
	header http.Header
	body   string
}

// do makes one signed call.
func (w *world) do(method, path, body string, headers ...string) answer {
	w.t.Helper()
	return w.as(aws.Credentials{AccessKeyID: keyID, SecretAccessKey: secret}, "lambda", method, path, body, headers...)
}

func (w *world) as(cred aws.Credentials, service, method, path, body string, headers ...string) answer {
	w.t.Helper()
	r, err := http.NewRequest(method, w.url+path, strings.NewReader(body))
	if err != nil {
		w.t.Fatal(err)
	}
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	sum := sha256.Sum256([]byte(body))
	if err := v4.NewSigner().SignHTTP(context.Background(), cred, r, hex.EncodeToString(sum[:]), service, storetest.Region, time.Now()); err != nil {
		w.t.Fatal(err)
	}
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		w.t.Fatal(err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil && !errors.Is(err, io.ErrUnexpectedEOF) {
		w.t.Fatal(err)
	}
	return answer{res.StatusCode, res.Header, string(b)}
}

// good makes a call that must answer status and gives the decoded body.
func (w *world) good(status int, method, path, body string) map[string]any {
	w.t.Helper()
	a := w.do(method, path, body)
	if a.status != status {
		w.t.Fatalf("%s %s: %d %s %s", method, path, a.status, a.header.Get("X-Amzn-Errortype"), a.body)
	}
	m := map[string]any{}
	if a.body != "" {
		if err := json.Unmarshal([]byte(a.body), &m); err != nil {
			w.t.Fatalf("%s %s: %v in %s", method, path, err, a.body)
		}
	}
	return m
}

func zipOf(t testing.TB, files ...string) []byte {
	t.Helper()
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	for i := 0; i < len(files); i += 2 {
		f, err := z.Create(files[i])
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(f, files[i+1]); err != nil {
			t.Fatal(err)
		}
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// create makes a function with the SDK's least input; extra is more JSON members.
func (w *world) create(name, extra string) map[string]any {
	w.t.Helper()
	return w.good(201, "POST", "/2015-03-31/functions", w.createBody(name, extra))
}

func (w *world) createBody(name, extra string) string {
	b, err := json.Marshal(map[string]any{"FunctionName": name, "Role": role, "Runtime": "nodejs22.x", "Handler": "index.handler", "Code": map[string][]byte{"ZipFile": zipOf(w.t, "index.js", "exports.handler = async e => e // "+name)}})
	if err != nil {
		w.t.Fatal(err)
	}
	body := strings.TrimSuffix(string(b), "}")
	if extra != "" {
		body += "," + extra
	}
	return body + "}"
}

func base64Of(b []byte) string { return base64.StdEncoding.EncodeToString(b) }
