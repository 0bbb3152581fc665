// The list of alerts, open ones first, with their evidence and a button to acknowledge.

import { byId, command, duration, element, number, setText, timeText } from "./dom.js";

const UNITS = [
  ["_mm_s2", "mm/s²"], ["_px_s2", "px/s²"], ["_mm_s", "mm/s"], ["_px_s", "px/s"], ["_mm", "mm"], ["_px", "px"],
  ["_percent", "%"], ["_hz", "Hz"], ["_s", "s"],
];
const FILES = { "clip.mp4": "clip", "snapshot.jpg": "snapshot", "samples.csv": "samples", "event.json": "all data" };
const rows = new Map();
const sent = new Set();

function unitOf(quantity) {
  return UNITS.find(([ending]) => quantity.endsWith(ending))?.[1] ?? "";
}

function nameOf(quantity) {
  const ending = UNITS.find(([one]) => quantity.endsWith(one))?.[0] ?? "";
  return quantity.slice(0, quantity.length - ending.length).replaceAll("_", " ");
}

function newRow(id) {
  const parts = {
    what: element("b"),
    kind: element("span", { className: "kind" }),
    value: element("span", { className: "value" }),
    times: element("p", { className: "more" }),
    reason: element("p", { className: "more" }),
    button: element("button", { type: "button", className: "acknowledge", textContent: "Acknowledge" }),
    links: element("div", { className: "links" }),
  };
  parts.row = element("li", {},
    element("div", { className: "what" }, parts.what, parts.kind, parts.value), parts.times, parts.reason, parts.links);
  parts.row.dataset.event = id;
  parts.button.addEventListener("click", async () => {
    parts.button.disabled = true;
    const refused = await command("acknowledge", { event_id: id });
    const message = byId("alerts-message");
    message.classList.toggle("refused", refused !== null);
    setText(message, refused ?? "");
    if (refused === null) sent.add(id);
    else parts.button.disabled = false;
  });
  return parts;
}

function fill(parts, { message, is_open: open, started_utc_s: started, files }) {
  const unit = unitOf(message.quantity);
  const where = message.region ?? (message.regions.join(", ") || "camera");
  const ended = message.type === "end"; // else a process stopped while it was open
  parts.row.classList.toggle("open", open);
  setText(parts.what, `${message.rule} · ${where}`);
  setText(parts.kind, open && message.acknowledged ? "acknowledged" : open ? message.kind : `${message.kind}, ${ended ? "ended" : "end not seen"}`);
  const shown = open ? message.value : message.peak_value;
  setText(parts.value, shown === null ? "" : `${open ? "" : "peak "}${number(shown)} ${unit}`.trim());
  const began = started === null ? null : new Date(1000 * started);
  const since = began ? timeText(began) : "unknown";
  const lasted = open && began ? (Date.now() - began) / 1000 : message.duration_s;
  const peak = open && message.peak_value !== null ? `, peak ${number(message.peak_value)}` : "";
  setText(parts.times,
    `${open ? "since" : "from"} ${since}, ${open ? "for" : ended ? "lasted" : "at least"} ${duration(Math.max(lasted, 0))} · ` +
    `${nameOf(message.quantity)}${peak}, threshold ${number(message.threshold)} ${unit}`.trim());
  setText(parts.reason, message.reason ?? "");
  const key = `${open} ${message.acknowledged || sent.has(message.event_id)} ${files.join(" ")}`;
  if (parts.links.dataset.key === key) return;
  parts.links.dataset.key = key;
  const links = files.map((file) => element("a",
    { href: `/evidence/${message.event_id}/${file}`, target: "_blank", rel: "noopener", textContent: FILES[file] ?? file }));
  const acknowledges = open && !message.acknowledged && !sent.has(message.event_id);
  parts.links.replaceChildren(...(acknowledges ? [parts.button] : []), ...links);
}

export function showAlerts(now) {
  const list = byId("alerts");
  const ids = new Set(now.alerts.map((one) => one.message.event_id));
  for (const [id, parts] of rows) {
    if (!ids.has(id)) {
      parts.row.remove();
      rows.delete(id);
      sent.delete(id);
    }
  }
  list.querySelector(".none")?.remove();
  now.alerts.forEach((alert, place) => {
    const id = alert.message.event_id;
    if (!rows.has(id)) rows.set(id, newRow(id));
    const parts = rows.get(id);
    fill(parts, alert);
    if (list.children[place] !== parts.row) list.insertBefore(parts.row, list.children[place] ?? null);
  });
  if (!now.alerts.length) list.append(element("li", { className: "none", textContent: "None was raised yet." }));
  const open = now.alerts.filter((one) => one.is_open).length;
  const suppressed = now.snapshot.suppressed;
  setText(byId("alerts-note"), `${open} open, ${now.alerts.length - open} past` + (suppressed ? `, ${suppressed} suppressed` : ""));
}
