package runner

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"kiln/executor"
	"kiln/lambda"
)

// invocation is one run on one worker.
type invocation struct {
	executor.Assignment
	started  time.Time
	deadline time.Time
}

// answer is what a worker said.
type answer struct {
	payload  []byte // the result, or AWS's error object
	failed   bool
	last     bool // the worker ends by itself now
	streamed int  // bytes given to the stream's receiver
}

var (
	errTooLarge = errors.New("the answer is larger than the limit")
	errReceiver = errors.New("the receiver of the streamed answer failed")
)

// receiver takes the pieces of a streamed answer: to the invocation's stream, or gathered up to the buffered limit.
type receiver struct {
	answer
	stream func([]byte) error
}

func newReceiver(inv *invocation) *receiver { return &receiver{stream: inv.Stream} }

func (r *receiver) take(p []byte) error {
	if len(p) == 0 {
		return nil
	}
	if r.stream == nil {
		if len(r.payload)+len(p) > MaxResponse {
			return errTooLarge
		}
		r.payload = append(r.payload, p...)
		return nil
	}
	if r.streamed += len(p); r.streamed > MaxStreamed {
		return errTooLarge
	}
	if err := r.stream(p); err != nil {
		return errors.Join(errReceiver, err)
	}
	return nil
}

// end closes the stream; failure is AWS's error object when the handler failed after the answer had begun.
func (r *receiver) end(failure []byte) answer {
	if len(failure) > 0 {
		r.payload, r.failed = failure, true
	}
	return r.answer
}

// failure is a run that failed, in AWS's words.
type failure struct {
	status    lambda.Status
	errorType string // of the error object
	shown     string // of the report, when it tells more than the error object; else ""
	message   string // "%s" stands for the request id
}

const idPlace = "RequestId: %s Error: "

func (f *failure) text(requestID string) string {
	if len(f.message) >= len(idPlace) && f.message[:len(idPlace)] == idPlace {
		return "RequestId: " + requestID + " Error: " + f.message[len(idPlace):]
	}
	return f.message
}

// logText is the failure in the log, where the request id is known anyway.
func (f *failure) logText() string { return strings.TrimPrefix(f.message, idPlace) }

func (f *failure) payload(requestID string) []byte {
	b, _ := json.Marshal(errorObject{Type: f.errorType, Message: f.text(requestID)}) // two strings
	return b
}

// errorObject is what callers of a failed function get.
type errorObject struct {
	Type    string `json:"errorType"`
	Message string `json:"errorMessage"`
}

func timedOut(after time.Duration) *failure {
	return &failure{status: lambda.StatusTimeout, errorType: "Sandbox.Timedout",
		message: idPlace + fmt.Sprintf("Task timed out after %.2f seconds", after.Seconds())}
}

func tooLarge() *failure {
	return &failure{status: lambda.StatusError, errorType: "Function.ResponseSizeTooLarge",
		message: fmt.Sprintf("Response payload size exceeded maximum allowed payload size (%d bytes).", MaxResponse)}
}

func noEntrypoint() *failure {
	return &failure{status: lambda.StatusError, errorType: "Runtime.InvalidEntrypoint",
		message: idPlace + "Couldn't find valid bootstrap(s): [/var/task/bootstrap /opt/bootstrap]"}
}

// exited is the failure of a worker that went away.
func exited(e Exit) *failure {
	f := &failure{status: lambda.StatusExit, errorType: "Runtime.ExitError"}
	switch {
	case e.OutOfMemory:
		f.status, f.shown = lambda.StatusMemory, "Runtime.OutOfMemory"
		f.message = idPlace + "Runtime exited with error: signal: killed"
	case e.Signal != "":
		f.message = idPlace + "Runtime exited with error: signal: " + e.Signal
	case e.Code != 0:
		f.message = idPlace + fmt.Sprintf("Runtime exited with error: exit status %d", e.Code)
	default:
		f.message = idPlace + "Runtime exited without providing a reason"
	}
	return f
}

// errorOf reads AWS's error object for the report. The object is the function's own word: it may be anything.
func errorOf(payload []byte) (errorType, message string) {
	var o errorObject
	if json.Unmarshal(payload, &o) != nil {
		return "", clip(string(payload))
	}
	return clip(o.Type), clip(o.Message)
}

const maxErrorMessage = 1024

func clip(s string) string {
	s = validText([]byte(s[:min(len(s), maxErrorMessage)]))
	return s[:min(len(s), runeEdge(s, maxErrorMessage))]
}
