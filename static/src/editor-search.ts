// Search and replace, loaded when a person first asks for it.
import { gotoLine, highlightSelectionMatches, openSearchPanel, search, searchKeymap, selectNextOccurrence } from "@codemirror/search";
import { StateEffect, StateField } from "@codemirror/state";
import { type EditorView, keymap } from "@codemirror/view";

const there = StateField.define<boolean>({ create: () => true, update: (v) => v });

const commands = { find: openSearchPanel, line: gotoLine, next: selectNextOccurrence };

// searchWith gives the shown file its search and runs one of its commands.
export function searchWith(view: EditorView, command: keyof typeof commands) {
  if (!view.state.field(there, false)) {
    const parts = [there, search({ top: true }), highlightSelectionMatches({ minSelectionLength: 2 }), keymap.of(searchKeymap)];
    view.dispatch({ effects: StateEffect.appendConfig.of(parts) });
  }
  commands[command](view);
}
