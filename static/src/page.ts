// What every page needs: theme switch, time zone, notices that go away, dialogs, copying.
import { closeDialog, startDialogs } from "./dialog";
import { t, ready } from "./i18n";

const root = document.documentElement;

function isDark(): boolean {
  return root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
}

function keep(name: string, value: string) {
  const csrf = document.body.dataset.csrf;
  if (!csrf) return;
  void fetch("/preferences", {
    method: "POST",
    headers: { "X-CSRF-Token": csrf, "Content-Type": "application/x-www-form-urlencoded", Accept: "application/json" },
    body: new URLSearchParams({ name, value }),
  });
}

function switchTheme() {
  root.dataset.theme = isDark() ? "light" : "dark";
  keep("theme", root.dataset.theme);
  document.dispatchEvent(new CustomEvent("kiln:theme"));
}

/** notice shows a short message at the bottom; kind "err" stays until it is closed. */
export function notice(text: string, kind: "ok" | "err" = "ok") {
  const area = document.getElementById("notices");
  if (!area) return;
  const div = document.createElement("div");
  div.className = "toast";
  div.dataset.kind = kind;
  const span = document.createElement("span");
  span.textContent = text;
  div.append(span);
  area.replaceChildren(div);
  settleNotices();
}

function settleNotices() {
  for (const el of document.querySelectorAll<HTMLElement>("#notices > .toast")) {
    if (el.dataset.settled || el.dataset.kind === "err") continue;
    el.dataset.settled = "1";
    setTimeout(() => el.remove(), 6000);
  }
}

async function copy(el: HTMLElement) {
  const from = el.dataset.copyFrom ? document.querySelector(el.dataset.copyFrom)?.textContent : el.dataset.copy;
  await navigator.clipboard.writeText(from ?? "");
  await ready();
  notice(t("js.copied"));
}

function onClick(e: MouseEvent) {
  const el = (e.target as Element).closest<HTMLElement>("[data-theme-toggle], [data-close], [data-copy], [data-copy-from]");
  if (!el) return;
  if (el.matches("[data-theme-toggle]")) {
    e.preventDefault();
    switchTheme();
  } else if (el.matches("[data-close]")) {
    if (el.closest("[data-dialog]")) {
      e.preventDefault();
      closeDialog();
    } else el.closest<HTMLElement>(".toast, .scrim, dialog")?.remove();
  } else void copy(el);
}

/** typing says whether a key press belongs to a field and must not be taken as a shortcut. */
export function typing(e: KeyboardEvent): boolean {
  const el = e.target as HTMLElement;
  return el.isContentEditable || /^(INPUT|TEXTAREA|SELECT)$/.test(el.tagName);
}

/** pressed is "ctrl+s" and the like; "" for keys that are no shortcut of a button. */
function pressed(e: KeyboardEvent): string {
  return (e.ctrlKey || e.metaKey) && !e.altKey && !e.shiftKey ? "ctrl+" + e.key.toLowerCase() : "";
}

function onKey(e: KeyboardEvent) {
  const combination = pressed(e);
  const button = combination && document.querySelector<HTMLElement>(`[data-key="${combination.replace(/["\\]/g, "")}"]`);
  if (button && !document.querySelector(".scrim, dialog[open]")) {
    e.preventDefault();
    button.click();
    return;
  }
  if (e.key === "/" && !typing(e) && !e.ctrlKey && !e.metaKey) {
    const filter = document.querySelector<HTMLInputElement>("[data-filter]");
    if (filter) {
      e.preventDefault();
      filter.focus();
    }
  }
}

/** startMenus closes the account menu like a menu: by Escape, or by a click or focus elsewhere. */
function startMenus() {
  const close = (e: Event) => {
    for (const m of document.querySelectorAll<HTMLDetailsElement>(".topbar details[open]")) if (!m.contains(e.target as Node)) m.open = false;
  };
  document.addEventListener("pointerdown", close);
  document.addEventListener("focusin", close);
  document.addEventListener("keydown", (e) => {
    const menu = e.key === "Escape" && document.querySelector<HTMLDetailsElement>(".topbar details[open]");
    if (!menu) return;
    menu.open = false;
    menu.querySelector("summary")?.focus();
  });
}

function rememberZone() {
  const zone = Intl.DateTimeFormat().resolvedOptions().timeZone;
  if (!zone || document.cookie.includes(`kiln_zone=${zone}`)) return;
  document.cookie = `kiln_zone=${zone}; path=/; max-age=31536000; samesite=lax`;
}

export function startPage() {
  rememberZone();
  settleNotices();
  startDialogs();
  startMenus();
  document.querySelector(".tabs [aria-current]")?.scrollIntoView({ block: "nearest", inline: "center" });
  document.addEventListener("click", onClick);
  document.addEventListener("keydown", onKey);
  document.addEventListener("htmx:afterSettle", settleNotices);
  document.addEventListener("htmx:sendError", () => void ready().then(() => notice(t("js.offline"), "err")));
}
