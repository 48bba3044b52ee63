// What the page asks of the station, and who asks.

import { at } from "./place.js";

export const me = { name: null, role: null, csrf: null };

const ORDER = { viewer: 1, reviewer: 2, operator: 3, admin: 4 };

/** Whether whoever is logged in may do what this role may. */
export const may = (role) => (ORDER[me.role] ?? 0) >= ORDER[role];

/** Thrown for every answer that is not a good one; `status` is 0 where there was none at all. */
export class Refused extends Error {
  constructor(status, text) {
    super(text);
    this.status = status;
  }
}

const ANSWER_MS = 30e3; // a station that hangs keeps the connection and says nothing

async function ask(method, url, body, withinMs = ANSWER_MS) {
  const headers = { Accept: "application/json" };
  const file = body instanceof Blob;
  if (body !== undefined) headers["Content-Type"] = file ? "application/octet-stream" : "application/json";
  if (me.csrf && method !== "GET") headers["X-CSRF-Token"] = me.csrf;
  let answer;
  try {
    const signal = method === "GET" ? AbortSignal.timeout(withinMs) : null; // a change may take as long as its file is large
    answer = await fetch(at(url), { method, headers, signal, body: body === undefined || file ? body : JSON.stringify(body) });
  } catch (error) {
    throw new Refused(0, String(error));
  }
  const told = await answer.json().catch(() => ({}));
  if (!answer.ok) throw new Refused(answer.status, told.error ?? answer.statusText);
  return told;
}

export const get = (url, withinMs) => ask("GET", url, undefined, withinMs);

/** Send a change. If the session has ended meanwhile, ask for the login and send it again, so that no work is lost. */
export async function post(url, body) {
  try {
    return await ask("POST", url, body ?? {});
  } catch (error) {
    if (error.status !== 401 || !me.name || !(await ended())) throw error;
    return ask("POST", url, body ?? {});
  }
}

/** Send a file as it is, in the same way. */
export const send = (url, file) => post(url, file);

let askAgain = async () => false;

/** `ask` is called when a session has ended. It resolves to whether somebody is logged in again. */
export function onEnded(ask) { askAgain = ask; }

function ended() {
  become({ name: null, role: null, csrf: null });
  return askAgain();
}

function become(told) {
  const other = told.name !== me.name;
  Object.assign(me, told);
  if (other) document.dispatchEvent(new Event("session"));
}

/** Ask who is logged in, log in, log out: each brings `me` up to date and tells the page of another user. */
export async function whoAmI() { become(await get("/api/session")); }
export async function logIn(name, password) { become(await ask("POST", "/api/login", { name, password })); }
export async function logOut() { become(await ask("POST", "/api/logout", {})); }
