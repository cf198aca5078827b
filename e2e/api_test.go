package e2e

import (
	"archive/zip"
	"bytes"
	"context"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/lambda"
	"github.com/aws/aws-sdk-go-v2/service/lambda/types"
)

// sdk is AWS's own client with the root key.
func sdk(t *testing.T, s *server) *lambda.Client {
	t.Helper()
	creds := rootKey(t, s)
	return lambda.New(lambda.Options{Region: "us-east-1", BaseEndpoint: aws.String(s.console), RetryMaxAttempts: 1,
		Credentials: aws.CredentialsProviderFunc(func(ctx context.Context) (aws.Credentials, error) { return creds, nil })})
}

func zipOf(t *testing.T, files map[string]string) []byte {
	t.Helper()
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	for name, text := range files {
		h := &zip.FileHeader{Name: name, Method: zip.Deflate}
		h.SetMode(0o755)
		w, err := z.CreateHeader(h)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write([]byte(text)); err != nil {
			t.Fatal(err)
		}
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// createFunction creates a function with AWS's client.
func createFunction(t *testing.T, s *server, name, runtime, handler string, files map[string]string) {
	t.Helper()
	_, err := sdk(t, s).CreateFunction(t.Context(), &lambda.CreateFunctionInput{
		FunctionName: &name, Runtime: types.Runtime(runtime), Handler: &handler, Role: aws.String("arn:aws:iam::000000000000:role/kiln-default"),
		Code: &types.FunctionCode{ZipFile: zipOf(t, files)}, MemorySize: aws.Int32(128),
	})
	if err != nil {
		t.Fatalf("create %s: %v", name, err)
	}
}

func TestFunctionsRunThroughTheAPI(t *testing.T) {
	s := startServer(t)
	createFunction(t, s, "hello-node", "nodejs22.x", "index.handler", map[string]string{"index.js": helloNode})
	createFunction(t, s, "hello-python", "python3.11", "app.handler", map[string]string{"app.py": helloPython})
	createFunction(t, s, "hello-bash", "provided.al2023", "x", map[string]string{"bootstrap": bashBootstrap})
	for _, name := range []string{"hello-node", "hello-python", "hello-bash"} {
		out, err := sdk(t, s).Invoke(t.Context(), &lambda.InvokeInput{FunctionName: &name, Payload: []byte(`{"name":"kiln"}`), LogType: types.LogTypeTail})
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if got := decode[struct{ Hello string }](t, out.Payload); got.Hello != "kiln" || out.FunctionError != nil {
			t.Errorf("%s answered %s (%s)", name, out.Payload, aws.ToString(out.FunctionError))
		}
	}
}

const bashBootstrap = `#!/bin/sh
set -euo pipefail
while true; do
  headers=$(mktemp)
  event=$(curl -sS -D "$headers" "http://$AWS_LAMBDA_RUNTIME_API/2018-06-01/runtime/invocation/next")
  id=$(grep -i Lambda-Runtime-Aws-Request-Id "$headers" | tr -d '[:space:]' | cut -d: -f2)
  name=${event#*\"name\":\"}; name=${name%%\"*}
  curl -sS "http://$AWS_LAMBDA_RUNTIME_API/2018-06-01/runtime/invocation/$id/response" -d "{\"hello\":\"$name\"}" >/dev/null
done
`
