package main

import (
	"encoding/json"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// mayImport is the plan of the house: what each room may import from this module. A new room gets its row with a reason.
var mayImport = map[string][]string{
	"":                      nil, // main wires everything
	"lambda":                {},
	"iam":                   {"lambda"},
	"secret":                {},
	"code":                  {"lambda"},
	"migrations":            {},
	"executor":              {"lambda", "iam"},
	"executor/runner":       {"lambda", "executor", "executor/runtimes"},
	"executor/process":      {"lambda", "executor/runner", "executor/runtimes"},
	"executor/executortest": {"lambda", "executor", "executor/runner", "executor/runtimes"},
	"executor/runtimes":     {"lambda"},
	"telemetry":             {"lambda"},
	"store":                 {"lambda", "iam", "secret", "code", "migrations"},
	"store/postgres":        {},
	"store/storetest":       {"store", "store/postgres", "lambda", "migrations"},
	"server":                {"lambda", "iam", "static", "web", "web/messages", "server/edge", "server/console", "server/lambdaapi", "server/gateway", "server/sigv4"},
	"server/edge":           {"lambda", "iam"},
	"server/sigv4":          {"lambda", "iam", "server/edge"},
	"server/lambdaapi":      {"lambda", "iam", "code", "server/edge", "server/sigv4"},
	"server/console":        {"lambda", "iam", "code", "web", "web/messages", "static", "telemetry", "server/edge"},
	"server/gateway":        {"lambda", "iam", "server/edge", "server/sigv4"},
	"web":                   {"lambda", "iam", "static", "web/messages"},
	"web/messages":          {"lambda"}, // the one catalogue, for pages and for the islands' JSON
	"static":                {},
	"static/build":          {}, // the generator of static/dist
	"e2e":                   {}, // tests only
}

// onlyIn names the outside packages that have one home.
var onlyIn = map[string][]string{
	"gorm.io/":                     {"store"},
	"github.com/jackc/pgx":         {"store"},
	"github.com/labstack/echo":     {"server"},
	"github.com/gorilla/websocket": {"server/console"},
	"os/exec":                      {"executor", "code", "store/postgres", "static/build", ""},
}

func TestHouse(t *testing.T) {
	out, err := exec.Command("go", "list", "-json=ImportPath,Imports", "./...").Output()
	if err != nil {
		t.Fatal(err)
	}
	rooms := 0
	for d := json.NewDecoder(strings.NewReader(string(out))); d.More(); rooms++ {
		var p struct {
			ImportPath string
			Imports    []string
		}
		if err := d.Decode(&p); err != nil {
			t.Fatal(err)
		}
		room := strings.TrimPrefix(strings.TrimPrefix(p.ImportPath, "kiln"), "/")
		allowed, known := mayImport[room]
		if !known {
			t.Errorf("package %q is not in the house: add its row with a reason", room)
		}
		for _, imp := range p.Imports {
			if in, ours := strings.CutPrefix(imp, "kiln/"); ours && room != "" && !slices.Contains(allowed, in) {
				t.Errorf("%s must not import %s", room, in)
			}
			checkHome(t, room, imp)
		}
	}
	if rooms < 5 {
		t.Errorf("only %d rooms seen", rooms)
	}
}

func checkHome(t *testing.T, room, imp string) {
	for prefix, homes := range onlyIn {
		if !strings.HasPrefix(imp, prefix) {
			continue
		}
		if !slices.ContainsFunc(homes, func(h string) bool { return room == h || h != "" && strings.HasPrefix(room, h+"/") }) {
			t.Errorf("%s must not import %s; its home is %v", room, imp, homes)
		}
	}
}
