// The open files above the editor.
import { h, icon } from "./workspace-dom";
import type { Say } from "./editor-marks";
import type { Status } from "./workspace-project";

export interface TabEvents {
  show(path: string): void;
  close(path: string): void;
}

export class Tabs {
  readonly paths: string[] = [];

  constructor(private readonly bar: HTMLElement, private readonly say: Say, private readonly events: TabEvents) {
    bar.addEventListener("click", (e) => this.click(e));
    bar.addEventListener("auxclick", (e) => {
      const tab = (e.target as Element).closest<HTMLElement>("[data-path]");
      if (e.button === 1 && tab) events.close(tab.dataset.path!);
    });
    bar.addEventListener("keydown", (e) => this.key(e));
  }

  add(path: string) {
    if (!this.paths.includes(path)) this.paths.push(path);
  }

  // remove answers the path that should be shown instead, "" when none is left.
  remove(path: string): string {
    const at = this.paths.indexOf(path);
    if (at < 0) return this.paths[0] ?? "";
    this.paths.splice(at, 1);
    return this.paths[Math.min(at, this.paths.length - 1)] ?? "";
  }

  rename(from: string, to: string) {
    const at = this.paths.indexOf(from);
    if (at >= 0) this.paths[at] = to;
  }

  draw(current: string, status: (path: string) => Status) {
    const had = this.bar.contains(document.activeElement);
    this.bar.replaceChildren(...this.paths.map((p) => this.tab(p, p === current, status(p))));
    const on = this.bar.querySelector<HTMLElement>("[aria-selected=true]");
    on?.scrollIntoView({ block: "nearest", inline: "nearest" });
    if (had) on?.focus();
  }

  private tab(path: string, on: boolean, status: Status): HTMLElement {
    const name = path.slice(path.lastIndexOf("/") + 1);
    const twin = this.paths.some((p) => p !== path && p.slice(p.lastIndexOf("/") + 1) === name);
    return h("div", { class: "et", role: "tab", "aria-selected": String(on), "data-path": path, title: path, tabindex: on ? "0" : "-1" },
      h("span", {}, twin ? path : name),
      status ? h("i", { class: "dot ink" }) : null, status ? h("span", { class: "vh" }, this.say("js.ws.notDeployed")) : null,
      h("span", { class: "et-x", title: this.say("js.ws.close") }, icon("x", true)));
  }

  private click(e: MouseEvent) {
    const tab = (e.target as Element).closest<HTMLElement>("[data-path]");
    if (!tab) return;
    if ((e.target as Element).closest(".et-x")) this.events.close(tab.dataset.path!);
    else this.events.show(tab.dataset.path!);
  }

  private key(e: KeyboardEvent) {
    const tab = (e.target as Element).closest<HTMLElement>("[data-path]");
    if (!tab) return;
    const at = this.paths.indexOf(tab.dataset.path!), n = this.paths.length;
    const to: Record<string, number> = { ArrowRight: (at + 1) % n, ArrowLeft: (at - 1 + n) % n, Home: 0, End: n - 1 };
    if (e.key === "Delete") this.events.close(tab.dataset.path!);
    else if (to[e.key] !== undefined) this.events.show(this.paths[to[e.key]]);
    else return;
    e.preventDefault();
    this.bar.querySelector<HTMLElement>("[aria-selected=true]")?.focus();
  }
}
