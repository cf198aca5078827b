// The list of invocations: new ones appear by themselves, a row opens its sheet beside the list, and the address always says what is shown.
import { ready, t } from "./i18n";
import { notice, typing } from "./page";
import { subscribe } from "./socket";

const quiet = 500; // ms between two looks at the list

export async function start(el: HTMLElement) {
  await ready();
  const page = new Page(el);
  return () => page.stop();
}

class Page {
  private tbody: HTMLElement;
  private place: HTMLElement;
  private newer = document.querySelector<HTMLElement>("[data-newer]")!;
  private unsubscribe: () => void;
  private timer = 0;
  private came = 0;
  private gone = new AbortController();

  constructor(private el: HTMLElement) {
    this.tbody = el.querySelector("tbody")!;
    this.place = el.querySelector("#inv-sheet")!;
    const signal = this.gone.signal;
    el.addEventListener("click", (e) => this.clicked(e), { signal });
    document.addEventListener("keydown", (e) => this.key(e), { signal });
    addEventListener("popstate", () => this.fromAddress(), { signal });
    this.unsubscribe = subscribe({ topic: "runs", fn: el.dataset.function ?? "", where: () => ({}), onFrame: (f) => this.heard((f.p as { s: string; id: string }[]) ?? []), onState: (s) => { if (s === "live") this.catchUp(); } });
    this.dress();
  }

  stop() {
    this.gone.abort();
    this.unsubscribe();
    clearTimeout(this.timer);
  }

  private heard(reports: { s: string; id: string }[]) {
    const ended = reports.filter((r) => r.s !== "running");
    if (!ended.length) return;
    const waiting = this.sheet?.dataset.status === "running" && ended.some((r) => r.id === this.sheet!.dataset.id);
    if (waiting) setTimeout(() => void this.open(this.sheet!.dataset.id!, false), 300);
    this.came += ended.length;
    this.timer ||= window.setTimeout(() => void this.look(), quiet);
  }

  // catchUp reads what came between the page and the socket, or while the connection was lost.
  private catchUp() {
    if (this.el.hasAttribute("data-follow")) this.timer ||= window.setTimeout(() => void this.look(), quiet);
  }

  // look reads the rows again while the newest are in view; else it says how many came.
  private async look() {
    this.timer = 0;
    if (!this.el.hasAttribute("data-follow") || this.el.scrollTop > 40 || document.hidden) {
      this.newer.hidden = this.came === 0;
      this.newer.textContent = t("js.inv.newer", { n: this.came.toLocaleString() });
      return;
    }
    const u = new URL(location.href);
    u.searchParams.set("part", "rows");
    const r = await fetch(u, { headers: { "HX-Request": "true" } });
    if (!r.ok) return;
    this.swapRows(await r.text());
    this.came = 0;
    this.newer.hidden = true;
  }

  private swapRows(html: string) {
    const focused = (document.activeElement as HTMLElement)?.closest?.<HTMLElement>("tr[data-id]")?.dataset.id;
    const box = document.createElement("template");
    box.innerHTML = `<table><tbody>${html}</tbody></table>`;
    const rows = [...box.content.querySelectorAll("tr")];
    if (!rows.length) return;
    this.tbody.replaceChildren(...rows);
    this.el.querySelector(".inv-none")?.remove();
    this.choose(this.sheet?.dataset.id ?? "");
    if (focused) this.row(focused)?.querySelector<HTMLElement>("a")?.focus({ preventScroll: true });
  }

  private get sheet() {
    return this.place.querySelector<HTMLElement>(".sheet");
  }

  private row(id: string) {
    return this.tbody.querySelector<HTMLElement>(`tr[data-id="${CSS.escape(id)}"]`);
  }

  private choose(id: string) {
    for (const r of this.tbody.querySelectorAll("tr[aria-selected]")) r.removeAttribute("aria-selected");
    this.row(id)?.setAttribute("aria-selected", "true");
  }

  private clicked(e: MouseEvent) {
    if (e.ctrlKey || e.metaKey || e.shiftKey || e.button || getSelection()?.type === "Range") return;
    const at = e.target as HTMLElement;
    if (at.closest("[data-close-sheet]")) {
      e.preventDefault();
      return this.close(true);
    }
    const step = at.closest("[data-prev]") ? -1 : at.closest("[data-next]") ? 1 : 0;
    if (step) return this.step(step);
    const link = at.closest<HTMLElement>("[data-permalink]");
    if (link) {
      void navigator.clipboard.writeText(new URL(link.dataset.permalink!, location.href).href).then(() => notice(t("js.copied")));
      return;
    }
    const tr = at.closest<HTMLElement>("tr[data-id]");
    if (!tr || (at.closest("a") && at.closest("a") !== tr.querySelector("td:nth-child(3) a"))) return;
    e.preventDefault();
    void this.open(tr.dataset.id!, true);
  }

  private async open(id: string, push: boolean) {
    const u = new URL(location.href);
    u.searchParams.set("id", id);
    const part = new URL(u);
    part.searchParams.set("part", "sheet");
    const r = await fetch(part, { headers: { "HX-Request": "true" } });
    if (!r.ok) {
      location.assign(u);
      return;
    }
    this.place.innerHTML = await r.text();
    this.el.classList.add("open");
    this.choose(id);
    if (push) history.pushState(null, "", u);
    this.dress();
    this.sheet?.focus({ preventScroll: true });
    this.row(id)?.scrollIntoView({ block: "nearest" });
  }

  private close(push: boolean) {
    const id = this.sheet?.dataset.id;
    this.place.replaceChildren();
    this.el.classList.remove("open");
    this.choose("");
    if (push) {
      const u = new URL(location.href);
      u.searchParams.delete("id");
      history.pushState(null, "", u);
    }
    if (id) this.row(id)?.querySelector<HTMLElement>("td:nth-child(3) a")?.focus({ preventScroll: true });
  }

  private fromAddress() {
    const id = new URLSearchParams(location.search).get("id");
    if (id) void this.open(id, false);
    else this.close(false);
  }

  // dress shows the buttons that need a script.
  private dress() {
    const id = this.sheet?.dataset.id;
    if (!id) return;
    const row = this.row(id);
    this.place.querySelector<HTMLElement>("[data-prev]")!.hidden = !row?.previousElementSibling;
    this.place.querySelector<HTMLElement>("[data-next]")!.hidden = !row?.nextElementSibling;
  }

  private step(by: number) {
    const now = this.sheet ? this.row(this.sheet.dataset.id!) : null;
    const next = !now ? this.tbody.firstElementChild : by < 0 ? now.previousElementSibling : now.nextElementSibling;
    if (next) void this.open((next as HTMLElement).dataset.id!, true);
  }

  private key(e: KeyboardEvent) {
    if (typing(e) || e.ctrlKey || e.metaKey || e.altKey || document.getElementById("palette")) return;
    if (e.key === "j") this.step(1);
    else if (e.key === "k") this.step(-1);
    else if (e.key === "Escape" && this.sheet) this.close(true);
    else return;
    e.preventDefault();
  }
}
