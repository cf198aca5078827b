// Islands: an element with data-island="name" is handed to the module of that name, loaded on demand.
// To add one: write src/name.ts with `export function start(el: HTMLElement): void | (() => void)` and add its line below.
// A function that start returns is called when htmx takes the element out of the page.

type Start = (el: HTMLElement) => void | (() => void) | Promise<void | (() => void)>;

const modules: Record<string, () => Promise<{ start: Start }>> = {
  palette: () => import("./palette"),
  functions: () => import("./functions"),
  create: () => import("./create"),
  configure: () => import("./configure"),
  workspace: () => import("./workspace"),
  log: () => import("./log"),
  invocations: () => import("./invocations"),
  monitor: () => import("./monitor"),
};

const running = new WeakMap<Element, () => void>();

async function startOne(el: HTMLElement) {
  const name = el.dataset.island!;
  const load = modules[name];
  if (!load || el.dataset.started) return;
  el.dataset.started = "1";
  const stop = await (await load()).start(el);
  el.dataset.started = "done"; // the browser tests wait for it
  if (!stop) return;
  if (el.isConnected) running.set(el, stop);
  else stop();
}

/** startIslands starts every island in root that does not run yet. */
export function startIslands(root: ParentNode) {
  if (root instanceof HTMLElement && root.dataset.island) void startOne(root);
  for (const el of root.querySelectorAll<HTMLElement>("[data-island]")) void startOne(el);
}

document.addEventListener("htmx:load", (e) => startIslands(e.target as HTMLElement));
document.addEventListener("htmx:beforeCleanupElement", (e) => {
  const el = e.target as Element;
  running.get(el)?.();
  running.delete(el);
});
