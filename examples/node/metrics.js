// A server with its own metrics, which uses prom-client in the usual way (npm install prom-client), without any code
// for workers. /add and /take represent a queue of jobs.
const http = require('node:http');
const client = require('prom-client');

client.collectDefaultMetrics();
const requests = new client.Counter({
  name: 'app_requests_total',
  help: 'Requests answered.',
  labelNames: ['path'],
});
const duration = new client.Histogram({
  name: 'app_request_duration_seconds',
  help: 'Time that a request takes.',
  buckets: [0.001, 0.01, 0.1, 1, 10],
});
const queue = new client.Gauge({ name: 'app_queue_length', help: 'Jobs that wait.' });

const work = {
  '/': () => {},
  '/add': () => queue.inc(),
  '/take': () => queue.dec(),
};

const port = Number(process.env.PORT || 3000);

http
  .createServer(async (request, response) => {
    if (request.url === '/metrics') {
      response.setHeader('Content-Type', client.register.contentType);
      response.end(await client.register.metrics());
      return;
    }
    // Unknown paths share one series: a series for each path that a client sends would be too many.
    const path = request.url in work ? request.url : 'other';
    const answered = duration.startTimer();
    work[path]?.();
    requests.inc({ path });
    answered();
    response.statusCode = path === 'other' ? 404 : 200;
    response.end('hello\n');
  })
  .listen(port, () => console.log(`listening on ${port}`));
