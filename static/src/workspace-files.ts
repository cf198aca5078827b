// What a person does with files: new, rename, move, delete, restore, upload, download.
import type { Say } from "./editor-marks";
import { notice } from "./page";
import { ApiError } from "./workspace-api";
import { ask, h, icon, type MenuItem, one, openMenu } from "./workspace-dom";
import { type Entry, pathProblem } from "./workspace-project";
import type { Workspace } from "./workspace";

const largestFile = 20 << 20; // bytes of one dropped file; bigger packages come as a zip

export class FileActions {
  private readonly picker = h("input", { type: "file", multiple: true, hidden: true });

  constructor(private readonly page: Workspace, private readonly say: Say) {
    document.body.append(this.picker);
    this.picker.addEventListener("change", () => {
      void this.take([...this.picker.files!].map((file) => ({ path: file.name, file })));
      this.picker.value = "";
    });
    one("#ws-new").addEventListener("click", () => void this.create(""));
    one("#ws-upload").addEventListener("click", () => this.picker.click());
    one("#ws-more").addEventListener("click", (e) => this.packageMenu(e.currentTarget as HTMLElement));
    this.dropping(one("#ws"));
  }

  private dropping(area: HTMLElement) {
    const files = (e: DragEvent) => e.dataTransfer?.types.includes("Files") ?? false;
    area.addEventListener("dragover", (e) => {
      if (!files(e)) return;
      e.preventDefault();
      area.classList.add("dropping");
    }, true);
    area.addEventListener("dragleave", (e) => {
      if (!area.contains(e.relatedTarget as Node)) area.classList.remove("dropping");
    });
    area.addEventListener("drop", (e) => {
      if (!files(e)) return;
      e.preventDefault();
      e.stopPropagation();
      area.classList.remove("dropping");
      void dropped(e.dataTransfer!).then((list) => this.take(list));
    }, true);
  }

  private packageMenu(anchor: HTMLElement) {
    const root = this.page.data.root;
    const items: MenuItem[] = [
      { label: this.say("js.ws.download.deployed"), icon: "down2", run: () => location.assign(root + "code.zip") },
      { label: this.say("js.ws.upload"), icon: "upload", run: () => this.picker.click() },
    ];
    if (this.page.project.changed().length) {
      items.splice(1, 0, { label: this.say("js.ws.download.draft"), icon: "down2", run: () => void this.downloadDraft() });
      const path = this.page.current();
      if (path && this.page.project.status(path)) items.push({ label: this.say("js.ws.revert", { path }), icon: "back", run: () => void this.revert(path) });
      items.push({ label: this.say("js.ws.discard"), icon: "trash", danger: true, run: () => void this.discard() });
    }
    openMenu(anchor, this.say("js.ws.more"), items);
  }

  private async downloadDraft() {
    if (await this.page.saver.flush()) location.assign(this.page.data.root + "code.zip?draft=1");
    else notice(this.say("js.ws.notSaved"), "err");
  }

  menu(path: string, folder: boolean, anchor: HTMLElement) {
    const gone = this.page.project.status(path) === "D";
    const items: MenuItem[] = [];
    if (folder) items.push({ label: this.say("js.ws.newIn", { path }), icon: "plus", run: () => void this.create(path + "/") });
    if (gone) items.push({ label: this.say("js.ws.restore"), icon: "back", run: () => void this.revert(path) });
    else {
      items.push({ label: this.say("js.ws.rename"), detail: "F2", icon: "pen", run: () => void this.rename(path, folder) });
      if (!folder && this.page.project.status(path) === "M") items.push({ label: this.say("js.ws.revert", { path }), icon: "back", run: () => void this.revert(path) });
      items.push({ label: this.say("js.ws.delete"), detail: "Del", icon: "trash", danger: true, run: () => void this.remove(path, folder) });
    }
    openMenu(anchor, path, items);
  }

  private async askPath(title: string, value: string, act: string): Promise<string | null> {
    const answer = await ask({
      title, cancel: this.say("js.ws.cancel"),
      field: {
        label: this.say("js.ws.path"), value, hint: this.say("js.ws.path.hint"),
        check: (v) => {
          const problem = v === value && value !== "" && !value.endsWith("/") ? "" : pathProblem(v, this.page.project);
          return problem && this.say(problem);
        },
      },
      choices: [{ label: act, value: "ok", act: true }],
    });
    return answer && answer.text !== value ? answer.text : null;
  }

  private async create(folder: string) {
    const path = await this.askPath(this.say("js.ws.new"), folder, this.say("js.ws.create"));
    if (!path) return;
    this.page.project.set(path, "");
    this.page.filesChanged([path]);
    await this.page.show(path);
    this.page.pane.focus();
  }

  async rename(path: string, folder: boolean) {
    const to = await this.askPath(this.say("js.ws.rename.title", { path }), path, this.say("js.ws.rename"));
    if (to) await this.move(path, to, folder);
  }

  async moveInto(path: string, into: string) {
    const to = (into ? into + "/" : "") + path.slice(path.lastIndexOf("/") + 1);
    const folder = !this.page.project.exists(path);
    if (to === path || (folder && (into + "/").startsWith(path + "/"))) return;
    const problem = pathProblem(to, this.page.project);
    if (problem) notice(this.say(problem), "err");
    else await this.move(path, to, folder);
  }

  private inside(path: string, folder: boolean): string[] {
    const { project } = this.page;
    if (!folder) return [path];
    return project.entries().filter((e) => e.status !== "D" && e.path.startsWith(path + "/")).map((e) => e.path);
  }

  private async move(from: string, to: string, folder: boolean) {
    const { project, pane, tabs, current } = this.page;
    const shown = current.call(this.page), touched: string[] = [];
    for (const p of this.inside(from, folder)) {
      const next = folder ? to + p.slice(from.length) : to;
      await project.move(p, next);
      pane.rename(p, next);
      tabs.rename(p, next);
      touched.push(p, next);
      if (p === shown) await this.page.show(next);
    }
    this.page.filesChanged(touched);
  }

  async remove(path: string, folder: boolean) {
    const { project } = this.page;
    if (!folder && project.status(path) === "D") return;
    const paths = this.inside(path, folder);
    if (folder || project.status(path) === "A") {
      const sure = await ask({ title: this.say("js.ws.delete.title", { path }), text: this.say("js.ws.delete.text", { n: paths.length }), cancel: this.say("js.ws.cancel"), choices: [{ label: this.say("js.ws.delete"), value: "yes", danger: true }] });
      if (!sure) return;
    }
    for (const p of paths) {
      project.remove(p);
      if (this.page.tabs.paths.includes(p)) this.page.closeTab(p);
    }
    this.page.filesChanged(paths);
  }

  private async revert(path: string) {
    const { project, pane } = this.page;
    const isNew = project.status(path) === "A";
    project.revert(path);
    if (isNew) this.page.closeTab(path);
    else if (pane.isOpen(path)) pane.replace(path, await project.text(path));
    this.page.filesChanged([path]);
    if (!isNew) await this.page.show(path);
  }

  private async discard() {
    const n = this.page.project.changed().length;
    const sure = await ask({ title: this.say("js.ws.discard"), text: this.say("js.ws.discard.text", { n, revision: "r" + this.page.data.revision }), cancel: this.say("js.ws.cancel"), choices: [{ label: this.say("js.ws.discard.do"), value: "yes", danger: true }] });
    if (!sure) return;
    await this.page.saver.idle();
    this.page.saver.forget();
    await this.page.api.delete("draft");
    await this.page.reload();
    this.page.conflicts.clear();
  }

  // take puts dropped or picked files into the draft; one zip is a whole package.
  private async take(list: { path: string; file: File }[]) {
    if (list.length === 1 && /\.(zip|jar)$/i.test(list[0].path)) return this.package(list[0].file);
    const touched: string[] = [];
    for (const { path, file } of list) {
      if (file.size > largestFile) {
        notice(this.say("js.ws.tooLarge", { path }), "err");
        continue;
      }
      this.page.project.setBytes(path, new Uint8Array(await file.arrayBuffer()));
      if (this.page.pane.isOpen(path) && this.page.project.entry(path)!.editable) this.page.pane.replace(path, await this.page.project.text(path));
      touched.push(path);
    }
    if (!touched.length) return;
    this.page.filesChanged(touched);
    await this.page.show(touched[0]);
    notice(this.say("js.ws.added", { n: touched.length }));
  }

  private async package(file: File) {
    const answer = await ask({
      title: this.say("js.ws.zip.title", { name: file.name }), text: this.say("js.ws.zip.text"), cancel: this.say("js.ws.cancel"),
      choices: [{ label: this.say("js.ws.zip.deploy"), value: "deploy" }, { label: this.say("js.ws.zip.draft"), value: "draft", act: true }],
    });
    if (!answer) return;
    const { saver, api } = this.page;
    notice(this.say("js.ws.uploading", { name: file.name }));
    try {
      await saver.flush();
      await api.upload(`upload?to=${answer.choice}&base=${saver.base}&seq=${saver.seq}`, file);
      await this.page.reload();
      notice(this.say(answer.choice === "deploy" ? "js.ws.deployed" : "js.ws.zip.done", { revision: "r" + this.page.data.revision }));
    } catch (e) {
      if (!(e instanceof ApiError)) throw e;
      this.page.conflicts.banner("err", e.message, []);
    }
  }

  // notice stands in the editor's place for a file that cannot be edited.
  notice(e: Entry): HTMLElement {
    const text = e.status === "D" ? "js.ws.file.deleted" : e.binary ? "js.ws.file.binary" : "js.ws.file.large";
    const size = e.size >= 1 << 20 ? (e.size / (1 << 20)).toFixed(1) + " MB" : Math.max(1, Math.round(e.size / 1024)) + " KB";
    const draft = e.status !== "" && e.status !== "D" ? "&draft=1" : "";
    return h("div", { class: "empty ws-empty" }, icon(e.status === "D" ? "trash" : "lock"), h("h2", { class: "mono" }, e.path), h("p", {}, this.say(text, { size })),
      e.status === "D"
        ? h("button", { type: "button", class: "btn", onclick: () => void this.revert(e.path) }, icon("back"), this.say("js.ws.restore"))
        : h("a", { class: "btn", href: `${this.page.data.root}file?path=${encodeURIComponent(e.path)}${draft}&download=1`, download: true }, icon("down2"), this.say("js.ws.download.file")));
  }

  nothingOpen(): HTMLElement {
    return h("div", { class: "empty ws-empty" }, h("p", {}, this.say("js.ws.nothingOpen")));
  }
}

// dropped lists dropped files, with those inside dropped folders.
async function dropped(data: DataTransfer): Promise<{ path: string; file: File }[]> {
  const out: { path: string; file: File }[] = [];
  const entries = [...data.items].map((i) => i.webkitGetAsEntry()).filter((e): e is FileSystemEntry => e !== null);
  for (const e of entries) await walk(e, out);
  return out;
}

const mostDropped = 2000; // files of one drop

async function walk(e: FileSystemEntry, out: { path: string; file: File }[]) {
  if (out.length >= mostDropped) return;
  const path = e.fullPath.replace(/^\//, "");
  if (e.isFile) {
    out.push({ path, file: await new Promise<File>((ok, no) => (e as FileSystemFileEntry).file(ok, no)) });
    return;
  }
  const reader = (e as FileSystemDirectoryEntry).createReader();
  for (;;) {
    const batch = await new Promise<FileSystemEntry[]>((ok, no) => reader.readEntries(ok, no));
    if (!batch.length) return;
    for (const inner of batch) await walk(inner, out);
  }
}
