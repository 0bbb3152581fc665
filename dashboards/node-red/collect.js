// Keeps what the pages show: for each camera its newest messages, for all of them the alerts.
// In: one MQTT message. Nothing out; overview.js and camera.js read the flow's context.
const MOST = { cameras: 1000, regions: 64, alerts: 200, points: 300, pictures: 200 };

// <topic>/<camera>/<kind>[/<region>]; <topic> may have levels of its own.
const parts = msg.topic.split("/");
const region = parts[parts.length - 2] === "telemetry" ? parts.pop() : null;
const kind = parts.pop();
const prefix = parts.join("/");
const said = msg.payload;
const isPicture = kind === "event-picture" || kind === "picture";
if (!isPicture && (typeof said !== "object" || said === null)) return null;

// Without a prototype, since a camera may be called anything.
const cameras = flow.get("cameras") || Object.create(null);
if (!(prefix in cameras)) {
    if (Object.keys(cameras).length >= MOST.cameras) {
        node.status({ fill: "red", shape: "dot", text: `more than ${MOST.cameras} cameras` });
        return null;
    }
    cameras[prefix] = { name: parts[parts.length - 1], regions: Object.create(null), pictures: {} };
}
const camera = cameras[prefix];

if (kind === "telemetry") {
    if (!(region in camera.regions) && Object.keys(camera.regions).length >= MOST.regions) return null;
    const { points = [] } = camera.regions[region] || {};
    points.push([Date.parse(said.time_utc), said.displacement_rms_mm ?? said.displacement_rms_px]);
    if (points.length > MOST.points) points.shift();
    camera.regions[region] = { newest: said, points, came_ms: Date.now() };
} else if (kind === "state" || kind === "controls") {
    camera[kind] = said;
} else if (kind === "reply") {
    camera.reply = { ...said, came_ms: Date.now() };
} else if (isPicture) {
    const pictures = flow.get("pictures") || new Map();
    const key = `${prefix}/${kind}`;
    pictures.delete(key); // so that it becomes the newest
    if (said.length) {
        pictures.set(key, said);
        if (pictures.size > MOST.pictures) pictures.delete(pictures.keys().next().value);
        camera.pictures[kind] = Date.now();
    } else {
        delete camera.pictures[kind]; // the camera sends no pictures any more
    }
    flow.set("pictures", pictures);
} else if (kind === "alerts") {
    const alerts = flow.get("alerts") || [];
    const known = alerts.find((one) => one.event_id === said.event_id);
    // A step may come twice, and late after a failure: the event is what its last step says.
    if (!known) {
        alerts.unshift({ ...said, prefix, camera: camera.name, began_utc: said.time_utc });
        alerts.splice(MOST.alerts);
    } else if (said.sequence > known.sequence) {
        Object.assign(known, said);
    }
    flow.set("alerts", alerts);
}
flow.set("cameras", cameras);
flow.set("changed", true);
return null;
