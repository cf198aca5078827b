// What is marked in the text: syntax errors (from the parser's error nodes), lines that differ from the deployed file,
// and the line at which the last run failed.
import { syntaxTree, syntaxTreeAvailable } from "@codemirror/language";
import { type Diagnostic, forEachDiagnostic, linter, setDiagnosticsEffect } from "@codemirror/lint";
import { type Extension, RangeSet, StateEffect, StateField, type Text } from "@codemirror/state";
import { Decoration, EditorView, GutterMarker, gutterLineClass, ViewPlugin, type ViewUpdate, WidgetType } from "@codemirror/view";
import { diffLines } from "./linediff";

export type Say = (key: string, params?: Record<string, string | number>) => string;

const mostProblems = 50;
const longestChecked = 400_000; // characters; longer files are not checked

// problemsOf lists at most 50 syntax errors of a parsed text.
export function problemsOf(view: EditorView, say: Say): Diagnostic[] {
  const { state } = view;
  if (state.doc.length > longestChecked || !syntaxTreeAvailable(state, state.doc.length)) return [];
  const found: Diagnostic[] = [];
  syntaxTree(state).iterate({
    enter(node) {
      if (found.length >= mostProblems) return false;
      if (!node.type.isError) return;
      const text = state.sliceDoc(node.from, Math.min(node.to, node.from + 40)).trim();
      if (found.some((d) => d.from === node.from)) return;
      found.push({
        from: node.from, to: Math.max(node.to, node.from), severity: "error",
        message: text ? say("js.ws.lint.unexpected", { text }) : say("js.ws.lint.missing"),
      });
    },
  });
  return found;
}

// syntaxMarks checks after every pause and reports the number of problems.
export function syntaxMarks(say: Say, count: (n: number) => void): Extension {
  return [
    linter((view) => problemsOf(view, say), { delay: 300 }),
    EditorView.updateListener.of((u) => {
      if (!u.transactions.some((t) => t.effects.some((e) => e.is(setDiagnosticsEffect)))) return;
      let n = 0;
      forEachDiagnostic(u.state, () => void n++);
      count(n);
    }),
  ];
}

class LineClass extends GutterMarker {
  constructor(readonly elementClass: string) {
    super();
  }
}
const changedLine = new LineClass("cm-changed");
const badLine = new LineClass("cm-bad");

const setBase = StateEffect.define<string | null>();
const setChanged = StateEffect.define<number[]>(); // 1-based line numbers

const baseText = StateField.define<string | null>({
  create: () => null,
  update: (value, tr) => tr.effects.reduce((v, e) => (e.is(setBase) ? e.value : v), value),
});

const changedLines = StateField.define<RangeSet<GutterMarker>>({
  create: () => RangeSet.empty,
  update(value, tr) {
    for (const e of tr.effects) if (e.is(setChanged)) return markLines(tr.state.doc, e.value);
    return value.map(tr.changes);
  },
  provide: (f) => gutterLineClass.from(f),
});

function markLines(doc: Text, lines: number[]): RangeSet<GutterMarker> {
  return RangeSet.of(lines.filter((n) => n <= doc.lines).map((n) => changedLine.range(doc.line(n).from)));
}

const compareAfter = 150; // ms without a keystroke

const compare = ViewPlugin.fromClass(class {
  timer = 0;
  constructor(readonly view: EditorView) {
    this.later(0);
  }
  update(u: ViewUpdate) {
    const rebased = u.transactions.some((t) => t.effects.some((e) => e.is(setBase)));
    if (u.docChanged || rebased) this.later(rebased ? 0 : compareAfter);
  }
  later(ms: number) {
    clearTimeout(this.timer);
    this.timer = window.setTimeout(() => this.run(), ms);
  }
  run() {
    const base = this.view.state.field(baseText);
    this.view.dispatch({ effects: setChanged.of(base === null ? [] : changed(base, this.view.state.doc)) });
  }
  destroy() {
    clearTimeout(this.timer);
  }
});

function changed(base: string, doc: Text): number[] {
  const lines: number[] = [];
  for (const c of diffLines(base.split(/\r\n|\n/), doc.toJSON())) {
    for (let n = c.bFrom + 1; n <= Math.max(c.bTo, c.bFrom + 1); n++) lines.push(n);
  }
  return [...new Set(lines)];
}

// changeMarks marks the lines that differ from the base text; null (a new file) marks none.
export const changeMarks: Extension = [baseText, changedLines, compare];

export const rebase = (text: string | null) => setBase.of(text);

// RunError is where and why the last run failed.
export interface RunError {
  line: number; // from 1
  message: string;
}

const setRunError = StateEffect.define<RunError | null>();
export const runErrorAt = (e: RunError | null) => setRunError.of(e);

class ErrorLine extends WidgetType {
  constructor(readonly message: string) {
    super();
  }
  eq(o: ErrorLine) {
    return o.message === this.message;
  }
  toDOM() {
    const el = document.createElement("div");
    el.className = "cm-run-error";
    el.textContent = this.message;
    return el;
  }
}

interface Failure {
  deco: ReturnType<typeof Decoration.set>;
  gutter: RangeSet<GutterMarker>;
}
const noFailure: Failure = { deco: Decoration.none, gutter: RangeSet.empty };

// runErrorMark shows the failure under its line until the text is edited or the next run starts.
export const runErrorMark: Extension = StateField.define<Failure>({
  create: () => noFailure,
  update(value, tr) {
    for (const e of tr.effects) if (e.is(setRunError)) return e.value ? failure(tr.state.doc, e.value) : noFailure;
    return tr.docChanged ? noFailure : value;
  },
  provide: (f) => [
    EditorView.decorations.from(f, (v) => v.deco),
    gutterLineClass.from(f, (v) => v.gutter),
  ],
});

function failure(doc: Text, e: RunError): Failure {
  if (e.line < 1 || e.line > doc.lines) return noFailure;
  const line = doc.line(e.line);
  const widget = Decoration.widget({ widget: new ErrorLine(e.message), block: true, side: 1 });
  return { deco: Decoration.set(widget.range(line.to)), gutter: RangeSet.of(badLine.range(line.from)) };
}
