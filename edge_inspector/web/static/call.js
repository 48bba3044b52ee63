// A bench without a belt: a key, a foot switch or the button calls for one part, and its verdict is shown.

import { may, post } from "./api.js";
import { h, icon, toast } from "./dom.js";
import { t } from "./texts.js";

/** The button, or null where parts are not called. `end` stops listening to the key. */
export function callOf(station) {
  if (!station.on_call || !may("reviewer")) return { element: null, end: () => {} };
  const answer = h("span", { class: "answer", role: "status" });
  const button = h("button", { class: "primary", onclick: () => call() }, t("live.call"));
  let waits = false;
  const call = async () => {
    if (waits) return;
    waits = button.disabled = true;
    answer.textContent = "…";
    try {
      const { decision } = await post("/api/inspect");
      const name = decision.toLowerCase();
      answer.replaceChildren(icon(name), t(`decision.${name}`));
    } catch (error) {
      answer.textContent = "";
      toast(error.message, true);
    }
    waits = button.disabled = false;
  };
  const key = (event) => {
    if (event.code !== "Space" || event.repeat || event.target.closest("input, select, textarea, button, a")) return;
    event.preventDefault();
    call();
  };
  document.addEventListener("keydown", key);
  return { element: h("div", { class: "panel row call" }, button, answer), end: () => document.removeEventListener("keydown", key) };
}
