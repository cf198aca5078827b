// The charts page: reads the window's figures, draws them, follows what happens, and leads from a point to its invocations.
import { Chart, periodText, type ChartData, type ChartSpec, type SeriesSpec, type Values } from "./chart";
import { h, icon, svg } from "./dom";
import { ready, t } from "./i18n";
import { typing } from "./page";
import { subscribe } from "./socket";

interface Mark {
  at: number;
  kind: string;
  label: string;
  by: string;
  href: string;
}

interface Answer {
  from: number;
  to: number;
  step: number;
  t: number[];
  series: { [name: string]: Values };
  before?: { [name: string]: Values };
  marks: Mark[];
  errors: { type: string; message: string; n: number; spark: number[]; last: string }[];
  more: boolean;
  queue: { waiting: number; running: number; delayed: number; dead: number; oldest: number };
  limit: number;
  running: number;
  facts: string;
  table?: string;
}

const again = 1500; // ms after a change: what was on its way to the store then is there now

export async function start(el: HTMLElement) {
  await ready();
  const page = new Monitor(el);
  return () => page.stop();
}

const bar = (name: string, label: string, color: string, more: Partial<SeriesSpec> = {}): SeriesSpec => ({ name, label, color, kind: "bars", ...more });
const line = (name: string, label: string, color: string, more: Partial<SeriesSpec> = {}): SeriesSpec => ({ name, label, color, kind: "line", unit: "ms", ...more });

function specs(before: string): { [name: string]: ChartSpec } {
  const compared = before ? [line("before", t("js.mon.earlier"), "--ink-2", { kind: "dash", unit: "", title: before })] : [];
  const slower = before ? [line("beforeP95", t("js.mon.earlier"), "--ink-2", { kind: "dash", title: "p95, " + before })] : [];
  return {
    // The first bar is drawn first, as the sum of all: the last one, errors, stands on the axis.
    invocations: { unit: "", stack: true, series: [bar("thr", t("js.mon.thr"), "--c-warn"), bar("ok", t("js.mon.ok"), "--c-ok"), bar("err", t("js.mon.err"), "--c-err"), ...compared] },
    duration: {
      unit: "ms", log: true,
      series: [
        line("p50", "p50", "--data-2"), line("p95", "p95", "--data-1"), line("p99", "p99", "--data-4"), ...slower,
        line("min", t("js.mon.min0"), "--data-3", { off: true }), line("avg", t("js.mon.avg"), "--ink-2", { off: true }), line("max", t("js.mon.max"), "--ink-3", { off: true }),
      ],
    },
    success: { unit: t("js.mon.percent"), bottom: 0, top: 100, series: [line("success", t("js.mon.success"), "--data-1", { kind: "area", unit: "%", digits: 2 })] },
    concurrency: { unit: t("js.mon.mostAtOnce"), series: [line("run", t("js.mon.running"), "--data-1", { kind: "step", unit: "" }), line("limit", "", "--ink-2", { kind: "dash", unit: "", constant: true })] },
    cold: { unit: "", series: [bar("cold", t("js.mon.count"), "--data-2"), line("init", t("js.mon.init"), "--data-1", { off: true }), line("initMax", t("js.mon.initMax"), "--data-4", { off: true })] },
    memory: { unit: t("js.mon.mb"), series: [line("used", t("js.mon.used"), "--data-1", { kind: "area", unit: "MB" }), line("set", t("js.mon.set"), "--ink-2", { kind: "dash", unit: "MB" })] },
    cost: { unit: t("js.mon.dollars"), gutter: 64, series: [bar("cost", t("js.mon.cost"), "--data-2", { unit: "$", digits: 6 })] },
    async: { unit: "", series: [bar("retry", t("js.mon.retry"), "--c-warn"), bar("dead", t("js.mon.dead"), "--c-err")] },
  };
}

class Monitor {
  private charts = new Map<string, Chart>();
  private link = { marks: [] as Mark[], chosen: null as number | null, choose: (i: number) => this.choose(i) };
  private chosenAt: number | null = null;
  private data: ChartData | null = null;
  private answer: Answer | null = null;
  private base: string;
  private table = document.getElementById("mon-table")!;
  private asTable = document.querySelector<HTMLElement>("[data-as-table]")!;
  private unsubscribe: () => void;
  private reading = false;
  private dirty = false;
  private timer = 0;
  private slide = 0;
  private gone = new AbortController();

  constructor(private el: HTMLElement) {
    this.base = el.dataset.base!;
    const compare = new URLSearchParams(location.search).has("compare");
    const all = specs(compare ? t("js.mon.before", { span: el.dataset.span! }) : "");
    for (const s of el.querySelectorAll<HTMLElement>("[data-chart]")) {
      const spec = all[s.dataset.chart!];
      if (spec) this.charts.set(s.dataset.chart!, new Chart(s, spec, this.link));
    }
    this.showTable(!this.table.hidden);
    this.listen();
    this.unsubscribe = el.hasAttribute("data-follow")
      ? subscribe({ topic: "metrics", fn: el.dataset.function ?? "", where: () => ({}), onFrame: () => this.changed(), onState: (s) => { if (s === "live") this.changed(); } })
      : () => {};
    void this.read();
  }

  private listen() {
    const { signal } = this.gone;
    this.asTable.addEventListener("click", (e) => { e.preventDefault(); this.showTable(this.table.hidden); }, { signal });
    document.addEventListener("keydown", (e) => this.key(e), { signal });
    document.addEventListener("kiln:theme", () => this.recolour(), { signal });
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.recolour(), { signal });
    document.addEventListener("visibilitychange", () => { if (!document.hidden) this.changed(); }, { signal });
    const form = document.querySelector<HTMLFormElement>("[data-window]")!;
    const local = (ms: number) => new Date(ms - new Date(ms).getTimezoneOffset() * 60000).toISOString().slice(0, 16);
    form.querySelectorAll("input").forEach((i) => { i.value = local(Number(form.dataset[i.name])); });
    form.addEventListener("submit", (e) => {
      e.preventDefault();
      const q = new URLSearchParams();
      form.querySelectorAll("input").forEach((i) => q.set(i.name, String(+new Date(i.value))));
      location.assign(`${this.base}?${q}`);
    }, { signal });
  }

  stop() {
    this.gone.abort();
    this.unsubscribe();
    clearTimeout(this.timer);
    clearTimeout(this.slide);
    for (const c of this.charts.values()) c.destroy();
  }

  private recolour() {
    for (const c of this.charts.values()) c.rebuild();
  }

  private key(e: KeyboardEvent) {
    if (typing(e) || e.ctrlKey || e.metaKey || e.altKey || document.getElementById("palette")) return;
    if (e.key === "t" || e.key === "T") this.showTable(this.table.hidden);
    else if (e.key === "Escape" && this.link.chosen !== null) this.clear();
    else if ((e.key === "ArrowLeft" || e.key === "ArrowRight") && this.data && this.el.contains(document.activeElement)) {
      const by = e.key === "ArrowLeft" ? -1 : 1;
      const last = this.data.t.length - 1;
      this.choose(Math.max(0, Math.min(last, (this.link.chosen ?? last + (by < 0 ? 1 : 0)) + by)));
    } else return;
    e.preventDefault();
  }

  private showTable(on: boolean) {
    this.table.hidden = !on;
    this.el.querySelector<HTMLElement>(".charts")!.hidden = on;
    this.asTable.setAttribute("aria-pressed", String(on));
    if (on) void this.read();
  }

  // changed reads the window now, and once more when what was on its way has arrived.
  private changed() {
    if (document.hidden) return;
    void this.read();
    clearTimeout(this.timer);
    this.timer = window.setTimeout(() => void this.read(), again);
  }

  private async read() {
    if (this.reading) {
      this.dirty = true;
      return;
    }
    this.reading = true;
    this.dirty = false;
    try {
      const q = new URLSearchParams(location.search);
      if (!this.table.hidden) q.set("table", "1");
      const r = await fetch(`${this.base}/data?${q}`, { headers: { Accept: "application/json" } });
      if (r.ok) this.show(await r.json());
    } catch {
      this.timer = window.setTimeout(() => void this.read(), 5000);
    } finally {
      this.reading = false;
    }
    if (this.dirty) void this.read();
  }

  private show(a: Answer) {
    this.answer = a;
    const values = { ...a.series };
    if (a.before) {
      values.before = a.before.ok.map((v, i) => (v ?? 0) + (a.before!.err[i] ?? 0));
      values.beforeP95 = a.before.p95;
    }
    values.limit = a.t.map(() => a.limit);
    this.data = { t: a.t, from: a.from, to: a.to, step: a.step, values };
    this.link.marks = a.marks;
    this.keepChosen();
    document.getElementById("mon-facts")!.innerHTML = a.facts;
    if (a.table) this.table.innerHTML = a.table;
    this.units(a);
    for (const c of this.charts.values()) c.set(this.data);
    this.lane();
    this.errors();
    this.el.dataset.shown = String(Date.now());
    if (this.el.hasAttribute("data-follow")) {
      clearTimeout(this.slide);
      this.slide = window.setTimeout(() => this.changed(), Math.max(2000, Math.min(60000, a.step * 1000)));
    }
  }

  private units(a: Answer) {
    const step = a.step < 60 ? t("js.mon.s", { n: a.step }) : a.step < 3600 ? t("js.mon.min", { n: a.step / 60 }) : t("js.mon.h", { n: a.step / 3600 });
    const per = t("js.mon.per", { step });
    for (const [name, c] of this.charts) {
      if (name === "invocations" || name === "cold") c.setUnit(per);
      else if (name === "async") c.setUnit(t("js.mon.waiting", { n: a.queue.waiting }), t("js.mon.queueNow", { waiting: a.queue.waiting, delayed: a.queue.delayed, age: Math.round(a.queue.oldest) }));
      else c.setUnit(unitOf[name]?.() ?? "");
    }
    this.charts.get("concurrency")?.setKey("limit", t("js.mon.limit", { n: a.limit.toLocaleString() }));
  }

  // A live window moves: the chosen period is kept by its time.
  private keepChosen() {
    if (this.chosenAt === null) return;
    const i = this.data!.t.indexOf(this.chosenAt);
    this.link.chosen = i < 0 ? null : i;
    if (i < 0) this.clear();
    else this.bar();
  }

  private choose(i: number) {
    this.link.chosen = i;
    this.chosenAt = this.data!.t[i];
    for (const c of this.charts.values()) c.redraw();
    this.bar();
  }

  private clear() {
    this.link.chosen = this.chosenAt = null;
    document.getElementById("mon-sel")!.hidden = true;
    for (const c of this.charts.values()) c.redraw();
  }

  // bar leads from the chosen period to its invocations.
  private bar() {
    const i = this.link.chosen!;
    const d = this.data!;
    const v = (name: string) => d.values[name]?.[i] ?? 0;
    const n = v("ok") + v("err");
    const errors = v("err");
    const bar = document.getElementById("mon-sel")!;
    bar.hidden = false;
    bar.replaceChildren(
      h("b", null, periodText(d, i)),
      h("span", null, t("js.mon.invocations", { n: n.toLocaleString() })),
      errors ? h("span", { class: "st st-err" }, icon("err"), t("js.mon.errors", { n: errors.toLocaleString() })) : "",
      h("span", { class: "grow" }),
      n ? h("a", { class: "btn", href: this.list(i, { slow: String(Math.max(1, Math.floor(v("p95")))) }) }, t("js.mon.slowest")) : "",
      errors
        ? h("a", { class: "btn btn-act", href: this.list(i, { status: "errors" }) }, t("js.mon.showErrors", { n: errors.toLocaleString() }))
        : n ? h("a", { class: "btn btn-act", href: this.list(i, {}) }, t("js.mon.showAll")) : "",
      v("cold") ? h("a", { class: "btn hide-s", href: this.list(i, { cold: "1" }) }, t("js.mon.cold")) : "",
      h("button", { class: "btn btn-quiet btn-icon", type: "button", "aria-label": t("js.mon.clear"), onclick: () => this.clear() }, icon("x")),
    );
  }

  private list(i: number, more: { [name: string]: string }): string {
    const d = this.data!;
    const q = new URLSearchParams({ from: String(d.t[i] * 1000), to: String((d.t[i] + d.step) * 1000), ...more });
    return `${this.base.replace(/\/monitor$/, "")}/invocations?${q}`;
  }

  private lane() {
    const lane = this.el.querySelector<HTMLElement>(".lane")!;
    const d = this.data!;
    const ol = lane.querySelector("ol")!;
    lane.hidden = !this.link.marks.length;
    let end = -1; // where the last written label ends, in px
    ol.replaceChildren(
      ...this.link.marks.map((m) => {
        const x = ((m.at - d.from) / (d.to - d.from)) * ol.clientWidth;
        const width = 8 + m.label.length * 7;
        const left = x + width > ol.clientWidth ? x - width : x - 4;
        const free = left > end;
        if (free) end = left + width;
        return laneMark(m, (m.at - d.from) / (d.to - d.from), free, left < x - 4);
      }),
    );
  }

  private errors() {
    const place = this.el.querySelector<HTMLElement>('[data-chart="errors"]')!;
    const a = this.answer!;
    place.querySelector("header .u")!.textContent = a.errors.reduce((n, k) => n + k.n, 0).toLocaleString();
    const q = new URLSearchParams({ from: String(a.from * 1000), to: String(a.to * 1000), status: "errors" });
    const root = this.base.replace(/\/monitor$/, "");
    place.querySelector("header .sub")!.replaceChildren(a.errors.length ? h("a", { class: "link", href: `${root}/invocations?${q}` }, t("js.mon.allErrors")) : "");
    const list = h("ul", { class: "errs" }, ...a.errors.slice(0, 4).map((k) => kindRow(k, `${root}/invocations?${q}&id=${k.last}`)));
    place.querySelector(".cw")!.replaceChildren(a.errors.length ? list : h("p", { class: "sub" }, t("js.mon.noErrors")), a.more ? h("p", { class: "sub" }, t("js.mon.moreErrors")) : "");
  }
}

const unitOf: { [name: string]: () => string } = {
  duration: () => "ms",
  success: () => t("js.mon.percent"),
  concurrency: () => t("js.mon.mostAtOnce"),
  memory: () => t("js.mon.mb"),
  cost: () => t("js.mon.dollars"),
};

// laneMark is a diamond with its label, or without one where it would lie on its neighbour's.
function laneMark(m: Mark, share: number, labelled: boolean, toLeft: boolean) {
  const title = t("js.mon." + m.kind, { label: m.label, by: m.by });
  const link = h("a", { href: m.href, title, "aria-label": title }, labelled ? h("b", null, m.label) : "");
  const li = h("li", { class: toLeft ? "l" : "r", title }, h("span", null, link));
  li.style.left = share * 100 + "%";
  return li;
}

function kindRow(k: Answer["errors"][number], href: string) {
  const top = Math.max(1, ...k.spark);
  const w = 200 / k.spark.length;
  const bars = k.spark.flatMap((n, i) => (n ? [svg("rect", { x: i * w, y: 23 - (n / top) * 20, width: Math.max(1.5, w - 1), height: (n / top) * 20, fill: "var(--c-err)" })] : []));
  const graph = svg("svg", { viewBox: "0 0 200 24", preserveAspectRatio: "none", role: "img", "aria-label": t("js.mon.overTime", { kind: k.type }) }, svg("path", { class: "g g0", d: "M0 23.5H200" }), ...bars);
  return h("li", null, h("a", { href }, h("span", { class: "e1" }, h("span", { class: "name" }, k.type)), h("span", { class: "sub clip" }, k.message)), graph, h("b", null, k.n.toLocaleString()));
}

