// Waveform and spectrum of the selected region.

import { byId, element, every, number, setText, withError } from "./dom.js";

const POLL_MS = 500;
const HEIGHT = 200;
const DARK = window.matchMedia("(prefers-color-scheme: dark)");
let region = null;
let now = null;
let trace = null;
let charts = null;
const listeners = [];

export const selected = () => region;
export const onSelect = (listener) => listeners.push(listener);

export function select(name) {
  region = name;
  for (const input of document.querySelectorAll("input[name=region]")) input.checked = input.value === name;
  for (const listener of listeners) listener();
  showLevels();
  again();
}

const quantity = () => document.querySelector("input[name=quantity]:checked").value;

export function showRegions(newest) {
  now = newest;
  const names = now.regions.map((one) => one.name);
  const group = byId("regions");
  if (group.dataset.names !== names.join(" ")) {
    group.dataset.names = names.join(" ");
    group.replaceChildren(...names.map((name) => {
      const input = element("input", { type: "radio", name: "region", value: name });
      return element("label", {}, input, element("span", {}, name));
    }));
    if (!names.includes(region)) select(now.regions.find((one) => !one.reference)?.name ?? names[0]);
  }
  showLevels();
}

function showLevels() {
  const told = now?.snapshot.telemetry.find((one) => one.region === region);
  const line = byId("levels");
  if (!told) {
    setText(line, "Not measured yet.");
    return;
  }
  const hasMm = told.x_mm !== null || told.displacement_rms_mm !== null;
  const unit = hasMm ? "mm" : "px";
  const of = (name, per = "") => told[`${name}_${unit}${per}`];
  const peak = told.peaks[0];
  const values = [
    ["RMS", of("displacement_rms"), unit],
    ["peak", of("displacement_peak"), unit],
    ["PPV", of("ppv", "_s"), `${unit}/s`],
    ["signal to noise", told.signal_to_noise, ""],
    ["strongest", peak && withError(peak.hz, peak.hz_se), "Hz"],
    ["damping", told.damping && withError(100 * told.damping.ratio, 100 * told.damping.ratio_se), "%"],
  ];
  line.replaceChildren(...values.map(([name, value, unit_]) => {
    const text = typeof value === "string" ? value : number(value);
    return element("span", {}, name, element("b", {}, text), text === "–" ? "" : ` ${unit_}`);
  }));
}

function colour(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(name).trim();
}

function axes(across, along) {
  const common = {
    stroke: colour("--quiet"),
    grid: { stroke: colour("--line"), width: 1 },
    ticks: { stroke: colour("--line"), width: 1, size: 4 },
    font: "12px system-ui, sans-serif",
    labelFont: "12px system-ui, sans-serif",
    labelSize: 18,
  };
  const values = (_, splits) => splits.map((one) => number(one, 4).replace("-", "−"));
  return [
    { ...common, label: across, size: 30, values },
    { ...common, label: along, size: 56, values },
  ];
}

const curve = (label, name, width) => ({ label, stroke: colour(name), width, points: { show: false }, spanGaps: false });

function chart(place, across, along, scales, hooks, readout, drag) {
  const data = [[], [], []];
  const made = new uPlot({
    width: Math.max(place.clientWidth, 100),
    height: HEIGHT,
    legend: { show: false },
    cursor: { drag: { x: drag, y: false }, points: { size: 6 } },
    scales,
    axes: axes(across, along),
    series: [{}, curve("x", "--accent", 1.5), curve("y", "--second", 1.25)],
    hooks: {
      ...hooks,
      setCursor: [(plot) => readout(plot, plot.cursor.idx)],
    },
  }, data, place);
  return made;
}

/** The strongest peak: a dashed line with its frequency. */
function markPeak(plot) {
  const peak = trace?.peaks[0];
  if (!peak) return;
  const { ctx, bbox } = plot;
  const x = plot.valToPos(peak.hz, "x", true);
  if (x < bbox.left || x > bbox.left + bbox.width) return;
  const dots = window.devicePixelRatio;
  ctx.save();
  ctx.strokeStyle = ctx.fillStyle = colour("--text");
  ctx.lineWidth = dots;
  ctx.setLineDash([3 * dots, 3 * dots]);
  ctx.beginPath();
  ctx.moveTo(x, bbox.top + 18 * dots);
  ctx.lineTo(x, bbox.top + bbox.height);
  ctx.stroke();
  ctx.font = `600 ${12 * dots}px system-ui, sans-serif`;
  ctx.textBaseline = "top";
  const onTheRight = x > bbox.left + 0.7 * bbox.width;
  ctx.textAlign = onTheRight ? "right" : "left";
  ctx.fillText(`${withError(peak.hz, peak.hz_se)} Hz`, x + (onTheRight ? 2 : -2) * dots, bbox.top + 2 * dots);
  ctx.restore();
}

function readout(id, across, decimals) {
  return (plot, index) => {
    const [at, x, y] = plot.data.map((values) => (index === null || index === undefined ? null : values[index]));
    const text = at === null || at === undefined
      ? ""
      : `${at.toFixed(decimals).replace("-", "−")} ${across}: x ${number(x)}, y ${number(y)} ${trace.unit}`;
    setText(byId(id), text);
  };
}

function build() {
  charts?.wave.destroy();
  charts?.spectrum.destroy();
  const name = trace.quantity === "velocity" ? "velocity" : "displacement";
  const waveScales = {
    x: { time: false, range: () => [-trace.window_s, 0] },
    y: { range: (_, low, high) => padded(low, high) },
  };
  const spectrumScales = {
    x: { time: false, range: (_, low, high) => [low ?? 0, high ?? 1] },
    y: { range: (_, low, high) => [0, high ? 1.22 * high : 1] },
  };
  charts = {
    of: `${trace.quantity} ${trace.unit}`,
    wave: chart(byId("wave"), "s", `${name} (${trace.unit})`, waveScales, {}, readout("wave-at", "s", 2), false),
    spectrum: chart(byId("spectrum"), "Hz", `amplitude (${trace.unit})`, spectrumScales,
      { draw: [markPeak] }, readout("spectrum-at", "Hz", 2), true),
  };
}

function padded(low, high) {
  if (low === null || high === null) return [-1, 1];
  const edge = 0.08 * (high - low) || 1e-3;
  return [low - edge, high + edge];
}

function show() {
  if (charts?.of !== `${trace.quantity} ${trace.unit}`) build();
  charts.wave.setData([trace.t_s, trace.x, trace.y]);
  // While somebody has zoomed in, the zoom stays.
  const { min, max } = charts.spectrum.scales.x;
  const zoomed = charts.whole && (min > charts.whole[0] || max < charts.whole[1]);
  charts.spectrum.setData([trace.hz, trace.x_amplitude, trace.y_amplitude], !zoomed);
  if (zoomed) charts.spectrum.redraw();
  charts.whole = [trace.hz[0] ?? 0, trace.hz.at(-1) ?? 1];
  document.body.dataset.curves = `${region} ${trace.quantity} ${trace.hz.length ? "drawn" : "waiting"}`;
}

const again = every(POLL_MS, async () => {
  if (region === null) return;
  const [name, wanted] = [region, quantity()];
  let newest = null;
  let problem = null;
  try {
    const answer = await fetch(`/api/regions/${name}?quantity=${wanted}`, { signal: AbortSignal.timeout(5000) });
    if (answer.ok) newest = await answer.json();
    else problem = (await answer.text()).trim();
  } catch {
    problem = "the daemon does not answer";
  }
  if (name !== region || wanted !== quantity()) return;
  if (newest) {
    trace = newest;
    show();
  }
  const told = [problem, newest?.reason, ...(newest?.warnings ?? [])].filter(Boolean);
  setText(byId("curves-note"), told.join("; ") || "\u00a0");
});

byId("regions").addEventListener("change", (event) => select(event.target.value));
byId("quantities").addEventListener("change", again);
DARK.addEventListener("change", () => {
  if (trace) {
    build();
    show();
  }
});
new ResizeObserver(() => {
  if (!charts) return;
  charts.wave.setSize({ width: byId("wave").clientWidth, height: HEIGHT });
  charts.spectrum.setSize({ width: byId("spectrum").clientWidth, height: HEIGHT });
}).observe(byId("curves-note"));
