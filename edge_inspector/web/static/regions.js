// The areas of each camera's picture that are judged or left out: rectangles and polygons, drawn or typed in millimetres.

import { h, icon, s } from "./dom.js";
import { at } from "./place.js";
import { number, t } from "./texts.js";

const KEYS = ["x_mm", "y_mm", "width_mm", "height_mm"];
const SMALLEST_MM = 1;

/** `regions()` are the areas by camera; a camera without one is judged as a whole. */
export function regionEditor({ cameras, regions, views, locked }) {
  const held = structuredClone(regions);
  const element = h("div", { class: "regions" });
  const editors = cameras.map((camera) => oneEditor({ camera, size: views[camera], held, locked, changed: () => element.dispatchEvent(new Event("change")) }));
  element.append(...editors.map((each) => each.element));
  return {
    element,
    // One rectangle alone is written as it always was, so that the recipe keeps its checksum.
    regions: () => Object.fromEntries(Object.entries(held).filter(([, areas]) => areas.length).map(([camera, areas]) => [camera, areas.length === 1 ? areas[0] : areas])),
    set(other) {
      for (const camera of Object.keys(held)) delete held[camera];
      for (const [camera, areas] of Object.entries(other)) held[camera] = [areas].flat();
      for (const each of editors) each.draw();
    },
    end() { for (const each of editors) each.end(); },
  };
}

function oneEditor({ camera, size, held, locked, changed }) {
  const [wide, high] = size ?? [100, 100];
  const shapes = s("g", {});
  const drawn = s("polyline", { class: "region" });
  const svg = s("svg", { viewBox: `0 0 ${wide} ${high}`, role: "img", "aria-label": t("recipes.region_of", { name: camera }) },
    size ? s("image", { href: at(`/api/cameras/${encodeURIComponent(camera)}/picture`), width: wide, height: high, preserveAspectRatio: "none" }) : null, shapes, drawn);
  const list = h("ul", { class: "plain areas" });
  const excluded = h("input", { type: "checkbox", disabled: locked });
  const kinds = ["rectangle", "polygon"].map((kind) => h("button", { type: "button", class: "quiet", disabled: locked, "data-kind": kind, onclick: () => choose(kind) }, t(`recipes.${kind}`)));
  const inputs = KEYS.map((key) => h("input", { type: "number", min: 0, step: "any", disabled: locked }));
  const typedCorners = h("input", { type: "text", inputmode: "text", autocomplete: "off", placeholder: "10,10 90,10 50,80", disabled: locked });
  const numbers = h("div", { class: "row numbers" }, KEYS.map((key, index) => h("label", {}, t(`recipes.${key}`), inputs[index])));
  const points = h("div", { class: "row numbers", hidden: true }, h("label", { class: "comment" }, t("recipes.corners"), typedCorners));
  const add = h("button", { type: "button", class: "quiet", disabled: locked, onclick: typed }, icon("plus"), t("recipes.add"));
  const help = h("p", { class: "empty" });
  let kind = "rectangle";
  let corners = [];

  function choose(name) {
    kind = name;
    corners = [];
    for (const button of kinds) button.setAttribute("aria-pressed", String(button.dataset.kind === kind));
    points.hidden = kind !== "polygon";
    numbers.hidden = !points.hidden;
    help.textContent = locked ? "" : t(`recipes.how_${kind}`);
    drawn.setAttribute("points", "");
  }
  function draw() {
    const areas = held[camera] ?? [];
    shapes.replaceChildren(...areas.map((area) => {
      const name = area.excluded ? "area excluded" : "area";
      return area.points_mm ? s("polygon", { class: name, points: area.points_mm.map((point) => point.join(",")).join(" ") })
        : s("rect", { class: name, x: area.x_mm, y: area.y_mm, width: area.width_mm, height: area.height_mm });
    }));
    list.replaceChildren(...(areas.length ? areas.map((area, index) => h("li", { class: "row between" }, h("span", {}, areaText(area)),
      locked ? null : h("button", { type: "button", class: "quiet square", "aria-label": t("recipes.remove", { n: index + 1 }), title: t("recipes.remove", { n: index + 1 }), onclick: () => { areas.splice(index, 1); draw(); changed(); } }, icon("reject"))))
      : [h("li", { class: "empty" }, t("recipes.whole"))]));
  }
  function keep(area) {
    (held[camera] ??= []).push(excluded.checked ? { ...area, excluded: true } : area);
    draw();
    changed();
  }
  function typed() {
    if (kind === "polygon") {
      const pairs = typedCorners.value.trim().split(/\s+/).map((pair) => pair.split(",").map(Number));
      if (pairs.length < 3 || pairs.some((pair) => pair.length !== 2 || pair.some((value) => !Number.isFinite(value) || value < 0))) return typedCorners.focus();
      typedCorners.value = "";
      return keep({ points_mm: pairs });
    }
    const values = inputs.map(({ value }) => (value === "" ? NaN : Number(value)));
    if (values.some(Number.isNaN) || values[2] <= 0 || values[3] <= 0) return inputs.find(({ value }) => value === "")?.focus();
    keep(Object.fromEntries(KEYS.map((key, index) => [key, values[index]])));
  }
  const place = (event) => {
    const { left, top, width, height } = svg.getBoundingClientRect();
    return [clamp((event.clientX - left) / width, wide), clamp((event.clientY - top) / height, high)];
  };
  let from = null;
  const rectangle = ([x, y]) => ({ x_mm: Math.min(x, from[0]), y_mm: Math.min(y, from[1]), width_mm: round(Math.abs(x - from[0])), height_mm: round(Math.abs(y - from[1])) });
  const show = (points) => drawn.setAttribute("points", points.map((point) => point.join(",")).join(" "));
  svg.addEventListener("pointerdown", (event) => {
    if (locked || !size) return;
    if (kind === "polygon") return corner(place(event));
    from = place(event);
    svg.setPointerCapture(event.pointerId);
  });
  /** One more corner; near the first one the polygon is closed. */
  function corner(point) {
    const first = corners[0];
    if (first && corners.length > 2 && Math.hypot(point[0] - first[0], point[1] - first[1]) < wide / 25) {
      keep({ points_mm: corners });
      corners = [];
    } else corners = [...corners, point];
    show(corners);
  }
  svg.addEventListener("pointermove", (event) => {
    if (!from) return;
    const { x_mm: x, y_mm: y, width_mm: w, height_mm: d } = rectangle(place(event));
    show([[x, y], [x + w, y], [x + w, y + d], [x, y + d], [x, y]]);
  });
  svg.addEventListener("pointerup", (event) => {
    if (!from) return;
    const area = rectangle(place(event));
    from = null;
    show([]);
    if (area.width_mm >= SMALLEST_MM && area.height_mm >= SMALLEST_MM) keep(area);
  });
  svg.addEventListener("pointercancel", () => { from = null; show([]); });
  choose(kind);
  draw();
  return {
    element: h("figure", { class: locked ? "locked" : null }, h("figcaption", {}, h("b", {}, camera), size ? ` ${number(wide)} × ${number(high)} mm` : ` ${t("live.no_picture")}`), svg,
      locked ? null : [h("div", { class: "row" }, kinds, h("label", { class: "check" }, excluded, t("recipes.excluded"))), help], list,
      locked ? null : [numbers, points, add]),
    draw,
    end() { from = null; },
  };
}

function areaText({ points_mm: points, excluded, ...area }) {
  const shape = points ? t("recipes.polygon_of", { n: number(points.length) }) : `${KEYS.map((key) => number(area[key])).join(" · ")} mm`;
  return excluded ? `${shape}, ${t("recipes.left_out")}` : shape;
}

const round = (mm) => Math.round(mm * 10) / 10;
const clamp = (share, length) => round(Math.min(1, Math.max(0, share)) * length);
