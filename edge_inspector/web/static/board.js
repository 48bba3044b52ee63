// A picture to draw on: brush, eraser and polygon, undo, zoom. One finger draws, two fingers zoom and move.

import { h, s } from "./dom.js";
import { packed, unpacked } from "./runs.js";
import { Viewer } from "./viewer.js";

const UNDO = 30;
const OPAQUE = 130;
const CLOSE_PX = 16; // so near to its first corner a polygon is closed

export class Board extends Viewer {
  constructor() {
    super();
    this.canvas = h("canvas", { class: "layer drawn" });
    this.ring = s("svg", { class: "ring", viewBox: "0 0 100 100", "aria-hidden": "true" }, s("circle", { cx: 50, cy: 50, r: 49 }));
    this.mask.replaceWith(this.canvas);
    this.mask = this.canvas;
    this.stage.append(this.ring);
    this.stage.classList.add("board");
    Object.assign(this, { tool: "brush", chosen: 1, size: 12, hasMask: true, locked: true, corners: [], past: [], future: [], colours: [], onchange: () => {} });
  }

  /** Show a picture and what is drawn on it. */
  load(image, told, alt) {
    this.picture.alt = alt;
    this.picture.src = image;
    Object.assign(this, { wide: told.width, high: told.height, past: [], future: [] });
    this.canvas.width = told.width;
    this.canvas.height = told.height;
    this.pixels = unpacked(told.runs, told.width * told.height);
    this.locked = false;
    this.fit();
    this.paint();
  }

  /** Colours of the classes, from number 1, as #rrggbb. */
  set classes(colours) {
    this.colours = colours.map((text) => [1, 3, 5].map((at) => parseInt(text.slice(at, at + 2), 16)));
    if (this.pixels) this.paint();
  }

  get runs() { return packed(this.pixels); }

  /** Replace all of it. Undo brings back what was there. */
  replace(runs) {
    this.remember();
    this.pixels = unpacked(runs, this.wide * this.high);
    this.paint();
    this.onchange();
  }

  choose(tool) {
    this.tool = tool;
    this.corners = [];
    this.stage.dataset.tool = tool;
    if (this.pixels) this.paint();
  }

  undo() { this.step(this.past, this.future); }
  redo() { this.step(this.future, this.past); }

  step(from, to) {
    if (this.locked) return;
    if (this.corners.length && from === this.past) {
      this.corners.pop();
      return this.paint();
    }
    const pixels = from.pop();
    if (!pixels) return;
    to.push(this.pixels);
    this.pixels = pixels;
    this.paint();
    this.onchange();
  }

  remember() {
    this.past.push(this.pixels.slice());
    if (this.past.length > UNDO) this.past.shift();
    this.future = [];
  }

  /** From a place on the stage to one in the drawing. */
  inside([x, y]) {
    const { clientWidth: wide, clientHeight: high } = this.stage;
    const fits = Math.min(wide / this.wide, high / this.high);
    return [((x - this.x) / this.scale - (wide - this.wide * fits) / 2) / fits, ((y - this.y) / this.scale - (high - this.high * fits) / 2) / fits];
  }

  get pixelsPerPoint() {
    return 1 / (this.scale * Math.min(this.stage.clientWidth / this.wide, this.stage.clientHeight / this.high));
  }

  listen() {
    const place = (event) => {
      const box = this.stage.getBoundingClientRect();
      return [event.clientX - box.left, event.clientY - box.top];
    };
    this.stage.addEventListener("wheel", (event) => {
      event.preventDefault();
      this.zoom(event.deltaY < 0 ? 1.2 : 1 / 1.2, ...place(event));
    }, { passive: false });
    this.stage.addEventListener("contextmenu", (event) => event.preventDefault());
    this.stage.addEventListener("pointerdown", (event) => {
      if (this.locked || event.target.closest(".tools")) return;
      this.stage.setPointerCapture(event.pointerId);
      this.fingers.set(event.pointerId, place(event));
      if (this.fingers.size > 1) return this.cancel();
      this.moving = event.button > 0 || this.tool === "hand";
      if (!this.moving) this.begin(this.inside(place(event)));
    });
    this.stage.addEventListener("pointermove", (event) => {
      this.follow(place(event), event.pointerType);
      const before = this.fingers.get(event.pointerId);
      if (!before) return;
      const now = place(event);
      if (this.fingers.size > 1 || this.moving) this.drag(event.pointerId, before, now);
      else for (const each of event.getCoalescedEvents?.() ?? [event]) this.stroke(this.inside(place(each)));
      this.fingers.set(event.pointerId, now);
    });
    for (const end of ["pointerup", "pointercancel"]) {
      this.stage.addEventListener(end, (event) => {
        if (!this.fingers.delete(event.pointerId)) return;
        if (end === "pointercancel") this.cancel();
        else this.finish();
        if (this.fingers.size) this.moving = true; // the second finger of two draws nothing
      });
    }
    this.stage.addEventListener("pointerleave", () => { this.ring.style.display = "none"; });
  }

  drag(id, before, now) {
    const other = [...this.fingers].find(([each]) => each !== id)?.[1];
    if (!other) {
      this.x += now[0] - before[0];
      this.y += now[1] - before[1];
      return this.update();
    }
    const far = (point) => Math.hypot(point[0] - other[0], point[1] - other[1]);
    this.zoom(far(now) / Math.max(1, far(before)), (now[0] + other[0]) / 2, (now[1] + other[1]) / 2);
  }

  begin(point) {
    if (this.tool === "polygon") return this.corner(point);
    this.remember();
    this.last = null;
    this.drawing = true;
    this.stroke(point);
  }

  stroke(point) {
    if (!this.drawing) return;
    const from = this.last ?? point;
    const radius = this.size / 2;
    const steps = Math.max(1, Math.ceil(Math.hypot(point[0] - from[0], point[1] - from[1]) / Math.max(0.5, radius / 2)));
    for (let step = 0; step <= steps; step += 1) this.dab(from[0] + ((point[0] - from[0]) * step) / steps, from[1] + ((point[1] - from[1]) * step) / steps, radius);
    this.paint(Math.min(from[0], point[0]) - radius, Math.min(from[1], point[1]) - radius, Math.max(from[0], point[0]) + radius, Math.max(from[1], point[1]) + radius);
    this.last = point;
  }

  dab(x, y, radius) {
    const value = this.tool === "eraser" ? 0 : this.chosen;
    for (let row = Math.max(0, Math.floor(y - radius)); row <= Math.min(this.high - 1, Math.floor(y + radius)); row += 1) {
      const away = row + 0.5 - y;
      const half = Math.sqrt(Math.max(0, radius * radius - away * away));
      const begin = Math.max(0, Math.round(x - half));
      const end = Math.min(this.wide, Math.max(Math.round(x + half), Math.floor(x) + (radius < 1 ? 1 : 0)));
      if (begin < end) this.pixels.fill(value, row * this.wide + begin, row * this.wide + end);
    }
  }

  /** A second finger came, or the browser took the pointer away: what this stroke has drawn goes. */
  cancel() {
    if (this.drawing) {
      this.pixels = this.past.pop();
      this.paint();
    } else if (this.cornered) {
      this.corners.pop();
      this.paint();
    }
    this.drawing = this.cornered = false;
  }

  finish() {
    if (this.drawing) this.onchange();
    this.drawing = this.cornered = false;
  }

  corner(point) {
    const first = this.corners[0];
    if (first && this.corners.length > 2 && Math.hypot(point[0] - first[0], point[1] - first[1]) < CLOSE_PX * this.pixelsPerPoint) return this.close();
    this.corners.push(point);
    this.cornered = true;
    this.paint();
  }

  /** Fill the polygon. */
  close() {
    const corners = this.corners;
    this.corners = [];
    if (corners.length > 2) {
      this.remember();
      const filled = inkOf(corners, this.wide, this.high);
      for (let at = 0; at < this.pixels.length; at += 1) if (filled[4 * at + 3] > 127) this.pixels[at] = this.chosen;
      this.onchange();
    }
    this.paint();
  }

  follow([x, y], kind) {
    const width = this.size / this.pixelsPerPoint;
    const shown = kind !== "touch" && !this.locked && ["brush", "eraser"].includes(this.tool);
    Object.assign(this.ring.style, { display: shown ? "block" : "none", width: `${width}px`, height: `${width}px`, transform: `translate(${x - width / 2}px, ${y - width / 2}px)` });
  }

  /** Bring this part of the canvas up to date. */
  paint(left = 0, top = 0, right = this.wide, bottom = this.high) {
    const [x, y] = [Math.max(0, Math.floor(left) - 1), Math.max(0, Math.floor(top) - 1)];
    const [wide, high] = [Math.min(this.wide, Math.ceil(right) + 2) - x, Math.min(this.high, Math.ceil(bottom) + 2) - y];
    if (wide < 1 || high < 1) return;
    const ctx = this.canvas.getContext("2d");
    const image = ctx.createImageData(wide, high);
    for (let row = 0, to = 0; row < high; row += 1) {
      for (let column = 0, from = (y + row) * this.wide + x; column < wide; column += 1, to += 4, from += 1) {
        const colour = this.colours[this.pixels[from] - 1];
        if (colour) image.data.set([...colour, OPAQUE], to);
      }
    }
    ctx.putImageData(image, x, y);
    if (!this.corners.length) return;
    ctx.beginPath();
    for (const corner of this.corners) ctx.lineTo(...corner);
    ctx.lineWidth = Math.max(1, 2 * this.pixelsPerPoint);
    ctx.strokeStyle = "#ffc14d";
    ctx.stroke();
    for (const corner of this.corners) {
      ctx.beginPath();
      ctx.arc(...corner, 4 * this.pixelsPerPoint, 0, 7);
      ctx.fillStyle = "#ffc14d";
      ctx.fill();
    }
  }
}

/** The polygon as the browser fills it: four bytes for each pixel. */
function inkOf(corners, width, height) {
  const ctx = Object.assign(document.createElement("canvas"), { width, height }).getContext("2d");
  ctx.beginPath();
  for (const corner of corners) ctx.lineTo(...corner);
  ctx.fill();
  return ctx.getImageData(0, 0, width, height).data;
}
