package lambdaapi_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"kiln/lambda"
)

// withLog gives the world a function with one run in its log.
func (w *world) withLog() {
	w.t.Helper()
	w.create("logged", "")
	f, err := w.store.Function(w.t.Context(), "logged")
	if err != nil {
		w.t.Fatal(err)
	}
	at := time.Now().Add(-time.Minute).UTC().Truncate(time.Millisecond)
	const id = "8f507cfc-0000-4000-8000-000000000001"
	run := lambda.Run{Report: lambda.Report{RequestID: id, FunctionID: f.ID, Function: "logged", Version: lambda.Latest, AcceptedAt: at, StartedAt: at, Init: 50 * time.Millisecond,
		Duration: 12340 * time.Microsecond, BilledMS: 13, MemoryMB: 128, MaxMemoryMB: 64, Cold: true, Status: lambda.StatusOK, Worker: "2026/11/28/[$LATEST]w1"}}
	if err := w.store.CopyRuns(w.t.Context(), []lambda.Run{run}, nil); err != nil {
		w.t.Fatal(err)
	}
	line := lambda.LogLine{ID: lambda.LogID{Epoch: w.store.Epoch(), Seq: 1}, FunctionID: f.ID, RequestID: id, Version: lambda.Latest, Worker: run.Report.Worker, At: at.Add(time.Millisecond), Text: "hello"}
	if err := w.store.RepairLogs(w.t.Context(), []lambda.LogLine{line}); err != nil {
		w.t.Fatal(err)
	}
}

// client runs a real client against the world; the test is skipped when the machine has none.
func (w *world) run(name string, args []string, env ...string) string {
	w.t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		w.t.Skip(name + " is not installed")
	}
	cmd := exec.CommandContext(w.t.Context(), path, args...)
	cmd.Dir = w.t.TempDir()
	cmd.Env = append(os.Environ(), "AWS_ACCESS_KEY_ID="+keyID, "AWS_SECRET_ACCESS_KEY="+secret, "AWS_REGION=us-east-1", "AWS_DEFAULT_REGION=us-east-1", "AWS_ENDPOINT_URL="+w.url,
		"KILN_URL="+w.url, "AWS_EC2_METADATA_DISABLED=true", "AWS_PAGER=", "AWS_CONFIG_FILE=/nonexistent", "AWS_SHARED_CREDENTIALS_FILE=/nonexistent")
	cmd.Env = append(cmd.Env, env...)
	out, err := cmd.CombinedOutput()
	if err != nil {
		w.t.Fatalf("%s: %v\n%s", name, err, out)
	}
	return string(out)
}

func testdata(t *testing.T, name string) string {
	t.Helper()
	path, err := filepath.Abs(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return path
}

func TestTheAWSCLI(t *testing.T) {
	w := newWorld(t)
	w.withLog()
	zip := filepath.Join(t.TempDir(), "f.zip")
	if err := os.WriteFile(zip, zipOf(t, "index.js", "exports.handler = async e => e"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := exec.LookPath("aws"); err != nil {
		t.Skip("the AWS CLI is not installed")
	}
	if out := w.run("bash", []string{testdata(t, "cli.sh")}, "ZIP="+zip); !strings.Contains(out, "content") {
		t.Error(out)
	}
}

func TestBoto3(t *testing.T) {
	w := newWorld(t)
	w.withLog()
	if exec.Command("python3", "-c", "import boto3").Run() != nil {
		t.Skip("boto3 is not installed")
	}
	if out := w.run("python3", []string{testdata(t, "boto.py")}); !strings.Contains(out, "content") {
		t.Error(out)
	}
}

// TestTheJavaScriptSDK takes the SDK from KILN_TEST_MODULES, or installs it once into the user's cache.
func TestTheJavaScriptSDK(t *testing.T) {
	modules := os.Getenv("KILN_TEST_MODULES")
	if modules == "" {
		modules = installSDK(t)
	}
	w := newWorld(t)
	w.withLog()
	w.create("busy", "")
	if out := w.run("node", []string{testdata(t, "client.mjs")}, "KILN_MODULES="+modules, "KILN_ZIP="+base64Of(zipOf(t, "index.js", "1"))); !strings.Contains(out, "content") {
		t.Error(out)
	}
}

func installSDK(t *testing.T) string {
	t.Helper()
	cache, err := os.UserCacheDir()
	if err != nil {
		t.Skip(err)
	}
	dir := filepath.Join(cache, "kiln-test-sdk-v3")
	if _, err := os.Stat(filepath.Join(dir, "node_modules", "@aws-sdk", "client-sts")); err == nil {
		return dir
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Skip(err)
	}
	cmd := exec.CommandContext(t.Context(), "npm", "install", "--prefix", dir, "--no-audit", "--no-fund", "--no-save", "--loglevel=error", "@aws-sdk/client-lambda@3", "@aws-sdk/client-cloudwatch-logs@3", "@aws-sdk/client-sts@3")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Skipf("the SDK cannot be installed here: %v\n%.500s", err, out)
	}
	return dir
}
