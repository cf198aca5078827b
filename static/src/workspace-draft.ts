// The draft's way to safety: after every pause to the server, one save at a time, and until the server has it to the browser's storage.
import { ApiError, type Api } from "./workspace-api";
import type { DraftFile, DraftInfo, Project } from "./workspace-project";

// Saved is the server's answer to a save.
export interface Saved {
  seq: number;
  base: number;
  savedAt: string;
  revision: number; // the function's now: higher than base when somebody deployed or configured
}

// DraftEvents tell the page how it stands; conflict means that another tab saved first.
export interface DraftEvents {
  unsaved(): void;
  saved(s: Saved): void;
  away(): void;
  refused(e: ApiError): void;
  conflict(): void;
}

const pause = 250; // ms without a keystroke before a save
const longest = 500; // ms that a stream of keystrokes may delay one
const localPause = 80; // ms before the browser's storage has it
const longestRetry = 15_000;
const keepaliveLimit = 60_000; // characters; browsers refuse more on a closing page

export class DraftSaver {
  base: number;
  seq: number;
  private dirty = new Set<string>();
  private sending: Set<string> | null = null;
  private timer = 0;
  private firstTouch = 0;
  private localTimer = 0;
  private local = true; // the browser's storage holds what is unsaved
  private retry = 0;
  private blocked = false;
  private current: Promise<boolean> | null = null;
  private readonly storageKey: string;

  constructor(
    private readonly api: Api, private readonly project: Project, private readonly events: DraftEvents,
    user: number, fn: string, revision: number, draft: DraftInfo | null,
  ) {
    this.base = draft?.base ?? revision;
    this.seq = draft?.seq ?? 0;
    this.storageKey = localPrefix(user, fn) + Math.random().toString(36).slice(2);
    addEventListener("pagehide", () => this.leave());
    addEventListener("online", () => this.hurry());
    document.addEventListener("visibilitychange", () => {
      if (document.visibilityState === "hidden") void this.flush();
    });
  }

  pending(): boolean {
    return this.dirty.size > 0 || this.sending !== null;
  }

  // atRisk says that leaving now could lose something: the server is away or refuses, or the browser's storage took nothing.
  // Otherwise the closing page still sends what is left, and the next one finds it in the storage.
  atRisk(): boolean {
    return this.pending() && (this.retry > 0 || this.blocked || !this.local);
  }

  // stuck says that the person must choose first which draft goes on.
  stuck(): boolean {
    return this.blocked;
  }

  unsaved(path: string): boolean {
    return this.dirty.has(path);
  }

  // touched says that a file changed.
  touched(path: string) {
    this.dirty.add(path);
    this.events.unsaved();
    if (!this.localTimer) this.localTimer = window.setTimeout(() => this.keepLocally(), localPause);
    const now = performance.now();
    this.firstTouch ||= now;
    this.schedule(this.retry ? this.retryDelay() : Math.min(pause, Math.max(0, this.firstTouch + longest - now)));
  }

  private schedule(ms: number) {
    clearTimeout(this.timer);
    this.timer = window.setTimeout(() => void this.save(), ms);
  }

  private hurry() {
    if (this.dirty.size) this.schedule(0);
  }

  // take hands the unsaved changes to a request that carries them along (run, deploy); settle must follow.
  take(): DraftFile[] {
    clearTimeout(this.timer);
    this.sending = this.dirty;
    this.dirty = new Set();
    this.firstTouch = 0;
    return [...this.sending].map((p) => this.project.outgoing(p));
  }

  // settle ends a request that took changes: with what was saved, or with null when nothing was.
  settle(saved: Saved | null) {
    if (saved) {
      this.seq = saved.seq;
      this.base = saved.base;
      this.retry = 0;
    } else for (const p of this.sending ?? []) this.dirty.add(p);
    this.sending = null;
    this.keepLocally();
    if (this.dirty.size && !this.blocked) this.schedule(saved ? pause : this.retryDelay());
  }

  // idle waits for a save that is under way.
  async idle() {
    while (this.current) await this.current;
  }

  // flush saves what is unsaved and says whether everything is safe on the server.
  async flush(): Promise<boolean> {
    for (let i = 0; i < 3 && this.pending() && !this.blocked; i++) {
      if (!(await this.save())) return false;
    }
    return !this.pending();
  }

  private save(): Promise<boolean> {
    this.current ??= this.saveOnce().finally(() => (this.current = null));
    return this.current;
  }

  private async saveOnce(): Promise<boolean> {
    if (this.blocked) return false;
    if (this.sending || !this.dirty.size) return !this.sending;
    const files = this.take();
    try {
      const saved = await this.api.put<Saved>("draft", { base: this.base, seq: this.seq, files });
      this.settle(saved);
      this.events.saved(saved);
      return true;
    } catch (e) {
      this.failed(e);
      return false;
    }
  }

  private failed(e: unknown) {
    if (e instanceof ApiError && e.key === "draft.changed") {
      this.block();
      this.events.conflict();
    } else if (e instanceof ApiError && e.status >= 400 && e.status < 500 && e.status !== 429 && e.status !== 408) {
      this.block();
      this.events.refused(e);
    } else {
      this.retry++;
      this.settle(null);
      this.events.away();
    }
  }

  // block stops saving until the person has decided.
  block() {
    this.blocked = true;
    this.settle(null);
  }

  // resume goes on from what the server has now; touch names files that must be saved again.
  resume(base: number, seq: number, touch: string[] = []) {
    this.blocked = false;
    this.base = base;
    this.seq = seq;
    this.retry = 0;
    for (const p of touch) this.dirty.add(p);
    this.keepLocally();
    this.hurry();
  }

  // forget drops unsaved changes, after the person chose the other side.
  forget() {
    this.dirty.clear();
    this.sending = null;
    this.keepLocally();
  }

  private retryDelay(): number {
    return Math.min(longestRetry, 500 * 2 ** Math.min(this.retry, 6));
  }

  private keepLocally() {
    clearTimeout(this.localTimer);
    this.localTimer = 0;
    const paths = new Set([...this.dirty, ...(this.sending ?? [])]);
    try {
      if (!paths.size) return localStorage.removeItem(this.storageKey);
      const files = [...paths].map((p) => this.project.change(p)).filter((f): f is DraftFile => !!f);
      const kept: Kept = { base: this.base, seq: this.seq, sending: this.sending !== null, at: Date.now(), files };
      localStorage.setItem(this.storageKey, JSON.stringify(kept));
      this.local = true;
    } catch {
      this.local = false;
      // Storage is full or forbidden: the server's copy and the leave guard remain.
    }
  }

  private leave() {
    this.keepLocally();
    if (this.blocked || this.sending || !this.dirty.size) return;
    const files = [...this.dirty].map((p) => this.project.outgoing(p));
    const body = { base: this.base, seq: this.seq, files };
    if (JSON.stringify(body).length < keepaliveLimit) this.api.last("draft", body);
  }
}

// Kept is what a tab left in the browser's storage when it ended before the server had everything.
export interface Kept {
  base: number;
  seq: number;
  sending: boolean; // a save was under way, so that the server may be one further
  at: number;
  files: DraftFile[];
}

function localPrefix(user: number, fn: string): string {
  return `kiln:draft:${user}:${fn}:`;
}

// leftovers takes what killed tabs of this function left, the oldest first, out of the storage.
export function leftovers(user: number, fn: string): Kept[] {
  const prefix = localPrefix(user, fn), found: Kept[] = [];
  try {
    for (const key of Object.keys(localStorage).filter((k) => k.startsWith(prefix))) {
      const kept = JSON.parse(localStorage.getItem(key) ?? "null") as Kept | null;
      if (kept && Array.isArray(kept.files) && Date.now() - kept.at > liveTab) {
        found.push(kept);
        localStorage.removeItem(key);
      }
    }
  } catch {
    return found;
  }
  return found.sort((a, b) => a.at - b.at);
}

const liveTab = 300; // ms: a younger entry may belong to a tab that is saving right now
