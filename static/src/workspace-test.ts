// The test panel: choose or write an event, run, see what came of it.
import { JSONPane, type Shared } from "./editor";
import { type Api, ApiError } from "./workspace-api";
import { ask, copy, type MenuItem, one, openMenu } from "./workspace-dom";
import { notice } from "./page";
import type { DraftSaver, Saved } from "./workspace-draft";
import { brokenAt, pretty } from "./workspace-json";
import { type Frame, ResultView, type Run } from "./workspace-result";

// SavedEvent is a named event that everybody who may run the function sees.
export interface SavedEvent {
  name: string;
  body: string;
  by: string;
}

export interface Template {
  id: string;
  label: string;
}

// TestSetup is what the panel needs of the page.
export interface TestSetup {
  api: Api;
  saver: DraftSaver;
  shared: Shared;
  fn: { name: string; region: string; endpoint: string };
  user: number;
  events: SavedEvent[];
  templates: Template[];
  first: { name: string; source: string; text: string; asked?: boolean };
  hasDraft(): boolean;
  saved(s: Saved): void;
  refused(e: ApiError): void;
  started(): void;
  running(requestId: string): void;
  ended(run: Run): void;
  hint(run: Run): Promise<string>; // what the code says about a result, "" for nothing
  frame(f: Frame): void;
  clock(iso: string): string;
}

interface Chosen {
  name: string; // of the saved event, "" for none
  source: string; // id of the template, "" for none
  text: string;
}

interface EarlierRun {
  requestId: string;
  at: string;
  label: string;
  failed: boolean;
}

interface RunAnswer {
  saved: Saved | null;
  run: Run;
}

export class TestPanel {
  private readonly editor: JSONPane;
  private readonly result: ResultView;
  private readonly say;
  private chosen: Chosen;
  private parsed: unknown;
  private lastDone: Run | null = null;
  private lastEvent = "";
  private turn = 0;
  private readonly memory: string;

  constructor(private readonly on: TestSetup) {
    this.say = on.shared.say;
    this.memory = `kiln:event:${on.user}:${on.fn.name}`;
    const { name, source, text } = on.first;
    this.chosen = (on.first.asked ? null : this.remembered()) ?? { name, source, text };
    const host = one("#ws-ev");
    host.replaceChildren();
    this.editor = new JSONPane(host, on.shared, this.say("js.ws.event.label"), this.chosen.text, (t) => this.edited(t), () => {});
    this.parse(this.chosen.text);
    this.result = new ResultView(one("#ws-res"), this.say, on.clock, {
      frame: on.frame,
      saveEvent: () => void this.saveAs(this.lastEvent || this.editor.text()),
      copyMenu: (a) => this.copyMenu(a),
    });
    this.buttons();
    this.labels();
    void this.resume();
  }

  private buttons() {
    const click = (id: string, run: (el: HTMLElement) => void) => {
      const el = one(id);
      el.addEventListener("click", (e) => {
        e.preventDefault();
        run(el);
      });
    };
    click("#ws-event", (el) => this.eventMenu(el));
    click("#ws-source", (el) => this.sourceMenu(el));
    click("#ws-runs", (el) => void this.earlierMenu(el));
    click("#ws-run", () => void this.run());
  }

  event(): unknown {
    return this.parsed;
  }
  eventName(): string {
    return this.chosen.name || this.on.templates.find((t) => t.id === this.chosen.source)?.label || this.say("js.ws.event.unsaved");
  }

  private edited(text: string) {
    this.chosen.text = text;
    one("#ws-ev-err").hidden = true;
    this.parse(text);
    this.remember();
    this.labels();
  }

  private parse(text: string) {
    try {
      this.parsed = JSON.parse(text);
    } catch {
      // The last event that was JSON goes on feeding the completions.
    }
  }

  private remembered(): Chosen | null {
    try {
      const c = JSON.parse(localStorage.getItem(this.memory) ?? "null") as Chosen | null;
      return c && typeof c.text === "string" ? c : null;
    } catch {
      return null;
    }
  }

  private remember() {
    try {
      localStorage.setItem(this.memory, JSON.stringify(this.chosen));
    } catch {
      // Forgetting the last event is no loss that a person must hear of.
    }
  }

  // labels writes what is chosen on the pickers and what the button will run.
  labels() {
    const saved = this.on.events.find((e) => e.name === this.chosen.name);
    one("#ws-event b").textContent = (saved ? saved.name : this.say("js.ws.event.unsaved")) + (saved && saved.body !== this.chosen.text ? " •" : "");
    one("#ws-source b").textContent = this.on.templates.find((t) => t.id === this.chosen.source)?.label ?? this.say("js.ws.source.none");
    one("#ws-run [data-label]").textContent = this.say(this.on.hasDraft() ? "js.ws.run.draft" : "js.ws.run.deployed");
  }

  private take(c: Chosen) {
    this.chosen = c;
    this.editor.set(c.text);
    this.parse(c.text);
    one("#ws-ev-err").hidden = true;
    this.remember();
    this.labels();
  }

  private eventMenu(anchor: HTMLElement) {
    const items: MenuItem[] = this.on.events.map((e) => ({
      label: e.name, detail: e.by, checked: e.name === this.chosen.name, run: () => this.take({ name: e.name, source: "", text: e.body }),
    }));
    if (!items.length) items.push({ label: this.say("js.ws.event.none") });
    items.push({ label: this.say("js.ws.event.thisOne") });
    if (this.chosen.name) items.push({ label: this.say("js.ws.event.save", { name: this.chosen.name }), icon: "check", run: () => void this.put(this.chosen.name, this.editor.text()) });
    items.push({ label: this.say("js.ws.event.saveAs"), icon: "mark", run: () => void this.saveAs(this.editor.text()) });
    items.push({ label: this.say("js.ws.event.format"), icon: "wrap", run: () => this.format() });
    if (this.chosen.name) items.push({ label: this.say("js.ws.event.delete", { name: this.chosen.name }), icon: "trash", danger: true, run: () => void this.drop(this.chosen.name) });
    openMenu(anchor, this.say("js.ws.event.menu"), items);
  }

  private format() {
    const laid = pretty(this.editor.text());
    if (laid === null) this.isJSON();
    else this.editor.set(laid), this.edited(laid);
  }

  private sourceMenu(anchor: HTMLElement) {
    openMenu(anchor, this.say("js.ws.source.menu"), this.on.templates.map((t) => ({
      label: t.label, checked: t.id === this.chosen.source, run: () => void this.template(t.id),
    })));
  }

  private async template(id: string) {
    try {
      const { body } = await this.on.api.get<{ body: string }>("templates/" + encodeURIComponent(id));
      this.take({ name: "", source: id, text: body });
    } catch (e) {
      this.complain(e);
    }
  }

  private async saveAs(text: string) {
    if (!this.isJSON(text)) return;
    const answer = await ask({
      title: this.say("js.ws.event.saveAs.title"), cancel: this.say("js.ws.cancel"),
      field: { label: this.say("js.ws.event.name"), value: this.chosen.name, hint: this.say("js.ws.event.shared"), check: (v) => (v && v.length <= 64 ? "" : this.say("js.ws.event.badName")) },
      choices: [{ label: this.say("js.ws.save"), value: "save", act: true }],
    });
    if (answer) await this.put(answer.text, text);
  }

  private async put(name: string, body: string) {
    if (!this.isJSON(body)) return;
    try {
      this.on.events = await this.on.api.put<SavedEvent[]>("events", { name, body });
      this.chosen.name = name;
      this.remember();
      this.labels();
      notice(this.say("js.ws.event.saved", { name }));
    } catch (e) {
      this.complain(e);
    }
  }

  private async drop(name: string) {
    const sure = await ask({ title: this.say("js.ws.event.delete", { name }), text: this.say("js.ws.event.delete.text"), cancel: this.say("js.ws.cancel"), choices: [{ label: this.say("js.ws.delete"), value: "yes", danger: true }] });
    if (!sure) return;
    try {
      this.on.events = await this.on.api.delete<SavedEvent[]>("events?name=" + encodeURIComponent(name));
      this.chosen.name = "";
      this.remember();
      this.labels();
    } catch (e) {
      this.complain(e);
    }
  }

  private complain(e: unknown) {
    notice(e instanceof Error ? e.message : String(e), "err");
  }

  // isJSON shows where the event is broken, in words at the editor, and puts the caret there.
  private isJSON(text = this.editor.text()): boolean {
    const broken = brokenAt(text);
    const line = one("#ws-ev-err");
    line.hidden = !broken;
    if (!broken) return true;
    one("span", line).textContent = this.say("js.ws.event.notJSON", { line: broken.line, column: broken.column });
    if (text === this.editor.text()) this.editor.show(broken.offset);
    return false;
  }

  // run runs the draft, or what is deployed when there is no draft. What is not saved yet goes with the request.
  async run() {
    const event = this.editor.text();
    if (!this.isJSON(event)) return;
    if (this.on.hasDraft() && this.on.saver.stuck()) return notice(this.say("js.ws.conflict.first"), "err");
    const turn = ++this.turn, since = performance.now();
    const asynchronous = one<HTMLInputElement>("#ws-async").checked;
    const { saver, api } = this.on;
    const target = this.on.hasDraft() ? "draft" : "deployed";
    this.on.started();
    await saver.idle();
    const files = target === "draft" ? saver.take() : [];
    const slow = setTimeout(() => (stop = this.result.working(this.say("js.ws.running"), since)), 120);
    let stop = () => {};
    try {
      const answer = await api.post<RunAnswer>("run", { target, async: asynchronous, event, base: saver.base, seq: saver.seq, files });
      if (target === "draft") this.settled(answer.saved);
      clearTimeout(slow);
      stop();
      this.lastEvent = event;
      if (turn === this.turn) await this.follow(answer.run, turn, since);
      else if (answer.run.state === "done" && !answer.run.failed) this.lastDone = answer.run;
    } catch (e) {
      clearTimeout(slow);
      stop();
      this.failed(e, target === "draft" && files.length > 0, turn);
    }
  }

  private settled(saved: Saved | null) {
    this.on.saver.settle(saved ?? { seq: this.on.saver.seq, base: this.on.saver.base, savedAt: "", revision: 0 });
    if (saved) this.on.saved(saved);
  }

  private failed(e: unknown, carried: boolean, turn: number) {
    const saved = e instanceof ApiError ? (e.data.saved as Saved | undefined) : undefined;
    if (saved) this.settled(saved);
    else this.on.saver.settle(carried ? null : { seq: this.on.saver.seq, base: this.on.saver.base, savedAt: "", revision: 0 });
    if (turn !== this.turn) return;
    if (e instanceof ApiError) {
      this.on.refused(e);
      this.result.problem(e.message, e.status === 0 ? this.say("js.ws.run.away") : "");
    } else throw e;
  }

  // follow waits for a run that is still going on; the run itself does not need this page.
  private async follow(run: Run, turn: number, since: number) {
    if (run.state !== "done") {
      this.keepRunning(run.requestId);
      this.on.running(run.requestId);
      const stop = this.result.working(this.say(run.state === "queued" ? "js.ws.queued" : "js.ws.running"), since);
      try {
        run = await this.untilDone(run.requestId, turn);
      } catch (e) {
        if (turn === this.turn) this.result.problem((e as Error).message, this.say("js.ws.run.lost", { id: run.requestId.slice(0, 8) }));
        return;
      } finally {
        stop();
      }
      if (turn !== this.turn) return;
      this.keepRunning("");
    }
    this.show(run);
  }

  private show(run: Run) {
    this.result.show(run, this.lastDone);
    if (!run.failed) this.lastDone = run;
    this.on.ended(run);
    const turn = this.turn;
    void this.on.hint(run).then((text) => {
      if (text && turn === this.turn) this.result.hint(text);
    });
  }

  private async untilDone(id: string, turn: number): Promise<Run> {
    for (let misses = 0; turn === this.turn; ) {
      try {
        const run = await this.on.api.get<Run>(`runs/${id}?wait=1`);
        misses = 0;
        if (run.state === "done") return run;
      } catch (e) {
        if (!(e instanceof ApiError) || (e.status !== 0 && e.status < 500) || ++misses > 20) throw e;
        await new Promise((r) => setTimeout(r, Math.min(5000, 500 * misses)));
      }
    }
    throw new Error("superseded");
  }

  private keepRunning(id: string) {
    try {
      if (id) sessionStorage.setItem(this.memory + ":run", id);
      else sessionStorage.removeItem(this.memory + ":run");
    } catch {
      // Without it a reloaded page shows the run under "earlier runs" only.
    }
  }

  private async resume() {
    const id = sessionStorage.getItem(this.memory + ":run");
    if (!id) return;
    const run: Run = { requestId: id, state: "running", target: "draft", at: "", html: "", payload: "", failed: false, errorType: "", errorMessage: "", frames: null, log: "" };
    await this.follow(run, ++this.turn, performance.now());
  }

  private async earlierMenu(anchor: HTMLElement) {
    try {
      const list = await this.on.api.get<EarlierRun[]>("runs");
      const items: MenuItem[] = list.map((r) => ({ label: this.on.clock(r.at), detail: r.label, icon: r.failed ? "err" : "check", run: () => void this.recall(r.requestId) }));
      openMenu(anchor, this.say("js.ws.runs"), items.length ? items : [{ label: this.say("js.ws.runs.none") }]);
    } catch (e) {
      this.complain(e);
    }
  }

  private async recall(id: string) {
    try {
      const run = await this.on.api.get<Run>("runs/" + id);
      if (run.event) this.take({ name: "", source: "", text: pretty(run.event) ?? run.event });
      this.lastEvent = run.event ?? "";
      this.turn++;
      this.show(run);
    } catch (e) {
      this.complain(e);
    }
  }

  private copyMenu(anchor: HTMLElement) {
    const event = this.lastEvent || this.editor.text();
    const item = (label: string, text: string): MenuItem => ({ label: this.say(label), icon: "copy", run: () => void copy(text).then(() => notice(this.say("js.ws.copied"))) });
    openMenu(anchor, this.say("js.ws.copy"), [
      item("js.ws.copy.curl", asCurl(this.on.fn, event)),
      item("js.ws.copy.cli", asCLI(this.on.fn, event)),
      ...(this.lastDone ? [item("js.ws.copy.answer", this.lastDone.payload)] : []),
    ]);
  }
}

function quote(s: string): string {
  return "'" + s.replace(/'/g, "'\\''") + "'";
}

function compact(event: string): string {
  const laid = pretty(event);
  return laid === null || event.length > 4000 ? event : laid.replace(/\n\s*/g, " ");
}

type Target = TestSetup["fn"];

export function asCurl(fn: Target, event: string): string {
  return [
    "curl --aws-sigv4 " + quote(`aws:amz:${fn.region}:lambda`),
    '  --user "$AWS_ACCESS_KEY_ID:$AWS_SECRET_ACCESS_KEY"',
    "  -H 'content-type: application/json'",
    "  --data-binary " + quote(compact(event)),
    "  " + quote(`${fn.endpoint}/2015-03-31/functions/${fn.name}/invocations`),
  ].join(" \\\n");
}

export function asCLI(fn: Target, event: string): string {
  return [
    "aws lambda invoke --endpoint-url " + quote(fn.endpoint),
    `  --region ${fn.region} --function-name ${fn.name}`,
    "  --cli-binary-format raw-in-base64-out",
    "  --payload " + quote(compact(event)) + " /dev/stdout",
  ].join(" \\\n");
}
