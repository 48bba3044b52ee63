// The last rejected part, held until the next one: a large picture, and why in one sentence.

import { get } from "./api.js";
import { stationNow } from "./clock.js";
import { h, icon, toast } from "./dom.js";
import { markPart } from "./marks.js";
import { at } from "./place.js";
import { className, moment, number, t } from "./texts.js";

/** Why a part was rejected, from the limits that it broke. */
export function whyText(broken) {
  if (!broken.length) return "";
  const { kind, found, limit, area_mm2: area, length_mm: length, camera, class: name } = broken[0];
  const values = { name: className(name), camera, area: number(area, area < 10 ? 1 : 0), length: number(length, length < 10 ? 1 : 0), found: number(found), limit: number(limit, limit % 1 ? 1 : 0) };
  const text = t(kind === "length" ? "why.length" : limit ? "why.count" : "why.none_allowed", values);
  return broken.length > 1 ? `${text} ${t("why.more", { n: number(broken.length - 1) })}` : text;
}

/** The smallest size that counts, where that is the limit that matters. */
export function limitText([broken]) {
  if (!broken || broken.kind === "length") return "";
  return t("why.counts_from", { n: number(broken.min_area_mm2, broken.min_area_mm2 < 10 ? 1 : 0), name: className(broken.class) });
}

const large = ({ id }) => at(`/api/parts/${id}/thumb?large=1`);

export function rejectOf(open, find) {
  const picture = h("img", { alt: t("live.reject_picture"), hidden: true });
  const blank = h("span", { class: "none" }, t("live.no_reject"));
  const title = h("b", {});
  const says = h("p", { class: "says" });
  const limit = h("p", { class: "limit" });
  const when = h("span", { class: "when" });
  const look = h("button", { class: "look", hidden: true }, t("live.look"));
  const good = h("button", { class: "was-good", hidden: true }, icon("accept"), t("mark.was_good"));
  let shown = null;
  good.addEventListener("click", async () => {
    const part = await find(shown);
    if (part) await markPart(part, "good");
  });
  look.addEventListener("click", () => open(shown));
  const show = (reject, source) => {
    shown = reject;
    picture.hidden = !source;
    if (source) picture.src = source;
    blank.hidden = Boolean(source);
    blank.textContent = t("live.no_picture");
    look.hidden = good.hidden = false;
    title.textContent = t("part.name", { n: reject.part });
    says.textContent = whyText(reject.why) || reject.classes.map(className).join(", ");
    limit.textContent = limitText(reject.why);
    when.textContent = moment(reject.utc, stationNow() - new Date(reject.utc) > 86400e3);
  };
  picture.addEventListener("error", () => {
    picture.hidden = true;
    blank.hidden = false;
    blank.textContent = t("part.not_kept");
  });
  earlier();

  /** Of a part that was rejected before somebody watched, the station may have stored the picture. */
  async function fromStore({ part, seq, boot }) {
    const { parts } = await get(`/api/parts?part=${part}`).catch(() => ({ parts: [] }));
    const found = parts.find((each) => each.seq === seq && each.boot === boot);
    if (found && shown.seq === seq && shown.boot === boot) show(shown, large(found));
  }

  /** What was rejected before this run of the station, or before its page was watched. */
  async function earlier() {
    try {
      const row = (await get("/api/parts?decision=reject")).parts[0];
      if (!row || shown) return;
      const part = await get(`/api/parts/${row.id}`);
      if (!shown) show({ ...part, why: part.why ?? [] }, large(part));
    } catch (error) {
      if (error.status !== 503) toast(t("error.failed", { why: error.message }), true);
    }
  }
  return {
    element: h("section", { class: "panel last-reject" }, h("h2", {}, t("live.reject")),
      h("div", { class: "glass" }, picture, blank),
      h("div", { class: "told" }, h("div", { class: "row between" }, h("span", { class: "badge reject" }, icon("reject"), title), when), says, limit, h("div", { class: "row" }, look, good))),
    take({ reject }) {
      if (!reject || (reject.seq === shown?.seq && reject.boot === shown?.boot)) return;
      show(reject, reject.jpeg ? `data:image/jpeg;base64,${reject.jpeg}` : "");
      if (!reject.jpeg) fromStore(reject);
    },
  };
}
