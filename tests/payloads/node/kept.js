'use strict';
// A server with express, as people write it. `/facts` tells what the program sees of its process.
const app = require('express')();
const facts = require('./facts.js');

app.get('/facts', (request, response, next) => facts().then((all) => response.json(all), next));
app.get('/slow', (request, response) => {
  console.log('slow begins');
  process.once('SIGUSR2', () => response.end('slow'));
});
// As proxies and streams of events do.
app.get('/told', (request, response) => response.writeHead(200, { Connection: 'keep-alive' }).end('told'));
app.get('/', (request, response) => response.json({ nonce: request.query.nonce }));
app.listen(Number(process.env.PORT));
