// The Node example with a graceful stop as the Node documentation recommends: on the stop signal it accepts no new
// connection, and it exits when the last one is closed.
const http = require('node:http');

const server = http.createServer((request, response) => {
  const nonce = new URLSearchParams(request.url.split('?')[1]).get('nonce') ?? undefined;
  response.setHeader('Content-Type', 'application/json');
  response.end(JSON.stringify({ pid: process.pid, nonce }) + '\n');
});

for (const signal of ['SIGINT', 'SIGTERM']) {
  process.on(signal, () => server.close(() => process.exit(0)));
}
server.listen(Number(process.env.PORT || 3000));
