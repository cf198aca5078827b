package console

import (
	"context"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/labstack/echo/v4"

	"kiln/code"
	"kiln/iam"
	"kiln/lambda"
	"kiln/server/edge"
	"kiln/web"
)

// workspaceStore is what the workspace needs: files, drafts, saved events, runs.
type workspaceStore interface {
	Function(ctx context.Context, name string) (*lambda.Function, error)
	UpdateFunction(ctx context.Context, by iam.Principal, name string, revision int64, u lambda.FunctionUpdate) (*lambda.Function, error)
	Revisions(ctx context.Context, name string, before int64, limit int) ([]*lambda.Revision, error)
	Revision(ctx context.Context, name string, number int64) (*lambda.Revision, error)
	PutCode(ctx context.Context, zip io.Reader) (lambda.Code, error)
	OpenCode(ctx context.Context, sha256 string) (io.ReadCloser, error)
	Draft(ctx context.Context, user int64, function string) (*lambda.DraftState, error)
	SaveDraft(ctx context.Context, by iam.Principal, function string, base, seq int64, changed []lambda.DraftFile) (*lambda.DraftState, error)
	DiscardDraft(ctx context.Context, user int64, function string) error
	PinDraft(ctx context.Context, by iam.Principal, function string, c lambda.Code) (lambda.Digest, error)
	TestEvents(ctx context.Context, function string) ([]lambda.TestEvent, error)
	PutTestEvent(ctx context.Context, by iam.Principal, e lambda.TestEvent) error
	DeleteTestEvent(ctx context.Context, by iam.Principal, function, name string) error
	Invocations(ctx context.Context, f lambda.InvocationFilter) ([]lambda.Report, error)
	Invocation(ctx context.Context, requestID string) (*lambda.Report, error)
	Bodies(ctx context.Context, requestID string) (*lambda.Bodies, error)
	LogLines(ctx context.Context, q lambda.LogQuery) ([]lambda.LogLine, error)
}

// workspaceEngine is what the workspace needs of the executor.
type workspaceEngine interface {
	Invoke(ctx context.Context, inv lambda.Invocation) (lambda.Result, error)
	InvokeAsync(ctx context.Context, inv lambda.Invocation) (string, error)
	Changed(name string)
}

func (c *Console) workspaceRoutes() []Route {
	const page, root = "/functions/:name", "/functions/:name/workspace"
	fn := edge.OnFunction("name")
	return []Route{
		route("GET", page, "lambda:GetFunction", fn, c.workspace),
		route("POST", page+"/run", "lambda:InvokeFunction", fn, c.runForm),
		route("GET", root+"/state", "lambda:GetFunction", fn, c.workspaceState),
		route("GET", root+"/file", "lambda:GetFunction", fn, c.workspaceFile),
		route("GET", root+"/code.zip", "lambda:GetFunction", fn, c.workspaceZip),
		route("PUT", root+"/draft", "lambda:UpdateFunctionCode", fn, c.saveDraft),
		route("DELETE", root+"/draft", "lambda:UpdateFunctionCode", fn, c.discardDraft),
		route("POST", root+"/upload", "lambda:UpdateFunctionCode", fn, c.uploadPackage),
		route("POST", root+"/deploy", "lambda:UpdateFunctionCode", fn, c.deployDraft),
		route("POST", root+"/run", "lambda:InvokeFunction", fn, c.runTest),
		route("GET", root+"/runs", "lambda:InvokeFunction", fn, c.earlierRuns),
		route("GET", root+"/runs/:id", "lambda:InvokeFunction", fn, c.followRun),
		route("GET", root+"/templates/:id", "lambda:GetFunction", fn, c.eventTemplate),
		route("PUT", root+"/events", "lambda:InvokeFunction", fn, c.putEvent),
		route("DELETE", root+"/events", "lambda:InvokeFunction", fn, c.deleteEvent),
	}
}

// fileJSON is one file as the editor gets it: Text is left out of files that are not text and of what does not fit into the page.
type fileJSON struct {
	Path    string  `json:"path"`
	Size    int64   `json:"size"`
	Binary  bool    `json:"binary,omitempty"`
	Large   bool    `json:"large,omitempty"`
	Deleted bool    `json:"deleted,omitempty"`
	Text    *string `json:"text,omitempty"`
}

type draftJSON struct {
	Base    int64      `json:"base"`
	Seq     int64      `json:"seq"`
	SavedAt time.Time  `json:"savedAt"`
	Files   []fileJSON `json:"files"`
}

type functionJSON struct {
	Name     string `json:"name"`
	Runtime  string `json:"runtime"`
	Handler  string `json:"handler"`
	Region   string `json:"region"`
	Endpoint string `json:"endpoint"`
}

type chosenEvent struct {
	Name   string `json:"name"`
	Source string `json:"source"`
	Text   string `json:"text"`
	Asked  bool   `json:"asked,omitempty"` // the address names it: it goes before what the browser remembers
}

type mayJSON struct {
	Edit bool `json:"edit"`
}

// workspaceJSON is what the island knows when the page is made.
type workspaceJSON struct {
	Fn        functionJSON   `json:"fn"`
	User      int64          `json:"user"`
	Root      string         `json:"root"`
	Nonce     string         `json:"nonce"`
	CSRF      string         `json:"csrf"`
	Zone      string         `json:"zone"`
	Revision  int64          `json:"revision"`
	Files     []fileJSON     `json:"files"`
	Draft     *draftJSON     `json:"draft"`
	Stale     bool           `json:"stale"`
	Events    []eventJSON    `json:"events"`
	Templates []templateJSON `json:"templates"`
	First     chosenEvent    `json:"first"`
	Open      string         `json:"open"`
	Line      int            `json:"line"`
	May       mayJSON        `json:"may"`
}

// bench is everything that the workspace of one person on one function shows.
type bench struct {
	fn      *lambda.Function
	files   []lambda.File
	draft   *lambda.DraftState // nil when there is none
	stale   bool               // the code was deployed by somebody after the draft began
	history web.History
	events  []lambda.TestEvent
}

func (c *Console) workspace(e echo.Context) error {
	b, err := c.bench(c.Context(e), e.Param("name"))
	if err != nil {
		return err
	}
	run, err := c.runOfQuery(e, b.fn)
	if err != nil {
		return err
	}
	text := c.firstEvent(b, e.QueryParam("event")).Text
	if id := e.QueryParam("replay"); id != "" {
		if text, err = c.eventOf(c.Context(e), b.fn, id); err != nil {
			return err
		}
	}
	return c.workspacePage(e, http.StatusOK, b, formEvent{text: text}, run)
}

// eventOf is a past invocation's event, to edit and run again.
func (c *Console) eventOf(ctx context.Context, fn *lambda.Function, id string) (string, error) {
	if err := c.mayOn(ctx, getInvocation, fn.Name); err != nil {
		return "", err
	}
	_, event, err := c.keptEvent(ctx, fn, id)
	return indented(event), err
}

// formEvent is the event of the form that works without JavaScript.
type formEvent struct{ text, problem string }

func (c *Console) workspacePage(e echo.Context, status int, b *bench, ev formEvent, run *web.TestRun) error {
	ctx := c.Context(e)
	open := openPath(e.QueryParam("file"), b)
	line, _ := strconv.Atoi(e.QueryParam("line"))
	first := c.firstEvent(b, e.QueryParam("event"))
	if ev.text != "" && first.Text != ev.text {
		first = chosenEvent{Text: ev.text}
	}
	first.Asked = e.QueryParam("event") != "" || e.QueryParam("replay") != ""
	page := web.Workspace{
		Head:     c.head(ctx, b.fn, "workspace"),
		Edit:     c.mayEdit(ctx, b.fn),
		Revision: b.fn.Revision, Files: b.list(), Open: open, Text: b.lines(open), History: b.history,
		Events: eventNames(b.events), Chosen: first.Name, Event: first.Text, BadEvent: ev.problem, Run: run,
		FileRoot: workspaceRoot(b.fn.Name) + "file",
	}
	if b.changed() > 0 {
		page.Draft = &web.WorkspaceDraft{Files: b.changed(), At: b.draft.SavedAt}
	}
	page.Data = c.workspaceData(ctx, b, page, first, open, line)
	return c.page(e, status, web.WorkspacePage(page))
}

func (c *Console) workspaceData(ctx context.Context, b *bench, page web.Workspace, first chosenEvent, open string, line int) workspaceJSON {
	v := web.Of(ctx)
	room := pageText
	draft := b.draftJSON(&room)
	return workspaceJSON{
		Fn:   functionJSON{Name: b.fn.Name, Runtime: b.fn.Runtime, Handler: b.fn.Handler, Region: c.ARNs.Region, Endpoint: c.Endpoint},
		User: edge.Principal(ctx).UserID, Root: workspaceRoot(b.fn.Name), Nonce: v.Nonce, CSRF: v.CSRF, Zone: v.Zone.String(),
		Revision: b.fn.Revision, Files: b.filesJSON(open, &room), Draft: draft, Stale: b.stale,
		Events: eventsJSON(b.events), Templates: templatesJSON(v.Locale), First: first, Open: open, Line: line, May: mayJSON{Edit: page.Edit},
	}
}

func workspaceRoot(name string) string { return "/functions/" + name + "/workspace/" }

func (c *Console) mayEdit(ctx context.Context, f *lambda.Function) bool {
	return c.Gate.May(ctx, "lambda:UpdateFunctionCode", c.ARNs.Function(f.Name, ""))
}

const historyLength = 6

func (c *Console) bench(ctx context.Context, name string) (*bench, error) {
	fn, err := c.Store.Function(ctx, name)
	if err != nil {
		return nil, err
	}
	b := &bench{fn: fn}
	if b.draft, err = c.draft(ctx, fn.Name); err != nil {
		return nil, err
	}
	if b.files, err = c.filesOf(ctx, fn.Code); err != nil {
		return nil, err
	}
	if b.stale, err = c.staleDraft(ctx, fn, b.draft); err != nil {
		return nil, err
	}
	if b.history, err = c.history(ctx, fn); err != nil {
		return nil, err
	}
	b.events, err = c.Store.TestEvents(ctx, fn.Name)
	return b, err
}

// draft is the person's draft, nil when there is none.
func (c *Console) draft(ctx context.Context, name string) (*lambda.DraftState, error) {
	d, err := c.Store.Draft(ctx, edge.Principal(ctx).UserID, name)
	if lambda.KindOf(err) == lambda.NotFound {
		return nil, nil
	}
	return d, err
}

// staleDraft says whether other code was deployed since the draft began. A change of configuration alone does not make it stale.
func (c *Console) staleDraft(ctx context.Context, fn *lambda.Function, d *lambda.DraftState) (bool, error) {
	if d == nil || d.Base == fn.Revision {
		return false, nil
	}
	base, err := c.codeOf(ctx, fn, d.Base)
	return err == nil && base.SHA256 != fn.Code.SHA256, err
}

// codeOf is the package of a revision; of the deployed one when that revision is not kept any more.
func (c *Console) codeOf(ctx context.Context, fn *lambda.Function, revision int64) (lambda.Code, error) {
	if revision == fn.Revision || revision <= 0 {
		return fn.Code, nil
	}
	r, err := c.Store.Revision(ctx, fn.Name, revision)
	if lambda.KindOf(err) == lambda.NotFound {
		return fn.Code, nil
	}
	if err != nil {
		return lambda.Code{}, err
	}
	return r.Code, nil
}

func (c *Console) history(ctx context.Context, fn *lambda.Function) (web.History, error) {
	list, err := c.Store.Revisions(ctx, fn.Name, 0, historyLength)
	if err != nil {
		return web.History{}, err
	}
	h := web.History{Name: fn.Name, Total: fn.Revision}
	for _, r := range list {
		h.Revisions = append(h.Revisions, *r)
	}
	return h, nil
}

// pageText is how many bytes of text come with the page; the rest is fetched file by file.
const pageText = 512 << 10

func (b *bench) filesJSON(open string, room *int) []fileJSON {
	out := make([]fileJSON, 0, len(b.files))
	for _, f := range b.files {
		j := fileJSON{Path: f.Path, Size: f.Size, Binary: f.Binary, Large: f.Large}
		if !f.Binary && !f.Large && (f.Path == open || len(f.Data) <= *room) {
			text := string(f.Data)
			*room -= len(f.Data)
			j.Text = &text
		}
		out = append(out, j)
	}
	return out
}

func (b *bench) draftJSON(room *int) *draftJSON {
	if b.draft == nil {
		return nil
	}
	d := &draftJSON{Base: b.draft.Base, Seq: b.draft.Seq, SavedAt: b.draft.SavedAt, Files: []fileJSON{}}
	for _, f := range b.draft.Files {
		j := fileJSON{Path: f.Path, Deleted: f.Deleted, Size: int64(len(f.Data)), Binary: !f.Deleted && !isText(f.Data)}
		if !j.Deleted && !j.Binary && len(f.Data) <= *room {
			text := string(f.Data)
			*room -= len(f.Data)
			j.Text = &text
		}
		d.Files = append(d.Files, j)
	}
	return d
}

// list is the files with the draft over them, for the page without JavaScript.
func (b *bench) list() []web.WorkspaceFile {
	all := map[string]*lambda.DraftFile{}
	if b.draft != nil {
		for i, f := range b.draft.Files {
			all[f.Path] = &b.draft.Files[i]
		}
	}
	var out []web.WorkspaceFile
	for _, f := range b.files {
		d, ok := all[f.Path]
		delete(all, f.Path)
		switch {
		case !ok || string(d.Data) == string(f.Data) && !d.Deleted && f.Data != nil:
			out = append(out, web.WorkspaceFile{Path: f.Path})
		case d.Deleted:
			out = append(out, web.WorkspaceFile{Path: f.Path, Status: "D"})
		default:
			out = append(out, web.WorkspaceFile{Path: f.Path, Status: "M"})
		}
	}
	for path, d := range all {
		if !d.Deleted {
			out = append(out, web.WorkspaceFile{Path: path, Status: "A"})
		}
	}
	sortFiles(out)
	return out
}

// changed is how many files the draft changes.
func (b *bench) changed() int {
	n := 0
	for _, f := range b.list() {
		if f.Status != "" {
			n++
		}
	}
	return n
}

// lines is a file's text now, nil when it is not text.
func (b *bench) lines(path string) []string {
	if b.draft != nil {
		for _, f := range b.draft.Files {
			if f.Path == path && !f.Deleted && isText(f.Data) {
				return splitLines(f.Data)
			}
		}
	}
	for _, f := range b.files {
		if f.Path == path && !f.Binary && !f.Large {
			return splitLines(f.Data)
		}
	}
	return nil
}

// mostLines bounds the page that works without JavaScript.
const mostLines = 2000

func splitLines(data []byte) []string {
	lines := strings.SplitN(strings.ReplaceAll(string(data), "\r\n", "\n"), "\n", mostLines+1)
	return lines[:min(len(lines), mostLines)]
}

// openPath is the file that the page opens: the one that was asked for, else the handler's, else the first.
func openPath(wanted string, b *bench) string {
	list := b.list()
	module, _, _ := strings.Cut(b.fn.Handler, ".")
	best := ""
	for _, f := range list {
		switch {
		case f.Path == wanted:
			return wanted
		case f.Status == "D":
		case best == "" && strings.HasPrefix(f.Path, module+"."), b.fn.Runtime == "provided.al2023" && f.Path == "bootstrap":
			best = f.Path
		}
	}
	for i := 0; best == "" && i < len(list); i++ {
		if list[i].Status != "D" {
			best = list[i].Path
		}
	}
	return best
}

// filesOf lists a package; one that breaks a rule of today is listed as empty rather than closing the page.
func (c *Console) filesOf(ctx context.Context, pkg lambda.Code) ([]lambda.File, error) {
	zip, err := c.packageBytes(ctx, pkg)
	if err != nil {
		return nil, err
	}
	return code.Files(zip)
}
