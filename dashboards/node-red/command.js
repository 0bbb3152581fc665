// What a button asks for, as a command to a camera. A page may say anything; only these commands to cameras
// that are there go out, and what they may hold is the camera's own to check.
const COMMANDS = ["magnification", "acknowledge", "snapshot"];
const { prefix, command, values } = msg.payload ?? {};
if (!COMMANDS.includes(command) || !(prefix in (flow.get("cameras") || {}))) return null;
return {
    topic: `${prefix}/command/${command}`,
    payload: JSON.stringify(values),
    qos: 1,
    retain: false, // a retained command would be repeated, so cameras ignore it
};
