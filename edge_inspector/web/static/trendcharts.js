// The charts of the trends page: rate with control limits, bars, heat map, reserve. All are drawn in SVG and print well.

import { h, icon, s } from "./dom.js";
import { className, clock, moment, number, t } from "./texts.js";

const WIDE = matchMedia("(max-width: 40rem)").matches ? 340 : 560; // on a phone the writing keeps its size
const HIGH = 170;
const LEFT = 44;
const FOOT = 20;
const NEAR = 20; // to an end of the axis: there a label would be cut off
const DAY_S = 86400;
const BARS = 8;
const FEW = 5; // so many in one place are drawn in full colour at the earliest: one alone is no hot spot

const percent = (share, digits = 1) => t("unit.percent", { n: number(100 * share, digits) });

/** Marks below the axis: at most six, so that none runs into another. */
function axis(points, x, withDay) {
  const every = Math.ceil(points.length / 6);
  const anchor = (place) => (place < LEFT + NEAR ? "start" : place > WIDE - NEAR ? "end" : "middle");
  return points.filter((_, at) => at % every === 0).map(({ utc }, at) => s("text", { x: x(at * every), y: HIGH - 4, "text-anchor": anchor(x(at * every)) }, withDay ? moment(utc, true).slice(0, 5) : clock(utc)));
}

/** The reject rate of one product, and the range in which chance keeps it. */
export function rateChart({ intervals }, widthS) {
  const points = intervals.filter(({ accept, reject }) => accept + reject > 0).map((each) => ({ ...each, rate: each.reject / (each.accept + each.reject) }));
  if (!points.length) return h("p", { class: "empty" }, t("trends.nothing"));
  const most = Math.min(1, Math.max(0.01, ...points.map(({ rate, high }) => Math.max(rate, high))) * 1.08);
  const x = (at) => (points.length === 1 ? (LEFT + WIDE) / 2 : LEFT + 6 + (at / (points.length - 1)) * (WIDE - LEFT - 12));
  const y = (share) => 6 + (1 - share / most) * (HIGH - FOOT - 12);
  const out = points.filter(({ rate, low, high }) => rate < low || rate > high);
  const line = (of) => points.map((point, at) => `${x(at)},${y(of(point))}`);
  const said = out.length ? t("trends.out", { n: number(out.length), m: number(points.length) }) : t(points.length > 1 ? "trends.in" : "trends.single");
  const area = points.length === 1 ? `${LEFT},${y(points[0].high)} ${WIDE},${y(points[0].high)} ${WIDE},${y(points[0].low)} ${LEFT},${y(points[0].low)}`
    : [...line(({ high }) => high), ...line(({ low }) => low).reverse()].join(" ");
  return [
    s("svg", { class: "chart trend", viewBox: `0 0 ${WIDE} ${HIGH}`, role: "img", "aria-label": said },
      s("polygon", { class: "within", points: area }),
      s("line", { class: "centre", x1: LEFT, x2: WIDE, y1: y(points[0].centre), y2: y(points[0].centre) }),
      s("polyline", { points: line(({ rate }) => rate).join(" ") }),
      points.map(({ rate, low, high }, at) => s("circle", { class: rate < low || rate > high ? "out" : "", cx: x(at), cy: y(rate), r: rate < low || rate > high ? 5 : 3 })),
      [0, most / 2, most].map((share) => s("text", { class: "scale", x: LEFT - 5, y: y(share) + 4, "text-anchor": "end" }, percent(share, most < 0.05 ? 1 : 0))),
      axis(points, x, widthS * points.length > 2 * DAY_S)),
    h("p", { class: out.length ? "said out" : "said" }, out.length ? icon("warn") : null, said),
  ];
}

/** Names and numbers of parts, most first. */
export function pareto(rows) {
  const most = Math.max(...rows.map(({ parts }) => parts));
  return h("ol", { class: "pareto" }, rows.slice(0, BARS).map(({ name, parts, colour }) => {
    const bar = h("span", { class: "fill" });
    bar.style.width = `${(100 * parts) / most}%`;
    if (colour) bar.style.background = colour;
    return h("li", {}, h("span", { class: "name", title: name }, name), h("span", { class: "track" }, bar), h("b", {}, number(parts)));
  }));
}

/** Where defects lie in each camera's view. Many at one place look like a mark of a roller or a tool. */
export function heatMaps({ square_mm: square, views, cells }, station) {
  const names = [...new Set(cells.map((cell) => cell.class))].sort();
  const maps = h("div", { class: "maps" });
  const choice = h("select", { onchange: draw }, h("option", { value: "" }, t("parts.any")), names.map((name) => h("option", { value: name }, className(name))));
  function draw() {
    maps.replaceChildren(...station.cameras.map(({ name }) => oneMap(name, cells.filter((cell) => cell.camera === name && (!choice.value || cell.class === choice.value)), views[name], square)));
  }
  draw();
  return [h("label", { class: "no-print" }, t("parts.class"), choice), maps];
}

function oneMap(camera, cells, size, square) {
  const sums = new Map();
  for (const { x, y, n } of cells) sums.set(`${x},${y}`, (sums.get(`${x},${y}`) ?? 0) + n);
  const wide = Math.max(1, Math.ceil((size?.[0] ?? 0) / square), ...cells.map(({ x }) => x + 1));
  const high = Math.max(1, Math.ceil((size?.[1] ?? 0) / square), ...cells.map(({ y }) => y + 1));
  const most = Math.max(1, ...sums.values());
  const total = [...sums.values()].reduce((sum, n) => sum + n, 0);
  const said = total ? t("trends.place_most", { n: number(most), m: number(total) }) : t("live.no_defects");
  return h("figure", { class: "map" }, s("svg", { viewBox: `0 0 ${wide} ${high}`, role: "img", "aria-label": `${camera}: ${said}` },
    s("rect", { class: "view", width: wide, height: high }),
    [...sums].map(([place, n]) => {
      const [x, y] = place.split(",");
      const cell = s("rect", { class: "heat", x, y, width: 1, height: 1 }, s("title", {}, number(n)));
      cell.style.opacity = 0.2 + (0.8 * n) / Math.max(most, FEW);
      return cell;
    })), h("figcaption", {}, h("b", {}, camera), " ", said));
}

/** The least and the mean time between decision and gate. */
export function reserveChart(reserves) {
  const most = Math.max(1, ...reserves.map(({ mean_ms: mean }) => mean)) * 1.1;
  const least = Math.min(0, ...reserves.map(({ least_ms: ms }) => ms));
  const x = (at) => (reserves.length === 1 ? (LEFT + WIDE) / 2 : LEFT + 6 + (at / (reserves.length - 1)) * (WIDE - LEFT - 12));
  const y = (ms) => 6 + ((most - ms) / (most - least)) * (HIGH - FOOT - 12);
  const lowest = Math.min(...reserves.map(({ least_ms: ms }) => ms));
  const line = (of) => reserves.map((each, at) => `${x(at)},${y(of(each))}`).join(" ");
  return [
    s("svg", { class: "chart trend", viewBox: `0 0 ${WIDE} ${HIGH}`, role: "img", "aria-label": t("trends.least", { n: number(lowest) }) },
      s("polyline", { class: "mean", points: line(({ mean_ms: ms }) => ms) }), s("polyline", { points: line(({ least_ms: ms }) => ms) }),
      reserves.map(({ least_ms: ms }, at) => s("circle", { class: ms < 0 ? "out" : "", cx: x(at), cy: y(ms), r: 3 })),
      [0, most / 2, most].map((ms) => s("text", { class: "scale", x: LEFT - 5, y: y(ms) + 4, "text-anchor": "end" }, number(ms))),
      axis(reserves, x, false)),
    h("p", { class: lowest < 0 ? "said out" : "said" }, t("trends.least", { n: number(lowest) })),
  ];
}
