// What each camera sees at full size, how sharp and how light it is, what a change of it means, and its exposure and gain.

import { get, may, post } from "./api.js";
import { every } from "./clock.js";
import { h, icon, s, toast } from "./dom.js";
import { at } from "./place.js";
import { moment, number, t } from "./texts.js";

const EVERY_MS = 1000;
const MEANINGS = ["sharpness", "light", "bright", "exposure"];
const LABELS = { exposure_us: "cameras.exposure", gain: "cameras.gain" };
const HALF = 0.5; // of the best sharpness that this page has seen: then the lens is looked at

export async function mount({ main }) {
  const place = h("div", { class: "optics" });
  main.append(h("h1", {}, t("cameras.title")), h("p", {}, t("cameras.what")), place,
    h("details", { class: "panel means" }, h("summary", {}, t("cameras.means")), h("ul", {}, MEANINGS.map((name) => h("li", {}, t(`cameras.means.${name}`))))));
  const panels = new Map();
  const load = async () => {
    try {
      const { cameras } = await get("/api/cameras");
      for (const camera of cameras) {
        if (!panels.has(camera.name)) {
          panels.set(camera.name, cameraPanel(camera.name));
          place.append(panels.get(camera.name).element);
        }
        panels.get(camera.name).take(camera);
      }
    } catch (error) {
      if (!panels.size) place.replaceChildren(h("p", { class: "empty" }, t("error.failed", { why: error.message })));
    }
  };
  return every(EVERY_MS, load);
}

function cameraPanel(name) {
  const picture = h("img", { alt: t("live.camera_picture", { name }), hidden: true });
  const none = h("span", { class: "none" }, t("live.no_picture"));
  const mark = h("span", { class: "mark" });
  const when = h("span", { class: "when" });
  const curve = s("path", { class: "curve" });
  const figures = h("dl", {});
  const hints = h("div", { class: "hints", role: "status" });
  const full = h("button", { class: "quiet", onclick: () => glass.requestFullscreen?.() }, icon("fit"), t("cameras.full"));
  const glass = h("div", { class: "glass" }, picture, none);
  const differs = h("p", { class: "adjusted", role: "status", hidden: true });
  const form = h("div", {});
  let best = 0;
  let shown = null;
  let offered = false;
  return {
    element: h("section", { class: "panel optic" }, h("h2", { class: "row between" }, h("b", {}, name), mark, when, full), glass,
      h("div", { class: "beside" }, h("figure", {}, s("svg", { class: "histogram", viewBox: "0 0 64 24", preserveAspectRatio: "none", role: "img", "aria-label": t("cameras.histogram") }, curve), h("figcaption", {}, t("cameras.histogram"))), figures), hints, differs, form),
    take({ up, bad, picture: now, limits, drift, device, now: values, written, adjustment, adjustable }) {
      if (!offered && may("admin") && Object.keys(adjustable).length) form.replaceChildren(adjustForm({ device, values, adjustable }));
      offered = true;
      differs.hidden = !adjustment;
      const told = adjustment && t("cameras.adjusted", { values: Object.keys(adjustment.values).map((name) => `${t(LABELS[name])} ${number(written[name], 1)} → ${number(values[name], 1)}`).join(", "), name: adjustment.who, at: moment(adjustment.utc, true), why: adjustment.why });
      if (told && differs.textContent !== told) differs.replaceChildren(icon("warn"), told);
      mark.dataset.state = up && !bad ? "up" : "down";
      mark.replaceChildren(icon(up && !bad ? "accept" : "reject"), t(bad ? "cameras.bad" : up ? "link.up" : "link.down"));
      if (!now) return;
      if (now.frame !== shown) {
        shown = now.frame;
        picture.src = at(`/api/cameras/${encodeURIComponent(name)}/picture?${now.frame}`);
        picture.hidden = false;
        none.hidden = true;
      }
      best = Math.max(best, now.sharpness);
      when.textContent = moment(now.utc);
      curve.setAttribute("d", `M0 24${now.histogram.map((share, index) => `L${index} ${24 - 23 * share}`).join("")}L64 24z`);
      const percent = (share) => t("unit.percent", { n: number(100 * share, 1) });
      const rows = [["size", `${now.width} × ${now.height}`], ["sharpness", `${number(now.sharpness, 1)} (${t("cameras.best", { n: number(best, 1) })})`], ["light", `${number(now.brightness)} / 255`],
        ["dark", percent(now.dark)], ["saturated", percent(now.saturated)], ["exposure", now.exposure_us ? `${number(now.exposure_us)} µs` : null], ["gain", values.gain === undefined ? null : number(values.gain, 1)]];
      figures.replaceChildren(...rows.filter(([, value]) => value !== null).flatMap(([key, value]) => [h("dt", {}, t(`cameras.${key}`)), h("dd", {}, value)]));
      hints.replaceChildren(...hintsOf(now, { limits, drift, best }).map((key) => h("p", { class: "off" }, icon("warn"), t(`cameras.hint.${key}`))));
    },
  };
}

/** Exposure and gain of one camera, for an admin. A camera that takes several pictures of a part has one of each. */
function adjustForm({ device, values, adjustable }) {
  const inputs = Object.entries(adjustable).map(([name, [low, high]]) => ({ name, label: t(`cameras.adjust.${name}`, { low: number(low, low % 1 ? 1 : 0), high: number(high, high % 1 ? 1 : 0) }),
    input: h("input", { type: "number", name, min: low, max: high, step: "any", required: true, value: values[name] }) }));
  const why = h("input", { name: "why", maxlength: 300, required: true, autocomplete: "off" });
  const send = async (chosen) => {
    if (!why.reportValidity()) return;
    try {
      const { values: set } = await post(`/api/cameras/${encodeURIComponent(device)}/adjust`, { values: chosen, why: why.value });
      for (const { name, input } of inputs) input.value = set[name];
      why.value = "";
      toast(t("cameras.adjust.done", { name: device }));
    } catch (error) {
      toast(t("error.failed", { why: error.message }), true);
    }
  };
  return h("form", { class: "adjust", onsubmit: (event) => {
    event.preventDefault();
    send(Object.fromEntries(inputs.map(({ name, input }) => [name, Number(input.value)])));
  } }, h("h3", {}, t("cameras.adjust")), h("div", { class: "row command" }, inputs.map(({ label, input }) => h("label", {}, label, input)), h("label", { class: "comment" }, t("recipes.comment"), why),
    h("button", { class: "primary" }, t("cameras.adjust.set")), h("button", { type: "button", onclick: () => send(null) }, t("cameras.adjust.back"))), h("p", { class: "empty" }, t("cameras.adjust.warning")));
}

/** What the figures mean for the one who stands at the camera. */
function hintsOf({ sharpness, dark, saturated, age_s: age }, { limits, drift, best }) {
  const found = [];
  if (sharpness < Math.max(limits.min_sharpness, HALF * best)) found.push("blurred");
  if (dark > limits.max_dark * 0.9) found.push("dark");
  if (saturated > limits.max_saturated * 0.5) found.push("bright");
  if (drift.sharpness > 1 && drift.brightness > 1) found.push("dirty");
  else if (drift.sharpness > 1) found.push("moved");
  else if (drift.brightness > 1) found.push("light");
  if (age > 60) found.push("old");
  return found;
}
