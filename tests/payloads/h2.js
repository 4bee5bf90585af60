// An HTTP/2 server without TLS, as gRPC has it inside a cluster. It answers each request with the slot.
const http2 = require('node:http2');

const slot = process.env.NODE_APP_INSTANCE;
http2.createServer((request, response) => response.end(JSON.stringify({ slot }))).listen(process.env.PORT, '0.0.0.0');
