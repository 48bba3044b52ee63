// The challenge: known parts go through the line, and the station must say of each what it is known to be.

import { get, post } from "./api.js";
import { h, icon, toast } from "./dom.js";
import { withRole } from "./login.js";
import { className, moment, number, t } from "./texts.js";

const EVERY_MS = 1000;

/** The panel; `begin` starts to look, `end` stops. */
export function challengePanel() {
  const now = h("div", { class: "challenge-now" });
  const before = h("ol", { class: "plain challenges" });
  const element = h("section", { class: "panel full" }, h("h2", {}, t("challenge.title")), now,
    h("h3", { class: "row between" }, t("challenge.before"), h("a", { class: "button quiet", download: true, href: "/api/challenges.csv" }, icon("load"), t("checks.csv"))), before);
  let drawn = "";
  let last = "";
  let timer = null;
  const load = async () => {
    try {
      const told = await get("/api/challenge");
      const text = JSON.stringify(told);
      if (text === drawn) return;
      drawn = text;
      const focused = now.contains(document.activeElement);
      now.replaceChildren(...shown(told, load));
      if (focused) now.querySelector("button")?.focus();
      const ended = JSON.stringify(told.last);
      if (ended !== last) {
        last = ended;
        const { challenges } = await get("/api/challenges");
        before.replaceChildren(...(challenges.length ? challenges.map(run) : [h("li", { class: "empty" }, t("challenge.none"))]));
      }
    } catch (error) {
      drawn = "";
      now.replaceChildren(h("p", { class: "empty" }, t("error.failed", { why: error.message })));
    }
  };
  return { element, begin: async () => { await load(); timer = setInterval(load, EVERY_MS); }, end: () => clearInterval(timer) };
}

function shown(told, again) {
  const { recipe, parts, running, due, last, blocks } = told;
  if (!parts.length) return [h("p", { class: "empty" }, t("challenge.no_parts", { name: recipe.name })), h("p", {}, h("a", { class: "button quiet", href: `/recipes?recipe=${recipe.id}` }, t("nav.recipes")))];
  const state = running ? ["wait", "", t("challenge.next", { name: parts[Math.min(running.length, parts.length - 1)].name, n: number(running.length + 1), m: number(parts.length) })]
    : due ? ["warn", "off", `${t("challenge.due")}: ${due}`]
    : last ? [last.passed ? "accept" : "reject", last.passed ? "fine" : "off", t(last.passed ? "challenge.passed_at" : "challenge.failed_at", { at: moment(last.utc, true) })]
    : ["wait", "", t("challenge.never")];
  const start = async () => {
    if (!(await withRole("operator")) || !confirm(t("challenge.sure", { n: number(parts.length) }))) return;
    try {
      await post("/api/command", { name: "challenge" });
    } catch (error) {
      toast(t("error.failed", { why: error.message }), true);
    }
    again();
  };
  const seen = running ?? (last && !due ? last.parts : []);
  return [
    h("p", { class: state[1], role: "status" }, icon(state[0]), state[2]),
    h("p", { class: "empty" }, t("challenge.how", { name: recipe.name, s: number(told.timeout_s) }), " ", t(blocks ? "challenge.blocks" : "challenge.warns")),
    partTable(parts.map((part, index) => ({ ...part, seen: seen[index] })), running?.length),
    h("p", {}, h("button", { class: "primary", "data-name": "challenge", disabled: running !== null, onclick: start }, t("challenge.begin"))),
  ];
}

const wanted = ({ expect, finds }) => [t(`decision.${expect}`), finds.length ? `: ${finds.map(className).join(", ")}` : ""].join("");
const said = ({ decision, found }) => [t(`decision.${decision}`), found.length ? `: ${found.map(className).join(", ")}` : ""].join("");

function partTable(parts, next) {
  return h("div", { class: "scroll" }, h("table", {}, h("thead", {}, h("tr", {}, ["part", "wanted", "said", "right"].map((name) => h("th", { scope: "col" }, t(`challenge.${name}`))))),
    h("tbody", {}, parts.map((part, index) => h("tr", { "aria-current": index === next ? "step" : null }, h("td", {}, h("b", {}, part.name)), h("td", {}, wanted(part)),
      h("td", {}, part.seen ? said(part.seen) : "–"), h("td", {}, part.seen ? mark(part.seen.right) : "–"))))));
}

const mark = (right) => h("span", { class: "mark", "data-state": right ? "up" : "down" }, icon(right ? "accept" : "reject"), t(right ? "challenge.is_right" : "challenge.is_wrong"));

function run({ utc, who, recipe, passed, why, parts, expected }) {
  return h("li", { class: "row between" },
    h("span", {}, h("span", { class: "mark", "data-state": passed ? "up" : "down" }, icon(passed ? "accept" : "reject"), t(passed ? "challenge.passed" : "challenge.failed")), " ",
      h("b", {}, moment(utc, true)), ` · ${who.replace(/^page:/, "")} · ${t("live.recipe", { n: recipe })}`, why ? h("small", {}, why) : null),
    h("span", {}, t("challenge.of", { n: number(parts.filter(({ right }) => right).length), m: number(expected) })));
}
