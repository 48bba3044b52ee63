// Pictures from a folder of this computer, sent one by one: good ones for Teach, and others to draw on.

import { get, may, post, send } from "./api.js";
import { h, icon, toast } from "./dom.js";
import { askForLogin } from "./login.js";
import { number, t } from "./texts.js";

const PICTURES = /\.(png|jpe?g|bmp|tiff?|webp)$/i;
const TRIES = 5;
const WAIT_MS = 1000;
const REFUSED = 20;

const later = (ms) => new Promise((resolve) => { setTimeout(resolve, ms); });

export async function mount({ main, refresh }) {
  main.append(h("div", { class: "heading" }, h("h1", {}, t("uploads.title")), h("a", { class: "button quiet", href: "/teach" }, t("teach.title"))), h("p", {}, t("uploads.what")));
  if (!may("reviewer")) {
    main.append(h("p", { class: "panel note" }, t("review.login"), h("button", { class: "primary", onclick: async () => { if (await askForLogin()) refresh(); } }, t("top.login"))));
    return undefined;
  }
  const kind = h("select", {}, ["good", "draw"].map((each) => h("option", { value: each }, t(`uploads.as.${each}`))));
  const input = (name, more) => h("label", {}, t(`uploads.${name}`), h("input", { type: "file", name, ...more, onchange: (event) => take([...event.target.files], event.target) }));
  const files = input("files", { multiple: true, accept: "image/*,.tif,.tiff" });
  const folder = input("folder", { multiple: true, webkitdirectory: true });
  const bar = h("progress", { max: 1, value: 0, hidden: true, "aria-label": t("uploads.sending") });
  const stop = h("button", { type: "button", class: "quiet", hidden: true, onclick: () => { ended = true; } }, t("teach.cancel"));
  const says = h("p", { role: "status" });
  const refused = h("ul", { class: "refused" });
  const sums = h("p", { class: "because" });
  const list = h("ul", { class: "worst" });
  let told = null;
  let busy = false;
  let ended = false;
  main.append(h("section", { class: "panel" }, h("div", { class: "filters" }, h("label", {}, t("uploads.as"), kind), files, folder),
    bar, stop, says, refused), h("section", { class: "panel" }, sums, list));

  /** Send them one after the other. What cannot be used is named, and the others go on. */
  async function take(chosen, field) {
    const pictures = chosen.filter(({ name }) => PICTURES.test(name));
    field.value = "";
    if (busy) return;
    if (!told) await look();
    if (!told) return;
    refused.replaceChildren();
    if (!pictures.length) { says.textContent = t("uploads.none"); return; }
    sending(true);
    ended = false;
    let stored = 0;
    let failed = 0;
    for (const [at, file] of pictures.entries()) {
      bar.value = at / pictures.length;
      says.textContent = t("uploads.progress", { n: number(at), all: number(pictures.length) });
      try {
        await sent(file);
        stored += 1;
      } catch (error) {
        failed += 1;
        if (failed <= REFUSED) refused.append(h("li", { class: "wrong" }, `${file.name}: ${error.message}`));
        if ([0, 401, 403, 409].includes(error.status)) break; // the next one would get the same answer
      }
      if (ended) break;
    }
    sending(false);
    says.textContent = t("uploads.done", { n: number(stored), bad: number(failed), left: number(pictures.length - stored - failed) });
    if (says.isConnected) await look();
  }

  function sending(now) {
    busy = now;
    bar.hidden = stop.hidden = !now;
    for (const field of [kind, ...files.children, ...folder.children]) field.disabled = now;
  }

  async function sent(file) {
    if (file.size > told.file_most) throw new Error(t("uploads.large", { n: number(told.file_most / 2 ** 20) }));
    for (let tried = 1; ; tried += 1) {
      try {
        return await send(`/api/uploads?as=${kind.value}`, file);
      } catch (error) {
        if (error.status !== 503 || tried === TRIES) throw error;
        await later(WAIT_MS * tried);
      }
    }
  }

  async function look() {
    try {
      told = await get("/api/uploads");
    } catch (error) {
      says.textContent = t("error.failed", { why: error.message });
      return;
    }
    sums.textContent = t("uploads.sums", { waiting: number(told.waiting), said: number(told.said), most: number(told.most) });
    list.replaceChildren(...told.pictures.map(row));
  }

  const row = ({ number: id, said }) => h("li", {},
    h("a", { href: `/uploads/${id}/draw`, "aria-label": t("uploads.draw") }, h("img", { src: `/api/uploads/${id}/small`, alt: "", loading: "lazy" })),
    h("span", { class: "row between" }, said ? h("span", { class: "chip" }, icon("accept"), t("uploads.said")) : h("span", { class: "chip" }, icon("pen"), t("uploads.waits")),
      may("admin") ? h("button", { class: "quiet square", "aria-label": t("uploads.discard"), title: t("uploads.discard"), onclick: () => discard(id) }, icon("reject")) : null));

  async function discard(id) {
    if (!window.confirm(t("uploads.sure"))) return;
    try {
      await post("/api/uploads/discard", { numbers: [id] });
    } catch (error) {
      toast(t("error.failed", { why: error.message }), true);
    }
    await look();
  }

  await look();
  return () => { ended = true; };
}
