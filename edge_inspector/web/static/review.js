// The parts that the model was not sure of, one after the other: one key says what a person sees.

import { get, may } from "./api.js";
import { stationNow } from "./clock.js";
import { h, icon, put } from "./dom.js";
import { askForLogin } from "./login.js";
import { markButtons, markOfKey, markPart } from "./marks.js";
import { defects, drawLink } from "./part.js";
import { unfinished, UPLOADED } from "./runs.js";
import { moment, number, t } from "./texts.js";
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
  put(main, h("div", { class: "heading" }, h("h1", {}, t("review.title")), left, await foundByPeople(), may("reviewer") ? h("a", { class: "button quiet", href: "/uploads" }, t("uploads.title")) : null, may("admin") ? h("a", { class: "button quiet", href: "/teach" }, t("teach.title")) : null), intro, unfinishedNote(station),
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
    marks.draw.replaceChildren(drawLink(views, part, "review") ?? "");
    found.replaceChildren(defects(part));
  }

  async function mark(label, defectClass = "") {
    const row = shown;
    if (!row || busy || !may("reviewer")) return;
    busy = true;
    if (await markPart(row, label, defectClass)) {
      if (shown === row) await step(1);
    }
    busy = false;
  }

  function step(by) {
    at = Math.min(queue.length, Math.max(0, at + by));
    return show();
  }
  marks.skip.addEventListener("click", () => step(1));
  marks.previous.addEventListener("click", () => step(-1));

  const keys = (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.target.closest("input, select, dialog")) return;
    const said = markOfKey(event, station);
    const does = { r: () => marks.draw.querySelector("a")?.click(), s: () => step(1), arrowright: () => step(1), arrowleft: () => step(-1) }[event.key.toLowerCase()];
    if (does && event.repeat) return; // a key that is held goes on by one part
    if (said) mark(...said);
    else if (does) does();
    else if (!views.viewer.key(event.key)) return;
    event.preventDefault();
  };
  document.addEventListener("keydown", keys);
  return () => document.removeEventListener("keydown", keys);
}

function marksOf(station, mark) {
  const { elements, disable } = markButtons(station, mark);
  const previous = h("button", { class: "quiet" }, icon("back"), t("review.previous"));
  const skip = h("button", { class: "quiet" }, t("review.skip"), icon("next"));
  const draw = h("div", {});
  return { skip, previous, disable, draw, element: h("div", { class: "marks" }, elements, draw, h("div", { class: "row between" }, previous, skip)) };
}

/** Drawings that this browser keeps because they were not stored, for example because the login ended. */
function unfinishedNote(station) {
  const drafts = unfinished(station);
  return drafts.length ? h("p", { class: "panel note unfinished" }, t("draw.left"), h("span", { class: "row" }, drafts.map(({ id, part, camera }) =>
    camera === UPLOADED ? h("a", { class: "button", href: `/uploads/${id}/draw` }, t("uploads.name"))
      : h("a", { class: "button", href: `/parts/${id}/draw?${new URLSearchParams({ camera, from: "review" })}` }, `${t("part.name", { n: part })} · ${camera}`)))) : null;
}

function loginNote(refresh) {
  return h("p", { class: "panel note" }, t("review.login"), h("button", { class: "primary", onclick: async () => { if (await askForLogin()) refresh(); } }, t("top.login")));
}

/** How often people found the station wrong in the last 30 days. */
async function foundByPeople() {
  try {
    const since = new Date(stationNow() - 30 * 86400e3).toISOString();
    const { quality } = await get(`/api/quality?${new URLSearchParams({ since })}`);
    const sum = (name) => number(quality.reduce((total, each) => total + each[name], 0));
    return h("p", { class: "found" }, t("quality.short", { n: sum("judged"), escapes: sum("escapes"), rejects: sum("false_rejects") }), " ", h("a", { href: "/trends" }, t("quality.more")));
  } catch {
    return null; // the page is for marking; it works without this line
  }
}
