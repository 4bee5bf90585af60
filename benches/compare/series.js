'use strict';
// A web service with 200 series in prom-client's plain registry, as examples/series_server.rs has them: counters by
// method, route and status, gauges, histograms. It answers /metrics with its own; all numbers are other ones each time
// that they are asked for. As a worker of cluster.js it answers the primary's questions too.
const cluster = require('node:cluster');
const http = require('node:http');
const { join } = require('node:path');
const client = require(join(__dirname, '../../target/node/node_modules/prom-client'));

const requests = new client.Counter({
  name: 'http_requests_total',
  help: 'Requests answered.',
  labelNames: ['method', 'route', 'status'],
  // Called whenever the registry is read, before the first number is.
  collect: count,
});
const labels = [];
for (let route = 0; route < 10; route++) {
  for (const method of ['GET', 'POST', 'DELETE']) {
    for (const status of [200, 404, 500]) {
      labels.push({ method, route: `/api/v1/things/${route}`, status });
    }
  }
}

const gauges = [];
for (let number = 0; number < 40; number++) {
  gauges.push(
    new client.Gauge({
      name: `service_resource_${number}_bytes`,
      help: `What the service holds of resource ${number}.`,
    }),
  );
}

// The library's bounds are those of the Rust program, too.
const took = new client.Histogram({
  name: 'http_request_duration_seconds',
  help: 'How long it took.',
  labelNames: ['route'],
});
const asked = new client.Histogram({
  name: 'db_query_duration_seconds',
  help: 'How long it took.',
  labelNames: ['table'],
});

let turn = 0;
function count() {
  turn += 1;
  labels.forEach((those, at) => requests.inc(those, (at % 7) + 1));
  gauges.forEach((gauge, at) => gauge.set((turn * 37 + at) * 1.25));
  for (let route = 0; route < 4; route++) took.observe({ route: `/api/v1/things/${route}` }, 0.03 * turn);
  asked.observe({ table: '/api/v1/things/4' }, 0.03 * turn);
}
count();

if (cluster.isWorker) new client.AggregatorRegistry();

const server = http.createServer(async (request, response) => {
  if (request.url !== '/metrics') return response.end('ok\n');
  response.setHeader('Content-Type', client.register.contentType);
  response.end(await client.register.metrics());
});
server.listen(Number(process.env.PORT || 3000));
