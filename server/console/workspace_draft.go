package console

import (
	"bytes"
	"cmp"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"mime"
	"net/http"
	"path"
	"slices"
	"strconv"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/labstack/echo/v4"

	"kiln/code"
	"kiln/lambda"
	"kiln/server/edge"
	"kiln/web"
)

const (
	maxDraftBody = 48 << 20 // bytes of one save: a dropped file of 20 MB as base64, and more
	maxDraftSize = 32 << 20 // bytes of all files that a package opened as a draft may change
)

// changeJSON is one changed file as the editor sends it; Data is base64.
type changeJSON struct {
	Path     string  `json:"path"`
	Deleted  bool    `json:"deleted"`
	Reverted bool    `json:"reverted"` // the draft forgets the file
	Text     *string `json:"text"`
	Data     *string `json:"data"`
}

// draftEdit is what save, run and deploy have in common.
type draftEdit struct {
	Base  int64        `json:"base"`
	Seq   int64        `json:"seq"`
	Files []changeJSON `json:"files"`
}

// savedJSON answers a save. Revision is the function's now.
type savedJSON struct {
	Seq      int64     `json:"seq"`
	Base     int64     `json:"base"`
	SavedAt  time.Time `json:"savedAt"`
	Revision int64     `json:"revision"`
}

// decodeJSON reads a bounded JSON body.
func decodeJSON(e echo.Context, into any, limit int64) error {
	body := http.MaxBytesReader(e.Response(), e.Request().Body, limit)
	if err := json.NewDecoder(body).Decode(into); err != nil {
		if known := asDomain(err); known.Kind == lambda.TooLarge {
			return known
		}
		return lambda.E(lambda.Invalid, "body.json").Because(err)
	}
	return nil
}

func (d draftEdit) files() ([]lambda.DraftFile, error) {
	out := make([]lambda.DraftFile, 0, len(d.Files))
	for _, f := range d.Files {
		x := lambda.DraftFile{Path: f.Path, Deleted: f.Deleted}
		switch {
		case f.Deleted || f.Reverted:
		case f.Text != nil:
			x.Data = []byte(*f.Text)
		case f.Data != nil:
			data, err := base64.StdEncoding.DecodeString(*f.Data)
			if err != nil {
				return nil, lambda.E(lambda.Invalid, "body.json").Because(err)
			}
			x.Data = data
		default:
			continue // a file that the browser only lists is not changed by it
		}
		out = append(out, x)
	}
	return out, nil
}

func (c *Console) saveDraft(e echo.Context) error {
	var in draftEdit
	if err := decodeJSON(e, &in, maxDraftBody); err != nil {
		return err
	}
	ctx := c.Context(e)
	fn, err := c.Store.Function(ctx, e.Param("name"))
	if err != nil {
		return err
	}
	saved, err := c.save(ctx, fn, in)
	if err != nil {
		return err
	}
	return e.JSON(http.StatusOK, saved)
}

// save writes the changes of an edit; without any it answers nil.
func (c *Console) save(ctx context.Context, fn *lambda.Function, in draftEdit) (*savedJSON, error) {
	files, err := in.files()
	if err != nil || len(files) == 0 {
		return nil, err
	}
	d, err := c.Store.SaveDraft(ctx, edge.Principal(ctx), fn.Name, in.Base, in.Seq, files)
	if err != nil {
		return nil, err
	}
	return &savedJSON{Seq: d.Seq, Base: d.Base, SavedAt: d.SavedAt, Revision: fn.Revision}, nil
}

func (c *Console) discardDraft(e echo.Context) error {
	ctx := c.Context(e)
	if err := c.Store.DiscardDraft(ctx, edge.Principal(ctx).UserID, e.Param("name")); err != nil {
		return err
	}
	return e.NoContent(http.StatusNoContent)
}

// stateJSON is what stands now, for a page that must catch up.
type stateJSON struct {
	Revision    int64      `json:"revision"`
	By          string     `json:"by"`
	At          time.Time  `json:"at"`
	CodeChanged bool       `json:"codeChanged"`
	Files       []fileJSON `json:"files"`
	Draft       *draftJSON `json:"draft"`
	History     string     `json:"history"`    // rendered
	HistoryAll  string     `json:"historyAll"` // the text of the link to all of it
}

// workspaceState answers what stands now; ?base=N also says whether the code differs from that of revision N.
func (c *Console) workspaceState(e echo.Context) error {
	ctx := c.Context(e)
	b, err := c.bench(ctx, e.Param("name"))
	if err != nil {
		return err
	}
	s, err := c.stateOf(ctx, b)
	if err != nil {
		return err
	}
	if base, perr := strconv.ParseInt(e.QueryParam("base"), 10, 64); perr == nil {
		old, err := c.codeOf(ctx, b.fn, base)
		if err != nil {
			return err
		}
		s.CodeChanged = old.SHA256 != b.fn.Code.SHA256
	}
	return e.JSON(http.StatusOK, s)
}

func (c *Console) stateOf(ctx context.Context, b *bench) (stateJSON, error) {
	room := pageText
	s := stateJSON{Revision: b.fn.Revision, By: b.fn.UpdatedBy, At: b.fn.UpdatedAt, Draft: b.draftJSON(&room), Files: b.filesJSON("", &room)}
	var html bytes.Buffer
	err := web.HistoryRows(b.history).Render(ctx, &html)
	s.History, s.HistoryAll = html.String(), web.T(ctx, "ws.history.all", "n", b.history.Total)
	return s, err
}

// workspaceFile is one file's bytes: always a download, never something that the browser would interpret.
func (c *Console) workspaceFile(e echo.Context) error {
	ctx := c.Context(e)
	fn, err := c.Store.Function(ctx, e.Param("name"))
	if err != nil {
		return err
	}
	data, err := c.fileBytes(ctx, fn, e.QueryParam("path"), e.QueryParam("draft") != "")
	if err != nil {
		return err
	}
	return sendFile(e, path.Base(e.QueryParam("path")), bytes.NewReader(data))
}

func sendFile(e echo.Context, name string, r io.Reader) error {
	h := e.Response().Header()
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Content-Disposition", mime.FormatMediaType("attachment", map[string]string{"filename": name}))
	return e.Stream(http.StatusOK, echo.MIMEOctetStream, r)
}

func (c *Console) fileBytes(ctx context.Context, fn *lambda.Function, name string, draft bool) ([]byte, error) {
	if draft {
		d, err := c.Store.Draft(ctx, edge.Principal(ctx).UserID, fn.Name)
		if err != nil {
			return nil, err
		}
		for _, f := range d.Files {
			if f.Path == name && !f.Deleted {
				return f.Data, nil
			}
		}
	}
	zip, err := c.packageBytes(ctx, fn.Code)
	if err != nil {
		return nil, err
	}
	return code.ReadFile(zip, name)
}

// workspaceZip is the deployed package byte for byte, or with ?draft=1 the one that a deploy of the draft would make.
func (c *Console) workspaceZip(e echo.Context) error {
	ctx := c.Context(e)
	fn, err := c.Store.Function(ctx, e.Param("name"))
	if err != nil {
		return err
	}
	zip, err := c.packageBytes(ctx, fn.Code)
	if err != nil {
		return err
	}
	name := fmt.Sprintf("%s-r%d.zip", fn.Name, fn.Revision)
	if e.QueryParam("draft") != "" {
		d, err := c.Store.Draft(ctx, edge.Principal(ctx).UserID, fn.Name)
		if err != nil {
			return err
		}
		if zip, err = c.mergedBytes(ctx, fn, d); err != nil {
			return err
		}
		name = fn.Name + "-draft.zip"
	}
	return sendFile(e, name, bytes.NewReader(zip))
}

// mergedBytes is the draft on the package that it began from.
func (c *Console) mergedBytes(ctx context.Context, fn *lambda.Function, d *lambda.DraftState) ([]byte, error) {
	base, err := c.codeOf(ctx, fn, d.Base)
	if err != nil {
		return nil, err
	}
	zip, err := c.packageBytes(ctx, base)
	if err != nil {
		return nil, err
	}
	return code.Merge(zip, d.Files)
}

// uploadPackage takes a whole zip: ?to=deploy makes it the next revision, else it becomes the person's draft.
func (c *Console) uploadPackage(e echo.Context) error {
	ctx := c.Context(e)
	fn, err := c.Store.Function(ctx, e.Param("name"))
	if err != nil {
		return err
	}
	zip, err := io.ReadAll(http.MaxBytesReader(e.Response(), e.Request().Body, lambda.MaxZip))
	if err != nil {
		return err
	}
	if err := code.Check(zip); err != nil {
		return err
	}
	base, _ := strconv.ParseInt(e.QueryParam("base"), 10, 64)
	seq, _ := strconv.ParseInt(e.QueryParam("seq"), 10, 64)
	if e.QueryParam("to") == "deploy" {
		_, err = c.deployZip(ctx, fn, base, zip, "")
	} else {
		err = c.draftOf(ctx, fn, zip, base, seq)
	}
	if err != nil {
		return err
	}
	return e.NoContent(http.StatusNoContent)
}

// draftOf makes the difference between a zip and the deployed package the person's draft.
func (c *Console) draftOf(ctx context.Context, fn *lambda.Function, zip []byte, base, seq int64) error {
	old, err := c.packageBytes(ctx, fn.Code)
	if err != nil {
		return err
	}
	changed, err := differences(old, zip)
	if err != nil {
		return err
	}
	if base != fn.Revision && seq > 0 { // the draft's base moves with it: all of the package is taken
		base = fn.Revision
	}
	_, err = c.Store.SaveDraft(ctx, edge.Principal(ctx), fn.Name, cmp.Or(base, fn.Revision), seq, changed)
	return err
}

func differences(old, zip []byte) ([]lambda.DraftFile, error) {
	was, err := code.Files(old)
	if err != nil {
		return nil, err
	}
	is, err := code.Files(zip)
	if err != nil {
		return nil, err
	}
	before := map[string]lambda.File{}
	for _, f := range was {
		before[f.Path] = f
	}
	var out []lambda.DraftFile
	size := 0
	for _, f := range is {
		data, err := code.ReadFile(zip, f.Path)
		if err != nil {
			return nil, err
		}
		if size += len(data); size > maxDraftSize {
			return nil, lambda.E(lambda.TooLarge, "draft.package", "max", strconv.Itoa(maxDraftSize>>20)+" MB")
		}
		b, known := before[f.Path]
		delete(before, f.Path)
		if !known || b.Data == nil || !bytes.Equal(b.Data, data) {
			out = append(out, lambda.DraftFile{Path: f.Path, Data: data})
		}
	}
	for p := range before {
		out = append(out, lambda.DraftFile{Path: p, Deleted: true})
	}
	return out, nil
}

func isText(data []byte) bool { return utf8.Valid(data) && bytes.IndexByte(data, 0) < 0 }

func sortFiles(files []web.WorkspaceFile) {
	slices.SortFunc(files, func(a, b web.WorkspaceFile) int { return cmp.Compare(a.Path, b.Path) })
}

// packages keeps the bytes of the packages that were used last, so that a draft run reads none of them from the database.
// The zero value is ready.
type packages struct {
	mu    sync.Mutex
	order []string // oldest first
	zips  map[string][]byte
	size  int
}

const keptPackages = 96 << 20 // bytes in all

func (p *packages) get(sha256 string) []byte {
	p.mu.Lock()
	defer p.mu.Unlock()
	zip, ok := p.zips[sha256]
	if ok {
		p.order = append(slices.DeleteFunc(p.order, func(s string) bool { return s == sha256 }), sha256)
	}
	return zip
}

func (p *packages) put(sha256 string, zip []byte) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if _, ok := p.zips[sha256]; ok || len(zip) > keptPackages/2 {
		return
	}
	if p.zips == nil {
		p.zips = map[string][]byte{}
	}
	p.zips[sha256] = zip
	p.order = append(p.order, sha256)
	p.size += len(zip)
	for p.size > keptPackages {
		p.size -= len(p.zips[p.order[0]])
		delete(p.zips, p.order[0])
		p.order = p.order[1:]
	}
}

// packageBytes is a kept package. The caller must not change it.
func (c *Console) packageBytes(ctx context.Context, pkg lambda.Code) ([]byte, error) {
	if zip := c.packages.get(pkg.SHA256); zip != nil {
		return zip, nil
	}
	r, err := c.Store.OpenCode(ctx, pkg.SHA256)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	zip, err := io.ReadAll(io.LimitReader(r, lambda.MaxZip+1))
	if err != nil {
		return nil, fmt.Errorf("read package %s: %w", pkg.SHA256, err)
	}
	c.packages.put(pkg.SHA256, zip)
	return zip, nil
}
