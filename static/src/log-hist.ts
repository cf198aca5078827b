// The histogram above the log: lines by level over the window. Dragging chooses a part of the window; live lines grow the last bars.
import { h, svg } from "./dom";
import { t } from "./i18n";
import { day, minute } from "./log-time";

/** Counts of one period by level 0 … 6. */
export type Counts = number[];

const high = 44;
const wide = 1200;

// From the bottom up, so that what is bad stands on the axis.
const stacks: { levels: number[]; fill: string }[] = [
  { levels: [5, 6], fill: "var(--c-err)" },
  { levels: [4], fill: "var(--c-warn)" },
  { levels: [0, 3], fill: "var(--c-ok)" },
  { levels: [1, 2], fill: "var(--data-5)" },
];

export class Histogram {
  readonly el: HTMLElement;
  private bars = svg("g", {});
  private range = svg("rect", { class: "sel", y: 0, height: high, width: 0 });
  private peak = h("span", { class: "h-y" });
  private axis = h("div", { class: "h-ax" });
  private graph: SVGElement;
  private caption = h("figcaption", { class: "vh" });
  private from = 0;
  private to = 1;
  private counts: Counts[] = [];
  private drawing = 0;

  constructor(private zoom: (from: number, to: number) => void) {
    this.graph = svg("svg", { viewBox: `0 0 ${wide} ${high}`, preserveAspectRatio: "none", class: "histo", role: "img" }, this.bars, this.range);
    this.el = h("figure", { class: "hist-w" }, this.graph, this.peak, this.axis, this.caption);
    this.graph.addEventListener("pointerdown", (e) => this.drag(e as PointerEvent));
  }

  set(from: number, to: number, counts: Counts[]) {
    this.from = from;
    this.to = to;
    this.counts = counts;
    this.draw();
  }

  get totals(): Counts {
    const sum = new Array(7).fill(0);
    for (const c of this.counts) for (let i = 0; i < 7; i++) sum[i] += c[i];
    return sum;
  }

  /** add counts a live line, moving the window on when it is past its end. */
  add(at: number, lv: number) {
    const n = this.counts.length;
    if (!n) return;
    const step = (this.to - this.from) / n;
    while (at >= this.to) this.advance(step);
    const i = Math.floor((at - this.from) / step);
    if (i < 0) return;
    this.counts[i][lv]++;
    this.queue();
  }

  private advance(step: number) {
    this.counts.shift();
    this.counts.push(new Array(7).fill(0));
    this.from += step;
    this.to += step;
  }

  /** moveTo lets time pass when no lines come. */
  moveTo(now: number) {
    const n = this.counts.length;
    const step = (this.to - this.from) / n;
    if (!n || now < this.to) return;
    if (now - this.to > this.to - this.from) this.set(now - (this.to - this.from), now, this.counts.map(() => new Array(7).fill(0)));
    while (now >= this.to) this.advance(step);
    this.queue();
  }

  private queue() {
    this.drawing ||= window.setTimeout(() => {
      this.drawing = 0;
      this.draw();
    }, 200);
  }

  private draw() {
    const sums = this.counts.map((c) => c.reduce((a, b) => a + b, 0));
    const top = Math.max(1, ...sums);
    const w = wide / Math.max(1, this.counts.length);
    this.bars.replaceChildren(...this.counts.flatMap((c, i) => bar(c, i * w, w, top)));
    const seconds = (this.to - this.from) / Math.max(1, this.counts.length) / 1000;
    this.peak.textContent = t("js.log.peak", { n: Math.max(0, ...sums).toLocaleString(), s: +seconds.toPrecision(2) });
    this.label(sums);
  }

  private label(sums: number[]) {
    const long = this.to - this.from > 20 * 3600e3;
    const stamp = (ms: number) => (long ? day(ms) + " " : "") + minute(ms);
    const n = 5;
    this.axis.replaceChildren(...Array.from({ length: n + 1 }, (_, i) => h("span", null, stamp(this.from + ((this.to - this.from) * i) / n))));
    const all = sums.reduce((a, b) => a + b, 0);
    const bad = this.counts.reduce((a, c) => a + c[5] + c[6], 0);
    const text = t("js.log.histogram", { n: all.toLocaleString(), errors: bad.toLocaleString(), from: stamp(this.from), to: stamp(this.to) });
    this.graph.setAttribute("aria-label", text);
    this.caption.textContent = text;
  }

  private drag(e: PointerEvent) {
    const box = this.graph.getBoundingClientRect();
    const share = (x: number) => Math.min(1, Math.max(0, (x - box.left) / box.width));
    const start = share(e.clientX);
    this.graph.setPointerCapture(e.pointerId);
    const paint = (a: number, b: number) => {
      this.range.setAttribute("x", String(Math.min(a, b) * wide));
      this.range.setAttribute("width", String(Math.abs(b - a) * wide));
    };
    const move = (m: PointerEvent) => paint(start, share(m.clientX));
    const up = (u: PointerEvent) => {
      this.graph.removeEventListener("pointermove", move as EventListener);
      this.graph.removeEventListener("pointerup", up as EventListener);
      paint(0, 0);
      const end = share(u.clientX);
      const span = this.to - this.from;
      if (Math.abs(end - start) > 0.005) this.zoom(this.from + span * Math.min(start, end), this.from + span * Math.max(start, end));
    };
    this.graph.addEventListener("pointermove", move as EventListener);
    this.graph.addEventListener("pointerup", up as EventListener);
  }
}

function bar(c: Counts, x: number, w: number, top: number): SVGElement[] {
  const out: SVGElement[] = [];
  let y = high;
  for (const s of stacks) {
    const n = s.levels.reduce((a, lv) => a + c[lv], 0);
    if (!n) continue;
    const tall = Math.max((n / top) * (high - 6), s.levels[0] >= 4 ? 2 : 0.5);
    y -= tall;
    out.push(svg("rect", { x: (x + 0.8).toFixed(1), y: y.toFixed(1), width: Math.max(0.5, w - 1.5).toFixed(1), height: tall.toFixed(1), fill: s.fill }));
  }
  return out;
}

/** ticks draws where errors and warnings are in the whole list: at most one mark per 3 px. */
export function drawTicks(el: HTMLElement, marks: { y: number; error: boolean }[], view: { top: number; share: number }, go: (share: number) => void) {
  const slots = new Map<number, boolean>();
  const n = Math.max(1, Math.floor(el.clientHeight / 3));
  for (const m of marks) {
    const s = Math.min(n - 1, Math.floor(m.y * n));
    slots.set(s, slots.get(s) || m.error);
  }
  const kids: HTMLElement[] = [];
  for (const [s, error] of slots) {
    const i = h("i", { class: error ? "e" : "w" });
    i.style.top = (s / n) * 100 + "%";
    kids.push(i);
  }
  const b = h("b");
  b.style.top = view.top * 100 + "%";
  b.style.height = Math.max(1, view.share * 100) + "%";
  el.replaceChildren(...kids, b);
  el.onclick = (e) => go((e.clientY - el.getBoundingClientRect().top) / el.clientHeight);
}
