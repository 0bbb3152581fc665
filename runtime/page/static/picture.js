// The picture, its views, and the outlines of the regions on it, each a button that selects the region.

import { onSelect, select, selected } from "./curves.js";
import { PAGE, byId, element, number, setText } from "./dom.js";

const RETRY_MS = 1500;
const NARROW = window.matchMedia("(max-width: 620px)");
const picture = byId("picture");
let now = null;
let playing = null;
let refusal = null;
let retry = null;

function wanted() {
  const view = document.querySelector("input[name=view]:checked").value;
  return view === "beside" && NARROW.matches ? "below" : view;
}

function panels(view) {
  if (view === "beside") return [[0, 0, 0.5, 1], [0.5, 0, 0.5, 1]];
  if (view === "below") return [[0, 0, 1, 0.5], [0, 0.5, 1, 0.5]];
  return [[0, 0, 1, 1]];
}

function play() {
  const view = document.hidden ? null : wanted();
  if (view === playing) return;
  playing = view;
  if (view === null) picture.removeAttribute("src");
  else picture.src = `/picture?view=${view}&page=${PAGE}&at=${Date.now()}`;
  if (now) draw();
}

/** After the daemon did not answer, what was played has ended. */
export function playAnew() {
  playing = null;
}

// A browser also calls it an error when it leaves one stream for another: then the next picture comes.
picture.addEventListener("error", () => {
  if (retry !== null) return;
  retry = setTimeout(() => {
    retry = null;
    if (picture.naturalWidth > 0) return;
    const full = now && now.watchers >= now.most_watchers;
    refusal = full
      ? `${now.watchers} watch already, as many as page.watchers allows; close one of their pages, or raise it`
      : "the picture cannot be had; trying again";
    notice();
    playAnew();
    play();
  }, RETRY_MS);
});

picture.addEventListener("load", () => {
  refusal = null;
  notice();
});

function notice() {
  const note = byId("no-picture");
  const age = now?.snapshot.frame_age_s;
  let text = refusal;
  if (now?.snapshot.camera_problem) text = now.snapshot.camera_problem;
  else if (age > 3) text = `No new picture for ${Math.round(age)} s.`;
  note.hidden = !text;
  if (text) setText(note, text);
}

function draw() {
  const [width, height] = now.snapshot.picture_px ?? [16, 9];
  const view = now.snapshot.engine === null ? "raw" : wanted();
  const parts = panels(view);
  const stage = byId("stage");
  const across = view === "beside" ? 2 : 1;
  const down = view === "below" ? 2 : 1;
  const ratio = (across * width) / (down * height);
  stage.style.aspectRatio = `${ratio}`;
  stage.style.maxWidth = `calc(46vh * ${ratio})`;
  const alerted = new Set(now.snapshot.open_alerts.flatMap((one) => one.regions));
  const told = new Map(now.snapshot.telemetry.map((one) => [one.region, one]));
  const outlines = byId("outlines");
  const key = `${view} ${width} ${height}`;
  if (outlines.dataset.key !== key) {
    outlines.dataset.key = key;
    outlines.replaceChildren(
      ...parts.flatMap((part, place) => now.regions.map((one) => outline(one, part, place, width, height))),
      ...(parts.length > 1 ? parts.map(([left, top], place) => caption(["raw", "magnified"][place], left, top)) : []),
    );
  }
  for (const one of outlines.querySelectorAll(".outline")) {
    const name = one.dataset.region;
    one.classList.toggle("alert", alerted.has(name));
    one.classList.toggle("selected", selected() === name);
    one.classList.toggle("unknown", !told.get(name)?.valid);
  }
}

function caption(text, left, top) {
  const one = element("span", { className: "caption" }, text);
  one.style.left = `${100 * left}%`;
  one.style.top = `${100 * top}%`;
  return one;
}

function outline(region, [left, top, wide, high], panel, width, height) {
  const one = element("button", { type: "button", className: "outline" }, element("span", {}, region.name));
  one.dataset.region = region.name;
  one.setAttribute("aria-label", `Select region ${region.name}`);
  if (panel > 0) one.tabIndex = -1;
  one.style.left = `${100 * (left + (wide * region.x) / width)}%`;
  one.style.top = `${100 * (top + (high * region.y) / height)}%`;
  one.style.width = `${(100 * wide * region.width) / width}%`;
  one.style.height = `${(100 * high * region.height) / height}%`;
  one.classList.toggle("low", region.y < 0.08 * height);
  one.classList.toggle("right", region.x > 0.75 * width);
  one.addEventListener("click", () => select(region.name));
  return one;
}

export function showPicture(newest) {
  now = newest;
  const { snapshot } = now;
  for (const input of document.querySelectorAll("input[name=view]")) {
    input.disabled = snapshot.engine === null && input.value !== "raw";
    if (snapshot.engine === null) input.checked = input.value === "raw";
  }
  play();
  draw();
  notice();
  const { gain, mode, low_hz: low, high_hz: high } = snapshot.magnification;
  const band = mode === "band-pass" ? `, ${number(low)} to ${number(high)} Hz` : "";
  const magnified = snapshot.engine === null
    ? "Nothing is magnified."
    : `Motion ×${number(gain)}, ${mode}${band}, at ${number(snapshot.magnified_hz)} pictures a second.`;
  const size = snapshot.picture_px ? ` ${snapshot.picture_px[0]} × ${snapshot.picture_px[1]} px.` : "";
  setText(byId("picture-note"), magnified + size);
}

byId("views").addEventListener("change", play);
NARROW.addEventListener("change", play);
document.addEventListener("visibilitychange", play);
onSelect(() => now && draw());
