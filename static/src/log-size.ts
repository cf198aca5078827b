// How tall a row will be before it was measured: text is monospace, so counting characters comes close, and scrolling does not jump.
import type { Line, Row } from "./log-model";
import type { Look } from "./log-render";
import { clipAt } from "./log-text";

const lineHeight = 18;
const padding = 4;
const beside = 250; // px of time, level and margins beside the message
const besideSmall = 80;
const charWidth = 7.23;

/** estimator makes the estimate for a list of this width. */
export function estimator(look: Look, width: number): (r: Row) => number {
  const small = width < 640;
  const columns = Math.max(20, Math.floor((width - (small ? besideSmall : beside)) / charWidth));
  return (r) => {
    if (r.kind === "run") return small ? 36 : 26;
    if (r.kind === "detail") return 200;
    if (!look.wrap || r.kind === "note") return lineHeight + padding;
    return linesOf((r as Line).text, columns) * lineHeight + padding;
  };
}

function linesOf(text: string, columns: number): number {
  if (text.length <= columns && !text.includes("\n")) return 1;
  let n = 0;
  let at = 0;
  const end = Math.min(text.length, clipAt);
  while (at < end) {
    let next = text.indexOf("\n", at);
    if (next < 0 || next > end) next = end;
    n += Math.max(1, Math.ceil((next - at) / columns));
    at = next + 1;
  }
  return Math.max(1, n);
}
