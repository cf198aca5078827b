package e2e

import (
	"context"
	"encoding/base64"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/lambda"
	"github.com/aws/aws-sdk-go-v2/service/lambda/types"
)

// goProgram builds the template of an aws-lambda-go function as `make` in a person's project would.
func goProgram(t *testing.T) string {
	t.Helper()
	out := filepath.Join(t.TempDir(), "bootstrap")
	build := exec.CommandContext(t.Context(), "go", "build", "-tags", "lambda.norpc", "-o", out, "../code/templates/_go-upload/main.go")
	build.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux")
	if b, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build the Go function: %v\n%s", err, b)
	}
	b, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// TestAGoFunctionIsDeployedPublishedAndReadBack uses AWS's own clients on both sides: aws-sdk-go-v2 and the AWS CLI outside, aws-lambda-go inside.
func TestAGoFunctionIsDeployedPublishedAndReadBack(t *testing.T) {
	s := startServer(t)
	start := time.Now()
	createFunction(t, s, "go", "provided.al2023", "bootstrap", map[string]string{"bootstrap": goProgram(t)})
	c, ctx := sdk(t, s), t.Context()
	if err := lambda.NewFunctionActiveV2Waiter(c).Wait(ctx, &lambda.GetFunctionInput{FunctionName: aws.String("go")}, 10*time.Second); err != nil {
		t.Fatal(err)
	}
	t.Logf("built, created and active after %v", time.Since(start).Round(time.Millisecond))
	v, err := c.PublishVersion(ctx, &lambda.PublishVersionInput{FunctionName: aws.String("go")})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.CreateAlias(ctx, &lambda.CreateAliasInput{FunctionName: aws.String("go"), Name: aws.String("prod"), FunctionVersion: v.Version}); err != nil {
		t.Fatal(err)
	}
	out, err := c.Invoke(ctx, &lambda.InvokeInput{FunctionName: aws.String("go:prod"), Payload: []byte(`{"name":"Gopher"}`), LogType: types.LogTypeTail})
	if err != nil || out.FunctionError != nil || *out.ExecutedVersion != "1" || !strings.Contains(string(out.Payload), "Gopher") {
		t.Fatalf("%s, %s, %v", out.Payload, aws.ToString(out.FunctionError), err)
	}
	tail, err := base64.StdEncoding.DecodeString(*out.LogResult)
	if err != nil || !strings.HasPrefix(string(tail), "START RequestId: ") || !strings.Contains(string(tail), "\nREPORT RequestId: ") || !strings.Contains(string(tail), " Version: 1\n") {
		t.Errorf("log tail: %q", tail)
	}
	if got := s.cliLog(t, "/aws/lambda/go"); !strings.Contains(got, "START RequestId: ") || !strings.Contains(got, "REPORT RequestId: ") {
		t.Errorf("the AWS CLI reads %q", got)
	}
}

// cliLog reads a group with the AWS CLI until a run's report is there: telemetry writes a moment after the answer.
func (s *server) cliLog(t *testing.T, group string) string {
	t.Helper()
	if _, err := exec.LookPath("aws"); err != nil {
		t.Skip("the AWS CLI is not installed")
	}
	key := rootKey(t, s)
	var out []byte
	for range 10 {
		cmd := exec.CommandContext(t.Context(), "aws", "logs", "filter-log-events", "--log-group-name", group, "--query", "events[].message", "--output", "text")
		cmd.Env = append(os.Environ(), "AWS_ACCESS_KEY_ID="+key.AccessKeyID, "AWS_SECRET_ACCESS_KEY="+key.SecretAccessKey, "AWS_REGION=us-east-1", "AWS_DEFAULT_REGION=us-east-1",
			"AWS_ENDPOINT_URL="+s.console, "AWS_EC2_METADATA_DISABLED=true")
		var err error
		if out, err = cmd.CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		if strings.Contains(string(out), "REPORT") {
			break
		}
	}
	return string(out)
}

// TestAWrongDeployIsAnsweredAtOnce keeps the way from a mistake to its words short: the package is read before anything is kept.
func TestAWrongDeployIsAnsweredAtOnce(t *testing.T) {
	s := startServer(t)
	_, err := sdk(t, s).CreateFunction(t.Context(), &lambda.CreateFunctionInput{FunctionName: aws.String("x"), Runtime: types.RuntimeNodejs22x, Handler: aws.String("a.b"),
		Role: aws.String("arn:aws:iam::000000000000:role/kiln-default"), Code: &types.FunctionCode{ZipFile: []byte("no zip")}})
	if err == nil || !strings.Contains(err.Error(), "InvalidParameterValueException: Could not unzip uploaded file") {
		t.Errorf("%v", err)
	}
	missing, err := sdk(t, s).ListFunctions(t.Context(), &lambda.ListFunctionsInput{})
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range missing.Functions {
		if *f.FunctionName == "x" {
			t.Error("a function without a package was kept")
		}
	}
}

const streamingNode = `exports.handler = awslambda.streamifyResponse(async (event, out) => {
  for (const word of event.words) { out.write(word + ' '); await new Promise(r => setTimeout(r, 20)) }
  out.end()
})`

// TestAStreamedAnswerComesInPieces reads a Node.js streaming handler through InvokeWithResponseStream.
func TestAStreamedAnswerComesInPieces(t *testing.T) {
	s := startServer(t)
	createFunction(t, s, "stream", "nodejs22.x", "index.handler", map[string]string{"index.js": streamingNode})
	out, err := sdk(t, s).InvokeWithResponseStream(t.Context(), &lambda.InvokeWithResponseStreamInput{FunctionName: aws.String("stream"), Payload: []byte(`{"words":["one","two","three"]}`)})
	if err != nil {
		t.Fatal(err)
	}
	stream := out.GetStream()
	defer stream.Close()
	var text strings.Builder
	pieces, complete := 0, false
	for e := range stream.Events() {
		switch e := e.(type) {
		case *types.InvokeWithResponseStreamResponseEventMemberPayloadChunk:
			pieces++
			text.Write(e.Value.Payload)
		case *types.InvokeWithResponseStreamResponseEventMemberInvokeComplete:
			complete = e.Value.ErrorCode == nil
		}
	}
	if err := stream.Err(); err != nil || text.String() != "one two three " || pieces < 2 || !complete {
		t.Errorf("%q in %d pieces, complete %v, %v", text.String(), pieces, complete, err)
	}
}

// callsBack signs like an SDK does, with nothing but the standard library, and asks who it is and what there is.
const callsBack = `import datetime, hashlib, hmac, json, os, urllib.error, urllib.request

def call(service, method, path, body=b"", kind="application/x-www-form-urlencoded", target=None):
    url = os.environ["AWS_ENDPOINT_URL"]
    host = url.split("//")[1].split("/")[0]
    now = datetime.datetime.now(datetime.timezone.utc).strftime("%Y%m%dT%H%M%SZ")
    heads = {"content-type": kind, "host": host, "x-amz-date": now, "x-amz-security-token": os.environ["AWS_SESSION_TOKEN"]}
    if target:
        heads["x-amz-target"] = target
    names = ";".join(sorted(heads))
    canonical = "\n".join([method, path, "", "".join(f"{k}:{heads[k]}\n" for k in sorted(heads)), names, hashlib.sha256(body).hexdigest()])
    scope = f"{now[:8]}/us-east-1/{service}/aws4_request"
    text = "\n".join(["AWS4-HMAC-SHA256", now, scope, hashlib.sha256(canonical.encode()).hexdigest()])
    key = ("AWS4" + os.environ["AWS_SECRET_ACCESS_KEY"]).encode()
    for part in scope.split("/"):
        key = hmac.new(key, part.encode(), hashlib.sha256).digest()
    heads["authorization"] = f"AWS4-HMAC-SHA256 Credential={os.environ['AWS_ACCESS_KEY_ID']}/{scope}, SignedHeaders={names}, Signature={hmac.new(key, text.encode(), hashlib.sha256).hexdigest()}"
    try:
        with urllib.request.urlopen(urllib.request.Request(url + path, data=body or None, headers=heads, method=method)) as r:
            return r.status, r.read().decode()
    except urllib.error.HTTPError as e:
        return e.code, e.read().decode()

def handler(event, context):
    return {"who": call("sts", "POST", "/", b"Action=GetCallerIdentity&Version=2011-06-15"), "list": call("lambda", "GET", "/2015-03-31/functions"),
            "logs": call("logs", "POST", "/", b'{"logGroupName":"/aws/lambda/back","logStreamName":"x"}', "application/x-amz-json-1.1", "Logs_20140328.CreateLogStream"),
            "keys": [os.environ[n] for n in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN")]}
`

// TestAFunctionCallsKilnAsItsRole: the default role may write logs and nothing else, and its keys are worth nothing outside.
func TestAFunctionCallsKilnAsItsRole(t *testing.T) {
	s := startServer(t)
	createFunction(t, s, "back", "python3.11", "app.handler", map[string]string{"app.py": callsBack})
	out, err := sdk(t, s).Invoke(t.Context(), &lambda.InvokeInput{FunctionName: aws.String("back")})
	if err != nil || out.FunctionError != nil {
		t.Fatalf("%s, %v", out.Payload, err)
	}
	got := decode[struct {
		Who, List, Logs []any
		Keys            []string
	}](t, out.Payload)
	if got.Who[0] != 200.0 || !strings.Contains(got.Who[1].(string), "assumed-role/kiln-default/") {
		t.Errorf("who: %v", got.Who)
	}
	if got.List[0] != 403.0 || !strings.Contains(got.List[1].(string), "is not authorized to perform: lambda:ListFunctions") {
		t.Errorf("list: %v", got.List)
	}
	if got.Logs[0] != 200.0 {
		t.Errorf("logs: %v", got.Logs)
	}
	stolen := lambda.New(lambda.Options{Region: "us-east-1", BaseEndpoint: aws.String(s.console), RetryMaxAttempts: 1,
		Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
			return aws.Credentials{AccessKeyID: got.Keys[0], SecretAccessKey: got.Keys[1], SessionToken: got.Keys[2]}, nil
		})})
	if _, err := stolen.ListFunctions(t.Context(), &lambda.ListFunctionsInput{}); err == nil || !strings.Contains(err.Error(), "UnrecognizedClientException") {
		t.Errorf("a function's keys outside: %v", err)
	}
}
