// The live log: one component for the Logs pages, the workspace's panel and the pop-out window.
import { Bars, type BarActions } from "./log-bar";
import { detail } from "./log-detail";
import { Feed, lineId, type Health } from "./log-feed";
import { Histogram, drawTicks } from "./log-hist";
import { h, icon } from "./dom";
import { ready, t } from "./i18n";
import { keyboard } from "./log-keys";
import { List } from "./log-list";
import { Model, mostLines, type Line, type LineFrame, type Row, type Run } from "./log-model";
import { parse, type Query } from "./log-query";
import { render, rowId, type Look } from "./log-render";
import { estimator } from "./log-size";
import { optionsOf, ranges, type LogOptions } from "./log-options";
import { isUTC, setUTC } from "./log-time";
import { notice } from "./page";
import { serverNow, type SocketState } from "./socket";

const buckets = 120;
const allLevels = [0, 1, 2, 3, 4, 5, 6];
const panelDetail: Row = { kind: "detail", i: -1, h: 0 };

export class LogView {
  readonly look: Look;
  readonly list: List;
  readonly model: Model;
  readonly bars: Bars;
  private feed: Feed;
  private hist: Histogram | null = null;
  private query: Query;
  private levels: Set<number>;
  private scopeRun = false;
  private runId = "";
  private paused = false;
  private waiting = 0; // lines that came while paused or above the end
  private scheduled = 0;
  private ticking = 0;
  private from: Run | null | undefined; // undefined: nothing to do; null: everything
  private ticks = h("div", { class: "ticks", "aria-hidden": "true" });
  private side = h("div", { class: "line-w" });
  private empty = h("div", { class: "log-empty", hidden: true });
  private banner = h("div", { class: "banner banner-warn", role: "status", hidden: true }, icon("warn"), h("span"));
  private behind = 0; // ms between printing and showing of the newest line, when it was shown
  private shownAt = -Infinity;
  private lastAt = 0;
  private state: SocketState | "past" = "connecting";
  private timers: number[] = [];
  private gone = new AbortController();

  constructor(readonly el: HTMLElement, readonly o: LogOptions) {
    this.levels = new Set(o.levels ?? allLevels);
    this.query = parse(o.query);
    this.model = new Model((l) => this.accepts(l));
    this.look = this.newLook();
    const log = h("div", { class: "log", role: "treegrid", "aria-label": t("js.log.rows"), tabindex: "0" });
    this.bars = new Bars(this.actions());
    this.list = new List(log, { estimator: (width) => estimator(this.look, width), render: (r) => render(r, this.look), onScroll: () => this.scrolled() });
    this.feed = this.newFeed();
    this.build(log);
    keyboard(this, log, this.gone.signal);
    log.addEventListener("click", (e) => this.clicked(e));
    if (o.mode === "panel") document.addEventListener("kiln:run", ((e: CustomEvent<{ requestId: string }>) => this.ran(e.detail.requestId)) as EventListener, { signal: this.gone.signal });
    this.begin();
  }

  private newLook(): Look {
    const { o } = this;
    return {
      grouped: o.grouped, wrap: o.wrap, days: (o.to || Date.now()) - o.from > 20 * 3600e3, all: !o.fn, mark: this.query.mark, chosen: null,
      link: { run: (r) => `/functions/${encodeURIComponent(r.fname)}/invocations?id=${r.id}` },
      toggle: (r) => this.toggle(r),
      more: (l) => void this.choose(l),
      detail: () => h("div", { class: "lg-detail", role: "row" }, h("div", { role: "gridcell" }, this.detailOf(this.look.chosen as Line))),
    };
  }

  private newFeed() {
    return new Feed({
      fn: this.o.fn, base: this.o.base, request: this.o.request,
      span: () => ({ from: this.o.from, to: this.o.to }),
      last: () => this.model.last,
      first: () => this.model.first,
      onLines: (f, how) => this.took(f, how),
      onHealth: (x) => this.health(x),
      onState: (s, m) => this.connection(s, m),
    });
  }

  private build(log: HTMLElement) {
    const split = h("div", { class: "split" }, h("div", { class: "log-w" }, log, this.empty, this.ticks), this.side);
    if (this.o.mode === "page") this.hist = new Histogram((a, b) => this.zoom(a, b));
    this.el.replaceChildren(...this.bars.top, this.banner, ...(this.hist ? [this.hist.el] : []), split, ...(this.o.mode === "panel" ? [] : [this.bars.foot]));
    this.el.classList.add("logv", "logv-" + this.o.mode);
  }

  private begin() {
    if (this.o.to || this.o.line) void this.feed.past(this.o.line).then(() => this.toLine(), () => this.bars.setState("st st-err", t("js.log.failed")));
    else this.feed.live();
    if (this.hist) {
      void this.loadCounts();
      this.timers.push(window.setInterval(() => this.clock(), 1000));
    }
  }

  private clock() {
    if (!this.o.to && !document.hidden) this.hist!.moveTo(serverNow());
    this.showState(false);
  }

  private async loadCounts() {
    const to = this.o.to || serverNow();
    const counts = await this.feed.counts(this.o.from, to, buckets);
    if (!counts.length) return;
    this.hist!.set(this.o.from, to, counts);
    this.bars.setCounts(this.hist!.totals);
  }

  // ---- what comes ----

  private took(f: LineFrame & { now?: number }, how: "live" | "first" | "older") {
    if (how === "older") {
      this.model.prepend(f);
      return this.change(null);
    }
    const { fresh, from } = this.model.append(f, how === "live");
    if (how === "live") this.count(fresh);
    const trimmed = this.model.trim();
    if (fresh.length && how === "live") this.lastAt = fresh[fresh.length - 1].at;
    const loose = fresh.some((l) => !l.run);
    if (fresh.length || from) this.change(trimmed || loose || how === "first" ? null : from);
  }

  private count(fresh: Line[]) {
    if (this.hist) {
      for (const l of fresh) this.hist.add(l.at, l.lv);
      this.bars.setCounts(this.hist.totals);
    }
    if (this.paused || !this.list.follow) this.waiting += fresh.filter((l) => l.on).length;
  }

  private accepts(l: Line): boolean {
    if (!this.levels.has(l.lv)) return false;
    if (this.scopeRun && l.rid !== this.runId) return false;
    return !this.query.test || this.query.test(l);
  }

  get filtered() {
    return this.query.test !== null || this.levels.size < allLevels.length || this.scopeRun;
  }

  /** change asks for new rows at the next frame: from a run on, or all of them. */
  change(from: Run | null) {
    if (this.from === undefined) this.from = from;
    else if (from === null || this.from === null) this.from = null;
    else if (from.at < this.from.at) this.from = from;
    this.scheduled ||= requestAnimationFrame(() => this.update());
  }

  private update() {
    this.scheduled = 0;
    if (this.paused) return this.showState(false);
    const from = this.from;
    this.from = undefined;
    if (from !== undefined) {
      const [row, run] = this.look.grouped ? this.keepUntil(from) : [0, 0];
      this.list.setRows(this.rows(row, run), row);
      if (this.list.follow) this.waiting = 0;
      this.fillFilter();
      if (this.lastAt) this.measure();
    }
    this.showState(true);
  }

  private measure() {
    this.behind = Math.max(0, serverNow() - this.lastAt);
    this.shownAt = performance.now();
    this.lastAt = 0;
  }

  // keepUntil answers the first row and the first run that must be made anew.
  private keepUntil(from: Run | null): [row: number, run: number] {
    const { runs } = this.model;
    const at = from ? runs.lastIndexOf(from) : -1;
    if (!from || at < 0) return [0, 0];
    if (from.i >= 0) return [from.i, at];
    return at === runs.length - 1 ? [this.list.rows.length, at] : [0, 0];
  }

  private rows(row: number, run: number): Row[] {
    if (!this.look.grouped) return this.flatRows();
    const rows = row ? this.list.rows.slice(0, row) : [];
    const loose = row ? [] : this.model.lines.filter((l) => !l.run && l.on);
    let k = 0;
    for (const r of run ? this.model.runs.slice(run) : this.model.runs) {
      while (k < loose.length && loose[k].at <= r.at) this.push(rows, loose[k++]);
      if (this.shows(r)) this.runRows(rows, r);
    }
    while (k < loose.length) this.push(rows, loose[k++]);
    return rows;
  }

  private flatRows(): Row[] {
    const rows: Row[] = [];
    for (const l of this.model.lines) if (l.on) this.push(rows, l);
    return rows;
  }

  private push(rows: Row[], l: Line) {
    rows.push(l);
    if (l === this.look.chosen && !this.wide()) rows.push(panelDetail);
  }

  private shows(r: Run) {
    if (this.scopeRun) return r.id === this.runId;
    return r.on > 0 || (!this.filtered && (!this.o.request || r.id === this.o.request));
  }

  private runRows(rows: Row[], r: Run) {
    rows.push(r);
    if (!r.open) return;
    for (const l of r.lines) if (l.on) this.push(rows, l);
  }

  // fillFilter reads older lines while a filter leaves the view nearly empty.
  private fillFilter() {
    if (!this.filtered || this.scopeRun || this.model.lines.length >= mostLines || this.list.height > 2 * this.list.el.clientHeight) return;
    void this.feed.older();
  }

  private scrolled() {
    if (this.list.follow) this.waiting = 0;
    if (this.list.el.scrollTop < 2000 && this.model.lines.length < mostLines && this.model.lines.length) void this.feed.older();
    this.showState(true);
  }

  // ---- what is said about it ----

  private showState(all: boolean) {
    const on = this.model.lines.length;
    this.bars.setBelow(this.waiting, this.paused);
    this.bars.setState(...this.stateText());
    if (!all) return;
    this.bars.setShown(this.model.on, on, this.filtered);
    this.bars.setHeld(t(this.feed.more || this.model.dropped ? "js.log.heldMore" : "js.log.held", { n: on.toLocaleString(), max: mostLines.toLocaleString() }));
    this.showEmpty(on);
    this.ticking ||= window.setTimeout(() => this.drawTicks(), 200);
    this.el.dataset.lines = String(on);
  }

  private showEmpty(held: number) {
    const none = this.list.rows.length === 0 && this.state !== "connecting";
    this.empty.hidden = !none;
    if (none) this.empty.textContent = held ? t("js.log.noMatch", { n: held.toLocaleString() }) : t("js.log.nothing");
  }

  private stateText(): [string, string] {
    switch (this.state) {
      case "live": {
        if (this.paused) return ["st", t("js.log.paused")];
        const fresh = performance.now() - this.shownAt < 2000;
        return ["live", fresh && this.o.mode !== "panel" ? t("js.log.behind", { ms: Math.round(this.behind) }) : t("js.log.live")];
      }
      case "past":
        return ["st", t("js.log.past")];
      case "denied":
      case "ended":
        return ["st st-err", t("js.log." + this.state)];
      default:
        return ["st st-warn", t("js.log.reconnecting")];
    }
  }

  private connection(s: SocketState | "past", message?: string) {
    this.state = s;
    if (s === "denied" && message) notice(message, "err");
    this.showState(false);
  }

  private health(x: Health) {
    this.banner.hidden = !x.spooling;
    if (x.spooling) this.banner.lastElementChild!.textContent = t("js.log.spooling");
  }

  private drawTicks() {
    this.ticking = 0;
    const { rows, height, el } = this.list;
    if (this.o.mode === "panel" && !rows.length) return;
    const marks: { y: number; error: boolean }[] = [];
    for (const r of rows) {
      if (r.kind === "line" && (r as Line).lv >= 4) marks.push({ y: this.list.topOf(r.i) / height, error: (r as Line).lv >= 5 });
      else if (r.kind === "run" && !(r as Run).open && (r as Run).lines.some((l) => l.lv >= 5)) marks.push({ y: this.list.topOf(r.i) / height, error: true });
    }
    const all = Math.max(height, el.clientHeight);
    drawTicks(this.ticks, marks, { top: el.scrollTop / all, share: el.clientHeight / all }, (s) => { el.scrollTop = s * height - el.clientHeight / 2; });
  }

  // ---- what people do ----

  private actions(): BarActions {
    const { o } = this;
    return {
      mode: o.mode, base: o.base, levels: this.levels, grouped: o.grouped, wrap: o.wrap, live: !o.to, query: o.query, ...ranges(o),
      setLevels: () => this.refilter(),
      setQuery: (q) => this.setQuery(q),
      setGrouped: (v) => { this.look.grouped = v; this.remember("group", v ? "" : "flat"); this.refilter(); },
      setWrap: (v) => { this.look.wrap = v; this.remember("wrap", v ? "" : "0"); this.list.forgetHeights(); },
      setScope: (run) => this.setScope(run),
      expand: (open) => this.expand(open),
      pause: () => this.pause(),
      toEnd: () => this.toEnd(),
      switchZone: () => { setUTC(!isUTC()); this.bars.setZone(); this.list.refresh(); if (this.hist) void this.loadCounts(); },
      exportURL: (format) => this.exportURL(format),
      popURL: `${o.base}?pop=1`,
      copyLink: () => this.copy(location.href),
    };
  }

  setQuery(q: string) {
    const parsed = parse(q);
    this.bars.setBad(parsed.bad);
    if (parsed.bad) return;
    this.query = parsed;
    this.look.mark = parsed.mark;
    this.remember("q", q);
    this.refilter();
  }

  private refilter() {
    this.remember("levels", this.levels.size < allLevels.length ? [...this.levels].sort().join("") : "");
    this.model.refilter();
    if (this.query.test) for (const r of this.model.runs) if (r.on) r.open = true;
    this.list.setRows([], 0);
    this.from = null;
    this.update();
    this.list.refresh();
  }

  // remember keeps the view in the address of a page.
  private remember(name: string, value: string) {
    if (this.o.mode === "panel") return;
    const u = new URL(location.href);
    if (value) u.searchParams.set(name, value);
    else u.searchParams.delete(name);
    history.replaceState(history.state, "", u);
  }

  // ran takes the workspace's newest run as "this run".
  private ran(id: string) {
    this.runId = id;
    const run = this.model.runOf(id);
    if (run) run.open = true;
    if (this.scopeRun) this.refilter();
    else this.change(run ?? null);
  }

  private setScope(run: boolean) {
    this.scopeRun = run;
    if (run && !this.runId) this.runId = this.model.runs[this.model.runs.length - 1]?.id ?? "";
    this.refilter();
  }

  toggle(r: Run) {
    r.open = !r.open;
    this.list.follow = this.list.follow && r.i === this.list.rows.length - 1;
    this.change(r);
    this.list.refresh(r);
  }

  expand(open: boolean) {
    for (const r of this.model.runs) r.open = open;
    this.change(null);
    this.list.refresh();
  }

  pause() {
    this.paused = !this.paused;
    this.bars.setPaused(this.paused);
    if (!this.paused) {
      this.waiting = 0;
      this.update();
    } else this.showState(false);
  }

  toEnd() {
    if (this.paused) this.pause();
    this.waiting = 0;
    this.list.toEnd();
    this.showState(true);
  }

  private wide() {
    return this.o.mode !== "panel" && this.el.clientWidth >= 900;
  }

  choose(r: Row | null) {
    const old = this.look.chosen;
    this.look.chosen = r;
    const line = r?.kind === "line" ? (r as Line) : null;
    this.side.replaceChildren(...(line && this.wide() ? [this.detailOf(line)] : []));
    this.el.classList.toggle("with-line", !!line && this.wide());
    panelDetail.h = 0;
    if (!this.wide()) {
      this.list.follow = false;
      this.from = null;
      this.update();
      this.list.refresh(panelDetail);
    }
    if (old) this.list.refresh(old);
    if (r) {
      this.list.refresh(r);
      this.list.reveal(r);
      if (line) this.list.el.setAttribute("aria-activedescendant", rowId(line));
    }
  }

  private clicked(e: MouseEvent) {
    const at = e.target as Element;
    if (at.closest("a, button, .lg-detail") || getSelection()?.type === "Range") return;
    const el = at.closest<HTMLElement>(".lg-row");
    const r = el && this.list.rows.find((row) => this.list.elementOf(row) === el);
    if (!r) return;
    if (r.kind === "run") this.toggle(r as Run);
    else if (r.kind === "line") this.choose(r === this.look.chosen ? null : r);
  }

  private detailOf(l: Line) {
    return detail(l, {
      runLink: (x) => this.look.link.run(x.run!),
      permalink: (x) => new URL(`/functions/${encodeURIComponent(x.fname)}/logs?line=${lineId(x)}`, location.href).href,
      addTerm: (term) => { this.bars.input.value = `${this.bars.input.value} ${term}`.trim(); this.setQuery(this.bars.input.value); },
      context: (x) => { this.bars.input.value = ""; this.setQuery(""); if (x.run) x.run.open = true; this.change(null); this.update(); this.list.reveal(x, true); },
      whole: (x) => this.feed.whole(x),
      copy: (text) => this.copy(text),
      close: () => this.choose(null),
    });
  }

  private copy(text: string) {
    void navigator.clipboard.writeText(text).then(() => notice(t("js.copied")));
  }

  private zoom(from: number, to: number) {
    const u = new URL(location.href);
    u.searchParams.delete("range");
    u.searchParams.set("from", String(Math.floor(from)));
    u.searchParams.set("to", String(Math.ceil(to)));
    location.assign(u);
  }

  private exportURL(format: string) {
    const q = new URLSearchParams({ format, from: String(Math.floor(this.o.from)) });
    if (this.o.to) q.set("to", String(Math.ceil(this.o.to)));
    if (this.o.request) q.set("request", this.o.request);
    return `${this.o.base}/export?${q}`;
  }

  private toLine() {
    const l = this.model.lines.find((x) => lineId(x) === this.o.line);
    if (!l) return;
    if (l.run) l.run.open = true;
    this.list.follow = false;
    this.from = null;
    this.update();
    this.choose(l);
    this.list.reveal(l, true);
  }

  destroy() {
    this.gone.abort();
    this.feed.close();
    this.timers.forEach(clearInterval);
    cancelAnimationFrame(this.scheduled);
    clearTimeout(this.ticking);
  }
}

/** mountLog shows a log in el; the workspace embeds it with mode "panel". */
export async function mountLog(el: HTMLElement, o: Partial<LogOptions>): Promise<LogView> {
  await ready();
  return new LogView(el, { ...optionsOf(el), ...o });
}

export async function start(el: HTMLElement) {
  const view = await mountLog(el, {});
  (el as HTMLElement & { kilnLog?: LogView }).kilnLog = view;
  return () => view.destroy();
}
