package console

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"mime/multipart"
	"net/http"
	"path"
	"regexp"
	"strconv"
	"strings"

	"github.com/labstack/echo/v4"

	"kiln/code"
	"kiln/iam"
	"kiln/lambda"
	"kiln/server/edge"
	"kiln/web"
)

// createStore is what making a function needs.
type createStore interface {
	CreateFunction(ctx context.Context, by iam.Principal, n lambda.NewFunction) (*lambda.Function, error)
}

func (c *Console) createRoutes() []Route {
	return []Route{
		route("GET", "/new", "lambda:CreateFunction", edge.OnAccount, c.newFunction),
		route("POST", "/functions", "lambda:CreateFunction", edge.OnAccount, c.createFunction),
	}
}

// Keys of the choices that are no template.
const (
	blank = "blank"
	byZip = "zip"
)

// DefaultRole is the name of the role that new functions get: it may write logs and nothing else.
const DefaultRole = "kiln-default"

var templateIcons = map[string]string{
	"node-hello": "fn", "python-hello": "fn", "http-api": "globe", "scheduled-job": "cal", "s3-reader": "bucket", "bash-runtime": "term", "go-upload": "layers",
	blank: "file", byZip: "upload",
}

// newForm is the form as it was sent, or its beginnings.
type newForm struct {
	template, name, suggested, runtime, handler, memory, timeout, role string
	problems                                                           map[string]string
	zipError, formError                                                string
}

func readNewForm(e echo.Context, value func(string) string) newForm {
	f := newForm{
		template: value("template"), name: strings.TrimSpace(value("name")), suggested: value("suggested"), runtime: value("runtime"),
		handler: strings.TrimSpace(value("handler")), memory: value("memory"), timeout: value("timeout"), role: value("role"), problems: map[string]string{},
	}
	if f.memory == "" {
		f.memory = strconv.Itoa(lambda.MinMemoryMB)
	}
	if f.timeout == "" {
		f.timeout = "3"
	}
	return f
}

// newFunction shows the form; another template brings its own name, unless one was typed.
func (c *Console) newFunction(e echo.Context) error {
	ctx := c.Context(e)
	f := readNewForm(e, e.QueryParam)
	if _, known := templateIcons[f.template]; !known {
		f.template = "node-hello"
		if !c.runs("nodejs22.x") && c.runs("python3.13") {
			f.template = "python-hello"
		}
	}
	if f.name == "" || f.name == f.suggested {
		name, err := c.freeName(ctx, f.template)
		if err != nil {
			return err
		}
		f.name, f.suggested = name, name
	}
	page, err := c.createPage(ctx, f)
	if err != nil {
		return err
	}
	if isHTMX(e) {
		return c.fragment(e, http.StatusOK, web.CreateForm(page))
	}
	return c.page(e, http.StatusOK, web.CreatePage(page))
}

// freeName is the template's key, with a number when a function of that name is there.
func (c *Console) freeName(ctx context.Context, template string) (string, error) {
	base := template
	if template == blank || template == byZip {
		base = "my-function"
	}
	for i := 1; i <= 100; i++ {
		name := base
		if i > 1 {
			name = fmt.Sprintf("%s-%d", base, i)
		}
		_, err := c.Store.Function(ctx, name)
		if lambda.KindOf(err) == lambda.NotFound {
			return name, nil
		}
		if err != nil {
			return "", err
		}
	}
	return base + "-" + edge.NewRequestID()[:8], nil
}

func (c *Console) createPage(ctx context.Context, f newForm) (web.Create, error) {
	roles, err := c.roleChoices(ctx)
	if err != nil {
		return web.Create{}, err
	}
	if f.role == "" {
		f.role = c.ARNs.Role(DefaultRole)
	}
	family := ""
	p := web.Create{Chosen: f.template, Suggested: f.suggested, Role: f.role, Roles: roles, ZipError: f.zipError, FormError: f.formError}
	for _, t := range code.Templates() {
		p.Templates = append(p.Templates, web.TemplateChoice{Key: t.ID, Icon: templateIcons[t.ID], Runtime: t.Runtime, Ready: c.runs(t.Runtime)})
		if t.ID == f.template {
			family = familyOf(t.Runtime)
			p.Preview = previewOf(t.Files, t.Handler, t.Event.ID)
		}
	}
	for _, key := range []string{blank, byZip} {
		p.Templates = append(p.Templates, web.TemplateChoice{Key: key, Icon: templateIcons[key]})
	}
	p.Runtimes = c.runtimeChoices(family)
	p.Runtime = c.chosenRuntime(f, p.Runtimes)
	if f.template == blank {
		files, handler := blankFiles(p.Runtime)
		p.Preview = previewOf(files, handler, code.EventTemplates()[0].ID)
	}
	p.Name = web.Field{ID: "cr-name", Name: "name", Label: web.T(ctx, "create.name"), Value: f.name, Mono: true, Required: true, Error: f.problems["name"]}
	if p.Name.Error == "" && f.name == f.suggested {
		p.Name.Hint = web.T(ctx, "create.name.hint")
	}
	p.Handler = web.Field{ID: "cr-handler", Name: "handler", Label: web.T(ctx, "create.handler"), Value: f.handler, Mono: true, Hint: web.T(ctx, "create.handler.hint"), Error: f.problems["handler"]}
	p.Memory = web.Field{ID: "cr-memory", Name: "memory", Label: web.T(ctx, "field.memory"), Value: f.memory, Unit: "MB", InputMode: "numeric", Error: f.problems["memory"]}
	p.Timeout = web.Field{ID: "cr-timeout", Name: "timeout", Label: web.T(ctx, "field.timeout"), Value: f.timeout, Unit: web.T(ctx, "unit.sec"), InputMode: "numeric", Error: f.problems["timeout"]}
	return p, nil
}

// chosenRuntime keeps what was chosen when the list has it, else takes the template's own or the first one that is ready.
func (c *Console) chosenRuntime(f newForm, all []web.RuntimeChoice) string {
	want := f.runtime
	if t, err := code.TemplateByID(f.template); err == nil && want == "" {
		want = t.Runtime
	}
	first := ""
	for _, r := range all {
		if r.Name == want {
			return want
		}
		if first == "" && r.Ready {
			first = r.Name
		}
	}
	if f.template == byZip {
		return ""
	}
	return first
}

func previewOf(files []lambda.File, handler, event string) web.Preview {
	p := web.Preview{Events: []string{event}}
	p.File, p.Code = mainFile(files, handler)
	for _, f := range files {
		if f.Path != p.File {
			p.Files = append(p.Files, f.Path)
		}
	}
	return p
}

// familyOf is "nodejs", "python", "provided" …: a runtime's name without its number.
func familyOf(runtime string) string {
	return strings.TrimRight(strings.TrimSuffix(strings.SplitN(runtime, ".", 2)[0], ".x"), "0123456789")
}

// blankFiles is a handler and nothing else.
func blankFiles(runtime string) (files []lambda.File, handler string) {
	switch familyOf(runtime) {
	case "python":
		return []lambda.File{textFile("lambda_function.py", "def lambda_handler(event, context):\n    return event\n")}, "lambda_function.lambda_handler"
	case "provided":
		t, err := code.TemplateByID("bash-runtime")
		if err == nil {
			return t.Files, t.Handler
		}
	}
	return []lambda.File{textFile("index.mjs", "export const handler = async (event) => {\n  return event;\n};\n")}, "index.handler"
}

func textFile(name, text string) lambda.File {
	return lambda.File{Path: name, Data: []byte(text), Size: int64(len(text)), Mode: 0o644}
}

// createFunction makes the function; a wrong field draws the form again with what was typed.
func (c *Console) createFunction(e echo.Context) error {
	ctx := c.Context(e)
	f := readNewForm(e, e.FormValue)
	n, err := c.newFromForm(e, &f)
	if err == nil && len(f.problems) == 0 && f.zipError == "" {
		err = c.mayPass(ctx, n.Role)
	}
	var fn *lambda.Function
	if err == nil && len(f.problems) == 0 && f.zipError == "" {
		fn, err = c.create(ctx, edge.Principal(ctx), n)
	}
	if err != nil && !f.take(ctx, err) {
		return err
	}
	if fn == nil {
		return c.createAgain(e, f)
	}
	if t, err := code.TemplateByID(f.template); err == nil {
		event := lambda.TestEvent{Function: fn.Name, Name: t.Event.ID, Body: t.Event.Body}
		if err := c.Store.PutTestEvent(ctx, edge.Principal(ctx), event); err != nil {
			c.Log.WarnContext(ctx, "event of a template not saved", "error", err, "function", fn.Name)
		}
	}
	return c.redirect(e, web.FunctionPath(fn.Name, ""), "flash.created")
}

func (c *Console) createAgain(e echo.Context, f newForm) error {
	ctx := c.Context(e)
	if _, known := templateIcons[f.template]; !known {
		f.template = "node-hello"
	}
	page, err := c.createPage(ctx, f)
	if err != nil {
		return err
	}
	if isHTMX(e) {
		return c.fragment(e, http.StatusUnprocessableEntity, web.CreateForm(page))
	}
	return c.page(e, http.StatusUnprocessableEntity, web.CreatePage(page))
}

// take puts what a person can correct next to its field; false for other errors.
func (f *newForm) take(ctx context.Context, err error) bool {
	d := asDomain(err)
	l := web.Of(ctx).Locale
	switch {
	case d.Key == "function.exists":
		f.problems["name"] = web.ErrorText(l, d)
	case strings.HasPrefix(d.Key, "zip.") || d.Kind == lambda.TooLarge:
		f.zipError = web.ErrorText(l, d)
	case len(d.Problems) > 0:
		for _, p := range d.Problems {
			f.problems[p.Field] = web.ProblemText(l, p)
		}
		if f.problems["name"] == "" && f.problems["memory"] == "" && f.problems["timeout"] == "" && f.problems["handler"] == "" {
			f.formError = web.ProblemText(l, d.Problems[0])
		}
	default:
		return false
	}
	return true
}

// newFromForm reads what to create; wrong numbers and packages become problems of f.
func (c *Console) newFromForm(e echo.Context, f *newForm) (n lambda.NewFunction, err error) {
	ctx := c.Context(e)
	if t, terr := code.TemplateByID(f.template); terr == nil {
		n = c.fromTemplate(t, f.name)
	} else {
		n = lambda.NewFunction{Name: f.name}
	}
	if f.runtime != "" {
		n.Runtime = f.runtime
	}
	n.Role = f.role
	n.MemoryMB = f.number(ctx, "memory", f.memory)
	n.TimeoutSec = f.number(ctx, "timeout", f.timeout)
	var zip []byte
	switch f.template {
	case byZip:
		zip, err = c.uploaded(e, f, &n)
	case blank:
		var files []lambda.File
		files, n.Handler = blankFiles(n.Runtime)
		zip, err = code.Build(files)
	default:
		var t code.Template
		if t, err = code.TemplateByID(f.template); err == nil {
			zip, err = code.Build(t.Files)
		}
	}
	if err != nil || len(f.problems) > 0 || f.zipError != "" {
		return n, err
	}
	n.Code, err = c.Store.PutCode(ctx, bytes.NewReader(zip))
	return n, err
}

func (f *newForm) number(ctx context.Context, field, text string) int {
	v, err := strconv.Atoi(strings.TrimSpace(text))
	if err != nil {
		f.problems[field] = web.ProblemText(web.Of(ctx).Locale, lambda.Problem{Field: field, Key: "number"})
	}
	return v
}

// uploaded reads the zip of the form, checks it and finds runtime and handler in it where the form names none.
func (c *Console) uploaded(e echo.Context, f *newForm, n *lambda.NewFunction) ([]byte, error) {
	l := web.Of(c.Context(e)).Locale
	header, err := e.FormFile("zip")
	if err != nil || header.Size == 0 {
		f.zipError = l.T("problem.zipMissing")
		return nil, nil
	}
	zip, err := readUpload(header)
	if err != nil {
		return nil, err
	}
	files, err := code.Files(zip)
	if err != nil {
		return nil, err
	}
	runtime, handler := c.guess(files)
	if n.Runtime == "" {
		n.Runtime = runtime
	}
	if n.Handler = f.handler; n.Handler == "" && familyOf(n.Runtime) == familyOf(runtime) {
		n.Handler = handler
	}
	if n.Runtime == "" || n.Handler == "" {
		f.zipError = l.T("problem.zipUnknown")
	}
	return zip, nil
}

func readUpload(h *multipart.FileHeader) ([]byte, error) {
	if h.Size > lambda.MaxZip {
		return nil, lambda.E(lambda.TooLarge, "zip.size", "size", strconv.FormatInt(h.Size, 10), "max", strconv.Itoa(lambda.MaxZip))
	}
	file, err := h.Open()
	if err != nil {
		return nil, fmt.Errorf("open the uploaded package: %w", err)
	}
	defer file.Close()
	b, err := io.ReadAll(io.LimitReader(file, lambda.MaxZip+1))
	if err != nil {
		return nil, fmt.Errorf("read the uploaded package: %w", err)
	}
	return b, nil
}

var (
	pythonHandler = regexp.MustCompile(`(?m)^(?:async )?def (lambda_handler|handler|main)\(`)
	nodeFiles     = []string{"index.mjs", "index.js", "index.cjs", "index.ts", "app.mjs", "app.js", "handler.js", "handler.mjs"}
	pythonFiles   = []string{"lambda_function.py", "app.py", "main.py", "handler.py", "index.py"}
)

// guess finds runtime and handler of a package by the names that people use.
func (c *Console) guess(files []lambda.File) (runtime, handler string) {
	byPath := map[string]lambda.File{}
	for _, f := range files {
		byPath[f.Path] = f
	}
	if _, ok := byPath["bootstrap"]; ok {
		return "provided.al2023", "bootstrap"
	}
	for _, name := range nodeFiles {
		if _, ok := byPath[name]; ok {
			return c.bestOf("nodejs", "nodejs22.x"), stem(name) + ".handler"
		}
	}
	for _, name := range pythonFiles {
		if f, ok := byPath[name]; ok {
			function := "lambda_handler"
			if m := pythonHandler.FindSubmatch(f.Data); m != nil {
				function = string(m[1])
			}
			return c.bestOf("python", "python3.13"), stem(name) + "." + function
		}
	}
	return "", ""
}

func stem(name string) string { return strings.TrimSuffix(name, path.Ext(name)) }

// bestOf is the newest runtime of a family that is really here.
func (c *Console) bestOf(family, otherwise string) string {
	for _, r := range c.Runtimes.Ready() {
		if familyOf(r.Name) == family {
			return r.Name
		}
	}
	return otherwise
}

// fromTemplate is a template's function with the defaults.
func (c *Console) fromTemplate(t code.Template, name string) lambda.NewFunction {
	runtime := t.Runtime
	if !c.here(runtime) {
		runtime = c.bestOf(familyOf(runtime), runtime)
	}
	return lambda.NewFunction{Name: name, Config: lambda.Config{Runtime: runtime, Handler: t.Handler, Role: c.ARNs.Role(DefaultRole)}}
}

// create fills defaults and code when they are missing and makes the function.
func (c *Console) create(ctx context.Context, by iam.Principal, n lambda.NewFunction) (*lambda.Function, error) {
	n.Config = n.Config.WithDefaults()
	return c.Store.CreateFunction(ctx, by, n)
}

// mayPass lets the caller give a role to a function: without it a developer could become owner. The role must be there and trust Lambda.
func (c *Console) mayPass(ctx context.Context, role string) error {
	row := edge.Row{Target: "pass role", Action: "iam:PassRole", Resource: func(lambda.ARNs, edge.Param) string { return role }}
	if err := c.Gate.Authorize(ctx, row, nil); err != nil {
		return err
	}
	r, err := c.Store.Role(ctx, role)
	if lambda.KindOf(err) == lambda.NotFound || err == nil && !iam.MayAssume(r.Trust, iam.Service("lambda.amazonaws.com"), nil).Allowed {
		return lambda.E(lambda.Invalid, "role.untrusted", "arn", role)
	}
	return err
}
