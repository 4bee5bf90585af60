// A plain server without any code for workers, shared ports or signals.
const http = require('node:http');

const port = Number(process.env.PORT || 3000);

http
  .createServer((request, response) => {
    const nonce = new URLSearchParams(request.url.split('?')[1]).get('nonce') ?? undefined;
    response.setHeader('Content-Type', 'application/json');
    response.end(JSON.stringify({ pid: process.pid, slot: process.env.NODE_APP_INSTANCE ?? null, nonce }) + '\n');
  })
  .listen(port, () => console.log(`listening on ${port}`));
