// A shift, a day or a week at a glance. Printed, it is the shift report.

import { get } from "./api.js";
import { every, stationNow } from "./clock.js";
import { conditionText } from "./conditions.js";
import { h, icon } from "./dom.js";
import { lasted } from "./hero.js";
import { at } from "./place.js";
import { className, moment, number, t } from "./texts.js";
import { heatMaps, pareto, rateChart, reserveChart } from "./trendcharts.js";

const HOUR_MS = 3600e3;
const RANGES = { shift: null, before: null, day: 24 * HOUR_MS, week: 168 * HOUR_MS };
const PATIENCE_MS = 60e3;

export async function mount({ main, station }) {
  const asked = new URLSearchParams(location.search);
  const chosen = { range: asked.get("range") ?? "shift", recipe: asked.get("recipe") ?? "" };
  const body = h("div", { class: "report" });
  const buttons = Object.keys(RANGES).map((name) => h("button", { type: "button", "data-range": name, onclick: () => { chosen.range = name; load(); } }, t(`trends.${name}`)));
  const recipe = h("select", { onchange: () => { chosen.recipe = recipe.value; load(); } },
    h("option", { value: "" }, t("trends.all_products")), station.recipes.map(({ id, name }) => h("option", { value: id, selected: String(id) === chosen.recipe }, name)));
  const save = (name, text) => h("a", { class: "button", download: true, "data-name": name }, icon("load"), t(text));
  const pdf = h("a", { class: "button", download: true }, icon("load"), t("trends.pdf"));
  const saves = [save("trends", "trends.csv"), save("quality", "trends.quality_csv"), save("events", "trends.events_csv")];
  main.append(
    h("div", { class: "heading" }, h("h1", {}, t("trends.title")), h("div", { class: "row tools no-print" }, h("button", { class: "primary", onclick: () => window.print() }, icon("load"), t("trends.print")))),
    h("div", { class: "panel filters no-print" }, h("div", { class: "row", role: "group", "aria-label": t("trends.range") }, buttons),
      h("label", {}, t("parts.product"), recipe), h("div", { class: "row" }, pdf, saves)),
    body);

  async function load() {
    for (const button of buttons) button.setAttribute("aria-pressed", String(button.dataset.range === chosen.range));
    try {
      const { counts } = await get("/api/now"); // since the last time another shift may have begun
      const span = spanOf(chosen.range, counts);
      const filter = new URLSearchParams({ since: span.since.toISOString(), until: span.until.toISOString(), ...(chosen.recipe && { recipe: chosen.recipe }) });
      pdf.setAttribute("href", at(`/api/shift.pdf?${filter}`));
      for (const link of saves) link.setAttribute("href", at(`/api/${link.dataset.name}.csv?${filter}`));
      const [trends, places, { quality }, { events }] = await Promise.all(["trends", "places", "quality", "events"].map((name) => get(`/api/${name}?${filter}`)));
      body.replaceChildren(...report({ station, span, trends, places, quality, events }));
    } catch (error) {
      body.replaceChildren(h("p", { class: "empty" }, t("error.failed", { why: error.message })));
    }
  }
  return every(PATIENCE_MS, load);
}

/** The present shift, the one before it (as long as this one may be), or the last day or week. */
function spanOf(range, { shift }) {
  const now = stationNow();
  const begun = new Date(shift?.since ?? now - 8 * HOUR_MS);
  if (range === "shift") return { since: new Date(Math.min(begun, now - 60e3)), until: now };
  if (range === "before") return { since: new Date(begun - 8 * HOUR_MS), until: begun };
  return { since: new Date(now - (RANGES[range] ?? 24 * HOUR_MS)), until: now };
}

const panel = (title, extra, ...children) => h("section", { class: `panel ${extra}` }, h("h2", {}, title), children);

function report({ station, span, trends, places, quality, events }) {
  const nothing = h("p", { class: "empty" }, t("trends.nothing"));
  return [
    h("p", { class: "span" }, h("b", {}, station.name), ` · ${moment(span.since, true)} – ${moment(span.until, true)}`),
    h("div", { class: "cards" },
      panel(t("trends.products"), "full", trends.products.length ? productTable(trends.products) : nothing),
      trends.products.map((product) => panel(t("trends.rate", { name: product.name || t("live.recipe", { n: product.id }) }), "", rateChart(product, trends.width_s))),
      panel(t("trends.classes"), "", trends.classes.length ? pareto(trends.classes.map(({ name, parts }) => ({ name: className(name), parts, colour: colourOf(station, name) }))) : nothing.cloneNode(true)),
      panel(t("trends.reasons"), "", !trends.products.length ? nothing.cloneNode(true) : trends.reasons.length ? pareto(trends.reasons.map(({ reason, parts }) => ({ name: t(`reason.${reason}`), parts }))) : h("p", { class: "fine" }, icon("accept"), t("trends.all_inspected"))),
      panel(t("trends.places"), "full", places.cells.length ? heatMaps(places, station) : nothing.cloneNode(true)),
      panel(t("trends.reserve"), "", trends.reserves.length ? reserveChart(trends.reserves) : nothing.cloneNode(true)),
      panel(t("quality.title"), "", qualityTable(quality)),
      panel(t("trends.events"), "full", events.length ? eventList(events) : h("p", { class: "fine" }, icon("accept"), t("trends.no_events")))),
  ];
}

const colourOf = (station, name) => station.classes.find((each) => each.name === name)?.colour;

function productTable(products) {
  const share = (count, of) => (of ? t("unit.percent", { n: number((100 * count) / of, 1) }) : "–");
  const heads = ["product", "accepted", "rejected", "not_inspected", "yield"];
  const row = ({ name, id, accept, reject, not_inspected: not }) => h("tr", {}, h("td", {}, h("b", {}, name || t("live.recipe", { n: id }))),
    [number(accept), number(reject), number(not), share(accept, accept + reject)].map((value) => h("td", { class: "figure" }, value)));
  return h("div", { class: "scroll" }, h("table", {}, h("thead", {}, h("tr", {}, heads.map((name, column) => h("th", { scope: "col", class: column ? "figure" : null }, t(`live.${name}`))))),
    h("tbody", {}, products.map(row))));
}

function qualityTable(quality) {
  if (!quality.length) return h("p", { class: "empty" }, t("quality.none"));
  const heads = ["product", "model", "judged", "escapes", "false_rejects"];
  return [h("div", { class: "scroll" }, h("table", {}, h("thead", {}, h("tr", {}, heads.map((name, column) => h("th", { scope: "col", class: column > 1 ? "figure" : null }, t(`quality.${name}`))))),
    h("tbody", {}, quality.map((each) => h("tr", {}, h("td", {}, each.product || each.recipe_id), h("td", { class: "model" }, each.model),
      ["judged", "escapes", "false_rejects"].map((name) => h("td", { class: "figure" }, number(each[name])))))))), h("p", { class: "empty" }, t("quality.what"))];
}

const eventList = (events) => h("ul", { class: "plain" }, events.map((event) =>
  h("li", {}, h("b", {}, conditionText(event.code, event.subject)), " ", h("small", {}, lasted(event), event.by ? ` · ${t("events.by", { name: event.by, at: moment(event.acknowledged, true) })}` : ""))));
