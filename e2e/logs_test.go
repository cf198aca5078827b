package e2e

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"io"
	"net/http"
	"testing"
	"time"

	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
)

// logsCall sends one operation of the CloudWatch Logs API (JSON 1.1), signed with the root key.
func logsCall[Out any](t *testing.T, s *server, operation string, in any) (out Out) {
	t.Helper()
	body, err := json.Marshal(in)
	if err != nil {
		t.Fatal(err)
	}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.console+"/", bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/x-amz-json-1.1")
	req.Header.Set("X-Amz-Target", "Logs_20140328."+operation)
	sum := sha256.Sum256(body)
	if err := v4.NewSigner().SignHTTP(t.Context(), rootKey(t, s), req, hex.EncodeToString(sum[:]), "logs", "us-east-1", time.Now()); err != nil {
		t.Fatal(err)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	answer, err := io.ReadAll(res.Body)
	if err != nil || res.StatusCode != http.StatusOK {
		t.Fatalf("%s: %s: %s (%v)", operation, res.Status, answer, err)
	}
	return decode[Out](t, answer)
}

// logLines are all messages of a function's log.
func (s *server) logLines(function string) (all []string) {
	s.t.Helper()
	in := map[string]any{"logGroupName": "/aws/lambda/" + function, "limit": 10_000}
	for {
		page := logsCall[struct {
			Events    []struct{ Message string }
			NextToken string
		}](s.t, s, "FilterLogEvents", in)
		for _, e := range page.Events {
			all = append(all, e.Message)
		}
		if page.NextToken == "" {
			return all
		}
		in["nextToken"] = page.NextToken
	}
}
