// JSON as text: laid out without touching a value (a number that JavaScript cannot hold stays as it is), and where it is broken.
import { jsonLanguage } from "@codemirror/lang-json";

// pretty lays JSON out with two spaces; null when the text is not JSON.
export function pretty(text: string): string | null {
  try {
    JSON.parse(text);
  } catch {
    return null;
  }
  return layOut(text);
}

function layOut(text: string): string {
  let out = "", depth = 0;
  const line = () => "\n" + "  ".repeat(depth);
  for (let i = 0; i < text.length; i++) {
    const c = text[i];
    if (c === '"') {
      const end = stringEnd(text, i);
      out += text.slice(i, end);
      i = end - 1;
    } else if (c === "{" || c === "[") {
      const close = skipSpace(text, i + 1);
      if (text[close] === "}" || text[close] === "]") {
        out += c + text[close];
        i = close;
        continue;
      }
      depth++;
      out += c + line();
    } else if (c === "}" || c === "]") {
      depth--;
      out += line() + c;
    } else if (c === ",") out += c + line();
    else if (c === ":") out += ": ";
    else if (!/\s/.test(c)) out += c;
  }
  return out;
}

function stringEnd(text: string, from: number): number {
  let i = from + 1;
  while (i < text.length && text[i] !== '"') i += text[i] === "\\" ? 2 : 1;
  return i + 1;
}

function skipSpace(text: string, i: number): number {
  while (i < text.length && /\s/.test(text[i])) i++;
  return i;
}

// Broken says where a text stops being JSON.
export interface Broken {
  offset: number;
  line: number;
  column: number;
}

// brokenAt is null for JSON.
export function brokenAt(text: string): Broken | null {
  try {
    JSON.parse(text);
    return null;
  } catch (e) {
    const said = /position (\d+)/.exec(String(e)); // engines do not always say it
    const offset = said ? Number(said[1]) : firstError(text) ?? text.trimEnd().length;
    const before = text.slice(0, offset).split("\n");
    return { offset, line: before.length, column: before.at(-1)!.length + 1 };
  }
}

function firstError(text: string): number | null {
  let at: number | null = null;
  jsonLanguage.parser.parse(text).iterate({
    enter(node) {
      if (at === null && node.type.isError) at = node.from;
      return at === null;
    },
  });
  return at;
}

const token = /("(?:[^"\\]|\\.)*")(\s*:)?|(-?\d[\d.eE+-]*|true|false|null)|([{}[\],])/g;
const mostColoured = 60_000; // characters; longer texts are shown without colours

// colour makes one line of laid-out JSON into spans with the code classes.
export function colour(line: string): Node[] {
  if (line.length > mostColoured) return [document.createTextNode(line)];
  const out: Node[] = [];
  let at = 0;
  const span = (cls: string, text: string) => {
    const s = document.createElement("span");
    s.className = cls;
    s.textContent = text;
    out.push(s);
  };
  for (const m of line.matchAll(token)) {
    if (m.index > at) out.push(document.createTextNode(line.slice(at, m.index)));
    if (m[1] && m[2]) out.push(document.createTextNode(m[1])), span("p", m[2]);
    else if (m[1]) span("s", m[1]);
    else if (m[3]) span("m", m[3]);
    else span("p", m[4]);
    at = m.index + m[0].length;
  }
  if (at < line.length) out.push(document.createTextNode(line.slice(at)));
  return out;
}

// HTTPAnswer is a payload in the form that API Gateway and function URLs turn into an HTTP response.
export interface HTTPAnswer {
  status: number;
  headers: [string, string][];
  body: string;
}

// httpAnswer is null for every other payload.
export function httpAnswer(payload: string): HTTPAnswer | null {
  let v: unknown;
  try {
    v = JSON.parse(payload);
  } catch {
    return null;
  }
  if (v === null || typeof v !== "object" || Array.isArray(v)) return null;
  const { statusCode, body, headers } = v as Record<string, unknown>;
  if (typeof statusCode !== "number" || statusCode < 100 || statusCode > 599) return null;
  if (body !== undefined && typeof body !== "string") return null;
  const list = headers && typeof headers === "object" ? Object.entries(headers).map(([k, x]): [string, string] => [k, String(x)]) : [];
  return { status: statusCode, headers: list, body: body ?? "" };
}

// comparable is the text in which two results are compared: laid out, with a JSON body opened up.
export function comparable(payload: string): string[] {
  const http = httpAnswer(payload);
  const body = http && pretty(http.body);
  const whole = pretty(payload) ?? payload;
  if (!http || body === null) return whole.split("\n");
  return [`statusCode: ${http.status}`, ...http.headers.map(([k, v]) => `${k}: ${v}`), ...(body ?? "").split("\n")];
}
