// How the daemon is: camera, rates, drops, latencies, queue, engine, delivery, evidence, disk.

import { byId, duration, element, number, setText } from "./dom.js";

const rows = new Map();

function row(name, text, wrong = false) {
  if (!rows.has(name)) {
    const value = element("dd");
    byId("health").append(element("dt", { textContent: name }), value);
    rows.set(name, value);
  }
  const value = rows.get(name);
  setText(value, text);
  value.classList.toggle("wrong", wrong);
}

function latency(latencies) {
  const known = Object.entries(latencies).filter(([, spread]) => spread !== null);
  if (!known.length) return "– (the source has no clock)";
  const lines = known.map(([name, one]) => `${name}: ${number(one.p50_ms, 2)}, ${number(one.p99_ms, 2)}`);
  return ["half, 99 % of the frames within", ...lines].join("\n");
}

function size(bytes) {
  return bytes === null ? "–" : bytes > 1e9 ? `${number(bytes / 1e9)} GB` : `${number(bytes / 1e6)} MB`;
}

export function showHealth({ snapshot, not_ready: notReady, watchers, most_watchers: most, disk_free_bytes: free, disk_size_bytes: whole }) {
  const { frames, waiting, delivery, evidence } = snapshot;
  const problems = snapshot.health.join(", ");
  row("Camera", snapshot.camera_problem ?? (problems || "well"), Boolean(problems || snapshot.camera_problem));
  row("Ready", notReady ?? "yes");
  row("Rate", `${number(snapshot.camera_hz)} Hz, newest frame ${number(snapshot.frame_age_s, 2)} s old`);
  row("Frames", `${number(frames.captured)} seen, ${number(frames.measured)} measured`);
  row("Dropped", `${number(frames.not_measured)} before measurement, ${number(frames.not_magnified)} not magnified`);
  row("Camera's own", `${number(snapshot.camera.lost)} lost, ${number(snapshot.camera.repeated)} repeated, opened again ${number(snapshot.camera.reopened)} times`);
  row("Queue", `${waiting.frames_to_measure} of ${waiting.most_frames_to_measure} frames wait`);
  row("Latency (ms)", latency(snapshot.latencies));
  row("Engine", snapshot.engine ?? "none");
  row("Broker", delivery === null
    ? "none"
    : `${delivery.problem ?? (delivery.connected ? "connected" : "not connected")}, ${delivery.queued} alerts wait`,
    delivery !== null && !delivery.connected);
  if (delivery !== null) {
    row("Outbox", delivery.outbox_problem ?? `${delivery.waiting_telemetry} telemetry waits, ${delivery.parked} parked`,
      delivery.outbox_problem !== null || delivery.parked > 0);
  }
  row("Evidence", evidence === null ? "not kept" : snapshot.evidence_problem ?? `${evidence.events} events, ${evidence.incomplete} incomplete`,
    snapshot.evidence_problem !== null);
  row("Disk", `${size(free)} of ${size(whole)} free`);
  row("Source", snapshot.source);
  row("Running", `${duration(snapshot.running_s)}, ${watchers} of ${most} watch`);
}
