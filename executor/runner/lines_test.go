package runner

import (
	"encoding/binary"
	"math"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"kiln/lambda"
)

// said is what a parser gave: texts, and which of them were cut.
type said struct {
	texts []string
	cut   []bool
}

func (s *said) emit(text string, cut bool) {
	s.texts, s.cut = append(s.texts, text), append(s.cut, cut)
}

// inPieces writes data in pieces of n bytes.
func inPieces(data []byte, n int, write func([]byte)) {
	for len(data) > 0 {
		k := min(n, len(data))
		write(data[:k])
		data = data[k:]
	}
}

func TestSplitterFindsTheSameLinesHoweverTheyCome(t *testing.T) {
	for _, c := range []struct{ in, want string }{
		{"a\nb\n", "a|b"}, {"a\r\nb", "a|b"}, {"\n\n", "|"}, {"", ""}, {"x", "x"}, {"é\nü", "é|ü"}, {"a\xffb\n", "a\uFFFDb"}, {"a\x00b\n", "a?b"},
		{"\xe2\x82\xac€\n", "€€"},
	} {
		for _, n := range []int{1, 2, 3, 1000} {
			var s splitter
			var got said
			inPieces([]byte(c.in), n, func(b []byte) { s.write(b, got.emit) })
			s.flush(got.emit)
			if strings.Join(got.texts, "|") != c.want {
				t.Errorf("%q in pieces of %d: %q", c.in, n, got.texts)
			}
		}
	}
}

func TestLongLinesAreCutBetweenCharacters(t *testing.T) {
	for _, char := range []string{"x", "é", "€", "😀"} {
		long := "ab" + strings.Repeat(char, 3*maxLine/len(char)) + "end"
		var s splitter
		var got said
		inPieces([]byte(long+"\nnext\n"), 7001, func(b []byte) { s.write(b, got.emit) })
		if len(s.buf) > maxLine || cap(s.buf) > 2*maxLine {
			t.Errorf("%d bytes held", cap(s.buf))
		}
		n := len(got.texts)
		if strings.Join(got.texts[:n-1], "") != long || got.texts[n-1] != "next" {
			t.Errorf("%s: %d pieces do not make the line", char, n)
		}
		for i, text := range got.texts {
			if len(text) > maxLine || !utf8.ValidString(text) || got.cut[i] != (i < n-2) {
				t.Errorf("%s: piece %d of %d bytes, cut %v", char, i, len(text), got.cut[i])
			}
		}
	}
}

func frame(level, kind byte, ms float64, text string) []byte {
	b := binary.BigEndian.AppendUint32(nil, uint32(len(text)))
	b = append(b, level, kind)
	return append(binary.BigEndian.AppendUint64(b, math.Float64bits(ms)), text...)
}

func TestRecordsKeepLevelTimeAndLines(t *testing.T) {
	now := time.Now()
	at := now.Add(-time.Second).Truncate(time.Millisecond)
	ms := float64(at.UnixMilli())
	data := append(frame(3, 0, ms, "two\nlines\n"), frame(200, 1, math.NaN(), "hint")...)
	data = append(data, frame(5, 0, 0, "")...)
	for _, n := range []int{1, 5, 1000} {
		var r recordReader
		var got []record
		inPieces(data, n, func(b []byte) { r.write(b, now, func(x record) { got = append(got, x) }) })
		if len(got) != 3 || got[0].text != "two\nlines" || got[0].level != lambda.LevelInfo || !got[0].at.Equal(at) || got[0].hint {
			t.Fatalf("pieces of %d: %+v", n, got)
		}
		if got[1].level != lambda.LevelFatal || !got[1].hint || !got[1].at.Equal(now) || !got[2].at.Equal(now) {
			t.Errorf("an unbelievable time or level was believed: %+v", got[1:])
		}
	}
}

func TestRecordsAreHeldInLittleMemory(t *testing.T) {
	var r recordReader
	head := frame(3, 0, 0, "")
	binary.BigEndian.PutUint32(head, math.MaxUint32)
	total := 0
	emit := func(x record) { total += len(x.text) }
	r.write(head, time.Now(), emit)
	piece := []byte(strings.Repeat("y", 65536))
	for range 100 {
		r.write(piece, time.Now(), emit)
	}
	if cap(r.body) > 2*maxLine {
		t.Errorf("%d bytes held", cap(r.body))
	}
	r.end(time.Now(), emit)
	if total != 100*65536 {
		t.Errorf("%d bytes given", total)
	}
}

func TestLevelsOfJSONLines(t *testing.T) {
	for in, want := range map[string]lambda.Level{
		`{"level":"info","m":1}`: lambda.LevelInfo, `{"time":"x", "level" : "WARN"}`: lambda.LevelWarn, `{"level":50}`: lambda.LevelError,
		`{"level":"nonsense"}`: lambda.LevelNone, `plain "level":"info"`: lambda.LevelNone, `{"level"`: lambda.LevelNone, `{}`: lambda.LevelNone, ``: lambda.LevelNone,
	} {
		if got := levelOf(in); got != want {
			t.Errorf("%s: %v", in, got)
		}
	}
}

func FuzzOutput(f *testing.F) {
	f.Add([]byte("a\nb\xff\x00"), 3)
	f.Add(frame(3, 0, 0, "x"), 1)
	f.Fuzz(func(t *testing.T, data []byte, n int) {
		n = max(1, min(n, 1<<16))
		check := func(text string, _ bool) {
			if len(text) > maxLine || !utf8.ValidString(text) || strings.IndexByte(text, 0) >= 0 {
				t.Errorf("bad text %q", text)
			}
		}
		var s splitter
		var r recordReader
		inPieces(data, n, func(b []byte) {
			s.write(b, check)
			r.write(b, time.Now(), func(x record) { check(x.text, x.cut) })
		})
		s.flush(check)
		r.end(time.Now(), func(x record) { check(x.text, x.cut) })
	})
}
