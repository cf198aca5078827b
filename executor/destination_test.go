package executor

import (
	"context"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"kiln/lambda"
)

func TestDestinations(t *testing.T) {
	const base = "arn:aws:lambda:us-east-1:000000000000:function:"
	for _, c := range []struct {
		what      string
		cfg       lambda.EventInvokeConfig
		dlq       string
		fails     bool
		condition string
		target    string
	}{
		{"success to a function", lambda.EventInvokeConfig{OnSuccess: base + "next"}, "", false, "Success", ""},
		{"failure to a function", lambda.EventInvokeConfig{OnFailure: base + "next:$LATEST"}, "", true, "RetriesExhausted", ""},
		{"failure to a queue", lambda.EventInvokeConfig{OnFailure: "arn:aws:sqs:us-east-1:000000000000:q"}, "", true, "", "arn:aws:sqs:us-east-1:000000000000:q"},
		{"success to a topic", lambda.EventInvokeConfig{OnSuccess: "arn:aws:sns:us-east-1:000000000000:t"}, "", false, "", "arn:aws:sns:us-east-1:000000000000:t"},
		{"a dead-letter queue beside a function", lambda.EventInvokeConfig{OnFailure: base + "next"}, "arn:aws:sqs:us-east-1:000000000000:dlq", true, "RetriesExhausted", "arn:aws:sqs:us-east-1:000000000000:dlq"},
		{"a function that is gone", lambda.EventInvokeConfig{OnFailure: base + "gone"}, "", true, "", base + "gone"},
		{"a function elsewhere", lambda.EventInvokeConfig{OnFailure: "arn:aws:lambda:eu-west-1:000000000000:function:next"}, "", true, "", "arn:aws:lambda:eu-west-1:000000000000:function:next"},
	} {
		var next []Assignment
		inBubble(t, func(_ context.Context, a Assignment) (Outcome, error) {
			switch {
			case a.Digest == "d2":
				next = append(next, a)
			case c.fails:
				return failed("no"), nil
			}
			return ok(a), nil
		}, func(t *testing.T, b *bench, q *memoryQueue) {
			b.source.put(1, "f", nil).DeadLetter = c.dlq
			b.source.put(2, "next", nil)
			b.source.targets["f"].Async = c.cfg
			id := b.send(t, lambda.Invocation{Function: "f", Event: []byte(`{"n":1}`)})
			after(10 * time.Minute)
			done, dead := q.given()
			all := append(done, dead...)
			if kept := all[0].Target; c.condition == "" && (kept != c.target || len(next) != 0) || c.dlq != "" && kept != c.dlq && all[len(all)-1].Target != c.dlq {
				t.Errorf("%s: kept under %q, %d delivered", c.what, kept, len(next))
			}
			if c.condition == "" {
				return
			}
			if len(next) != 1 {
				t.Fatalf("%s: %d delivered", c.what, len(next))
			}
			checkRecord(t, c.what, next[0].Event, id, c.condition, c.fails)
			runs := b.kept.all()
			if p := runs[len(runs)-1].Report; p.Source != lambda.SourceFunction || p.By != "f" {
				t.Errorf("%s: source %q by %q", c.what, p.Source, p.By)
			}
		})
	}
}

func checkRecord(t *testing.T, what string, event []byte, id, condition string, fails bool) {
	t.Helper()
	var r struct {
		Version, Timestamp string
		RequestContext     struct {
			RequestID, FunctionArn, Condition string
			ApproximateInvokeCount            int
		}
		RequestPayload  map[string]int
		ResponseContext struct {
			StatusCode                     int
			ExecutedVersion, FunctionError string
		}
		ResponsePayload map[string]any
	}
	if err := json.Unmarshal(event, &r); err != nil {
		t.Fatal(err)
	}
	count, functionError := 1, ""
	if fails {
		count, functionError = 3, "Unhandled"
	}
	c := r.RequestContext
	if r.Version != "1.0" || c.RequestID != id || c.Condition != condition || c.ApproximateInvokeCount != count || !strings.HasSuffix(c.FunctionArn, ":function:f:$LATEST") {
		t.Errorf("%s: %s", what, event)
	}
	if r.RequestPayload["n"] != 1 || r.ResponseContext.StatusCode != 200 || r.ResponseContext.FunctionError != functionError || r.ResponseContext.ExecutedVersion != "$LATEST" || len(r.ResponsePayload) == 0 {
		t.Errorf("%s: %s", what, event)
	}
}

func TestDestinationsInACircleAreStopped(t *testing.T) {
	inBubble(t, nil, func(t *testing.T, b *bench, q *memoryQueue) {
		b.source.put(1, "f", nil)
		b.source.targets["f"].Async.OnSuccess = "arn:aws:lambda:us-east-1:000000000000:function:f"
		b.send(t, lambda.Invocation{Function: "f"})
		after(time.Minute)
		_, dead := q.given()
		if n := len(b.runner.assignments()); n != maxChain || len(dead) != 1 || dead[0].Dead != DeadRecursion {
			t.Errorf("%d runs, dead %+v", n, dead)
		}
	})
}
