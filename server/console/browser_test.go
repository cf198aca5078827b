package console_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
)

const patience = 40 * time.Second

// tab is Chromium looking at a house as its owner. Uncaught errors and violations of the content security policy fail the test.
type tab struct {
	t   *testing.T
	ctx context.Context
	h   *house
}

func call[P, R any](cmd cdp.Command[P, R], p P) chromedp.Action[chromedp.Void] {
	return chromedp.Func(func(ctx context.Context, target *chromedp.Target) error {
		_, err := cdp.Call(ctx, target, cmd, p)
		return err
	})
}

func openTab(t *testing.T, h *house) *tab {
	t.Helper()
	if _, err := exec.LookPath("chromium"); err != nil {
		t.Skip("Chromium is not here")
	}
	alloc, stopAlloc := chromedp.NewExecAllocator(context.Background(), chromedp.Headless, chromedp.NoSandbox, chromedp.DisableGPU, chromedp.NoFirstRun,
		chromedp.Flag("disable-dev-shm-usage", true), chromedp.UserDataDir(t.TempDir()+"/profile"), chromedp.WindowSize(1440, 900), chromedp.WSURLReadTimeout(time.Minute))
	ctx, stop := chromedp.NewContext(alloc)
	t.Cleanup(func() { stop(); stopAlloc() })
	b := &tab{t, ctx, h}
	if err := chromedp.Listen(ctx, b.note); err != nil {
		t.Fatal(err)
	}
	b.do(call(log.Enable, cdp.Empty{}), call(network.SetCookie, network.SetCookieParams{Name: "kiln_session", Value: "secret-1", URL: h.URL}))
	return b
}

func (b *tab) note(event any) {
	switch e := event.(type) {
	case *runtime.EventExceptionThrown:
		b.t.Errorf("uncaught in the page: %s %v", e.ExceptionDetails.Text, e.ExceptionDetails.Exception)
	case *log.EventEntryAdded:
		if strings.Contains(e.Entry.Text, "Content Security Policy") {
			b.t.Error(e.Entry.Text)
		}
	}
}

func (b *tab) do(actions ...chromedp.Action[chromedp.Void]) {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, patience)
	defer cancel()
	if err := chromedp.Do(ctx, actions...); err != nil {
		b.t.Fatal(err)
	}
}

func (b *tab) open(path string) {
	b.t.Helper()
	b.do(chromedp.Navigate(b.h.URL + path))
}

func eval[T any](b *tab, js string) T {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, patience)
	defer cancel()
	v, err := chromedp.Run(ctx, chromedp.Evaluate[T](js, chromedp.EvalAwaitPromise))
	if err != nil {
		b.t.Fatalf("%.200s: %v", js, err)
	}
	return v
}

// until waits for a condition; the page is asked at every frame.
func (b *tab) until(condition string) {
	b.t.Helper()
	js := fmt.Sprintf(`new Promise(done => { const end = performance.now() + %d; const look = () => {
		let ok = false; try { ok = !!(%s) } catch {}
		if (ok) done(true); else if (performance.now() > end) done(false); else requestAnimationFrame(look) }; look() })`, patience.Milliseconds()-2000, condition)
	if !eval[bool](b, js) {
		b.t.Fatalf("waited for %.300s\n%.1500s", condition, eval[string](b, "document.body.innerText"))
	}
}

// click presses the mouse in the middle of the first match.
func (b *tab) click(selector string) {
	b.t.Helper()
	q, _ := json.Marshal(selector)
	b.until(fmt.Sprintf(`document.querySelector(%s)?.getClientRects().length`, q))
	at := eval[[2]float64](b, fmt.Sprintf(`(() => { const r = document.querySelector(%s).getBoundingClientRect(); return [r.x + r.width / 2, r.y + r.height / 2] })()`, q))
	b.do(chromedp.MouseClickXY(at[0], at[1]))
}

// cutter remembers hijacked connections, so that a test can cut them as a lost network does.
type cutter struct {
	mu    sync.Mutex
	conns []net.Conn
}

func (c *cutter) state(conn net.Conn, s http.ConnState) {
	if s == http.StateHijacked {
		c.mu.Lock()
		c.conns = append(c.conns, conn)
		c.mu.Unlock()
	}
}

// cut cuts every connection and says how many there were.
func (c *cutter) cut() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	n := len(c.conns)
	for _, conn := range c.conns {
		conn.Close()
	}
	c.conns = nil
	return n
}
