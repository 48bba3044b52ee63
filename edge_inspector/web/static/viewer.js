// A picture with its mask over it, to zoom and move by wheel, keys, buttons, mouse and fingers.

import { h, icon } from "./dom.js";
import { at } from "./place.js";
import { t } from "./texts.js";

const MOST = 16;

export class Viewer {
  constructor() {
    this.picture = h("img", { class: "layer", alt: "", draggable: "false" });
    this.mask = h("img", { class: "layer mask", alt: "", draggable: "false", hidden: true });
    this.none = h("p", { class: "none", hidden: true }, t("part.not_kept"));
    this.stage = h("div", { class: "stage", tabindex: 0, role: "group", "aria-label": t("part.viewer") }, this.picture, this.mask, this.none);
    this.maskButton = this.button("mask", () => this.toggleMask());
    this.element = h("div", { class: "viewer" }, this.stage, h("div", { class: "tools" },
      this.button("zoom_in", () => this.zoom(1.5), "plus"), this.button("zoom_out", () => this.zoom(1 / 1.5), "minus"),
      this.button("zoom_fit", () => this.fit(), "fit"), this.maskButton));
    this.masked = true;
    this.fingers = new Map();
    this.listen();
    this.fit();
  }

  /** Show this view's picture; `alt` says what it is. */
  show(image, mask, alt) {
    this.none.hidden = true;
    this.picture.hidden = true; // until it is there: the one before is another part's
    this.picture.alt = alt;
    this.picture.onload = () => { this.picture.hidden = false; };
    this.picture.onerror = () => {
      this.picture.hidden = true;
      this.none.hidden = false;
    };
    this.picture.src = image;
    this.hasMask = false;
    this.mask.onload = () => { this.hasMask = true; this.update(); };
    this.mask.src = mask;
    this.fit();
  }

  toggleMask() {
    this.masked = !this.masked;
    this.update();
  }

  key(name) {
    const does = { "+": () => this.zoom(1.5), "-": () => this.zoom(1 / 1.5), 0: () => this.fit(), m: () => this.toggleMask(), M: () => this.toggleMask() }[name];
    does?.();
    return Boolean(does);
  }

  fit() {
    Object.assign(this, { scale: 1, x: 0, y: 0 });
    this.update();
  }

  zoom(by, atX = this.stage.clientWidth / 2, atY = this.stage.clientHeight / 2) {
    const next = Math.min(MOST, Math.max(1, this.scale * by));
    this.x = atX - ((atX - this.x) * next) / this.scale;
    this.y = atY - ((atY - this.y) * next) / this.scale;
    this.scale = next;
    this.update();
  }

  update() {
    const { clientWidth: wide, clientHeight: high } = this.stage;
    this.x = Math.min(0, Math.max(wide * (1 - this.scale), this.x));
    this.y = Math.min(0, Math.max(high * (1 - this.scale), this.y));
    for (const layer of [this.picture, this.mask]) {
      layer.style.transform = `translate(${this.x}px, ${this.y}px) scale(${this.scale})`;
      layer.classList.toggle("sharp", this.scale > 3);
    }
    this.mask.hidden = !(this.masked && this.hasMask);
    this.maskButton.setAttribute("aria-pressed", String(this.masked));
  }

  button(name, act, shape = name) {
    return h("button", { class: "quiet square", "aria-label": t(`part.${name}`), title: t(`part.${name}`), onclick: act }, icon(shape));
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
    this.stage.addEventListener("dblclick", (event) => (this.scale > 1 ? this.fit() : this.zoom(4, ...place(event))));
    this.stage.addEventListener("pointerdown", (event) => {
      this.stage.setPointerCapture(event.pointerId);
      this.fingers.set(event.pointerId, place(event));
    });
    for (const end of ["pointerup", "pointercancel"]) this.stage.addEventListener(end, (event) => this.fingers.delete(event.pointerId));
    this.stage.addEventListener("pointermove", (event) => {
      const before = this.fingers.get(event.pointerId);
      if (!before) return;
      const now = place(event);
      const other = [...this.fingers].find(([id]) => id !== event.pointerId)?.[1];
      if (other) {
        const far = (point) => Math.hypot(point[0] - other[0], point[1] - other[1]);
        this.zoom(far(now) / Math.max(1, far(before)), (now[0] + other[0]) / 2, (now[1] + other[1]) / 2);
      } else {
        this.x += now[0] - before[0];
        this.y += now[1] - before[1];
        this.update();
      }
      this.fingers.set(event.pointerId, now);
    });
  }
}

/** A part's views: one large, the others to choose from. */
export class Views {
  constructor() {
    this.viewer = new Viewer();
    this.tabs = h("div", { class: "views", role: "group", "aria-label": t("part.views") });
    this.element = h("div", { class: "lookat" }, this.viewer.element, this.tabs);
  }

  show(part) {
    const url = (camera, what) => at(`/api/parts/${part.id}/${encodeURIComponent(camera)}/${what}`);
    const worst = part.defects[0]?.camera ?? part.views.find((view) => view.doubtful)?.camera ?? part.views[0]?.camera;
    const choose = (camera) => {
      this.camera = camera;
      this.onchoose?.(camera);
      this.viewer.show(url(camera, "image"), url(camera, "mask"), t("part.view", { name: camera }));
      for (const tab of this.tabs.children) tab.setAttribute("aria-pressed", String(tab.dataset.camera === camera));
    };
    this.tabs.replaceChildren(...part.views.map(({ camera, failure }) => {
      const found = part.defects.filter((defect) => defect.camera === camera).length;
      return h("button", { class: "tab", "data-camera": camera, onclick: () => choose(camera) },
        h("b", {}, camera),
        failure !== "none" ? h("span", { class: "chip bad" }, icon("not_inspected"), t(`reason.${failure}`))
          : found ? h("span", { class: "chip bad" }, icon("reject"), found) : h("span", { class: "chip" }, icon("accept")));
    }));
    if (worst) choose(worst);
    else this.viewer.show("", "", "");
  }
}
