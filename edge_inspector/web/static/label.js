// Draw where a defect is. What the model saw is there already, and a person corrects it.

import { get, post } from "./api.js";
import { Board } from "./board.js";
import { h, icon, toast } from "./dom.js";
import { askForLogin, withRole } from "./login.js";
import { at } from "./place.js";
import { draftOf, UPLOADED } from "./runs.js";
import { className, clock, moment, t } from "./texts.js";

const SAVE_MS = 300;
const TOOLS = { brush: "b", eraser: "e", polygon: "p", hand: "h" };

export async function mount({ main, station, match, go, refresh }) {
  if (!(await withRole("reviewer"))) {
    main.append(h("p", { class: "panel note" }, t("review.login"), h("button", { class: "primary", onclick: async () => { if (await askForLogin()) refresh(); } }, t("top.login"))));
    return undefined;
  }
  const asked = new URLSearchParams(location.search);
  const own = match[0].includes("/uploads/"); // a picture of no part, that somebody has brought
  const from = own ? "/uploads" : asked.get("from") === "review" ? "/review" : `/parts/${match[1]}`;
  const back = h("a", { class: "button quiet", href: from }, icon("back"), t("draw.back"));
  let part, told, camera, server;
  try {
    part = own ? { id: match[1], utc: new Date(match[1] / 1000).toISOString(), views: [], defects: [] } : await get(`/api/parts/${match[1]}`);
    camera = own ? UPLOADED : asked.get("camera") ?? part.defects[0]?.camera ?? part.views[0]?.camera ?? "";
    server = serverOf(own ? `/api/uploads/${part.id}` : `/api/parts/${part.id}/${encodeURIComponent(camera)}`);
    told = await server.show();
  } catch (error) {
    main.append(back, h("p", { class: "empty" }, error.status === 404 ? t("draw.gone") : t("error.failed", { why: error.message })));
    return undefined;
  }
  const desk = new Desk({ station, own, part, camera, server, told, name: own ? t("uploads.name") : t("part.view", { name: camera }), leave: () => go(from) });
  main.append(h("div", { class: "heading" }, back, h("h1", {}, t("draw.title"), " ", h("small", {}, own ? t("uploads.name") : t("part.name", { n: part.part }))), h("span", { class: "when" }, moment(part.utc, true)), viewsOf(part, camera, asked)), desk.element);
  desk.start();
  return desk.listen();
}

const serverOf = (view) => ({
  picture: at(`${view}/drawing/picture`),
  show: () => get(`${view}/drawing`),
  begin: () => post(`${view}/drawing/begin`),
  store: (drawing) => post(`${view}/drawing`, drawing),
});

/** The part's other cameras. What was drawn here stays in the browser meanwhile. */
const viewsOf = (part, camera, asked) => (part.views.length < 2 ? null : h("nav", { class: "row", "aria-label": t("part.views") }, part.views.map((view) =>
  h("a", { class: "button tab", "aria-current": view.camera === camera ? "true" : null, href: `/parts/${part.id}/draw?${new URLSearchParams({ ...Object.fromEntries(asked), camera: view.camera })}` }, view.camera))));

class Desk {
  constructor(given) {
    Object.assign(this, given);
    this.draft = draftOf(this.station, this.part, this.camera);
    this.board = new Board();
    this.names = this.told.classes;
    this.version = this.told.version;
    this.says = h("p", { class: "says", role: "status" });
    this.bar = h("div", { class: "panel note", role: "alert", hidden: true });
    this.classes = h("div", { class: "classes" });
    this.save = h("button", { class: "primary", disabled: true, onclick: () => this.store() }, icon("accept"), t("draw.store"));
    this.element = h("div", { class: "columns part desk" }, h("div", { class: "wide panel" }, this.bar, this.board.element, this.tools()), h("div", { class: "side" }, h("section", { class: "panel judge" }, h("h2", {}, t("draw.what")), this.classes, this.another(), this.says,
      h("div", { class: "finish" }, this.save, h("button", { class: "quiet", onclick: () => this.board.locked || this.board.replace([0, this.told.width * this.told.height]) }, t("draw.nothing")))), h("p", { class: "keys" }, t("draw.keys"))));
    this.board.onchange = () => this.keepSoon();
  }

  start() {
    this.board.load(this.server.picture, this.told, this.name);
    this.showClasses();
    this.choose(this.told.runs.find((value, at) => at % 2 === 0 && value) ?? 1); // what is there is corrected
    this.use("brush");
    this.says.textContent = { drawing: t("draw.by", { name: this.told.by, when: moment(this.told.utc || this.part.utc, true) }), model: t("draw.model"), nothing: t(this.own ? "uploads.empty" : "draw.empty") }[this.told.from];
    this.save.disabled = false;
    this.tell();
    const draft = this.draft.read();
    if (draft?.width === this.told.width && draft.height === this.told.height) this.offer(draft);
  }

  /** Have the picture kept while it is drawn on, and hear who else draws. */
  async tell() {
    try {
      const { others } = await this.server.begin();
      if (others.length) toast(t("draw.others", { names: others.join(", ") }), true);
    } catch (error) {
      toast(t("error.failed", { why: error.message }), true);
    }
  }

  /** A drawing that was not stored: nobody draws over it before it is taken up or thrown away. */
  offer(draft) {
    this.board.locked = this.save.disabled = true;
    const done = () => { this.bar.hidden = true; this.board.locked = this.save.disabled = false; };
    this.ask(t("draw.unfinished", { when: clock(draft.saved) }), [
      [t("draw.go_on"), () => {
        this.names = draft.classes;
        this.version = draft.version;
        done();
        this.showClasses();
        this.board.replace(draft.runs);
      }, "primary"],
      [t("draw.discard"), () => { this.draft.drop(); done(); }],
    ]);
  }

  ask(text, choices) {
    this.bar.replaceChildren(h("span", {}, text), h("span", { class: "row" }, choices.map(([name, act, kind = "quiet"]) => h("button", { class: kind, onclick: act }, name))));
    this.bar.hidden = false;
  }

  tools() {
    const button = (name, key, act) => h("button", { class: "quiet tool", "data-tool": name, onclick: act, title: `${t(`draw.${name}`)} (${key.toUpperCase()})` }, t(`draw.${name}`), h("kbd", {}, key.toUpperCase()));
    this.toolButtons = Object.entries(TOOLS).map(([name, key]) => button(name, key, () => this.use(name)));
    this.size = h("input", { type: "range", min: 1, max: 120, value: this.board.size, "aria-label": t("draw.size"), oninput: () => { this.board.size = Number(this.size.value); } });
    this.closing = h("button", { class: "quiet", hidden: true, onclick: () => this.board.close() }, t("draw.close"));
    return h("div", { class: "row pens" }, this.toolButtons, h("label", { class: "size" }, t("draw.size"), this.size), this.closing,
      button("undo", "z", () => this.board.undo()), button("redo", "y", () => this.board.redo()));
  }

  use(tool) {
    this.board.choose(tool);
    for (const button of this.toolButtons) button.setAttribute("aria-pressed", String(button.dataset.tool === tool));
    this.closing.hidden = tool !== "polygon";
  }

  showClasses() {
    this.board.classes = this.names.map((_, index) => this.told.colours[index]);
    this.classes.replaceChildren(...this.names.map((name, index) => {
      const swatch = h("span", { class: "swatch" });
      swatch.style.background = this.told.colours[index];
      return h("button", { type: "button", class: "mark-as class", "aria-pressed": String(this.board.chosen === index + 1), onclick: () => this.choose(index + 1) }, swatch, h("span", {}, className(name)), index < 9 ? h("kbd", {}, index + 1) : null);
    }));
  }

  choose(index) {
    if (index > this.names.length) return;
    this.board.chosen = index;
    if (["eraser", "hand"].includes(this.board.tool)) this.use("brush");
    this.showClasses();
  }

  /** A kind of defect that no model knows yet. */
  another() {
    const name = h("input", { maxlength: 64, "aria-label": t("draw.new_class"), placeholder: t("draw.new_class"), autocomplete: "off" });
    return h("form", { class: "row another", onsubmit: (event) => {
      event.preventDefault();
      const given = name.value.trim();
      const known = this.names.findIndex((each) => each.toLowerCase() === given.toLowerCase());
      if (!given || given.toLowerCase() === "good") return name.focus();
      if (known < 0 && this.names.length === this.told.colours.length) return toast(t("draw.too_many"), true);
      if (known < 0) this.names = [...this.names, given];
      name.value = "";
      this.choose(known < 0 ? this.names.length : known + 1);
      this.board.stage.focus(); // so that keys mean tools again
    } }, name, h("button", { class: "square", "aria-label": t("draw.add_class"), title: t("draw.add_class") }, icon("plus")));
  }

  keepSoon() {
    clearTimeout(this.timer);
    this.dirty = true;
    this.timer = setTimeout(() => this.keep(), SAVE_MS);
  }

  keep() {
    clearTimeout(this.timer);
    if (!this.dirty) return;
    const kept = this.draft.keep({ runs: this.board.runs, classes: this.names, version: this.version, width: this.told.width, height: this.told.height });
    if (!kept) toast(t("draw.not_kept"), true);
  }

  async store() {
    if (this.board.locked || this.storing || !(await withRole("reviewer"))) return;
    this.storing = true;
    this.keep();
    try {
      const { width, height } = this.told;
      await this.server.store({ version: this.version, width, height, classes: this.names, runs: this.board.runs });
      this.dirty = false;
      this.draft.drop();
      toast(this.own ? t("uploads.stored") : t("draw.stored", { n: this.part.part }));
      this.leave();
    } catch (error) {
      if (error.status === 409) await this.conflict();
      else toast(t(error.status === 413 ? "draw.too_fine" : "error.failed", { why: error.message }), true);
    } finally {
      this.storing = false;
    }
  }

  /** Somebody was quicker: a person decides whose drawing counts, and both stay on the disk. */
  async conflict() {
    const theirs = await this.server.show();
    const done = () => { this.version = theirs.version; this.bar.hidden = true; };
    this.ask(t("draw.conflict", { name: theirs.by, when: clock(theirs.utc) }), [
      [t("draw.theirs"), () => {
        done();
        this.names = theirs.classes;
        this.showClasses();
        this.board.replace(theirs.runs);
      }],
      [t("draw.mine"), () => { done(); this.store(); }, "primary"],
    ]);
  }

  listen() {
    const keys = (event) => {
      if (event.altKey || event.target.closest("input, select, dialog")) return;
      const key = event.key.toLowerCase();
      if (event.ctrlKey || event.metaKey) {
        const does = { z: () => (event.shiftKey ? this.board.redo() : this.board.undo()), y: () => this.board.redo(), s: () => this.store() }[key];
        if (!does) return;
        does();
        return event.preventDefault();
      }
      const tool = Object.keys(TOOLS).find((name) => TOOLS[name] === key);
      const sized = { "[": -1, "]": 1 }[key];
      if (/^[1-9]$/.test(key)) this.choose(Number(key));
      else if (tool) this.use(tool);
      else if (sized) this.size.value = this.board.size = Math.max(1, Math.min(120, Math.round(this.board.size * 1.25 ** sized) + sized));
      else if (key === "z") this.board.undo();
      else if (key === "y") this.board.redo();
      else if (key === "escape") this.use(this.board.tool);
      else if (key === "enter" && this.board.corners.length && !event.target.closest("button, a")) this.board.close();
      else if (!this.board.key(event.key)) return;
      event.preventDefault();
    };
    const leaves = () => this.keep();
    document.addEventListener("keydown", keys);
    window.addEventListener("pagehide", leaves);
    return () => {
      this.keep();
      document.removeEventListener("keydown", keys);
      window.removeEventListener("pagehide", leaves);
    };
  }
}
