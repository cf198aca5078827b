// Words for the islands: the entries of the server's catalogue whose keys begin with "js.", per language one JSON for every page and one for the workspace.

type Params = Record<string, string | number>;

const words: Record<string, string> = {};

async function load(el: HTMLElement) {
  const r = await fetch(el.dataset.words!);
  if (r.ok) Object.assign(words, await r.json());
}

let loading: Promise<unknown> | undefined;

/** ready resolves when t has its words; pages that need none never load them. */
export const ready = () => (loading ??= Promise.all([...document.querySelectorAll<HTMLElement>("[data-words]")].map(load)));

/** t is the text of a key in the page's language; params fill {name} and choose {name:one|many}. */
export function t(key: string, params: Params = {}): string {
  const text = words[key] ?? key;
  return text.replace(/\{(\w+)(?::([^|}]*)\|([^}]*))?\}/g, (_, name, one, many) => {
    const v = params[name];
    if (many === undefined) return String(v ?? "");
    return Number(v) === 1 ? one : many;
  });
}
