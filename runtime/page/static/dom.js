// Small helpers of all parts.

/** What this page calls itself, so that the daemon knows which picture it still shows. */
export const PAGE = String(Math.random()).slice(2);

export const byId = (id) => document.getElementById(id);

export function element(tag, properties = {}, ...children) {
  const made = Object.assign(document.createElement(tag), properties);
  made.append(...children);
  return made;
}

/** Sets a text only when it differs, so that nothing is laid out, or read aloud, again. */
export function setText(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

/** A number with three digits, an en dash where it is missing: a missing value is never a zero. */
export function number(value, digits = 3) {
  if (value === null || value === undefined) return "–";
  if (value === 0) return "0";
  const size = Math.abs(value);
  if (size >= 10 ** digits) return Math.round(value).toLocaleString("en").replaceAll(",", " ");
  return Number(value.toPrecision(digits)).toString();
}

/** A value with its standard error, both to the error's second digit: 2.305 ± 0.012. */
export function withError(value, error) {
  if (!(error > 0)) return number(value, 4);
  const decimals = Math.min(Math.max(1 - Math.floor(Math.log10(error)), 0), 6);
  return `${value.toFixed(decimals)} ± ${error.toFixed(decimals)}`;
}

/** Date and time of day here, as 2026-11-20 03:04:05. */
export const timeText = (date) => date.toLocaleString("sv");

export function duration(seconds) {
  if (seconds < 60) return `${Math.round(seconds)} s`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min ${Math.round(seconds % 60)} s`;
  if (seconds < 86400) return `${Math.floor(seconds / 3600)} h ${Math.round((seconds % 3600) / 60)} min`;
  return `${Math.floor(seconds / 86400)} d ${Math.round((seconds % 86400) / 3600)} h`;
}

/** Sends a command; the sentence of a refusal, or null when it was carried out. */
export async function command(name, values) {
  try {
    const answer = await fetch(`/api/commands/${name}`, {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify(values),
    });
    const text = await answer.text();
    if (answer.ok) return null;
    try {
      return JSON.parse(text).reason;
    } catch {
      return text.trim();
    }
  } catch {
    return "the daemon does not answer; try again";
  }
}

/** Calls an async function again and again while the page can be seen, each time after the last has ended. */
export function every(milliseconds, work) {
  let waits = null;
  let busy = false;
  async function once() {
    clearTimeout(waits);
    if (busy || document.hidden) return;
    busy = true;
    try {
      await work();
    } finally {
      busy = false;
    }
    waits = setTimeout(once, milliseconds);
  }
  document.addEventListener("visibilitychange", once);
  once();
  return once;
}
