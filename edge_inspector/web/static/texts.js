// The texts of the page in the chosen language, numbers and times as people of that language write them.

import { at } from "./place.js";

const RETRY_MS = 3000;

/** Ask until the station answers: without texts there is nothing to show. */
async function told() {
  const wanted = localStorage.getItem("language") ?? navigator.language;
  for (;;) {
    try {
      const answer = await fetch(at(`/api/languages/${encodeURIComponent(wanted)}`));
      if (answer.ok) return await answer.json();
    } catch { /* the station is not there yet */ }
    await new Promise((resolve) => setTimeout(resolve, RETRY_MS));
  }
}

export const { tag: language, direction, texts: TEXTS, languages } = await told();

const LOCALE = (() => {
  try {
    return Intl.getCanonicalLocales(language === "en" ? "en-GB" : language)[0];
  } catch {
    return "en-GB";
  }
})();
// Digits that everybody on the line can read, whatever the script: they are compared with those on the machine.
const DIGITS = { numberingSystem: "latn" };

/** Choose another language; the page is built anew. */
export function chooseLanguage(tag) {
  localStorage.setItem("language", tag);
  location.reload();
}

/** The text called `key`, with {names} filled in. For one of something there may be a text of its own. */
export function t(key, values = {}) {
  const one = String(values.n) === "1" && TEXTS[`${key}.one`];
  return (one || (TEXTS[key] ?? key)).replace(/\{(\w+)\}/g, (whole, name) => values[name] ?? whole);
}

/** Whether there is such a text. Another word, of a newer station, is shown as it is. */
export const has = (key) => Object.hasOwn(TEXTS, key);

/** The name of a defect class in this language, or as the model calls it. */
export const className = (name) => (has(`class.${name}`) ? TEXTS[`class.${name}`] : name);

/** A number as people of this language write it. */
export function number(value, digits = 0) {
  return new Intl.NumberFormat(LOCALE, { ...DIGITS, minimumFractionDigits: digits, maximumFractionDigits: digits }).format(value);
}

/** A large number in few characters. */
export const compact = (value) => new Intl.NumberFormat(LOCALE, { ...DIGITS, notation: "compact", maximumFractionDigits: 1 }).format(value);

/** A moment of the day, or with its day. */
export function moment(utc, withDay = false) {
  const style = { hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23", ...(withDay && { year: "numeric", month: "2-digit", day: "2-digit" }) };
  return new Intl.DateTimeFormat(LOCALE, { ...DIGITS, ...style }).format(new Date(utc));
}

/** Hour and minute. */
export const clock = (utc) => new Intl.DateTimeFormat(LOCALE, { ...DIGITS, hour: "2-digit", minute: "2-digit", hourCycle: "h23" }).format(new Date(utc));

/** The hour of the day as a number. */
export const hourOf = (utc) => String(new Date(utc).getHours()).padStart(2, "0");
