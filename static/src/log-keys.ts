// The viewer by keyboard, while its list has the focus.
import type { LogView } from "./log";
import type { Line, Row, Run } from "./log-model";

export function keyboard(v: LogView, el: HTMLElement, signal: AbortSignal) {
  el.addEventListener("keydown", (e) => {
    if (e.ctrlKey || e.metaKey || e.altKey || (e.target as Element).closest("a, button, input, pre")) return;
    const act = keys[e.key];
    if (!act) return;
    e.preventDefault();
    act(v);
  }, { signal });
}

const keys: { [key: string]: (v: LogView) => void } = {
  j: (v) => step(v, 1),
  ArrowDown: (v) => step(v, 1),
  k: (v) => step(v, -1),
  ArrowUp: (v) => step(v, -1),
  Enter: (v) => open(v),
  ArrowRight: (v) => fold(v, true),
  ArrowLeft: (v) => fold(v, false),
  e: (v) => v.expand(true),
  c: (v) => v.expand(false),
  " ": (v) => v.pause(),
  End: (v) => v.toEnd(),
  w: (v) => v.el.querySelector<HTMLButtonElement>('[aria-pressed]:has(use[href$="#i-wrap"])')?.click(),
  Escape: (v) => v.choose(null),
};

function step(v: LogView, by: number) {
  const { rows, el } = v.list;
  const now = v.look.chosen;
  let i = now && now.i >= 0 ? now.i + by : v.list.at(el.scrollTop + (by > 0 ? 0 : el.clientHeight - 1));
  while (rows[i] && rows[i].kind !== "line" && rows[i].kind !== "run") i += by;
  if (rows[i]) v.choose(rows[i]);
}

function open(v: LogView) {
  const r: Row | null = v.look.chosen;
  if (r?.kind === "run") v.toggle(r as Run);
  else if (r?.kind === "line") v.choose(r);
}

function fold(v: LogView, to: boolean) {
  const r = v.look.chosen;
  const run = r?.kind === "run" ? (r as Run) : r?.kind === "line" ? (r as Line).run : null;
  if (!run || run.open === to) return;
  v.toggle(run);
  v.choose(run);
}
