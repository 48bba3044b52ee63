// Does the station still find what it must, what is recorded, and who changed what.

import { may } from "./api.js";
import { auditPanel } from "./audit.js";
import { challengePanel } from "./challenge.js";
import { h } from "./dom.js";
import { recordPanel } from "./record.js";
import { t } from "./texts.js";

export async function mount({ main }) {
  const panels = [challengePanel(), recordPanel(), may("admin") ? auditPanel() : null].filter(Boolean);
  main.append(h("h1", {}, t("checks.title")), h("div", { class: "cards" }, panels.map(({ element }) => element)));
  await Promise.all(panels.map(({ begin }) => begin()));
  return () => panels.forEach(({ end }) => end());
}
