'use strict';
const express = require('express');
const log4js = require('log4js');

log4js.configure({
  appenders: { out: { type: 'stdout', layout: { type: 'basic' } } },
  categories: { default: { appenders: ['out'], level: 'info' } },
});
const log = log4js.getLogger('web');

const app = express();

app.get('/', (request, response) => {
  response.type('text').send(`hello from worker ${process.env.RPM_INSTANCE}\n`);
});

app.get('/greet/:name', (request, response) => {
  log.info('greeting', request.params.name);
  response.type('text').send(`hello ${request.params.name}\n`);
});

app.listen(3000, () => log.info('listening on 3000'));
