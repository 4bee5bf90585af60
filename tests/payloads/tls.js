// Serves TLS on PORT, with the key and the certificate in the directory CERTIFICATE. Serves its metrics in plain HTTP
// on METRICS_PORT if that is set, and always at /metrics of the TLS port.
const fs = require('node:fs');
const http = require('node:http');
const https = require('node:https');
const client = require('prom-client');

const requests = new client.Counter({ name: 'app_requests_total', help: 'Requests answered.' });

async function metrics(request, response) {
  response.setHeader('Content-Type', client.register.contentType);
  response.end(await client.register.metrics());
}

const read = (name) => fs.readFileSync(`${process.env.CERTIFICATE}/${name}`);

https
  .createServer({ key: read('key'), cert: read('cert') }, (request, response) => {
    if (request.url === '/metrics') {
      return metrics(request, response);
    }
    requests.inc();
    response.end('hello\n');
  })
  .listen(Number(process.env.PORT), () => {
    if (process.env.METRICS_PORT) {
      http.createServer(metrics).listen(Number(process.env.METRICS_PORT));
    }
  });
