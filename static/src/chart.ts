// One chart: uPlot with Kiln's colours, its own legend and tip, marks of changes and a chosen period. All charts of a page share the x axis and the cursor.
import uPlot from "uplot";
import { h } from "./dom";
import { clock, day, minute } from "./log-time";

export type Values = (number | null)[];

/** One line or set of bars. */
export interface SeriesSpec {
  name: string; // of the data
  label: string;
  color: string; // a token, for example "--data-1"
  kind: "line" | "area" | "bars" | "step" | "dash";
  off?: boolean; // not shown until somebody asks for it
  unit?: string;
  digits?: number;
  title?: string; // more about the key
  constant?: boolean; // has the same value everywhere
}

export interface ChartSpec {
  series: SeriesSpec[];
  unit: string; // beside the heading
  log?: boolean;
  gutter?: number; // px for the numbers at the left
  top?: number; // the axis goes up to it at least
  bottom?: number; // fixed lower end
  stack?: boolean; // bars stand on each other, the first one lowest
}

/** What a window of charts holds. */
export interface ChartData {
  t: number[]; // seconds
  from: number;
  to: number;
  step: number;
  values: { [name: string]: Values };
}

export interface ChartLink {
  marks: { at: number }[];
  chosen: number | null; // index
  choose(i: number): void;
}

const height = 150;
const farAbove = 5; // a limit that is farther above the values than this is named only: drawn, it would flatten them
const token = (name: string) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

export class Chart {
  private plot: uPlot | null = null;
  private tip = h("div", { class: "tip", hidden: true });
  private keys: HTMLElement;
  private off: Set<string>;
  private data: ChartData | null = null;
  private watcher: ResizeObserver;
  private wide = 0;

  constructor(private el: HTMLElement, private spec: ChartSpec, private link: ChartLink) {
    this.off = new Set(spec.series.filter((s) => s.off).map((s) => s.name));
    this.keys = el.querySelector("header .sub")!;
    this.place.append(this.tip);
    this.watcher = new ResizeObserver(() => this.resized());
    this.watcher.observe(this.place);
  }

  private get place() {
    return this.el.querySelector<HTMLElement>(".cw")!;
  }

  /** setUnit changes the text beside the heading. */
  setUnit(text: string, more = text) {
    const el = this.el.querySelector<HTMLElement>("header .u")!;
    el.textContent = text;
    el.title = more;
  }

  /** set shows data; a new shape makes the chart anew, new values only move it. */
  set(d: ChartData) {
    const same = this.plot && this.data?.step === d.step && this.data.t.length === d.t.length;
    this.data = d;
    this.drawKeys();
    if (!same) return this.rebuild();
    this.plot!.setData(this.columns(), false);
    this.plot!.setScale("x", { min: d.from, max: d.to });
    this.fitY();
    this.label();
  }

  redraw() {
    this.plot?.redraw(false);
  }

  destroy() {
    this.watcher.disconnect();
    this.plot?.destroy();
  }

  private resized() {
    const w = this.place.clientWidth;
    if (!w || w === this.wide) return;
    this.wide = w;
    if (this.plot) this.plot.setSize({ width: w, height });
    else if (this.data) this.rebuild();
  }

  /** rebuild draws with the colours of now. */
  rebuild() {
    if (!this.data || !this.place.clientWidth) return;
    this.plot?.destroy();
    this.wide = this.place.clientWidth;
    this.plot = new uPlot(this.options(), this.columns(), this.place);
    this.plot.over.addEventListener("click", (e) => this.clicked(e));
    this.fitY();
    this.label();
  }

  // clicked chooses the period under the pointer. Points stand at the beginning of their period.
  private clicked(e: MouseEvent) {
    const at = this.plot!.posToVal(e.offsetX, "x");
    const d = this.data!;
    this.link.choose(Math.max(0, Math.min(d.t.length - 1, Math.floor((at - d.t[0]) / d.step))));
  }

  // columns are the data as uPlot takes them; stacked bars are sums, drawn from the tallest to the lowest.
  private columns(): uPlot.AlignedData {
    const d = this.data!;
    const all = this.spec.series.map((s) => d.values[s.name] ?? d.t.map(() => null));
    if (this.spec.stack) {
      const bars = this.spec.series.map((s, i) => (s.kind === "bars" ? i : -1)).filter((i) => i >= 0);
      // A part that is nothing is not drawn: its colour would shine through at the edges of the ones before it.
      const below = d.t.map(() => 0);
      for (const k of bars.reverse()) all[k] = all[k].map((v, j) => (v ? (below[j] += v) : null));
    }
    return [d.t, ...all] as uPlot.AlignedData;
  }

  // fitY fits the axis to what is shown; it starts at 0 unless it is logarithmic.
  private fitY() {
    let most = this.spec.top ?? 0;
    let least = Infinity;
    this.plot!.series.forEach((s, i) => {
      if (i === 0 || !s.show || this.spec.series[i - 1].constant) return;
      for (const v of this.plot!.data[i] as Values) {
        if (v === null || v === undefined) continue;
        if (v > most) most = v;
        if (v > 0 && v < least) least = v;
      }
    });
    for (const s of this.spec.series) {
      const v = s.constant ? (this.data!.values[s.name]?.[0] ?? 0) : 0;
      if (v <= most * farAbove) most = Math.max(most, v);
    }
    if (this.spec.log) {
      const lo = least === Infinity ? 1 : least;
      return this.plot!.setScale("y", { min: lo / 1.6, max: Math.max(most, lo * 4) * 1.4 });
    }
    this.plot!.setScale("y", { min: this.spec.bottom ?? 0, max: this.spec.bottom !== undefined ? (this.spec.top ?? 100) : nice(most) });
  }

  private options(): uPlot.Options {
    const axis = { stroke: token("--ink-3"), font: `11px ${token("--font-ui")}`, ticks: { show: false }, border: { show: false } };
    const d = this.data!;
    return {
      width: this.wide,
      height,
      legend: { show: false },
      padding: [10, 18, 0, 0],
      cursor: { sync: { key: "kiln" }, y: false, points: { show: false }, drag: { x: false, y: false } },
      scales: { x: { time: true, auto: false, range: () => [this.data!.from, this.data!.to] }, y: { auto: false, distr: this.spec.log ? 3 : 1 } },
      axes: [
        { ...axis, size: 22, gap: 4, grid: { show: false }, space: d.to - d.from <= 600 ? 56 : 72, values: (_, ticks) => ticks.map((s) => stamp(s, d)) },
        { ...axis, size: this.spec.gutter ?? 46, gap: 6, space: 30, grid: { stroke: token("--line"), width: 1 }, values: (_, ticks) => ticks.map((v) => (v === null ? "" : axisNumber(v))), ...(this.spec.log ? { splits: logSplits, filter: (_: uPlot, all: number[]) => all } : {}) },
      ],
      series: [{}, ...this.spec.series.map((s) => this.series(s))],
      hooks: { draw: [(u) => this.drawMarks(u)], setCursor: [(u) => this.showTip(u)] },
    };
  }

  private series(s: SeriesSpec): uPlot.Series {
    const color = token(s.color);
    const base: uPlot.Series = { label: s.label, show: !this.off.has(s.name), stroke: color, width: 1.5, spanGaps: false, points: { show: s.kind === "line" || s.kind === "area" ? isolated : false, size: 4, fill: color } };
    if (s.kind === "bars") return { ...base, fill: color, width: 0, paths: uPlot.paths.bars!({ size: [0.78, 40], align: 1 }) };
    if (s.kind === "step") return { ...base, fill: withAlpha(color, 0.16), paths: uPlot.paths.stepped!({ align: 1 }) };
    if (s.kind === "dash") return { ...base, width: 1, dash: [4, 3], points: { show: false } };
    if (s.kind === "area") return { ...base, fill: withAlpha(color, 0.16) };
    return base;
  }

  // drawMarks draws the changes as dashes and the chosen period as a band.
  private drawMarks(u: uPlot) {
    const { ctx } = u;
    const { left, top, width, height: tall } = u.bbox;
    ctx.save();
    ctx.beginPath();
    ctx.rect(left, top, width, tall);
    ctx.clip();
    const i = this.link.chosen;
    if (i !== null && this.data!.t[i] !== undefined) {
      const a = u.valToPos(this.data!.t[i], "x", true);
      const b = u.valToPos(this.data!.t[i] + this.data!.step, "x", true);
      ctx.fillStyle = withAlpha(token("--ink"), 0.14);
      ctx.fillRect(a, top, Math.max(2, b - a), tall);
    }
    ctx.strokeStyle = token("--ink-3");
    ctx.setLineDash([2 * devicePixelRatio, 3 * devicePixelRatio]);
    ctx.lineWidth = devicePixelRatio;
    ctx.beginPath();
    for (const m of this.link.marks) {
      const x = Math.round(u.valToPos(m.at, "x", true)) + 0.5;
      ctx.moveTo(x, top);
      ctx.lineTo(x, top + tall);
    }
    ctx.stroke();
    ctx.restore();
  }

  private showTip(u: uPlot) {
    const i = u.cursor.idx;
    const inside = u.over.matches(":hover");
    this.tip.hidden = !inside || i === null || i === undefined;
    if (this.tip.hidden) return;
    const d = this.data!;
    const list = h("dl");
    for (const s of this.spec.series) {
      if (this.off.has(s.name)) continue;
      const v = d.values[s.name]?.[i!];
      list.append(h("dt", null, s.label), h("dd", null, v === null || v === undefined ? "–" : number(v, s)));
    }
    this.tip.replaceChildren(h("b", null, periodText(d, i!)), list);
    const x = u.valToPos(d.t[i!], "x") + (this.spec.gutter ?? 46);
    const right = x > this.wide / 2;
    this.tip.style.left = right ? "auto" : `${x + 14}px`;
    this.tip.style.right = right ? `${this.wide - x + 8}px` : "auto";
    this.tip.style.top = "6px";
  }

  private drawKeys() {
    if (this.keys.childElementCount) return;
    this.keys.replaceChildren(...this.spec.series.map((s) => this.key(s)));
  }

  private key(s: SeriesSpec) {
    const cls = "key" + (s.kind === "bars" ? " sq" : s.kind === "dash" ? " da" : "");
    const b = h("button", { type: "button", class: cls, "aria-pressed": String(!this.off.has(s.name)), title: s.title, onclick: () => this.toggle(s, b) }, s.label);
    b.style.setProperty("--c", `var(${s.color})`);
    return b;
  }

  /** setKey changes a key's words, for what is only known with the data. */
  setKey(name: string, label: string) {
    const i = this.spec.series.findIndex((s) => s.name === name);
    if (i < 0) return;
    this.spec.series[i].label = label;
    this.drawKeys();
    this.keys.children[i].textContent = label;
  }

  private toggle(s: SeriesSpec, b: HTMLElement) {
    const show = this.off.has(s.name);
    if (show) this.off.delete(s.name);
    else this.off.add(s.name);
    b.setAttribute("aria-pressed", String(show));
    this.plot?.setSeries(this.spec.series.indexOf(s) + 1, { show });
    if (this.plot) this.fitY();
  }

  // label says in words what the picture shows.
  private label() {
    const d = this.data!;
    const parts = this.spec.series.filter((s) => !this.off.has(s.name)).map((s) => {
      const v = (d.values[s.name] ?? []).filter((x): x is number => x !== null);
      return v.length ? `${s.label}: ${number(Math.min(...v), s)} – ${number(Math.max(...v), s)}` : "";
    });
    const canvas = this.plot!.root.querySelector("canvas")!;
    canvas.setAttribute("role", "img");
    canvas.setAttribute("aria-label", `${this.el.getAttribute("aria-label")}, ${stamp(d.from, d)} – ${stamp(d.to, d)}. ${parts.filter(Boolean).join(", ")}`);
  }
}

// isolated shows a point where a value has gaps on both sides: a line of one point cannot be seen.
function isolated(u: uPlot, i: number): boolean {
  const v = u.data[i] as Values;
  const some = v.filter((x) => x !== null).length;
  return some > 0 && some < v.length / 2;
}

const splits125 = [1, 2, 5, 10];

/** nice is a round number at or above v. */
export function nice(v: number): number {
  if (v <= 0) return 1;
  const p = 10 ** Math.floor(Math.log10(v));
  return splits125.find((s) => s * p >= v * 1.02)! * p;
}

function logSplits(_: uPlot, __: number, min: number, max: number): number[] {
  const out: number[] = [];
  for (let p = 10 ** Math.floor(Math.log10(min)); p <= max; p *= 10) for (const s of [1, 3]) if (s * p >= min && s * p <= max) out.push(s * p);
  return out;
}

function withAlpha(color: string, a: number): string {
  return `color-mix(in srgb, ${color} ${a * 100}%, transparent)`;
}

const axisNumber = (v: number) => (v !== 0 && Math.abs(v) < 0.01 ? v.toFixed(Math.min(8, 1 - Math.floor(Math.log10(Math.abs(v))))).replace(/0+$/, "") : v >= 10000 ? Math.round(v / 1000) + "k" : String(+v.toPrecision(3)));

function number(v: number, s: SeriesSpec): string {
  const text = s.digits !== undefined ? v.toFixed(s.digits) : v < 10 && !Number.isInteger(v) ? v.toFixed(1) : Math.round(v).toLocaleString();
  return s.unit === "$" ? "$" + text : s.unit ? `${text} ${s.unit}` : text;
}

/** stamp is a time on the axis: with seconds, minutes or the day, as the window needs. */
export function stamp(s: number, d: { from: number; to: number }): string {
  const ms = s * 1000;
  const span = d.to - d.from;
  if (span <= 600) return clock(ms).slice(0, 8);
  if (span <= 86400) return minute(ms);
  return span <= 3 * 86400 ? day(ms) + " " + minute(ms) : day(ms);
}

/** periodText is the period of one point. */
export function periodText(d: ChartData, i: number): string {
  const end = d.t[i] + d.step;
  const long = d.to - d.from > 86400;
  const text = (s: number) => (long ? day(s * 1000) + " " : "") + (d.step < 60 ? clock(s * 1000).slice(0, 8) : minute(s * 1000));
  return `${text(d.t[i])} – ${text(end)}`;
}
