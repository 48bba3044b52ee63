// What happens on the line now. Everything comes in one stream; each part of the screen takes what it shows.

import { get } from "./api.js";
import { Belt } from "./belt.js";
import { callOf } from "./call.js";
import { pareto, perHour } from "./charts.js";
import { hearClock, stationNow } from "./clock.js";
import { collectOf } from "./collect.js";
import { DECISIONS, h, icon, toast } from "./dom.js";
import { heroOf } from "./hero.js";
import { askForMark } from "./marks.js";
import { at } from "./place.js";
import { rejectOf } from "./reject.js";
import { rollOf } from "./roll.js";
import { className, moment, number, t } from "./texts.js";

const STRIP = 14;
const SILENT_MS = 3000; // the station speaks four times a second
const RETRY_MS = 3000;
const FRESH_MS = 10e3; // a picture of now, also while no part is decided

export function mount({ main, station, go, header, product, refresh }) {
  const hero = heroOf(station);
  const belt = new Belt(station);
  const cameras = camerasOf(station);
  const open = async (verdict) => {
    const part = await findPart(verdict);
    if (part) go(`/parts/${part.id}`);
  };
  const strip = stripOf(station, open);
  const reject = rejectOf(open, findPart);
  const side = sideOf(station);
  const call = callOf(station);
  const collect = collectOf(station, refresh);
  const roll = rollOf(station);
  const quiet = h("p", { class: "quiet-line", role: "status", hidden: true });
  main.append(
    h("h1", { class: "hidden" }, t("live.title")),
    ...[hero.element, quiet, promiseOf(station), collect.element, call.element, roll.element, belt.element].filter(Boolean),
    h("div", { class: "columns" }, h("div", { class: "seen" }, reject.element, h("div", { class: "wide" }, cameras.element, strip.element)), side.element));

  let heard = performance.now();
  const lost = () => {
    if (performance.now() - heard < SILENT_MS) return;
    header("lost");
    hero.lost();
    belt.lost();
    main.classList.add("old");
  };
  let stream, again;
  const listen = () => {
    stream = new EventSource(at("/api/live"));
    stream.onmessage = take;
    // After an answer that is no stream (too many screens, a proxy, no longer logged in) the browser does not try again.
    stream.onerror = () => { if (stream.readyState === EventSource.CLOSED) again = setTimeout(reopen, RETRY_MS); };
  };
  const reopen = () => get("/api/station").then(listen, ({ status }) => {
    if (status === 401) location.reload(); // asks for the login
    else again = setTimeout(reopen, RETRY_MS);
  });
  const take = (event) => {
    const news = JSON.parse(event.data);
    if (news.boot !== station.boot || news.recipe !== station.recipe.id) return location.reload(); // another run of the station, or another product
    heard = performance.now();
    hearClock(news.utc);
    roll.take(news);
    main.classList.remove("old");
    main.classList.toggle("idle", news.figures.old);
    quiet.hidden = !news.figures.old;
    if (news.figures.old) quiet.textContent = t("live.idle", { n: ago(news.figures.idle_s) });
    header(news.state);
    product(news);
    for (const each of [hero, belt, collect, cameras, reject, strip, side]) each.take(news);
  };
  listen();
  const watch = setInterval(lost, 500);
  return () => {
    stream.close();
    clearTimeout(again);
    clearInterval(watch);
    belt.end();
    call.end();
    collect.end();
  };
}

/** What a line promises that is weaker than usual: the word of its station file, and what it means. Null for all others. */
function promiseOf(station) {
  if (station.promise === "acknowledged") return null;
  return h("p", { class: "quiet-line promise" }, h("b", {}, station.promise), " ", t(`promise.${station.promise}`));
}

function camerasOf(station) {
  const shown = Object.fromEntries(station.cameras.map(({ name }) => {
    const picture = h("img", { alt: t("live.camera_picture", { name }), hidden: true });
    const none = h("span", { class: "none" }, t("live.no_picture"));
    const state = h("span", { class: "mark" });
    const frame = h("span", { class: "frame" });
    return [name, { picture, none, state, frame, element: h("figure", { class: "camera" },
      h("div", { class: "glass" }, picture, none), h("figcaption", {}, h("b", {}, name), state, frame)) }];
  }));
  return {
    element: h("section", { class: "panel cameras" }, h("h2", {}, t("live.cameras")),
      h("div", { class: "glasses" }, Object.values(shown).map((camera) => camera.element))),
    take({ pictures, cameras }) {
      for (const [name, up] of Object.entries(cameras)) mark(shown[name].state, up);
      for (const [name, { jpeg, frame, utc }] of Object.entries(pictures)) {
        const { picture, none, frame: place } = shown[name];
        picture.src = `data:image/jpeg;base64,${jpeg}`;
        picture.dataset.frame = frame;
        picture.hidden = false;
        none.hidden = true;
        place.textContent = moment(utc);
        place.title = t("live.frame", { n: frame });
        shown[name].utc = utc;
      }
      for (const { element, utc } of Object.values(shown)) element.classList.toggle("fresh", stationNow() - new Date(utc) < FRESH_MS);
    },
  };
}

/** The stored part of a verdict. It may be in the results only a moment later, and another run may have had the same number. */
async function findPart({ part, seq, boot }) {
  const { parts } = await get(`/api/parts?part=${part}`).catch((error) => toast(error.message, true) ?? { parts: [] });
  const found = parts.find((each) => each.seq === seq && each.boot === boot);
  if (!found) toast(t("live.not_stored_yet", { n: part }));
  return found;
}

function stripOf(station, open) {
  const list = h("ol", { class: "strip" });
  const none = h("p", { class: "empty" }, t("live.no_verdicts"));
  const only = h("input", { type: "checkbox", checked: localStorage.getItem("strip") === "rejected", onchange: () => {
    localStorage.setItem("strip", only.checked ? "rejected" : "all");
    fill(kept);
  } });
  let kept = [];
  const card = (entry) => {
    const kind = DECISIONS[entry.decision];
    const why = kind === "not_inspected" ? t(`reason.${entry.reason}`) : entry.classes.map(className).join(", ");
    return h("li", {}, h("button", { class: `verdict ${kind}`, onclick: () => open(entry) },
      entry.jpeg ? h("img", { src: `data:image/jpeg;base64,${entry.jpeg}`, alt: "" }) : h("span", { class: "blank" }),
      h("span", { class: "badge" }, icon(kind), t(`decision.${kind}`)),
      h("span", { class: "why" }, h("b", {}, t("part.name", { n: entry.part })), h("span", {}, why))),
    h("button", { class: "flag quiet square", "aria-label": t("mark.title", { n: entry.part }), title: t("mark.title", { n: entry.part }), onclick: async () => {
      const part = await findPart(entry);
      if (part) askForMark(station, part);
    } }, icon("flag")));
  };
  const wanted = (entry) => !only.checked || DECISIONS[entry.decision] !== "accept";
  const fill = (entries) => {
    list.replaceChildren(...entries.filter(wanted).slice(-STRIP).map(card).reverse());
    none.hidden = list.children.length > 0;
    none.textContent = t(only.checked && kept.length ? "live.no_rejects" : "live.no_verdicts");
  };
  return {
    element: h("section", { class: "panel verdicts" }, h("h2", { class: "row between" }, t("live.strip"), h("label", { class: "only" }, only, t("live.only_rejected"))), list, none),
    take({ whole, strip }) {
      if (!whole && !strip.length) return;
      kept = whole ? strip : keep([...kept, ...strip]);
      if (whole || only.checked) return fill(kept);
      list.prepend(...strip.map(card).reverse());
      while (list.children.length > STRIP) list.lastElementChild.remove();
      none.hidden = list.children.length > 0;
    },
  };
}

/** The last cards, and further back those that were not accepted: at five parts a second they would be gone at once. */
function keep(entries) {
  const others = entries.filter(({ decision }) => DECISIONS[decision] !== "accept").slice(-STRIP);
  return [...new Set([...others, ...entries.slice(-STRIP)])].sort((a, b) => a.seq - b.seq);
}

/** A time that has passed, roughly. */
const ago = (s) => (s < 120 ? t("unit.s", { n: number(s) }) : s < 7200 ? t("unit.min", { n: number(s / 60) }) : t("unit.h", { n: number(s / 3600) }));

function sideOf(station) {
  const defects = h("div", {});
  const hours = h("div", {});
  const links = Object.fromEntries(station.links.map(({ name }) => [name, h("span", { class: "mark" })]));
  let drawn = "";
  return {
    element: h("div", { class: "side" },
      h("section", { class: "panel" }, h("h2", {}, t("live.pareto")), defects),
      h("section", { class: "panel" }, h("h2", {}, t("live.hours")), hours),
      h("section", { class: "panel connections" }, h("h2", {}, t("live.connections")),
        h("ul", { class: "links" }, Object.entries(links).map(([name, state]) => h("li", {}, h("b", {}, name), state))))),
    take({ links: up, history }) {
      for (const [name, is] of Object.entries(up)) mark(links[name], is);
      const now = JSON.stringify(history);
      if (now === drawn) return;
      drawn = now;
      defects.replaceChildren(pareto(history.classes, station.classes));
      hours.replaceChildren(perHour(history.hours));
    },
  };
}

function mark(place, up) {
  const key = up ? "up" : "down";
  if (place.dataset.state === key) return;
  place.dataset.state = key;
  place.replaceChildren(icon(up ? "accept" : "reject"), t(`link.${key}`));
}
