// Package console is the browser's side of Kiln: form ↔ domain ↔ page, and the websocket.
//
// How to add a page or an action:
//
//  1. Route: add a Route to your file's …Routes method: method and path, its authorization row (action and resource), the handler.
//     A test fails for a route without a row. Routes of a function have ":name" and edge.OnFunction("name").
//  2. Handler: `func (c *Console) thing(e echo.Context) error` in your own file. Read the input, call the store or the engine through the small
//     interface at the top of your file (add it to Store, Engine … in ports.go), fill the view model, end with c.page, c.fragment or c.redirect.
//     Return errors as they are: Fail in render.go is the one place that makes a page, a notice for htmx or JSON of them.
//     A form with wrong fields is drawn again with status 422 (htmx swaps 422; every other error goes to the notices).
//  3. View model: a plain struct in web/<page>.go; numbers stay numbers, the template formats them by language.
//  4. templ: web/<page>.templ, inside @Shell(Frame{…}); fragments are components of their own. Then `go tool templ generate` and commit *_templ.go.
//  5. Texts: a table in web/messages/<page>.go with English and Korean, added to tables in catalogue.go; in templ { T(ctx, KEY, "n", 3) }.
//     Texts for TypeScript begin with "js." and are read there by t("js.…").
//  6. Island: static/src/<name>.ts with `export function start(el)`, a line in static/src/island.ts, and data-island="<name>" in the templ.
//     It gets its data from data-… attributes. No inline script, no inline style; the CSRF token is document.body.dataset.csrf
//     (htmx sends it by itself), the style nonce document.body.dataset.nonce.
//  7. css: static/src/css/page-<name>.css, imported in static/src/app.css; colours only by tokens. Then `go run ./static/build` and commit static/dist
//     (after a rebase conflict in static/dist: run it again and git add static/dist).
//  8. Add the page with made-up data to the gallery test in web/gallery_test.go.
package console

import (
	"log/slog"
	"time"

	"github.com/labstack/echo/v4"

	"kiln/lambda"
	"kiln/server/edge"
	"kiln/telemetry"
)

// Options are what a Console needs; all are required.
type Options struct {
	Store    Store
	Engine   Engine
	Runtimes Runtimes
	Install  Installer // nil when nothing can be installed here
	Gate     *edge.Gate
	Sessions Sessions
	Hub      *telemetry.Hub
	Pipeline Pipeline
	ARNs     lambda.ARNs
	Host     string // how the machine is called in the rail
	Endpoint string // the console's own address, for commands that people copy
	Version  string // of Kiln
	Gateway  string // address of the gateway, without a slash at its end
	Log      *slog.Logger
	Now      func() time.Time

	FunctionURL     func(id string) string // the address of a function URL
	PoliciesChanged func()                 // told after a resource policy changed
}

// Console serves the pages. It is safe for concurrent use.
type Console struct {
	Options
	packages packages
	pinned   pins
	tests    testRuns
	sockets  sockets
	installs installs
}

// New makes a Console.
func New(o Options) *Console { return &Console{Options: o} }

// Route is one address of the console with its authorization row.
type Route struct {
	Method, Path string
	Row          edge.Row
	Handle       echo.HandlerFunc
}

// route makes a Route whose row's target is the route itself.
func route(method, path, action string, resource func(lambda.ARNs, edge.Param) string, h echo.HandlerFunc) Route {
	return Route{Method: method, Path: path, Handle: h, Row: edge.Row{Target: method + " " + path, Action: action, Resource: resource}}
}

// Routes are all addresses of the console, each with its row.
func (c *Console) Routes() []Route {
	var all []Route
	for _, part := range [][]Route{
		c.homeRoutes(), c.preferenceRoutes(), c.functionsRoutes(), c.createRoutes(), c.configureRoutes(), c.versionsRoutes(), c.publishRoutes(), c.asyncRoutes(), c.layerRoutes(), c.urlRoutes(), c.settingsRoutes(),
		c.workspaceRoutes(), c.socketRoutes(), c.logsRoutes(), c.invocationsRoutes(), c.monitorRoutes(),
	} {
		all = append(all, part...)
	}
	return all
}
