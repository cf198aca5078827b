package console

import (
	"bufio"
	"encoding/json"
	"net/http"
	"strings"
	"time"

	"github.com/labstack/echo/v4"

	"kiln/lambda"
)

// exported is one line of an NDJSON export.
type exported struct {
	At        time.Time `json:"time"`
	Level     string    `json:"level,omitempty"`
	Function  string    `json:"function"`
	Version   string    `json:"version"`
	RequestID string    `json:"requestId,omitempty"`
	Worker    string    `json:"worker,omitempty"`
	Message   string    `json:"message"`
}

// logExport streams kept lines oldest first as text or NDJSON. A failure on the way cuts the connection, so that a part is never taken
// for the whole.
func (c *Console) logExport(e echo.Context) error {
	_, w, err := c.named(e)
	if err != nil {
		return err
	}
	q, err := logQuery(e, w)
	if err != nil {
		return err
	}
	if q.To.IsZero() {
		q.To = c.Now()
	}
	q.Limit = exportPage
	ctx := e.Request().Context()
	lines, err := c.Store.LogLines(ctx, q)
	if err != nil {
		return err
	}
	ndjson := e.QueryParam("format") == "ndjson"
	c.exportHead(e, w, ndjson)
	out := bufio.NewWriterSize(e.Response(), 64<<10)
	name := c.namer(ctx, w)
	for len(lines) > 0 {
		for i := range lines {
			writeExported(out, &lines[i], name, ndjson)
		}
		if len(lines) < exportPage {
			break
		}
		q.After = lines[len(lines)-1].ID
		if lines, err = c.Store.LogLines(ctx, q); err != nil {
			c.Log.WarnContext(ctx, "log export", "error", err)
			panic(http.ErrAbortHandler) // the only way to tell the browser that the file is not whole
		}
	}
	return out.Flush()
}

func (c *Console) exportHead(e echo.Context, w watched, ndjson bool) {
	name, kind, ext := w.Name, "text/plain; charset=utf-8", ".log"
	if name == "" {
		name = "kiln"
	}
	if ndjson {
		kind, ext = "application/x-ndjson", ".ndjson"
	}
	h := e.Response().Header()
	h.Set(echo.HeaderContentType, kind)
	h.Set(echo.HeaderContentDisposition, `attachment; filename="`+name+"-"+c.Now().UTC().Format("20060102-150405")+ext+`"`)
	h.Set("Cache-Control", "no-store")
	e.Response().WriteHeader(http.StatusOK)
}

// oneLine keeps a text from looking like further lines, and its terminal sequences from acting.
var oneLine = strings.NewReplacer("\n", "\n\t", "\r", `\r`, "\x1b", `\x1b`, "\x00", `\0`)

func writeExported(out *bufio.Writer, l *lambda.LogLine, name func(int64) string, ndjson bool) {
	if !ndjson {
		for _, s := range []string{l.At.UTC().Format("2006-01-02T15:04:05.000000Z"), " ", levelWords[l.Level], "\t", l.RequestID, "\t", oneLine.Replace(l.Text), "\n"} {
			_, _ = out.WriteString(s) // Flush answers the first failure
		}
		return
	}
	b, err := json.Marshal(exported{At: l.At.UTC(), Level: levelWords[l.Level], Function: name(l.FunctionID), Version: l.Version, RequestID: l.RequestID, Worker: l.Worker, Message: l.Text})
	if err == nil {
		_, _ = out.Write(append(b, '\n'))
	}
}
