// Loaded by every page: htmx, theme, palette, and the islands that the page names with data-island.
import "./htmx";
import { startIslands } from "./island";
import { startPalette } from "./palette-key";
import { startPage } from "./page";

startPage();
startPalette();
startIslands(document);
