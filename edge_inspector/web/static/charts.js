// Two small charts, readable from afar.

import { stationNow } from "./clock.js";
import { h, s } from "./dom.js";
import { className, clock, compact, hourOf, number, t } from "./texts.js";

const BARS = 6;

/** Defect classes by the number of parts that have them, most first. */
export function pareto(classes, known) {
  if (!classes.length) return h("p", { class: "empty" }, t("live.no_defects"));
  const most = classes[0].parts;
  const colours = Object.fromEntries(known.map(({ name, colour }) => [name, colour]));
  return h("ol", { class: "pareto" }, classes.slice(0, BARS).map(({ name, parts }) => {
    const bar = h("span", { class: "fill" });
    bar.style.width = `${(100 * parts) / most}%`;
    bar.style.background = colours[name] ?? "";
    return h("li", {}, h("span", { class: "name", title: className(name) }, className(name)), h("span", { class: "track" }, bar), h("b", {}, number(parts)));
  }));
}

/** Twelve columns, one per hour; what was not accepted stands on top. */
export function perHour(hours) {
  const width = 360, height = 92, foot = 20, head = 16;
  const first = stationNow();
  first.setUTCMinutes(0, 0, 0);
  first.setUTCHours(first.getUTCHours() - 11);
  const columns = Array.from({ length: 12 }, (_, index) => {
    const utc = new Date(first.getTime() + index * 3600e3);
    return { ...hours.find((hour) => Math.abs(new Date(hour.utc) - utc) < 1800e3), utc };
  });
  const total = (column) => (column.accept ?? 0) + (column.reject ?? 0) + (column.not_inspected ?? 0);
  const most = Math.max(1, ...columns.map(total));
  const step = width / 12;
  const drawn = columns.map((column, index) => {
    let y = height - foot;
    const parts = ["accept", "reject", "not_inspected"].map((kind) => {
      const high = ((column[kind] ?? 0) / most) * (height - foot - head);
      y -= high;
      return s("rect", { class: kind, x: index * step + 3, y, width: step - 6, height: high });
    });
    const sum = total(column);
    return [parts, sum ? s("text", { class: "sum", x: (index + 0.5) * step, y: y - 4, "text-anchor": "middle" }, compact(sum)) : null,
      index % 2 ? s("text", { x: (index + 0.5) * step, y: height - 4, "text-anchor": "middle" }, hourOf(column.utc)) : null];
  });
  const spoken = columns.filter(total).map((column) => `${clock(column.utc)}: ${total(column)}`).join(", ");
  return s("svg", { class: "hours", viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": `${t("live.hours")}: ${spoken}` },
    s("line", { x1: 0, x2: width, y1: height - foot + 0.5, y2: height - foot + 0.5 }), drawn);
}
