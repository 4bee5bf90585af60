'use strict';
// A server as people write it with a package: packages.js NAME. All answer `/?nonce=WORD` with who they are and the word.
const http = require('node:http');

const port = Number(process.env.PORT);
const slot = process.env.NODE_APP_INSTANCE ?? null;
const who = (nonce, more) => ({ pid: process.pid, slot, nonce, ...more });
const nonce = (url) => new URLSearchParams(url.split('?')[1]).get('nonce') ?? undefined;

// A plain server that does something with each nonce.
const plain = (act) =>
  http.createServer((request, response) => {
    const word = nonce(request.url);
    response.end(JSON.stringify(who(word, act(word))) + '\n');
  });

const programs = {
  express() {
    const app = require('express')();
    app.get('/', (request, response) => response.json(who(request.query.nonce)));
    app.listen(port);
  },
  fastify() {
    const app = require('fastify')();
    app.get('/', async (request) => who(request.query.nonce));
    app.listen({ port, host: '127.0.0.1' });
  },
  koa() {
    const app = new (require('koa'))();
    app.use((context) => (context.body = who(context.query.nonce)));
    app.listen(port);
  },
  // Loggers write each answered word to stdout.
  winston() {
    const winston = require('winston');
    const log = winston.createLogger({ transports: [new winston.transports.Console()] });
    plain((word) => void log.info('answered', { word })).listen(port);
  },
  pino() {
    const log = require('pino')();
    plain((word) => void log.info({ word }, 'answered')).listen(port);
  },
  // Reads config/default.json, and config/default-INSTANCE.json for the number in NODE_APP_INSTANCE.
  config() {
    process.env.NODE_CONFIG_DIR = `${__dirname}/config`;
    const name = require('config').get('name');
    plain(() => ({ name })).listen(port);
  },
  // Workers of Node's cluster make a registry that answers their primary. Here each page is of one worker.
  'prom-client'() {
    const client = require('prom-client');
    new client.AggregatorRegistry();
    const requests = new client.Counter({ name: 'app_requests_total', help: 'Requests answered.' });
    const server = plain(() => void requests.inc());
    const [answer] = server.listeners('request');
    server.removeAllListeners('request').on('request', async (request, response) => {
      if (request.url !== '/metrics') return answer(request, response);
      response.setHeader('Content-Type', client.register.contentType);
      response.end(await client.register.metrics());
    });
    server.listen(port);
  },
  // Each client that says something is heard by all clients, whichever worker they are connected to.
  'socket.io'() {
    const server = plain(() => {});
    const io = new (require('socket.io').Server)(server);
    io.adapter(require('@socket.io/cluster-adapter').createAdapter());
    io.on('connection', (socket) => {
      socket.emit('who', who());
      socket.on('say', (word) => io.emit('said', word));
      socket.on('count', (done) => io.fetchSockets().then((all) => done(all.length), (error) => done(error.message)));
    });
    // Tells the other workers that it leaves. Otherwise they ask it for its clients until they miss its heartbeat.
    process.on('SIGTERM', () => io.close(() => process.exit(0)));
    server.listen(port);
  },
  terminus() {
    const server = plain(() => {});
    require('@godaddy/terminus').createTerminus(server, {
      signals: ['SIGTERM', 'SIGINT'],
      healthChecks: { '/health': async () => ({ slot }), verbatim: true },
      onSignal: async () => console.log(`slot ${slot} cleans up`),
      onShutdown: async () => console.log(`slot ${slot} goes`),
    });
    server.listen(port);
  },
};

programs[process.argv[2]]();
