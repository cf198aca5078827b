package web

import (
	"context"
	"net/url"
	"strconv"
	"time"

	"kiln/lambda"
)

// Workspace is the first page of a function: files, code, test and log.
type Workspace struct {
	Head     FunctionHead
	Data     any // what the island gets as JSON
	Edit     bool
	Revision int64
	Files    []WorkspaceFile
	Open     string
	Text     []string // lines of the open file; nil when it is not text
	Draft    *WorkspaceDraft
	History  History
	Events   []string // names of the saved events
	Chosen   string   // of them, "" for none
	Event    string   // the event's text
	BadEvent string   // what is wrong with it, "" for nothing
	Run      *TestRun
	FileRoot string // address of single files, up to the query
}

// WorkspaceFile is one file of the list that works without JavaScript.
type WorkspaceFile struct {
	Path   string
	Status string // "", "A", "M" or "D"
	Text   bool
}

// WorkspaceDraft is the person's unsaved work.
type WorkspaceDraft struct {
	Files int
	At    time.Time
}

// History is the newest revisions of a function.
type History struct {
	Name      string
	Total     int64
	Revisions []lambda.Revision
}

// TestRun is one run of the test panel.
type TestRun struct {
	Function   string
	RequestID  string
	State      string // "queued", "running" or "done"
	Draft      bool
	At         time.Time
	Report     lambda.Report
	HTTPStatus int // of an answer in HTTP form, else 0
	Accepted   bool
	Frames     []RunFrame
	Hints      []string // texts
	Raw        string   // the answer, cut for pages without JavaScript
	TimeoutSec int
}

// RunFrame is one place of an error's stack. Path is "" for places outside the package.
type RunFrame struct {
	Text         string
	Path         string
	Line, Column int
	Function     string
}

func (r TestRun) short() string { return r.RequestID[:min(6, len(r.RequestID))] }

func (r TestRun) failed() bool {
	return r.Report.Status.Failed() || r.Report.Status == lambda.StatusThrottled
}

func (r TestRun) chip(ctx context.Context) (class, icon, word string) {
	switch {
	case r.Report.Status == lambda.StatusThrottled:
		return "warn", "hour", T(ctx, "ws.status.throttled")
	case r.Report.Status == lambda.StatusError && r.Report.ErrorType != "":
		return "err", "err", r.Report.ErrorType
	case r.failed():
		return "err", "err", T(ctx, "ws.status."+string(r.Report.Status))
	case r.HTTPStatus >= 400:
		return "warn", "warn", strconv.Itoa(r.HTTPStatus)
	case r.HTTPStatus > 0:
		return "ok", "check", T(ctx, "ws.status.ok") + " " + strconv.Itoa(r.HTTPStatus)
	}
	return "ok", "check", T(ctx, "ws.status.ok")
}

func (r TestRun) target(ctx context.Context) string {
	at := Of(ctx).Local(r.At).Format("15:04:05")
	if r.Draft {
		return T(ctx, "ws.target.draft", "at", at)
	}
	return T(ctx, "ws.target.deployed", "at", at)
}

// share is the memory used of the memory set.
func (r TestRun) share() float64 {
	if r.Report.MemoryMB == 0 {
		return 0
	}
	return float64(r.Report.MaxMemoryMB) / float64(r.Report.MemoryMB)
}

// data is what the script needs to go to the frame: [path, line, column].
func (f RunFrame) data() string {
	return "[" + strconv.Quote(f.Path) + "," + strconv.Itoa(f.Line) + "," + strconv.Itoa(max(f.Column, 1)) + "]"
}

// href opens the file at the line without a script.
func (f RunFrame) href() string {
	return "?file=" + queryEscape(f.Path) + "&line=" + strconv.Itoa(f.Line)
}

// revisionNote is the second line of a revision: who, and why.
func revisionNote(ctx context.Context, r lambda.Revision) string {
	if r.Note != "" {
		return r.By + ", " + r.Note
	}
	return r.By + ", " + T(ctx, "ws.cause."+r.Cause)
}

func queryEscape(s string) string { return url.QueryEscape(s) }
