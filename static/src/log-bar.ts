// The viewer's bars: what to show above the list, how it goes below it.
import { button, h, icon } from "./dom";
import { t } from "./i18n";
import { isUTC, zone } from "./log-time";

/** What the bars ask of the viewer. */
export interface BarActions {
  mode: string; // "page", "panel" or "pop"
  base: string;
  levels: Set<number>;
  grouped: boolean;
  wrap: boolean;
  live: boolean; // the window has no end
  query: string;
  rangeText: string;
  ranges: { href: string; text: string; current: boolean }[];
  span: { from: number; to: number };
  setLevels(): void;
  setQuery(q: string): void;
  setGrouped(v: boolean): void;
  setWrap(v: boolean): void;
  setScope(run: boolean): void;
  expand(open: boolean): void;
  pause(): void;
  toEnd(): void;
  switchZone(): void;
  exportURL(format: string): string;
  popURL: string;
  copyLink(): void;
}

/** The groups of levels that have a button: the levels in it, its word, its icon. */
export const levelGroups: { name: string; levels: number[]; icon?: string; tone?: string }[] = [
  { name: "debug", levels: [1, 2] },
  { name: "info", levels: [0, 3] },
  { name: "warn", levels: [4], icon: "warn", tone: "c-w" },
  { name: "error", levels: [5, 6], icon: "err", tone: "c-e" },
];

export class Bars {
  readonly top: HTMLElement[];
  readonly foot: HTMLElement;
  readonly input: HTMLInputElement;
  private counts = new Map<string, HTMLElement>();
  private shown = h("span", { class: "lcount hide-s", "aria-live": "off" });
  private state = h("span", { class: "lstate", role: "status" });
  private held = h("span", { class: "hide-s" });
  private below: HTMLButtonElement;
  private zoneButton: HTMLButtonElement;
  private pauseButton: HTMLButtonElement;
  private bad = h("span", { class: "q-bad", role: "alert" });

  constructor(private a: BarActions) {
    this.input = this.field();
    this.pauseButton = this.pauser();
    this.below = h("button", { type: "button", class: "btn btn-sm btn-quiet", hidden: true, onclick: () => a.toEnd() });
    this.zoneButton = h("button", { type: "button", class: "btn btn-quiet btn-sm", title: t("js.log.zone"), onclick: () => a.switchZone() }, zone());
    this.top = a.mode === "panel" ? [this.panelBar()] : [this.pageBar(), this.queryBar()];
    this.foot = h("footer", { class: "bar bar-foot lfoot" }, a.mode === "panel" ? null : this.state, this.below, h("span", { class: "grow" }), this.held, a.mode === "panel" ? null : this.zoneButton, this.keysHelp());
  }

  private field() {
    const input = h("input", {
      type: "search", value: this.a.query, placeholder: t(this.a.mode === "panel" ? "js.log.filterShort" : "js.log.filter"), "data-filter": true,
      "aria-label": t("js.log.filterLabel"), spellcheck: "false", autocomplete: "off",
    });
    let timer = 0;
    input.addEventListener("input", () => {
      clearTimeout(timer);
      timer = window.setTimeout(() => this.a.setQuery(input.value), 60);
    });
    input.addEventListener("keydown", (e) => {
      if (e.key === "Escape" && input.value) {
        input.value = "";
        this.a.setQuery("");
        e.stopPropagation();
      }
    });
    return input;
  }

  private filter(cls: string) {
    return h("label", { class: "q-in " + cls }, icon("search"), this.input, this.bad);
  }

  private pauser() {
    if (this.a.mode === "panel") return button({ icon: "pause", text: t("js.log.pause"), pressed: false, on: () => this.a.pause() });
    return h("button", { type: "button", class: "btn", "aria-pressed": "true", title: t("js.log.pauseHint"), onclick: () => this.a.pause() }, h("span", { class: "live" }, t("js.log.liveButton")));
  }

  private toggle(iconName: string, text: string, on: boolean, set: (v: boolean) => void, cls: string) {
    const b: HTMLButtonElement = button({
      icon: iconName, text, cls, pressed: on,
      on: () => {
        const v = b.getAttribute("aria-pressed") !== "true";
        b.setAttribute("aria-pressed", String(v));
        set(v);
      },
    });
    return b;
  }

  private panelBar() {
    const sm = "btn btn-quiet btn-sm";
    return h(
      "header",
      { class: "bar" },
      h("h2", null, t("js.log.title")),
      this.state,
      this.choice("seg seg-sm", t("js.log.scope"), [[t("js.log.thisRun"), true], [t("js.log.thisFunction"), false]], false, (v) => this.a.setScope(v)),
      this.filter("q-sm"),
      this.shown,
      h("span", { class: "grow hide-s" }),
      this.pauseButton,
      this.toggle("wrap", t("js.log.wrap"), this.a.wrap, (v) => this.a.setWrap(v), sm + " hide-s"),
      this.zoneButton,
      h("a", { class: sm + " btn-icon", href: this.a.popURL, target: "kiln-log", "aria-label": t("js.log.popOut"), title: t("js.log.popOut") }, icon("pop")),
    );
  }

  private pageBar() {
    const quiet = "btn btn-quiet hide-s";
    return h(
      "div",
      { class: "bar lbar" },
      this.rangePicker(),
      this.a.live ? this.pauseButton : null,
      this.levelButtons(),
      h("span", { class: "grow" }),
      this.choice("seg hide-s", t("js.log.group"), [[t("js.log.byRun"), true], [t("js.log.flat"), false]], this.a.grouped, (v) => this.a.setGrouped(v)),
      this.toggle("wrap", t("js.log.wrap"), this.a.wrap, (v) => this.a.setWrap(v), quiet),
      this.exports(),
      this.a.mode === "pop" ? null : h("a", { class: quiet + " btn-icon", href: this.a.popURL, target: "kiln-log", "aria-label": t("js.log.popOut"), title: t("js.log.popOut") }, icon("pop")),
    );
  }

  private queryBar() {
    return h("div", { class: "bar lq" }, this.filter(""), this.shown, button({ icon: "link", text: t("js.log.copyView"), cls: "btn btn-quiet hide-s", on: () => this.a.copyLink() }));
  }

  // choice is two buttons of which one is pressed.
  private choice(cls: string, label: string, options: [string, boolean][], now: boolean, set: (v: boolean) => void) {
    const all = options.map(([text, v]) =>
      h("button", { type: "button", "aria-pressed": String(v === now), "data-v": String(v), onclick: () => { press(v); set(v); } }, text),
    );
    const press = (v: boolean) => all.forEach((b) => b.setAttribute("aria-pressed", String(b.dataset.v === String(v))));
    return h("div", { class: cls, role: "group", "aria-label": label }, ...all);
  }

  private levelButtons() {
    return h("div", { class: "seg", role: "group", "aria-label": t("js.log.levels") }, ...levelGroups.map((g) => this.levelButton(g)));
  }

  private levelButton(g: (typeof levelGroups)[number]) {
    const count = h("span", { class: "u" });
    this.counts.set(g.name, count);
    const glyph = g.icon ? icon(g.icon, true) : null;
    glyph?.classList.add(g.tone!);
    const b = h("button", { type: "button", "aria-pressed": String(this.a.levels.has(g.levels[0])) }, glyph, t("js.log." + g.name), " ", count);
    b.addEventListener("click", () => {
      const on = !this.a.levels.has(g.levels[0]);
      for (const lv of g.levels) on ? this.a.levels.add(lv) : this.a.levels.delete(lv);
      b.setAttribute("aria-pressed", String(on));
      this.a.setLevels();
    });
    return b;
  }

  private rangePicker() {
    const links = this.a.ranges.map((r) => h("a", { href: r.href, "aria-current": r.current ? "true" : undefined }, r.text));
    return h("details", { class: "menu" }, h("summary", { class: "pick" }, icon("clock"), this.a.rangeText, icon("down", true)), h("div", { class: "menu-b menu-l" }, ...links, this.customRange()));
  }

  private customRange() {
    const at = (ms: number) => new Date(ms - new Date(ms).getTimezoneOffset() * 60000).toISOString().slice(0, 19);
    const from = h("input", { class: "input", type: "datetime-local", step: "1", value: at(this.a.span.from), "aria-label": t("js.log.from") });
    const to = h("input", { class: "input", type: "datetime-local", step: "1", value: at(this.a.span.to || Date.now()), "aria-label": t("js.log.to") });
    const go = (e: Event) => {
      e.preventDefault();
      const u = new URL(location.href);
      u.searchParams.delete("range");
      u.searchParams.set("from", String(+new Date(from.value)));
      u.searchParams.set("to", String(+new Date(to.value)));
      location.assign(u);
    };
    return h("form", { class: "menu-f", onsubmit: go as never }, from, to, h("button", { class: "btn btn-sm", type: "submit" }, t("js.log.show")));
  }

  private exports() {
    const link = (format: string, text: string) => {
      const a = h("a", { href: this.a.exportURL(format), download: true }, text);
      a.addEventListener("click", () => { a.href = this.a.exportURL(format); });
      return a;
    };
    return h("details", { class: "menu hide-s" }, h("summary", { class: "btn btn-quiet" }, icon("down2"), t("js.log.export")), h("div", { class: "menu-b" }, link("text", t("js.log.asText")), link("ndjson", t("js.log.asNDJSON"))));
  }

  private keysHelp() {
    const keys: [string, string][] = [["j k ↑ ↓", "move"], ["Enter", "openLine"], ["← →", "foldKeys"], ["e  c", "foldAll"], ["Space", "pauseKey"], ["End", "toEnd"], ["w", "wrap"], ["/", "filterKey"], ["Esc", "closeLine"]];
    const list = h("dl", { class: "keys" });
    for (const [k, name] of keys) list.append(h("dt", null, h("kbd", null, k)), h("dd", null, t("js.log." + name)));
    return h("details", { class: "menu menu-up hide-s" }, h("summary", { class: "btn btn-quiet btn-sm" }, h("kbd", null, "?"), t("js.log.keys")), h("div", { class: "menu-b" }, list));
  }

  setCounts(byLevel: number[]) {
    for (const g of levelGroups) {
      const n = g.levels.reduce((a, lv) => a + (byLevel[lv] ?? 0), 0);
      const el = this.counts.get(g.name);
      if (el) el.textContent = n.toLocaleString();
    }
  }

  setShown(on: number, all: number, filtered: boolean) {
    const text = filtered ? t("js.log.someLines", { on: on.toLocaleString(), all: all.toLocaleString() }) : t("js.log.allLines", { n: all });
    if (this.shown.textContent !== text) this.shown.textContent = text;
  }

  setState(cls: string, text: string) {
    this.state.className = "lstate " + cls;
    if (this.state.textContent !== text) this.state.textContent = text;
  }

  setHeld(text: string) {
    if (this.held.textContent !== text) this.held.textContent = text;
  }

  setBelow(n: number, paused: boolean) {
    this.below.hidden = n === 0 && !paused;
    if (!this.below.hidden) this.below.replaceChildren(t(paused ? "js.log.pausedNew" : "js.log.newBelow", { n: n.toLocaleString() }), h("kbd", null, "End"));
  }

  setPaused(p: boolean) {
    this.pauseButton.setAttribute("aria-pressed", String(this.a.mode === "panel" ? p : !p));
  }

  setZone() {
    this.zoneButton.textContent = isUTC() ? "UTC" : zone();
  }

  setBad(term: string) {
    this.bad.textContent = term ? t("js.log.badTerm", { term }) : "";
    this.input.setAttribute("aria-invalid", String(!!term));
  }
}
