// What the code says about a result that surprises.

const assigned = /(?:exports\.\w+|(?:export\s+)?(?:const|let|var)\s+\w*[hH]andler)\s*=\s*(async\s*)?(?:function\s*\w*\s*)?\(?([^)=]*)\)?\s*(?:=>)?/;
const declared = /(?:export\s+)?(async\s+)?function\s+\w*[hH]andler\s*\(([^)]*)\)/;

// dropsItsValue says whether a Node.js handler returns a value without being async and without a callback: Lambda answers null then.
export function dropsItsValue(code: string): boolean {
  const m = declared.exec(code) ?? assigned.exec(code);
  if (!m || m[1]) return false;
  if (m[2].split(",").length > 2) return false;
  const body = code.slice(m.index, m.index + 20_000);
  return /\breturn\s+[^;\s]/.test(body) || /=>\s*\(?\s*[{[("'\w]/.test(m[0] + body.slice(m[0].length, m[0].length + 40));
}

// handlerFile is the path in which the handler of a Node.js function may stand.
export function handlerFiles(handler: string): string[] {
  const module = handler.slice(0, handler.lastIndexOf("."));
  return ["js", "mjs", "cjs", "ts", "mts", "cts"].map((ext) => `${module}.${ext}`);
}
