package lambda

import "time"

// Level of a log line.
type Level int8

// Levels in order; LevelNone is a line that names none.
const (
	LevelNone Level = iota
	LevelTrace
	LevelDebug
	LevelInfo
	LevelWarn
	LevelError
	LevelFatal
)

// Stream says by which way a line came.
type Stream int8

// The streams.
const (
	StreamStdout Stream = iota
	StreamStderr
	StreamRecord // a framed console or logging record of Kiln's bootstraps
	StreamSystem // written by Kiln about the worker (for example an import error of a custom runtime)
)

// LogID orders lines and names each of them once: Epoch is the number of the server's start, Seq counts within it.
type LogID struct {
	Epoch int64
	Seq   int64
}

// Less orders ids by time.
func (a LogID) Less(b LogID) bool {
	return a.Epoch < b.Epoch || a.Epoch == b.Epoch && a.Seq < b.Seq
}

// LogLine is one line that a worker wrote. START, END and REPORT are never lines; they are rendered from the Report.
type LogLine struct {
	ID         LogID
	FunctionID int64
	RequestID  string // "" for output between invocations
	Version    string
	Worker     string // the log stream
	At         time.Time
	Stream     Stream
	Level      Level
	Text       string // valid UTF-8 without the newline, ≤ 262,144 bytes
	Cut        bool   // the line was longer and its rest follows as further lines
}

// LogQuery chooses kept lines of one or all functions. Lines come newest first when Before is set or Newest, else oldest first.
type LogQuery struct {
	FunctionID int64 // 0 for all
	RequestID  string
	Worker     string    // the log stream; "" for all
	From, To   time.Time // To is exclusive; zero for open
	MinLevel   Level
	Contains   string // case-insensitive substring
	After      LogID  // lines after this one
	Before     LogID  // lines before this one
	Newest     bool
	Limit      int // at most 10,000; 0 means 1,000
}
