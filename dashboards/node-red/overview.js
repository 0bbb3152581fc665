// Once a second, and only after something has changed: what both pages show of all cameras.
if (!flow.get("changed")) return null;
flow.set("changed", false);
const alerts = flow.get("alerts") || [];
const cameras = Object.entries(flow.get("cameras") || {}).map(([prefix, camera]) => ({
    prefix,
    name: camera.name,
    online: camera.state?.state === "online",
    health: camera.state?.health ?? [],
    open: alerts.filter((one) => one.prefix === prefix && one.type !== "end").length,
}));
cameras.sort((one, other) => one.prefix.localeCompare(other.prefix));
return { payload: { cameras, alerts } };
