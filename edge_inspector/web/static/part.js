// One part: how it looked to each camera, what was found, and what happened to it when.

import { get } from "./api.js";
import { h, icon, DECISIONS } from "./dom.js";
import { decision } from "./parts.js";
import { moment, number, t } from "./texts.js";
import { Views } from "./viewer.js";

export async function mount({ main, match }) {
  let part;
  try {
    part = await get(`/api/parts/${match[1]}`);
  } catch (error) {
    main.append(back(), h("p", { class: "empty" }, error.status === 404 ? t("part.gone") : t("error.failed", { why: error.message })));
    return undefined;
  }
  const views = new Views();
  main.append(
    h("div", { class: "heading" }, back(), h("h1", {}, t("part.name", { n: part.part })),
      decision(DECISIONS[part.decision], part.reason), h("span", { class: "when" }, moment(part.utc, true))),
    h("div", { class: "columns part" }, h("div", { class: "wide panel" }, views.element),
      h("div", { class: "side" }, defects(part), story(part), facts(part), labels(part))));
  views.show(part);
  const keys = (event) => {
    if (!event.target.closest("input, dialog") && views.viewer.key(event.key)) event.preventDefault();
  };
  document.addEventListener("keydown", keys);
  return () => document.removeEventListener("keydown", keys);
}

const back = () => h("a", { class: "button quiet", href: "/parts" }, icon("back"), t("part.back"));

/** What the model found, largest first. */
export function defects(part) {
  return h("section", { class: "panel" }, h("h2", {}, t("part.defects")),
    part.defects.length === 0 ? h("p", { class: "empty" }, t("part.no_defects")) : h("div", { class: "scroll" }, h("table", {},
      h("thead", {}, h("tr", {}, ["class", "camera", "area", "length", "sure"].map((name, at) => h("th", { scope: "col", class: at > 1 ? "figure" : null }, t(`part.${name}`))))),
      h("tbody", {}, part.defects.map((defect) => h("tr", {},
        h("td", {}, h("b", {}, defect.class)), h("td", {}, defect.camera), h("td", { class: "figure" }, `${number(defect.area_mm2)} mm²`),
        h("td", { class: "figure" }, `${number(defect.length_mm)} mm`), h("td", { class: "figure" }, t("unit.percent", { n: number(100 * defect.confidence) }))))))));
}

function story(part) {
  const events = [
    [0, t("part.announced")],
    ...part.views.map((view) => [view.captured_ms, view.failure === "none" ? t("part.captured", { name: view.camera })
      : t("part.captured_failed", { name: view.camera, why: t(`reason.${view.failure}`) }),
      view.inference_ms ? t("part.inferred", { n: number(view.inference_ms) }) : ""]),
    [part.decided_ms, t("part.decided", { what: t(`decision.${DECISIONS[part.decision]}`) }), "", "decided"],
    ...part.deliveries.map((delivery) => [delivery.delivered_ms, t("part.delivered", { name: delivery.link })]),
    [part.due_ms, t("part.due"), "", "due"],
  ].sort((a, b) => a[0] - b[0]);
  return h("section", { class: "panel" }, h("h2", {}, t("part.story")),
    h("ol", { class: "story" }, events.map(([ms, what, more = "", kind = ""]) =>
      h("li", { class: kind }, h("span", { class: "ms" }, t("unit.ms", { n: number(ms) })), h("span", {}, what, more ? h("small", {}, more) : null)))));
}

function facts(part) {
  const rows = [
    ["grade", part.grade], ["recipe", part.recipe], ["model", part.model], ["criteria", part.criteria],
    ["position", part.error_mm === null ? "–" : `± ${number(part.error_mm, 1)} mm`],
    ["missing", part.missing.length ? part.missing.join(", ") : null],
  ].filter(([, value]) => value);
  return h("section", { class: "panel" }, h("h2", {}, t("part.facts")),
    h("dl", {}, rows.map(([name, value]) => [h("dt", {}, t(`part.${name}`)), h("dd", {}, value)])));
}

function labels(part) {
  return h("section", { class: "panel" }, h("h2", {}, t("part.labels")),
    part.labels.length === 0 ? h("p", { class: "empty" }, t("part.no_labels")) : h("ul", { class: "plain" }, part.labels.map((label) =>
      h("li", {}, h("b", {}, t(`review.${label.label}`), label.class ? ` (${label.class})` : ""), ` ${label.view} · ${label.user} · ${moment(label.utc, true)}`))));
}
