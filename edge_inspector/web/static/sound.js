// A sound for faults, if this screen is to make one. Browsers allow it only after somebody has touched the page.

const HZ = 880;
const BEEP_S = 0.25;
const EVERY_MS = 2000;

let audio = null;
let timer = null;

const wanted = () => localStorage.getItem("sound") === "on";

function beep() {
  audio ??= new AudioContext();
  const tone = audio.createOscillator();
  const volume = audio.createGain();
  tone.frequency.value = HZ;
  volume.gain.value = 0.2;
  tone.connect(volume).connect(audio.destination);
  tone.start();
  tone.stop(audio.currentTime + BEEP_S);
}

export const sound = {
  get on() { return wanted(); },
  switch() {
    localStorage.setItem("sound", wanted() ? "off" : "on");
    if (wanted()) beep();
    else sound.silence();
  },
  silence() {
    clearInterval(timer);
    timer = null;
  },
  /** It goes on until the fault is over and acknowledged. */
  follow({ state, held }) {
    const alarm = wanted() && (held.length > 0 || state === "fault");
    document.documentElement.dataset.alarm = alarm ? "on" : "off";
    if (alarm && timer === null) timer = setInterval(beep, EVERY_MS);
    if (!alarm) sound.silence();
  },
};
