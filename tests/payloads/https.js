// Serves TLS on PORT, with the key and the certificate in the directory CERTIFICATE. Answers 503 while the file SICK exists.
// Speaks no TLS above MAX_VERSION, and lets only clients with a certificate in if MUTUAL is set.
const fs = require('node:fs');
const https = require('node:https');

const { CERTIFICATE, MAX_VERSION, MUTUAL, PORT, SICK } = process.env;
const read = (name) => fs.readFileSync(`${CERTIFICATE}/${name}`);
const options = { key: read('key'), cert: read('cert'), maxVersion: MAX_VERSION, requestCert: Boolean(MUTUAL) };

https
  .createServer(options, (request, response) => {
    response.writeHead(SICK && fs.existsSync(SICK) ? 503 : 200);
    response.end(`${request.headers.host} ${request.url}\n`);
  })
  .listen(Number(PORT));
