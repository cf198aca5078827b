// The files that the person works on: the deployed package with the draft's changes over it.

// FileInfo is one deployed file. text is there when the page brought it along; else it is fetched when it is needed.
export interface FileInfo {
  path: string;
  size: number;
  binary?: boolean;
  large?: boolean;
  text?: string;
}

// DraftFile is one change of the draft as the server tells and takes it; data is base64, for files that are not text.
export interface DraftFile {
  path: string;
  deleted?: boolean;
  reverted?: boolean; // only on the way out: the draft forgets the file
  size?: number;
  binary?: boolean;
  text?: string;
  data?: string;
}

export interface DraftInfo {
  base: number;
  seq: number;
  savedAt: string;
  files: DraftFile[];
}

export type Status = "" | "M" | "A" | "D";

// Entry is a file as the tree and the tabs show it.
export interface Entry {
  path: string;
  status: Status;
  editable: boolean;
  binary: boolean;
  large: boolean;
  size: number;
}

export const largestText = 1 << 20; // bytes; longer files are shown as too large to edit

// Fetch reads a file's bytes: of the deployed package, or of the saved draft.
export type Fetch = (path: string, draft: boolean) => Promise<ArrayBuffer>;

const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

export class Project {
  private base = new Map<string, FileInfo>();
  private changes = new Map<string, DraftFile>();

  constructor(files: FileInfo[], draft: DraftInfo | null, private readonly fetch: Fetch) {
    this.reset(files, draft);
  }

  // reset takes a new deployed package and draft, after a deploy, a conflict or an upload.
  reset(files: FileInfo[], draft: DraftInfo | null) {
    this.base = new Map(files.map((f) => [f.path, f]));
    this.changes = new Map((draft?.files ?? []).map((f) => [f.path, f]));
  }

  // rebase keeps the changes and takes a new deployed package below them.
  rebase(files: FileInfo[]) {
    this.base = new Map(files.map((f) => [f.path, f]));
  }

  entries(): Entry[] {
    const paths = new Set([...this.base.keys(), ...this.changes.keys()]);
    return [...paths].map((p) => this.entry(p)).filter((e): e is Entry => e !== null).sort((a, b) => comparePaths(a.path, b.path));
  }

  entry(path: string): Entry | null {
    const b = this.base.get(path), c = this.changes.get(path);
    if (!b && (!c || c.deleted)) return null;
    const now = c && !c.deleted ? c : b!;
    const binary = !!now.binary, large = "large" in now && !!now.large;
    const size = now.text !== undefined ? now.text.length : now.size ?? 0;
    return { path, status: this.status(path), editable: !binary && !large && !c?.deleted, binary, large, size };
  }

  status(path: string): Status {
    const b = this.base.get(path), c = this.changes.get(path);
    if (!c) return "";
    if (c.deleted) return b ? "D" : "";
    if (!b) return "A";
    return c.text !== undefined && c.text === b.text ? "" : "M";
  }

  exists(path: string): boolean {
    const c = this.changes.get(path);
    return c ? !c.deleted : this.base.has(path);
  }

  // changed lists what differs from the deployed package.
  changed(): Entry[] {
    return this.entries().filter((e) => e.status !== "");
  }

  change(path: string): DraftFile | undefined {
    return this.changes.get(path);
  }

  // outgoing is what a save says about a file.
  outgoing(path: string): DraftFile {
    const c = this.changes.get(path), b = this.base.get(path);
    if (!c || (c.deleted && !b) || (c.text !== undefined && b?.text === c.text)) return { path, reverted: true };
    return c;
  }

  // text is the file's text now; it throws when the file is not text.
  async text(path: string): Promise<string> {
    const c = this.changes.get(path);
    if (!c) return (await this.baseText(path)) ?? "";
    c.text ??= decoder.decode(await this.fetch(path, true));
    return c.text;
  }

  // baseText is the deployed text, null for a file that is new or not text.
  async baseText(path: string): Promise<string | null> {
    const b = this.base.get(path);
    if (!b || b.binary || b.large) return null;
    b.text ??= decoder.decode(await this.fetch(path, false));
    return b.text;
  }

  set(path: string, text: string) {
    this.changes.set(path, { path, text });
  }

  setBytes(path: string, bytes: Uint8Array) {
    const text = textOf(bytes);
    if (text !== null) this.set(path, text);
    else this.changes.set(path, { path, binary: true, size: bytes.length, data: toBase64(bytes) });
  }

  remove(path: string) {
    this.changes.set(path, { path, deleted: true });
  }

  // revert goes back to the deployed file; a new file goes away.
  revert(path: string) {
    this.changes.delete(path);
  }

  // move renames one file, byte for byte.
  async move(from: string, to: string) {
    const e = this.entry(from);
    if (!e) return;
    if (e.editable) this.set(to, await this.text(from));
    else this.setBytes(to, await this.bytes(from));
    this.remove(from);
  }

  private async bytes(path: string): Promise<Uint8Array> {
    const c = this.changes.get(path);
    if (c?.data) return fromBase64(c.data);
    return new Uint8Array(await this.fetch(path, !!c));
  }
}

// comparePaths puts files before folders, as the tree shows them: what people edit most stands first.
export function comparePaths(a: string, b: string): number {
  const x = a.split("/"), y = b.split("/");
  for (let i = 0; ; i++) {
    const lastX = i === x.length - 1, lastY = i === y.length - 1;
    if (lastX !== lastY) return lastX ? -1 : 1;
    if (x[i] !== y[i]) return x[i] < y[i] ? -1 : 1;
    if (lastX) return 0;
  }
}

// textOf is null for bytes that are not text or too many to edit.
export function textOf(bytes: Uint8Array): string | null {
  if (bytes.length > largestText || bytes.includes(0)) return null;
  try {
    return decoder.decode(bytes);
  } catch {
    return null;
  }
}

function toBase64(bytes: Uint8Array): string {
  let s = "";
  for (let i = 0; i < bytes.length; i += 0x8000) s += String.fromCharCode(...bytes.subarray(i, i + 0x8000));
  return btoa(s);
}

function fromBase64(s: string): Uint8Array {
  return Uint8Array.from(atob(s), (c) => c.charCodeAt(0));
}

// pathProblem is the message key of what is wrong with a new path, "" when it is fine.
export function pathProblem(path: string, project: Project): string {
  if (path === "" || path.length > 500) return "js.ws.path.empty";
  if (path.startsWith("/") || path.endsWith("/") || /[\\\x00-\x1f]/.test(path)) return "js.ws.path.bad";
  if (path.split("/").some((p) => p === "" || p === "." || p === "..")) return "js.ws.path.bad";
  if (project.exists(path)) return "js.ws.path.taken";
  const entries = project.entries().filter((e) => e.status !== "D");
  return entries.some((e) => e.path.startsWith(path + "/") || path.startsWith(e.path + "/")) ? "js.ws.path.taken" : "";
}
