// One station: a card if somebody should come, a tile if all is well.

import { conditionText, plain } from "./conditions.js";
import { h, icon } from "./dom.js";
import { has, number, t } from "./texts.js";

const ICONS = { ready: "accept", degraded: "warn", off: "stop", fault: "stop", lost: "stop", starting: "wait", stopping: "wait", unknown: "wait" };
const BADGES = { ready: "accept", fault: "reject", lost: "reject", starting: "", stopping: "", unknown: "" };
const SPANS = [["d", 86_400], ["h", 3600], ["min", 60], ["s", 1]];

/** So long, in the largest unit that fits. */
export function span(seconds) {
  const [unit, size] = SPANS.find(([, length]) => seconds >= length) ?? SPANS.at(-1);
  return t(`fleet.span.${unit}`, { n: number(Math.floor(seconds / size)) });
}

/** What is wrong, each thing with what to do. */
export function helpCard(station) {
  return h("li", { class: `panel card is-${station.state}` },
    h("div", { class: "row between" }, h("div", { class: "row" }, badge(station), title(station)), since(station)),
    station.troubles.length || station.reasons.length ? h("ul", { class: "wrong-list" }, station.troubles.map(trouble), station.reasons.map(reason)) : null,
    rollout(station),
    h("div", { class: "row between foot" }, recent(station), open(station)));
}

/** A station that needs nobody. */
export function wellTile(station) {
  return h("li", { class: "panel tile" },
    h("div", { class: "row between" }, title(station), badge(station)),
    station.reasons.length || station.troubles.length ? h("ul", { class: "remarks" }, station.reasons.map(reason), station.troubles.map(trouble)) : null,
    rollout(station),
    h("div", { class: "row between foot" }, recent(station), open(station)));
}

function badge({ state }) {
  return h("span", { class: `badge ${BADGES[state] ?? "not_inspected"}` }, icon(ICONS[state] ?? "warn"), t(state === "unknown" ? "fleet.unknown" : `state.${state}`));
}

function title(station) {
  const where = [station.site, station.place].filter(Boolean).join(" · ");
  return h("h3", { class: "title" }, h("bdi", {}, station.name), station.own !== station.name ? h("small", {}, h("bdi", {}, station.own)) : null,
    where ? h("small", {}, h("bdi", {}, where)) : null);
}

function since({ state, since_s: seconds }) {
  if (seconds === null) return state === "lost" ? h("span", { class: "when" }, t("fleet.never")) : null;
  return h("span", { class: "when" }, t(state === "lost" ? "fleet.last" : "fleet.since", { time: span(seconds) }));
}

function reason({ code, subject, why }) {
  return h("li", {}, h("p", {}, conditionText(code, subject)), why ? h("p", { class: "why" }, h("bdi", {}, plain(why))) : null);
}

function trouble({ problem, detail }) {
  const name = problem.startsWith("clock_") ? span(Number(detail)) : detail || "–";
  return h("li", {}, h("p", {}, t(`problem.${problem}`, { name })));
}

/** What a roll-out has brought there, while it is under way. */
function rollout({ rollout: told }) {
  if (!told) return null;
  const step = `rollout.step.${told.step}`;
  return h("p", { class: "recent" }, `${t("health.rollout")}: `, h("bdi", {}, told.package), ` · ${has(step) ? t(step) : told.step}`);
}

function recent({ recent: counted, version }) {
  const shares = counted && counted.parts ? [
    t("fleet.parts", { n: number(counted.parts), m: number(Math.max(1, counted.minutes)) }),
    t("fleet.rejected", { n: number((100 * counted.rejected) / counted.parts, 1) }),
    counted.not_inspected ? t("fleet.not_inspected", { n: number(counted.not_inspected) }) : null,
  ] : [counted ? t("fleet.no_parts", { m: number(Math.max(1, counted.minutes)) }) : null];
  return h("span", { class: "recent" }, [...shares, version].filter(Boolean).join(" · "));
}

function open({ page, name }) {
  if (!page) return null;
  return h("a", { class: "button", href: page, target: "_blank", rel: "noopener noreferrer", "aria-label": t("fleet.open_of", { name }) }, t("fleet.open"), icon("next"));
}
