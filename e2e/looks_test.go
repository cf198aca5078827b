package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/lambda"
	"github.com/aws/aws-sdk-go-v2/service/lambda/types"
	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/chromedp"
)

// pages are all pages of the console with functions that ran, and what each may weigh: KiB, compressed, everything it loads at first.
var pages = []struct {
	name, path string
	weight     float64
}{
	{"home", "/", 40}, {"functions", "/functions", 40}, {"new", "/new", 40}, {"workspace", ordersPage, 220},
	{"invocations", ordersPage + "/invocations", 40}, {"all invocations", "/invocations", 40},
	{"logs", ordersPage + "/logs", 40}, {"all logs", "/logs", 40},
	{"monitor", ordersPage + "/monitor", 70}, {"all figures", "/monitor", 70},
	{"configure", ordersPage + "/configure", 40}, {"async", ordersPage + "/configure/async", 40},
	{"function URL", ordersPage + "/configure/url", 40}, {"layers", ordersPage + "/configure/layers", 40},
	{"delete", ordersPage + "/delete", 40},
	{"versions", ordersPage + "/versions", 40}, {"roll back", ordersPage + "/rollback?to=1", 40},
	{"runtimes", "/settings/runtimes", 40}, {"account", "/settings/account", 40},
	{"sessions", "/settings/sessions", 40}, {"audit", "/settings/audit", 40}, {"no such page", "/nothing", 40},
}

const ordersPage = "/functions/orders-api"

const failingOrders = `export const handler = async (event) => {
  console.info(JSON.stringify({ level: "INFO", msg: "order received", id: event.id }));
  if (event.id % 3 === 0) throw new TypeError("customer missing");
  if (event.id % 3 === 1) console.warn("slow query");
  return { id: event.id };
};
`

// seed makes functions in both languages with runs, some of which fail, a second revision, a version and an alias.
func seed(t *testing.T, s *server) {
	t.Helper()
	createFunction(t, s, "orders-api", "nodejs22.x", "index.handler", map[string]string{"index.mjs": failingOrders, "lib/store.mjs": "export const kept = 1;\n"})
	createFunction(t, s, "stock-sync", "python3.11", "app.handler", map[string]string{"app.py": helloPython})
	c := sdk(t, s)
	for i := range 12 {
		for _, name := range []string{"orders-api", "stock-sync"} {
			if _, err := c.Invoke(t.Context(), &lambda.InvokeInput{FunctionName: &name, Payload: fmt.Appendf(nil, `{"id": %d, "name": "kiln"}`, i)}); err != nil {
				t.Fatalf("invoke %s: %v", name, err)
			}
		}
	}
	orders := ptr("orders-api")
	_, err := c.UpdateFunctionConfiguration(t.Context(), &lambda.UpdateFunctionConfigurationInput{FunctionName: orders, MemorySize: ptr(int32(256)),
		Environment: &types.Environment{Variables: map[string]string{"TABLE": "orders"}}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.PublishVersion(t.Context(), &lambda.PublishVersionInput{FunctionName: orders}); err != nil {
		t.Fatal(err)
	}
	if _, err := c.CreateAlias(t.Context(), &lambda.CreateAliasInput{FunctionName: orders, Name: ptr("prod"), FunctionVersion: ptr("1")}); err != nil {
		t.Fatal(err)
	}
}

// speaks makes the browser ask for a language, as its settings do.
func (b *tab) speaks(language string) {
	b.t.Helper()
	b.do("set the language", chromedp.Func(func(ctx context.Context, target *chromedp.Target) error {
		_, err := cdp.Call(ctx, target, network.SetExtraHTTPHeaders, network.SetExtraHTTPHeadersParams{Headers: network.Headers{"Accept-Language": language}})
		return err
	}))
}

// settled waits until the page and its islands are there.
func (b *tab) settled() {
	b.t.Helper()
	b.until("the page's islands", `document.readyState === "complete" && [...document.querySelectorAll("[data-island]")].every(e => e.dataset.started === "done") &&
		!document.querySelector("#ws:not([data-ready])")`)
}

// axe is the accessibility checker's source; npm ci in static/ brings it.
func axe(t *testing.T) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("..", "static", "node_modules", "axe-core", "axe.min.js"))
	if err != nil {
		t.Fatalf("run npm ci in static/ first: %v", err)
	}
	return string(b)
}

// violation is one rule that elements break.
type violation struct {
	ID    string   `json:"id"`
	Help  string   `json:"help"`
	Nodes []string `json:"nodes"`
}

const runAxe = `axe.run(document, { resultTypes: ["violations"], preload: false, rules: { "target-size": { enabled: true } }, ...%s }).then(r =>
	r.violations.map(v => ({ id: v.id, help: v.help, nodes: v.nodes.slice(0, 4).map(n => n.target.join(" ") + ": " + n.html.slice(0, 160) + " " + n.failureSummary.replace(/\s+/g, " ").slice(0, 260)) })))`

// rules are those that a scheme can break: the light runs all, the dark differs in its colours alone.
var rules = map[string]string{"light": `{}`, "dark": `{ runOnly: ["color-contrast", "link-in-text-block"], rules: {} }`}

// accessible checks the page that is open in both widths and schemes.
func (b *tab) accessible(page, language, source string) (checks int) {
	b.t.Helper()
	b.settled()
	eval[bool](b, source+"\n;true")
	for _, width := range []int64{1440, 320} {
		for _, scheme := range []string{"light", "dark"} {
			b.looks(width, 900, scheme)
			b.until("the new look", fmt.Sprintf(`innerWidth === %d && matchMedia("(prefers-color-scheme: %s)").matches`, width, scheme))
			for _, v := range eval[[]violation](b, fmt.Sprintf(runAxe, rules[scheme])) {
				b.t.Errorf("%s, %s, %d px, %s: %s (%s)\n  %s", page, language, width, scheme, v.ID, v.Help, strings.Join(v.Nodes, "\n  "))
			}
			checks++
		}
	}
	return checks
}

// TestBrowserAccessibility: no page in no look breaks a rule of axe-core, in both languages, in the light and the dark, wide and narrow.
func TestBrowserAccessibility(t *testing.T) {
	s, source := startServer(t), axe(t)
	b := newTab(t)
	checks := 0
	each := func(name, address string) {
		for _, language := range []string{"en", "ko"} {
			b.speaks(language)
			b.open(address)
			checks += b.accessible(name, language, source)
		}
	}
	each("sign in", s.link)
	b.signIn(s)
	each("first run", s.console+"/")
	seed(t, s)
	for _, p := range pages {
		each(p.name, s.console+p.path)
	}
	t.Logf("axe-core: %d checks", checks)
}

// weigh is the sum of what the page's document, styles, scripts and words weigh on the wire.
const weigh = `[...performance.getEntriesByType("navigation"), ...performance.getEntriesByType("resource").filter(r => /\.(js|css)$|\/words\//.test(r.name))]
	.map(r => [new URL(r.name).pathname, r.encodedBodySize])`

// TestBrowserWeights: what each page loads at first, compressed, stays below its goal.
func TestBrowserWeights(t *testing.T) {
	s := startServer(t)
	seed(t, s)
	b := newTab(t)
	b.signIn(s)
	for _, p := range pages {
		b.open(s.console + p.path)
		b.settled()
		parts := eval[[][2]json.RawMessage](b, weigh)
		sum := 0.0
		for _, part := range parts {
			sum += decode[float64](t, part[1]) / 1024
		}
		t.Logf("%-16s %6.1f KiB of %3.0f", p.name, sum, p.weight)
		if sum > p.weight {
			t.Errorf("%s weighs %.1f KiB, more than %.0f: %s", p.name, sum, p.weight, parts)
		}
	}
}
