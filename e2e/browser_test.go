package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
)

// chromium is the one browser of all tests; each tab has a browser context, so cookies, of its own.
var chromium struct {
	once sync.Once
	ctx  context.Context
	stop func()
	dir  string
	err  error
}

func startBrowser() (context.Context, error) {
	chromium.once.Do(func() {
		dir, err := os.MkdirTemp("", "kiln-chromium-")
		if err != nil {
			chromium.err = err
			return
		}
		alloc, stopAlloc := chromedp.NewExecAllocator(context.Background(), chromedp.Headless, chromedp.NoSandbox, chromedp.DisableGPU,
			chromedp.NoFirstRun, chromedp.Flag("disable-quic", true), chromedp.Flag("disable-background-networking", true),
			chromedp.Flag("disable-component-update", true), chromedp.Flag("disable-sync", true), chromedp.Flag("disable-dev-shm-usage", true),
			chromedp.UserDataDir(dir), chromedp.WindowSize(1440, 900), chromedp.WSURLReadTimeout(time.Minute))
		ctx, stop := chromedp.NewContext(alloc)
		chromium.ctx, chromium.dir = ctx, dir
		chromium.stop = func() { stop(); stopAlloc() }
		chromium.err = chromedp.Do(ctx)
	})
	return chromium.ctx, chromium.err
}

func stopBrowser() {
	if chromium.stop != nil {
		chromium.stop()
		_ = os.RemoveAll(chromium.dir)
	}
}

// tab is one browser tab. Violations of the content security policy and uncaught errors fail the test.
type tab struct {
	t      *testing.T
	ctx    context.Context
	cancel func()
	mu     sync.Mutex
	faults []string
}

// newTab opens a tab with cookies of its own.
func newTab(t *testing.T) *tab {
	t.Helper()
	browser, err := startBrowser()
	if err != nil {
		t.Fatalf("start Chromium: %v", err)
	}
	return openTab(t, browser, chromedp.WithNewBrowserContext())
}

// sibling opens a second tab of the same person.
func (b *tab) sibling() *tab {
	b.t.Helper()
	return openTab(b.t, b.ctx)
}

func openTab(t *testing.T, parent context.Context, opts ...chromedp.ContextOption) *tab {
	t.Helper()
	ctx, cancel := chromedp.NewContext(parent, opts...)
	b := &tab{t: t, ctx: ctx, cancel: cancel}
	if err := chromedp.Listen(ctx, b.note); err != nil {
		t.Fatalf("open a tab: %v", err)
	}
	enable := chromedp.Func(func(ctx context.Context, target *chromedp.Target) error {
		_, err := cdp.Call(ctx, target, log.Enable, cdp.Empty{})
		return err
	})
	if err := chromedp.Do(ctx, enable); err != nil {
		t.Fatalf("listen to a tab: %v", err)
	}
	t.Cleanup(func() {
		cancel()
		b.mu.Lock()
		defer b.mu.Unlock()
		for _, f := range b.faults {
			t.Errorf("the page: %s", f)
		}
	})
	return b
}

func (b *tab) note(event any) {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch e := event.(type) {
	case *runtime.EventExceptionThrown:
		b.faults = append(b.faults, "uncaught: "+e.ExceptionDetails.Text+" "+describe(e))
	case *log.EventEntryAdded:
		if strings.Contains(e.Entry.Text, "Content Security Policy") {
			b.faults = append(b.faults, e.Entry.Text)
		}
	}
}

func describe(e *runtime.EventExceptionThrown) string {
	if o := e.ExceptionDetails.Exception; o != nil {
		return o.Description
	}
	return ""
}

// patience bounds every wait; a wait ends as soon as what it waits for is there.
const patience = 30 * time.Second

func (b *tab) do(what string, actions ...chromedp.Action[chromedp.Void]) {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, patience)
	defer cancel()
	if err := chromedp.Do(ctx, actions...); err != nil {
		b.t.Fatalf("%s: %v\n%s", what, err, b.where())
	}
}

// where says what the tab shows, for messages.
func (b *tab) where() string {
	ctx, cancel := context.WithTimeout(b.ctx, 5*time.Second)
	defer cancel()
	s, err := chromedp.Run(ctx, chromedp.Evaluate[string](`location.href + "\n" + (document.body ? document.body.innerText.slice(0, 3000) : "")`))
	if err != nil {
		return err.Error()
	}
	return s
}

func (b *tab) open(url string) {
	b.t.Helper()
	b.do("open "+url, chromedp.Navigate(url))
}

// eval runs JavaScript in the page and decodes its value into T.
func eval[T any](b *tab, js string) T {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, patience)
	defer cancel()
	v, err := chromedp.Run(ctx, chromedp.Evaluate[T](js, chromedp.EvalAwaitPromise))
	if err != nil {
		b.t.Fatalf("evaluate %.200s: %v\n%s", js, err, b.where())
	}
	return v
}

// until waits for a JavaScript condition; the page is asked at every frame.
func (b *tab) until(what, condition string) {
	b.t.Helper()
	js := fmt.Sprintf(`new Promise(done => { const end = performance.now() + %d; const look = () => {
		let ok = false; try { ok = !!(%s) } catch {}
		if (ok) done(true); else if (performance.now() > end) done(false); else requestAnimationFrame(look) }; look() })`, patience.Milliseconds(), condition)
	end := time.Now().Add(patience)
	for {
		ctx, cancel := context.WithTimeout(b.ctx, patience+5*time.Second)
		ok, err := chromedp.Run(ctx, chromedp.Evaluate[bool](js, chromedp.EvalAwaitPromise))
		cancel()
		if err == nil && ok {
			return
		}
		if time.Now().After(end) { // a navigation in between ends the evaluation: ask the new page
			b.t.Fatalf("waited for %s (%.300s): %v\n%s", what, condition, err, b.where())
		}
	}
}

// click waits for an element and clicks it with the mouse.
func (b *tab) click(selector string) {
	b.t.Helper()
	b.until("a visible "+selector, fmt.Sprintf(`(() => { const e = document.querySelector(%s); return e && e.getClientRects().length > 0 && !e.disabled })()`, quote(selector)))
	b.do("click "+selector, chromedp.Click(chromedp.CSS(selector), chromedp.NodeVisible))
}

// fill replaces a field's value by typing.
func (b *tab) fill(selector, value string) {
	b.t.Helper()
	b.until("the field "+selector, fmt.Sprintf(`(() => { const e = document.querySelector(%s); if (!e) return false; e.focus(); e.select && e.select(); return document.activeElement === e })()`, quote(selector)))
	b.do("type into "+selector, chromedp.KeyEvent(value))
}

// keys sends key presses to what has the focus.
func (b *tab) keys(what string, opts ...chromedp.KeyOption) {
	b.t.Helper()
	b.do("press "+what, chromedp.KeyEvent(what, opts...))
}

// text is an element's visible text.
func (b *tab) text(selector string) string {
	b.t.Helper()
	return eval[string](b, fmt.Sprintf(`document.querySelector(%s)?.innerText ?? ""`, quote(selector)))
}

// looks sets the size, the colour scheme and reduced motion.
func (b *tab) looks(width, height int64, scheme string) {
	b.t.Helper()
	b.do("set the size", chromedp.EmulateViewport(width, height))
	b.do("set the colour scheme", chromedp.Func(func(ctx context.Context, target *chromedp.Target) error {
		_, err := cdp.Call(ctx, target, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
			Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}, {Name: "prefers-reduced-motion", Value: "reduce"}}})
		return err
	}))
}

func quote(s string) string {
	b, _ := json.Marshal(s)
	return string(b)
}

// signIn follows the link as a person does: one button.
func (b *tab) signIn(s *server) {
	b.t.Helper()
	b.open(s.link)
	b.click("main button[type=submit], form button[type=submit]")
	b.until("the console", `!location.pathname.startsWith("/login")`)
}
