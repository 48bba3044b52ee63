// The top of the live page: what the station does to the parts, for which product, and how many there were.

import { post } from "./api.js";
import { stationNow } from "./clock.js";
import { afterwardsText, conditionText, consequenceText, partsFirst, plain, reasonKind } from "./conditions.js";
import { h, icon, toast } from "./dom.js";
import { withRole } from "./login.js";
import { sound } from "./sound.js";
import { clock, moment, number, t } from "./texts.js";

const SHAPES = { ready: "accept", degraded: "warn", off: "stop", fault: "stop", starting: "wait", stopping: "wait", lost: "stop", past: "warn" };
const SPANS = ["shift", "batch", "reset"];
const SHOWN = 2;
const DAY_MS = 86400e3;

export function heroOf(station) {
  const state = stateField(station);
  const product = productField(station);
  const counts = countFields();
  return {
    element: h("section", { class: "hero" }, state.element, product.element, counts.elements),
    lost: state.lost,
    take(news) {
      state.take(news);
      product.take(news);
      counts.take(news);
      sound.follow(news);
    },
  };
}

/** The station's state in words, with what follows for the parts. A fault stays here until somebody has acknowledged it. */
function stateField(station) {
  const element = h("div", { class: "state panel" });
  const nowLines = (state, [worst], uninspected) => {
    const said = t("state.now", { what: t(`state.${state}`) });
    if (!worst || worst.warning) return [["now", said]];
    return [["now", `${said}. ${conditionText(worst.code, worst.subject)}`], ["then", consequenceText(worst, uninspected, station.promise)]];
  };
  /** The first one with its reason. */
  const wrongLines = (each, uninspected, at) => [[`${each.warning ? "hint" : ""}${at ? " more" : ""}`, conditionText(each.code, each.subject)],
    [`then${at ? " more" : ""}`, consequenceText(each, uninspected, station.promise)], ...(at ? [] : [[reasonKind(each.code), sinceWhen(each)]])];
  const show = (name, lines, held = null) => {
    const key = JSON.stringify([name, lines, held?.id, held?.ended, held?.parts]);
    if (element.dataset.key === key) return;
    const focused = element.contains(document.activeElement);
    element.dataset.key = key;
    element.dataset.state = name;
    element.replaceChildren(icon(SHAPES[name], "huge"), h("div", { class: "says" }, h("strong", {}, t(`state.${name}`)),
      lines.filter(([, line]) => line).map(([kind, line]) => h("p", { class: kind || null }, line)), held ? acknowledgement(held) : null));
    if (focused) element.querySelector("button")?.focus();
  };
  return {
    element,
    lost: () => show("lost", [["", t("state.lost.why")], ["hint", t("offline.what")]]),
    take({ state, conditions: all, uninspected, figures, held, waiting }) {
      const conditions = partsFirst(all);
      const past = held.find(({ ended }) => ended) ?? null;
      if (state !== "fault" && state !== "off" && past) {
        return show("past", [["", conditionText(past.code, past.subject)], ["then", afterwardsText(past, uninspected, station.promise)], ["", lasted(past)], [reasonKind(past.code), plain(past.why)], ...nowLines(state, conditions, uninspected)], past);
      }
      // While the station is ready, only warnings hold: they come after what it does.
      const lines = state === "ready" ? [["", howReady(figures)], ...conditions.slice(0, SHOWN).map(({ code, subject }) => ["hint", conditionText(code, subject)])]
        : conditions.slice(0, SHOWN).flatMap((each, at) => wrongLines(each, uninspected, at)).filter(isNews);
      // What happens to the parts now comes first, also while an earlier fault waits for somebody.
      if (state === "off" && past) lines.push(["now", `${t("state.past")}: ${conditionText(past.code, past.subject)}`], ["why", lasted(past)]);
      if (waiting && !held.length) lines.push(["why", t("state.waiting", { n: waiting })]);
      show(state, lines, state === "fault" ? held[0] : past);
    },
  };
}

/** Two things that are wrong may mean the same for the parts. */
const isNews = ([, text], at, lines) => lines.findIndex(([, other]) => other === text) === at;

function acknowledgement(event) {
  return h("div", { class: "row" },
    h("button", { class: "acknowledge", onclick: () => acknowledge(event.id) }, icon("accept"), t("events.acknowledge")),
    h("a", { class: "button quiet", href: "/events" }, t("events.all")));
}

/** A person has seen it; 0 stands for everything so far. Resolves to whether it was stored. */
export async function acknowledge(event) {
  if (!(await withRole("operator"))) return false;
  try {
    await post("/api/events/acknowledge", { event });
    toast(t("events.acknowledged"));
    return true;
  } catch (error) {
    toast(t("error.failed", { why: error.message }), true);
    return false;
  }
}

/** From when to when, and how many parts were decided meanwhile. */
export function lasted({ begun, ended, parts, not_inspected: not }) {
  const time = ended ? t("events.from_to", { from: when(begun), to: when(ended) }) : t("events.since", { from: when(begun) });
  return `${time} · ${t(not ? "events.parts_not" : "events.parts", { n: number(parts), m: number(not) })}`;
}

/** Since when, and the reason as the log words it. That of a station that is off says the same once more. */
function sinceWhen({ code, since, why }) {
  const begun = t("events.since", { from: when(since) });
  return code === "switched_off" || !why ? begun : `${begun}: ${plain(why)}`;
}

/** A moment. With its day if it is not of the last 24 hours. */
const when = (utc) => moment(utc, stationNow() - new Date(utc) > DAY_MS);

/** Only what the last parts bear out. */
function howReady({ parts, not_inspected: not, old }) {
  if (not) return t("state.some_not", { n: number(not), m: number(parts) });
  if (!parts) return t("live.no_verdicts");
  return t(old ? "state.idle" : "state.fine");
}

function productField(station) {
  const name = h("div", { class: "value" });
  const below = h("div", { class: "below" });
  return {
    element: h("div", { class: "panel figure product" }, h("h2", {}, t("live.product")), name, below),
    take({ product, counts }) {
      name.textContent = product.name;
      name.title = product.name;
      below.textContent = [t("live.recipe", { n: product.id }), counts.batch && t("live.batch", { name: counts.batch.name })].filter(Boolean).join(" · ");
      station.recipe = { ...station.recipe, name: product.name };
    },
  };
}

/** Accepted, rejected, not inspected and the yield, since the begin that is chosen. */
function countFields() {
  const chosen = { span: localStorage.getItem("span") ?? "shift" };
  const figures = Object.fromEntries(["accepted", "rejected", "not_inspected", "yield"].map((name) => {
    const value = h("div", { class: "value" }, "–");
    const below = h("div", { class: "below" });
    return [name, { value, below, element: h("div", { class: `panel figure ${name}` }, h("h2", {}, t(`live.${name}`)), value, below) }];
  }));
  const choice = h("select", { class: "span", "aria-label": t("live.since"), onchange: () => {
    chosen.span = choice.value;
    localStorage.setItem("span", choice.value);
    if (chosen.news) take(chosen.news);
  } }, SPANS.map((name) => h("option", { value: name, selected: name === chosen.span }, t(`live.span.${name}`))));
  figures.accepted.element.append(h("div", { class: "row anew" }, choice, h("button", { class: "quiet square", "aria-label": t("live.anew"), title: t("live.anew"), onclick: askForCounters }, icon("again"))));

  function take(news) {
    chosen.news = news;
    const span = news.counts[chosen.span];
    const sums = span?.parts;
    const put = (name, value, below) => {
      figures[name].value.textContent = value;
      figures[name].below.textContent = below;
    };
    const inspected = sums ? sums.accept + sums.reject : 0;
    const share = (count, of) => (of ? t("unit.percent", { n: number((100 * count) / of, 1) }) : "–");
    put("accepted", sums ? number(sums.accept) : "–", span ? since(chosen.span, span) : t("live.no_span"));
    put("rejected", sums ? number(sums.reject) : "–", news.figures.rejects_in_a_row > 1
      ? t("live.in_a_row", { n: number(news.figures.rejects_in_a_row) }) : t("live.of_last_rejected", { n: number(news.figures.reject), m: number(news.figures.parts) }));
    put("not_inspected", sums ? number(sums.not_inspected) : "–", share(sums?.not_inspected ?? 0, inspected + (sums?.not_inspected ?? 0)));
    put("yield", share(sums?.accept ?? 0, inspected), news.figures.old ? "" : t("live.per_hour", { n: number(news.figures.per_hour) }));
    const alarm = news.conditions.some(({ code }) => code === "many_rejects");
    figures.rejected.element.classList.toggle("bad", alarm);
    figures.not_inspected.element.classList.toggle("bad", news.figures.not_inspected > 0);
  }
  return { elements: Object.values(figures).map(({ element }) => element), take };
}

const since = (name, { since: utc, name: called }) => (name === "batch" ? t("live.since_batch", { name: called, at: clock(utc) })
  : t(stationNow() - new Date(utc) > DAY_MS ? "live.since_day" : "live.since_at", { at: stationNow() - new Date(utc) > DAY_MS ? moment(utc, true) : clock(utc) }));

/** Begin a batch, or count from zero: for an operator. */
async function askForCounters() {
  if (!(await withRole("operator"))) return;
  const name = h("input", { name: "batch", maxlength: 64, autocomplete: "off" });
  const send = async (kind) => {
    try {
      await post("/api/counters", { kind, name: kind === "batch" ? name.value : "" });
      toast(t("health.done"));
      dialog.close();
    } catch (error) {
      toast(t("error.failed", { why: error.message }), true);
    }
  };
  const dialog = h("dialog", { "aria-labelledby": "counters-title" }, h("form", { onsubmit: (event) => { event.preventDefault(); if (name.value.trim()) send("batch"); } },
    h("h2", { id: "counters-title" }, t("counters.title")),
    h("label", {}, t("counters.batch"), name),
    h("div", { class: "row end" }, h("button", { class: "primary" }, t("counters.begin"))),
    h("p", {}, t("counters.what")),
    h("div", { class: "row between" }, h("button", { type: "button", onclick: () => send("reset") }, t("counters.reset")),
      h("button", { type: "button", class: "quiet", onclick: () => dialog.close() }, t("login.cancel")))));
  dialog.addEventListener("close", () => dialog.remove());
  document.body.append(dialog);
  dialog.showModal();
}

