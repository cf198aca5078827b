package executor

import (
	"context"
	"encoding/json"
	"strings"
	"time"

	"kiln/lambda"
)

// The conditions of a destination's record, in AWS's words.
const (
	conditionSuccess = "Success"
	conditionRetries = "RetriesExhausted"
	conditionAge     = "EventAgeExceeded"
)

// record is what a destination gets, in AWS's shape.
type record struct {
	Version         string           `json:"version"`
	Timestamp       string           `json:"timestamp"`
	RequestContext  requestContext   `json:"requestContext"`
	RequestPayload  json.RawMessage  `json:"requestPayload"`
	ResponseContext *responseContext `json:"responseContext,omitempty"`
	ResponsePayload json.RawMessage  `json:"responsePayload,omitempty"`
}

type requestContext struct {
	RequestID              string `json:"requestId"`
	FunctionARN            string `json:"functionArn"`
	Condition              string `json:"condition"`
	ApproximateInvokeCount int    `json:"approximateInvokeCount"`
}

type responseContext struct {
	StatusCode      int    `json:"statusCode"`
	ExecutedVersion string `json:"executedVersion"`
	FunctionError   string `json:"functionError,omitempty"`
}

// deliver adds a destination to a settlement: a function of this account gets the record as an event, anything else is kept under its ARN.
func (e *Engine) deliver(ctx context.Context, r *run, s *lambda.Settlement, arn, condition string, out *Outcome) {
	if arn == "" {
		return
	}
	next, err := e.destination(ctx, r, arn)
	if err != nil {
		e.o.Log.Warn("a destination cannot be called; its event is kept", "function", r.inv.Function, "destination", arn, "err", err)
	}
	if next == nil {
		s.Target = arn
		if s.Response == nil && out != nil && len(out.Payload) <= lambda.MaxKeptBody {
			s.Response = out.Payload
		}
		return
	}
	next.Event = r.record(condition, out)
	s.Next = next
}

// destination is the event for a function of this account; nil for any other ARN.
func (e *Engine) destination(ctx context.Context, r *run, arn string) (*lambda.Invocation, error) {
	own, _, _ := strings.Cut(r.runnable.ARN, ":function:")
	name, isFunction := strings.CutPrefix(arn, own+":function:")
	if !isFunction {
		return nil, nil
	}
	ref, err := lambda.ParseFunctionRef(name)
	if err != nil {
		return nil, err
	}
	tg, err := e.resolve(ctx, ref.Name, ref.Qualifier, "")
	if err != nil {
		return nil, err
	}
	return &lambda.Invocation{
		RequestID: newRequestID(), FunctionID: tg.f.id, Function: ref.Name, Qualifier: ref.Qualifier, Async: true,
		Source: lambda.SourceFunction, By: r.target.f.name, TraceID: r.inv.TraceID, AcceptedAt: time.Now(),
	}, nil
}

// record leaves out payloads that would make it larger than an event may be.
func (r *run) record(condition string, out *Outcome) []byte {
	rec := record{
		Version: "1.0", Timestamp: time.Now().UTC().Format("2006-01-02T15:04:05.000Z"),
		RequestContext: requestContext{RequestID: r.inv.RequestID, FunctionARN: r.qualifiedARN(), Condition: condition, ApproximateInvokeCount: r.inv.Attempt},
		RequestPayload: r.inv.Event,
	}
	if out != nil {
		rec.RequestContext.ApproximateInvokeCount++
		rec.ResponseContext = &responseContext{StatusCode: 200, ExecutedVersion: r.runnable.Version, FunctionError: out.FunctionError}
		rec.ResponsePayload = asJSON(out.Payload)
	}
	b := marshal(rec)
	if len(b) > lambda.MaxAsyncEvent {
		rec.ResponsePayload = nil
		b = marshal(rec)
	}
	if len(b) > lambda.MaxAsyncEvent {
		rec.RequestPayload = json.RawMessage("null")
		b = marshal(rec)
	}
	return b
}

func (r *run) qualifiedARN() string {
	if r.inv.Qualifier == "" {
		return r.runnable.ARN + ":" + lambda.Latest
	}
	return r.target.invokedARN
}

// asJSON is an answer as it is, or as a JSON string when a function answered something else.
func asJSON(answer []byte) json.RawMessage {
	switch {
	case len(answer) == 0:
		return json.RawMessage("null")
	case json.Valid(answer):
		return answer
	default:
		return marshal(strings.ToValidUTF8(string(answer), "�"))
	}
}

func marshal(v any) []byte {
	b, err := json.Marshal(v)
	if err != nil { // every part is a string, a number or JSON that was checked
		return []byte("null")
	}
	return b
}
