// Is the station well, and what is it made of: for whoever is called when it is not.

import { get, may, post } from "./api.js";
import { every } from "./clock.js";
import { conditionText, plain } from "./conditions.js";
import { h, icon, toast } from "./dom.js";
import { moment, number, t } from "./texts.js";
import { driftPanel, guardPanel, shadowPanel } from "./watch.js";

const EVERY_MS = 2000;
const GB = 1e9;
const MB = 1e6;

export async function mount({ main, station }) {
  const place = h("div", { class: "cards" });
  main.append(h("h1", {}, t("health.title")), place);
  let drawn = "";
  const load = async () => {
    try {
      const [health, drift, shadow, guard] = await Promise.all(["health", "drift", "shadow", "guard"].map((name) => get(`/api/${name}`)));
      const now = { ...health, drift, shadow, guard };
      const text = JSON.stringify(now);
      const focused = place.contains(document.activeElement) ? document.activeElement : null;
      if (text === drawn) return;
      drawn = text;
      const open = place.querySelector("details")?.open;
      place.replaceChildren(...sections(now, station).filter(Boolean));
      place.querySelector("details").open = open ?? false;
      place.querySelector(`[data-name="${focused?.dataset.name}"]`)?.focus();
    } catch (error) {
      drawn = "";
      place.replaceChildren(h("p", { class: "empty" }, t("error.failed", { why: error.message })));
    }
  };
  return every(EVERY_MS, load);
}

function sections(now, station) {
  return [
    panel("now", "full", now.conditions.length ? h("ul", { class: "conditions" }, now.conditions.map(condition))
      : h("p", { class: "fine" }, icon("accept"), t("health.all_well"))),
    panel("links", "roomy", table(station.links, now.links, ["verdicts_delivered", "verdicts_waiting", "link_backlog", "verdicts_late", "verdicts_lost", "link_failed"], wrong(now, "plc_lost", "broker_lost"))),
    panel("cameras", "", table(station.cameras, now.cameras, ["frames_completed", "frames_failed", "frames_evicted", "camera_reopened"], wrong(now, "camera_lost"))),
    panel("recipe", "", facts(recipeFacts(now, station)), h("p", {}, h("a", { class: "button", href: "/recipes" }, t("health.to_recipes")))),
    panel("model", "", facts([[t("health.name"), `${now.model.name} ${now.model.version}`],
      [t("health.provider"), now.model.fell_back ? h("span", { class: "badge not_inspected" }, icon("warn"), `${now.model.provider}: ${t("health.fell_back")}`) : now.model.provider],
      [t("health.precision"), now.model.precision], [t("health.hash"), now.model.sha256.slice(0, 16) || "–"]])),
    panel("inspection", "", h("p", { class: off(now) ? "off" : "fine" }, icon(off(now) ? "warn" : "accept"), t(off(now) ? "health.disabled" : "health.enabled")),
      h("div", { class: "row" }, may("admin") ? command(now.enabled ? "disable" : "enable") : null, may("operator") ? command("reset") : null)),
    panel("guard", "", guardPanel(now.guard), may("admin") ? h("button", { "data-name": "teach", onclick: () => confirm(t("guard.sure")) && done(() => post("/api/guard", {})) }, t("guard.teach")) : null),
    panel("drift", "", driftPanel(now.drift)),
    now.rollout ? panel("rollout", "", facts(rolloutFacts(now.rollout))) : null,
    now.shadow ? panel("shadow", "", shadowPanel(now.shadow)) : null,
    panel("disk", "", disk(now.disk)),
    panel("latency", "", latency(now.latency)),
    h("details", { class: "panel full engineer" }, h("summary", {}, t("health.engineer")), h("div", { class: "cards" },
      panel("workers", "", h("ul", { class: "workers" }, Object.entries(now.workers).map(([name, ok]) =>
      h("li", {}, h("span", { class: "mark", "data-state": ok ? "up" : "down" }, icon(ok ? "accept" : "reject"), t(ok ? "health.worker_ok" : "health.worker_bad")), name)))),
      Object.keys(now.versions).length ? panel("versions", "", facts(Object.entries(now.versions))) : panel("versions", "", h("p", { class: "empty" }, t("health.versions_login"))))),
  ];
}

const panel = (name, extra, ...children) => h("section", { class: `panel ${extra}` }, h("h2", {}, t(`health.${name}`)), children);

const facts = (rows) => h("dl", {}, rows.map(([name, value]) => [h("dt", {}, name), h("dd", {}, value)]));

function recipeFacts(now, station) {
  const recipe = station.recipes.find(({ id }) => id === now.recipe) ?? station.recipe;
  return [[t("health.name"), `${recipe.name} (${recipe.id})`], [t("health.hash"), recipe.hash], [t("health.criteria"), now.criteria]];
}

function rolloutFacts({ package: name, step, wanted, since, why }) {
  return [["package", name], ["step", t(`rollout.step.${step}`)], ["since", since ? moment(since, true) : "–"],
    ["wanted", wanted && t(`rollout.then.${wanted}`)], ["why", plain(why)]].filter(([, value]) => value).map(([key, value]) => [t(`rollout.${key}`), value]);
}

const command = (name) => h("button", { "data-name": name, onclick: () => {
  const why = name === "disable" ? prompt(t("health.disable_sure")) : "";
  if (why !== null) tell({ name, why });
} }, t(`health.${name}`));

const tell = (body) => done(() => post("/api/command", body));

async function done(ask) {
  try {
    await ask();
    toast(t("health.done"));
  } catch (error) {
    toast(t("error.failed", { why: error.message }), true);
  }
}

function condition({ code, number: code_number, subject, why, fault, warning }) {
  return h("li", { class: fault ? "fault" : warning ? "warning" : "degraded" }, icon(fault ? "stop" : "warn"),
    h("span", {}, conditionText(code, subject), why ? h("small", {}, plain(why)) : null, h("small", {}, `E${code_number} ${code} ${subject}`)));
}

// By a command, which `enabled` speaks of and the button undoes, or by the PLC.
const off = ({ conditions }) => conditions.some(({ code }) => code === "switched_off");

const wrong = ({ conditions }, ...codes) => new Set(conditions.filter(({ code }) => codes.includes(code)).map(({ subject }) => subject));

function table(things, samples, columns, down) {
  return h("div", { class: "scroll" }, h("table", {},
    h("thead", {}, h("tr", {}, ["name", "state", ...columns].map((name) => h("th", { scope: "col" }, t(`health.${name}`))))),
    h("tbody", {}, things.map(({ name }) => h("tr", {}, h("td", {}, h("b", {}, name)),
      h("td", {}, h("span", { class: "mark", "data-state": down.has(name) ? "down" : "up" }, icon(down.has(name) ? "reject" : "accept"), t(down.has(name) ? "link.down" : "link.up"))),
      columns.map((column) => h("td", { class: "figure" }, number(samples[name]?.[column] ?? 0))))))));
}

/** How long it takes from the picture to the decision, of inspected parts alone, and what is left of the way. */
function latency({ latency_ms: typical, latency_worst_ms: worst, left_ms: left, parts }) {
  if (typical === null) return h("p", { class: "empty" }, t("live.no_verdicts"));
  const all = Math.max(1, worst + left);
  const bar = h("div", { class: "bar", role: "img", "aria-label": `${t("live.worst")} ${number(worst)} ms, ${t("live.left")} ${number(left)} ms` }, h("span", { class: "used" }), h("span", { class: "tick" }));
  bar.children[0].style.width = `${(100 * worst) / all}%`;
  bar.children[1].style.insetInlineStart = `${(100 * typical) / all}%`;
  const ms = (value) => t("unit.ms", { n: number(value) });
  return [bar, facts([[t("live.typical"), ms(typical)], [t("live.worst"), ms(worst)], [t("live.left"), ms(left)]]), h("p", { class: "empty" }, t("health.of_last", { n: number(parts) }))];
}

function disk({ total_bytes: total, free_bytes: free, results_bytes: results, images_bytes: images, left_out: left }) {
  const megabytes = (bytes) => `${number(bytes / MB, 1)} MB`;
  const bar = h("div", { class: "bar" }, h("span", { class: "used" }));
  bar.firstChild.style.width = `${100 - (100 * free) / total}%`;
  return [bar, h("p", {}, t("health.disk_free", { n: number(free / GB, 1), m: number(total / GB, 1) })),
    facts([[t("health.kept_results"), megabytes(results)], [t("health.kept_images"), megabytes(images)], [t("health.left_out"), number(left)]])];
}
