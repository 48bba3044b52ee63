// The buttons at the top of every page: colours, language, who is logged in.

import { logOut, me } from "./api.js";
import { h, icon, toast } from "./dom.js";
import { askForLogin } from "./login.js";
import { chooseLanguage, language, languages, t } from "./texts.js";

const THEMES = ["auto", "light", "dark"];

export function languageChoice() {
  const choice = h("select", { class: "language", "aria-label": t("top.language"), onchange: () => chooseLanguage(choice.value) },
    languages.map(({ tag, name }) => h("option", { value: tag, lang: tag, selected: tag === language }, name)));
  return choice;
}

export function themeButton() {
  const now = document.documentElement.dataset.theme ?? "auto";
  const button = h("button", { class: "quiet square", "aria-label": t(`top.theme.${now}`), title: t(`top.theme.${now}`) }, icon(now));
  button.addEventListener("click", () => {
    const next = THEMES[(THEMES.indexOf(now) + 1) % THEMES.length];
    if (next === "auto") delete document.documentElement.dataset.theme;
    else document.documentElement.dataset.theme = next;
    localStorage.setItem("theme", next);
    const fresh = themeButton();
    button.replaceWith(fresh);
    fresh.focus();
  });
  return button;
}

/** `again` draws the page anew for whoever has logged in, `start` begins from the start for whoever has left. */
export function userButton(again, start) {
  if (!me.name) {
    return h("button", { class: "quiet", id: "login", onclick: async () => { if (await askForLogin()) again(); } }, icon("user"), t("top.login"));
  }
  const out = async () => {
    await logOut();
    toast(t("login.bye"));
    start();
  };
  return h("button", { class: "quiet", id: "logout", onclick: out, title: t(`role.${me.role}`) }, icon("user"), `${me.name} · ${t("top.logout")}`);
}
