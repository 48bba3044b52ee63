// Recipes: which product is judged, by which limits and in which area; what a change would have done; versions.

import { get, may, post } from "./api.js";
import { challengeSettings } from "./challengesettings.js";
import { stationNow } from "./clock.js";
import { h, icon } from "./dom.js";
import { withRole } from "./login.js";
import { regionEditor } from "./regions.js";
import { className, moment, number, t } from "./texts.js";
import { saveForm, versionsOf } from "./versions.js";

const FIELDS = [["min_area_mm2", 0, 1e6, 0.1], ["min_confidence", 0, 1, 0.01], ["max_count", 0, 31, 1], ["max_length_mm", 0.1, 1e6, 0.1]];

export async function mount({ main, station, refresh }) {
  const told = await get("/api/recipes");
  const asked = Number(new URLSearchParams(location.search).get("recipe")) || told.in_force;
  const recipe = told.recipes.find(({ id }) => id === asked) ?? told.recipes[0];
  const versions = await get(`/api/recipes/${recipe.id}/versions`);
  const draft = draftOf(recipe, station, told.views);
  const result = h("div", { class: "preview", role: "status" });
  main.append(
    h("div", { class: "heading" }, h("h1", {}, t("recipes.title"))),
    h("div", { class: "cards" },
      h("section", { class: "panel full" }, h("h2", {}, t("recipes.product")), productForm(told, refresh)),
      h("section", { class: "panel full" }, h("h2", { class: "row between" }, t("recipes.limits_of", { name: recipe.name }), chooser(told, recipe)),
        h("p", {}, t(`recipes.missed.${recipe.on_not_inspected}`)), draft.table, h("h3", {}, t("recipes.regions")), draft.regions,
        recipe.promise ? h("p", {}, t("recipes.promise", { share: percent(recipe.promise.false_rejects), sure: percent(recipe.promise.confidence), n: number(recipe.promise.parts) })) : null,
        may("admin") ? [fromGood(recipe, draft), actions(recipe, draft, result, refresh)] : h("p", { class: "empty" }, t("recipes.admin")), result),
      h("section", { class: "panel full" }, h("h2", {}, t("recipes.versions")), versionsOf({ url: `/api/recipes/${recipe.id}`, file: t("recipes.file"), now: recipe, told: versions, refresh })),
      challengeSettings({ recipe, station })));
  return draft.end;
}

function chooser(told, recipe) {
  return h("span", { class: "row" }, told.recipes.length > 1 ? told.recipes.map(({ id, name }) =>
    h("a", { class: "button quiet", href: `/recipes?recipe=${id}`, "aria-current": id === recipe.id ? "true" : null }, name)) : null);
}

/** Which product is judged now, and the way to another one. */
function productForm(told, refresh) {
  const now = told.recipes.find(({ id }) => id === told.in_force);
  const choice = h("select", { name: "recipe" }, told.recipes.map(({ id, name }) => h("option", { value: id, selected: id === now.id }, `${name} (${id})`)));
  const change = h("button", { class: "primary", disabled: told.recipes.length < 2 }, t("recipes.change"));
  return h("form", { class: "row command", onsubmit: async (event) => {
    event.preventDefault();
    const to = told.recipes.find(({ id }) => String(id) === choice.value);
    if (to.id === now.id || !(await withRole("operator"))) return;
    if (await changeProduct(now, to)) refresh();
  } }, h("p", { class: "value" }, now.name), h("label", {}, t("recipes.next"), choice), change);
}

/** Its name, and its number where another one is called the same. */
const called = ({ name, id }, other) => (name === other.name ? `${name} (${id})` : name);

/** Ask, change, and say when it took effect. Resolves to whether it did. */
async function changeProduct(from, to) {
  const { on_belt: parts } = await get("/api/now");
  return new Promise((resolve) => {
    const said = h("p", { role: "status" }, t("recipes.on_belt", { n: number(parts), name: from.name }));
    let done = false;
    const yes = h("button", { class: "primary" }, t("recipes.change"));
    const no = h("button", { type: "button", class: "quiet", onclick: () => dialog.close() }, t("login.cancel"));
    const dialog = h("dialog", { "aria-labelledby": "change-title" }, h("form", { onsubmit: async (event) => {
      event.preventDefault();
      if (done) return dialog.close();
      yes.disabled = true;
      said.textContent = t("recipes.waiting");
      try {
        await post("/api/command", { name: "select_recipe", recipe: to.id });
        done = true;
        said.textContent = t("recipes.took_effect", { name: to.name, at: moment(stationNow()) });
        yes.textContent = t("recipes.close");
        no.hidden = true;
      } catch (error) {
        said.textContent = t("error.failed", { why: error.message });
      }
      yes.disabled = false;
    } }, h("h2", { id: "change-title" }, t("recipes.from_to", { from: called(from, to), to: called(to, from) })), said, h("div", { class: "row end" }, no, yes)));
    dialog.addEventListener("close", () => {
      dialog.remove();
      resolve(done);
    });
    document.body.append(dialog);
    dialog.showModal();
  });
}

/** The limits and regions as fields; `changes()` is what the server understands, or null if a field is wrong. */
function draftOf(recipe, station, views) {
  const locked = !may("admin");
  const rows = recipe.limits.map((limit) => ({ name: limit.class, inputs: FIELDS.map(([field, min, max, step]) =>
    h("input", { type: "number", min, max, step: "any", "data-step": step, value: limit[field] === null ? "" : Number(limit[field].toPrecision(4)), disabled: locked, required: field !== "max_length_mm", "aria-label": `${className(limit.class)}: ${t(`recipes.${field}`)}` })) }));
  const table = h("div", { class: "scroll" }, h("table", { class: "limits edit" },
    h("thead", {}, h("tr", {}, h("th", { scope: "col" }, t("part.class")), FIELDS.map(([field]) => h("th", { scope: "col" }, t(`recipes.${field}`))))),
    h("tbody", {}, rows.map(({ name, inputs }) => h("tr", {}, h("td", {}, h("b", {}, className(name))), inputs.map((input) => h("td", {}, input)))))));
  const editor = regionEditor({ cameras: recipe.views, regions: recipe.regions, views, locked });
  // A session that ends while somebody draws must not cost the work.
  const kept = `draft-${station.name}-${recipe.id}-${recipe.newest}`;
  const fields = rows.flatMap(({ inputs }) => inputs);
  const saved = locked ? null : sessionStorage.getItem(kept);
  if (saved) {
    const { values, regions } = JSON.parse(saved);
    fields.forEach((input, at) => { input.value = values[at] ?? ""; });
    editor.set(regions);
  }
  const store = () => sessionStorage.setItem(kept, JSON.stringify({ values: fields.map(({ value }) => value), regions: editor.regions() }));
  table.addEventListener("input", store);
  editor.element.addEventListener("change", store);
  return {
    table,
    regions: editor.element,
    end: editor.end,
    put(areas) {
      rows.forEach(({ name, inputs }) => { inputs[0].value = areas[name] ?? inputs[0].value; });
      store();
    },
    forget: () => sessionStorage.removeItem(kept),
    changes() {
      if (!fields.every((input) => input.reportValidity())) return null;
      const classes = Object.fromEntries(rows.map(({ name, inputs }) => [name, Object.fromEntries(FIELDS.map(([field], at) => [field, inputs[at].value === "" ? null : Number(inputs[at].value)]))]));
      return { classes, regions: editor.regions(), review_band: recipe.review_band };
    },
  };
}

const percent = (share) => `${number(100 * share, share < 0.1 ? 1 : 0)} %`;

/** Areas from good parts: they go into the fields above, where somebody tries and saves them. */
function fromGood(recipe, draft) {
  const share = (name, value) => h("input", { type: "number", name, min: 0.1, max: 99.9, step: 0.1, value, required: true });
  const [most, sure] = [share("false_rejects", 2), share("confidence", 95)];
  const believe = h("select", { name: "believe" }, ["marked", "all"].map((kind) => h("option", { value: kind }, t(`recipes.believe.${kind}`))));
  const said = h("div", { class: "proposal", role: "status" });
  const propose = h("button", {}, t("recipes.propose"));
  const ask = async (event) => {
    event.preventDefault();
    const changes = draft.changes();
    if (!changes) return;
    propose.disabled = true;
    said.replaceChildren(h("p", {}, t("recipes.proposing")));
    try {
      const wanted = { false_rejects: most.value / 100, confidence: sure.value / 100, believe: believe.value };
      const found = await post(`/api/recipes/${recipe.id}/proposal`, { changes, ...wanted });
      if (found.limits) draft.put(found.limits);
      said.replaceChildren(...proposed(found, wanted));
    } catch (error) {
      said.replaceChildren(h("p", { class: "wrong" }, t("error.failed", { why: error.message })));
    }
    propose.disabled = false;
  };
  return h("details", { class: "from-good" }, h("summary", {}, t("recipes.from_good")), h("p", {}, t("recipes.from_good_how")),
    h("form", { class: "row command", onsubmit: ask }, h("label", {}, t("recipes.false_rejects"), most), h("label", {}, t("recipes.sure"), sure),
      h("label", {}, t("recipes.believe"), believe), propose), said);
}

/** What the proposal promises and costs, or how many parts it needs. */
function proposed(found, wanted) {
  const left = found.unknown ? [h("p", { class: "empty" }, t("recipes.not_kept", { n: number(found.unknown) }))] : [];
  if (!found.limits) {
    const possible = found.possible ? t("recipes.possible", { n: number(found.good), share: percent(found.possible) }) : "";
    return [h("p", {}, `${t("recipes.too_few", { n: number(found.good), needed: number(found.needed) })} ${possible}`), ...left];
  }
  const [low, high] = found.recall_95 ?? [];
  return [
    h("p", {}, h("b", {}, t("recipes.proposed", { n: number(found.good), share: percent(wanted.false_rejects), sure: percent(wanted.confidence) }))),
    h("p", {}, t("recipes.refused", { now: number(found.refused_before), then: number(found.refused) })),
    h("p", {}, found.recall_95
      ? t("recipes.caught", { n: number(found.bad), now: number(found.caught_before), then: number(found.caught), low: percent(low), high: percent(high) })
      : t("recipes.caught_unknown")),
    ...left,
  ];
}

function actions(recipe, draft, result, refresh) {
  const say = (...children) => result.replaceChildren(...children);
  const preview = async () => {
    const changes = draft.changes();
    if (!changes) return;
    say(h("p", {}, t("recipes.previewing")));
    try {
      const found = await post(`/api/recipes/${recipe.id}/preview`, { changes });
      say(h("p", {}, h("b", {}, t("recipes.would", { more: number(found.more), fewer: number(found.fewer) }))),
        h("p", { class: "empty" }, t("recipes.judged", { n: number(found.judged), m: number(found.parts) })),
        partList(found.more_parts, "recipes.more_parts"), partList(found.fewer_parts, "recipes.fewer_parts"));
    } catch (error) {
      say(h("p", { class: "wrong" }, t("error.failed", { why: error.message })));
    }
  };
  return saveForm({
    url: `/api/recipes/${recipe.id}`,
    newest: recipe.newest,
    changes: draft.changes,
    say,
    saved() { draft.forget(); refresh(); },
    preview: h("button", { type: "button", onclick: preview }, icon("mask"), t("recipes.preview")),
  });
}

const partList = (parts, text) => (parts.length ? [h("h3", {}, t(text)), h("p", { class: "row" }, parts.map(({ id, part }) => h("a", { class: "button quiet", href: `/parts/${id}` }, t("part.name", { n: part }))))] : null);
