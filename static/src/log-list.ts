// A virtual list for rows of different heights. It knows nothing of logs: it asks for an estimate and for an element, measures what it shows,
// and keeps what a person looks at in its place while rows come and go above it.
import type { Row } from "./log-model";

export interface ListOptions {
  /** Makes the estimate of rows' heights in a list of this width. */
  estimator(width: number): (r: Row) => number;
  render(r: Row): HTMLElement;
  onScroll(): void;
}

const overscan = 240; // px above and below
const mostHeight = 30_000_000; // browsers stop near 33.5 million px

export class List {
  rows: Row[] = [];
  follow = true;
  private ends = new Float64Array(1024); // ends[i]: bottom of row i
  private shown = new Map<Row, HTMLElement>();
  private canvas = document.createElement("div");
  private queued = 0;
  private top = 0;
  private width = 0;

  constructor(readonly el: HTMLElement, private o: ListOptions) {
    this.canvas.className = "lg-canvas";
    el.replaceChildren(this.canvas);
    el.addEventListener("scroll", () => this.scrolled(), { passive: true });
    new ResizeObserver(() => this.resized()).observe(el);
  }

  get height() {
    return this.rows.length ? this.ends[this.rows.length - 1] : 0;
  }

  topOf(i: number) {
    return i > 0 ? this.ends[i - 1] : 0;
  }

  /** setRows replaces the rows from index `from` on; what is in view stays where it is. */
  setRows(rows: Row[], from = 0) {
    const anchor = this.anchor();
    for (let i = from; i < this.rows.length; i++) this.rows[i].i = -1;
    for (let i = from; i < rows.length; i++) rows[i].i = i;
    this.rows = rows;
    this.layout(from);
    for (const [r, el] of this.shown) if (r.stale || r.i < 0 || this.rows[r.i] !== r) this.drop(r, el);
    this.settle(anchor);
  }

  /** refresh renders rows anew: all that are shown, or one. */
  refresh(r?: Row) {
    if (r) {
      const el = this.shown.get(r);
      if (el) this.drop(r, el);
    } else for (const [row, el] of this.shown) this.drop(row, el);
    this.paint();
  }

  private drop(r: Row, el: HTMLElement) {
    el.remove();
    this.shown.delete(r);
  }

  private layout(from: number) {
    const n = this.rows.length;
    if (this.ends.length < n) {
      const bigger = new Float64Array(Math.max(n, this.ends.length * 2));
      bigger.set(this.ends);
      this.ends = bigger;
    }
    const estimate = this.o.estimator(this.width ||= this.el.clientWidth);
    let y = from > 0 ? this.ends[from - 1] : 0;
    for (let i = from; i < n; i++) {
      const r = this.rows[i];
      y += r.h || estimate(r);
      this.ends[i] = y;
    }
    this.canvas.style.height = Math.min(y, mostHeight) + "px";
  }

  // anchor is the first row in view and where its top is, relative to the view.
  private anchor(): { row: Row; dy: number } | null {
    if (this.follow || !this.rows.length) return null;
    const i = this.at(this.el.scrollTop);
    return { row: this.rows[i], dy: this.topOf(i) - this.el.scrollTop };
  }

  private settle(anchor: { row: Row; dy: number } | null) {
    if (this.follow) this.scrollTo(this.height);
    else if (anchor && anchor.row.i >= 0) this.scrollTo(this.topOf(anchor.row.i) - anchor.dy);
    this.paint();
  }

  private scrollTo(y: number) {
    this.el.scrollTop = y;
    this.top = this.el.scrollTop;
  }

  /** at is the index of the row at y, by binary search. */
  at(y: number): number {
    let lo = 0;
    let hi = this.rows.length - 1;
    while (lo < hi) {
      const mid = (lo + hi) >> 1;
      if (this.ends[mid] > y) hi = mid;
      else lo = mid + 1;
    }
    return lo;
  }

  private scrolled() {
    const y = this.el.scrollTop;
    if (y === this.top) return;
    this.follow = y > this.top ? this.atEnd() : this.follow && this.atEnd();
    this.top = y;
    this.queue();
  }

  atEnd() {
    return this.el.scrollTop + this.el.clientHeight >= this.canvas.offsetHeight - 8;
  }

  private queue() {
    if (!this.queued) {
      this.queued = requestAnimationFrame(() => {
        this.queued = 0;
        this.paint();
        this.o.onScroll();
      });
    }
  }

  private resized() {
    const wider = this.el.clientWidth !== this.width;
    this.width = this.el.clientWidth;
    if (wider) this.forgetHeights();
    else this.settle(this.anchor());
  }

  /** forgetHeights makes every height an estimate again, for a change of the look, and renders anew. */
  forgetHeights() {
    const anchor = this.anchor();
    for (const r of this.rows) r.h = 0;
    this.layout(0);
    for (const [row, el] of this.shown) this.drop(row, el);
    this.settle(anchor);
  }

  /** paint shows the rows in view and corrects their heights until they agree; three rounds are enough for any screen. */
  paint() {
    if (!this.el.clientHeight) return;
    for (let round = 0; round < 3; round++) {
      const [a, b] = this.window();
      this.show(a, b);
      const from = this.measure();
      if (from < 0) break;
      const anchor = this.anchor();
      this.layout(from);
      if (this.follow) this.scrollTo(this.height);
      else if (anchor && from < anchor.row.i) this.scrollTo(this.topOf(anchor.row.i) - anchor.dy);
    }
    this.position();
  }

  private window(): [number, number] {
    if (!this.rows.length) return [0, -1];
    const y = this.el.scrollTop;
    return [this.at(y - overscan), this.at(y + this.el.clientHeight + overscan)];
  }

  // show keeps the elements in the order of the rows, so that selecting, copying and reading aloud follow what is seen.
  private show(a: number, b: number) {
    for (const [r, el] of this.shown) if ((r.i < a || r.i > b) && !el.contains(document.activeElement)) this.drop(r, el);
    let before: Element | null = null;
    for (let i = a; i <= b; i++) {
      const r = this.rows[i];
      let el = this.shown.get(r);
      if (!el) {
        el = this.o.render(r);
        r.stale = false;
        el.classList.add("lg-row");
        this.shown.set(r, el);
      }
      if (!el.parentNode || el.previousElementSibling !== before) this.canvas.insertBefore(el, before ? before.nextSibling : this.canvas.firstChild);
      before = el;
    }
  }

  private measure(): number {
    let from = -1;
    for (const [r, el] of this.shown) {
      if (r.h || r.i < 0) continue;
      const h = el.offsetHeight;
      const had = this.ends[r.i] - this.topOf(r.i);
      r.h = h;
      if (Math.abs(h - had) > 0.5 && (from < 0 || r.i < from)) from = r.i;
    }
    return from;
  }

  private position() {
    for (const [r, el] of this.shown) {
      el.style.transform = `translateY(${this.topOf(r.i)}px)`;
      el.setAttribute("aria-rowindex", String(r.i + 1));
    }
    this.el.setAttribute("aria-rowcount", String(this.rows.length));
  }

  elementOf(r: Row) {
    return this.shown.get(r);
  }

  /** toEnd goes to the newest row and follows from there. */
  toEnd() {
    this.follow = true;
    this.scrollTo(this.height);
    this.paint();
  }

  /** reveal brings a row into view with as little movement as possible, or to the middle. */
  reveal(r: Row, middle = false) {
    if (r.i < 0) return;
    const top = this.topOf(r.i);
    const bottom = this.ends[r.i];
    const { scrollTop: y, clientHeight: h } = this.el;
    if (!middle && top >= y && bottom <= y + h) return;
    this.follow = false;
    this.scrollTo(middle ? top - h / 2 : top < y ? top : bottom - h);
    this.follow = this.atEnd() && r.i === this.rows.length - 1;
    this.paint();
  }
}
