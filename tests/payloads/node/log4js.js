'use strict';
// Logs `SLOT PID NUMBER PREVIOUS end` through log4js, numbers from 0, to the file LOG_FILE or else to stdout. LOG4JS has more of
// log4js's configuration, such as {"pm2":true}. Number 0 comes before anything else. PREVIOUS: when the event before was logged, in ms since 1970.
// COUNT: so many in all, the rest at SIGUSR2. Without: one each millisecond from `listening` to SIGUSR2 or SIGTERM.
// At the end it prints `sent PID COUNT` to stdout. HTTP on PORT, so that it becomes ready.
const http = require('node:http');
const log4js = require('log4js');

const { LOG4JS = '{}', LOG_FILE, PORT, COUNT, INSTANCE_ID, NODE_APP_INSTANCE } = process.env;
const slot = INSTANCE_ID ?? NODE_APP_INSTANCE;
const layout = { type: 'messagePassThrough' };
const out = LOG_FILE ? { type: 'file', filename: LOG_FILE, layout } : { type: 'stdout', layout };
const categories = { default: { appenders: ['out'], level: 'info' } };
log4js.configure({ appenders: { out }, categories, ...JSON.parse(LOG4JS) });

const logger = log4js.getLogger('test');
let number = 0;
let previous = 0;
const log = () => {
  const now = Date.now();
  logger.info('%s %d', slot, process.pid, number++, previous, 'end');
  previous = now;
};
log();

let timer;
let finished = false;
const finish = () => {
  if (finished) return;
  finished = true;
  clearInterval(timer);
  while (number < COUNT) log();
  console.log(`sent ${process.pid} ${number}`);
};
process.on('SIGUSR2', finish);
process.on('SIGTERM', () => {
  finish();
  log4js.shutdown(() => process.exit(0));
});
const server = http.createServer((request, response) => response.end(slot));
server.listen(PORT, () => {
  if (!COUNT) timer = setInterval(log, 1);
});
