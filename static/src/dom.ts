// Building elements without markup strings: what a function printed can only ever become text.

type Props = { [name: string]: string | number | boolean | undefined | null | ((e: never) => void) };
type Child = Node | string | null | undefined | false;

/** h makes an element. on… are listeners, true and false toggle attributes, undefined leaves one out, everything else is an attribute. */
export function h<K extends keyof HTMLElementTagNameMap>(tag: K, props?: Props | null, ...children: Child[]): HTMLElementTagNameMap[K] {
  const el = document.createElement(tag);
  for (const [name, v] of Object.entries(props ?? {})) {
    if (typeof v === "function") el.addEventListener(name.slice(2), v as unknown as EventListener);
    else if (v === true) el.setAttribute(name, "");
    else if (v !== false && v !== undefined && v !== null) el.setAttribute(name, String(v));
  }
  for (const c of children) if (c) el.append(c);
  return el;
}

const svgNS = "http://www.w3.org/2000/svg";

/** svg makes an SVG element with attributes. */
export function svg(tag: string, attrs: { [name: string]: string | number }, ...children: Node[]): SVGElement {
  const el = document.createElementNS(svgNS, tag);
  for (const [name, v] of Object.entries(attrs)) el.setAttribute(name, String(v));
  el.append(...children);
  return el;
}

let sprite = "";

/** icon is one of icons.svg; the page's own icons say where that file is. */
export function icon(name: string, small = false): SVGElement {
  sprite ||= document.querySelector("svg use[href*='.svg#']")?.getAttribute("href")?.split("#")[0] ?? "";
  return svg("svg", { class: small ? "i i-12" : "i", "aria-hidden": "true" }, svg("use", { href: `${sprite}#i-${name}` }));
}

/** button is a quiet button with an icon, words, or both. */
export function button(o: { icon?: string; text?: string; label?: string; cls?: string; key?: string; pressed?: boolean; on: (e: MouseEvent) => void }): HTMLButtonElement {
  return h(
    "button",
    { type: "button", class: o.cls ?? "btn btn-quiet btn-sm", "aria-label": o.label, title: o.label, "aria-pressed": o.pressed === undefined ? undefined : String(o.pressed), onclick: o.on as never },
    o.icon ? icon(o.icon) : null,
    o.text ? h("span", null, o.text) : null,
    o.key ? h("kbd", null, o.key) : null,
  );
}
