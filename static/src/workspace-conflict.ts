// When two hands write: another tab saved the draft, or somebody deployed below it. Nothing is lost until the person has chosen.
import type { Say } from "./editor-marks";
import { h, icon, one } from "./workspace-dom";
import type { DraftFile, FileInfo } from "./workspace-project";
import type { Deployed, Workspace } from "./workspace";

interface State extends Deployed {
  by: string;
  at: string;
  codeChanged: boolean; // between the draft's base and the deployed revision
}

interface Choice {
  label: string;
  run: () => void | Promise<void>;
}

export class Conflicts {
  constructor(private readonly page: Workspace, private readonly say: Say) {}

  banner(kind: "warn" | "err", text: string, choices: Choice[]) {
    const bar = h("div", { class: "banner banner-" + kind, role: "alert" }, icon(kind), h("span", { class: "banner-t" }, text));
    for (const c of choices) bar.append(h("button", { type: "button", class: "btn btn-sm", onclick: () => void c.run() }, c.label));
    if (!choices.length) bar.append(h("button", { type: "button", class: "btn btn-sm btn-quiet", onclick: () => this.clear() }, this.say("js.ws.dismiss")));
    one("#ws-banner").replaceChildren(bar);
  }

  clear() {
    one("#ws-banner").replaceChildren();
  }

  // leftover: a killed tab left work, but the draft was saved since.
  leftover(at: string, use: () => void) {
    this.banner("warn", this.say("js.ws.leftover", { at: this.page.clock(at) }), [
      { label: this.say("js.ws.leftover.use"), run: () => (this.clear(), use()) },
      { label: this.say("js.ws.leftover.drop"), run: () => this.clear() },
    ]);
  }

  private state(): Promise<State> {
    return this.page.api.get<State>(`state?base=${this.page.saver.base}`);
  }

  // otherTab: the draft on the server is not the one that this tab knows.
  async otherTab() {
    const state = await this.state();
    const theirs = state.draft;
    const at = theirs ? this.page.clock(theirs.savedAt) : "";
    this.banner("warn", theirs ? this.say("js.ws.conflict.tab", { at }) : this.say("js.ws.conflict.gone"), [
      { label: this.say("js.ws.keepMine"), run: () => this.keepMineTab(state) },
      { label: this.say("js.ws.takeTheirs"), run: () => this.takeTheirs() },
      { label: this.say("js.ws.seeDiff"), run: () => this.seeDiff(theirs?.files ?? [], state.files) },
    ]);
  }

  private async keepMineTab(state: State) {
    if (!state.draft) {
      this.page.saver.seq = 0;
      return this.moveUp(state);
    }
    const mine = this.page.project.changed().map((e) => e.path);
    const theirs = state.draft.files.map((f) => f.path).filter((p) => !mine.includes(p));
    for (const p of theirs) this.page.project.revert(p);
    this.clear();
    this.page.saver.resume(state.draft.base, state.draft.seq, [...mine, ...theirs]);
  }

  private async takeTheirs() {
    this.clear();
    await this.page.reload();
  }

  private async seeDiff(theirs: DraftFile[], base: FileInfo[]) {
    const { project } = this.page;
    const path = [this.page.current(), ...theirs.map((f) => f.path), ...project.changed().map((e) => e.path)].find((p) => differs(p));
    function differs(p: string): boolean {
      const t = theirs.find((f) => f.path === p), mine = project.change(p);
      return (t?.text ?? base.find((f) => f.path === p)?.text) !== (mine?.text ?? base.find((f) => f.path === p)?.text);
    }
    if (!path) return;
    const other = theirs.find((f) => f.path === path);
    const before = other?.deleted ? "" : other?.text ?? base.find((f) => f.path === path)?.text ?? "";
    await this.page.compare(path, before, project.exists(path) ? await project.text(path) : "");
  }

  // deployed: the function's revision is newer than the one below this draft.
  async deployed() {
    const state = await this.state();
    this.page.data.revision = state.revision; // told once
    if (!state.codeChanged || !this.page.project.changed().length) return this.moveUp(state);
    this.banner("warn", this.say("js.ws.conflict.deployed", { by: state.by, revision: "r" + state.revision, at: this.page.clock(state.at) }), [
      { label: this.say("js.ws.keepMine"), run: () => this.moveUp(state) },
      { label: this.say("js.ws.takeTheirs"), run: () => this.discard() },
      { label: this.say("js.ws.seeDiff"), run: () => this.seeDiff([], state.files) },
    ]);
  }

  // moveUp puts the draft on top of the deployed revision; its own files win.
  private async moveUp(state: State) {
    this.clear();
    this.page.setRevision(state);
    this.page.project.rebase(state.files);
    const mine = this.page.project.changed().map((e) => e.path);
    await this.page.saver.idle();
    this.page.saver.resume(state.revision, this.page.saver.seq, mine);
    await this.page.refreshOpen();
  }

  private async discard() {
    this.clear();
    this.page.saver.forget();
    await this.page.api.delete("draft");
    await this.page.reload();
  }
}
