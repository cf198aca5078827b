package postgres

import (
	"bytes"
	"log/slog"
	"strings"
	"sync"
)

// logWriter turns PostgreSQL's messages into log records and remembers the last one for an error.
type logWriter struct {
	log *slog.Logger

	mu      sync.Mutex
	rest    []byte
	newest  string
	warning string
}

// maxRest bounds a message without an end.
const maxRest = 64 << 10

func (w *logWriter) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.rest = append(w.rest, p...)
	for {
		line, rest, found := bytes.Cut(w.rest, []byte("\n"))
		if !found {
			break
		}
		w.rest = rest
		w.take(strings.TrimSpace(string(line)))
	}
	if len(w.rest) > maxRest {
		w.rest = nil
	}
	return len(p), nil
}

func (w *logWriter) take(line string) {
	if line == "" {
		return
	}
	w.newest = line
	kind, text, _ := strings.Cut(line, ":")
	text = strings.TrimSpace(text)
	switch kind {
	case "PANIC":
		w.warning = text
		w.log.Error("postgres", "severity", kind, "message", text)
	case "FATAL": // ends one connection, and is told to it
		w.warning = text
		w.log.Debug("postgres", "severity", kind, "message", text)
	case "ERROR", "WARNING":
		w.log.Debug("postgres", "severity", kind, "message", text)
	case "STATEMENT", "DETAIL", "CONTEXT", "QUERY": // may hold values of users
	default:
		w.log.Debug("postgres", "message", line)
	}
}

// last is the newest fatal message, or the newest of any kind.
func (w *logWriter) last() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.warning != "" {
		return w.warning
	}
	return w.newest
}
