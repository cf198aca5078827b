// Rows of the log as elements. Everything that a function wrote goes through `visible` and becomes a text node.
import { h, icon } from "./dom";
import { t } from "./i18n";
import { failed, type Line, type Report, type Row, type Run } from "./log-model";
import { clipAt, linkTo, places, record, show, visible } from "./log-text";
import { clock, day, exact, seconds } from "./log-time";

/** How rows are shown. */
export interface Look {
  grouped: boolean;
  wrap: boolean;
  days: boolean; // the window is longer than a day: times need their date
  all: boolean; // more than one function
  mark: RegExp | null;
  chosen: Row | null;
  link: { run(r: Run): string };
  toggle(r: Run): void;
  more(l: Line): void;
  detail(): HTMLElement;
}

export const levelNames = ["", "TRACE", "DEBUG", "INFO", "WARN", "ERROR", "FATAL"];

export function render(r: Row, k: Look): HTMLElement {
  switch (r.kind) {
    case "run":
      return runRow(r as Run, k);
    case "detail":
      return k.detail();
    default:
      return lineRow(r as Line, k);
  }
}

const time = (ms: number, short: boolean, days: boolean) =>
  h("time", { role: "gridcell", title: exact(ms) }, short ? seconds(ms) : (days ? day(ms) + " " : "") + clock(ms));

function lineRow(l: Line, k: Look) {
  const tone = l.lv >= 5 ? " e" : l.lv === 4 ? " w" : l.st === 3 ? " sys" : "";
  const under = k.grouped && l.run !== null;
  return h(
    "div",
    { class: "lg" + tone + (under ? "" : " top"), role: "row", "aria-selected": k.chosen === l ? "true" : undefined, id: rowId(l) },
    time(l.at, under, k.days),
    h("span", { class: "lv", role: "gridcell" }, l.lv >= 5 ? icon("err") : l.lv === 4 ? icon("warn") : null, levelNames[l.lv]),
    message(l, k),
  );
}

export const rowId = (l: Line) => `l${l.e}-${l.q}`;

function message(l: Line, k: Look): HTMLElement {
  const el = h("span", { class: k.wrap ? "msg" : "msg one", role: "gridcell" });
  if (!k.grouped || k.all) tag(el, l, k);
  const rec = l.full ? null : record(l.text);
  let text = rec ? rec.message : l.text;
  if (text.length > clipAt) text = text.slice(0, clipAt);
  paragraphs(el, text, l, k);
  if (rec) for (const f of rec.fields) field(el, f.key, show(f.value), k);
  clipped(el, l, k);
  return el;
}

// tag names the invocation (and the function) of a line that does not stand below its invocation.
function tag(el: HTMLElement, l: Line, k: Look) {
  if (k.all) el.append(h("span", { class: "fd fn" }, l.fname), " ");
  if (!k.grouped && l.run) el.append(h("a", { class: "fd rid", href: k.link.run(l.run) }, l.rid.slice(0, 6)), " ");
}

function paragraphs(el: HTMLElement, text: string, l: Line, k: Look) {
  const lines = text.split("\n");
  if (!k.wrap && lines.length > 1) {
    words(el, lines[0], l, k);
    el.append(h("span", { class: "fd" }, " ", t("js.log.moreRows", { n: lines.length - 1 })));
    return;
  }
  lines.forEach((s, i) => {
    const to = i === 0 ? el : el.appendChild(h("span", { class: "stack" }));
    words(to, i === 0 ? s : s.replace(/^ {2,4}/, ""), l, k);
  });
}

// words appends text with its links to files and its matches marked.
function words(el: HTMLElement, text: string, l: Line, k: Look) {
  let at = 0;
  for (const p of places(text)) {
    if (p.start < at) continue;
    marked(el, text.slice(at, p.start), k.mark);
    el.append(h("a", { class: "fr", href: linkTo(l.fname, p) }, visible(p.file) + ":" + p.line + (p.column ? ":" + p.column : "")));
    at = p.end;
  }
  marked(el, text.slice(at), k.mark);
}

function marked(el: HTMLElement, text: string, mark: RegExp | null) {
  let at = 0;
  if (mark) {
    for (const m of text.matchAll(mark)) {
      if (!m[0]) break;
      el.append(visible(text.slice(at, m.index)), h("mark", null, visible(m[0])));
      at = m.index + m[0].length;
    }
  }
  if (at < text.length) el.append(visible(text.slice(at)));
}

function field(el: HTMLElement, key: string, value: string, k: Look) {
  const v = h("b");
  marked(v, value.length > 240 ? value.slice(0, 240) + "…" : value, k.mark);
  el.append(" ", h("span", { class: "fd" }, visible(key) + "=", v));
}

function clipped(el: HTMLElement, l: Line, k: Look) {
  const size = l.full || l.text.length;
  if (size > clipAt) {
    el.append(" ", h("button", { type: "button", class: "more", onclick: (e: Event) => { e.stopPropagation(); k.more(l); } }, t("js.log.showAll", { size: bytes(size) })));
  }
  if (l.cut) el.append(h("span", { class: "fd" }, " ", t("js.log.goesOn")));
}

/** bytes is a size with its unit. */
export function bytes(n: number): string {
  if (n < 1024) return n + " B";
  return n < 1 << 20 ? (n / 1024).toFixed(n < 10240 ? 1 : 0) + " KB" : (n / (1 << 20)).toFixed(1) + " MB";
}

const sourceIcons: { [source: string]: string } = { test: "play", api: "globe", url: "globe", schedule: "cal", replay: "replay", function: "fn" };

function runRow(r: Run, k: Look) {
  const p = r.report;
  const bad = p && failed(p.s);
  const state = t(r.open ? "js.log.close" : "js.log.open", { id: r.id.slice(0, 6) });
  return h(
    "div",
    { class: "inv-row" + (bad ? " bad" : ""), role: "row", "aria-expanded": String(r.open), "aria-selected": k.chosen === r ? "true" : undefined, id: "r" + r.id },
    cell("tw-c", h("button", { class: "tw", type: "button", "aria-label": state, tabindex: -1, onclick: (e: Event) => { e.stopPropagation(); k.toggle(r); } }, icon(r.open ? "down" : "right", true))),
    time(p ? p.at - p.i : r.at, false, k.days),
    cell("id", h("a", { href: k.link.run(r), tabindex: -1 }, r.id.slice(0, 6))),
    k.all ? cell("meta c-fn", r.fname) : null,
    cell("meta c-ver", version(r.ver)),
    cell("meta c-src", p ? icon(sourceIcons[p.src] ?? "bolt") : null, p ? t("js.source." + p.src) : ""),
    cell("c-st", status(p)),
    ...facts(p),
    cell("meta c-n", t("js.log.lines", { n: r.lines.length })),
  );
}

const cell = (cls: string, ...kids: (Node | string | null)[]) => h("span", { class: cls, role: "gridcell" }, ...kids);

export const version = (v: string) => (v === "$LATEST" ? "latest" : v === "$DRAFT" ? t("js.draft") : "v" + v);

/** status is a run's state with its icon and word. */
export function status(p: Report | null): HTMLElement {
  if (!p) return h("span", { class: "st" }, t("js.status.unknown"));
  if (p.s === "running") return h("span", { class: "st" }, h("i", { class: "spin" }), t("js.status.running"));
  if (p.s === "ok") return h("span", { class: "st st-ok" }, icon("check"), "OK");
  if (p.s === "throttled") return h("span", { class: "st st-warn chip" }, icon("warn"), t("js.status.throttled"));
  return h("span", { class: "st st-err chip" }, icon("err"), t("js.status." + p.s));
}

function facts(p: Report | null): HTMLElement[] {
  if (!p || p.s === "running") return [cell("c-ms"), cell("meta c-cold"), cell("meta c-mem")];
  const bar = h("i");
  bar.style.width = Math.min(100, (Math.log10(p.d + 1) / 4) * 100) + "%";
  const ms = p.d < 10 ? p.d.toFixed(1) : Math.round(p.d).toLocaleString();
  return [
    cell("c-ms", h("b", null, ms), " ms", h("span", { class: "dbar", "aria-hidden": "true" }, bar)),
    p.cold ? cell("meta c-cold", h("span", { class: "cold" }, t("js.cold")), " init ", h("b", null, String(Math.round(p.i))), " ms") : cell("meta c-cold", t("js.warm")),
    cell("meta c-mem", h("b", null, String(p.mm)), "/" + p.m + " MB"),
  ];
}
