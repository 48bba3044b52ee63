// The page's frame: which page the address means, the header, the station's state, who is logged in.

import { get, logOut, me, whoAmI } from "./api.js";
import { h, icon, toast } from "./dom.js";
import { askForLogin } from "./login.js";
import { at, within } from "./place.js";
import { language, switchLanguage, t } from "./texts.js";

const PAGES = [
  { path: /^\/$/, name: "live", file: "./live.js" },
  { path: /^\/parts$/, name: "parts", file: "./parts.js" },
  { path: /^\/parts\/(\d+)$/, name: "parts", file: "./part.js" },
  { path: /^\/review$/, name: "review", file: "./review.js" },
  { path: /^\/health$/, name: "health", file: "./health.js" },
];
const THEMES = ["auto", "light", "dark"];
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
  header(page?.name);
  if (!page) return main.append(h("p", { class: "empty" }, t("error.page")));
  document.title = `${t(`${page.name}.title`)} · ${station?.name ?? ""} · ${t("app.name")}`;
  const { mount } = await import(page.file);
  const wanted = location.href;
  const ended = await mount({ main, station, go, header: setState, refresh: show, match: path.match(page.path) });
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
  const names = ["live", "parts", "review", "health"];
  document.getElementById("top").replaceChildren(
    h("a", { class: "brand", href: "/" }, h("img", { src: "/static/icon.svg", alt: "", width: 32, height: 32 }),
      h("span", {}, station?.name ?? t("app.name"))),
    h("nav", { "aria-label": t("nav.label") }, names.map((name) =>
      h("a", { href: name === "live" ? "/" : `/${name}`, "aria-current": name === current ? "page" : null }, t(`nav.${name}`)))),
    h("div", { class: "pill", id: "state" }),
    h("div", { class: "tools" }, themeButton(),
      h("button", { class: "quiet", onclick: switchLanguage, lang: language === "en" ? "de" : "en" }, t("top.language")),
      userButton()),
  );
  setState(setState.last ?? "starting");
}

function setState(state) {
  setState.last = state;
  const place = document.getElementById("state");
  if (!place || place.dataset.state === state) return;
  place.dataset.state = state;
  place.replaceChildren(icon(STATE_ICONS[state] ?? "wait"), h("span", {}, t(`state.${state}`)));
}

function themeButton() {
  const now = document.documentElement.dataset.theme ?? "auto";
  const button = h("button", { class: "quiet square", "aria-label": t(`top.theme.${now}`), title: t(`top.theme.${now}`) }, icon(now));
  button.addEventListener("click", () => {
    const next = THEMES[(THEMES.indexOf(now) + 1) % THEMES.length];
    if (next === "auto") delete document.documentElement.dataset.theme;
    else document.documentElement.dataset.theme = next;
    localStorage.setItem("theme", next);
    const fresh = themeButton();
    button.replaceWith(fresh);
    fresh.focus();
  });
  return button;
}

function userButton() {
  if (!me.name) {
    return h("button", { class: "quiet", id: "login", onclick: async () => { if (await askForLogin()) show(); } }, icon("user"), t("top.login"));
  }
  const out = async () => {
    await logOut();
    toast(t("login.bye"));
    start();
  };
  return h("button", { class: "quiet", id: "logout", onclick: out, title: t(`role.${me.role}`) }, icon("user"), `${me.name} · ${t("top.logout")}`);
}

/** Pages without the live feed learn the state here. */
async function watchState() {
  if (within(location.pathname) === "/") return;
  try {
    const answer = await fetch(at("/healthz"));
    setState((await answer.json()).state);
  } catch {
    setState("lost");
  }
}

async function start() {
  try {
    await whoAmI();
    station = await get("/api/station");
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

document.addEventListener("click", (event) => {
  const link = event.target.closest("a[href^='/']");
  if (!link || event.defaultPrevented || event.button || event.ctrlKey || event.metaKey || event.shiftKey) return;
  event.preventDefault();
  go(within(link.getAttribute("href"))).then(() => document.getElementById("main").focus());
});
window.addEventListener("popstate", show);
document.querySelector("link[rel=icon]").href = at("/static/icon.svg"); // browsers look it up again at each address
document.documentElement.lang = language;
document.getElementById("skip").textContent = t("app.skip");
setInterval(watchState, 5000);
start();
