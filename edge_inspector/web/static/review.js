// The parts that the model was not sure of, one after the other: one key says what a person sees.

import { get, may, post } from "./api.js";
import { h, icon, put, toast } from "./dom.js";
import { askForLogin } from "./login.js";
import { defects } from "./part.js";
import { moment, t } from "./texts.js";
import { Views } from "./viewer.js";

export async function mount({ main, station, refresh }) {
  const views = new Views();
  const title = h("h2", {});
  const left = h("span", { class: "left", role: "status" });
  const found = h("div", {});
  const intro = h("p", {}, t("review.what"));
  const hint = h("p", { class: "keys" }, t("review.keys"));
  const none = h("p", { class: "empty" }, t("review.none"));
  const marks = marksOf(station, mark);
  const work = h("div", { class: "columns part" }, h("div", { class: "wide panel" }, views.element),
    h("div", { class: "side" }, h("section", { class: "panel judge" }, title, marks.element), found));
  put(main, h("div", { class: "heading" }, h("h1", {}, t("review.title")), left), intro,
    may("reviewer") ? null : loginNote(refresh), work, none, hint);
  if (!may("reviewer")) marks.disable();

  let queue = [];
  let at = 0;
  let shown = null; // the row whose part is on the screen, and no other is marked
  let busy = false;
  try {
    queue = (await get("/api/review")).parts;
  } catch (error) {
    none.textContent = t("error.failed", { why: error.message });
  }
  await show();

  async function show() {
    const row = queue[at];
    shown = null;
    work.hidden = !row;
    none.hidden = Boolean(row);
    intro.hidden = hint.hidden = !row;
    left.textContent = row ? t("review.left", { n: queue.length - at }) : "";
    if (!row) {
      if (queue.length) none.textContent = t("review.done");
      return;
    }
    const part = await get(`/api/parts/${row.id}`);
    if (queue[at] !== row) return; // somebody went on while this was asked for
    shown = row;
    title.replaceChildren(t("part.name", { n: part.part }), h("small", {}, moment(part.utc, true)));
    views.show(part);
    found.replaceChildren(defects(part));
  }

  async function mark(label, defectClass = "") {
    const row = shown;
    if (!row || busy || !may("reviewer")) return;
    busy = true;
    try {
      await post(`/api/parts/${row.id}/label`, { view: "", label, class: defectClass });
      toast(t("review.stored", { n: row.part, what: defectClass || t(`review.${label}`) }));
      if (shown === row) await step(1);
    } catch (error) {
      toast(t("error.failed", { why: error.message }), true);
    } finally {
      busy = false;
    }
  }

  function step(by) {
    at = Math.min(queue.length, Math.max(0, at + by));
    return show();
  }
  marks.skip.addEventListener("click", () => step(1));
  marks.previous.addEventListener("click", () => step(-1));

  const keys = (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.target.closest("input, dialog")) return;
    const does = { g: () => mark("good"), d: () => mark("defect"), u: () => mark("unsure"), s: () => step(1), arrowright: () => step(1), arrowleft: () => step(-1) }[event.key.toLowerCase()];
    const chosen = /^[1-9]$/.test(event.key) ? station.classes[event.key - 1] : null;
    if ((does || chosen) && event.repeat) return; // a key that is held marks one part
    if (does) does();
    else if (chosen) mark("defect", chosen.name);
    else if (!views.viewer.key(event.key)) return;
    event.preventDefault();
  };
  document.addEventListener("keydown", keys);
  return () => document.removeEventListener("keydown", keys);
}

function marksOf(station, mark) {
  const button = (kind, key, shape, text, act) => h("button", { class: `mark-as ${kind}`, onclick: act }, icon(shape), h("span", {}, text), h("kbd", {}, key));
  const labels = [
    button("good", "G", "accept", t("review.good"), () => mark("good")),
    button("defect", "D", "reject", t("review.defect"), () => mark("defect")),
  ];
  const classes = station.classes.slice(0, 9).map(({ name, colour }, index) => {
    const swatch = h("span", { class: "swatch" });
    swatch.style.background = colour;
    return h("button", { class: "mark-as class", onclick: () => mark("defect", name) }, swatch, h("span", {}, name), h("kbd", {}, index + 1));
  });
  const unsure = button("unsure", "U", "not_inspected", t("review.unsure"), () => mark("unsure"));
  const previous = h("button", { class: "quiet" }, icon("back"), t("review.previous"));
  const skip = h("button", { class: "quiet" }, t("review.skip"), icon("next"));
  return {
    skip, previous,
    disable: () => [...labels, ...classes, unsure].forEach((each) => { each.disabled = true; }),
    element: h("div", { class: "marks" }, h("div", { class: "two" }, labels), h("h3", {}, t("review.which")), h("div", { class: "classes" }, classes),
      unsure, h("div", { class: "row between" }, previous, skip)),
  };
}

function loginNote(refresh) {
  return h("p", { class: "panel note" }, t("review.login"), h("button", { class: "primary", onclick: async () => { if (await askForLogin()) refresh(); } }, t("top.login")));
}
