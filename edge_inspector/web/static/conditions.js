// What is wrong, in words.

import { has, t } from "./texts.js";

/** A condition in one sentence. */
export function conditionText(code, subject) {
  if (!has(`code.${code}`)) return `${code} ${subject}`;
  return t(`code.${code}`, { name: code === "drift" ? driftText(subject) : subject.replace(/^page:/, "") });
}

/** A reason as the log words it, without the marks around what is to be typed. */
export const plain = (why) => (why ?? "").replaceAll("`", "");

/** What it means for the parts, where somebody could think otherwise; `uninspected` is what becomes of those. */
export function consequenceText(code, uninspected) {
  const key = [`then.${code}.${uninspected}`, `then.${code}`].find(has);
  return key ? t(key) : "";
}

/** What drifted is told as "cam1 brightness" or "reject rate". */
export function driftText(subject) {
  if (subject === "reject rate") return t("drift.rate");
  const [, of, quantity] = subject.match(/^(.*) (\w+)$/) ?? [null, subject, ""];
  return has(`drift.${quantity}`) ? `${of}, ${t(`drift.${quantity}`)}` : subject;
}
