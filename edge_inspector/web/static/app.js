// The page's frame: which page the address means, the header, the station's state, who is logged in.

import { get, me, whoAmI } from "./api.js";
import { every, hearClock } from "./clock.js";
import { h, icon, toast } from "./dom.js";
import { askForLogin } from "./login.js";
import { at, within } from "./place.js";
import { direction, language, t } from "./texts.js";
import { languageChoice, themeButton, userButton } from "./tools.js";

const PAGES = [
  { path: /^\/$/, name: "live", file: "./live.js" },
  { path: /^\/parts$/, name: "parts", file: "./parts.js" },
  { path: /^\/parts\/(\d+)$/, name: "parts", file: "./part.js" },
  { path: /^\/parts\/(\d+)\/draw$/, name: "draw", file: "./label.js" },
  { path: /^\/uploads$/, name: "uploads", file: "./uploads.js" },
  { path: /^\/uploads\/(\d+)\/draw$/, name: "draw", file: "./label.js" },
  { path: /^\/review$/, name: "review", file: "./review.js" },
  { path: /^\/trends$/, name: "trends", file: "./trends.js" },
  { path: /^\/recipes$/, name: "recipes", file: "./recipes.js" },
  { path: /^\/teach$/, name: "teach", file: "./teach.js" },
  { path: /^\/cameras$/, name: "cameras", file: "./cameras.js" },
  { path: /^\/events$/, name: "events", file: "./events.js" },
  { path: /^\/health$/, name: "health", file: "./health.js" },
  { path: /^\/checks$/, name: "checks", file: "./checks.js" },
];
const STATE_MS = 5000;
const IN_USE_MS = 60e3;
const STATE_ICONS = { ready: "accept", degraded: "warn", off: "stop", fault: "stop", starting: "wait", stopping: "wait", lost: "stop" };

let leave = null; // ends the page that is shown
let station = null;

/** Show the page at this address, without loading the document again. */
function go(address, { push = true } = {}) {
  if (push) history.pushState(null, "", at(address));
  return show();
}

async function show() {
  const path = within(location.pathname);
  const page = PAGES.find((each) => each.path.test(path));
  const main = clear();
  main.className = page?.name ?? "";
  const wall = page?.name === "live" && new URLSearchParams(location.search).has("wall");
  document.documentElement.classList.toggle("wall", wall);
  header(page?.name);
  if (!page) return main.append(h("p", { class: "empty" }, t("error.page")));
  document.title = `${t(`${page.name}.title`)} · ${station?.name ?? ""} · ${t("app.name")}`;
  const { mount } = await import(page.file);
  const wanted = location.href;
  const ended = await mount({ main, station, go, header: setState, product: setProduct, refresh: show, match: path.match(page.path) });
  if (location.href === wanted) leave = ended;
  else ended?.();
}

/** Take away what is shown; the place for what comes next. */
function clear() {
  const main = document.getElementById("main");
  leave?.();
  leave = null;
  main.replaceChildren();
  return main;
}

function header(current) {
  const names = ["live", "parts", "review", "trends", "events", "recipes", "cameras", "health", "checks"];
  document.getElementById("top").replaceChildren(
    h("a", { class: "brand", href: "/" }, h("img", { src: "/static/icon.svg", alt: "", width: 32, height: 32 }),
      h("span", { class: "station" }, station?.name ?? t("app.name"), station ? h("small", { class: "product" }, station.recipe.name) : null)),
    h("nav", { "aria-label": t("nav.label") }, names.map((name) =>
      h("a", { href: name === "live" ? "/" : `/${name}`, "aria-current": name === current ? "page" : null }, t(`nav.${name}`),
        name === "events" ? h("span", { class: "waiting", hidden: true, "aria-label": t("nav.waiting") }) : null))),
    h("div", { class: "pill", id: "state" }),
    h("div", { class: "tools" }, current === "live" ? wallButton() : null, themeButton(),
      languageChoice(),
      userButton(show, start)),
  );
  document.querySelector("nav [aria-current]")?.scrollIntoView({ inline: "center", block: "nearest" });
  setState(setState.last ?? "starting");
}

/** Name the product that is judged now, and how many events wait for a person. */
function setProduct({ product, waiting }) {
  station.recipe = { ...station.recipe, ...product };
  for (const place of document.querySelectorAll(".brand .product")) place.textContent = product.name;
  for (const place of document.querySelectorAll(".waiting")) {
    place.textContent = waiting || "";
    place.hidden = !waiting;
  }
}

function setState(state) {
  if (state !== "lost" && state !== "starting") localStorage.setItem("seen", String(Date.now()));
  setState.last = state;
  const place = document.getElementById("state");
  if (!place || place.dataset.state === state) return;
  place.dataset.state = state;
  place.replaceChildren(icon(STATE_ICONS[state] ?? "wait"), h("span", {}, t(`state.${state}`)));
}

/** Large enough to be read from five metres, and back. */
function wallButton() {
  const on = new URLSearchParams(location.search).has("wall");
  const text = t(on ? "top.wall_off" : "top.wall");
  return h("a", { class: "button quiet square", href: on ? "/" : "/?wall=1", "aria-label": text, title: text }, icon("fit"));
}

/** Somebody touches the screen: the session goes on. If it has ended meanwhile, the screen says so. */
async function inUse() {
  if (!me.name || performance.now() - inUse.last < IN_USE_MS) return;
  inUse.last = performance.now();
  const before = me.name;
  await whoAmI().catch(() => {});
  if (before && !me.name) toast(t("login.over"), true);
}
inUse.last = 0;

/** Pages without the live feed learn state and product here. */
async function watchState() {
  if (within(location.pathname) === "/" || !station) return;
  try {
    const now = await get("/api/now");
    hearClock(now.utc);
    setState(now.state);
    setProduct(now);
  } catch (error) {
    if (error.status !== 401) setState("lost");
  }
}

async function start() {
  try {
    await whoAmI();
    station = await get("/api/station");
    hearClock(station.utc);
  } catch (error) {
    if (error.status === 401) {
      clear(); // who has logged out must not go on reading
      header();
      return await askForLogin({ must: true }) && start();
    }
    header();
    setState("lost");
    return setTimeout(start, 3000);
  }
  watchState();
  return show();
}

/** What a screen shows when the station is off: kept now, because then nobody can be asked. */
function stayWhenOff() {
  const texts = { title: t("offline.title"), since: t("offline.since"), what: t("offline.what"), lang: language, dir: direction };
  localStorage.setItem("offline", JSON.stringify(texts));
  navigator.serviceWorker?.register(at("/worker.js"), { scope: at("/") }).catch(() => {}); // only over TLS or on the box itself
}

document.addEventListener("click", (event) => {
  const link = event.target.closest("a[href^='/']");
  if (!link || event.defaultPrevented || event.button || event.ctrlKey || event.metaKey || event.shiftKey) return;
  event.preventDefault();
  go(within(link.getAttribute("href"))).then(() => document.getElementById("main").focus());
});
window.addEventListener("popstate", show);
for (const kind of ["pointerdown", "keydown"]) document.addEventListener(kind, inUse, { passive: true });
document.addEventListener("session", () => document.querySelector("#login, #logout")?.replaceWith(userButton(show, start)));
document.querySelector("link[rel=icon]").href = at("/static/icon.svg"); // browsers look it up again at each address
document.documentElement.lang = language;
document.documentElement.dir = direction;
document.getElementById("skip").textContent = t("app.skip");
every(STATE_MS, watchState);
stayWhenOff();
start();
