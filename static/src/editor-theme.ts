// The editor in the console's tokens: it follows light and dark without being told.
import { HighlightStyle, syntaxHighlighting } from "@codemirror/language";
import type { Extension } from "@codemirror/state";
import { EditorView } from "@codemirror/view";
import { tags as t } from "@lezer/highlight";

const colours = HighlightStyle.define([
  { tag: [t.keyword, t.modifier, t.operatorKeyword, t.self, t.definitionKeyword, t.moduleKeyword, t.controlKeyword], color: "var(--syn-key)" },
  { tag: [t.string, t.special(t.string), t.regexp, t.attributeValue, t.character], color: "var(--syn-str)" },
  { tag: [t.number, t.bool, t.null, t.atom, t.unit, t.color], color: "var(--syn-num)" },
  { tag: [t.function(t.variableName), t.function(t.propertyName), t.tagName, t.className, t.typeName, t.macroName], color: "var(--syn-fn)" },
  { tag: [t.propertyName, t.attributeName], color: "var(--syn-prop)" },
  { tag: [t.comment, t.meta, t.documentMeta], color: "var(--syn-com)", fontStyle: "italic" },
  { tag: [t.punctuation, t.separator, t.bracket], color: "var(--ink-2)" },
  { tag: t.heading, fontWeight: "600" },
  { tag: t.strong, fontWeight: "600" },
  { tag: t.emphasis, fontStyle: "italic" },
  { tag: [t.link, t.url], color: "var(--syn-fn)", textDecoration: "underline" },
  { tag: t.strikethrough, textDecoration: "line-through" },
]);

const frame = EditorView.theme({
  "&": { color: "var(--ink)", backgroundColor: "var(--surface)", height: "100%", fontSize: "13px" },
  "&.cm-focused": { outline: "none" },
  ".cm-scroller": { fontFamily: "var(--font-mono)", lineHeight: "20px", fontVariantLigatures: "none" },
  ".cm-content": { caretColor: "var(--ember)", padding: "8px 0" },
  ".cm-line": { padding: "0 16px 0 2px" },
  ".cm-cursor, .cm-dropCursor": { borderLeft: "2px solid var(--ember)", marginLeft: "-1px" },
  "&.cm-focused > .cm-scroller > .cm-selectionLayer .cm-selectionBackground, .cm-selectionBackground": { background: "color-mix(in srgb, var(--data-2) 32%, transparent)" },
  ".cm-gutters": { backgroundColor: "var(--surface)", color: "var(--ink-3)", border: "0" },
  ".cm-lineNumbers .cm-gutterElement": { minWidth: "42px", padding: "0 13px 0 4px" },
  ".cm-activeLine, .cm-activeLineGutter": { backgroundColor: "transparent" },
  "&.cm-focused .cm-activeLine": { backgroundColor: "color-mix(in srgb, var(--ink) 4%, transparent)" },
  "&.cm-focused .cm-activeLineGutter": { backgroundColor: "color-mix(in srgb, var(--ink) 4%, transparent)", color: "var(--ink)" },
  ".cm-changed": { boxShadow: "inset -3px 0 0 var(--data-2)" },
  ".cm-bad": { boxShadow: "inset -3px 0 0 var(--c-err)", color: "var(--err)" },
  ".cm-matchingBracket": { backgroundColor: "transparent" },
  "&.cm-focused .cm-matchingBracket": { backgroundColor: "var(--pressed)", outline: "0" },
  ".cm-nonmatchingBracket, &.cm-focused .cm-nonmatchingBracket": { backgroundColor: "var(--err-wash)" },
  ".cm-selectionMatch": { backgroundColor: "var(--select)" },
  ".cm-searchMatch": { backgroundColor: "var(--find)", outline: "0" },
  ".cm-searchMatch, .cm-searchMatch span": { color: "var(--ink)" },
  ".cm-searchMatch-selected": { backgroundColor: "var(--find)", outline: "1px solid var(--ink-2)" },
  ".cm-foldPlaceholder": { background: "var(--hover)", border: "0", color: "var(--ink-3)", padding: "0 6px" },
  ".cm-lintRange-error": { backgroundImage: "none", textDecoration: "underline wavy var(--c-err) 1px", textUnderlineOffset: "4px" },
  ".cm-lintPoint-error:after": { borderBottomColor: "var(--c-err)" },
  ".cm-diagnostic": { padding: "6px 10px", fontFamily: "var(--font-ui)", fontSize: "12px" },
  ".cm-diagnostic-error": { borderLeft: "2px solid var(--c-err)" },
  ".cm-run-error": { display: "block", background: "var(--err-wash)", color: "var(--err)", fontSize: "12px", padding: "0 16px 0 2px", whiteSpace: "pre-wrap" },
});

const overlays = EditorView.theme({
  ".cm-tooltip": { background: "var(--raised)", border: "0", borderRadius: "var(--r-2)", boxShadow: "var(--shadow)", color: "var(--ink)" },
  ".cm-tooltip.cm-tooltip-autocomplete > ul": { fontFamily: "var(--font-mono)", fontSize: "12.5px", padding: "4px", maxHeight: "240px" },
  ".cm-tooltip.cm-tooltip-autocomplete > ul > li": { display: "flex", alignItems: "center", gap: "8px", minHeight: "26px", padding: "0 8px", borderRadius: "var(--r-1)", lineHeight: "20px" },
  ".cm-tooltip-autocomplete ul li[aria-selected]": { background: "var(--select)", color: "var(--ink)" },
  ".cm-completionMatchedText": { textDecoration: "none", background: "var(--find)", borderRadius: "2px" },
  ".cm-completionDetail": { marginLeft: "auto", paddingLeft: "16px", fontStyle: "normal", color: "var(--ink-3)" },
  ".cm-completionIcon": { color: "var(--syn-num)", opacity: "1", width: "1em", paddingRight: "0" },
  ".cm-tooltip.cm-completionInfo": { padding: "7px 12px", fontFamily: "var(--font-ui)", fontSize: "12px", lineHeight: "16px", color: "var(--ink-3)", maxWidth: "272px" },
  ".cm-panels": { backgroundColor: "var(--sunken)", color: "var(--ink)", fontFamily: "var(--font-ui)" },
  ".cm-panels-top": { borderBottom: "1px solid var(--line)" },
  ".cm-panels-bottom": { borderTop: "1px solid var(--line)" },
  ".cm-panel.cm-search": { padding: "6px 32px 6px 12px", display: "flex", flexWrap: "wrap", gap: "4px 6px", alignItems: "center" },
  ".cm-panel.cm-search br": { flexBasis: "100%", content: "''" },
  ".cm-panel.cm-search label": { display: "inline-flex", alignItems: "center", gap: "4px", fontSize: "12px", margin: "0" },
  ".cm-panel.cm-search [name=close]": { right: "8px", top: "6px", width: "24px", height: "24px", fontSize: "16px", color: "var(--ink-3)" },
  ".cm-textfield": { border: "1px solid var(--line-ctl)", borderRadius: "var(--r-2)", background: "var(--raised)", fontSize: "12px", height: "26px", padding: "0 8px", margin: "0" },
  ".cm-button": { backgroundImage: "none", backgroundColor: "var(--raised)", border: "1px solid var(--line-2)", borderRadius: "var(--r-2)", fontSize: "12px", height: "26px", padding: "0 8px", margin: "0" },
  ".cm-panel.cm-panel-lint ul": { fontFamily: "var(--font-ui)", fontSize: "12px" },
  ".cm-panel.cm-panel-lint ul [aria-selected]": { background: "var(--select)" },
});

const differences = EditorView.theme({
  "&.cm-merge-a .cm-changedLine, .cm-deletedChunk": { backgroundColor: "var(--del-wash)" },
  "&.cm-merge-b .cm-changedLine, .cm-insertedLine": { backgroundColor: "var(--add-wash)" },
  "&.cm-merge-a .cm-changedText, .cm-deletedChunk .cm-deletedText": { background: "color-mix(in srgb, var(--del) 22%, transparent)" },
  "&.cm-merge-b .cm-changedText, .cm-changedText": { background: "color-mix(in srgb, var(--add) 22%, transparent)" },
  "&.cm-merge-a .cm-changedLineGutter, .cm-deletedLineGutter": { background: "var(--del)" },
  "&.cm-merge-b .cm-changedLineGutter, .cm-changedLineGutter": { background: "var(--add)" },
  ".cm-collapsedLines": { background: "var(--sunken)", color: "var(--ink-3)", fontFamily: "var(--font-ui)", fontSize: "12px" },
});

export const theme: Extension = [frame, overlays, differences, syntaxHighlighting(colours)];

// small is the event's editor: 12 px text and a narrow gutter.
export const small: Extension = EditorView.theme({
  "&": { fontSize: "12px" },
  ".cm-scroller": { lineHeight: "18px" },
  ".cm-content": { padding: "6px 0" },
  ".cm-lineNumbers .cm-gutterElement": { minWidth: "32px", padding: "0 9px 0 4px" },
});
