// Stays in the browser when the station is off, so that a screen says so instead of showing the browser's own error.

const ROOT = new URL(".", self.location).pathname; // it ends with a slash
const OFFLINE = `${ROOT}static/offline.html`;
const CACHE = "offline-1";
const KEPT = [OFFLINE, ...["offline.js", "style.css", "theme.js", "icon.svg"].map((name) => `${ROOT}static/${name}`)];

self.addEventListener("install", (event) => {
  event.waitUntil(caches.open(CACHE).then((cache) => cache.addAll(KEPT)).then(() => self.skipWaiting()));
});

self.addEventListener("activate", (event) => {
  event.waitUntil(caches.keys().then((names) => Promise.all(names.filter((name) => name !== CACHE).map((name) => caches.delete(name)))).then(() => self.clients.claim()));
});

self.addEventListener("fetch", (event) => {
  const { request } = event;
  const { pathname, origin } = new URL(request.url);
  if (origin !== self.location.origin || request.method !== "GET") return;
  if (KEPT.includes(pathname)) event.respondWith(fetch(request).catch(() => caches.match(pathname)));
  else if (request.mode === "navigate") {
    const address = `${OFFLINE}?back=${encodeURIComponent(request.url.slice(origin.length))}`;
    event.respondWith(fetch(request).catch(() => Response.redirect(address)));
  }
});
