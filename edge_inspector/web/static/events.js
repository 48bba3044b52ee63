// What went wrong, when, how many parts it concerned, what to do, and who has seen it. And what people did.

import { get } from "./api.js";
import { every } from "./clock.js";
import { conditionText, consequenceText, plain, whoText } from "./conditions.js";
import { h, icon, toast } from "./dom.js";
import { acknowledge, lasted } from "./hero.js";
import { at } from "./place.js";
import { sound } from "./sound.js";
import { has, moment, t } from "./texts.js";

const EVERY_MS = 3000;

export async function mount({ main, station }) {
  const list = h("ol", { class: "events" });
  const more = h("button", { class: "more", hidden: true }, t("parts.more"));
  const said = h("p", { class: "count", role: "status" });
  const waiting = h("input", { type: "checkbox" });
  const from = h("input", { type: "datetime-local" });
  const to = h("input", { type: "datetime-local" });
  const code = h("select", {}, h("option", { value: "" }, t("parts.any")), station.codes.map((name) => h("option", { value: name }, conditionText(name, "…"))));
  const save = h("a", { class: "button", download: true }, icon("load"), t("events.export"));
  const actions = h("ul", { class: "plain actions" });
  let drawn = "";
  let pages = 1;

  const asked = () => {
    const filter = new URLSearchParams();
    if (waiting.checked) filter.set("waiting", "1");
    if (code.value) filter.set("code", code.value);
    if (from.value) filter.set("since", new Date(from.value).toISOString());
    if (to.value) filter.set("until", new Date(to.value).toISOString());
    return filter;
  };
  const load = async () => {
    const filter = asked();
    save.setAttribute("href", at(`/api/events.csv?${filter}`));
    try {
      const found = [];
      let told;
      do {
        told = await get(`/api/events?${filter}`);
        found.push(...told.events);
        filter.set("before", told.events.at(-1)?.id ?? 0);
      } while (told.more && found.length < 100 * pages);
      more.hidden = !told.more;
      draw(found);
    } catch (error) {
      said.textContent = t("error.failed", { why: error.message });
    }
  };
  const draw = (events) => {
    const key = JSON.stringify(events);
    if (key === drawn) return;
    drawn = key;
    said.textContent = events.length ? "" : t("events.none");
    const focused = list.contains(document.activeElement) ? document.activeElement.closest("li")?.dataset.event : null;
    list.replaceChildren(...events.map((event) => entry(event, station, again)));
    if (focused) list.querySelector(`[data-event="${focused}"] button`)?.focus();
  };
  const again = () => { drawn = ""; return load(); };
  for (const field of [waiting, from, to, code]) field.addEventListener("change", () => { pages = 1; load(); });
  more.addEventListener("click", () => { pages += 1; load(); });

  main.append(
    h("div", { class: "heading" }, h("h1", {}, t("events.title")), h("div", { class: "row tools" }, soundButton(),
      h("button", { onclick: async () => { if (await acknowledge(0)) again(); } }, icon("accept"), t("events.acknowledge_all")), save)),
    h("form", { class: "filters panel", onsubmit: (event) => event.preventDefault() },
      h("label", {}, t("parts.from"), from), h("label", {}, t("parts.to"), to), h("label", {}, t("events.what"), code),
      h("label", { class: "check" }, waiting, t("events.only_waiting"))),
    said, h("section", { class: "panel" }, h("h2", {}, t("events.list")), list), more,
    h("section", { class: "panel" }, h("h2", {}, t("events.actions")), actions));
  showActions(actions);
  return every(EVERY_MS, load);
}

function entry(event, station, again) {
  const recipe = station.recipes.find(({ id }) => id === event.recipe);
  const { id, code, subject, why, fault, number, ended, by, acknowledged, begun } = event;
  const seen = acknowledged ? h("p", { class: "seen-by" }, icon("accept"), t("events.by", { name: by, at: moment(acknowledged, true) }))
    : h("button", { onclick: async () => { if (await acknowledge(id)) again(); } }, icon("accept"), t("events.acknowledge"));
  const parts = new URLSearchParams({ since: local(begun), ...(ended && { until: local(new Date(new Date(ended).getTime() + 60e3)) }) });
  return h("li", { class: [fault ? "fault" : "degraded", ended ? "over" : "now", acknowledged ? "seen" : "unseen"].join(" "), "data-event": id },
    icon(ended ? "accept" : fault ? "stop" : "warn"),
    h("div", { class: "says" },
      h("b", {}, conditionText(code, subject)), h("p", {}, consequenceText(event, recipe?.on_not_inspected, station.promise)),
      h("p", { class: "when" }, lasted(event), " · ", h("a", { href: `/parts?${parts}` }, t("events.show_parts"))),
      h("small", {}, `E${number} ${code} ${subject}${why ? `: ${plain(why)}` : ""}`)),
    seen);
}

async function showActions(place) {
  try {
    const { actions } = await get("/api/actions");
    place.replaceChildren(...(actions.length ? actions.map(({ utc, who, what, subject, before, after, why }) =>
      h("li", {}, h("span", { class: "when" }, moment(utc, true)), h("b", {}, whoText(who)),
        h("span", {}, [has(`action.${what}`) ? t(`action.${what}`) : what, subject, before && after ? `${before} → ${after}` : after, why].filter(Boolean).join(" · ")))) : [h("li", { class: "empty" }, t("events.no_actions"))]));
  } catch (error) {
    toast(t("error.failed", { why: error.message }), true);
  }
}

function soundButton() {
  const label = () => [icon(sound.on ? "bell" : "mute"), t(sound.on ? "events.sound_on" : "events.sound_off")];
  const button = h("button", { class: "quiet", "aria-pressed": String(sound.on), onclick: () => {
    sound.switch();
    button.setAttribute("aria-pressed", String(sound.on));
    button.replaceChildren(...label());
  } }, label());
  return button;
}

const local = (utc) => {
  const date = new Date(utc);
  return new Date(date - date.getTimezoneOffset() * 60e3).toISOString().slice(0, 16);
};
