// What one chosen line holds: its facts, its fields with + and − for the filter, and its whole text on demand.
import { button, h, icon } from "./dom";
import { t } from "./i18n";
import type { Line } from "./log-model";
import { termFor } from "./log-query";
import { bytes, levelNames, version } from "./log-render";
import { clipAt, record, show, visible, type Field } from "./log-text";
import { clock, exact } from "./log-time";
import { notice } from "./page";

export interface DetailActions {
  runLink(l: Line): string;
  permalink(l: Line): string;
  addTerm(term: string): void;
  context(l: Line): void;
  whole(l: Line): Promise<string>;
  copy(text: string): void;
  close(): void;
}

const longest = 200; // fields

/** detail builds the panel. */
export function detail(l: Line, a: DetailActions): HTMLElement {
  const body = h("div", { class: "line-b" }, facts(l, a), actions(l, a));
  const rec = l.full ? null : record(l.text);
  if (rec?.all.length) body.append(h("h3", null, t("js.log.fields")), fields(rec.all, a));
  else body.append(whole(l, a));
  return h("aside", { class: "line", "aria-label": t("js.log.chosen"), onclick: (e: Event) => e.stopPropagation() }, head(l, a), body);
}

function head(l: Line, a: DetailActions) {
  const small = "btn btn-quiet btn-sm btn-icon";
  return h(
    "header",
    { class: "bar" },
    h("h2", null, t("js.log.line")),
    h("time", { class: "mono sub", title: exact(l.at) }, clock(l.at)),
    h("span", { class: "grow" }),
    button({ icon: "copy", label: t("js.log.copyLine"), cls: small, on: () => void a.whole(l).then(a.copy) }),
    button({ icon: "link", label: t("js.log.copyLink"), cls: small, on: () => a.copy(a.permalink(l)) }),
    button({ icon: "x", label: t("js.log.closeLine"), cls: small, on: () => a.close() }),
  );
}

function facts(l: Line, a: DetailActions) {
  const kv = h("dl", { class: "kv" });
  const add = (name: string, value: Node | string) => kv.append(h("dt", null, t("js.log." + name)), h("dd", null, value));
  if (l.lv) add("level", level(l));
  if (l.rid) add("invocation", h("a", { class: "link mono", href: a.runLink(l) }, l.rid.slice(0, 8)));
  add("version", version(l.ver));
  if (l.worker) add("worker", h("span", { class: "mono" }, visible(l.worker)));
  add("stream", t("js.stream." + l.st));
  return kv;
}

function level(l: Line) {
  const cls = l.lv >= 5 ? "st st-err" : l.lv === 4 ? "st st-warn" : "st";
  return h("span", { class: cls }, l.lv >= 5 ? icon("err") : l.lv === 4 ? icon("warn") : null, levelNames[l.lv]);
}

function actions(l: Line, a: DetailActions) {
  return h(
    "div",
    { class: "acts" },
    l.rid ? h("a", { class: "btn btn-sm", href: a.runLink(l) }, icon("inv"), t("js.log.openRun")) : null,
    button({ text: t("js.log.context"), cls: "btn btn-sm", on: () => a.context(l) }),
  );
}

function fields(all: Field[], a: DetailActions) {
  const list = h("ul", { class: "flds" }, ...all.slice(0, longest).map((f) => field(f, a)));
  if (all.length > longest) list.append(h("li", null, t("js.log.moreFields", { n: all.length - longest })));
  return list;
}

function field(f: Field, a: DetailActions) {
  const kind = typeof f.value === "string" ? " s" : typeof f.value === "number" ? " m" : "";
  const plain = f.value === null || typeof f.value !== "object";
  const text = plain ? (typeof f.value === "string" ? JSON.stringify(f.value) : String(f.value)) : JSON.stringify(f.value, null, 2);
  const value = h("span", { class: "mono v" + kind }, visible(text.slice(0, clipAt)) + (text.length > clipAt ? "…" : ""));
  const short = show(f.value);
  const usable = plain && short.length <= 500;
  return h("li", null, h("span", { class: "mono k" }, visible(f.key)), value, usable ? plusMinus(f, a) : h("span"));
}

function plusMinus(f: Field, a: DetailActions) {
  const cls = "btn btn-quiet btn-sm btn-icon";
  return h(
    "span",
    { class: "pm" },
    button({ icon: "plus", label: t("js.log.only", { field: f.key }), cls, on: () => a.addTerm(termFor(f.key, f.value, false)) }),
    button({ icon: "minus", label: t("js.log.without", { field: f.key }), cls, on: () => a.addTerm(termFor(f.key, f.value, true)) }),
  );
}

function whole(l: Line, a: DetailActions) {
  const pre = h("pre", { class: "code code-12 code-box whole", tabindex: "0" }, visible(l.text.slice(0, clipAt)));
  if ((l.full || l.text.length) <= clipAt) return pre;
  const more = button({
    text: t("js.log.showAll", { size: bytes(l.full || l.text.length) }), cls: "btn btn-sm",
    on: () => void a.whole(l).then((text) => { pre.textContent = visible(text); more.remove(); }, () => notice(t("js.log.lineAway"), "err")),
  });
  return h("div", { class: "whole-w" }, pre, more);
}
