package runner

import (
	"fmt"
	"time"

	"kiln/executor"
	"kiln/lambda"
)

// verdict is how a run ended: an answer, or a failure in AWS's words.
type verdict struct {
	answer
	failure *failure
}

func startLine(requestID, version string) string {
	return "START RequestId: " + requestID + " Version: " + version + "\n"
}

// finish ends the tail with END and REPORT.
func (t *tail) finish(r *lambda.Report) []byte {
	t.write("END RequestId: " + r.RequestID + "\n" + reportLine(r))
	return t.bytes()
}

func milliseconds(d time.Duration) string {
	return fmt.Sprintf("%.2f ms", float64(d.Microseconds())/1000)
}

// reportLine is AWS's REPORT line.
func reportLine(r *lambda.Report) string {
	s := fmt.Sprintf("REPORT RequestId: %s\tDuration: %s\tBilled Duration: %d ms\tMemory Size: %d MB\tMax Memory Used: %d MB\t",
		r.RequestID, milliseconds(r.Duration), r.BilledMS, r.MemoryMB, r.MaxMemoryMB)
	if r.Cold {
		s += "Init Duration: " + milliseconds(r.Init) + "\t"
	}
	switch r.Status {
	case lambda.StatusTimeout:
		s += "Status: timeout"
	case lambda.StatusMemory, lambda.StatusExit:
		s += "Status: error\tError Type: " + r.ErrorType
	}
	return s + "\n"
}

// billed is the duration rounded up to whole milliseconds. A cold start's init is part of it, as AWS bills it since August 2025.
func billed(d time.Duration) int64 {
	return int64((d + time.Millisecond - 1) / time.Millisecond)
}

// report makes the outcome of a run that this worker took.
func (w *worker) report(inv *invocation, v *verdict, took time.Duration, t *tail) executor.Outcome {
	rep := lambda.Report{StartedAt: inv.started, Queued: max(0, inv.started.Sub(inv.AcceptedAt)), Duration: took, Worker: w.stream,
		MaxMemoryMB: w.box.peakMB(inv.started.Add(took)), BilledMS: billed(took)}
	if w.first {
		w.first = false
		rep.Cold, rep.Init, rep.BilledMS = true, w.init, billed(took+w.init)
	}
	if inv.AcceptedAt.IsZero() {
		rep.Queued = 0
	}
	out := v.outcome(w.pool.run, inv.Assignment, rep)
	if t != nil {
		out.LogTail = t.finish(&out.Report)
	}
	return out
}

// outcome fills what every outcome has.
func (v *verdict) outcome(run *lambda.Runnable, a executor.Assignment, rep lambda.Report) executor.Outcome {
	rep.RequestID, rep.FunctionID, rep.Function, rep.Version = a.RequestID, run.FunctionID, run.Function, run.Version
	rep.AcceptedAt, rep.MemoryMB, rep.EventSize, rep.TraceID = a.AcceptedAt, run.MemoryMB, len(a.Event), a.TraceID
	rep.Status = lambda.StatusOK
	out := executor.Outcome{Payload: v.payload}
	switch {
	case v.failure != nil:
		out.Payload, out.FunctionError = v.failure.payload(a.RequestID), "Unhandled"
		rep.Status, rep.ErrorType, rep.ErrorMessage = v.failure.status, v.failure.errorType, clip(v.failure.text(a.RequestID))
		if v.failure.shown != "" {
			rep.ErrorType = v.failure.shown
		}
	case v.failed:
		out.FunctionError = "Unhandled"
		rep.Status = lambda.StatusError
		rep.ErrorType, rep.ErrorMessage = errorOf(v.payload)
	case a.Stream != nil && v.streamed == 0 && len(v.payload) > 0:
		// A handler that does not stream answers a caller that does: in one piece. Its receiver's failure is the caller's own.
		if err := a.Stream(v.payload); err == nil {
			v.streamed = len(v.payload)
		}
		out.Payload = nil
	}
	rep.ResponseSize = len(out.Payload) + v.streamed
	out.Report = rep
	return out
}
