package lambdaapi

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"strconv"

	"kiln/lambda"
)

// How a function is called.
const (
	requestResponse = "RequestResponse"
	event           = "Event"
	dryRun          = "DryRun"
)

// invocation reads what the call asks for.
func (c *call) invocation() (lambda.Invocation, error) {
	h := c.r.Header
	inv := lambda.Invocation{RequestID: c.requestID, Function: c.function, Qualifier: c.qualifier, Source: lambda.SourceAPI, By: c.who.Name,
		Event: c.body, TraceID: h.Get("X-Amzn-Trace-Id"), AcceptedAt: c.api.Now()}
	if raw := h.Get("X-Amz-Client-Context"); raw != "" {
		b, err := base64.StdEncoding.DecodeString(raw)
		if err != nil || len(raw) > 3583 || !json.Valid(b) {
			return inv, invalidContent("Client context must be a valid Base64-encoded JSON object.")
		}
		inv.ClientContext = string(b)
	}
	return inv, nil
}

func invalidContent(message string) *failure {
	return &failure{status: 400, code: "InvalidRequestContentException", message: message}
}

// invoke is the warm path: it decodes nothing but headers and hands the body on as it is.
func invoke(c *call) (any, error) {
	h := c.r.Header
	kind := h.Get("X-Amz-Invocation-Type")
	if kind == "" {
		kind = requestResponse
	}
	if tail := h.Get("X-Amz-Log-Type"); kind != requestResponse && kind != event && kind != dryRun || tail != "" && tail != "None" && tail != "Tail" {
		var k checks
		k.oneOf(kind, "invocationType", event, requestResponse, dryRun)
		if tail != "" {
			k.oneOf(tail, "logType", "None", "Tail")
		}
		return nil, k.err()
	}
	inv, err := c.invocation()
	if err != nil {
		return nil, err
	}
	switch kind {
	case dryRun:
		if _, err := c.api.Store.Target(c.ctx(), c.function, c.qualifier); err != nil {
			return nil, err
		}
		return nil, c.answer(http.StatusNoContent, nil)
	case event:
		return nil, c.accept(inv)
	}
	inv.WantTail = h.Get("X-Amz-Log-Type") == "Tail"
	if len(inv.Event) > lambda.MaxEvent {
		return nil, payloadTooLarge(len(inv.Event), requestResponse, lambda.MaxEvent)
	}
	// A client that goes away does not cancel what has started; the engine gives up waiting for a worker.
	res, err := c.api.Engine.Invoke(c.ctx(), inv)
	if err != nil {
		return nil, err
	}
	c.writeResult(&res)
	return nil, nil
}

func payloadTooLarge(size int, kind string, most int) error {
	return tooLarge("%d byte payload is too large for the %s invocation type (limit %d bytes)", size, kind, most)
}

// accept answers once the event is committed.
func (c *call) accept(inv lambda.Invocation) error {
	inv.Async = true
	if len(inv.Event) > lambda.MaxAsyncEvent {
		return payloadTooLarge(len(inv.Event), event, lambda.MaxAsyncEvent)
	}
	if _, err := c.api.Engine.InvokeAsync(c.ctx(), inv); err != nil {
		return err
	}
	return c.answer(http.StatusAccepted, nil)
}

func (c *call) writeResult(res *lambda.Result) {
	h := c.w.Header()
	h["Content-Type"] = jsonType
	h["X-Amz-Executed-Version"] = []string{res.Version}
	h["Content-Length"] = []string{strconv.Itoa(len(res.Payload))}
	if res.FunctionError != "" {
		h["X-Amz-Function-Error"] = []string{res.FunctionError}
	}
	if res.LogTail != nil {
		h["X-Amz-Log-Result"] = []string{base64.StdEncoding.EncodeToString(res.LogTail)}
	}
	if res.Report.TraceID != "" {
		h["X-Amzn-Trace-Id"] = []string{res.Report.TraceID}
	}
	c.w.WriteHeader(http.StatusOK)
	_, _ = c.w.Write(res.Payload) // the client may have gone
}

var jsonType = []string{"application/json"}

// invokeAsync is the operation of 2014, which only accepts.
func invokeAsync(c *call) (any, error) {
	inv, err := c.invocation()
	if err != nil {
		return nil, err
	}
	inv.Async = true
	if len(inv.Event) > lambda.MaxAsyncEvent {
		return nil, payloadTooLarge(len(inv.Event), event, lambda.MaxAsyncEvent)
	}
	if _, err := c.api.Engine.InvokeAsync(c.ctx(), inv); err != nil {
		return nil, err
	}
	return struct{ Status int }{http.StatusAccepted}, nil
}

// invokeStream answers in pieces while the function writes.
func invokeStream(c *call) (any, error) {
	kind := c.r.Header.Get("X-Amz-Invocation-Type")
	if kind == dryRun {
		if _, err := c.api.Store.Target(c.ctx(), c.function, c.qualifier); err != nil {
			return nil, err
		}
		return nil, c.answer(http.StatusNoContent, nil)
	}
	if kind != "" && kind != requestResponse {
		var k checks
		k.oneOf(kind, "invocationType", requestResponse, dryRun)
		return nil, k.err()
	}
	inv, err := c.invocation()
	if err != nil {
		return nil, err
	}
	if len(inv.Event) > lambda.MaxEvent {
		return nil, payloadTooLarge(len(inv.Event), requestResponse, lambda.MaxEvent)
	}
	inv.WantTail = c.r.Header.Get("X-Amz-Log-Type") == "Tail"
	s := &eventStream{c: c}
	inv.Stream = s.chunk
	res, err := c.api.Engine.Invoke(context.WithoutCancel(c.ctx()), inv)
	if err != nil && !s.started {
		return nil, err
	}
	return nil, s.end(&res, err)
}
