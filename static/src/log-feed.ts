// Where the viewer's lines come from: the websocket for what is new, the store's pages for what is older.
import { subscribe, type Frame, type SocketState } from "./socket";
import type { Line, LineFrame } from "./log-model";

/** The part of time that a viewer looks at. to is 0 while it is live. */
export interface Span {
  from: number; // ms, 0 for open
  to: number;
}

export interface FeedOptions {
  fn: string; // "" for all functions
  base: string; // address of the pages of lines
  request: string; // only this invocation, "" for all
  span(): Span;
  last(): Line | undefined;
  first(): Line | undefined;
  onLines(f: LineFrame & { now?: number }, how: "live" | "first" | "older"): void;
  onHealth(h: Health): void;
  onState(s: SocketState | "past", message?: string): void;
}

/** How the way to the database does. */
export interface Health {
  spooling: boolean;
  behind: number; // ms by which the oldest line that is not kept yet is old
}

const firstLines = 2000;
const page = 5000;

/** lineId is a line's id as the server writes it. */
export const lineId = (l: { e: number; q: number }) => `${l.e}-${l.q}`;

export class Feed {
  /** Older lines may be there. */
  more = true;
  loading = false;
  private stop: (() => void) | null = null;
  private started = false;

  constructor(private o: FeedOptions) {}

  live() {
    this.stop = subscribe({
      topic: "logs",
      fn: this.o.fn,
      where: () => this.where(),
      onFrame: (f) => this.heard(f),
      onState: (s, m) => this.o.onState(s, m),
    });
  }

  private where(): Record<string, string | number> {
    const last = this.o.last();
    const request = this.o.request;
    if (last) return { request, after: lineId(last) };
    return { request, newest: firstLines, from: Math.floor(this.o.span().from) };
  }

  private heard(f: Frame & LineFrame) {
    if (f.k === "health") return this.o.onHealth(f as unknown as Health);
    const first = !this.started;
    this.started = true;
    if (first) this.more = (f.l?.length ?? 0) >= firstLines || !f.l?.length;
    this.o.onLines(f, first ? "first" : "live");
  }

  close() {
    this.stop?.();
    this.stop = null;
  }

  /** past reads the newest lines of a window that has ended. */
  async past(around = "") {
    this.o.onState("past");
    const f = await this.read(around ? { around, limit: "2000" } : { limit: String(firstLines) });
    this.more = !!f.more;
    this.o.onLines(f, "first");
  }

  /** older reads the page before the oldest line that is held; false when there is none or one is being read. */
  async older(): Promise<boolean> {
    if (this.loading || !this.more) return false;
    this.loading = true;
    try {
      const first = this.o.first();
      const f = await this.read(first ? { before: lineId(first), limit: String(page) } : { limit: String(page) });
      this.more = !!f.more;
      this.o.onLines(f, "older");
      return true;
    } catch {
      return false;
    } finally {
      this.loading = false;
    }
  }

  private async read(q: Record<string, string>): Promise<LineFrame & { more?: boolean }> {
    const span = this.o.span();
    const all = new URLSearchParams(q);
    if (span.from) all.set("from", String(Math.floor(span.from)));
    if (span.to) all.set("to", String(Math.ceil(span.to)));
    if (this.o.request) all.set("request", this.o.request);
    const r = await fetch(`${this.o.base}/lines?${all}`, { headers: { Accept: "application/json" } });
    if (!r.ok) throw new Error(String(r.status));
    return r.json();
  }

  /** counts reads the histogram of the window. */
  async counts(from: number, to: number, buckets: number): Promise<number[][]> {
    const q = new URLSearchParams({ from: String(Math.floor(from)), to: String(Math.ceil(to)), buckets: String(buckets) });
    if (this.o.request) q.set("request", this.o.request);
    const r = await fetch(`${this.o.base}/histogram?${q}`, { headers: { Accept: "application/json" } });
    return r.ok ? r.json() : [];
  }

  /** whole reads a line that came shortened; it fails while the line is on its way to the store. */
  async whole(l: Line): Promise<string> {
    if (!l.full) return l.text;
    const r = await fetch(`${this.o.base}/line?id=${lineId(l)}`);
    if (!r.ok) throw new Error(String(r.status));
    return r.text();
  }
}
