// What is wrong, in words.

import { has, t } from "./texts.js";

/** A condition in one sentence. */
export function conditionText(code, subject) {
  if (!has(`code.${code}`)) return `${code} ${subject}`;
  return t(`code.${code}`, { name: code === "drift" ? driftText(subject) : subjectText(subject) });
}

/** What a condition is about: a recipe by its number, or a name as it is. */
function subjectText(subject) {
  const [, recipe] = subject.match(/^recipe (\d+)$/) ?? [];
  return recipe ? t("subject.recipe", { n: recipe }) : subject.replace(/^page:/, "");
}

/** Who did something: a person by the name, or files that somebody has edited. */
export const whoText = (who) => (who === "files" ? t("who.files") : who.replace(/^page:/, ""));

/** A reason as the log words it, without the marks around what is to be typed. */
export const plain = (why) => (why ?? "").replaceAll("`", "");

// Meanwhile some or all parts are not inspected.
const UNINSPECTED = ["camera_lost", "camera_left_out", "bad_pictures", "encoder_lost", "count_mismatch", "line_mismatch", "inference_failed",
  "model_not_loaded", "recipe_mismatch", "recipe_changing", "parts_not_inspected", "line_blind", "web_backwards"];

/** What it means for the parts. `uninspected` is what becomes of those that are not inspected, `promise` the line's. */
export function consequenceText({ code, fault }, uninspected, promise) {
  const key = keyOf(code, fault, promise);
  const found = [`then.${key}.${uninspected}`, `then.${key}`].find(has);
  return found ? t(found) : "";
}

// What it means for the parts is work for somebody, also when it is over.
const TO_DO_AFTERWARDS = ["verdict_late"];

/** What is still to be done with the parts of an event that is over. */
export const afterwardsText = (event, uninspected, promise) => (TO_DO_AFTERWARDS.includes(event.code) ? consequenceText(event, uninspected, promise) : "");

// Their sentence says that the message names what to look at. So the message is shown whole.
const NAMED_THERE = ["model_not_loaded", "other_writer", "plc_numbers", "parts_not_inspected", "line_blind", "state_lost", "challenge_failed"];

/** How a reason is shown: whole, or as small print. */
export const reasonKind = (code) => (NAMED_THERE.includes(code) ? "hint" : "why");

/** What the parts feel comes before what they do not, as a broker that is lost. Otherwise the order stays. */
export const partsFirst = (conditions) => [...conditions].sort((a, b) => concerns(b) - concerns(a));

const concerns = ({ code, fault }) => Number(fault || code === "switched_off" || UNINSPECTED.includes(code));

function keyOf(code, fault, promise) {
  // A broker or a camera is a fault only where the gate depends on it.
  if (code === "broker_lost") return fault ? "no_verdicts" : code;
  if (code === "plc_lost") return promise === "acknowledged" ? code : "no_verdicts";
  if (code === "camera_lost" && fault) return code;
  return UNINSPECTED.includes(code) ? "not_inspected" : code;
}

/** What drifted is told as "cam1 brightness" or "reject rate". */
export function driftText(subject) {
  if (subject === "reject rate") return t("drift.rate");
  const [, of, quantity] = subject.match(/^(.*) (\w+)$/) ?? [null, subject, ""];
  return has(`drift.${quantity}`) ? `${of}, ${t(`drift.${quantity}`)}` : subject;
}
