package lambdaapi_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"

	"kiln/iam"
	"kiln/lambda"
	"kiln/server/lambdaapi"
	"kiln/server/sigv4"
)

type echoEngine struct{}

func (echoEngine) Invoke(_ context.Context, inv lambda.Invocation) (lambda.Result, error) {
	return lambda.Result{Payload: inv.Event, Version: lambda.Latest}, nil
}

func (echoEngine) InvokeAsync(context.Context, lambda.Invocation) (string, error) { return "", nil }

type noDocuments struct{}

func (noDocuments) RoleNamed(context.Context, string) (*iam.Role, error) {
	return &iam.Role{Policies: map[string]string{"all": "arn:aws:iam::aws:policy/AWSLambda_FullAccess"}}, nil
}
func (noDocuments) ResourcePolicy(context.Context, string) (string, error) { return "", nil }

type discard struct{ h http.Header }

func (d *discard) Header() http.Header         { return d.h }
func (d *discard) Write(b []byte) (int, error) { return len(b), nil }
func (d *discard) WriteHeader(int)             {}

// BenchmarkInvoke is everything between the HTTP server and the engine: routing, signature, authorization, answer.
func BenchmarkInvoke(b *testing.B) {
	for name, p := range map[string]iam.Principal{
		"root": {Kind: iam.KindRoot, ARN: "arn:aws:iam::000000000000:root", Name: "root"},
		"role": {Kind: iam.KindRole, ARN: "arn:aws:sts::000000000000:assumed-role/app/w", Name: "app"},
	} {
		b.Run(name, func(b *testing.B) { benchInvoke(b, p) })
	}
}

func benchInvoke(b *testing.B, p iam.Principal) {
	keys := sigv4.NewTemporary(nil)
	k := keys.Issue("", p, time.Now().Add(time.Hour))
	api := lambdaapi.New(lambdaapi.Options{Engine: echoEngine{}, KeyOwner: keys.Owner, Verifier: sigv4.New(sigv4.Options{Keys: keys, Now: time.Now}),
		Authority: iam.NewAuthority(noDocuments{}, "us-east-1", time.Now), ARNs: lambda.ARNs{Region: "us-east-1", AccountID: "000000000000"}, Now: time.Now, Log: slog.New(slog.NewTextHandler(io.Discard, nil))})
	body := []byte(`{"name":"world"}`)
	r := httptest.NewRequest("POST", "http://127.0.0.1:8080/2015-03-31/functions/orders/invocations", bytes.NewReader(body))
	r.RequestURI = "/2015-03-31/functions/orders/invocations"
	sum := sha256.Sum256(body)
	cred := aws.Credentials{AccessKeyID: k.ID, SecretAccessKey: k.Secret, SessionToken: k.Token}
	if err := v4.NewSigner().SignHTTP(context.Background(), cred, r, hex.EncodeToString(sum[:]), "lambda", "us-east-1", time.Now()); err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		r.Body = io.NopCloser(bytes.NewReader(body))
		w := &discard{http.Header{}}
		api.ServeHTTP(w, r)
		if w.h.Get("X-Amz-Executed-Version") == "" {
			b.Fatal("refused: ", w.h)
		}
	}
}

// BenchmarkControlPlane is one call over HTTP on a real database with 1,000 functions.
func BenchmarkControlPlane(b *testing.B) {
	w := newWorld(b)
	sha, err := w.store.PutCode(b.Context(), bytes.NewReader(zipOf(b, "index.js", "1")))
	if err != nil {
		b.Fatal(err)
	}
	for i := range 1000 {
		n := lambda.NewFunction{Name: fmt.Sprintf("function-%04d", i), Code: sha, Config: lambda.Config{Runtime: "nodejs22.x", Handler: "index.handler", Role: role, Env: lambda.Environment{"STAGE": "test"}}}
		if _, err := w.store.CreateFunction(b.Context(), iam.System, n); err != nil {
			b.Fatal(err)
		}
	}
	for _, c := range []struct{ name, method, path, body string }{
		{"GetFunction", "GET", fns + "function-0500", ""},
		{"UpdateFunctionConfiguration", "PUT", fns + "function-0500/configuration", `{"Timeout":5}`},
		{"ListFunctions1000", "GET", "/2015-03-31/functions?MaxItems=1000", ""},
	} {
		b.Run(c.name, func(b *testing.B) {
			for b.Loop() {
				if a := w.do(c.method, c.path, c.body); a.status != 200 {
					b.Fatal(a.body)
				}
			}
		})
	}
}
