// How a viewer is asked for: data-… attributes of its element, and what the address remembers.
import { t } from "./i18n";

export interface LogOptions {
  mode: "page" | "panel" | "pop";
  fn: string; // "" for all functions
  base: string; // address of the page of this log
  request: string; // only this invocation
  from: number; // ms
  to: number; // ms, 0 while live
  line: string; // to show first
  query: string;
  levels: number[] | null;
  grouped: boolean;
  wrap: boolean;
}

const seconds = [300, 900, 3600, 3 * 3600, 12 * 3600, 86400, 7 * 86400];
const usual = 900;

/** optionsOf reads an element's attributes and, except in a panel, the address. */
export function optionsOf(el: HTMLElement): LogOptions {
  const d = el.dataset;
  const mode = (d.mode as LogOptions["mode"]) ?? "page";
  const q = new URLSearchParams(mode === "panel" ? "" : location.search);
  const fn = d.function ?? "";
  const from = Number(q.get("from")) || Date.now() - (Number(q.get("range")) || usual) * 1000;
  return {
    mode, fn, from, base: d.base ?? (fn ? `/functions/${encodeURIComponent(fn)}/logs` : "/logs"),
    request: d.request ?? q.get("request") ?? "",
    to: Number(q.get("to")) || 0,
    line: q.get("line") ?? "",
    query: q.get("q") ?? "",
    levels: q.get("levels") ? [...q.get("levels")!].map(Number) : null,
    grouped: q.get("group") !== "flat",
    wrap: q.get("wrap") !== "0",
  };
}

/** ranges are the choices of the range picker and what it shows. */
export function ranges(o: LogOptions) {
  const now = Number(new URLSearchParams(location.search).get("range")) || (o.to ? 0 : usual);
  const all = seconds.map((s) => {
    const u = new URL(location.href);
    for (const name of ["from", "to", "line"]) u.searchParams.delete(name);
    u.searchParams.set("range", String(s));
    return { href: u.pathname + u.search, text: t("js.log.last", { span: t("js.range." + s) }), current: s === now && !o.to };
  });
  const stamp = (ms: number) => new Date(ms).toLocaleString(document.documentElement.lang, { month: "short", day: "numeric", hour: "2-digit", minute: "2-digit", hour12: false });
  const text = o.to ? `${stamp(o.from)} – ${stamp(o.to)}` : t("js.log.last", { span: t("js.range." + now) });
  return { ranges: all, rangeText: text, span: { from: o.from, to: o.to } };
}
