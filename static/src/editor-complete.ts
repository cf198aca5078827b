// Completions that know about handlers: the members of the event come from the event in the test panel, those of the context from AWS.
import { type Completion, type CompletionContext, type CompletionResult, completeAnyWord, snippetCompletion } from "@codemirror/autocomplete";
import { EditorState, type Extension } from "@codemirror/state";
import type { Say } from "./editor-marks";

// Surroundings is what the completions look at beside the text.
export interface Surroundings {
  event(): unknown; // the test event as parsed last, undefined when it never was JSON
  eventName(): string;
  say: Say;
}

type Key = string | number;
const chain = /([A-Za-z_$][\w$]*)((?:\??\.[A-Za-z_$][\w$]*|\??\.?\[(?:\d+|"[^"\]\n]*"|'[^'\]\n]*')\])*)(?:\??\.([\w$]*)|\[(["'])([^"'\]\n]*))$/;
const deepestAlias = 6;

export function handlerCompletions(near: Surroundings): Extension {
  const sources = [{ autocomplete: (c: CompletionContext) => members(c, near) }, { autocomplete: snippets }];
  return EditorState.languageData.of(() => sources);
}

// anyWord completes from the text itself, for languages that bring nothing of their own.
const wordSource = [{ autocomplete: completeAnyWord }];
export const anyWord: Extension = EditorState.languageData.of(() => wordSource);

function members(c: CompletionContext, near: Surroundings): CompletionResult | null {
  const line = c.state.doc.lineAt(c.pos);
  const m = chain.exec(line.text.slice(0, c.pos - line.from));
  if (!m) return null;
  const [, root, middle, word, quote, inQuotes] = m;
  const text = c.state.sliceDoc(0, Math.min(c.state.doc.length, 200_000));
  const names = parameterNames(text);
  const typed = quote ? inQuotes : word;
  const from = c.pos - typed.length;
  if (root === names.context && !middle && !quote) return { from, options: contextMembers(names.python), validFor: /^[\w$]*$/ };
  const value = resolve(text, root, keysOf(middle), names.event, near.event(), 0);
  const options = valueMembers(value, !!quote || names.python, near);
  return options.length ? { from, options, validFor: quote ? /^[^"'\]]*$/ : /^[\w$]*$/ } : null;
}

interface Names {
  event: string;
  context: string;
  python: boolean;
}

function parameterNames(text: string): Names {
  const python = /^\s*(?:async\s+)?def\s+\w+\s*\(\s*(\w+)\s*,\s*(\w+)/m.exec(text);
  if (python) return { event: python[1], context: python[2], python: true };
  const js = /handler\s*=\s*(?:async\s*)?(?:function\s*\w*\s*)?\(?\s*([\w$]+)(?:\s*:[^,)]*)?\s*(?:,\s*([\w$]+))?/.exec(text) ??
    /function\s+handler\s*\(\s*([\w$]+)(?:\s*:[^,)]*)?\s*(?:,\s*([\w$]+))?/.exec(text);
  return { event: js?.[1] ?? "event", context: js?.[2] ?? "context", python: false };
}

function keysOf(path: string): Key[] {
  const keys: Key[] = [];
  for (const m of path.matchAll(/\.([A-Za-z_$][\w$]*)|\[(?:(\d+)|["']([^"']*)["'])\]/g)) {
    keys.push(m[1] ?? m[3] ?? Number(m[2]));
  }
  return keys;
}

// resolve follows `const record = event.Records[0]` back to the event.
function resolve(text: string, root: string, keys: Key[], event: string, value: unknown, depth: number): unknown {
  if (root === event) return follow(value, keys);
  if (depth >= deepestAlias) return undefined;
  const escaped = root.replace(/\$/g, "\\$");
  const m = new RegExp(`(?:^|[^\\w$.])${escaped}\\s*(?::=|=)\\s*(?:await\\s+)?([A-Za-z_$][\\w$]*)((?:\\??\\.[A-Za-z_$][\\w$]*|\\[(?:\\d+|"[^"\\n]*"|'[^'\\n]*')\\])*)\\s*(?:;|$)`, "m").exec(text) ??
    new RegExp(`for\\s*\\(?\\s*(?:const|let|var)?\\s*${escaped}\\s+(?:of|in)\\s+([A-Za-z_$][\\w$]*)((?:\\.[A-Za-z_$][\\w$]*|\\["[^"]*"\\])*)`, "m").exec(text);
  if (!m || m[1] === root) return undefined;
  const loop = m[0].startsWith("for");
  return resolve(text, m[1], [...keysOf(m[2]), ...(loop ? [0] : []), ...keys], event, value, depth + 1);
}

function follow(value: unknown, keys: Key[]): unknown {
  for (const k of keys) {
    if (value === null || typeof value !== "object") return undefined;
    value = Object.hasOwn(value, k) ? (value as Record<Key, unknown>)[k] : undefined;
  }
  return value;
}

function valueMembers(value: unknown, anyKey: boolean, near: Surroundings): Completion[] {
  if (value === null || typeof value !== "object" || Array.isArray(value)) return [];
  const info = near.say("js.ws.complete.from", { event: near.eventName() });
  return Object.entries(value)
    .filter(([k]) => anyKey || /^[A-Za-z_$][\w$]*$/.test(k))
    .map(([k, v]) => ({ label: k, type: "property", detail: kindOf(v), info, boost: 90 }));
}

function kindOf(v: unknown): string {
  if (v === null) return "null";
  return Array.isArray(v) ? `array(${v.length})` : typeof v;
}

const contextNames: Record<string, string> = {
  functionName: "string", functionVersion: "string", invokedFunctionArn: "string", memoryLimitInMB: "string", awsRequestId: "string",
  logGroupName: "string", logStreamName: "string", identity: "object", clientContext: "object", "getRemainingTimeInMillis()": "number",
};
const pythonContextNames: Record<string, string> = {
  function_name: "str", function_version: "str", invoked_function_arn: "str", memory_limit_in_mb: "int", aws_request_id: "str",
  log_group_name: "str", log_stream_name: "str", identity: "object", client_context: "object", "get_remaining_time_in_millis()": "int",
};

function contextMembers(python: boolean): Completion[] {
  return Object.entries(python ? pythonContextNames : contextNames)
    .map(([label, detail]) => ({ label, detail, type: label.endsWith("()") ? "method" : "property", boost: 90 }));
}

const jsSnippets = [
  snippetCompletion("export const handler = async (event, context) => {\n\t${}\n};", { label: "handler", detail: "async handler", type: "function" }),
  snippetCompletion("return {\n\tstatusCode: ${200},\n\theaders: { \"content-type\": \"application/json\" },\n\tbody: JSON.stringify(${{ ok: true }}),\n};", { label: "response", detail: "HTTP response", type: "function" }),
];
const pythonSnippets = [
  snippetCompletion("def handler(event, context):\n    ${return {}}", { label: "handler", detail: "handler", type: "function" }),
  snippetCompletion("return {\n    \"statusCode\": ${200},\n    \"headers\": {\"content-type\": \"application/json\"},\n    \"body\": json.dumps(${{}}),\n}", { label: "response", detail: "HTTP response", type: "function" }),
];

function snippets(c: CompletionContext): CompletionResult | null {
  const word = c.matchBefore(/(?:^|[^.\w])\w+$/);
  const typed = word && /\w+$/.exec(word.text);
  if (!word || !typed) return null;
  const python = /^\s*(?:def|import|from)\s/m.test(c.state.sliceDoc(0, 5000)) && !/\b(?:const|let|export)\b/.test(c.state.sliceDoc(0, 5000));
  return { from: word.to - typed[0].length, options: python ? pythonSnippets : jsSnippets, validFor: /^\w*$/ };
}
