package lambdaapi_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"

	"kiln/lambda"
)

// logs makes one call of the Logs API.
func (w *world) logs(operation, body string) map[string]any {
	w.t.Helper()
	a := w.as(aws.Credentials{AccessKeyID: keyID, SecretAccessKey: secret}, "logs", "POST", "/", body, "X-Amz-Target", "Logs_20140328."+operation, "Content-Type", "application/x-amz-json-1.1")
	m := map[string]any{}
	if err := json.Unmarshal([]byte(a.body), &m); err != nil || a.status != 200 {
		w.t.Fatalf("%s: %d %s", operation, a.status, a.body)
	}
	return m
}

func messages(m map[string]any) (out []string) {
	list, _ := m["events"].([]any)
	for _, e := range list {
		out = append(out, strings.TrimSpace(e.(map[string]any)["message"].(string)))
	}
	return out
}

// TestPagesOfALogMeetWithoutLossOrDoubles has many lines in one millisecond, which tokens have to tell apart.
func TestPagesOfALogMeetWithoutLossOrDoubles(t *testing.T) {
	w := newWorld(t)
	w.create("f", "")
	f, err := w.store.Function(t.Context(), "f")
	if err != nil {
		t.Fatal(err)
	}
	at := time.Now().Add(-time.Hour).Truncate(time.Second)
	const n = 23
	var lines []lambda.LogLine
	for i := range n {
		lines = append(lines, lambda.LogLine{ID: lambda.LogID{Epoch: w.store.Epoch(), Seq: int64(i + 1)}, FunctionID: f.ID, RequestID: "8f507cfc-0000-4000-8000-000000000001", Version: lambda.Latest, Worker: "s",
			At: at.Add(time.Duration(i/9) * time.Millisecond), Text: fmt.Sprintf("line %02d", i)})
	}
	if err := w.store.RepairLogs(t.Context(), lines); err != nil {
		t.Fatal(err)
	}
	read := func(operation, body, token string, back bool) []string {
		var all []string
		next := ""
		for range n + 2 {
			b := body
			if next != "" {
				b += `,"nextToken":"` + next + `"`
			}
			m := w.logs(operation, `{"logGroupName":"/aws/lambda/f",`+b+`}`)
			got := messages(m)
			if back {
				all = append(got, all...)
			} else {
				all = append(all, got...)
			}
			following, _ := m[token].(string)
			if following == "" || following == next {
				return all
			}
			next = following
		}
		t.Fatalf("%s never ends", operation)
		return nil
	}
	for _, c := range []struct {
		what, operation, body, token string
		back                         bool
	}{
		{"forward", "GetLogEvents", `"logStreamName":"s","limit":4,"startFromHead":true`, "nextForwardToken", false},
		{"backward", "GetLogEvents", `"logStreamName":"s","limit":4`, "nextBackwardToken", true},
		{"filtered", "FilterLogEvents", `"filterPattern":"line","limit":5`, "nextToken", false},
	} {
		got := read(c.operation, c.body, c.token, c.back)
		if len(got) != n {
			t.Errorf("%s: %d lines: %v", c.what, len(got), got)
			continue
		}
		for i, text := range got {
			if text != fmt.Sprintf("line %02d", i) {
				t.Errorf("%s: line %d is %q", c.what, i, text)
				break
			}
		}
	}
}

func TestFilterPatterns(t *testing.T) {
	w := newWorld(t)
	w.withLog()
	for pattern, want := range map[string]int{"": 4, "hello": 1, "-hello": 3, "?hello ?END": 2, `\"REPORT RequestId\"`: 1, "nothing": 0, "{ $.level = \\\"x\\\" }": 0} {
		if got := messages(w.logs("FilterLogEvents", `{"logGroupName":"/aws/lambda/logged","filterPattern":"`+pattern+`"}`)); len(got) != want {
			t.Errorf("%q: %v", pattern, got)
		}
	}
}
