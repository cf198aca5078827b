package console

import (
	"context"
	"encoding/json"
	"strconv"
	"time"
	"unicode/utf8"

	"kiln/lambda"
)

// maxWireText is the longest text of a line that is sent unasked; of a longer one its beginning goes, and the whole on demand.
const maxWireText = 16 << 10

// runKey is what lines of one worker and one invocation share.
type runKey struct {
	request, version, worker string
	fn                       int64
}

// appendLines writes lines as `"l":[…],"r":[…]`: a line names what it shares with others by an index into r.
// A line is [epoch, seq, ms, level, stream, index, text, cut?, full length?].
func appendLines(b []byte, lines []lambda.LogLine, name func(int64) string) []byte {
	index := map[runKey]int{}
	var table []runKey
	b = append(b, `"l":[`...)
	for i := range lines {
		l := &lines[i]
		k := runKey{request: l.RequestID, version: l.Version, worker: l.Worker, fn: l.FunctionID}
		n, ok := index[k]
		if !ok {
			n = len(table)
			index[k] = n
			table = append(table, k)
		}
		if i > 0 {
			b = append(b, ',')
		}
		b = appendLine(b, l, n)
	}
	b = append(b, `],"r":[`...)
	for i, k := range table {
		if i > 0 {
			b = append(b, ',')
		}
		b = appendRun(b, k, name)
	}
	return append(b, ']')
}

func appendLine(b []byte, l *lambda.LogLine, run int) []byte {
	b = append(b, '[')
	for _, n := range []int64{l.ID.Epoch, l.ID.Seq} {
		b = append(strconv.AppendInt(b, n, 10), ',')
	}
	b = append(strconv.AppendFloat(b, float64(l.At.UnixMicro())/1000, 'f', -1, 64), ',')
	for _, n := range []int64{int64(l.Level), int64(l.Stream), int64(run)} {
		b = append(strconv.AppendInt(b, n, 10), ',')
	}
	text := l.Text
	if len(text) > maxWireText {
		text = text[:maxWireText]
		for len(text) > 0 && !utf8.RuneStart(l.Text[len(text)]) {
			text = text[:len(text)-1]
		}
	}
	b = appendString(b, text)
	switch short := len(text) < len(l.Text); {
	case short:
		b = append(b, `,`+boolDigit(l.Cut)+`,`...)
		b = strconv.AppendInt(b, int64(len(l.Text)), 10)
	case l.Cut:
		b = append(b, `,1`...)
	}
	return append(b, ']')
}

func boolDigit(v bool) string {
	if v {
		return "1"
	}
	return "0"
}

func appendRun(b []byte, k runKey, name func(int64) string) []byte {
	b = append(b, '[')
	for _, s := range []string{k.request, k.version, k.worker} {
		b = append(appendString(b, s), ',')
	}
	b = append(strconv.AppendInt(b, k.fn, 10), ',')
	return append(appendString(b, name(k.fn)), ']')
}

const hexDigits = "0123456789abcdef"

// appendString writes s as a JSON string; bytes that are no UTF-8 become U+FFFD. It is here because lines are many: json.Marshal of the
// same frame takes four times as long.
func appendString(b []byte, s string) []byte {
	b = append(b, '"')
	start := 0
	for i := 0; i < len(s); {
		if c := s[i]; c < utf8.RuneSelf {
			if c >= 0x20 && c != '"' && c != '\\' {
				i++
				continue
			}
			b = appendEscape(append(b, s[start:i]...), c)
			i++
			start = i
			continue
		}
		r, size := utf8.DecodeRuneInString(s[i:])
		if r == utf8.RuneError && size == 1 {
			b = append(append(b, s[start:i]...), "\uFFFD"...)
			i++
			start = i
			continue
		}
		i += size
	}
	return append(append(b, s[start:]...), '"')
}

func appendEscape(b []byte, c byte) []byte {
	switch c {
	case '"', '\\':
		return append(b, '\\', c)
	case '\n':
		return append(b, '\\', 'n')
	case '\t':
		return append(b, '\\', 't')
	}
	return append(b, '\\', 'u', '0', '0', hexDigits[c>>4], hexDigits[c&15])
}

// wireReport is a report as the islands read it; times in ms.
type wireReport struct {
	ID       string  `json:"id"`
	Fn       int64   `json:"f"`
	Name     string  `json:"fn"`
	Version  string  `json:"v"`
	Alias    string  `json:"al,omitempty"`
	Source   string  `json:"src"`
	At       float64 `json:"at"`
	Queued   float64 `json:"q"`
	Init     float64 `json:"i"`
	Duration float64 `json:"d"`
	Billed   int64   `json:"b"`
	Memory   int     `json:"m"`
	Peak     int     `json:"mm"`
	Cold     bool    `json:"cold,omitempty"`
	Status   string  `json:"s"`
	Error    string  `json:"et,omitempty"`
	Message  string  `json:"em,omitempty"`
}

func ms(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

func wireOf(r *lambda.Report) wireReport {
	at := r.StartedAt
	if at.IsZero() {
		at = r.AcceptedAt
	}
	return wireReport{
		ID: r.RequestID, Fn: r.FunctionID, Name: r.Function, Version: r.Version, Alias: r.Alias, Source: r.Source,
		At: float64(at.UnixMicro()) / 1000, Queued: ms(r.Queued), Init: ms(r.Init), Duration: ms(r.Duration), Billed: int64(r.BilledMS),
		Memory: r.MemoryMB, Peak: r.MaxMemoryMB, Cold: r.Cold, Status: string(r.Status), Error: r.ErrorType, Message: r.ErrorMessage,
	}
}

// appendReports writes reports as `"p":[…]`.
func appendReports(b []byte, reports []lambda.Report) ([]byte, error) {
	wire := make([]wireReport, len(reports))
	for i := range reports {
		wire[i] = wireOf(&reports[i])
	}
	j, err := json.Marshal(wire)
	if err != nil {
		return nil, err
	}
	return append(append(b, `"p":`...), j...), nil
}

func (c *Console) readNames(ctx context.Context, known map[int64]string) {
	for after := ""; ; {
		page, err := c.Store.Functions(ctx, lambda.FunctionFilter{After: after, Limit: 1000})
		if err != nil {
			c.Log.WarnContext(ctx, "names of functions", "error", err)
			return
		}
		for _, f := range page {
			known[f.ID] = f.Name
			after = f.Name
		}
		if len(page) < 1000 {
			return
		}
	}
}

// namer answers names of functions by id: of one function without asking, else from a memory that is renewed when an unknown one turns up.
func (c *Console) namer(ctx context.Context, f watched) func(int64) string {
	if f.ID != 0 {
		return func(int64) string { return f.Name }
	}
	known := map[int64]string{}
	return func(id int64) string {
		if _, ok := known[id]; !ok {
			known[id] = ""
			c.readNames(ctx, known)
		}
		return known[id]
	}
}
