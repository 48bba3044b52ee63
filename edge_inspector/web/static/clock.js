// The station's clock, which may differ from this screen's, and work that is done again and again.

let heard = null; // what the station said, and when, by a clock that nobody can set

/** The station has just said its time. */
export function hearClock(utc) { heard = { utc: Number(new Date(utc)), at: performance.now() }; }

/** The time at the station. A screen's own clock may be wrong by hours, and may be set meanwhile. */
export const stationNow = () => new Date(heard ? heard.utc + performance.now() - heard.at : Date.now());

/**
 * Do this at once and again so long after its end, so that a slow network gets no queue of questions. A screen that sleeps
 * or is hidden asks nothing, and asks at once when it is looked at again. Resolves after the first time, to what ends it.
 */
export async function every(ms, work) {
  let ended = false;
  let busy = false;
  let timer = null;
  const run = async () => {
    if (busy) return;
    clearTimeout(timer);
    busy = true;
    if (!document.hidden) await work();
    busy = false;
    if (!ended) timer = setTimeout(run, ms);
  };
  const seen = () => { if (!document.hidden) run(); };
  document.addEventListener("visibilitychange", seen);
  await run();
  return () => {
    ended = true;
    clearTimeout(timer);
    document.removeEventListener("visibilitychange", seen);
  };
}
