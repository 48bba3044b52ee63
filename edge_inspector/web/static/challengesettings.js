// The challenge settings: which known parts must come for this product, and when. They are loaded when somebody opens them.

import { get, may, post } from "./api.js";
import { h, icon } from "./dom.js";
import { className, number, t } from "./texts.js";
import { saveForm, versionsOf } from "./versions.js";

const NUMBERS = [["every_h", 0, 8760], ["grace_min", 0, 1440], ["timeout_s", 1, 3600]];
const WORST = ["warn", "block"];

export function challengeSettings({ recipe, station }) {
  const kept = `challenge-draft-${station.name}`; // a session that ends while somebody types must not cost the work
  const place = h("div", { class: "challenge-edit" });
  const load = async () => {
    try {
      const [told, versions] = await Promise.all([get("/api/challenge/settings"), get("/api/challenge/settings/versions")]);
      const draft = draftOf({ recipe, told, kept });
      place.replaceChildren(draft.element, ...(may("admin") ? actions({ recipe, told, draft, again: load }) : [h("p", { class: "empty" }, t("challenge.admin"))]),
        h("h3", {}, t("recipes.versions")), ...versionsOf({ url: "/api/challenge/settings", file: t("challenge.file"), now: told, told: versions, refresh: load }));
    } catch (error) {
      place.replaceChildren(h("p", { class: "empty" }, t("error.failed", { why: error.message })));
    }
  };
  const element = h("details", { class: "panel full", open: may("admin") && sessionStorage.getItem(kept) !== null },
    h("summary", {}, t("challenge.settings", { name: recipe.name })), place);
  element.addEventListener("toggle", () => { if (element.open) load(); });
  return element;
}

/** The settings as fields. `changes()` is the whole table, or null if a field is wrong. */
function draftOf({ recipe, told, kept }) {
  const locked = !may("admin");
  const saved = locked ? null : JSON.parse(sessionStorage.getItem(kept));
  const settings = saved?.newest === told.newest ? saved.settings : told.settings;
  const list = h("ol", { class: "plain known" });
  const row = (part) => list.append(partRow({ part, recipe, locked, moved: store }));
  for (const part of settings.parts) if (part.recipe === recipe.id) row(part);
  const shift = h("input", { type: "checkbox", name: "each_shift", checked: settings.each_shift, disabled: locked });
  const numbers = NUMBERS.map(([key, min, max]) => h("input", { type: "number", name: key, min, max, step: "any", required: true, value: settings[key], disabled: locked }));
  const worst = h("select", { name: "on_failure", disabled: locked }, WORST.map((each) => h("option", { value: each, selected: each === settings.on_failure }, t(`challenge.on.${each}`))));
  const add = h("button", { type: "button", class: "quiet", "data-name": "add-part", disabled: locked, onclick: () => {
    row({ name: "", expect: "reject", finds: [] });
    list.lastChild.querySelector("input").focus();
  } }, icon("plus"), t("challenge.add"));
  const element = h("div", {},
    h("p", { class: "empty" }, t("challenge.order")), list, h("p", { class: "row" }, add),
    h("h3", {}, t("challenge.when")),
    h("div", { class: "row command" }, h("label", { class: "check" }, shift, t("challenge.each_shift", { times: told.shifts.join(", ") })),
      numbers.map((input) => h("label", {}, t(`challenge.${input.name}`), input)), h("label", {}, t("challenge.on_failure"), worst)));
  const table = () => ({
    each_shift: shift.checked,
    ...Object.fromEntries(numbers.map((input) => [input.name, Number(input.value)])),
    on_failure: worst.value,
    parts: [...settings.parts.filter(({ recipe: other }) => other !== recipe.id), ...[...list.children].map((item) => ({ recipe: recipe.id, ...item.asked() }))]
      .sort((one, other) => one.recipe - other.recipe),
  });
  function store() {
    if (!locked) sessionStorage.setItem(kept, JSON.stringify({ newest: told.newest, settings: table() }));
  }
  element.addEventListener("input", store);
  return {
    element,
    forget: () => sessionStorage.removeItem(kept),
    changes: () => ([...element.querySelectorAll("input, select")].every((input) => input.reportValidity()) ? table() : null),
  };
}

/** One known part: its name, what the station must decide, and what it must find. `item.asked()` is what the fields say. */
function partRow({ part, recipe, locked, moved }) {
  const name = h("input", { name: "part", maxlength: 64, required: true, autocomplete: "off", value: part.name, disabled: locked });
  const expect = h("select", { name: "expect", disabled: locked, onchange: () => show() }, ["accept", "reject"].map((each) => h("option", { value: each, selected: each === part.expect }, t(`decision.${each}`))));
  const classes = recipe.limits.map(({ class: each }) => ({ each, box: h("input", { type: "checkbox", name: "finds", value: each, checked: part.finds.includes(each), disabled: locked }) }));
  const finds = h("fieldset", { class: "row" }, h("legend", {}, t("challenge.finds")), classes.map(({ each, box }) => h("label", { class: "check" }, box, className(each))));
  const button = (shape, text, act) => h("button", { type: "button", class: "quiet square", "aria-label": t(text), title: t(text), disabled: locked, onclick: (event) => { act(); moved(); event.currentTarget.focus(); } }, icon(shape));
  const item = h("li", {}, h("label", {}, t("challenge.name"), name), h("label", {}, t("challenge.wanted"), expect), finds,
    h("span", { class: "row" }, button("up", "challenge.up", () => item.previousElementSibling?.before(item)), button("reject", "challenge.remove", () => item.remove())));
  const show = () => { finds.hidden = expect.value === "accept"; };
  item.asked = () => ({ name: name.value.trim(), expect: expect.value, finds: expect.value === "accept" ? [] : classes.filter(({ box }) => box.checked).map(({ each }) => each) });
  show();
  return item;
}

function actions({ recipe, told, draft, again }) {
  const result = h("div", { class: "preview", role: "status" });
  const say = (...children) => result.replaceChildren(...children);
  const preview = async () => {
    const changes = draft.changes();
    if (!changes) return;
    try {
      const found = await post("/api/challenge/settings/preview", { changes, recipe: recipe.id });
      say(h("p", {}, h("b", {}, t("challenge.would", { n: number(found.judged), passed: number(found.passed), would: number(found.would) }))));
    } catch (error) {
      say(h("p", { class: "wrong" }, t("error.failed", { why: error.message })));
    }
  };
  return [saveForm({
    url: "/api/challenge/settings",
    newest: told.newest,
    changes: draft.changes,
    say,
    saved() { draft.forget(); again(); },
    preview: h("button", { type: "button", onclick: preview }, icon("mask"), t("challenge.try")),
  }), result];
}
