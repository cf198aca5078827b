// Loaded by every page: theme, palette and the islands that the page names with data-island. Pages with hx- attributes also load htmx.ts.
import { startIslands } from "./island";
import { startPalette } from "./palette-key";
import { startPage } from "./page";

startPage();
startPalette();
startIslands(document);
