package server

import (
	"context"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/chromedp"

	"kiln/code"
	"kiln/lambda"
)

// TestLook takes pictures of every manage page into the folder KILN_TEST_LOOK, for people to look at beside the mock:
// KILN_TEST_LOOK=/tmp/look KILN_TEST_PAGES=home,configure go test ./server -run Look
func TestLook(t *testing.T) {
	dir := os.Getenv("KILN_TEST_LOOK")
	if dir == "" {
		t.Skip("KILN_TEST_LOOK names no folder")
	}
	w := open(t)
	w.furnish(t)
	browser := w.browser(t)
	w.shootForms(t, browser, dir)
	pages := map[string]string{
		"home": "/", "functions": "/functions", "create": "/new?template=s3-reader", "create-zip": "/new?template=zip", "configure": "/functions/orders-api/configure",
		"layers": "/functions/orders-api/configure/layers", "async": "/functions/orders-api/configure/async", "url": "/functions/orders-api/configure/url",
		"alias": "/functions/orders-api/aliases", "publish": "/functions/orders-api/publish",
		"versions": "/functions/orders-api/versions", "runtimes": "/settings/runtimes", "account": "/settings/account", "sessions": "/settings/sessions",
		"audit": "/settings/audit", "rollback": "/functions/orders-api/rollback?to=2", "delete": "/functions/orders-api/delete", "oops": "/nothing",
		"palette": "/functions#palette", "review": "/functions/orders-api/configure#review", "menu": "/functions#menu",
	}
	for name, path := range pages {
		if only := os.Getenv("KILN_TEST_PAGES"); only != "" && !strings.Contains(","+only+",", ","+name+",") {
			continue
		}
		for _, look := range []struct {
			suffix, theme, locale string
			width                 int64
		}{{"light-1440", "light", "en", 1440}, {"dark-1440", "dark", "ko", 1440}, {"light-390", "light", "en", 390}} {
			w.shoot(t, browser, filepath.Join(dir, name+"-"+look.suffix+".png"), path, look.theme, look.locale, look.width)
		}
	}
}

// shootForms takes pictures of what only a sent form shows: messages next to fields, and a conflict.
func (w *workshop) shootForms(t *testing.T, browser context.Context, dir string) {
	t.Helper()
	if only := os.Getenv("KILN_TEST_PAGES"); only != "" && !strings.Contains(only, "forms") {
		return
	}
	send := `document.querySelector("[name=memory]").value = "%s"; document.querySelector("[name=timeout]").value = "%s"; document.querySelector("button[value=save]").click()`
	for name, script := range map[string]string{
		"wrong":    strings.Replace(strings.Replace(send, "%s", "64", 1), "%s", "1200", 1),
		"conflict": `document.querySelector("[name=revision]").value = "1"; ` + strings.Replace(strings.Replace(send, "%s", "512", 1), "%s", "3", 1),
	} {
		for _, width := range []int64{1440, 390} {
			w.shoot(t, browser, filepath.Join(dir, fmt.Sprintf("%s-light-%d.png", name, width)), "/functions/orders-api/configure#!"+script, "light", "en", width)
		}
	}
}

func (w *workshop) browser(t *testing.T) context.Context {
	t.Helper()
	alloc, stopAlloc := chromedp.NewExecAllocator(t.Context(), chromedp.Headless, chromedp.NoSandbox, chromedp.DisableGPU, chromedp.NoFirstRun,
		chromedp.Flag("disable-quic", true), chromedp.Flag("disable-background-networking", true), chromedp.Flag("disable-component-update", true),
		chromedp.Flag("disable-sync", true), chromedp.Flag("disable-dev-shm-usage", true), chromedp.UserDataDir(t.TempDir()), chromedp.WSURLReadTimeout(time.Minute))
	ctx, stop := chromedp.NewContext(alloc)
	t.Cleanup(func() { stop(); stopAlloc() })
	cookie := w.client.Jar.(*jar).all["kiln_session"]
	set := chromedp.Func(func(ctx context.Context, target *chromedp.Target) error {
		_, err := cdp.Call(ctx, target, network.SetCookie, network.SetCookieParams{Name: cookie.Name, Value: cookie.Value, URL: w.URL})
		return err
	})
	if err := chromedp.Do(ctx, chromedp.Navigate("about:blank"), set); err != nil {
		t.Fatal(err)
	}
	return ctx
}

func (w *workshop) shoot(t *testing.T, ctx context.Context, file, path, theme, locale string, width int64) {
	t.Helper()
	for name, value := range map[string]string{"theme": theme, "locale": locale} {
		if err := w.store.SetPreference(t.Context(), w.owner.ID, name, value); err != nil {
			t.Fatal(err)
		}
	}
	w.server.o.Sessions.Changed(w.owner.ID)
	path, act, _ := strings.Cut(path, "#")
	height := int64(900)
	if width < 500 {
		height = 844
	}
	do := func(actions ...chromedp.Action[chromedp.Void]) {
		if err := chromedp.Do(ctx, actions...); err != nil {
			t.Fatalf("%s: %v", path, err)
		}
	}
	do(chromedp.EmulateViewport(width, height), chromedp.Navigate(w.URL+path))
	script := map[string]string{
		"palette": `document.querySelector("[data-palette]").click()`,
		"review":  `document.querySelector("[name=memory]").value = "512"; document.querySelector("button[value=review]").click()`,
		"menu":    `document.querySelector("details.menu").open = true`,
	}[act]
	if send, ok := strings.CutPrefix(act, "!"); ok {
		do(chromedp.Evaluate[chromedp.Void](send), chromedp.WaitVisible(chromedp.CSS(".err-msg, .conflict")))
	}
	if script != "" {
		w.evaluate(t, ctx, `(async () => { `+script+`; for (let i = 0; i < 100 && !document.querySelector(".dialog, details[open]"); i++) await new Promise(r => setTimeout(r, 20)); return 1 })()`)
	}
	w.evaluate(t, ctx, `new Promise(r => requestAnimationFrame(() => requestAnimationFrame(() => r(1))))`)
	wide := w.evaluate(t, ctx, `document.documentElement.scrollWidth`)
	if wide > int(width) {
		t.Errorf("%s at %d px is %d px wide", path, width, wide)
	}
	png, err := chromedp.Run(ctx, chromedp.CaptureScreenshot())
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, png, 0o644); err != nil {
		t.Fatal(err)
	}
}

func (w *workshop) evaluate(t *testing.T, ctx context.Context, js string) int {
	t.Helper()
	v, err := chromedp.Run(ctx, chromedp.Evaluate[int](js, chromedp.EvalAwaitPromise))
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// furnish fills the store with the mock's incident.
func (w *workshop) furnish(t *testing.T) {
	t.Helper()
	for _, f := range []struct {
		name, template, runtime, description string
		perMinute                            int
		errors                               float64
		typical                              time.Duration
	}{
		{"auth-token-check", "http-api", "nodejs22.x", "Checks a bearer token for the gateway", 60, 0, 4 * time.Millisecond},
		{"csv-import", "python-hello", "python3.12", "Loads partner price lists, up to 80 MB", 4, 0.004, 3 * time.Second},
		{"image-resize", "bash-runtime", "provided.al2023", "Makes 3 sizes of each product photo", 12, 0, 110 * time.Millisecond},
		{"invoice-pdf", "python-hello", "python3.13", "Renders invoices and stores them", 5, 0.15, 700 * time.Millisecond},
		{"nightly-settlement", "node-hello", "java21", "Closes the day for every shop", 0, 0, time.Second},
		{"orders-api", "http-api", "nodejs22.x", "Takes orders over HTTP and from files", 40, 0.0008, 9 * time.Millisecond},
		{"payment-webhook", "http-api", "nodejs22.x", "Receives payment notices", 9, 0, 20 * time.Millisecond},
		{"search-index", "bash-runtime", "provided.al2023", "Keeps product search fresh", 20, 0, 5 * time.Millisecond},
		{"stock-sync", "python-hello", "python3.13", "Copies stock levels every 5 minutes", 2, 0, 60 * time.Millisecond},
	} {
		fn := w.function(t, f.name, f.template, func(n *lambda.NewFunction) {
			n.Runtime, n.Description = f.runtime, f.description
			if f.name == "orders-api" {
				n.Env = lambda.Environment{"DATABASE_URL": "postgres://orders@db.lab.internal/orders", "LOG_LEVEL": "debug", "ORDERS_BUCKET": "orders-in"}
				n.Tags = map[string]string{"shop": "seoul"}
			}
		})
		if f.perMinute > 0 {
			w.runs(t, fn, f.perMinute, f.errors, f.typical)
		}
	}
	memory, timeout := 256, 10
	changed := w.code(t, editedTemplate(t))
	for _, u := range []lambda.FunctionUpdate{{MemoryMB: &memory}, {Code: &changed}, {TimeoutSec: &timeout}} {
		if _, err := w.store.UpdateFunction(t.Context(), w.principal(), "orders-api", 0, u); err != nil {
			t.Fatal(err)
		}
	}
	w.furnishSurface(t)
	if err := w.store.SetPreference(t.Context(), w.owner.ID, "pinned", "orders-api invoice-pdf stock-sync"); err != nil {
		t.Fatal(err)
	}
}

// furnishSurface gives orders-api versions, aliases, a URL and a layer.
func (w *workshop) furnishSurface(t *testing.T) {
	t.Helper()
	w.publishTwice(t, "orders-api")
	w.sent(t, "/functions/orders-api/aliases", url.Values{"alias": {"prod"}, "version": {"2"}, "second": {"1"}, "share": {"10"}})
	w.sent(t, "/functions/orders-api/configure/url", url.Values{"authType": {"NONE"}, "invokeMode": {"BUFFERED"}})
	if _, err := w.store.PublishLayer(t.Context(), w.principal(), lambda.LayerVersion{Layer: "shared", Description: "Logging and money", Code: w.code(t, editedTemplate(t))}); err != nil {
		t.Fatal(err)
	}
}

// editedTemplate is the HTTP template with a few lines changed.
func editedTemplate(t *testing.T) []lambda.File {
	t.Helper()
	tpl, err := code.TemplateByID("http-api")
	if err != nil {
		t.Fatal(err)
	}
	for i, f := range tpl.Files {
		if strings.HasSuffix(f.Path, "js") {
			text := strings.Replace(string(f.Data), "return", "// Answer in JSON.\n  return", 2)
			tpl.Files[i].Data = []byte(text)
		}
	}
	return tpl.Files
}
