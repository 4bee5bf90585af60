// The Node example as its authors are told to write it: on the stop signal it takes no new connection and leaves when the
// last one is gone.
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
