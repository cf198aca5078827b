package runner

import (
	"bytes"
	"encoding/binary"
	"math"
	"strings"
	"time"
	"unicode/utf8"

	"kiln/lambda"
)

const maxLine = 262_144 // bytes of one log line

// validText makes hostile bytes text that every part of Kiln can keep: valid UTF-8 without NUL.
func validText(b []byte) string {
	s := strings.ToValidUTF8(string(b), "\uFFFD")
	if strings.IndexByte(s, 0) >= 0 {
		s = strings.ReplaceAll(s, "\x00", "?") // one byte for one: a limit stays kept
	}
	return s
}

// runeEdge is the largest i ≤ max at which s can be cut without splitting a character.
func runeEdge(s string, max int) int {
	if len(s) <= max {
		return len(s)
	}
	i := max
	for i > max-utf8.UTFMax && !utf8.RuneStart(s[i]) {
		i--
	}
	return i
}

// emitFunc takes one finished line's text; cut tells that its rest follows.
type emitFunc func(text string, cut bool)

// emitPieces emits text in pieces of at most maxLine; more tells that the line goes on after it.
func emitPieces(text string, more bool, emit emitFunc) {
	for len(text) > maxLine {
		i := runeEdge(text, maxLine)
		emit(text[:i], true)
		text = text[i:]
	}
	emit(text, more)
}

// splitter cuts a raw stream into lines. It never holds more than maxLine bytes.
type splitter struct {
	buf []byte
}

func (s *splitter) write(data []byte, emit emitFunc) {
	for len(data) > 0 {
		i := bytes.IndexByte(data, '\n')
		if i < 0 {
			s.hold(data, emit)
			return
		}
		line := data[:i]
		data = data[i+1:]
		if len(s.buf) > 0 {
			s.hold(line, emit)
			line = s.buf
		}
		emitPieces(validText(bytes.TrimSuffix(line, []byte{'\r'})), false, emit)
		s.buf = s.buf[:0]
	}
}

// hold keeps the start of a line, giving away what is too long.
func (s *splitter) hold(data []byte, emit emitFunc) {
	for len(s.buf)+len(data) > maxLine {
		room := maxLine - len(s.buf)
		s.buf = append(s.buf, data[:room]...)
		data = data[room:]
		keep := incompleteRune(s.buf)
		emitPieces(validText(s.buf[:len(s.buf)-keep]), true, emit)
		s.buf = append(s.buf[:0], s.buf[len(s.buf)-keep:]...)
	}
	s.buf = append(s.buf, data...)
	if len(data) == 0 && cap(s.buf) > maxLine/4 && len(s.buf) == 0 {
		s.buf = nil
	}
}

// incompleteRune is how many bytes at the end of b may be the start of a character whose rest has not come.
func incompleteRune(b []byte) int {
	for n := 1; n < utf8.UTFMax && n <= len(b); n++ {
		if c := b[len(b)-n]; utf8.RuneStart(c) {
			if c >= utf8.RuneSelf && !utf8.FullRune(b[len(b)-n:]) {
				return n
			}
			return 0
		}
	}
	return 0
}

// flush ends a line that has no newline.
func (s *splitter) flush(emit emitFunc) {
	if len(s.buf) > 0 {
		emitPieces(validText(s.buf), false, emit)
	}
	s.buf = s.buf[:0]
	if cap(s.buf) > maxLine/4 {
		s.buf = nil // an idle worker keeps no large buffer
	}
}

const recordHeader = 14 // length (4), level (1), kind (1), time in ms (double)

// recordKindHint marks Kiln's own word about the worker.
const recordKindHint = 1

// maxSkew is how far a record's own time may be from ours before it is not believed.
const maxSkew = 15 * time.Minute

// record is one piece of a framed log record.
type record struct {
	at    time.Time
	level lambda.Level
	hint  bool
	text  string
	cut   bool
}

// recordReader reads framed records. It never holds more than maxLine bytes, whatever the frames claim.
type recordReader struct {
	head   []byte
	body   []byte
	left   int64 // bytes of the body that have not come
	inBody bool
}

func (r *recordReader) write(data []byte, now time.Time, emit func(record)) {
	for len(data) > 0 {
		if !r.inBody {
			n := min(recordHeader-len(r.head), len(data))
			r.head, data = append(r.head, data[:n]...), data[n:]
			if len(r.head) < recordHeader {
				return
			}
			r.left, r.inBody = int64(binary.BigEndian.Uint32(r.head)), true
		}
		n := int(min(r.left, int64(len(data)), int64(maxLine-len(r.body))))
		r.body, data = append(r.body, data[:n]...), data[n:]
		r.left -= int64(n)
		if r.left == 0 || len(r.body) == maxLine {
			r.give(now, emit)
		}
	}
}

func (r *recordReader) give(now time.Time, emit func(record)) {
	keep := 0
	if r.left > 0 {
		keep = incompleteRune(r.body)
	}
	rec := record{at: believable(binary.BigEndian.Uint64(r.head[6:]), now), level: min(lambda.Level(r.head[4]&0x7f), lambda.LevelFatal), hint: r.head[5] == recordKindHint}
	emitPieces(strings.TrimSuffix(validText(r.body[:len(r.body)-keep]), "\n"), r.left > 0, func(text string, cut bool) {
		rec.text, rec.cut = text, cut
		emit(rec)
	})
	if r.left > 0 {
		r.body = append(r.body[:0], r.body[len(r.body)-keep:]...)
		return
	}
	r.head, r.body, r.inBody = r.head[:0], r.body[:0], false
	if cap(r.body) > maxLine/4 {
		r.body = nil
	}
}

// end gives what has come of a record whose writer is gone.
func (r *recordReader) end(now time.Time, emit func(record)) {
	if r.inBody && len(r.body) > 0 {
		r.left = 0
		r.give(now, emit)
	}
}

func believable(bits uint64, now time.Time) time.Time {
	ms := math.Float64frombits(bits)
	ours := float64(now.UnixMilli())
	if !(math.Abs(ms-ours) < float64(maxSkew.Milliseconds())) { // NaN too
		return now
	}
	return time.UnixMicro(int64(ms * 1000))
}

var levelNames = map[string]lambda.Level{
	"trace": lambda.LevelTrace, "debug": lambda.LevelDebug, "info": lambda.LevelInfo, "notice": lambda.LevelInfo, "warn": lambda.LevelWarn,
	"warning": lambda.LevelWarn, "error": lambda.LevelError, "err": lambda.LevelError, "fatal": lambda.LevelFatal, "critical": lambda.LevelFatal,
	"panic": lambda.LevelFatal, "10": lambda.LevelTrace, "20": lambda.LevelDebug, "30": lambda.LevelInfo, "40": lambda.LevelWarn,
	"50": lambda.LevelError, "60": lambda.LevelFatal, // pino's numbers
}

const maxJSONLine = 64 << 10

// levelOf finds the level of a raw line that is a JSON object with a "level".
func levelOf(text string) lambda.Level {
	if len(text) < 2 || text[0] != '{' || len(text) > maxJSONLine {
		return lambda.LevelNone
	}
	_, rest, found := strings.Cut(text, `"level"`)
	if !found {
		return lambda.LevelNone
	}
	rest = strings.TrimLeft(rest, " \t:")
	rest = strings.TrimPrefix(rest, `"`)
	end := strings.IndexAny(rest, "\",} \t")
	if end < 0 || end > 16 {
		return lambda.LevelNone
	}
	return levelNames[strings.ToLower(rest[:end])]
}
