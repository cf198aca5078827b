// Configure: counts changes while they are made, adds and removes rows in place, and warns before they are lost.
import { ready, t } from "./i18n";

export async function start(el: HTMLElement) {
  const form = el as HTMLFormElement;
  await ready();
  const fields = () => [...form.elements].filter((f): f is HTMLInputElement => "name" in f && !!(f as HTMLInputElement).name && !/^(_csrf|revision|do)$/.test((f as HTMLInputElement).name));
  const pairs = (kind: string) =>
    Object.fromEntries(
      [...form.querySelectorAll(`[data-pairs=${kind}] [role=row]:not(.env-h)`)].map((row) => {
        const [name, value] = row.querySelectorAll("input");
        return [name.value.trim(), value.value];
      }).filter(([name, value]) => name || value),
    ) as Record<string, string>;
  const state = () => {
    const out: Record<string, string> = {};
    for (const f of fields()) if (!/_(name|value)$/.test(f.name)) out[f.name] = f.value;
    for (const kind of ["env", "tag"]) for (const [name, value] of Object.entries(pairs(kind))) out[`${kind} ${name}`] = value;
    return out;
  };

  const before = state();
  // A form that came back with messages or a conflict starts with changes already: the server's count stays until something is touched.
  const serverCount = form.querySelector("[data-names]")?.textContent?.trim() ? 1 : 0;
  let leaving = false;

  const changed = () => {
    const now = state();
    return [...new Set([...Object.keys(before), ...Object.keys(now)])].filter((k) => before[k] !== now[k]);
  };
  const show = () => {
    const n = changed().length;
    if (!serverCount) form.querySelector("[data-count]")!.textContent = n ? t("js.changes", { n }) : t("js.nochanges");
    const size = new TextEncoder().encode(JSON.stringify(pairs("env"))).length;
    const label = form.querySelector("[data-env-size]");
    if (label) label.textContent = t("js.env.size", { n: size > 2 ? size : 0 });
  };

  const addRow = (kind: string) => {
    const table = form.querySelector<HTMLElement>(`[data-pairs=${kind}]`)!;
    const row = (table.querySelector("[role=row]:not(.env-h)") ?? form.querySelector("[data-pairs] [role=row]:not(.env-h)"))?.cloneNode(true) as HTMLElement | undefined;
    if (!row) return false;
    row.classList.remove("chg");
    row.querySelector(".was")?.remove();
    row.querySelectorAll("input").forEach((input, i) => {
      input.name = kind + (i ? "_value" : "_name");
      input.value = "";
    });
    table.append(row);
    row.querySelector("input")?.focus();
    return true;
  };

  form.addEventListener("click", (e) => {
    const at = e.target as Element;
    const add = at.closest<HTMLElement>("[data-add]");
    if (add && addRow(add.dataset.add!)) e.preventDefault();
    const remove = at.closest("[data-remove]");
    if (remove) {
      const row = remove.closest("[role=row]")!;
      const next = (row.nextElementSibling ?? row.previousElementSibling)?.querySelector<HTMLElement>("input");
      row.remove();
      next?.focus();
      show();
    }
    if (at.closest("[data-discard]")) leaving = true;
  });
  form.addEventListener("input", show);
  form.addEventListener("change", show);
  form.addEventListener("submit", () => (leaving = true));

  const guard = (e: BeforeUnloadEvent) => {
    if (!leaving && changed().length) e.preventDefault();
  };
  addEventListener("beforeunload", guard);
  const unfollow = followSections(form);
  return () => {
    removeEventListener("beforeunload", guard);
    unfollow();
  };
}

/** followSections marks in the list which section is on screen. */
function followSections(form: HTMLElement): () => void {
  const links = new Map([...form.querySelectorAll<HTMLElement>("[data-section]")].map((a) => [a.dataset.section!, a]));
  const pane = form.querySelector(".cfg-m");
  const seen = new Set<string>();
  const watch = new IntersectionObserver((entries) => {
    for (const e of entries) {
      if (e.isIntersecting) seen.add(e.target.id);
      else seen.delete(e.target.id);
    }
    const top = [...links.keys()].find((id) => seen.has(id));
    if (!top) return;
    links.forEach((a, id) => (id === top ? a.setAttribute("aria-current", "true") : a.removeAttribute("aria-current")));
  }, { root: pane, rootMargin: "0px 0px -75% 0px" });
  form.querySelectorAll(".cfg-s").forEach((s) => watch.observe(s));
  return () => watch.disconnect();
}
