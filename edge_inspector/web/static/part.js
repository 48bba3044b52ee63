// One part: why it was decided so, how it looked to each camera, what was found, and what happened to it when.

import { get } from "./api.js";
import { h, icon, DECISIONS } from "./dom.js";
import { markButtons, markOfKey, markPart } from "./marks.js";
import { decision } from "./parts.js";
import { at } from "./place.js";
import { whyText } from "./reject.js";
import { className, moment, number, t } from "./texts.js";
import { Views } from "./viewer.js";

const ROOMY = "(min-width: 100rem)"; // wide enough for two pictures beside each other

export async function mount({ main, station, match, go, refresh }) {
  let part;
  try {
    part = await get(`/api/parts/${match[1]}`);
  } catch (error) {
    main.append(back(), h("p", { class: "empty" }, error.status === 404 ? t("part.gone") : t("error.failed", { why: error.message })));
    return undefined;
  }
  const views = new Views();
  const mark = async (label, defectClass) => { if (await markPart(part, label, defectClass)) refresh(); };
  const save = h("a", { class: "button", download: true }, icon("load"), t("part.save"));
  const beside = exampleOf(part, views);
  main.append(
    h("div", { class: "heading" }, back(), h("h1", {}, t("part.name", { n: part.part })),
      decision(DECISIONS[part.decision], part.reason), h("span", { class: "when" }, moment(part.utc, true)),
      h("nav", { class: "row steps", "aria-label": t("part.steps") }, stepTo(part.before, "part.previous", "back"), stepTo(part.after, "part.next", "next"))),
    h("p", { class: "because" }, because(part)),
    h("div", { class: "columns part" }, h("div", { class: "wide panel" }, h("div", { class: "pair" }, views.element, beside.element), h("div", { class: "row between" }, beside.button, save)),
      h("div", { class: "side" }, h("section", { class: "panel judge" }, h("h2", {}, t("part.judge")), h("div", { class: "marks" }, markButtons(station, mark).elements), drawLink(views, part), labels(part)),
        defects(part), story(part), facts(part))));
  views.onchoose = (camera) => {
    save.setAttribute("href", at(`/api/parts/${part.id}/${encodeURIComponent(camera)}/image`));
    save.setAttribute("download", `part-${part.part}-${camera}`);
    beside.show(camera);
  };
  save.hidden = !part.views.length;
  const draw = () => go(`/parts/${part.id}/draw?${new URLSearchParams({ camera: views.camera })}`);
  views.show(part);
  if (DECISIONS[part.decision] === "reject" && matchMedia(ROOMY).matches) beside.button.click();
  const keys = (event) => {
    if (event.target.closest("input, select, dialog")) return;
    const said = markOfKey(event, station);
    const to = { ArrowLeft: part.before, ArrowRight: part.after }[event.key];
    if (event.key.toLowerCase() === "r" && !event.ctrlKey && !event.metaKey && part.views.length) draw();
    else if (said) mark(...said);
    else if (to && !event.target.closest(".stage")) go(`/parts/${to}`);
    else if (!views.viewer.key(event.key)) return;
    event.preventDefault();
  };
  document.addEventListener("keydown", keys);
  return () => document.removeEventListener("keydown", keys);
}

const back = () => h("a", { class: "button quiet", href: "/parts" }, icon("back"), t("part.back"));

const stepTo = (id, text, shape) => (id ? h("a", { class: "button quiet square", href: `/parts/${id}`, "aria-label": t(text), title: t(text) }, icon(shape)) : null);

/** Why the part was decided so, in one sentence. */
function because(part) {
  const kind = DECISIONS[part.decision];
  if (kind === "not_inspected") return t("because.not_inspected", { why: t(`reason.${part.reason}`), fate: t(part.rejects ? "because.rejected" : "because.passed") });
  if (kind === "reject") return whyText(part.why) || t("because.changed", { what: part.classes.map(className).join(", ") });
  return t(part.defects.length ? "because.within" : "because.clear", { n: number(part.defects.length) });
}

/** A good part of the same product beside it, by the same camera. */
function exampleOf(part, views) {
  const picture = h("img", { alt: t("part.example"), hidden: true });
  const none = h("p", { class: "empty", role: "status" });
  const element = h("figure", { class: "example", hidden: true }, picture, h("figcaption", {}, t("part.example")), none);
  const button = h("button", { class: "quiet", "aria-pressed": "false", onclick: () => {
    element.hidden = !element.hidden;
    button.setAttribute("aria-pressed", String(!element.hidden));
    show(views.camera);
  } }, icon("mask"), t("part.compare"));
  async function show(camera) {
    if (element.hidden || !camera) return;
    picture.hidden = true;
    const { part: good } = await get(`/api/example?${new URLSearchParams({ recipe: part.recipe_id, camera })}`).catch(() => ({}));
    none.textContent = good ? "" : t("part.no_example");
    if (!good) return;
    picture.src = at(`/api/parts/${good}/${encodeURIComponent(camera)}/image`);
    picture.hidden = false;
  }
  return { element, button, show };
}

/** What the model found, largest first, and the limits. */
export function defects(part) {
  const limits = Object.fromEntries((part.limits ?? []).map((limit) => [limit.class, limit]));
  const broken = new Set((part.why ?? []).map((each) => each.class));
  const heads = ["class", "camera", "area", "length", "sure"];
  return h("section", { class: "panel" }, h("h2", {}, t("part.defects")),
    part.defects.length === 0 ? h("p", { class: "empty" }, t("part.no_defects")) : h("div", { class: "scroll" }, h("table", { class: "defects" },
      h("thead", {}, h("tr", {}, heads.map((name, column) => h("th", { scope: "col", class: column > 1 ? "figure" : null }, t(`part.${name}`))))),
      h("tbody", {}, part.defects.map((defect) => h("tr", { class: broken.has(defect.class) ? "broken" : null },
        h("td", {}, h("b", {}, className(defect.class))), h("td", {}, defect.camera), h("td", { class: "figure" }, `${number(defect.area_mm2, defect.area_mm2 < 10 ? 1 : 0)} mm²`),
        h("td", { class: "figure" }, `${number(defect.length_mm, defect.length_mm < 10 ? 1 : 0)} mm`), h("td", { class: "figure" }, t("unit.percent", { n: number(100 * defect.confidence) }))))))),
    part.limits ? limitTable(Object.values(limits)) : part.limits === null ? h("p", { class: "empty" }, t("part.limits_changed")) : null);
}

/** What a recipe allows of each class. */
export function limitTable(limits) {
  const heads = ["class", "counts_from", "sure_from", "allowed", "longest"];
  return [h("h3", {}, t("part.limits")), h("div", { class: "scroll" }, h("table", { class: "limits" },
    h("thead", {}, h("tr", {}, heads.map((name, column) => h("th", { scope: "col", class: column ? "figure" : null }, t(`part.${name}`))))),
    h("tbody", {}, limits.map((limit) => h("tr", {}, h("td", {}, className(limit.class)),
      h("td", { class: "figure" }, `${number(limit.min_area_mm2, limit.min_area_mm2 < 10 ? 1 : 0)} mm²`), h("td", { class: "figure" }, t("unit.percent", { n: number(100 * limit.min_confidence) })),
      h("td", { class: "figure" }, number(limit.max_count)), h("td", { class: "figure" }, limit.max_length_mm === null ? "–" : `${number(limit.max_length_mm)} mm`))))))];
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
    ["product", part.product], ["grade", part.grade], ["recipe", part.recipe], ["model", part.model], ["criteria", part.criteria],
    ["position", part.error_mm === null ? "–" : `± ${number(part.error_mm, 1)} mm`],
    ["missing", part.missing.length ? part.missing.join(", ") : null],
  ].filter(([, value]) => value);
  return h("section", { class: "panel" }, h("h2", {}, t("part.facts")),
    h("dl", {}, rows.map(([name, value]) => [h("dt", {}, t(`part.${name}`)), h("dd", {}, value)])));
}

/** The way to the page where the region is drawn. */
export function drawLink(views, part, from = "") {
  if (!part.views.length) return null;
  const link = h("a", { class: "button mark-as draw" }, icon("pen"), h("span", {}, t("draw.title")), h("kbd", {}, "R"));
  const aim = () => link.setAttribute("href", at(`/parts/${part.id}/draw?${new URLSearchParams({ camera: views.camera ?? part.views[0].camera, ...(from && { from }) })}`));
  link.addEventListener("click", aim); // at the camera that is shown now
  aim();
  return link;
}

function labels(part) {
  return [h("h3", {}, t("part.labels")),
    part.labels.length === 0 ? h("p", { class: "empty" }, t("part.no_labels")) : h("ul", { class: "plain" }, part.labels.map((label) =>
      h("li", {}, h("b", {}, t(`review.${label.label}`), label.class ? ` (${className(label.class)})` : ""), ` ${label.view} · ${label.user} · ${moment(label.utc, true)}`)))];
}
