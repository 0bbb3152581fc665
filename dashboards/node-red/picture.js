// GET /tremorscope/picture?prefix=...&kind=...: a JPEG.
const pictures = flow.get("pictures") || new Map();
const jpeg = pictures.get(`${msg.req.query.prefix}/${msg.req.query.kind}`);
msg.statusCode = jpeg ? 200 : 404;
msg.headers = { "Content-Type": jpeg ? "image/jpeg" : "text/plain", "Cache-Control": "no-store" };
msg.payload = jpeg ?? "";
return msg;
