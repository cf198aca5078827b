// The draft beside what is deployed (or what somebody else made of it). Loaded when a person asks for it.
import { EditorState, type Extension } from "@codemirror/state";
import { EditorView, lineNumbers } from "@codemirror/view";
import { MergeView, unifiedMergeView } from "@codemirror/merge";
import { languageOf } from "./editor-languages";
import { theme } from "./editor-theme";

export interface Compared {
  path: string;
  before: string;
  after: string;
  nonce: string;
  phrases: Record<string, string>;
}

const sideBySide = 720; // px of room that two columns need

// showDiff fills host with the difference and answers how to take it away.
export async function showDiff(host: HTMLElement, c: Compared): Promise<() => void> {
  const language = await languageOf(c.path, c.after).load();
  const common: Extension = [
    EditorView.cspNonce.of(c.nonce), EditorState.phrases.of(c.phrases), EditorState.readOnly.of(true), EditorView.editable.of(false),
    EditorView.contentAttributes.of({ tabindex: "0", "aria-label": c.path }), lineNumbers(), theme, language,
  ];
  const collapseUnchanged = { margin: 3, minSize: 6 };
  const diffConfig = { scanLimit: 2000, timeout: 500 };
  if (host.clientWidth < sideBySide) {
    const view = new EditorView({
      parent: host, state: EditorState.create({
        doc: c.after, extensions: [common, unifiedMergeView({ original: c.before, mergeControls: false, collapseUnchanged, diffConfig, gutter: true })],
      }),
    });
    return () => view.destroy();
  }
  const view = new MergeView({
    parent: host, a: { doc: c.before, extensions: common }, b: { doc: c.after, extensions: common }, collapseUnchanged, diffConfig, gutter: true,
  });
  return () => view.destroy();
}
