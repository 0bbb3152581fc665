// Asks the daemon for everything but pictures and curves once a second, and hands it to the parts.

import { showAlerts } from "./alerts.js";
import { showControls } from "./controls.js";
import { showRegions } from "./curves.js";
import { PAGE, byId, every, setText, timeText } from "./dom.js";
import { showHealth } from "./health.js";
import { playAnew, showPicture } from "./picture.js";

function showStatus(state, text) {
  byId("status").dataset.state = state;
  setText(byId("status"), text);
}

function plural(count, word) {
  return `${count} ${word}${count === 1 ? "" : "s"}`;
}

every(1000, async () => {
  let now;
  try {
    const answer = await fetch(`/api/now?page=${PAGE}`, { signal: AbortSignal.timeout(5000) });
    if (!answer.ok) throw new Error(await answer.text());
    now = await answer.json();
  } catch {
    playAnew();
    showStatus("alert", "the daemon does not answer; what is shown below is old");
    return;
  }
  const { snapshot } = now;
  document.title = `${snapshot.open_alerts.length ? `(${snapshot.open_alerts.length}) ` : ""}${snapshot.name}`;
  setText(byId("name"), snapshot.name);
  setText(byId("time"), timeText(new Date(snapshot.time_utc)));
  if (snapshot.open_alerts.length) showStatus("alert", `${plural(snapshot.open_alerts.length, "open alert")}`);
  else if (now.not_ready) showStatus("waiting", now.not_ready);
  else showStatus("well", `measures at ${snapshot.camera_hz.toFixed(1)} Hz, no alert is open`);
  showPicture(now);
  showRegions(now);
  showAlerts(now);
  showControls(now);
  showHealth(now);
  document.body.dataset.known = "yes";
});
