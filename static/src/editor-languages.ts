// The languages of the editor. JSON comes with the page because the event is JSON; every other one is loaded when a file needs it.
import { json } from "@codemirror/lang-json";
import { StreamLanguage } from "@codemirror/language";
import type { Extension } from "@codemirror/state";

export interface Language {
  name: string;
  indent: number;
  // check says whether the parser's error nodes are trustworthy enough to be shown as problems.
  check: boolean;
  load(): Promise<Extension>;
}

function script(name: string, options: { jsx?: boolean; typescript?: boolean }): Language {
  return { name, indent: 2, check: true, load: async () => (await import("@codemirror/lang-javascript")).javascript(options) };
}

const plain: Language = { name: "", indent: 2, check: false, load: async () => [] };
const shell: Language = {
  name: "Shell", indent: 2, check: false,
  load: async () => StreamLanguage.define((await import("@codemirror/legacy-modes/mode/shell")).shell),
};
const python: Language = { name: "Python", indent: 4, check: true, load: async () => (await import("@codemirror/lang-python")).python() };
const javascript = script("JavaScript", { jsx: true });
const typescript = script("TypeScript", { typescript: true });
const tsx = script("TSX", { jsx: true, typescript: true });
const yaml: Language = { name: "YAML", indent: 2, check: false, load: async () => (await import("@codemirror/lang-yaml")).yaml() };
const html: Language = { name: "HTML", indent: 2, check: false, load: async () => (await import("@codemirror/lang-html")).html() };
export const jsonLanguage: Language = { name: "JSON", indent: 2, check: true, load: async () => json() };

const byExtension: Record<string, Language> = {
  js: javascript, mjs: javascript, cjs: javascript, jsx: script("JSX", { jsx: true }),
  ts: typescript, mts: typescript, cts: typescript, tsx,
  json: jsonLanguage, map: jsonLanguage,
  py: python, pyi: python,
  go: { name: "Go", indent: 4, check: false, load: async () => (await import("@codemirror/lang-go")).go() },
  sh: shell, bash: shell, zsh: shell,
  yml: yaml, yaml,
  html, htm: html, svg: html, xml: html,
  css: { name: "CSS", indent: 2, check: false, load: async () => (await import("@codemirror/lang-css")).css() },
  md: { name: "Markdown", indent: 2, check: false, load: async () => (await import("@codemirror/lang-markdown")).markdown() },
};

// languageOf chooses by the file's extension, and by its first line for scripts without one.
export function languageOf(path: string, text: string): Language {
  const base = path.slice(path.lastIndexOf("/") + 1);
  const dot = base.lastIndexOf(".");
  const known = dot > 0 ? byExtension[base.slice(dot + 1).toLowerCase()] : undefined;
  if (known) return known;
  const first = text.slice(0, 120).split("\n", 1)[0];
  if (!first.startsWith("#!")) return base === "bootstrap" ? shell : plain;
  if (/\bnode\b/.test(first)) return javascript;
  return /\bpython/.test(first) ? python : shell;
}
