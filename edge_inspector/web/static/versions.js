// Versions of what is edited on the page: which one counts, who saved what and why, and the way back.

import { may, post } from "./api.js";
import { h, icon, toast } from "./dom.js";
import { moment, number, t } from "./texts.js";

/** The same for every edited thing: `url` is where it lives, `file` the name of what it is without a version. */
export function versionsOf({ url, file, now, told, refresh }) {
  const name = (n) => (n ? t("recipes.version", { n: number(n) }) : file);
  return [state(now, name), versionList({ url, now, told, name, refresh })];
}

function state({ version, next_start: next }, name) {
  const now = t("recipes.in_force", { what: name(version) });
  if (next === version) return h("p", {}, now);
  return h("p", { class: "off" }, icon("warn"), `${now} ${t("recipes.at_start", { what: name(next) })}`);
}

function versionList({ url, now, told: { versions, file }, name, refresh }) {
  const force = async (version) => {
    if (!confirm(t("recipes.force_sure", { what: name(version) }))) return;
    try {
      await post(`${url}/force`, { version });
      toast(t("recipes.forced"));
      refresh();
    } catch (error) {
      toast(t("error.failed", { why: error.message }), true);
    }
  };
  const button = (version) => (may("admin") && now.next_start !== version ? h("button", { "data-version": version, onclick: () => force(version) }, t("recipes.force")) : null);
  return h("ol", { class: "plain versions" },
    versions.map((each, at) => h("li", {}, h("div", { class: "row between" }, h("b", {}, name(each.version)), button(each.version)),
      h("p", {}, each.comment), h("small", {}, `${each.user} · ${moment(each.utc, true)} · ${each.hash}`),
      difference(versions[at + 1]?.changes ?? (each.version === 1 ? file : null), each.changes))),
    h("li", {}, h("div", { class: "row between" }, h("b", {}, name(0)), button(0))));
}

function difference(before, now) {
  if (!before) return null;
  const [old, fresh] = [flat(before), flat(now)];
  const keys = [...new Set([...Object.keys(old), ...Object.keys(fresh)])].filter((key) => rounded(old[key]) !== rounded(fresh[key]));
  return h("ul", { class: "plain diff" }, keys.map((key) => h("li", {}, h("code", {}, key), ` ${rounded(old[key]) ?? "–"} → ${rounded(fresh[key]) ?? "–"}`)));
}

/** As the fields show it. What is not set, and an area that is not left out, need not be written. */
const rounded = (value) => (typeof value === "number" ? Number(value.toPrecision(4)) : value || null);

/** Every value under its path, with points between the names. */
function flat(value, path = "") {
  if (value === null || typeof value !== "object") return { [path]: value };
  return Object.assign({}, ...Object.entries(value).map(([key, each]) => flat(each, path ? `${path}.${key}` : key)));
}

/** Comment and button of a new version. `changes()` is null while a field is wrong. `saved` forgets the draft. */
export function saveForm({ url, newest, changes, say, saved, preview }) {
  const comment = h("input", { name: "comment", maxlength: 300, required: true, autocomplete: "off" });
  const save = async (event) => {
    event.preventDefault();
    const asked = changes();
    if (!asked) return;
    try {
      const { version } = await post(`${url}/versions`, { changes: asked, comment: comment.value, version: newest });
      toast(t("recipes.saved", { n: version }));
      saved();
    } catch (error) {
      say(h("p", { class: "wrong" }, t(error.status === 409 ? "recipes.meanwhile" : "error.failed", { why: error.message })));
    }
  };
  return h("form", { class: "row command", onsubmit: save }, preview,
    h("label", { class: "comment" }, t("recipes.comment"), comment), h("button", { class: "primary" }, t("recipes.save")));
}
