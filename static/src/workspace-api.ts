// Requests to the workspace's own routes: JSON both ways, with the session's token; failures carry the server's message.

// ApiError is a refusal or failure that the page can show. status 0 means that the server did not answer.
export class ApiError extends Error {
  constructor(readonly status: number, readonly key: string, message: string, readonly data: Record<string, unknown> = {}) {
    super(message);
  }
}

export class Api {
  constructor(private readonly root: string, private readonly token: string, private readonly awayText: string) {}

  get<T>(path: string): Promise<T> {
    return this.send<T>("GET", path);
  }
  put<T>(path: string, body: unknown): Promise<T> {
    return this.send<T>("PUT", path, JSON.stringify(body));
  }
  post<T>(path: string, body: unknown): Promise<T> {
    return this.send<T>("POST", path, JSON.stringify(body));
  }
  delete<T>(path: string): Promise<T> {
    return this.send<T>("DELETE", path);
  }

  // upload posts raw bytes.
  upload<T>(path: string, body: Blob): Promise<T> {
    return this.send<T>("POST", path, body, "application/zip");
  }

  async bytes(path: string): Promise<ArrayBuffer> {
    const r = await this.fetch("GET", path);
    return r.arrayBuffer();
  }

  // last sends a save from a page that is closing; nobody sees the answer.
  last(path: string, body: unknown) {
    void fetch(this.root + path, { method: "PUT", headers: this.headers("application/json"), body: JSON.stringify(body), keepalive: true }).catch(() => {});
  }

  private async send<T>(method: string, path: string, body?: BodyInit, type = "application/json"): Promise<T> {
    const r = await this.fetch(method, path, body, type);
    return r.status === 204 ? (undefined as T) : ((await r.json()) as T);
  }

  private async fetch(method: string, path: string, body?: BodyInit, type?: string): Promise<Response> {
    let r: Response;
    try {
      r = await fetch(this.root + path, { method, headers: this.headers(body === undefined ? undefined : type), body, redirect: "manual" });
    } catch {
      throw new ApiError(0, "away", this.awayText);
    }
    if (r.ok) return r;
    throw await this.failure(r);
  }

  private headers(type?: string): Record<string, string> {
    const h: Record<string, string> = { accept: "application/json", "x-csrf-token": this.token };
    if (type) h["content-type"] = type;
    return h;
  }

  private async failure(r: Response): Promise<ApiError> {
    try {
      const e = await r.json();
      return new ApiError(r.status, e.key ?? "", e.message ?? r.statusText, e);
    } catch {
      return new ApiError(r.status, "", this.awayText);
    }
  }
}
