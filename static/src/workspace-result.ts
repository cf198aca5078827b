// The result of a run. The server renders what is always there; this adds the views of the answer and the links into the editor.
import type { Say } from "./editor-marks";
import { rows } from "./linediff";
import { h } from "./workspace-dom";
import { colour, comparable, httpAnswer, pretty } from "./workspace-json";

// Frame is one place of an error's stack inside the package.
export interface Frame {
  path: string;
  line: number;
  column: number;
}

// Run is one run as the server tells it. html is rendered and escaped by the server.
export interface Run {
  requestId: string;
  state: "queued" | "running" | "done";
  target: "draft" | "deployed";
  at: string;
  html: string;
  payload: string;
  failed: boolean;
  errorType: string;
  errorMessage: string;
  frames: Frame[] | null;
  log: string;
  event?: string;
}

type View = "diff" | "body" | "headers" | "raw" | "log";

const mostLines = 5000; // of an answer in the panel; "copy" has all of it

export interface ResultEvents {
  frame(f: Frame): void;
  saveEvent(): void;
  copyMenu(anchor: HTMLElement): void;
}

export class ResultView {
  private chosen: View | null = null;

  constructor(private readonly root: HTMLElement, private readonly say: Say, private readonly clock: (iso: string) => string, events: ResultEvents) {
    root.addEventListener("click", (e) => {
      const t = e.target as Element;
      const frame = t.closest<HTMLElement>("[data-frame]");
      if (frame) {
        e.preventDefault();
        const [path, line, column] = JSON.parse(frame.dataset.frame!) as [string, number, number];
        events.frame({ path, line, column });
      } else if (t.closest("[data-save-event]")) events.saveEvent();
      else if (t.closest("[data-ws-copy]")) events.copyMenu(t.closest<HTMLElement>("[data-ws-copy]")!);
    });
  }

  clear() {
    this.root.replaceChildren();
  }

  // working shows a run that has not ended; it answers how to stop the clock.
  working(text: string, since: number): () => void {
    const seconds = h("span", { class: "sub mono" });
    this.root.replaceChildren(h("div", { class: "res-h" },
      h("span", { class: "st chip" }, h("span", { class: "spin" }), text), h("span", { class: "grow" }), seconds));
    this.root.setAttribute("aria-busy", "true");
    const tick = () => (seconds.textContent = ((performance.now() - since) / 1000).toFixed(1) + " s");
    tick();
    const timer = setInterval(tick, 100);
    return () => {
      clearInterval(timer);
      this.root.removeAttribute("aria-busy");
    };
  }

  problem(text: string, hint = "") {
    this.root.replaceChildren(h("p", { class: "emsg" }, text), ...(hint ? [h("p", { class: "sub" }, hint)] : []));
  }

  // hint adds a sentence below the head of the result.
  hint(text: string) {
    this.root.querySelector(".res-h")?.after(h("p", { class: "sub ws-hint" }, text));
  }

  show(run: Run, previous: Run | null) {
    this.root.innerHTML = run.html;
    if (run.state !== "done") return;
    const http = run.failed ? null : httpAnswer(run.payload);
    const difference = previous && !run.failed && !previous.failed ? this.difference(run, previous) : null;
    const views = new Map<View, { label: string; n?: number; make: () => HTMLElement }>();
    if (difference) views.set("diff", { label: this.say("js.ws.view.diff"), n: difference.n, make: () => difference.el });
    const body = http ? http.body : run.payload;
    views.set("body", { label: this.say("js.ws.view.body"), make: () => this.json(body) });
    if (http?.headers.length) views.set("headers", { label: this.say("js.ws.view.headers"), make: () => this.headers(http.headers) });
    views.set("raw", { label: this.say("js.ws.view.raw"), make: () => this.plain(run.payload) });
    views.set("log", { label: this.say("js.ws.view.log"), make: () => this.plain(run.log || this.say("js.ws.log.none")) });
    const wanted = this.chosen ?? (difference?.n ? "diff" : run.failed ? "log" : "body");
    this.tabs(views, views.has(wanted) ? wanted : "body");
    const foot = this.root.querySelector("[data-differs]");
    if (foot && difference) foot.textContent = this.say(difference.n ? "js.ws.differs" : "js.ws.same", { n: difference.n, at: this.clock(previous!.at) });
  }

  private tabs(views: Map<View, { label: string; n?: number; make: () => HTMLElement }>, first: View) {
    const slot = this.root.querySelector<HTMLElement>("[data-answer]");
    if (!slot) return;
    const bar = h("div", { class: "tabs tabs-s res-t", role: "tablist", "aria-label": this.say("js.ws.result") });
    const panel = h("div", { class: "res-p", role: "tabpanel", tabindex: "0" });
    const pick = (view: View) => {
      for (const b of bar.querySelectorAll<HTMLElement>("[role=tab]")) {
        const on = b.dataset.view === view;
        b.setAttribute("aria-selected", String(on));
        b.tabIndex = on ? 0 : -1;
      }
      panel.setAttribute("aria-label", views.get(view)!.label);
      panel.replaceChildren(views.get(view)!.make());
    };
    for (const [view, v] of views) {
      bar.append(h("button", { type: "button", role: "tab", "data-view": view, onclick: () => pick((this.chosen = view)) },
        v.label, v.n ? h("span", { class: "n" }, String(v.n)) : null));
    }
    bar.addEventListener("keydown", (e) => {
      const all = [...bar.querySelectorAll<HTMLElement>("[role=tab]")];
      const at = all.indexOf(document.activeElement as HTMLElement);
      const to = e.key === "ArrowRight" ? at + 1 : e.key === "ArrowLeft" ? at - 1 : -1;
      const tab = all[(to + all.length) % all.length];
      if (at < 0 || (e.key !== "ArrowRight" && e.key !== "ArrowLeft")) return;
      tab.click();
      tab.focus();
    });
    slot.replaceChildren(bar, panel);
    pick(first);
  }

  private difference(run: Run, previous: Run): { n: number; el: HTMLElement } {
    const all = rows(comparable(previous.payload), comparable(run.payload));
    const adds = all.filter((r) => r.kind === "add").length, dels = all.filter((r) => r.kind === "del").length;
    const el = h("div", { class: "code code-12 dres", role: "group", "aria-label": this.say("js.ws.view.diff") });
    if (!adds && !dels) return { n: 0, el: this.json(httpAnswer(run.payload)?.body ?? run.payload) };
    for (const r of all.slice(0, mostLines)) {
      const sign = r.kind === "add" ? "+" : r.kind === "del" ? "−" : "";
      const line = h("div", { class: r.kind === "add" || r.kind === "del" ? r.kind : undefined }, h("b", {}, sign));
      line.append(...(r.kind === "gap" ? [document.createTextNode("⋯")] : colour(r.text)));
      el.append(line);
    }
    return { n: Math.max(adds, dels), el };
  }

  private json(text: string): HTMLElement {
    const laid = pretty(text);
    if (laid === null) return this.plain(text);
    const el = h("div", { class: "code code-12 dres" });
    const lines = laid.split("\n");
    for (const line of lines.slice(0, mostLines)) {
      const row = h("div", {});
      row.append(...colour(line));
      el.append(row);
    }
    if (lines.length > mostLines) el.append(h("div", { class: "sub" }, this.say("js.ws.cut", { n: lines.length })));
    return el;
  }

  private plain(text: string): HTMLElement {
    const most = 200_000;
    const shown = text.length > most ? text.slice(0, most) + "\n" + this.say("js.ws.cut", { n: text.length }) : text;
    return h("pre", { class: "code code-12 dres plain" }, shown || " ");
  }

  private headers(list: [string, string][]): HTMLElement {
    const dl = h("dl", { class: "kv mono" });
    for (const [k, v] of list) dl.append(h("dt", {}, k), h("dd", {}, v));
    return dl;
  }
}
