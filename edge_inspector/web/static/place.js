// Where the page is served: at the root of its host, or below a path of a reverse proxy's.

const ROOT = new URL("..", import.meta.url).pathname.slice(0, -1); // "" or "/line-1": this file is in ROOT/static

/** The browser's path to one of the station's, as "/parts". */
export const at = (path) => ROOT + path;

/** The station's path to one of the browser's. */
export const within = (path) => path.slice(ROOT.length) || "/";
