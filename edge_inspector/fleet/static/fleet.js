// One page of all stations: who needs help, what is wrong, and what to do. It looks, and changes nothing.

import { get, whoAmI } from "./api.js";
import { every, hearClock } from "./clock.js";
import { h, icon } from "./dom.js";
import { askForLogin } from "./login.js";
import { helpCard, wellTile } from "./fleet_station.js";
import { direction, language, t } from "./texts.js";
import { languageChoice, themeButton, userButton } from "./tools.js";

const EVERY_MS = 3000;
const STATES = ["fault", "lost", "off", "degraded", "starting", "stopping", "ready"];

let told = null; // the last answer
let logged = false; // the login is on the screen
const chosen = { text: "", site: "", state: "" };

function header() {
  document.getElementById("top").replaceChildren(
    h("a", { class: "brand", href: "/" }, h("img", { src: "/static/icon.svg", alt: "", width: 32, height: 32 }),
      h("span", { class: "station" }, h("bdi", { id: "name" }, told?.name ?? t("app.name")))),
    h("div", { class: "pill", id: "state", role: "status" }),
    h("div", { class: "tools" }, themeButton(), languageChoice(), userButton(load, start)),
  );
}

/** The frame of the page: what is chosen stays in it while the stations change. */
function frame() {
  const search = h("input", { id: "search", type: "search", maxlength: 64, oninput: () => choose({ text: search.value }) });
  const site = h("select", { id: "site", onchange: () => choose({ site: site.value }) });
  document.getElementById("main").replaceChildren(
    h("h1", { class: "hidden" }, t("fleet.title")),
    h("div", { id: "note" }),
    h("div", { class: "panel filters" }, h("div", { class: "row tallies", id: "tallies", role: "group", "aria-label": t("fleet.by_state") }),
      h("label", {}, t("fleet.search"), search), h("label", { id: "sites" }, t("fleet.site"), site)),
    h("section", { id: "help", "aria-labelledby": "help-title" }, h("h2", { id: "help-title" }, t("fleet.help")), h("ul", { class: "stations" })),
    h("section", { id: "well", "aria-labelledby": "well-title" }, h("h2", { id: "well-title" }, t("fleet.well")), h("ul", { class: "tiles" })),
  );
}

function choose(some) {
  Object.assign(chosen, some);
  draw();
}

function draw() {
  if (!told) return;
  const all = told.stations;
  const waiting = all.filter((each) => each.help).length;
  document.title = `${waiting ? `(${waiting}) ` : ""}${told.name} · ${t("app.name")}`;
  document.getElementById("name").textContent = told.name;
  pill(waiting ? "fault" : "ready", waiting ? t("fleet.need", { n: waiting, m: all.length }) : t("fleet.fine", { m: all.length }));
  note();
  tallies(all);
  sites(all);
  const shown = all.filter(fits);
  list("help", shown.filter((each) => each.help), helpCard);
  list("well", shown.filter((each) => !each.help), wellTile);
}

function fits(each) {
  const words = [each.name, each.own, each.site, each.place, each.page].join(" ").toLocaleLowerCase();
  return words.includes(chosen.text.trim().toLocaleLowerCase()) && (!chosen.site || each.site === chosen.site)
    && (!chosen.state || each.state === chosen.state);
}

function pill(state, text) {
  const place = document.getElementById("state");
  if (place.dataset.said === text) return;
  place.dataset.said = text;
  place.dataset.state = state;
  place.replaceChildren(icon(state === "ready" ? "accept" : "stop"), h("span", {}, text));
}

function note() {
  const said = [told.broker && t("fleet.broker", { why: told.broker }),
    told.prometheus && t("fleet.prometheus", { why: told.prometheus }), told.full && t("fleet.full"), !told.stations.length && t("fleet.none")];
  keep(document.getElementById("note"), said.filter(Boolean), (text) => h("p", { class: "panel note" }, h("span", {}, text)));
}

function tallies(all) {
  const counts = STATES.map((state) => [state, all.filter((each) => each.state === state).length]).filter(([state, n]) => n || state === chosen.state);
  keep(document.getElementById("tallies"), counts, ([state, n]) =>
    h("button", { class: "tally", "data-key": state, "aria-pressed": String(state === chosen.state), onclick: () => choose({ state: state === chosen.state ? "" : state }) },
      h("b", { "data-state": state }, n), t(`state.${state}`)), chosen.state);
}

function sites(all) {
  const names = [...new Set(all.map((each) => each.site).filter(Boolean))].sort((a, b) => a.localeCompare(b, language));
  document.getElementById("sites").hidden = names.length < 2 && !chosen.site;
  keep(document.getElementById("site"), ["", ...names], (name) => h("option", { value: name, selected: name === chosen.site }, name || t("fleet.every_site")));
}

/** The stations of one list. Those that have not changed stay as they are, and so does the place of the keyboard. */
function list(id, stations, build) {
  const section = document.getElementById(id);
  section.hidden = !stations.length;
  const place = section.querySelector("ul");
  const before = new Map([...place.children].map((each) => [each.dataset.key, each]));
  const after = stations.map((each) => {
    const text = JSON.stringify(each);
    const old = before.get(each.key);
    if (old?.drawn === text) return old;
    const fresh = build(each);
    fresh.drawn = text;
    fresh.dataset.key = each.key;
    return fresh;
  });
  swap(place, after);
}

/** Draw these things again if they are others than before. */
function keep(place, things, build, extra = "") {
  const text = JSON.stringify([things, extra]);
  if (place.drawn === text) return;
  place.drawn = text;
  swap(place, things.map(build));
}

function swap(place, children) {
  if (children.length === place.children.length && children.every((each, at) => each === place.children[at])) return;
  const held = place.contains(document.activeElement) ? document.activeElement : null;
  const key = held?.closest("[data-key]")?.dataset.key;
  place.replaceChildren(...children);
  if (!held || document.activeElement === held) return;
  const again = [...place.querySelectorAll("[data-key]"), ...place.children].find((each) => each.dataset.key === key);
  (held.isConnected ? held : again?.matches("a, button") ? again : again?.querySelector("a, button"))?.focus();
}

async function load() {
  try {
    told = await get("/api/fleet");
    hearClock(told.utc);
    draw();
  } catch (error) {
    if (error.status === 401 && !logged) return login();
    if (error.status !== 401) pill("lost", t("fleet.lost"));
  }
}

async function login() {
  logged = true;
  told = null;
  frame(); // who has logged out must not go on reading
  await askForLogin({ must: true });
  logged = false;
  return load();
}

async function start() {
  await whoAmI().catch(() => {});
  header();
  frame();
  return load();
}

document.addEventListener("session", () => document.querySelector("#login, #logout")?.replaceWith(userButton(load, start)));
document.addEventListener("keydown", (event) => {
  if (event.key !== "/" || event.target.closest("input, select, dialog")) return;
  event.preventDefault();
  document.getElementById("search").focus();
});
document.documentElement.lang = language;
document.documentElement.dir = direction;
document.getElementById("skip").textContent = t("app.skip");
await start();
every(EVERY_MS, load);
