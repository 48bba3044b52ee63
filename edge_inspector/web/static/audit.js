// Who changed what, from what to what, and why; and whether somebody edited that record. For admins.

import { get } from "./api.js";
import { whoText } from "./conditions.js";
import { h, icon } from "./dom.js";
import { at } from "./place.js";
import { has, moment, number, t } from "./texts.js";

const COLUMNS = ["when", "who", "what", "change", "why"];

/** The panel; `begin` looks once. */
export function auditPanel() {
  const state = h("p", { role: "status" }, t("audit.checking"));
  const faults = h("ul", { class: "plain" });
  const text = h("input", { type: "search", maxlength: 100 });
  const from = h("input", { type: "datetime-local" });
  const to = h("input", { type: "datetime-local" });
  const lines = h("tbody", {});
  const said = h("p", { class: "empty" });
  const save = h("a", { class: "button quiet", download: true }, icon("load"), t("checks.csv"));
  const check = async () => {
    try {
      const told = await get("/api/audit/verify");
      state.className = told.fault_count ? "off" : "fine";
      state.replaceChildren(icon(told.fault_count ? "warn" : "accept"), t(told.fault_count ? "audit.broken" : "audit.whole", { n: number(told.lines), m: number(told.fault_count) }));
      faults.replaceChildren(...told.faults.map((fault) => h("li", {}, fault)));
    } catch (error) {
      state.textContent = t("error.failed", { why: error.message });
    }
  };
  const load = async () => {
    const filter = new URLSearchParams();
    if (text.value) filter.set("text", text.value);
    if (from.value) filter.set("since", new Date(from.value).toISOString());
    if (to.value) filter.set("until", new Date(to.value).toISOString());
    save.setAttribute("href", at(`/api/audit.csv?${filter}`));
    try {
      const told = await get(`/api/audit?${filter}`);
      lines.replaceChildren(...told.lines.map(row));
      said.textContent = told.lines.length ? (told.more ? t("audit.more", { n: number(told.lines.length) }) : "") : t("audit.none");
    } catch (error) {
      said.textContent = t("error.failed", { why: error.message });
    }
  };
  let waits = null;
  text.addEventListener("input", () => { clearTimeout(waits); waits = setTimeout(load, 300); });
  for (const field of [from, to]) field.addEventListener("change", load);
  const element = h("section", { class: "panel full" }, h("h2", { class: "row between" }, t("audit.title"), save), state, faults,
    h("form", { class: "filters row", onsubmit: (event) => event.preventDefault() },
      h("label", {}, t("audit.text"), text), h("label", {}, t("parts.from"), from), h("label", {}, t("parts.to"), to),
      h("button", { type: "button", onclick: () => { check(); load(); } }, icon("again"), t("audit.check"))),
    h("div", { class: "scroll" }, h("table", {}, h("thead", {}, h("tr", {}, COLUMNS.map((name) => h("th", { scope: "col" }, t(`audit.${name}`))))), lines)), said);
  return { element, begin: () => Promise.all([check(), load()]), end: () => clearTimeout(waits) };
}

function row({ utc, who, what, subject, before, after, why }) {
  const change = before && after ? `${before} → ${after}` : after || before;
  const name = has(`action.${what}`) ? t(`action.${what}`) : what;
  return h("tr", {}, h("td", {}, when(utc)), h("td", {}, whoText(who)), h("td", {}, [name, subject].filter(Boolean).join(" · ")), h("td", {}, change), h("td", {}, why));
}

/** The date, or the text itself where somebody has edited it into none. */
const when = (utc) => (Number.isNaN(Date.parse(utc)) ? utc : moment(utc, true));
