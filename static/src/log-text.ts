// What a log line says: always text, whatever it holds. Control characters become visible, JSON becomes fields, stack frames become links.

/** Longest text that a row shows before somebody asks for the rest. */
export const clipAt = 2000;

// Control characters other than tab and newline, and the marks that change the direction of text.
const hidden = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u200e\u200f\u202a-\u202e\u2066-\u2069\ufeff]/g;

/** visible shows control characters as pictures or as \u escapes, so that a line cannot hide or turn what follows. */
export function visible(text: string): string {
  return text.replace(hidden, (c) => {
    const n = c.charCodeAt(0);
    if (n < 0x20) return String.fromCharCode(0x2400 + n);
    if (n === 0x7f) return "\u2421";
    return "\\u" + n.toString(16).padStart(4, "0");
  });
}

export interface Field {
  key: string;
  value: unknown;
}

/** What a JSON line says: its message and its other fields in order. */
export interface Record {
  message: string;
  fields: Field[];
  all: Field[];
}

const messageKeys = ["msg", "message", "event", "errorMessage"];
const quietKeys = new Set(["level", "severity", "time", "timestamp", "ts", "@timestamp", "requestId", "awsRequestId", "requestID", "AWSRequestId", "stackTrace", "stack"]);

/** record reads a JSON object line; null for everything else. */
export function record(text: string): Record | null {
  if (text.charCodeAt(0) !== 123 || text.charCodeAt(text.trimEnd().length - 1) !== 125) return null;
  let o: { [k: string]: unknown };
  try {
    o = JSON.parse(text);
  } catch {
    return null;
  }
  const all = Object.entries(o).map(([key, value]) => ({ key, value }));
  const said = messageKeys.find((k) => typeof o[k] === "string");
  const message = said ? (o[said] as string) : "";
  const stack = Array.isArray(o.stackTrace) ? o.stackTrace.join("\n") : typeof o.stack === "string" ? o.stack : "";
  const fields = all.filter((f) => f.key !== said && !quietKeys.has(f.key));
  return { message: joinStack(message, o.errorType, stack), fields, all };
}

function joinStack(message: string, type: unknown, stack: string): string {
  const head = typeof type === "string" && message ? type + ": " + message : message;
  if (!stack) return head;
  return stack.startsWith(head) ? stack : head + "\n" + stack;
}

/** show writes a field's value as short text. */
export function show(v: unknown): string {
  return typeof v === "string" ? v : JSON.stringify(v);
}

export interface Place {
  start: number;
  end: number;
  file: string;
  line: number;
  column: number;
}

const nodeFrame = /(?:file:\/\/)?\/var\/task\/([^\s():*?"<>|]+\.[cm]?[jt]sx?):(\d+)(?::(\d+))?/g;
const pythonFrame = /File "\/var\/task\/([^"]+)", line (\d+)/g;

/** places finds the stack frames in text that name a file of the package. */
export function places(text: string): Place[] {
  if (!text.includes("/var/task/")) return [];
  const found: Place[] = [];
  for (const pattern of [nodeFrame, pythonFrame]) {
    for (const m of text.matchAll(pattern)) {
      found.push({ start: m.index, end: m.index + m[0].length, file: m[1], line: +m[2], column: +(m[3] ?? 0) });
    }
  }
  return found.sort((a, b) => a.start - b.start);
}

/** linkTo is the editor's address of a place. */
export function linkTo(fn: string, p: Place): string {
  const q = new URLSearchParams({ file: p.file, line: String(p.line) });
  if (p.column) q.set("col", String(p.column));
  return `/functions/${encodeURIComponent(fn)}?${q}`;
}
