// What happens on the line now. Everything comes in one stream; each part of the screen takes what it shows.

import { get } from "./api.js";
import { Belt } from "./belt.js";
import { pareto, perHour } from "./charts.js";
import { conditionText, consequenceText } from "./conditions.js";
import { DECISIONS, h, icon, toast } from "./dom.js";
import { at } from "./place.js";
import { moment, number, t } from "./texts.js";

const STRIP = 14;
const SILENT_MS = 3000; // the station speaks four times a second
const RETRY_MS = 3000;

export function mount({ main, station, go, header }) {
  const hero = heroOf();
  const belt = new Belt(station);
  const cameras = camerasOf(station);
  const strip = stripOf(go);
  const side = sideOf(station);
  main.append(
    h("h1", { class: "hidden" }, t("live.title")),
    hero.element, belt.element,
    h("div", { class: "columns" }, h("div", { class: "wide" }, cameras.element, strip.element), side.element));

  let heard = performance.now();
  const lost = () => {
    if (performance.now() - heard < SILENT_MS) return;
    header("lost");
    hero.lost();
    belt.lost();
    main.classList.add("old");
  };
  let stream, again;
  const open = () => {
    stream = new EventSource(at("/api/live"));
    stream.onmessage = take;
    // After an answer that is no stream (too many screens, a proxy, no longer logged in) the browser does not try again.
    stream.onerror = () => { if (stream.readyState === EventSource.CLOSED) again = setTimeout(reopen, RETRY_MS); };
  };
  const reopen = () => get("/api/station").then(open, ({ status }) => {
    if (status === 401) location.reload(); // asks for the login
    else again = setTimeout(reopen, RETRY_MS);
  });
  const take = (event) => {
    const news = JSON.parse(event.data);
    if (news.boot !== station.boot || news.recipe !== station.recipe.id) return location.reload(); // another run of the station, or another product
    heard = performance.now();
    main.classList.remove("old");
    header(news.state);
    for (const each of [hero, belt, cameras, strip, side]) each.take(news);
  };
  open();
  const watch = setInterval(lost, 500);
  return () => {
    stream.close();
    clearTimeout(again);
    clearInterval(watch);
    belt.end();
  };
}

function heroOf() {
  const state = h("div", { class: "state panel" });
  const figures = ["per_hour", "reject_rate", "not_inspected_rate", "latency"].map((name) => {
    const value = h("div", { class: "value" }, "–");
    const below = h("div", { class: "below" });
    return { name, value, below, element: h("div", { class: `panel figure ${name}` }, h("h2", {}, t(`live.${name}`)), value, below) };
  });
  const put = (name, value, below) => {
    const figure = figures.find((each) => each.name === name);
    figure.value.textContent = value;
    figure.below.textContent = below;
  };
  const show = (name, shape, lines) => {
    const key = name + JSON.stringify(lines);
    if (state.dataset.key === key) return;
    state.dataset.key = key;
    state.dataset.state = name;
    state.replaceChildren(icon(shape, "huge"), h("div", {}, h("strong", {}, t(`state.${name}`)), lines.map(([kind, line]) => h("p", { class: kind }, line))));
  };
  const shapes = { ready: "accept", degraded: "warn", off: "stop", fault: "stop", starting: "wait", stopping: "wait" };
  return {
    element: h("section", { class: "hero" }, state, figures.map((figure) => figure.element)),
    lost: () => show("lost", "stop", [["", t("state.lost.why")]]),
    take({ state: name, conditions, uninspected, figures: now }) {
      const wrong = conditions.slice(0, 2).flatMap(({ code, subject, why }, at) => [["", conditionText(code, subject)],
        ...(at ? [] : [["", consequenceText(code, uninspected)], ["why", why]])]).filter(([, line]) => line);
      show(name, shapes[name], wrong.length ? wrong : name === "ready" ? [["", howReady(now)]] : []);
      const share = (count) => (now.parts ? t("unit.percent", { n: number((100 * count) / now.parts, 1) }) : "–");
      put("per_hour", number(now.per_hour), t("live.last_parts", { n: now.parts }));
      put("reject_rate", share(now.reject), t("live.of_last", { n: now.parts }));
      put("not_inspected_rate", share(now.not_inspected), t("live.of_last", { n: now.parts }));
      put("latency", now.latency_ms === null ? "–" : t("unit.ms", { n: number(now.latency_ms) }),
        now.left_ms === null ? "" : t("live.spare", { n: number(now.left_ms) }));
      figures[2].element.classList.toggle("bad", now.not_inspected > 0);
    },
  };
}

/** Only what the last parts bear out. */
function howReady({ parts, not_inspected: not }) {
  if (not) return t("state.some_not", { n: not, m: parts });
  return t(parts ? "state.fine" : "live.no_verdicts");
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
      }
    },
  };
}

function stripOf(go) {
  const list = h("ol", { class: "strip" });
  const none = h("p", { class: "empty" }, t("live.no_verdicts"));
  const open = async (part) => {
    const { parts } = await get(`/api/parts?part=${part}`).catch((error) => toast(error.message, true) ?? { parts: [] });
    if (parts.length) go(`/parts/${parts[0].id}`);
  };
  const card = (entry) => {
    const kind = DECISIONS[entry.decision];
    const why = entry.classes.length ? entry.classes.join(", ") : kind === "not_inspected" ? t(`reason.${entry.reason}`) : "";
    return h("li", {}, h("button", { class: `verdict ${kind}`, onclick: () => open(entry.part) },
      entry.jpeg ? h("img", { src: `data:image/jpeg;base64,${entry.jpeg}`, alt: "" }) : h("span", { class: "blank" }),
      h("span", { class: "badge" }, icon(kind), t(`decision.${kind}`)),
      h("span", { class: "why" }, h("b", {}, t("part.name", { n: entry.part })), why)));
  };
  return {
    element: h("section", { class: "panel" }, h("h2", {}, t("live.strip")), list, none),
    take({ whole, strip }) {
      if (whole) list.replaceChildren();
      list.prepend(...strip.map(card).reverse());
      while (list.children.length > STRIP) list.lastElementChild.remove();
      none.hidden = list.children.length > 0;
    },
  };
}

function sideOf(station) {
  const defects = h("div", {});
  const hours = h("div", {});
  const deadline = h("div", { class: "deadline" });
  const links = Object.fromEntries(station.links.map(({ name }) => [name, h("span", { class: "mark" })]));
  let drawn = "";
  return {
    element: h("div", { class: "side" },
      h("section", { class: "panel" }, h("h2", {}, t("live.pareto")), defects),
      h("section", { class: "panel" }, h("h2", {}, t("live.hours")), hours),
      h("section", { class: "panel" }, h("h2", {}, t("live.deadline")), deadline),
      h("section", { class: "panel" }, h("h2", {}, t("live.connections")),
        h("ul", { class: "links" }, Object.entries(links).map(([name, state]) => h("li", {}, h("b", {}, name), state))))),
    take({ links: up, history, figures }) {
      for (const [name, is] of Object.entries(up)) mark(links[name], is);
      showDeadline(deadline, figures);
      const now = JSON.stringify(history);
      if (now === drawn) return;
      drawn = now;
      defects.replaceChildren(pareto(history.classes, station.classes));
      hours.replaceChildren(perHour(history.hours));
    },
  };
}

function showDeadline(place, { latency_ms: typical, latency_worst_ms: worst, left_ms: left }) {
  if (typical === null) return;
  const all = Math.max(1, worst + left);
  const bar = h("div", { class: "bar", role: "img", "aria-label": `${t("live.worst")} ${number(worst)} ms, ${t("live.left")} ${number(left)} ms` },
    h("span", { class: "used" }), h("span", { class: "tick" }));
  bar.children[0].style.width = `${(100 * worst) / all}%`;
  bar.children[1].style.left = `${(100 * typical) / all}%`;
  const fact = (name, value) => h("div", {}, h("span", {}, t(`live.${name}`)), h("b", {}, t("unit.ms", { n: number(value) })));
  place.replaceChildren(bar, h("div", { class: "facts" }, fact("typical", typical), fact("worst", worst), fact("left", left)));
}

function mark(place, up) {
  const key = up ? "up" : "down";
  if (place.dataset.state === key) return;
  place.dataset.state = key;
  place.replaceChildren(icon(up ? "accept" : "reject"), t(`link.${key}`));
}
