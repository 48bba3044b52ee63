// The station is off: since when, what to do, and back to the page as soon as it answers again.

const EVERY_MS = 3000;
const HEALTH = new URL("../healthz", import.meta.url);

const known = JSON.parse(localStorage.getItem("offline") ?? "null");
if (known) {
  document.documentElement.lang = known.lang;
  document.documentElement.dir = known.dir;
  document.title = known.title;
  for (const name of ["title", "what"]) document.getElementById(name).textContent = known[name];
  const seen = new Date(Number(localStorage.getItem("seen")) || Date.now());
  document.getElementById("since").textContent = `${known.since} ${seen.toLocaleString(known.lang === "en" ? "en-GB" : known.lang)}`;
}

/** Only an address of this page: it comes from the address bar. */
function back() {
  const asked = new URLSearchParams(location.search).get("back") ?? "";
  const root = new URL("..", import.meta.url);
  const address = new URL(asked || root, root);
  return address.origin === root.origin && address.pathname.startsWith(root.pathname) ? address.href : root.href;
}

setInterval(async () => {
  try {
    await fetch(HEALTH, { cache: "no-store" }); // any answer, also that of a fault
    location.replace(back());
  } catch { /* still off */ }
}, EVERY_MS);
