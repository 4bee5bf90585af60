'use strict';
// A cluster with prom-client's own aggregation: starts WORKERS workers of series.js; the primary serves their
// aggregated metrics on METRICS_PORT.
const cluster = require('node:cluster');
const http = require('node:http');
const { join } = require('node:path');
const client = require(join(__dirname, '../../target/node/node_modules/prom-client'));

cluster.setupPrimary({ exec: join(__dirname, 'series.js') });
for (let worker = 0; worker < Number(process.env.WORKERS); worker++) cluster.fork();

const registry = new client.AggregatorRegistry();
const server = http.createServer(async (request, response) => {
  try {
    const page = await registry.clusterMetrics();
    response.setHeader('Content-Type', registry.contentType);
    response.end(page);
  } catch (error) {
    response.statusCode = 500;
    response.end(error.message);
  }
});
server.listen(Number(process.env.METRICS_PORT), '127.0.0.1');
