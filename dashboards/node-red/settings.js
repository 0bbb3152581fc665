// Settings of a Node-RED that shows tremorscope's flow: goes into its folder, as ~/.node-red/settings.js.
// Everything comes from the environment; passwords from files that only Node-RED can read, which may be
// systemd credentials, so that none is in the flow, in this file, or in the list of processes.
//
//   TREMORSCOPE_BROKER                    mqtt://localhost:1883, or mqtts://broker.example:8883
//   NODE_EXTRA_CA_CERTS                   for mqtts: the authority that vouches for the broker
//   TREMORSCOPE_READER_PASSWORD_FILE      of the user `reader`
//   TREMORSCOPE_OPERATOR_PASSWORD_FILE    of the user `operator`; without it nobody can command from here
//   TREMORSCOPE_DASHBOARD_HOST            127.0.0.1; any other address needs a password
//   TREMORSCOPE_DASHBOARD_PASSWORD_FILE   of the user `operator`, who opens the pages and the editor
//   TREMORSCOPE_DASHBOARD_PORT            1880
const { readFileSync } = require("node:fs");
const { createHash, randomBytes, timingSafeEqual } = require("node:crypto");

const given = process.env;
const secretIn = (name) => (given[name] ? readFileSync(given[name], "utf8").trimEnd() : null);

given.TREMORSCOPE_BROKER ??= "mqtt://localhost:1883";
for (const user of ["READER", "OPERATOR"]) {
    given[`TREMORSCOPE_${user}`] ??= user.toLowerCase();
    given[`TREMORSCOPE_${user}_PASSWORD`] = secretIn(`TREMORSCOPE_${user}_PASSWORD_FILE`) ?? "";
}

const USER = "operator";
const password = secretIn("TREMORSCOPE_DASHBOARD_PASSWORD_FILE");
const host = given.TREMORSCOPE_DASHBOARD_HOST || "127.0.0.1";
if (password === null && !["127.0.0.1", "::1", "localhost"].includes(host)) {
    throw new Error(
        "Whoever reaches these pages can command the cameras: with TREMORSCOPE_DASHBOARD_HOST set, " +
            "TREMORSCOPE_DASHBOARD_PASSWORD_FILE is needed too"
    );
}

const hash = (text) => createHash("sha256").update(text).digest();
const same = (one, other) => timingSafeEqual(hash(one), hash(other));
const LOOPBACK = /^(localhost|127\.0\.0\.1|\[::1\])(:\d+)?$/;

// Not every browser sends the password for what a page fetches by itself; so whoever has shown it once is known
// by a cookie, until Node-RED starts again.
const COOKIE = `tremorscope-pages=${randomBytes(32).toString("hex")}`;

// With a password: whoever has it. Without: whoever asked for this machine by its own name; else any page in a
// browser here could ask, under a name of its own that points here.
function mayEnter({ host: asked, authorization, cookie }) {
    if (password === null) return LOOPBACK.test(asked ?? "");
    const right = "Basic " + Buffer.from(`${USER}:${password}`).toString("base64");
    return same(authorization ?? "", right) || (cookie ?? "").split("; ").some((one) => same(one, COOKIE));
}

function enter(request, response, next) {
    if (mayEnter(request.headers)) {
        response.append("Set-Cookie", `${COOKIE}; Path=/; HttpOnly; SameSite=Strict`);
        return next();
    }
    response.set("WWW-Authenticate", 'Basic realm="tremorscope"').sendStatus(401);
}

module.exports = {
    flowFile: "flows.json",
    uiHost: host,
    uiPort: given.TREMORSCOPE_DASHBOARD_PORT || 1880,
    // What pages fetch by themselves.
    httpNodeMiddleware: enter,
    dashboard: {
        middleware: enter,
        // Buttons and values come another way, which the above does not guard. Only pages of this server
        // may use it: a browser would send password or cookie for any other page, too.
        ioMiddleware: (socket, next) => {
            const { headers } = socket.handshake;
            const isOurs = !headers.origin || new URL(headers.origin).host === headers.host;
            next(isOurs && mayEnter(headers) ? undefined : new Error("not allowed"));
        },
    },
    // The editor: with a password a form of its own, for the same user and password.
    httpAdminMiddleware: (request, response, next) =>
        password !== null || mayEnter(request.headers) ? next() : response.sendStatus(403),
    ...(password === null
        ? {}
        : {
              adminAuth: {
                  type: "credentials",
                  users: async (user) => (user === USER ? { username: USER, permissions: "*" } : null),
                  authenticate: async (user, guess) =>
                      same(`${user}:${guess}`, `${USER}:${password}`)
                          ? { username: USER, permissions: "*" }
                          : null,
              },
          }),
    telemetry: { enabled: false },
    externalModules: { autoInstall: false, palette: { allowInstall: false } },
    functionExternalModules: false,
    diagnostics: { enabled: false },
    logging: { console: { level: "info", metrics: false, audit: false } },
};
