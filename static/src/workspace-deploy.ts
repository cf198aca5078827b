// Deploying the draft: quiet when it works, a choice when somebody was faster.
import type { Say } from "./editor-marks";
import { notice } from "./page";
import { ApiError } from "./workspace-api";
import { ask, one } from "./workspace-dom";
import type { Saved } from "./workspace-draft";
import type { Deployed, Workspace } from "./workspace";

export class Deployer {
  private busy = false;
  private readonly button = one<HTMLButtonElement>("#ws-deploy");

  constructor(private readonly page: Workspace, private readonly say: Say) {
    this.button.addEventListener("click", (e) => {
      e.preventDefault();
      void this.deploy();
    });
    one("#ws-deploy-note").addEventListener("click", () => void this.withNote());
  }

  labels() {
    const off = this.busy || !this.page.data.may.edit || !this.page.project.changed().length;
    this.button.setAttribute("aria-disabled", String(off));
    one("#ws-deploy-note").setAttribute("aria-disabled", String(off));
  }

  private async withNote() {
    if (!this.page.project.changed().length) return this.nothing();
    const answer = await ask({
      title: this.say("js.ws.deploy.note"), cancel: this.say("js.ws.cancel"),
      field: { label: this.say("js.ws.deploy.note.label"), value: "", check: (v) => (v.length <= 256 ? "" : this.say("js.ws.deploy.note.long")) },
      choices: [{ label: this.say("js.ws.deploy"), value: "go", act: true }],
    });
    if (answer) await this.deploy(answer.text);
  }

  private nothing() {
    notice(this.say("js.ws.deploy.nothing", { revision: "r" + this.page.data.revision }));
  }

  async deploy(note = "") {
    const { saver, api, project } = this.page;
    if (this.busy) return;
    if (!project.changed().length) return this.nothing();
    this.busy = true;
    this.button.setAttribute("aria-busy", "true");
    await saver.idle();
    if (saver.stuck()) {
      this.busy = false;
      this.button.removeAttribute("aria-busy");
      return notice(this.say("js.ws.conflict.first"), "err");
    }
    const files = saver.take();
    try {
      const done = await api.post<Deployed>("deploy", { base: saver.base, seq: saver.seq, files, note });
      saver.settle({ seq: 0, base: done.revision, savedAt: "", revision: done.revision });
      await this.took(done);
      this.page.nothingUnsaved();
      notice(this.say("js.ws.deployed", { revision: "r" + done.revision }));
    } catch (e) {
      await this.failed(e, files.length > 0);
    } finally {
      this.busy = false;
      this.button.removeAttribute("aria-busy");
      this.labels();
    }
  }

  // took makes the deployed files the new base; keystrokes made meanwhile stay a draft.
  private async took(done: Deployed) {
    const { page } = this;
    const before = new Map(page.project.changed().map((e) => [e.path, page.project.change(e.path)]));
    page.setRevision(done);
    page.project.rebase(done.files);
    const later = [...before].filter(([p]) => page.project.status(p) !== "" && page.saver.unsaved(p)).map(([p]) => p);
    page.project.reset(done.files, { base: done.revision, seq: 0, savedAt: "", files: later.map((p) => before.get(p)!) });
    page.conflicts.clear();
    if (page.current()) await page.show(page.current());
    page.draw();
  }

  private async failed(e: unknown, carried: boolean) {
    const { saver, conflicts } = this.page;
    const saved = e instanceof ApiError ? (e.data.saved as Saved | undefined) : undefined;
    saver.settle(saved ?? (carried ? null : { seq: saver.seq, base: saver.base, savedAt: "", revision: 0 }));
    if (!(e instanceof ApiError)) throw e;
    if (e.key === "function.changed") await conflicts.deployed();
    else if (e.key === "draft.changed") {
      saver.block();
      await conflicts.otherTab();
    } else conflicts.banner("err", e.message, []);
  }
}
