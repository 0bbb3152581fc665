// Gain, mode and band of the magnification. They hold until the daemon ends, for everybody who looks.

import { byId, command, number, setText } from "./dom.js";

const MOST_GAIN = 500;
const [slider, gain, mode, low, high] = ["gain-slider", "gain", "mode", "low", "high"].map(byId);
const fields = [slider, gain, mode, low, high];
let holds = null;
let sending = 0;

const place = (value) => Math.round((100 * Math.log(value)) / Math.log(MOST_GAIN));
const gainAt = (position) => Number((MOST_GAIN ** (position / 100)).toPrecision(2));

async function change(values) {
  sending += 1;
  const refused = await command("magnification", values);
  sending -= 1;
  const message = byId("controls-message");
  message.classList.toggle("refused", refused !== null);
  setText(message, refused ?? "");
  if (refused === null) holds = { ...holds, ...values };
  fill(true);
}

function fill(all = false) {
  if (!holds || sending) return;
  const shown = [[gain, holds.gain], [mode, holds.mode], [low, holds.low_hz], [high, holds.high_hz]];
  for (const [field, value] of shown) {
    const text = typeof value === "number" ? number(value, 4) : value;
    if ((all || document.activeElement !== field) && field.value !== text) field.value = text;
  }
  if (document.activeElement !== slider || all) slider.value = place(holds.gain);
  const off = document.body.dataset.magnifies !== "yes";
  for (const field of fields) field.disabled = off;
  low.disabled = high.disabled = off || holds.mode !== "band-pass";
}

export function showControls(now) {
  document.body.dataset.magnifies = now.snapshot.engine === null ? "no" : "yes";
  holds = now.snapshot.magnification;
  fill();
  if (now.snapshot.engine === null) setText(byId("controls-message"), "Magnification is off in the configuration.");
}

/** What is written in a number's field; null where that is no number, which the daemon refuses with a reason. */
const written = (field) => (field.value === "" ? null : Number(field.value));

byId("controls").addEventListener("submit", (event) => event.preventDefault());
slider.addEventListener("input", () => { gain.value = gainAt(slider.value); });
slider.addEventListener("change", () => change({ gain: gainAt(slider.value) }));
gain.addEventListener("change", () => change({ gain: written(gain) }));
mode.addEventListener("change", () => change({ mode: mode.value }));
for (const edge of [low, high]) {
  edge.addEventListener("change", () => change({ low_hz: written(low), high_hz: written(high) }));
}
