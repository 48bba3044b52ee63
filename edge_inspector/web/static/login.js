// The dialog that asks for name and password.

import { logIn, may, me, onEnded } from "./api.js";
import { h, toast } from "./dom.js";
import { t } from "./texts.js";

const SAID = { 401: "login.wrong", 429: "login.wait" };

/** Resolves to whether somebody is logged in now. With `must` there is no way around it. `why` says why it is asked for. */
export function askForLogin({ must = false, why = "" } = {}) {
  return new Promise((resolve) => {
    const name = h("input", { name: "name", autocomplete: "username", required: true, maxlength: 32, autofocus: true });
    const password = h("input", { name: "password", type: "password", autocomplete: "current-password", required: true, maxlength: 256 });
    const wrong = h("p", { class: "wrong", role: "alert" });
    const enter = async (event) => {
      event.preventDefault();
      try {
        await logIn(name.value, password.value);
      } catch (error) {
        wrong.textContent = t(SAID[error.status] ?? "error.failed", { why: error.message });
        password.value = "";
        password.focus();
        return;
      }
      toast(t("login.welcome", { name: me.name }));
      dialog.close();
    };
    const dialog = h("dialog", { "aria-labelledby": "login-title" },
      h("form", { onsubmit: enter },
        h("h2", { id: "login-title" }, t("login.title")),
        why ? h("p", {}, why) : null,
        h("label", {}, t("login.name"), name),
        h("label", {}, t("login.password"), password),
        wrong,
        h("div", { class: "row end" },
          must ? null : h("button", { type: "button", class: "quiet", onclick: () => dialog.close() }, t("login.cancel")),
          h("button", { type: "submit", class: "primary" }, t("login.title")))));
    dialog.addEventListener("cancel", (event) => { if (must) event.preventDefault(); });
    dialog.addEventListener("close", () => {
      if (must && me.name === null) return dialog.showModal(); // browsers let a second Escape through
      dialog.remove();
      resolve(me.name !== null);
    });
    document.body.append(dialog);
    dialog.showModal();
  });
}

onEnded(() => askForLogin({ why: t("login.ended") }));

/** Whether somebody with this role is there now: who is not logged in is asked to. Says so if the role is not enough. */
export async function withRole(role) {
  if (!may(role)) await askForLogin();
  if (may(role)) return true;
  if (me.name !== null) toast(t("login.role", { name: t(`role.${role}`) }), true);
  return false;
}
