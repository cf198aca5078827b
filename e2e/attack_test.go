package e2e

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"io/fs"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/aws/aws-sdk-go-v2/service/lambda"
	"github.com/aws/aws-sdk-go-v2/service/lambda/types"
)

// setsCookies answers with what a hostile page would plant in the console's origin, and gives its keys away.
const setsCookies = `exports.handler = async (e) => e.keys ? process.env :
  ({ statusCode: 200, cookies: ["=kiln_session=planted; Path=/", "kiln_session", "__Host-kiln_session=planted", "own=1"], body: "x" });`

// TestAttacks tries what an attacker would, against the real server.
func TestAttacks(t *testing.T) {
	s := startServer(t)
	createFunction(t, s, "new", "nodejs22.x", "index.handler", map[string]string{"index.js": setsCookies})
	t.Run("a function named like a page can be opened", s.attackNames)
	t.Run("signatures cover body, service and region", s.attackSignatures)
	t.Run("functions plant no cookies and their keys open no URLs", s.attackGateway)
	t.Run("nobody else on the machine reads secrets", s.attackFiles)
}

func (s *server) attackNames(t *testing.T) {
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	browser := http.Client{Jar: jar}
	link, err := url.Parse(s.link)
	if err != nil {
		t.Fatal(err)
	}
	post := func() int {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.console+"/login", strings.NewReader("token="+link.Query().Get("token")))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Origin", s.console)
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		res, err := browser.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		return res.StatusCode
	}
	if first := post(); first != http.StatusOK {
		t.Fatalf("sign-in: %d", first)
	}
	res, err := browser.Get(s.console + "/functions/new")
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if b, _ := io.ReadAll(res.Body); res.StatusCode != http.StatusOK || !strings.Contains(string(b), "<title>new ") {
		t.Errorf("the page of the function new: %d", res.StatusCode)
	}
	if again := post(); again == http.StatusOK {
		t.Error("a login token is taken twice")
	}
}

func (s *server) attackSignatures(t *testing.T) {
	const honest, forged = `{"a":1}`, `{"a":2}`
	sum := sha256.Sum256([]byte(honest))
	whole := hex.EncodeToString(sum[:])
	for _, c := range []struct {
		what, service, region, hash, body string
		status                            int
	}{
		{"honest", "lambda", "us-east-1", whole, honest, 200},
		{"another body", "lambda", "us-east-1", whole, forged, 403},
		{"a body left out", "lambda", "us-east-1", "UNSIGNED-PAYLOAD", forged, 403},
		{"a streamed body", "lambda", "us-east-1", "STREAMING-AWS4-HMAC-SHA256-PAYLOAD", forged, 403},
		{"another service", "s3", "us-east-1", "UNSIGNED-PAYLOAD", forged, 403},
		{"another region", "lambda", "eu-west-1", whole, honest, 403},
	} {
		req := s.signedRequest(t, rootKey(t, s), s.console+"/2015-03-31/functions/new/invocations", c.body, c.hash, c.service, c.region)
		if status, body := send(t, req); status != c.status {
			t.Errorf("%s: %d %s", c.what, status, body)
		}
	}
}

func (s *server) signedRequest(t *testing.T, key aws.Credentials, address, body, hash, service, region string) *http.Request {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, address, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	if len(hash) != 64 {
		req.Header.Set("X-Amz-Content-Sha256", hash)
	}
	if err := v4.NewSigner().SignHTTP(context.Background(), key, req, hash, service, region, time.Now()); err != nil {
		t.Fatal(err)
	}
	return req
}

func send(t *testing.T, req *http.Request) (int, string) {
	t.Helper()
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, string(b)
}

func (s *server) attackGateway(t *testing.T) {
	c := sdk(t, s)
	made, err := c.CreateFunctionUrlConfig(t.Context(), &lambda.CreateFunctionUrlConfigInput{FunctionName: ptr("new"), AuthType: types.FunctionUrlAuthTypeAwsIam})
	if err != nil {
		t.Fatal(err)
	}
	_, err = c.AddPermission(t.Context(), &lambda.AddPermissionInput{FunctionName: ptr("new"), StatementId: ptr("all"), Principal: ptr("*"),
		Action: ptr("lambda:InvokeFunctionUrl"), FunctionUrlAuthType: types.FunctionUrlAuthTypeAwsIam})
	if err != nil {
		t.Fatal(err)
	}
	out, err := c.Invoke(t.Context(), &lambda.InvokeInput{FunctionName: ptr("new"), Payload: []byte(`{"keys":1}`)})
	if err != nil {
		t.Fatal(err)
	}
	env := decode[map[string]string](t, out.Payload)
	stolen := aws.Credentials{AccessKeyID: env["AWS_ACCESS_KEY_ID"], SecretAccessKey: env["AWS_SECRET_ACCESS_KEY"], SessionToken: env["AWS_SESSION_TOKEN"]}
	id, _, _ := strings.Cut(strings.TrimPrefix(*made.FunctionUrl, "http://"), ".")
	sum := sha256.Sum256(nil)
	for what, c := range map[string]struct {
		key    aws.Credentials
		region string
		status int
	}{
		"the root key":               {rootKey(t, s), "us-east-1", 200},
		"a worker's key outside":     {stolen, "us-east-1", 403},
		"a signature of elsewhere's": {rootKey(t, s), "eu-west-1", 403},
	} {
		req := s.signedRequest(t, c.key, s.gateway+"/_url/"+id+"/", "", hex.EncodeToString(sum[:]), "lambda", c.region)
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		if res.StatusCode != c.status {
			t.Errorf("%s: %d", what, res.StatusCode)
		}
		if got := res.Header["Set-Cookie"]; c.status == 200 && (len(got) != 1 || got[0] != "own=1") {
			t.Errorf("cookies: %q", got)
		}
	}
}

// attackFiles looks at the data folder as another user of the machine, and at what every user sees of processes.
func (s *server) attackFiles(t *testing.T) {
	for _, name := range []string{"credentials", "master.key", "control.sock", "postgres", "spool"} {
		info, err := os.Stat(filepath.Join(s.data, name))
		if err != nil {
			t.Fatal(err)
		}
		if info.Mode().Perm()&0o077 != 0 {
			t.Errorf("%s has the mode %v", name, info.Mode())
		}
	}
	if info, err := os.Stat(filepath.Join(s.data, "code")); err != nil || info.Mode().Perm()&0o066 != 0 {
		t.Errorf("everybody lists the code: %v, %v", info.Mode(), err)
	}
	secret := []byte(rootKey(t, s).SecretAccessKey)
	master, err := os.ReadFile(filepath.Join(s.data, "master.key"))
	if err != nil {
		t.Fatal(err)
	}
	dirs, err := os.ReadDir("/proc")
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range dirs {
		if _, err := strconv.Atoi(d.Name()); err != nil {
			continue
		}
		for _, file := range []string{"cmdline", "environ"} {
			b, err := fs.ReadFile(os.DirFS("/proc"), d.Name()+"/"+file) // processes come and go
			if err == nil && (bytes.Contains(b, secret) || bytes.Contains(b, bytes.TrimSpace(master))) {
				t.Errorf("a secret is in %s of process %s", file, d.Name())
			}
		}
	}
	if said := s.said(); strings.Contains(said, string(secret)) || strings.Contains(said, string(bytes.TrimSpace(master))) {
		t.Error("a secret is in the log")
	}
}
