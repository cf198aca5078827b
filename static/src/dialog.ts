// Dialogs that the server draws into #overlay: focus goes in, stays in, and back when they close.

const stops = "a[href], button:not([disabled]), input:not([disabled]):not([type=hidden]), select, textarea, [tabindex='0']";

let before: HTMLElement | null = null;

const current = () => document.querySelector<HTMLElement>("#overlay [data-dialog]");

function opened() {
  const el = current();
  if (!el || el.dataset.open) return;
  el.dataset.open = "1";
  before = document.activeElement as HTMLElement | null;
  const first = el.querySelector<HTMLElement>("[autofocus], input:not([type=hidden])") ?? [...el.querySelectorAll<HTMLElement>(stops)].find((s) => !s.hasAttribute("data-close"));
  (first ?? el.querySelector<HTMLElement>(stops))?.focus();
}

/** closeDialog takes the dialog away and gives the focus back. */
export function closeDialog() {
  current()?.remove();
  before?.focus();
  before = null;
}

function onKey(e: KeyboardEvent) {
  const el = current();
  if (!el) return;
  if (e.key === "Escape") {
    e.preventDefault();
    closeDialog();
    return;
  }
  if (e.key !== "Tab") return;
  const all = [...el.querySelectorAll<HTMLElement>(stops)].filter((s) => s.getClientRects().length > 0);
  const at = all.indexOf(document.activeElement as HTMLElement);
  const leaving = e.shiftKey ? at <= 0 : at === all.length - 1;
  if (!leaving || !all.length) return;
  e.preventDefault();
  all[e.shiftKey ? all.length - 1 : 0].focus();
}

export function startDialogs() {
  document.addEventListener("keydown", onKey);
  document.addEventListener("htmx:afterSettle", opened);
  document.addEventListener("mousedown", (e) => {
    if (e.target === current()) closeDialog();
  });
}
