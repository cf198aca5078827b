// The file tree: a list with levels, one stop for the Tab key, arrows inside it.
import { h, icon } from "./workspace-dom";
import type { Say } from "./editor-marks";
import type { Entry } from "./workspace-project";

// TreeEvents are what a person can do in the tree.
export interface TreeEvents {
  open(path: string): void;
  menu(path: string, folder: boolean, anchor: HTMLElement): void;
  rename(path: string, folder: boolean): void;
  remove(path: string, folder: boolean): void;
  moved(path: string, intoFolder: string): void;
}

interface Row {
  path: string;
  name: string;
  depth: number;
  entry: Entry | null; // null for a folder
}

export class Tree {
  private closed = new Set<string>();
  private current = "";
  private focused = "";
  private rows: Row[] = [];

  constructor(private readonly list: HTMLElement, private readonly say: Say, private readonly events: TreeEvents) {
    list.setAttribute("role", "tree");
    list.addEventListener("keydown", (e) => this.key(e));
    list.addEventListener("click", (e) => this.click(e));
    list.addEventListener("focusin", (e) => {
      const a = this.rowAt(e.target);
      if (a) this.focused = a.dataset.path!;
    });
    list.addEventListener("contextmenu", (e) => {
      const a = this.rowAt(e.target);
      if (!a) return;
      e.preventDefault();
      this.events.menu(a.dataset.path!, !!a.dataset.folder, a);
    });
    this.dragging();
  }

  // draw shows the files; current is the one in the editor.
  draw(entries: Entry[], current: string) {
    this.current = current;
    if (current) this.openParents(current);
    this.rows = this.rowsOf(entries);
    const had = this.list.contains(document.activeElement);
    const shown = (path: string) => this.rows.some((r) => r.path === path);
    if (!had && shown(current)) this.focused = current;
    if (!shown(this.focused)) this.focused = this.rows[0]?.path ?? "";
    this.list.replaceChildren(...this.rows.map((r) => h("li", { role: "none" }, this.item(r))));
    if (had) this.focus(this.focused);
  }

  private openParents(path: string) {
    for (let i = path.indexOf("/"); i > 0; i = path.indexOf("/", i + 1)) this.closed.delete(path.slice(0, i));
  }

  private rowsOf(entries: Entry[]): Row[] {
    const rows: Row[] = [], seen = new Set<string>();
    for (const e of entries) {
      const parts = e.path.split("/");
      let hidden = false;
      for (let i = 1; i < parts.length && !hidden; i++) {
        const folder = parts.slice(0, i).join("/");
        if (!seen.has(folder)) rows.push({ path: folder, name: parts[i - 1], depth: i - 1, entry: null });
        seen.add(folder);
        hidden = this.closed.has(folder);
      }
      if (!hidden) rows.push({ path: e.path, name: parts.at(-1)!, depth: parts.length - 1, entry: e });
    }
    return rows;
  }

  private item(r: Row): HTMLElement {
    const folder = r.entry === null, open = folder && !this.closed.has(r.path);
    const status = r.entry?.status ?? "";
    const a = h("a", {
      href: "?file=" + encodeURIComponent(r.path), role: "treeitem", "aria-level": String(r.depth + 1), "data-path": r.path,
      "data-folder": folder, class: folder ? "dir" : status === "D" ? "gone" : undefined, tabindex: r.path === this.focused ? "0" : "-1",
      "aria-expanded": folder ? String(open) : undefined, "aria-current": r.path === this.current ? "true" : undefined, draggable: "true",
      "aria-selected": String(r.path === this.current),
    },
      folder ? icon(open ? "down" : "right", true) : icon(r.entry!.binary || r.entry!.large ? "lock" : "file"), h("span", {}, r.name),
      status ? h("em", { title: this.say("js.ws.status." + status) }, status, h("span", { class: "vh" }, this.say("js.ws.status." + status))) : null,
      h("span", { class: "tree-m", title: this.say("js.ws.more") }, icon("dots", true)));
    a.style.paddingLeft = 8 + r.depth * 18 + "px";
    return a;
  }

  private rowAt(target: EventTarget | null): HTMLElement | null {
    return (target as Element | null)?.closest<HTMLElement>("a[data-path]") ?? null;
  }

  private click(e: MouseEvent) {
    const a = this.rowAt(e.target);
    if (!a || e.ctrlKey || e.metaKey) return;
    e.preventDefault();
    this.focused = a.dataset.path!;
    const more = (e.target as Element).closest<HTMLElement>(".tree-m");
    if (more) this.events.menu(this.focused, !!a.hasAttribute("data-folder"), more);
    else this.choose(a);
  }

  private choose(a: HTMLElement) {
    if (a.hasAttribute("data-folder")) this.toggle(a.dataset.path!);
    else this.events.open(a.dataset.path!);
  }

  private toggle(folder: string) {
    if (!this.closed.delete(folder)) this.closed.add(folder);
    this.redraw?.();
  }

  redraw: (() => void) | null = null;

  private focus(path: string) {
    for (const a of this.list.querySelectorAll<HTMLElement>("a[data-path]")) {
      const on = a.dataset.path === path;
      a.tabIndex = on ? 0 : -1;
      if (on) a.focus();
    }
    this.focused = path;
  }

  private key(e: KeyboardEvent) {
    const at = this.rows.findIndex((r) => r.path === this.focused);
    const row = this.rows[at];
    if (!row || e.ctrlKey || e.metaKey || e.altKey) return;
    const folder = row.entry === null, closed = this.closed.has(row.path);
    const go = (i: number) => this.rows[i] && this.focus(this.rows[i].path);
    switch (e.key) {
      case "ArrowDown": go(at + 1); break;
      case "ArrowUp": go(at - 1); break;
      case "Home": go(0); break;
      case "End": go(this.rows.length - 1); break;
      case "ArrowRight": folder && closed ? this.toggle(row.path) : go(at + 1); break;
      case "ArrowLeft": folder && !closed ? this.toggle(row.path) : this.focus(parent(row.path) || row.path); break;
      case "Enter": case " ": folder ? this.toggle(row.path) : this.events.open(row.path); break;
      case "F2": this.events.rename(row.path, folder); break;
      case "Delete": this.events.remove(row.path, folder); break;
      case "ContextMenu": this.openMenuAt(row.path, folder); break;
      default:
        if (e.key === "F10" && e.shiftKey) this.openMenuAt(row.path, folder);
        else return;
    }
    e.preventDefault();
  }

  private openMenuAt(path: string, folder: boolean) {
    const a = [...this.list.querySelectorAll<HTMLElement>("a[data-path]")].find((x) => x.dataset.path === path);
    if (a) this.events.menu(path, folder, a);
  }

  private dragging() {
    const kind = "application/x-kiln-path";
    this.list.addEventListener("dragstart", (e) => {
      const a = this.rowAt(e.target);
      if (a) e.dataTransfer?.setData(kind, a.dataset.path!);
    });
    this.list.addEventListener("dragover", (e) => {
      if (e.dataTransfer?.types.includes(kind)) e.preventDefault();
    });
    this.list.addEventListener("drop", (e) => {
      const path = e.dataTransfer?.getData(kind);
      if (!path) return;
      e.preventDefault();
      const a = this.rowAt(e.target);
      this.events.moved(path, !a ? "" : a.hasAttribute("data-folder") ? a.dataset.path! : parent(a.dataset.path!));
    });
  }
}

export function parent(path: string): string {
  return path.slice(0, Math.max(0, path.lastIndexOf("/")));
}
