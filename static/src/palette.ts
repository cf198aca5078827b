// The palette: type to filter (the server answers), arrows to choose, Enter to go, Escape to leave.
import htmx from "./htmx";

export function start(el: HTMLElement) {
  const input = el.querySelector<HTMLInputElement>("input")!;
  const list = el.querySelector<HTMLElement>("[role=listbox]")!;
  const before = document.activeElement as HTMLElement | null;
  let chosen = 0;

  const options = () => [...list.querySelectorAll<HTMLAnchorElement>("[role=option]")];
  const choose = (i: number) => {
    const all = options();
    chosen = Math.max(0, Math.min(i, all.length - 1));
    all.forEach((o, n) => o.setAttribute("aria-selected", String(n === chosen)));
    const o = all[chosen];
    if (o) {
      input.setAttribute("aria-activedescendant", o.id);
      o.scrollIntoView({ block: "nearest" });
    }
  };
  const close = () => {
    el.remove();
    before?.focus();
  };

  el.addEventListener("keydown", (e) => {
    if (e.key === "Escape") close();
    else if (e.key === "ArrowDown") choose(chosen + 1);
    else if (e.key === "ArrowUp") choose(chosen - 1);
    else if (e.key === "Enter") options()[chosen]?.click();
    else if (e.key === "Tab") { /* the input is the only stop inside */ }
    else return;
    e.preventDefault();
  });
  el.addEventListener("mousedown", (e) => {
    if (e.target === el) close();
  });
  list.addEventListener("click", () => setTimeout(() => el.remove()));
  list.addEventListener("htmx:afterSwap", () => choose(0));
  htmx.process(el);
  choose(0);
  input.focus();
}
