// The record of each shift: what it takes of the disk, and the switch.

import { get, may, post } from "./api.js";
import { h, icon, toast } from "./dom.js";
import { number, t } from "./texts.js";

const EVERY_MS = 10e3; // the records have many files

/** The panel; `begin` starts to look, `end` stops. */
export function recordPanel() {
  const place = h("div", {});
  const element = h("section", { class: "panel" }, h("h2", {}, t("record.title")), place);
  let timer = null;
  const load = async () => {
    try {
      place.replaceChildren(...shown(await get("/api/record"), load));
    } catch (error) {
      place.replaceChildren(h("p", { class: "empty" }, t("error.failed", { why: error.message })));
    }
  };
  return { element, begin: async () => { await load(); timer = setInterval(load, EVERY_MS); }, end: () => clearInterval(timer) };
}

function shown({ recording, why, next_start: next, budget_mb: budget, shifts, size }, again) {
  if (!budget) return [h("p", { class: "empty" }, t("record.no_budget")), h("p", {}, h("code", {}, "[record] budget_mb"))];
  const turn = async () => {
    if (next && !confirm(t("record.sure"))) return;
    try {
      await post("/api/record", { on: !next });
      toast(t(next ? "record.is_off" : "record.is_on"));
    } catch (error) {
      toast(t("error.failed", { why: error.message }), true);
    }
    again();
  };
  const bar = h("div", { class: "bar" }, h("span", { class: "used" }));
  bar.firstChild.style.width = `${Math.min(100, (100 * size) / (budget * 2 ** 20))}%`;
  return [
    h("p", { class: recording ? "fine" : "", role: "status" }, icon(recording ? "accept" : "wait"), t(recording ? "record.runs" : "record.runs_not"), why ? ` (${why})` : ""),
    bar, h("p", {}, t("record.takes", { n: number(size / 2 ** 20), m: number(budget), k: number(shifts) })),
    h("p", { class: "empty" }, t(next ? "record.next_on" : "record.next_off"), " ", t("record.how")),
    may("admin") ? h("p", {}, h("button", { "data-name": "record", "aria-pressed": String(next), onclick: turn }, t(next ? "record.turn_off" : "record.turn_on"))) : null,
  ].filter(Boolean);
}
