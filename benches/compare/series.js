'use strict';
// A web service with 200 series in prom-client's plain registry, the same as in examples/series_server.rs: counters by
// method, route and status, gauges, histograms. It serves its own metrics at /metrics; all values change on each
// scrape. As a worker of cluster.js it answers the primary's requests too.
const cluster = require('node:cluster');
const http = require('node:http');
const { join } = require('node:path');
const client = require(join(__dirname, '../../target/node/node_modules/prom-client'));

const requests = new client.Counter({
  name: 'http_requests_total',
  help: 'Requests answered.',
  labelNames: ['method', 'route', 'status'],
  // Called on each read of the registry, before the first value is read.
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

// The library's default buckets are the same as in the Rust program.
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
