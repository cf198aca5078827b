// The workspace: files, code, test and log of one function on one page. This module wires the parts; each part has its own file.
import { CodePane, type Shared } from "./editor";
import type { RunError, Say } from "./editor-marks";
import { ready, t } from "./i18n";
import { countChanges, diffLines } from "./linediff";
import { Api, ApiError } from "./workspace-api";
import { Conflicts } from "./workspace-conflict";
import { Deployer } from "./workspace-deploy";
import { one, setIcon } from "./workspace-dom";
import { DraftSaver, leftovers, type Saved } from "./workspace-draft";
import { FileActions } from "./workspace-files";
import { type DraftFile, type DraftInfo, type FileInfo, Project } from "./workspace-project";
import type { Frame, Run } from "./workspace-result";
import { Tabs } from "./workspace-tabs";
import { dropsItsValue, handlerFiles } from "./workspace-hints";
import { type SavedEvent, type Template, TestPanel } from "./workspace-test";
import { Tree } from "./workspace-tree";

// PageData is what the server knows when the page is made.
export interface PageData {
  fn: { name: string; runtime: string; handler: string; region: string; endpoint: string };
  user: number;
  root: string; // of the workspace's routes, with a slash at the end
  nonce: string;
  csrf: string;
  locale: string;
  zone: string;
  revision: number;
  files: FileInfo[];
  draft: DraftInfo | null;
  stale: boolean; // the code was deployed by somebody after the draft began
  events: SavedEvent[];
  templates: Template[];
  first: { name: string; source: string; text: string; asked?: boolean };
  open: string;
  line: number;
  may: { edit: boolean };
}

const say: Say = t;

const phraseKeys: Record<string, string> = {
  Find: "find", Replace: "replaceWith", next: "next", previous: "previous", all: "all", "match case": "matchCase", regexp: "regexp",
  "by word": "byWord", replace: "replace", "replace all": "replaceAll", close: "close", "Go to line": "goToLine", go: "go",
  Diagnostics: "problems", "No diagnostics": "noProblems", Completions: "completions", "$ unchanged lines": "unchanged",
};

// Deployed is what the server has now.
export interface Deployed {
  revision: number;
  history: string;
  historyAll: string;
  files: FileInfo[];
  draft: DraftInfo | null;
}

// announce tells the log panel which run is "this run".
function announce(requestId: string) {
  document.dispatchEvent(new CustomEvent("kiln:run", { detail: { requestId } }));
}

export async function start(el: HTMLElement) {
  await ready();
  const data = JSON.parse(one("#ws-data").textContent!) as PageData;
  const page = new Workspace(el, data);
  await page.open();
}

class Workspace {
  readonly api: Api;
  readonly project: Project;
  readonly saver: DraftSaver;
  readonly shared: Shared;
  readonly tabs: Tabs;
  readonly tree: Tree;
  readonly pane: CodePane;
  readonly test: TestPanel;
  readonly files: FileActions;
  readonly deployer: Deployer;
  readonly conflicts: Conflicts;
  private problems = new Map<string, number>();
  private failure: { frame: Frame; run: Run } | null = null;
  private closeDiff: (() => void) | null = null;
  private readonly clockFormat: Intl.DateTimeFormat;
  private statsTimer = 0;

  constructor(private readonly root: HTMLElement, readonly data: PageData) {
    this.clockFormat = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23", timeZone: data.zone || undefined });
    this.api = new Api(data.root, data.csrf, say("js.ws.away"));
    this.project = new Project(data.files, data.draft, (path, draft) => this.api.bytes(`file?path=${encodeURIComponent(path)}${draft ? "&draft=1" : ""}`));
    this.saver = new DraftSaver(this.api, this.project, {
      unsaved: () => one("#ws-saved").toggleAttribute("data-pending", true),
      saved: (s) => this.saved(s),
      away: () => this.saveState(say("js.ws.notSaved"), "warn"),
      refused: (e) => this.refused(e),
      conflict: () => void this.conflicts.otherTab(),
    }, data.user, data.fn.name, data.revision, data.draft);
    this.shared = { nonce: data.nonce, say, phrases: this.phrases(), keys: this.keys() };
    this.tabs = new Tabs(one("#ws-ets"), say, { show: (p) => void this.show(p), close: (p) => this.closeTab(p) });
    this.tree = new Tree(one("#ws-tree"), say, {
      open: (p) => void this.show(p),
      menu: (p, folder, a) => this.files.menu(p, folder, a),
      rename: (p, folder) => void this.files.rename(p, folder),
      remove: (p, folder) => void this.files.remove(p, folder),
      moved: (p, into) => void this.files.moveInto(p, into),
    });
    this.tree.redraw = () => this.drawTree();
    this.files = new FileActions(this, say);
    this.conflicts = new Conflicts(this, say);
    this.deployer = new Deployer(this, say);
    this.test = this.testPanel();
    const host = one("#ws-editor");
    host.replaceChildren();
    this.pane = new CodePane(host, this.shared, { event: () => this.test.event(), eventName: () => this.test.eventName(), say }, {
      changed: (p, text) => this.edited(p, text),
      cursor: (line, column) => (one("#ws-pos").textContent = say("js.ws.position", { line, column })),
      problems: (p, n) => this.countProblems(p, n),
      language: (name) => (one("#ws-lang").textContent = name || say("js.ws.plainText")),
    });
    this.wire();
  }

  private testPanel(): TestPanel {
    return new TestPanel({
      api: this.api, saver: this.saver, shared: this.shared, fn: this.data.fn, user: this.data.user,
      events: this.data.events, templates: this.data.templates, first: this.data.first,
      hasDraft: () => this.project.changed().length > 0,
      saved: (s) => this.saved(s),
      refused: (e) => this.refusedRun(e),
      started: () => this.clearFailure(),
      running: announce,
      ended: (run) => void this.ended(run),
      hint: (run) => this.hint(run),
      frame: (f) => void this.goTo(f),
      clock: (iso) => this.clock(iso),
    });
  }

  // open shows the first file, brings back what a killed tab left, and tells about a deploy in between.
  async open() {
    const restored = this.restore();
    const entries = this.project.entries();
    const wanted = entries.find((e) => e.path === this.data.open && e.status !== "D") ?? entries.find((e) => e.editable) ?? entries[0];
    if (wanted) await this.show(wanted.path);
    if (this.data.line > 0) this.pane.goTo(this.data.line);
    this.draw();
    if (this.data.draft) this.saveState(say("js.ws.saved", { at: this.clock(this.data.draft.savedAt) }));
    if (restored) this.saveState(say("js.ws.restored"));
    if (this.data.stale) await this.conflicts.deployed();
    this.root.dataset.ready = "1";
  }

  // restore brings back what killed tabs left. Where the draft went on without it the person decides.
  private restore(): boolean {
    let any = false;
    for (const kept of leftovers(this.data.user, this.data.fn.name)) {
      const news = kept.files.filter((f) => this.differs(f));
      if (!news.length) continue;
      if (kept.seq === this.saver.seq || (kept.sending && kept.seq + 1 === this.saver.seq)) {
        this.putBack(news);
        any = true;
      } else this.conflicts.leftover(new Date(kept.at).toISOString(), () => this.putBack(news));
    }
    return any;
  }

  private differs(f: DraftFile): boolean {
    const now = this.project.change(f.path);
    return !now || now.text !== f.text || !!now.deleted !== !!f.deleted || f.data !== undefined;
  }

  private putBack(files: DraftFile[]) {
    for (const f of files) {
      if (f.deleted) this.project.remove(f.path);
      else if (f.text !== undefined) this.project.set(f.path, f.text);
      else if (f.data !== undefined) this.project.setBytes(f.path, Uint8Array.from(atob(f.data), (c) => c.charCodeAt(0)));
      this.saver.touched(f.path);
    }
    if (this.shownPath) void this.refreshOpen();
  }

  private wire() {
    addEventListener("beforeunload", (e) => {
      if (this.saver.atRisk()) e.preventDefault();
    });
    document.addEventListener("keydown", (e) => {
      if (!(e.ctrlKey || e.metaKey) || e.altKey || e.shiftKey || document.querySelector("dialog[open]")) return;
      if (e.key === "s") e.preventDefault(), void this.deployer.deploy();
      else if (e.key === "Enter") e.preventDefault(), void this.test.run();
    });
    document.addEventListener("click", (e) => this.followLink(e), true);
    one("#ws-diff").addEventListener("click", () => void this.toggleDiff());
    one("#ws-problems").addEventListener("click", () => this.toProblem());
    for (const b of document.querySelectorAll<HTMLElement>(".ws-tabs [data-show]")) b.addEventListener("click", () => this.showPane(b.dataset.show!));
  }

  // keys are taken by the editors before their own; the document's listener does the work elsewhere.
  private keys() {
    const skip = { run: () => true, preventDefault: true };
    return [{ key: "Mod-Enter", ...skip }, { key: "Mod-s", ...skip }];
  }

  showPane(name: string) {
    this.root.dataset.pane = name;
    for (const b of document.querySelectorAll<HTMLElement>(".ws-tabs [data-show]")) {
      b.setAttribute("aria-selected", String(b.dataset.show === name));
      b.tabIndex = b.dataset.show === name ? 0 : -1;
    }
  }

  // ---- files and tabs ----

  current(): string {
    return this.shownPath;
  }
  private shownPath = "";

  async show(path: string) {
    this.endDiff();
    const e = this.project.entry(path);
    if (!e) return;
    this.shownPath = path;
    this.tabs.add(path);
    const view = one("#ws-view"), editor = one("#ws-editor");
    view.hidden = e.editable;
    editor.hidden = !e.editable;
    if (e.editable) {
      const [text, base] = [this.pane.isOpen(path) ? "" : await this.project.text(path), await this.project.baseText(path)];
      if (this.shownPath !== path) return;
      this.pane.show(path, text, base);
      this.countProblems(path, this.problems.get(path) ?? 0);
      if (this.failure?.frame.path === path) this.markFailure();
    } else view.replaceChildren(this.files.notice(e));
    this.draw();
    if (matchMedia("(max-width: 899px)").matches && this.root.dataset.pane === "files") this.showPane("code");
  }

  closeTab(path: string) {
    const next = this.tabs.remove(path);
    this.pane.close(path);
    this.problems.delete(path);
    if (path !== this.shownPath) return this.draw();
    this.shownPath = "";
    if (next) void this.show(next);
    else {
      one("#ws-editor").hidden = true;
      one("#ws-view").hidden = false;
      one("#ws-view").replaceChildren(this.files.nothingOpen());
      this.draw();
    }
  }

  private edited(path: string, text: string) {
    const before = this.project.status(path);
    this.project.set(path, text);
    this.saver.touched(path);
    if (this.failure?.frame.path === path) this.clearFailure();
    if (before !== this.project.status(path)) this.draw();
    clearTimeout(this.statsTimer);
    this.statsTimer = window.setTimeout(() => void this.drawStats(), 400);
  }

  // filesChanged follows adds, moves and deletes: paths must be saved.
  filesChanged(paths: string[]) {
    for (const p of paths) this.saver.touched(p);
    this.draw();
  }

  draw() {
    this.drawTree();
    this.tabs.draw(this.shownPath, (p) => this.project.status(p));
    this.test?.labels();
    this.deployer?.labels();
    void this.drawStats();
  }

  private drawTree() {
    this.tree.draw(this.project.entries(), this.shownPath);
  }

  private async drawStats() {
    const changed = this.project.changed();
    const row = one("#ws-hist-draft");
    row.hidden = changed.length === 0;
    one<HTMLButtonElement>("#ws-diff").disabled = !this.closeDiff && this.project.status(this.shownPath) === "";
    let added = 0, removed = 0;
    for (const e of changed) {
      if (e.binary || e.large) continue;
      const before = (await this.project.baseText(e.path)) ?? "", after = e.status === "D" ? "" : await this.project.text(e.path);
      const n = countChanges(diffLines(before ? before.split("\n") : [], after ? after.split("\n") : []));
      added += n.added;
      removed += n.removed;
    }
    one("[data-stats]", row).textContent = say("js.ws.stats", { n: changed.length, added, removed });
  }

  // ---- draft ----

  saved(s: Saved) {
    if (s.savedAt) {
      this.saveState(say("js.ws.saved", { at: this.clock(s.savedAt) }));
      one("#ws-hist-draft time").textContent = this.clock(s.savedAt).slice(0, 5);
    }
    if (s.revision > this.data.revision) void this.conflicts.deployed();
  }

  // nothingUnsaved says that the editor shows what is deployed.
  nothingUnsaved() {
    if (!this.project.changed().length) this.saveState(say("js.ws.nochanges", { revision: "r" + this.data.revision }));
  }

  private saveState(text: string, kind = "") {
    const el = one("#ws-saved");
    el.textContent = text;
    el.className = kind === "warn" ? "c-w" : "";
    el.toggleAttribute("data-pending", this.saver.pending());
  }

  private refused(e: ApiError) {
    this.saveState(say("js.ws.refused"), "warn");
    this.conflicts.banner("err", e.message, []);
  }

  private refusedRun(e: ApiError) {
    if (e.key === "draft.changed") {
      this.saver.block();
      void this.conflicts.otherTab();
    }
  }

  clock(iso: string): string {
    const at = new Date(iso);
    return Number.isNaN(at.getTime()) ? "" : this.clockFormat.format(at);
  }

  // ---- problems and failures ----

  private countProblems(path: string, n: number) {
    this.problems.set(path, n);
    if (path !== this.shownPath) return;
    const el = one("#ws-problems");
    const failed = this.failure && this.failure.frame.path === path;
    el.classList.toggle("st-ok", !n && !failed);
    el.classList.toggle("st-err", n > 0 || !!failed);
    setIcon(el, n > 0 || failed ? "err" : "check");
    one("span", el).textContent = failed ? say("js.ws.problem.run", { at: this.clock(this.failure!.run.at) }) : say("js.ws.problems", { n });
  }

  private toProblem() {
    if (this.failure?.frame.path === this.shownPath) this.pane.goTo(this.failure.frame.line, this.failure.frame.column);
    else this.pane.nextProblem();
  }

  private clearFailure() {
    if (!this.failure) return;
    const { path } = this.failure.frame;
    this.failure = null;
    if (this.pane.shown === path) this.pane.setRunError(null);
    this.countProblems(path, this.problems.get(path) ?? 0);
  }

  private async ended(run: Run) {
    const frame = run.frames?.find((f) => this.project.exists(f.path));
    announce(run.requestId);
    if (!run.failed || !frame) return;
    this.failure = { frame, run };
    if (frame.path === this.shownPath) this.markFailure();
  }

  private markFailure() {
    const { frame, run } = this.failure!;
    const e: RunError = { line: frame.line, message: run.errorType ? `${run.errorType}: ${run.errorMessage}` : run.errorMessage };
    this.pane.setRunError(e);
    this.countProblems(frame.path, this.problems.get(frame.path) ?? 0);
  }

  private async hint(run: Run): Promise<string> {
    if (run.failed || !/^(null)?$/.test(run.payload.trim()) || !this.data.fn.runtime.startsWith("nodejs")) return "";
    const path = handlerFiles(this.data.fn.handler).find((p) => this.project.exists(p));
    return path && dropsItsValue(await this.project.text(path)) ? say("js.ws.hint.notAsync") : "";
  }

  // followLink opens a place that a log line names in the editor instead of loading the page again.
  private followLink(e: MouseEvent) {
    const a = (e.target as Element).closest<HTMLAnchorElement>("#ws-log a[href*='file=']");
    if (!a || e.ctrlKey || e.metaKey || new URL(a.href).pathname !== location.pathname) return;
    const q = new URL(a.href).searchParams;
    e.preventDefault();
    e.stopPropagation();
    void this.goTo({ path: q.get("file")!, line: Number(q.get("line") ?? 1), column: Number(q.get("col") ?? 1) });
  }

  async goTo(f: Frame) {
    if (!this.project.exists(f.path)) return;
    if (matchMedia("(max-width: 899px)").matches) this.showPane("code");
    await this.show(f.path);
    this.pane.goTo(f.line, f.column);
  }

  // ---- diff ----

  async toggleDiff() {
    if (this.closeDiff) {
      this.endDiff();
      await this.show(this.shownPath);
      return;
    }
    const e = this.project.entry(this.shownPath);
    if (!e || e.status === "") return;
    const before = (await this.project.baseText(e.path)) ?? "", after = e.status === "D" ? "" : await this.project.text(e.path);
    await this.compare(e.path, before, after);
  }

  // compare shows two texts in the editor's place until another file is shown.
  async compare(path: string, before: string, after: string) {
    const view = one("#ws-view");
    view.replaceChildren();
    view.hidden = false;
    one("#ws-editor").hidden = true;
    const { showDiff } = await import("./workspace-diff");
    const close = await showDiff(view, { path, before, after, nonce: this.data.nonce, phrases: this.shared.phrases });
    this.closeDiff = close;
    const b = one<HTMLButtonElement>("#ws-diff");
    b.setAttribute("aria-pressed", "true");
    b.disabled = false;
  }

  private endDiff() {
    if (!this.closeDiff) return;
    this.closeDiff();
    this.closeDiff = null;
    one("#ws-diff").setAttribute("aria-pressed", "false");
  }

  // reload takes what the server has now: after a deploy, "take theirs", an upload or a discard.
  async reload() {
    const fresh = await this.api.get<Deployed>("state");
    this.saver.forget();
    this.project.reset(fresh.files, fresh.draft);
    this.saver.resume(fresh.draft?.base ?? fresh.revision, fresh.draft?.seq ?? 0);
    this.setRevision(fresh);
    await this.refreshOpen();
    this.nothingUnsaved();
  }

  // setRevision says which revision is deployed; history is rendered by the server.
  setRevision({ revision, history, historyAll }: Deployed) {
    this.data.revision = revision;
    one("#ws-hist-list").innerHTML = history;
    one("#ws-hist-all").textContent = historyAll;
    for (const el of document.querySelectorAll("[data-revision]")) el.textContent = "r" + revision;
  }

  // refreshOpen brings the open editors to the project's texts.
  async refreshOpen() {
    for (const p of [...this.tabs.paths]) {
      if (!this.project.exists(p)) this.closeTab(p);
      else if (this.project.entry(p)!.editable) this.pane.replace(p, await this.project.text(p));
    }
    const path = this.project.exists(this.shownPath) ? this.shownPath : this.project.entries().find((e) => e.status !== "D")?.path;
    if (path) await this.show(path);
    this.draw();
  }

  private phrases(): Record<string, string> {
    return Object.fromEntries(Object.entries(phraseKeys).map(([english, key]) => [english, say("js.ws.cm." + key)]));
  }
}

export type { Workspace };
