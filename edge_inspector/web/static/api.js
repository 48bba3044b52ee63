// What the page asks of the station, and who asks.

import { at } from "./place.js";

export const me = { name: null, role: null, csrf: null };

const ORDER = { viewer: 1, reviewer: 2, admin: 3 };

/** Whether whoever is logged in may do what this role may. */
export const may = (role) => (ORDER[me.role] ?? 0) >= ORDER[role];

/** Thrown for every answer that is not a good one; `status` is 0 where there was none at all. */
export class Refused extends Error {
  constructor(status, text) {
    super(text);
    this.status = status;
  }
}

async function ask(method, url, body) {
  const headers = { Accept: "application/json" };
  if (body !== undefined) headers["Content-Type"] = "application/json";
  if (me.csrf && method !== "GET") headers["X-CSRF-Token"] = me.csrf;
  let answer;
  try {
    answer = await fetch(at(url), { method, headers, body: body === undefined ? undefined : JSON.stringify(body) });
  } catch (error) {
    throw new Refused(0, String(error));
  }
  const told = await answer.json().catch(() => ({}));
  if (!answer.ok) throw new Refused(answer.status, told.error ?? answer.statusText);
  return told;
}

export const get = (url) => ask("GET", url);
export const post = (url, body) => ask("POST", url, body ?? {});

/** Ask who is logged in, log in, log out: each brings `me` up to date. */
export async function whoAmI() { Object.assign(me, await get("/api/session")); }
export async function logIn(name, password) { Object.assign(me, await post("/api/login", { name, password })); }
export async function logOut() { Object.assign(me, await post("/api/logout")); }
