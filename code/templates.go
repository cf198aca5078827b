package code

import (
	"embed"
	"fmt"
	"path"
	"strings"

	"kiln/lambda"
)

// Template is a function to begin with, which works as it is. Its name and description are the catalogue's
// "template.<ID>" and "template.<ID>.sub".
type Template struct {
	ID      string
	Runtime string // the one it is written for; a near version of the same runtime runs it too
	Handler string
	Files   []lambda.File
	Event   EventTemplate // that it answers well
	Upload  bool          // a program that is built elsewhere: until it is uploaded a stand-in answers how
}

// EventTemplate is an event in the shape that a source sends. Its label is the catalogue's "event.<ID>".
type EventTemplate struct {
	ID   string
	Body []byte // indented JSON
}

//go:embed all:templates events
var shipped embed.FS

var eventIDs = []string{
	"hello-world", "api-gateway-v1", "http-api-v2", "function-url", "authorizer", "s3-put", "s3-delete", "dynamodb-update",
	"sqs", "sns", "scheduled", "cloudwatch-logs", "kinesis", "alb",
}

// EventTemplates are the events to begin with, in the order in which they are offered.
func EventTemplates() []EventTemplate {
	out := make([]EventTemplate, len(eventIDs))
	for i, id := range eventIDs {
		out[i] = EventTemplate{ID: id, Body: mustRead("events/" + id + ".json")}
	}
	return out
}

// recipe says what a template is made of: its own folder, and perhaps a file of another one.
type recipe struct {
	folder, runtime, handler, event string
	also                            string
}

var recipes = []recipe{
	{folder: "node-hello", runtime: "nodejs22.x", handler: "index.handler", event: "hello-world"},
	{folder: "python-hello", runtime: "python3.13", handler: "lambda_function.lambda_handler", event: "hello-world"},
	{folder: "http-api", runtime: "nodejs22.x", handler: "index.handler", event: "http-api-v2"},
	{folder: "scheduled-job", runtime: "python3.13", handler: "lambda_function.lambda_handler", event: "scheduled"},
	{folder: "s3-reader", runtime: "nodejs22.x", handler: "index.handler", event: "s3-put"},
	{folder: "bash-runtime", runtime: "provided.al2023", handler: "function.handler", event: "hello-world"},
	// The underscore keeps its main.go out of this module.
	{folder: "_go-upload", runtime: "provided.al2023", handler: "function.handler", event: "hello-world", also: "bash-runtime/bootstrap"},
}

// Templates are the functions to begin with, in the order in which they are offered.
func Templates() []Template {
	out := make([]Template, len(recipes))
	for i, r := range recipes {
		out[i] = r.template()
	}
	return out
}

// TemplateByID is NotFound "template.missing" when there is none.
func TemplateByID(id string) (Template, error) {
	for _, r := range recipes {
		if r.id() == id {
			return r.template(), nil
		}
	}
	return Template{}, lambda.E(lambda.NotFound, "template.missing", "id", id)
}

func (r recipe) id() string { return strings.TrimPrefix(r.folder, "_") }

func (r recipe) template() Template {
	t := Template{ID: r.id(), Runtime: r.runtime, Handler: r.handler, Upload: strings.HasPrefix(r.folder, "_")}
	t.Event = EventTemplate{ID: r.event, Body: mustRead("events/" + r.event + ".json")}
	if r.also != "" {
		t.Files = append(t.Files, shippedFile("templates/"+r.also))
	}
	dir := "templates/" + r.folder
	names, err := shipped.ReadDir(dir)
	if err != nil {
		panic(fmt.Sprintf("the template %s is not in the binary: %v", r.folder, err))
	}
	for _, n := range names {
		t.Files = append(t.Files, shippedFile(path.Join(dir, n.Name())))
	}
	return t
}

func shippedFile(name string) lambda.File {
	f := lambda.File{Path: path.Base(name), Data: mustRead(name), Mode: 0o644}
	f.Size = int64(len(f.Data))
	if strings.HasPrefix(string(f.Data), "#!") {
		f.Mode = 0o755
	}
	return f
}

// mustRead panics when the binary was built without one of its own files.
func mustRead(name string) []byte {
	b, err := shipped.ReadFile(name)
	if err != nil {
		panic(fmt.Sprintf("%s is not in the binary: %v", name, err))
	}
	return b
}
