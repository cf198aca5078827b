// Loaded by every page: theme, palette, the islands that the page names with data-island, and htmx where the page uses it:
// logs, charts and the list of invocations do without its 18 KB.
import { startIslands } from "./island";
import { startPalette } from "./palette-key";
import { startPage } from "./page";

startPage();
startPalette();
startIslands(document);
if (document.querySelector("[hx-get], [hx-post], [hx-put], [hx-delete], [hx-trigger]")) void import("./htmx");
