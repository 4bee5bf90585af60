// A server on a unix path that removes a file of an earlier life first, as most do.
const fs = require('node:fs');
const http = require('node:http');

const path = process.argv[2];
fs.rmSync(path, { force: true });
http
  .createServer((request, response) => {
    const nonce = new URLSearchParams(request.url.split('?')[1]).get('nonce') ?? undefined;
    response.end(JSON.stringify({ pid: process.pid, nonce }) + '\n');
  })
  .listen(path);
