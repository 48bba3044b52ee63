// Teach a model from what people marked and drew: start, follow, look at the worst, accept.

import { get, post } from "./api.js";
import { h, icon, toast } from "./dom.js";
import { withRole } from "./login.js";
import { number, t } from "./texts.js";

const POLL_MS = 1500;

export async function mount({ main }) {
  const marks = h("p", { class: "because" });
  const hints = h("div", { class: "hints", role: "status" });
  const field = (key, attributes) => {
    const input = h("input", attributes);
    return { input, label: h("label", {}, t(`teach.field.${key}`), input) };
  };
  const name = field("name", { value: "mine", maxlength: 32, required: true, pattern: "[A-Za-z0-9][A-Za-z0-9._\\-]*" });
  const version = field("version", { value: "1.0", maxlength: 32, required: true, pattern: "[A-Za-z0-9][A-Za-z0-9._\\-]*" });
  const minutes = field("minutes", { type: "number", value: 5, min: 1, max: 1440 });
  const method = h("select", { onchange: () => show() }, ["good", "quick"].map((each) => h("option", { value: each }, t(`teach.method.${each}`))));
  const start = h("button", { class: "primary", type: "submit" }, t("teach.start"));
  const job = h("div", { class: "job" });
  const report = h("div", { class: "report" });
  let now = null;
  let drawn = "";
  main.append(h("div", { class: "heading" }, h("h1", {}, t("teach.title"))), h("p", {}, t("teach.what")),
    h("section", { class: "panel" }, marks, h("p", {}, h("a", { href: "/parts?labelled=no" }, t("teach.choose")), " · ", h("a", { href: "/parts?labelled=yes" }, t("collect.marked")), " · ", h("a", { href: "/uploads" }, t("uploads.title"))),
      h("form", { class: "filters", onsubmit: begin }, name.label, version.label, h("label", {}, t("teach.field.method"), method), minutes.label, start), hints, job), report);

  async function begin(event) {
    event.preventDefault();
    await act("start", { name: name.input.value, version: version.input.value, method: method.value, minutes: Number(minutes.input.value) });
  }
  async function act(what, body = {}) {
    if (!(await withRole("admin"))) return null;
    try {
      return await post(`/api/teach/${what}`, body);
    } catch (error) {
      toast(t("error.failed", { why: error.message }), true);
      return null;
    } finally {
      look();
    }
  }
  async function look() {
    try {
      now = await get("/api/teach");
      show();
    } catch (error) {
      hints.textContent = t("error.failed", { why: error.message });
    }
  }
  function show() {
    if (!now) return;
    const missing = now.missing[method.value];
    const running = now.starting || (now.job && !now.job.ended);
    marks.textContent = `${t("teach.marks", { good: number(now.good), bad: number(now.bad) })} ${t("teach.uploads", { n: number(now.uploads) })}`;
    minutes.label.hidden = method.value === "good";
    start.disabled = Boolean(running || missing.length || now.busy);
    hints.hidden = Boolean(running);
    hints.replaceChildren(...[missing.length ? h("p", { class: "wrong" }, t("teach.missing", { names: missing.join(", ") }), " ", h("code", {}, "pip install 'edge-inspector[training,cpu]'")) : null,
      now.busy ? h("p", { class: "wrong" }, t("teach.busy", { why: now.busy })) : null].filter(Boolean));
    showJob(running);
    const told = JSON.stringify(now.report);
    if (told !== drawn) report.replaceChildren(...(now.report ? reportOf(now.report) : []));
    drawn = told;
  }
  function showJob(running) {
    if (!running) {
      const { ended, why } = now.job ?? {};
      return job.replaceChildren(...(ended && ended !== "done" ? [h("p", { class: "wrong" }, t(`teach.ended.${ended}`), why ? ` ${why}` : "")] : []));
    }
    const { share = 0, left_s: left } = now.starting ? {} : now.job;
    const bar = h("progress", { max: 1, value: share, "aria-label": t("teach.running") });
    job.replaceChildren(h("p", {}, t("teach.running"), left ? ` ${t("teach.left", { n: number(Math.ceil(left)) })}` : ""), bar,
      h("button", { class: "quiet", onclick: () => act("cancel") }, t("teach.cancel")));
  }
  function reportOf({ model, good, bad, found, rejected, worst }) {
    const accept = h("button", { class: "primary", onclick: async () => {
      const done = await act("accept");
      if (done) said.textContent = t("teach.accepted", { name: done.model });
    } }, icon("accept"), t("teach.accept"));
    const said = h("p", { role: "status" });
    return [h("section", { class: "panel" }, h("h2", {}, t("teach.report", { name: model })),
      h("p", {}, t("teach.learnt", { good: number(good), bad: number(bad) })),
      found === undefined ? h("p", {}, t("teach.see_report")) : h("p", {}, t("teach.result", { found: number(found), bad: number(bad), rejected: number(rejected), good: number(good) })),
      h("p", { class: "empty" }, t("teach.honest")), h("div", { class: "row" }, accept), said),
    worst.length ? h("section", { class: "panel" }, h("h2", {}, t("teach.worst")), h("ul", { class: "worst" }, worst.map((each, index) => {
      const wrong = each.bad === each.score < 1;
      return h("li", {}, h("img", { src: `/api/teach/worst/${index}`, alt: each.image, loading: "lazy" }), h("span", { class: wrong ? "chip bad" : "chip" }, icon(wrong ? "reject" : "accept"), t(each.bad ? "teach.was_bad" : "teach.was_good", { n: number(100 * each.score) })));
    }))) : null].filter(Boolean);
  }
  await look();
  const timer = setInterval(look, POLL_MS);
  return () => clearInterval(timer);
}
