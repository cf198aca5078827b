// The code pane: one CodeMirror view that shows one of the open files; every file keeps its own history, selection and marks.
import { acceptCompletion, autocompletion, closeBrackets, closeBracketsKeymap, completionKeymap } from "@codemirror/autocomplete";
import { defaultKeymap, history, historyKeymap, indentWithTab } from "@codemirror/commands";
import { json } from "@codemirror/lang-json";
import { bracketMatching, foldKeymap, indentOnInput, indentUnit } from "@codemirror/language";
import { lintKeymap, nextDiagnostic } from "@codemirror/lint";
import { Compartment, EditorState, type Extension, type StateEffect } from "@codemirror/state";
import {
  crosshairCursor, drawSelection, dropCursor, EditorView, highlightActiveLine, highlightActiveLineGutter, highlightSpecialChars,
  keymap, lineNumbers, rectangularSelection, type KeyBinding,
} from "@codemirror/view";
import { anyWord, handlerCompletions, type Surroundings } from "./editor-complete";
import { type Language, languageOf } from "./editor-languages";
import { changeMarks, rebase, type RunError, runErrorAt, runErrorMark, type Say, syntaxMarks } from "./editor-marks";
import { small, theme } from "./editor-theme";

// Shared is what every editor of the page is made of.
export interface Shared {
  nonce: string;
  say: Say;
  phrases: Record<string, string>;
  keys: KeyBinding[]; // the page's own, before the editor's
}

// separatorOf keeps a file's line ends byte for byte: only a file that is CRLF throughout is edited as CRLF,
// in every other one a lone \r stays a character.
export function separatorOf(text: string): string {
  const crlf = text.match(/\r\n/g)?.length ?? 0;
  return crlf > 0 && crlf === (text.match(/\n/g)?.length ?? 0) && crlf === (text.match(/\r/g)?.length ?? 0) ? "\r\n" : "\n";
}

// overSelection takes what is typed over a selection before the browser does: its own editing would leave style attributes behind,
// which the style policy refuses and reports.
const overSelection = EditorView.domEventHandlers({
  beforeinput(e, view) {
    const { main } = view.state.selection, text = e.data;
    if (e.inputType !== "insertText" || text === null || view.composing || main.empty || view.state.readOnly) return false;
    const insert = () => view.state.update(view.state.replaceSelection(text), { userEvent: "input.type", scrollIntoView: true });
    const handlers = view.state.facet(EditorView.inputHandler);
    if (!handlers.some((handle) => handle(view, main.from, main.to, text, insert))) view.dispatch(insert());
    return true;
  },
});

const searching = (command: "find" | "line" | "next") => (view: EditorView) => {
  void import("./editor-search").then((m) => m.searchWith(view, command));
  return true;
};
const searchKeys: KeyBinding[] = [
  { key: "Mod-f", run: searching("find") }, { key: "Mod-Alt-g", run: searching("line") }, { key: "Mod-d", run: searching("next"), preventDefault: true },
];

function basics(shared: Shared): Extension {
  return [
    EditorView.cspNonce.of(shared.nonce),
    EditorState.phrases.of(shared.phrases),
    EditorView.contentAttributes.of({ tabindex: "0" }),
    keymap.of(shared.keys), overSelection,
    lineNumbers(), highlightActiveLineGutter(), highlightSpecialChars(), history(), drawSelection(), dropCursor(),
    EditorState.allowMultipleSelections.of(true), indentOnInput(), bracketMatching(), closeBrackets(), rectangularSelection(),
    crosshairCursor(), highlightActiveLine(), theme,
    keymap.of([
      { key: "Tab", run: acceptCompletion },
      { key: "F8", run: nextDiagnostic, preventDefault: true },
      ...closeBracketsKeymap, ...defaultKeymap, ...searchKeys, ...historyKeymap, ...foldKeymap, ...completionKeymap, ...lintKeymap,
      indentWithTab,
    ]),
  ];
}

// PaneEvents tell the page what happens in the pane; path is always the shown file's.
export interface PaneEvents {
  changed(path: string, text: string): void;
  cursor(line: number, column: number): void;
  problems(path: string, n: number): void;
  language(name: string): void;
}

interface Open {
  state: EditorState;
  language: Language;
  languageSlot: Compartment;
  scroll: StateEffect<unknown> | null;
}

export class CodePane {
  readonly view: EditorView;
  shown = "";
  private readonly open = new Map<string, Open>();
  private quiet = false;

  constructor(parent: HTMLElement, private readonly shared: Shared, private readonly near: Surroundings, private readonly events: PaneEvents) {
    this.view = new EditorView({ parent, state: EditorState.create({ extensions: basics(shared) }) });
  }

  // show opens or comes back to a file. text is read only when the file is not open yet.
  show(path: string, text: string, base: string | null) {
    this.keep();
    let file = this.open.get(path);
    if (!file) {
      file = this.newFile(path, text);
      this.open.set(path, file);
      void this.loadLanguage(path, file);
    }
    this.shown = path;
    this.view.setState(file.state);
    this.view.contentDOM.setAttribute("aria-label", path);
    this.view.dispatch({ effects: [rebase(base), ...(file.scroll ? [file.scroll] : [])] });
    this.events.language(file.language.name);
    this.reportCursor();
  }

  private newFile(path: string, text: string): Open {
    const language = languageOf(path, text);
    const languageSlot = new Compartment();
    const extensions: Extension[] = [
      basics(this.shared),
      EditorState.lineSeparator.of(separatorOf(text)),
      indentUnit.of(path.endsWith(".go") ? "\t" : " ".repeat(language.indent)),
      EditorState.tabSize.of(language.indent),
      languageSlot.of([]),
      autocompletion({ icons: true }),
      handlerCompletions(this.near),
      changeMarks, runErrorMark,
      EditorView.updateListener.of((u) => {
        if (u.docChanged && !this.quiet) this.events.changed(path, u.state.sliceDoc());
        if (u.docChanged || u.selectionSet) this.reportCursor();
      }),
    ];
    if (language.check) extensions.push(syntaxMarks(this.shared.say, (n) => this.events.problems(path, n)));
    else extensions.push(anyWord);
    return { state: EditorState.create({ doc: text, extensions }), language, languageSlot, scroll: null };
  }

  private async loadLanguage(path: string, file: Open) {
    const support = await file.language.load();
    const effects = file.languageSlot.reconfigure(support);
    if (this.shown === path && this.open.get(path) === file) this.view.dispatch({ effects });
    else file.state = file.state.update({ effects }).state;
  }

  private keep() {
    const file = this.open.get(this.shown);
    if (!file) return;
    file.state = this.view.state;
    file.scroll = this.view.scrollSnapshot();
  }

  private reportCursor() {
    const { state } = this.view;
    const at = state.selection.main.head, line = state.doc.lineAt(at);
    this.events.cursor(line.number, at - line.from + 1);
  }

  // replace puts other text into a file without telling `changed`; undo still brings the old text back.
  replace(path: string, text: string) {
    const file = this.open.get(path);
    if (!file) return;
    const state = path === this.shown ? this.view.state : file.state;
    if (state.sliceDoc() === text) return;
    const spec = { changes: { from: 0, to: state.doc.length, insert: state.toText(text) } };
    this.quiet = true;
    if (path === this.shown) this.view.dispatch(spec);
    else file.state = state.update(spec).state;
    this.quiet = false;
  }

  // setBase tells what the shown file is compared with.
  setBase(text: string | null) {
    this.view.dispatch({ effects: rebase(text) });
  }

  // setRunError marks (or with null clears) the line at which the run failed in the shown file.
  setRunError(e: RunError | null) {
    this.view.dispatch({ effects: runErrorAt(e) });
  }

  goTo(line: number, column = 1) {
    const { doc } = this.view.state;
    const l = doc.line(Math.min(Math.max(line, 1), doc.lines));
    const at = Math.min(l.from + Math.max(column, 1) - 1, l.to);
    this.view.dispatch({ selection: { anchor: at }, effects: EditorView.scrollIntoView(at, { y: "center" }) });
    this.view.focus();
  }

  close(path: string) {
    this.open.delete(path);
    if (this.shown === path) this.shown = "";
  }

  rename(from: string, to: string) {
    this.keep();
    const file = this.open.get(from);
    if (!file) return;
    this.open.delete(from);
    if (this.shown === from) this.shown = "";
    const next = this.newFile(to, file.state.sliceDoc());
    this.open.set(to, next);
    void this.loadLanguage(to, next);
  }

  isOpen(path: string): boolean {
    return this.open.has(path);
  }

  focus() {
    this.view.focus();
  }

  // nextProblem goes to the next mark, as F8 does.
  nextProblem() {
    this.view.focus();
    nextDiagnostic(this.view);
  }
}

// JSONPane is the event's editor.
export class JSONPane {
  readonly view: EditorView;
  private quiet = false;

  constructor(parent: HTMLElement, shared: Shared, label: string, text: string, changed: (text: string) => void, problems: (n: number) => void) {
    const extensions: Extension[] = [
      small, basics(shared), json(), EditorState.tabSize.of(2), indentUnit.of("  "), autocompletion(), anyWord,
      EditorView.contentAttributes.of({ "aria-label": label }),
      syntaxMarks(shared.say, problems),
      EditorView.updateListener.of((u) => {
        if (u.docChanged && !this.quiet) changed(u.state.sliceDoc());
      }),
    ];
    this.view = new EditorView({ parent, state: EditorState.create({ doc: text, extensions }) });
  }

  text(): string {
    return this.view.state.sliceDoc();
  }

  set(text: string) {
    this.quiet = true;
    this.view.dispatch({ changes: { from: 0, to: this.view.state.doc.length, insert: text } });
    this.quiet = false;
  }

  // show puts the caret at an offset, for "not JSON" messages.
  show(offset: number) {
    const at = Math.min(Math.max(offset, 0), this.view.state.doc.length);
    this.view.dispatch({ selection: { anchor: at }, effects: EditorView.scrollIntoView(at, { y: "center" }) });
    this.view.focus();
  }
}
