// A station without a model collects pictures. A person says of the parts that pass whether they are good or bad.

import { may, post } from "./api.js";
import { h, icon, toast } from "./dom.js";
import { askForLogin } from "./login.js";
import { number, t } from "./texts.js";

const AGAIN_MS = 1000;
const MOST = 32;
const TRIES = 30; // a part that the results do not have after so many seconds is not stored at all

/** The panel, or an element that is null where the station has a model. */
export function collectOf(station, refresh) {
  if (!station.collecting) return { element: null, take: () => {}, end: () => {} };
  if (!may("reviewer")) {
    return { element: h("p", { class: "panel note" }, t("collect.login"), h("button", { class: "primary", onclick: async () => { if (await askForLogin()) refresh(); } }, t("top.login"))), take: () => {}, end: () => {} };
  }
  const picture = h("img", { alt: "", hidden: true });
  const name = h("b", {}, t("collect.wait"));
  const said = h("span", { class: "said-of", role: "status" });
  const sums = h("p", { class: "empty" });
  const done = { good: 0, defect: 0 };
  const waiting = []; // [seq, label, tries]
  let last = null;
  let always = "";
  const say = (label) => { said.replaceChildren(...(label ? [icon(label === "good" ? "accept" : "reject"), t(`review.${label}`)] : [])); };
  const mark = (entry, label) => {
    if (!entry) return;
    const known = waiting.find(([seq]) => seq === entry.seq);
    if (known) known[1] = label;
    else waiting.push([entry.seq, label, 0]);
    if (entry === last) say(label);
  };
  const button = (label, shape, key) => h("button", { type: "button", class: `mark-as ${label}`, onclick: () => mark(last, label) }, icon(shape), h("span", {}, t(`review.${label}`)), h("kbd", {}, key));
  const choices = ["", "good", "defect"].map((label) => h("button", { type: "button", class: "quiet", "data-label": label, onclick: () => choose(label) }, t(label ? `collect.all.${label}` : "collect.each")));
  const choose = (label) => {
    always = label;
    for (const each of choices) each.setAttribute("aria-pressed", String(each.dataset.label === label));
  };
  choose("");

  /** Hand the marks over, again and again until the results know the parts. */
  const send = async () => {
    for (const label of ["good", "defect"]) {
      const batch = waiting.filter((each) => each[1] === label).slice(0, MOST);
      if (!batch.length) continue;
      try {
        const { stored } = await post("/api/passing", { boot: station.boot, label, seqs: batch.map(([seq]) => seq) });
        done[label] += stored.length;
        for (const each of batch) {
          each[2] += 1;
          const isStored = stored.includes(each[0]) && each[1] === label;
          if (isStored || each[2] > TRIES) waiting.splice(waiting.indexOf(each), 1);
          if (!isStored && each[2] > TRIES) toast(t("collect.lost", { n: each[0] }), true);
        }
      } catch (error) {
        toast(t("error.failed", { why: error.message }), true);
        if (error.status === 401) return refresh();
      }
    }
    sums.textContent = t("collect.sums", { good: number(done.good), bad: number(done.defect), wait: number(waiting.length) });
  };
  const timer = setInterval(send, AGAIN_MS);
  send();
  const keys = (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.repeat || event.target.closest("input, select, dialog")) return;
    const label = { g: "good", d: "defect" }[event.key.toLowerCase()];
    if (label) mark(last, label);
  };
  document.addEventListener("keydown", keys);
  return {
    element: h("section", { class: "panel collect" }, h("h2", {}, t("collect.title")),
      h("div", { class: "passing" }, h("div", { class: "glass" }, picture), h("div", { class: "wide" }, h("p", { class: "row between" }, name, said),
        h("div", { class: "two" }, button("good", "accept", "G"), button("defect", "reject", "D")),
        h("div", { class: "row", role: "group", "aria-label": t("collect.always") }, choices), sums,
        h("p", { class: "empty" }, t("collect.then"), " ", h("a", { href: "/parts?labelled=yes" }, t("collect.marked")), ". ", h("a", { href: "/teach" }, t("teach.title")))))),
    take({ strip, whole }) {
      const fresh = strip.filter(({ seq }) => seq > (last?.seq ?? 0));
      if (!fresh.length) return;
      last = fresh.at(-1);
      name.textContent = t("part.name", { n: last.part });
      picture.hidden = !last.jpeg;
      if (last.jpeg) picture.src = `data:image/jpeg;base64,${last.jpeg}`;
      say("");
      if (always && !whole) for (const entry of fresh) mark(entry, always); // what passed before is not meant
    },
    end() {
      clearInterval(timer);
      document.removeEventListener("keydown", keys);
      if (waiting.length) send();
    },
  };
}
