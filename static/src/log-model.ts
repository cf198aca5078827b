// What the log viewer holds: lines in id order, each once, grouped by invocation, bounded in number and in size.

/** What the list places one below another. i, y-order and h belong to the list. */
export interface Row {
  kind: "line" | "run" | "detail";
  i: number; // index among the rows, −1 when it is not shown
  h: number; // measured height in px, 0 before it was measured
  stale?: boolean; // what is shown of it is out of date
}

export interface Line extends Row {
  kind: "line";
  e: number; // epoch and number within it: the line's id
  q: number;
  at: number; // ms
  lv: number;
  st: number;
  text: string;
  full: number; // bytes of the whole line when text is only its beginning, else 0
  cut: boolean; // the line goes on in the next one
  on: boolean; // passes the filter
  run: Run | null;
  rid: string;
  ver: string;
  worker: string;
  fn: number;
  fname: string;
}

/** A report as the server sends it. */
export interface Report {
  id: string;
  f: number;
  fn: string;
  v: string;
  al?: string;
  src: string;
  at: number; // handler's start, ms
  q: number; // ms
  i: number;
  d: number;
  b: number;
  m: number;
  mm: number;
  cold?: boolean;
  s: string; // status
  et?: string;
  em?: string;
}

/** One invocation with its lines. */
export interface Run extends Row {
  kind: "run";
  id: string;
  at: number; // ms, for the order
  lines: Line[];
  report: Report | null;
  open: boolean;
  on: number; // lines that pass the filter
  fn: number;
  fname: string;
  ver: string;
}

export const mostLines = 200_000;
const mostChars = 96 << 20;
const dropShare = 0.1;

type WireLine = [e: number, q: number, at: number, lv: number, st: number, run: number, text: string, cut?: number, full?: number];
type WireRun = [rid: string, ver: string, worker: string, fn: number, fname: string];

/** Lines as the server sends them, in id order; runs are what the lines name by index. */
export interface LineFrame {
  l?: WireLine[];
  r?: WireRun[];
  p?: Report[];
}

export const failed = (s: string) => s !== "ok" && s !== "running" && s !== "throttled";

export class Model {
  lines: Line[] = [];
  runs: Run[] = [];
  chars = 0;
  on = 0; // lines that pass the filter
  dropped = 0; // lines let go to stay within the bounds
  doubled = 0; // lines that came again and were left out
  private byId = new Map<string, Run>();

  constructor(private accept: (l: Line) => boolean) {}

  get first(): Line | undefined {
    return this.lines[0];
  }
  get last(): Line | undefined {
    return this.lines[this.lines.length - 1];
  }

  /** append takes newer lines; what was here before is left out. It answers the new lines and the first run whose rows changed. */
  append(f: LineFrame, live: boolean): { fresh: Line[]; from: Run | null } {
    let from: Run | null = null;
    const fresh: Line[] = [];
    const last = this.last;
    let e = last?.e ?? -1;
    let q = last?.q ?? -1;
    for (const w of f.l ?? []) {
      if (w[0] < e || (w[0] === e && w[1] <= q)) {
        this.doubled++;
        continue;
      }
      e = w[0];
      q = w[1];
      const l = this.line(w, f.r!, live);
      fresh.push(l);
      this.lines.push(l);
      if (l.run) {
        l.run.lines.push(l);
        l.run.stale = true;
        from = earlier(from, l.run);
      }
    }
    for (const r of f.p ?? []) from = earlier(from, this.report(r, live));
    return { fresh, from };
  }

  /** prepend takes lines that are older than all that are here. */
  prepend(f: LineFrame) {
    const first = this.first;
    const older: Line[] = [];
    for (const w of f.l ?? []) {
      if (first && (w[0] > first.e || (w[0] === first.e && w[1] >= first.q))) break;
      older.push(this.line(w, f.r!, false));
    }
    this.lines = older.concat(this.lines);
    const touched = new Map<Run, Line[]>();
    for (const l of older) {
      if (!l.run) continue;
      const all = touched.get(l.run);
      if (all) all.push(l);
      else touched.set(l.run, [l]);
    }
    for (const [run, ls] of touched) {
      run.lines = ls.concat(run.lines);
      if (!run.report) run.at = Math.min(run.at, ls[0].at);
    }
    for (const r of f.p ?? []) this.report(r, false);
    this.sortRuns();
    return older.length;
  }

  private line(w: WireLine, runs: WireRun[], live: boolean): Line {
    const [rid, ver, worker, fn, fname] = runs[w[5]];
    const l: Line = {
      kind: "line", i: -1, h: 0, e: w[0], q: w[1], at: w[2], lv: w[3], st: w[4], text: w[6], cut: !!w[7], full: w[8] ?? 0,
      on: true, run: null, rid, ver, worker, fn, fname,
    };
    if (rid) l.run = this.run(rid, l.at, fn, fname, ver, live);
    l.on = this.accept(l);
    if (l.on) this.counted(l, 1);
    this.chars += l.text.length;
    return l;
  }

  private run(id: string, at: number, fn: number, fname: string, ver: string, live: boolean): Run {
    let r = this.byId.get(id);
    if (!r) {
      r = { kind: "run", i: -1, h: 0, id, at, lines: [], report: null, open: live, on: 0, fn, fname, ver };
      this.byId.set(id, r);
      this.place(r);
    }
    return r;
  }

  // place puts a run where its time says; nearly always at the end.
  private place(r: Run) {
    let i = this.runs.length;
    while (i > 0 && this.runs[i - 1].at > r.at) i--;
    this.runs.splice(i, 0, r);
  }

  private sortRuns() {
    this.runs.sort((a, b) => a.at - b.at);
  }

  /** report attaches a report to its run. A retry is a run of its own by id and replaces the older attempt's facts. */
  report(p: Report, live: boolean): Run {
    const r = this.run(p.id, p.at - p.i, p.f, p.fn, p.v, live);
    if (p.s === "running" && r.report) return r;
    r.report = p;
    r.ver = p.v;
    r.stale = true;
    if (failed(p.s)) r.open = true;
    return r;
  }

  runOf(id: string): Run | undefined {
    return this.byId.get(id);
  }

  /** refilter decides anew for every line. */
  refilter() {
    this.on = 0;
    for (const r of this.runs) r.on = 0;
    for (const l of this.lines) {
      l.on = this.accept(l);
      if (l.on) this.counted(l, 1);
    }
  }

  private counted(l: Line, by: number) {
    this.on += by;
    if (l.run) l.run.on += by;
  }

  /** trim lets the oldest lines go when there are too many; it says whether it did. */
  trim(): boolean {
    if (this.lines.length <= mostLines && this.chars <= mostChars) return false;
    let n = Math.ceil(this.lines.length * dropShare);
    while (this.lines.length - n > mostLines) n++;
    const gone = this.lines.slice(0, n);
    this.lines = this.lines.slice(n);
    this.dropped += n;
    for (const l of gone) this.forget(l);
    const edge = this.lines[0]?.at ?? Infinity;
    this.runs = this.runs.filter((r) => {
      const keep = r.lines.length > 0 || r.at >= edge;
      if (!keep) this.byId.delete(r.id);
      return keep;
    });
    return true;
  }

  private forget(l: Line) {
    this.chars -= l.text.length;
    if (l.on) this.counted(l, -1);
    if (l.run?.lines[0] === l) l.run.lines.shift();
  }
}

const earlier = (a: Run | null, b: Run) => (!a || b.at < a.at ? b : a);
