// Right or wrong: the buttons and keys with which a person marks a part, on every page that shows one.

import { post } from "./api.js";
import { h, icon, toast } from "./dom.js";
import { withRole } from "./login.js";
import { className, t } from "./texts.js";

/** Store what a person says of a part. Resolves to whether it is stored. */
export async function markPart(part, label, defectClass = "") {
  if (!(await withRole("reviewer"))) return false;
  try {
    await post(`/api/parts/${part.id}/label`, { view: "", label, class: defectClass });
    toast(t("review.stored", { n: part.part, what: defectClass ? className(defectClass) : t(`review.${label}`) }));
    return true;
  } catch (error) {
    toast(t("error.failed", { why: error.message }), true);
    return false;
  }
}

/** Good, defect, which defect, not sure: `mark(label, defectClass)` is called by a button. */
export function markButtons(station, mark) {
  const button = (kind, key, shape, text, act) => h("button", { type: "button", class: `mark-as ${kind}`, onclick: act }, icon(shape), h("span", {}, text), h("kbd", {}, key));
  const labels = [
    button("good", "G", "accept", t("review.good"), () => mark("good")),
    button("defect", "D", "reject", t("review.defect"), () => mark("defect")),
  ];
  const classes = station.classes.map(({ name, colour }, index) => {
    const swatch = h("span", { class: "swatch" });
    swatch.style.background = colour;
    return h("button", { type: "button", class: "mark-as class", title: className(name), onclick: () => mark("defect", name) }, swatch, h("span", {}, className(name)), index < 9 ? h("kbd", {}, index + 1) : null);
  });
  const unsure = button("unsure", "U", "not_inspected", t("review.unsure"), () => mark("unsure"));
  return {
    disable: () => [...labels, ...classes, unsure].forEach((each) => { each.disabled = true; }),
    elements: [h("div", { class: "two" }, labels), h("h3", {}, t("review.which")), h("div", { class: "classes" }, classes), unsure],
  };
}

/** What this key says of a part, as [label, class], or null. A key that is held down says it once. */
export function markOfKey(event, station) {
  if (event.ctrlKey || event.metaKey || event.altKey || event.repeat) return null;
  const chosen = /^[1-9]$/.test(event.key) ? station.classes[event.key - 1] : null;
  if (chosen) return ["defect", chosen.name];
  const label = { g: "good", d: "defect", u: "unsure" }[event.key.toLowerCase()];
  return label ? [label, ""] : null;
}

/** Asks for a mark of a part without leaving the page. */
export function askForMark(station, part) {
  const mark = async (label, defectClass) => { if (await markPart(part, label, defectClass)) dialog.close(); };
  const dialog = h("dialog", { "aria-labelledby": "mark-title" },
    h("h2", { id: "mark-title" }, t("mark.title", { n: part.part })), h("p", {}, t("mark.what")),
    h("div", { class: "marks" }, markButtons(station, mark).elements,
      h("button", { type: "button", class: "quiet", onclick: () => dialog.close() }, t("login.cancel"))));
  dialog.addEventListener("keydown", (event) => {
    const said = markOfKey(event, station);
    if (said) mark(...said);
  });
  dialog.addEventListener("close", () => dialog.remove());
  document.body.append(dialog);
  dialog.showModal();
}
