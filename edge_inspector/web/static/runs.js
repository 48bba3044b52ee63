// A drawing as runs: value, length, value, length, row by row. And the drawings that this browser keeps until they are stored.

const KEPT = 8;
const PREFIX = "drawing:";

/** Stands for the camera of a picture that somebody has brought. No camera can be called so. */
export const UPLOADED = "_upload";

export function unpacked(runs, size) {
  const pixels = new Uint8Array(size);
  for (let run = 0, at = 0; run < runs.length; run += 2) pixels.fill(runs[run], at, (at += runs[run + 1]));
  return pixels;
}

export function packed(pixels) {
  const runs = [];
  for (let at = 0, begin = 0; at < pixels.length; begin = at) {
    while (at < pixels.length && pixels[at] === pixels[begin]) at += 1;
    runs.push(pixels[begin], at - begin);
  }
  return runs;
}

/** What this browser keeps of one view of one part. A number alone may name another part after a reinstallation. */
export function draftOf(station, part, camera) {
  const key = `${PREFIX}${station.name}:${part.utc}:${part.id}:${camera}`;
  return {
    read: () => parsed(localStorage.getItem(key)),
    /** Whether there was room for it. */
    keep(drawing) {
      try {
        localStorage.setItem(key, JSON.stringify({ ...drawing, part: part.part, id: part.id, camera, saved: Date.now() }));
      } catch {
        return false;
      }
      for (const [old] of all().slice(KEPT)) if (old !== key) localStorage.removeItem(old);
      return true;
    },
    drop: () => localStorage.removeItem(key),
  };
}

/** The unfinished drawings of this station in this browser, newest first. */
export const unfinished = (station) => all().filter(([key]) => key.startsWith(`${PREFIX}${station.name}:`)).map(([, draft]) => draft);

function all() {
  return Object.keys(localStorage).filter((key) => key.startsWith(PREFIX)).map((key) => [key, parsed(localStorage.getItem(key))])
    .filter(([, draft]) => draft).sort(([, a], [, b]) => b.saved - a.saved);
}

function parsed(text) {
  try {
    const draft = JSON.parse(text);
    return Array.isArray(draft?.runs) && Array.isArray(draft.classes) ? draft : null;
  } catch {
    return null;
  }
}
