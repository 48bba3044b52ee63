// A web: which roll runs, how many metres of it were seen, its map and tables, and the next roll.

import { may, post } from "./api.js";
import { h, toast } from "./dom.js";
import { number, t } from "./texts.js";

/** The panel, or null where there are parts. */
export function rollOf(station) {
  if (!station.web) return { element: null, take: () => {} };
  const told = h("span", { class: "answer", role: "status" });
  const link = (kind) => h("a", { href: `/api/rolls/now/${kind}`, target: "_blank" }, t(`live.roll_${kind}`));
  const name = h("input", { name: "roll", maxlength: 64, pattern: "[A-Za-z0-9][A-Za-z0-9_.\\-]*", required: true, "aria-label": t("live.roll_name"), placeholder: t("live.roll_name") });
  const begin = async (event) => {
    event.preventDefault();
    try {
      await post("/api/command", { name: "new_roll", roll: name.value });
      name.value = "";
    } catch (error) {
      toast(error.message, true);
    }
  };
  const form = may("operator") && h("form", { class: "row", onsubmit: begin }, name, h("button", {}, t("live.roll_new")));
  return {
    element: h("div", { class: "panel row" }, told, link("map"), link("marks"), link("pieces"), form),
    take: ({ roll }) => { if (roll) told.textContent = t("live.roll", { name: roll.name, metres: number(roll.to_m, 1) }); },
  };
}
