// GET /tremorscope/camera?prefix=...: everything of one camera, for whoever looks at it.
const camera = (flow.get("cameras") || {})[msg.req.query.prefix];
msg.statusCode = camera ? 200 : 404;
msg.headers = { "Cache-Control": "no-store" };
msg.payload = camera ? { ...camera, now_ms: Date.now() } : {};
return msg;
