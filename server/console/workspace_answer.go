package console

import (
	"context"
	"encoding/json"
	"regexp"
	"strconv"
	"strings"
	"unicode/utf8"

	"kiln/lambda"
	"kiln/web"
)

// failure is what an error object in AWS's form says.
type failure struct {
	Type, Message string
	Frames        []web.RunFrame
}

const (
	mostFrames   = 20
	longestFrame = 300  // characters
	longestError = 4000 // characters of a message that is shown
)

// parseFailure reads an error object. Everything in it is hostile text; what is no error object gives an empty failure.
func parseFailure(payload []byte) failure {
	var raw struct {
		ErrorType    string          `json:"errorType"`
		ErrorMessage string          `json:"errorMessage"`
		Trace        json.RawMessage `json:"trace"`
		StackTrace   json.RawMessage `json:"stackTrace"`
	}
	if json.Unmarshal(payload, &raw) != nil {
		return failure{}
	}
	f := failure{Type: cutRunes(raw.ErrorType, 200), Message: cutRunes(raw.ErrorMessage, longestError)}
	if frames := textsOf(raw.StackTrace); len(frames) > 0 {
		f.Frames = pythonFrames(frames)
	} else {
		f.Frames = nodeFrames(textsOf(raw.Trace))
	}
	return f
}

// textsOf is a JSON list of texts; anything else is none.
func textsOf(raw json.RawMessage) []string {
	var list []string
	if len(raw) == 0 || json.Unmarshal(raw, &list) != nil {
		return nil
	}
	return list
}

var (
	nodePlace = regexp.MustCompile(`(?:file://)?/var/task/([^\s()"]+?):(\d+)(?::(\d+))?\)?$`)
	nodeName  = regexp.MustCompile(`^at (?:async )?([^\s(]+) \(`)
	pyPlace   = regexp.MustCompile(`File "(?:/var/task/)?([^"]+)",? [Ll]ine (\d+)(?:, in (\S+))?`)
)

func nodeFrames(lines []string) []web.RunFrame {
	var out []web.RunFrame
	for _, line := range lines {
		line = strings.TrimSpace(line)
		m := nodePlace.FindStringSubmatch(line)
		if m == nil && !strings.HasPrefix(line, "at ") || len(out) == mostFrames {
			continue
		}
		out = append(out, nodeFrame(line, m))
	}
	return out
}

func nodeFrame(line string, m []string) web.RunFrame {
	if m == nil {
		text := strings.TrimPrefix(line, "at ")
		if i := strings.LastIndexByte(text, '('); i >= 0 {
			text = strings.TrimSuffix(text[i+1:], ")")
		}
		return web.RunFrame{Text: cutRunes(text, longestFrame)}
	}
	f := web.RunFrame{Path: cutRunes(m[1], longestFrame)}
	f.Line, _ = strconv.Atoi(m[2])
	f.Column, _ = strconv.Atoi(m[3])
	f.Text = f.Path + ":" + m[2]
	if m[3] != "" {
		f.Text += ":" + m[3]
	}
	if n := nodeName.FindStringSubmatch(line); n != nil {
		f.Function = cutRunes(n[1], 100)
	}
	return f
}

// pythonFrames lists Python's places innermost first, as Node.js does.
func pythonFrames(lines []string) []web.RunFrame {
	var out []web.RunFrame
	for i := len(lines) - 1; i >= 0 && len(out) < mostFrames; i-- {
		m := pyPlace.FindStringSubmatch(lines[i])
		if m == nil {
			continue
		}
		f := web.RunFrame{Text: cutRunes(m[1], longestFrame) + ":" + m[2], Function: cutRunes(m[3], 100)}
		if !strings.HasPrefix(m[1], "/") {
			f.Path = cutRunes(m[1], longestFrame)
			f.Line, _ = strconv.Atoi(m[2])
		}
		out = append(out, f)
	}
	return out
}

// httpStatus is the status of an answer in the form that API Gateway and function URLs understand, else 0.
func httpStatus(payload []byte) int {
	var a struct {
		StatusCode json.Number `json:"statusCode"`
	}
	if json.Unmarshal(payload, &a) != nil {
		return 0
	}
	n, err := a.StatusCode.Int64()
	if err != nil || n < 100 || n > 599 {
		return 0
	}
	return int(n)
}

// hints are what Kiln can say about a result beyond its own words.
func hints(ctx context.Context, v web.TestRun, payload []byte) []string {
	r := v.Report
	switch {
	case r.Status == lambda.StatusTimeout:
		return []string{web.T(ctx, "ws.hint.timeout", "n", v.TimeoutSec)}
	case r.Status == lambda.StatusMemory:
		return []string{web.T(ctx, "ws.hint.memory", "n", r.MemoryMB)}
	case r.ErrorType == "Runtime.HandlerNotFound" || r.ErrorType == "Runtime.MalformedHandlerName":
		return []string{web.T(ctx, "ws.hint.handler")}
	case r.ErrorType == "Runtime.ImportModuleError":
		return []string{web.T(ctx, "ws.hint.module")}
	}
	return nil
}

// cutText is at most `most` bytes of b as valid text, never cut inside a character.
func cutText(b []byte, most int) string {
	if len(b) > most {
		for most > 0 && !utf8.RuneStart(b[most]) {
			most--
		}
		b = b[:most]
	}
	return strings.ToValidUTF8(string(b), "\ufffd")
}

func cutRunes(s string, most int) string {
	s = strings.ToValidUTF8(s, "\ufffd")
	for i := range s {
		if most--; most < 0 {
			return s[:i] + "…"
		}
	}
	return s
}

// logText is the log tail without the lines that the panel shows as figures.
func logText(tail []byte) string {
	var b strings.Builder
	for line := range strings.Lines(cutText(tail, 8<<10)) {
		if strings.HasPrefix(line, "START RequestId: ") || strings.HasPrefix(line, "END RequestId: ") || strings.HasPrefix(line, "REPORT RequestId: ") {
			continue
		}
		b.WriteString(line)
	}
	return b.String()
}
