// Times of the log and the charts: in the browser's zone or in UTC, always 24 hours, made by hand because 100,000 of them are needed at once.

let utc = false;

export const isUTC = () => utc;
export function setUTC(v: boolean) {
  utc = v;
}

const two = (n: number) => (n < 10 ? "0" + n : "" + n);
const three = (n: number) => (n < 100 ? "0" : "") + two(n);

/** clock is 14:03:12.402. */
export function clock(ms: number): string {
  const d = new Date(ms);
  return (utc ? two(d.getUTCHours()) + ":" + two(d.getUTCMinutes()) : two(d.getHours()) + ":" + two(d.getMinutes())) + ":" + seconds(ms);
}

/** seconds is 12.402: what a line under its invocation shows. */
export function seconds(ms: number): string {
  const d = new Date(ms);
  return two(d.getUTCSeconds()) + "." + three(d.getUTCMilliseconds());
}

/** day is 11-28 in the chosen zone. */
export function day(ms: number): string {
  const d = new Date(ms);
  return utc ? two(d.getUTCMonth() + 1) + "-" + two(d.getUTCDate()) : two(d.getMonth() + 1) + "-" + two(d.getDate());
}

/** minute is 14:03. */
export const minute = (ms: number) => clock(ms).slice(0, 5);

/** zone is the short name of the chosen zone, for example KST. */
export function zone(): string {
  if (utc) return "UTC";
  const parts = new Intl.DateTimeFormat(document.documentElement.lang, { timeZoneName: "short" }).formatToParts();
  return parts.find((p) => p.type === "timeZoneName")?.value ?? "";
}

/** exact is the whole time with its zone, for titles. */
export const exact = (ms: number) => new Date(ms).toISOString();
