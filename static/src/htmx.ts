// htmx 2, without eval and without styles of its own (the page's meta htmx-config says so); errors go to the notices, never into the target.
import htmx from "htmx.org/dist/htmx.esm.js";

export default htmx;
