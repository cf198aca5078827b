// Words for the islands: the entries of the server's catalogue whose keys begin with "js.", one JSON per language.

type Params = Record<string, string | number>;

let words: Record<string, string> = {};

const loading = (async () => {
  const url = document.body.dataset.words;
  if (!url) return;
  const r = await fetch(url);
  if (r.ok) words = await r.json();
})();

/** ready resolves when t has its words. */
export const ready = () => loading;

/** t is the text of a key in the page's language; params fill {name} and choose {name:one|many}. */
export function t(key: string, params: Params = {}): string {
  const text = words[key] ?? key;
  return text.replace(/\{(\w+)(?::([^|}]*)\|([^}]*))?\}/g, (_, name, one, many) => {
    const v = params[name];
    if (many === undefined) return String(v ?? "");
    return Number(v) === 1 ? one : many;
  });
}
