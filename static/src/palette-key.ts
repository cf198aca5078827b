// Ctrl K and the search button open the palette; without JavaScript the button is a link to /palette.

async function open() {
  if (document.getElementById("palette")) return;
  const { default: htmx } = await import("./htmx");
  if (!document.getElementById("palette")) void htmx.ajax("GET", "/palette", { target: "#overlay", swap: "innerHTML" });
}

export function startPalette() {
  document.addEventListener("keydown", (e) => {
    if ((e.ctrlKey || e.metaKey) && !e.shiftKey && !e.altKey && e.key.toLowerCase() === "k") {
      e.preventDefault();
      void open();
    }
  });
  document.addEventListener("click", (e) => {
    const el = (e.target as Element).closest("[data-palette]");
    if (!el || e.ctrlKey || e.metaKey) return;
    e.preventDefault();
    void open();
  });
}
