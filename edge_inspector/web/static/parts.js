// The parts that were judged: search and filter. What is asked for stands in the address, so it can be kept and sent.

import { get } from "./api.js";
import { stationNow } from "./clock.js";
import { DECISIONS, h, icon } from "./dom.js";
import { className, moment, number, t } from "./texts.js";

const FIELDS = ["since", "until", "decision", "reason", "class", "camera", "recipe", "labelled", "part"];

export async function mount({ main, station, go }) {
  const asked = new URLSearchParams(location.search);
  const rows = h("tbody", {});
  const count = h("p", { class: "count", role: "status" });
  const more = h("button", { class: "more", hidden: true }, t("parts.more"));
  const products = Object.fromEntries(station.recipes.map(({ id, name }) => [id, name]));
  let before = "";
  let shown = 0;

  const wanted = () => new URLSearchParams(FIELDS.filter((name) => asked.get(name)).map((name) => [name, inUtc(name, asked.get(name))]));
  const load = async () => {
    const filter = wanted();
    if (before) filter.set("before", before);
    let told;
    try {
      told = await get(`/api/parts?${filter}`);
    } catch (error) {
      count.textContent = t("error.failed", { why: error.message });
      return;
    }
    shown += told.parts.length;
    before = told.parts.at(-1)?.id ?? before;
    rows.append(...told.parts.map((part) => row(part, products)));
    more.hidden = !told.more;
    count.textContent = shown ? t(told.more ? "parts.count_more" : "parts.count", { n: number(shown) }) : t("parts.none");
  };
  more.addEventListener("click", load);
  const heads = ["picture", "number", "decision", "time", "defects", "product", "labelled"];
  main.append(
    h("div", { class: "heading" }, h("h1", {}, t("parts.title")), h("div", { class: "row tools" },
      h("a", { class: "button", download: true, href: `/api/parts.csv?${wanted()}` }, icon("load"), t("events.export")))),
    filters(asked, station, go), count,
    h("div", { class: "panel scroll" }, h("table", { class: "parts" },
      h("thead", {}, h("tr", {}, heads.map((name) => h("th", { scope: "col", class: name }, t(`parts.${name}`))))), rows)),
    more);
  await load();
}

function filters(asked, station, go) {
  const search = (values) => {
    const filled = Object.entries(values).filter(([, value]) => value);
    go(`/parts${filled.length ? `?${new URLSearchParams(filled)}` : ""}`);
  };
  const option = (name) => (value, text) => h("option", { value, selected: asked.get(name) === value }, text);
  const field = (name, input) => h("label", {}, t(`parts.${name}`), input);
  const since = (start) => () => search({ since: localText(start), decision: asked.get("decision"), class: asked.get("class") });
  const form = h("form", { class: "filters panel", onsubmit: (event) => {
    event.preventDefault();
    search(Object.fromEntries(new FormData(form)));
  } },
    field("from", h("input", { type: "datetime-local", name: "since", value: asked.get("since") })),
    field("to", h("input", { type: "datetime-local", name: "until", value: asked.get("until") })),
    field("decision", h("select", { name: "decision" }, option("decision")("", t("parts.any")),
      ["accept", "reject", "not_inspected"].map((kind) => option("decision")(kind, t(`decision.${kind}`))))),
    field("class", h("select", { name: "class" }, option("class")("", t("parts.any")), station.classes.map(({ name }) => option("class")(name, className(name))))),
    field("camera", h("select", { name: "camera" }, option("camera")("", t("parts.any")), station.cameras.map(({ name }) => option("camera")(name, name)))),
    station.recipes.length > 1 ? field("product", h("select", { name: "recipe" }, option("recipe")("", t("parts.any")), station.recipes.map(({ id, name }) => option("recipe")(String(id), name)))) : null,
    field("reason", h("select", { name: "reason" }, option("reason")("", t("parts.any")), station.reasons.map((name) => option("reason")(name, t(`reason.${name}`))))),
    field("labelled", h("select", { name: "labelled" }, option("labelled")("", t("parts.any")), option("labelled")("yes", t("parts.yes")), option("labelled")("no", t("parts.no")))),
    field("number", h("input", { name: "part", inputmode: "numeric", pattern: "[0-9]*", size: 8, value: asked.get("part") })),
    h("div", { class: "row" },
      h("button", { class: "primary" }, t("parts.search")),
      h("button", { type: "button", class: "quiet", onclick: since(new Date(stationNow() - 3600e3)) }, t("parts.hour")),
      h("button", { type: "button", class: "quiet", onclick: since(new Date(stationNow().setHours(0, 0, 0, 0))) }, t("parts.today")),
      h("button", { type: "button", class: "quiet", onclick: () => go("/parts") }, t("parts.reset"))));
  // On a phone the parts come first, unless somebody has searched.
  const open = matchMedia("(min-width: 40rem)").matches || [...asked].length > 0;
  return h("details", { class: "searching", open }, h("summary", {}, t("parts.filter")), form);
}

function row(part, products) {
  const kind = DECISIONS[part.decision];
  const picture = h("img", { src: `/api/parts/${part.id}/thumb`, alt: "", loading: "lazy", width: 64, height: 64 });
  picture.addEventListener("error", () => picture.replaceWith(h("span", { class: "blank", role: "img", "aria-label": t("part.not_kept") }, "–")));
  return h("tr", {},
    h("td", {}, picture),
    h("td", {}, h("a", { href: `/parts/${part.id}`, class: "wholerow" }, t("part.name", { n: part.part }))),
    h("td", {}, decision(kind, part.reason)),
    h("td", {}, moment(part.utc, true)),
    h("td", {}, part.classes.map(className).join(", ")),
    h("td", {}, products[part.recipe_id] ?? part.recipe),
    h("td", {}, part.labelled ? h("span", { class: "chip" }, icon("accept"), t("parts.labelled"))
      : part.review ? h("span", { class: "chip" }, icon("not_inspected"), t("parts.to_review")) : ""));
}

/** A decision by colour, shape and word. */
export function decision(kind, reason) {
  return h("span", { class: `badge ${kind}` }, icon(kind), t(`decision.${kind}`),
    kind === "not_inspected" ? h("small", {}, t(`reason.${reason}`)) : null);
}

const localText = (date) => new Date(date - date.getTimezoneOffset() * 60e3).toISOString().slice(0, 16);
const inUtc = (name, value) => (name === "since" || name === "until" ? new Date(value).toISOString() : value);
