declare module "htmx.org/dist/htmx.esm.js" {
  const htmx: {
    ajax(verb: string, path: string, context?: object): Promise<void>;
    process(el: Element): void;
    trigger(el: Element, name: string, detail?: object): void;
    config: Record<string, unknown>;
  };
  export default htmx;
}
