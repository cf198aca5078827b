// Small parts that the workspace builds at run time: elements, menus, questions, text to the clipboard.

type Child = Node | string | null | undefined | false;
type Props = Record<string, string | boolean | EventListener | undefined>;

// h makes an element; on… properties are listeners, true is an empty attribute, false and undefined leave one out.
export function h<K extends keyof HTMLElementTagNameMap>(tag: K, props: Props = {}, ...children: Child[]): HTMLElementTagNameMap[K] {
  const el = document.createElement(tag);
  for (const [name, value] of Object.entries(props)) {
    if (typeof value === "function") el.addEventListener(name.slice(2), value);
    else if (value === true) el.setAttribute(name, "");
    else if (typeof value === "string") el.setAttribute(name, value);
  }
  for (const c of children) if (c) el.append(c);
  return el;
}

let spriteURL = "";

// sprite is where the page's own icons come from, up to the name.
function sprite(): string {
  spriteURL ||= document.querySelector("use[href*='#i-']")?.getAttribute("href")?.replace(/#i-.*$/, "#i-") ?? "#i-";
  return spriteURL;
}

export function icon(name: string, small = false): SVGSVGElement {
  const ns = "http://www.w3.org/2000/svg";
  const svg = document.createElementNS(ns, "svg");
  svg.setAttribute("class", small ? "i i-12" : "i");
  svg.setAttribute("aria-hidden", "true");
  const use = document.createElementNS(ns, "use");
  use.setAttribute("href", sprite() + name);
  svg.append(use);
  return svg;
}

// setIcon changes the icon of a part that the server drew.
export function setIcon(root: Element, name: string) {
  root.querySelector("use")?.setAttribute("href", sprite() + name);
}

export function one<T extends HTMLElement>(selector: string, root: ParentNode = document): T {
  const el = root.querySelector<T>(selector);
  if (!el) throw new Error("workspace: no " + selector);
  return el;
}

// MenuItem is a command, or with run left out a quiet heading.
export interface MenuItem {
  label: string;
  detail?: string;
  icon?: string;
  danger?: boolean;
  checked?: boolean;
  run?: () => void;
}

// openMenu shows a menu under its button and gives the focus back when it closes.
export function openMenu(anchor: HTMLElement, label: string, items: MenuItem[]) {
  const menu = h("div", { class: "ws-menu", role: "menu", popover: "auto", "aria-label": label });
  const buttons: HTMLButtonElement[] = [];
  for (const item of items) {
    if (!item.run) {
      menu.append(h("div", { class: "ws-menu-h", role: "presentation" }, item.label));
      continue;
    }
    const b = h("button", {
      type: "button", role: item.checked === undefined ? "menuitem" : "menuitemradio", tabindex: "-1",
      "aria-checked": item.checked === undefined ? undefined : String(item.checked), class: item.danger ? "btn-danger" : undefined,
      onclick: () => {
        menu.hidePopover();
        item.run?.();
      },
    }, item.icon ? icon(item.icon) : null, h("span", {}, item.label), item.detail ? h("em", {}, item.detail) : null, item.checked ? icon("check", true) : null);
    buttons.push(b);
    menu.append(b);
  }
  document.body.append(menu);
  menu.addEventListener("keydown", (e) => menuKeys(e, buttons));
  menu.addEventListener("toggle", (e) => {
    if ((e as ToggleEvent).newState !== "closed") return;
    anchor.setAttribute("aria-expanded", "false");
    if (menu.contains(document.activeElement) || document.activeElement === document.body) anchor.focus();
    menu.remove();
  });
  menu.showPopover();
  place(menu, anchor);
  anchor.setAttribute("aria-expanded", "true");
  (buttons.find((b) => b.getAttribute("aria-checked") === "true") ?? buttons[0])?.focus();
}

function menuKeys(e: KeyboardEvent, buttons: HTMLButtonElement[]) {
  const at = buttons.indexOf(document.activeElement as HTMLButtonElement);
  const n = buttons.length;
  const next: Record<string, number> = { ArrowDown: (at + 1) % n, ArrowUp: (at - 1 + n) % n, Home: 0, End: n - 1 };
  let to = next[e.key];
  if (to === undefined && e.key.length === 1 && !e.ctrlKey && !e.metaKey) {
    to = buttons.findIndex((b, i) => i > at && b.textContent!.trim().toLowerCase().startsWith(e.key.toLowerCase()));
    if (to < 0) to = buttons.findIndex((b) => b.textContent!.trim().toLowerCase().startsWith(e.key.toLowerCase()));
    if (to < 0) return;
  }
  if (to === undefined) return;
  e.preventDefault();
  buttons[to].focus();
}

function place(menu: HTMLElement, anchor: HTMLElement) {
  const a = anchor.getBoundingClientRect(), m = menu.getBoundingClientRect();
  const left = Math.max(8, Math.min(a.left, innerWidth - m.width - 8));
  const below = a.bottom + 4 + m.height <= innerHeight - 8;
  menu.style.left = left + "px";
  menu.style.top = (below ? a.bottom + 4 : Math.max(8, a.top - 4 - m.height)) + "px";
}

// Question is a small dialog: a sentence, an optional text, and what the button does.
export interface Question {
  title: string;
  text?: string;
  field?: { label: string; value: string; hint?: string; check?: (v: string) => string };
  choices: { label: string; value: string; act?: boolean; danger?: boolean }[];
  cancel: string;
}

// ask answers the chosen value and the text, or null when the person cancelled.
export function ask(q: Question): Promise<{ choice: string; text: string } | null> {
  return new Promise((done) => {
    const input = q.field && h("input", { class: "input mono", id: "ask-field", value: q.field.value, autocomplete: "off", spellcheck: "false" });
    const problem = h("p", { class: "err-msg", role: "alert", hidden: true });
    const buttons = q.choices.map((c) =>
      h("button", { class: "btn" + (c.act ? " btn-act" : "") + (c.danger ? " btn-danger" : ""), value: c.value }, c.label));
    const dialog = h("dialog", { class: "dialog ask", "aria-label": q.title },
      h("form", { method: "dialog" },
        h("h2", {}, q.title), q.text ? h("p", { class: "ask-t" }, q.text) : null,
        q.field ? h("div", { class: "field" }, h("label", { for: "ask-field" }, q.field.label), input, q.field.hint ? h("p", { class: "hint" }, q.field.hint) : null, problem) : null,
        h("div", { class: "acts" }, h("span", { class: "grow" }), h("button", { class: "btn btn-quiet", type: "button", onclick: () => dialog.close("") }, q.cancel), ...buttons)));
    dialog.addEventListener("submit", (e) => {
      const wrong = q.field?.check?.(input!.value.trim()) ?? "";
      problem.textContent = wrong;
      problem.hidden = wrong === "";
      if (wrong) e.preventDefault();
    });
    dialog.addEventListener("close", () => {
      dialog.remove();
      done(dialog.returnValue ? { choice: dialog.returnValue, text: input?.value.trim() ?? "" } : null);
    });
    document.body.append(dialog);
    dialog.showModal();
    if (input) {
      input.focus();
      const dot = input.value.lastIndexOf(".");
      input.setSelectionRange(input.value.lastIndexOf("/") + 1, dot > 0 ? dot : input.value.length);
    }
  });
}

// copy puts text on the clipboard, also on pages without https.
export async function copy(text: string) {
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    const area = h("textarea", { class: "vh" });
    area.value = text;
    document.body.append(area);
    area.select();
    document.execCommand("copy");
    area.remove();
  }
}
