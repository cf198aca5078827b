// The function list by keyboard: j and k move, Enter opens, l, m and n go to logs, monitor and a new function.
import { typing } from "./page";

export function start(el: HTMLElement) {
  const rows = () => [...el.querySelectorAll<HTMLTableRowElement>("tbody tr[data-href]")];
  let at = -1;

  const move = (by: number) => {
    const all = rows();
    if (!all.length) return;
    at = Math.max(0, Math.min(at + by, all.length - 1));
    all.forEach((r, n) => r.toggleAttribute("data-chosen", n === at));
    all[at].querySelector<HTMLElement>("a")?.focus({ preventScroll: true });
    all[at].scrollIntoView({ block: "nearest" });
  };
  const go = (suffix: string) => {
    const href = rows()[at]?.dataset.href;
    if (href) location.assign(href + suffix);
  };
  const onKey = (e: KeyboardEvent) => {
    if (typing(e) || e.ctrlKey || e.metaKey || e.altKey || document.getElementById("palette")) return;
    if (e.key === "j") move(1);
    else if (e.key === "k") move(-1);
    else if (e.key === "l") go("/logs");
    else if (e.key === "m") go("/monitor");
    else if (e.key === "n") location.assign("/new");
    else if (e.key === "Enter" && !(e.target as Element).closest("a, button")) go("");
  };
  document.addEventListener("keydown", onKey);
  el.addEventListener("focusin", (e) => {
    const row = (e.target as Element).closest("tr");
    const i = rows().findIndex((r) => r === row);
    if (i >= 0) at = i;
  });
  return () => document.removeEventListener("keydown", onKey);
}
