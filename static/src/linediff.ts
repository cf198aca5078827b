// Line differences by Myers' algorithm, for the marks at changed lines, the counts beside the draft and the difference of two results.

// Chunk says that lines [aFrom, aTo) of the first text became lines [bFrom, bTo) of the second.
export interface Chunk {
  aFrom: number;
  aTo: number;
  bFrom: number;
  bTo: number;
}

// maxEdits bounds the work: texts that differ by more lines get one chunk for the whole middle.
const maxEdits = 1500;

export function diffLines(a: readonly string[], b: readonly string[]): Chunk[] {
  let head = 0;
  while (head < a.length && head < b.length && a[head] === b[head]) head++;
  let tail = 0;
  while (tail < a.length - head && tail < b.length - head && a[a.length - 1 - tail] === b[b.length - 1 - tail]) tail++;
  const aEnd = a.length - tail, bEnd = b.length - tail;
  if (head === aEnd && head === bEnd) return [];
  if (head === aEnd || head === bEnd) return [{ aFrom: head, aTo: aEnd, bFrom: head, bTo: bEnd }];
  const trace = search(a.slice(head, aEnd), b.slice(head, bEnd));
  if (!trace) return [{ aFrom: head, aTo: aEnd, bFrom: head, bTo: bEnd }];
  return walkBack(trace, aEnd - head, bEnd - head, head);
}

function search(a: readonly string[], b: readonly string[]): Int32Array[] | null {
  const limit = Math.min(a.length + b.length, maxEdits);
  const v = new Int32Array(2 * limit + 3);
  const mid = limit + 1;
  const trace: Int32Array[] = [];
  for (let d = 0; d <= limit; d++) {
    trace.push(v.slice(mid - d - 1, mid + d + 2));
    for (let k = -d; k <= d; k += 2) {
      let x = k === -d || (k !== d && v[mid + k - 1] < v[mid + k + 1]) ? v[mid + k + 1] : v[mid + k - 1] + 1;
      while (x < a.length && x - k < b.length && a[x] === b[x - k]) x++;
      v[mid + k] = x;
      if (x >= a.length && x - k >= b.length) return trace;
    }
  }
  return null;
}

function walkBack(trace: Int32Array[], x: number, y: number, offset: number): Chunk[] {
  const chunks: Chunk[] = [];
  for (let d = trace.length - 1; d > 0; d--) {
    const v = trace[d], at = (k: number) => v[k + d + 1];
    const k = x - y;
    const down = k === -d || (k !== d && at(k - 1) < at(k + 1));
    const px = down ? at(k + 1) : at(k - 1), py = px - (down ? k + 1 : k - 1);
    const ex = down ? px : px + 1, ey = down ? py + 1 : py;
    prepend(chunks, { aFrom: px + offset, aTo: ex + offset, bFrom: py + offset, bTo: ey + offset });
    x = px;
    y = py;
  }
  return chunks;
}

function prepend(chunks: Chunk[], c: Chunk) {
  const first = chunks[0];
  if (first && first.aFrom === c.aTo && first.bFrom === c.bTo) {
    first.aFrom = c.aFrom;
    first.bFrom = c.bFrom;
    return;
  }
  chunks.unshift(c);
}

// countChanges is the number of added and removed lines, as "+7 −1" shows them.
export function countChanges(chunks: readonly Chunk[]): { added: number; removed: number } {
  let added = 0, removed = 0;
  for (const c of chunks) {
    added += c.bTo - c.bFrom;
    removed += c.aTo - c.aFrom;
  }
  return { added, removed };
}

// Row is one line of a difference as it is shown.
export interface Row {
  kind: "same" | "add" | "del" | "gap";
  text: string;
}

// rows lists the changed lines with `around` lines of context; longer equal parts become one gap.
export function rows(a: readonly string[], b: readonly string[], around = 3): Row[] {
  const out: Row[] = [];
  let at = 0;
  const same = (to: number, open: boolean) => {
    const from = at;
    const hidden = to - from - (from > 0 ? around : 0) - (open ? 0 : around);
    for (; at < to; at++) {
      if (hidden < 2 || (from > 0 && at < from + around) || (!open && at >= to - around)) out.push({ kind: "same", text: b[at] });
      else if (out.at(-1)?.kind !== "gap") out.push({ kind: "gap", text: "" });
    }
  };
  for (const c of diffLines(a, b)) {
    same(c.bFrom, false);
    for (let i = c.aFrom; i < c.aTo; i++) out.push({ kind: "del", text: a[i] });
    for (let i = c.bFrom; i < c.bTo; i++) out.push({ kind: "add", text: b[i] });
    at = c.bTo;
  }
  same(b.length, true);
  return out;
}
