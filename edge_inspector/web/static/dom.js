// Elements without markup in strings: what comes from outside can only become text.

import { at } from "./place.js";

const SVG = "http://www.w3.org/2000/svg";

function fill(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if ((name === "href" || name === "src") && value.startsWith("/")) element.setAttribute(name, at(value));
    else element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

/** Add children; what is null or false is left out. */
export const put = (element, ...children) => fill(element, {}, children);

/** An HTML element: h("p", {class: "note", onclick: act}, "text", child). */
export function h(tag, attributes = {}, ...children) {
  return fill(document.createElement(tag), attributes, children);
}

/** The same for SVG. */
export function s(tag, attributes = {}, ...children) {
  return fill(document.createElementNS(SVG, tag), attributes, children);
}

/** An icon of our own, by name; the text beside it says the same. */
export function icon(name, extra = "") {
  return s("svg", { class: `icon ${extra}`, viewBox: "0 0 24 24", "aria-hidden": "true" }, s("path", { d: PATHS[name] }));
}

/** A short message that goes by itself. */
export function toast(text, bad = false) {
  const place = document.getElementById("toast");
  place.textContent = text;
  place.className = bad ? "shown bad" : "shown";
  clearTimeout(toast.timer);
  toast.timer = setTimeout(() => { place.className = ""; }, 3500);
}

const PATHS = {
  accept: "M4 12.5l5.5 5.5L20 7",
  reject: "M6 6l12 12M18 6L6 18",
  not_inspected: "M8.5 9a3.5 3.5 0 1 1 5 3.2c-1 .6-1.5 1.2-1.5 2.3M12 18.5v.5",
  open: "M12 6v6l4 2",
  warn: "M12 4l9 16H3zM12 10v4.5M12 17v.5",
  stop: "M8 3h8l5 5v8l-5 5H8l-5-5V8zM8 12h8",
  wait: "M12 3a9 9 0 1 0 9 9M12 7v5l3 3",
  plus: "M12 5v14M5 12h14",
  minus: "M5 12h14",
  up: "M5 15l7-7 7 7",
  fit: "M4 9V4h5M20 9V4h-5M4 15v5h5M20 15v5h-5",
  mask: "M3 12s3.5-6 9-6 9 6 9 6-3.5 6-9 6-9-6-9-6zM12 9a3 3 0 1 0 0 6 3 3 0 0 0 0-6",
  back: "M15 5l-7 7 7 7",
  next: "M9 5l7 7-7 7",
  again: "M19 8a8 8 0 1 0 1 5M20 3v5h-5",
  bell: "M6 16V11a6 6 0 0 1 12 0v5l2 2H4zM10 21h4",
  mute: "M6 16V11a6 6 0 0 1 12 0v5l2 2H4zM10 21h4M3 3l18 18",
  flag: "M6 21V4h11l-2 4 2 4H6",
  load: "M12 4v11M7 10l5 5 5-5M4 20h16",
  pen: "M4 20l1-5L16 4l4 4L9 19zM13 7l4 4",
  user: "M12 12a4 4 0 1 0 0-8 4 4 0 0 0 0 8zM4 21c1-5 4-7 8-7s7 2 8 7",
  light: "M12 8a4 4 0 1 0 0 8 4 4 0 0 0 0-8zM12 2v3M12 19v3M2 12h3M19 12h3M5 5l2 2M17 17l2 2M19 5l-2 2M7 17l-2 2",
  dark: "M20 14.5A8.5 8.5 0 0 1 9.5 4 8.5 8.5 0 1 0 20 14.5z",
  auto: "M12 3a9 9 0 1 0 0 18zM12 3a9 9 0 0 1 0 18",
};

export const DECISIONS = { 0: "open", 1: "accept", 2: "reject", 3: "not_inspected" };
