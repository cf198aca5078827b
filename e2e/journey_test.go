package e2e

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/input"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
)

func (b *tab) writeIn(selector, text string) {
	b.t.Helper()
	b.click(selector)
	b.keys("a", chromedp.KeyModifiers(chromedp.ModifierCtrl))
	b.keys(kb.Delete)
	b.insert(text)
}

// insert puts text at the caret as an input method does: one event, no bracket closing.
func (b *tab) insert(text string) {
	b.t.Helper()
	b.do("insert text", chromedp.Func(func(ctx context.Context, t *chromedp.Target) error {
		_, err := cdp.Call(ctx, t, input.InsertText, input.InsertTextParams{Text: text})
		return err
	}))
}

// draftSaved waits until the draft is safe in Postgres.
func (b *tab) draftSaved() {
	b.t.Helper()
	b.until("the draft to be saved", `/^(Draft saved|초안 저장됨)/.test(document.querySelector("#ws-saved").innerText)`)
}

// run clicks Run (or presses Ctrl Enter) and waits for the new result.
func (b *tab) run(status string) {
	b.t.Helper()
	before := b.text("#ws-res .res-h")
	b.ctrl(kb.Enter)
	b.until("a new result", `document.querySelector("#ws-res .facts") && document.querySelector("#ws-res .res-h").innerText !== `+quote(before))
	if head := b.text("#ws-res .res-h"); !strings.Contains(head, status) {
		b.t.Fatalf("the run ended as %q, not %s:\n%s", head, status, b.text("#ws-res"))
	}
}

func (b *tab) answerHas(text string) {
	b.t.Helper()
	b.until("an answer with "+text, `document.querySelector("#ws-res").innerText.includes(`+quote(text)+`)`)
}

func (b *tab) logHas(text string) {
	b.t.Helper()
	b.until("a log line with "+text, `document.querySelector("#ws-log, #log, .log")?.innerText.includes(`+quote(text)+`)`)
}

// deploy presses Ctrl S and waits until the revision serves.
func (b *tab) deploy(revision string) {
	b.t.Helper()
	b.ctrl("s")
	b.until("revision "+revision, `document.querySelector("#ws-hist-list li b")?.innerText === `+quote(revision))
}

// TestJourney is the main job as one person does it, end to end.
func TestJourney(t *testing.T) {
	begun := time.Now()
	s := startServer(t)
	b := newTab(t)
	b.looks(1440, 900, "light")
	b.signIn(s)
	b.firstResult()
	t.Logf("fresh start to first result: %.1f s, 2 clicks, nothing typed", time.Since(begun).Seconds())
	name := b.createFromTemplate(s)
	b.editAndRun(name)
	second := b.sibling()
	second.watchesLog(s, name)
	b.deploy("r2")
	b.configures(s, name)
	b.breaksAndRepairs(s, name)
	second.logHas("after the repair")
	b.chartsShow(s, name)
	b.killedTabKeepsDraft(s, name)
	b.survivesRestart(s, name)
}

// firstResult: one click from the first page to a result, nothing typed.
func (b *tab) firstResult() {
	b.t.Helper()
	b.click(`form[action$="/try"] button`)
	b.until("the sample's result", `document.querySelector("#try-result").innerText.includes("Hello")`)
}

func (b *tab) createFromTemplate(s *server) string {
	b.t.Helper()
	b.open(s.console + "/new?template=node-hello")
	b.until("a suggested name", `document.querySelector("#create input[name=name]").value`)
	name := eval[string](b, `document.querySelector("#create input[name=name]").value`)
	b.click("#create .cr-foot .btn-act")
	b.until("the workspace", `location.pathname === "/functions/`+name+`" && document.querySelector("#ws-editor .cm-content")`)
	return name
}

const journeyCode = `export const handler = async (event) => {
  console.log("order received", { id: event.id });
  return { id: event.id, memory: process.env.AWS_LAMBDA_FUNCTION_MEMORY_SIZE, mode: process.env.MODE ?? "none" };
};
`

func (b *tab) editAndRun(name string) {
	b.t.Helper()
	b.rewrite(journeyCode)
	b.writeIn("#ws-test .cm-content", `{"id": 10417}`)
	b.run("OK")
	b.answerHas("10417")
	b.logHas("order received")
	b.draftSaved()
}

func (b *tab) watchesLog(s *server, name string) {
	b.t.Helper()
	b.open(s.console + "/functions/" + name + "/logs")
	b.until("the log page", `document.querySelector("main")`)
}

func (b *tab) configures(s *server, name string) {
	b.t.Helper()
	b.open(s.console + "/functions/" + name + "/configure")
	b.fill("#f-memory", "256")
	b.fill("#f-timeout", "7")
	b.click(`button[data-add=env]`)
	b.fill(`#env-table [role=row]:last-child input[name=env_name]`, "MODE")
	b.keys(kb.Tab)
	b.insert("orders")
	role := eval[string](b, `document.querySelector("#f-role").value`)
	b.click(`.savebar button[value=review]`)
	b.until("the review", `document.querySelector("#overlay .dialog-b")?.innerText.includes("256")`)
	b.click(`#overlay .dialog-f .btn-act`)
	b.until("the saved page", `!document.querySelector("#overlay .dialog-b") && document.querySelector("#f-memory")?.defaultValue === "256" && document.querySelector("#f-timeout").defaultValue === "7"`)
	if got := eval[string](b, `document.querySelector("#f-role").value`); got != role || !strings.Contains(got, ":role/") {
		b.t.Errorf("the role is %q after saving, was %q", got, role)
	}
	b.open(s.console + "/functions/" + name)
	b.writeIn("#ws-test .cm-content", `{"id": 10418}`)
	b.run("OK")
	b.answerHas(`"256"`)
	b.answerHas("orders")
}

func (b *tab) breaksAndRepairs(s *server, name string) {
	b.t.Helper()
	b.rewrite("export const handler = async (event) => {\n  console.log(\"about to fail\");\n  return event.order.id;\n};\n")
	b.draftSaved()
	b.deploy("r4")
	b.run("TypeError")
	b.until("a link to the line", `[...document.querySelectorAll("#ws-res [data-frame]")].some(a => a.innerText.includes("index.mjs:3"))`)
	b.click("#ws-res [data-frame]")
	b.until("the caret on line 3", `document.querySelector("#ws-pos").innerText.includes("3")`)
	b.rollsBack(s, name)
	b.open(s.console + "/functions/" + name)
	b.until("the old code", `document.querySelector("#ws-editor .cm-content")?.innerText.includes("order received")`)
	b.writeIn("#ws-test .cm-content", `{"id": "after the repair"}`)
	b.run("OK")
	b.answerHas("after the repair")
}

// rollsBack takes two clicks and says how long it took.
func (b *tab) rollsBack(s *server, name string) {
	b.t.Helper()
	b.open(s.console + "/functions/" + name + "/versions")
	start := time.Now()
	b.click(`a[href$="/rollback?to=3"]`)
	b.click(`form[action$="/rollback"] .btn-act`)
	b.until("revision 5", `document.querySelector("main").innerText.includes("r5")`)
	b.t.Logf("roll back: 2 clicks, %d ms", time.Since(start).Milliseconds())
}

func (b *tab) chartsShow(s *server, name string) {
	b.t.Helper()
	b.open(s.console + "/functions/" + name + "/monitor")
	b.until("charts", `document.querySelectorAll("canvas, .uplot").length > 0`)
	b.until("the invocations' count", `/\b[1-9]\d*\b/.test(document.querySelector("main").innerText)`)
}

func (b *tab) killedTabKeepsDraft(s *server, name string) {
	b.t.Helper()
	doomed := b.sibling()
	doomed.open(s.console + "/functions/" + name)
	doomed.until("the editor", `document.querySelector("#ws-editor .cm-content")`)
	doomed.rewrite(strings.Replace(journeyCode, "order received", "draft that must survive", 1))
	start := time.Now()
	doomed.draftSaved()
	b.t.Logf("keystroke to safe draft: %d ms", time.Since(start).Milliseconds())
	doomed.cancel()
	b.open(s.console + "/functions/" + name)
	b.until("the draft", `document.querySelector("#ws-editor .cm-content")?.innerText.includes("draft that must survive")`)
}

func (b *tab) survivesRestart(s *server, name string) {
	b.t.Helper()
	s.stop()
	s.start()
	b.open(s.console + "/functions/" + name)
	b.until("the draft after a restart", `document.querySelector("#ws-editor .cm-content")?.innerText.includes("draft that must survive")`)
	b.open(s.console + "/functions/" + name + "/invocations")
	b.until("earlier invocations", `document.querySelector("main").innerText.includes("TypeError")`)
	b.open(fmt.Sprintf("%s/functions/%s/configure", s.console, name))
	b.until("the configuration", `document.querySelector("#f-memory")?.value === "256"`)
}
