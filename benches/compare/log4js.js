// Writes its share of COUNT events with log4js into FILE, through instance 0. Others send their events there.
const { join } = require('node:path');
const log4js = require(join(__dirname, '../../target/node/node_modules/log4js'));

log4js.configure({
  pm2: true,
  appenders: { file: { type: 'file', filename: process.env.FILE } },
  categories: { default: { appenders: ['file'], level: 'info' } },
});
const log = log4js.getLogger();
const share = Number(process.env.COUNT) / Number(process.env.WORKERS);

let written = 0;
function write() {
  for (let more = 0; more < 50 && written < share; more++) log.info(`event ${process.pid} ${++written}`);
  if (written < share) setImmediate(write);
}

// pm2-intercom asks for the list of processes every 2 s.
setTimeout(write, Number(process.env.AFTER));
require('node:http').createServer((request, response) => response.end('here')).listen(Number(process.env.PORT));
