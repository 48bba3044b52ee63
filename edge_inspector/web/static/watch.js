// Does the line still look as it did, what would the second model say, is it guarded: three panels of the health page.

import { driftText } from "./conditions.js";
import { h, icon, s } from "./dom.js";
import { moment, number, t } from "./texts.js";

const WIDTH = 360;
const HEIGHT = 96;

const percent = (share) => t("unit.percent", { n: number(100 * share, 1) });

/** Whether pictures without a part are refused, and how far the teaching is. */
export function guardPanel({ taught, teaching, parts, wanted }) {
  if (teaching) return h("p", { role: "status" }, t("guard.teaching", { n: number(parts), m: number(wanted) }));
  return h("p", { class: taught ? "fine" : "off" }, icon(taught ? "accept" : "warn"), t(taught ? "guard.taught" : "guard.none"));
}

/** What the drift watch sees; without a reference, how to get one. */
export function driftPanel(now) {
  if (now === null) return [h("p", { class: "empty" }, t("drift.none")), h("p", {}, h("code", {}, "edge-inspector reference"))];
  const learnt = h("p", { class: "empty" }, t("drift.learnt", { n: number(now.parts), from: moment(now.since, true), to: moment(now.until, true) }));
  if (!now.chart.length) return [h("p", {}, t("drift.waits")), learnt];
  return [h("h3", {}, t("drift.chart")), controlChart(now.chart), h("h3", {}, t("drift.index", { n: number(now.limit, 2) })), indices(now), learnt];
}

function controlChart(chart) {
  const last = chart.at(-1);
  const out = last.rate < last.low || last.rate > last.high;
  const most = Math.max(...chart.map(({ rate, high }) => Math.max(rate, high)), 0.01) * 1.1;
  const x = (at) => (chart.length === 1 ? WIDTH / 2 : (at / (chart.length - 1)) * (WIDTH - 12) + 6);
  const y = (share) => HEIGHT - 4 - (share / most) * (HEIGHT - 8);
  const said = t(out ? "drift.out" : "drift.in", { n: percent(last.rate), low: percent(last.low), high: percent(last.high) });
  return [
    s("svg", { class: "chart", viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "img", "aria-label": `${t("drift.chart")}: ${said}` },
      s("rect", { class: "within", x: 0, width: WIDTH, y: y(last.high), height: Math.max(1, y(last.low) - y(last.high)) }),
      s("polyline", { points: chart.map(({ rate }, at) => `${x(at)},${y(rate)}`).join(" ") }),
      chart.map(({ rate, low, high }, at) => s("circle", { class: rate < low || rate > high ? "out" : "", cx: x(at), cy: y(rate), r: at === chart.length - 1 ? 5 : 3 }))),
    h("p", { class: out ? "said out" : "said" }, icon(out ? "warn" : "accept"), said),
  ];
}

function indices({ indices: found, limit }) {
  return h("ol", { class: "pareto drifts" }, found.slice(0, 8).map(({ subject, quantity, index }) => {
    const bar = h("span", { class: index > limit ? "fill out" : "fill" });
    bar.style.width = `${Math.min(100, (50 * index) / limit)}%`; // the limit is in the middle
    return h("li", {}, h("span", { class: "name" }, driftText(`${subject} ${quantity}`)),
      h("span", { class: "track" }, bar), h("b", {}, index > limit ? icon("warn") : null, number(index, 2)));
  }));
}

/** How often the second model would have said otherwise, and of which parts last. */
export function shadowPanel({ model, views, share, objections }) {
  const all = views.agrees + views.rejects + views.accepts;
  const fact = (name, value) => [h("dt", {}, t(`shadow.${name}`)), h("dd", {}, value)];
  return [
    h("dl", {}, fact("model", model), fact("share", share === null ? "–" : percent(share)), fact("views", number(all)),
      fact("rejects", number(views.rejects)), fact("accepts", number(views.accepts))),
    objections.length ? [h("h3", {}, t("shadow.last")), h("ul", { class: "plain" }, objections.map(({ utc, camera, opinion, part }) =>
      h("li", { class: "row between" }, h("span", {}, `${moment(utc)} · ${camera} · ${t(`shadow.${opinion}`)}`),
        part === null ? null : h("a", { href: `/parts/${part}` }, t("shadow.part")))))] : h("p", { class: "empty" }, t(all ? "shadow.none" : "shadow.waits")),
    h("p", { class: "empty" }, t("shadow.how"), " ", h("code", {}, "edge-inspector shadow promote")),
  ];
}
