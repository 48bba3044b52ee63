// The belt to scale: parts where they are, moved on between two messages with the belt's speed.

import { DECISIONS, h, s } from "./dom.js";
import { number, t } from "./texts.js";

const HEIGHT = 132;
const TOP = 44;
const BAND = 62;
const GLYPHS = { open: "", accept: "✓", reject: "✕", not_inspected: "?" };
const NUMBER_PX = 36; // on shorter parts the numbers would run into each other
const NEAR_PX = 64; // cameras closer than this share a label

export class Belt {
  constructor(station) {
    this.station = station;
    this.from = -station.part_length_mm * 1.4;
    this.to = station.gate_mm + station.part_length_mm * 1.6;
    this.parts = new Map();
    this.speed = 0;
    this.heard = performance.now();
    this.speedText = h("span", { class: "speed" });
    this.svg = s("svg", { class: "beltline", height: HEIGHT, role: "img", "aria-label": t("live.belt") });
    this.element = h("section", { class: "panel belt" }, h("h2", {}, t("live.belt"), this.speedText), this.svg);
    this.sized = new ResizeObserver(() => this.draw());
    this.sized.observe(this.svg);
    this.still = matchMedia("(prefers-reduced-motion: reduce)");
    this.next = requestAnimationFrame(() => this.animate());
  }

  end() {
    cancelAnimationFrame(this.next);
    this.sized.disconnect();
  }

  lost() {
    this.speed = 0;
    this.svg.classList.add("unknown");
    this.speedText.textContent = "";
  }

  take({ belt }) {
    this.heard = performance.now();
    this.speed = belt.speed;
    this.svg.classList.toggle("unknown", !belt.known);
    this.speedText.textContent = !belt.known ? t("live.position_unknown")
      : Math.abs(belt.speed) < 5 ? t("live.standing") : t("live.speed", { n: number(belt.speed / 1000, 2) });
    const gone = new Set(this.parts.keys());
    for (const { n, x, d } of belt.parts) {
      gone.delete(n);
      const part = this.parts.get(n) ?? this.enter(n);
      part.x = x;
      this.decide(part, DECISIONS[d]);
    }
    for (const n of gone) {
      this.parts.get(n).element.remove();
      this.parts.delete(n);
    }
    if (this.still.matches) this.place(0);
  }

  enter(n) {
    const glyph = s("text", { class: "glyph", y: TOP + BAND / 2, "text-anchor": "middle", "dominant-baseline": "central" });
    const body = s("rect", { y: TOP + 8, height: BAND - 16, rx: 5 });
    const label = s("text", { class: "number", y: TOP + BAND + 15, "text-anchor": "middle" }, String(n));
    const part = { element: s("g", { class: "part open", "data-part": n }, body, glyph, label), body, glyph, label, kind: "open" };
    this.parts.set(n, part);
    this.moving?.append(part.element);
    this.size(part);
    return part;
  }

  decide(part, kind) {
    if (part.kind === kind) return;
    part.kind = kind;
    part.element.setAttribute("class", `part ${kind}`);
    part.glyph.textContent = GLYPHS[kind];
  }

  size(part) {
    const long = this.station.part_length_mm * (this.scale ?? 1);
    part.body.setAttribute("x", -long);
    part.body.setAttribute("width", long);
    part.glyph.setAttribute("x", -long / 2);
    part.label.setAttribute("x", -long / 2);
    part.label.toggleAttribute("hidden", long < NUMBER_PX);
  }

  animate() {
    if (!this.still.matches) this.place((performance.now() - this.heard) / 1000);
    this.next = requestAnimationFrame(() => this.animate());
  }

  place(sinceS) {
    const on = this.speed * Math.min(sinceS, 1);
    for (const part of this.parts.values()) part.element.setAttribute("transform", `translate(${this.at(part.x + on).toFixed(1)} 0)`);
  }

  at(mm) { return (mm - this.from) * this.scale; }

  draw() {
    const width = this.svg.clientWidth;
    if (!width) return;
    this.scale = width / (this.to - this.from);
    this.moving = s("g", {}, [...this.parts.values()].map((part) => part.element));
    const { gate_mm: gate, decision_mm: decision } = this.station;
    this.svg.replaceChildren(
      s("rect", { class: "band", x: 0, y: TOP, width, height: BAND }),
      s("rect", { class: "late", x: this.at(decision), y: TOP, width: this.at(gate) - this.at(decision), height: BAND }),
      this.post("eye", 0, t("live.eye")), this.post("decide", decision, t("live.decide"), "end"),
      ...this.cameras().map(({ mm, names }) => this.post("camera", mm, names.join(" · "))),
      s("path", { class: "arrow", d: `M8 ${TOP + BAND / 2}h30m-9 -8l9 8l-9 8` }), // parts pass over it
      this.moving, this.post("gate", gate, t("live.gate"), "start"));
    for (const text of this.svg.querySelectorAll(".post text")) within(text, width);
    for (const part of this.parts.values()) this.size(part);
    this.place(0);
  }

  post(kind, mm, text, anchor = "middle") {
    const x = this.at(mm);
    const aside = { middle: 0, end: -4, start: 4 }[anchor];
    return s("g", { class: `post ${kind}` },
      s("line", { x1: x, x2: x, y1: TOP - 16, y2: TOP + BAND + (kind === "camera" ? -BAND : 4) }),
      kind === "camera" ? s("path", { class: "lens", d: `M${x - 13} ${TOP - 22}h26v14h-26zM${x - 6} ${TOP - 8}h12l3 8h-18z` }) : null,
      s("text", { x: x + aside, y: TOP - 28, "text-anchor": anchor }, text));
  }

  cameras() {
    const groups = [];
    for (const { name, offset_mm: mm } of [...this.station.cameras].sort((a, b) => a.offset_mm - b.offset_mm)) {
      const last = groups.at(-1);
      if (last && (mm - last.mm) * this.scale < NEAR_PX) last.names.push(name);
      else groups.push({ mm, names: [name] });
    }
    return groups;
  }
}

/** Move a post's name so that no end of it leaves the picture. */
function within(text, width) {
  const { x, width: long } = text.getBBox();
  const by = Math.max(0, 2 - x) - Math.max(0, x + long - (width - 2));
  if (by) text.setAttribute("x", Number(text.getAttribute("x")) + by);
}
