// Instance 0 sends COUNT messages that the others get through the intercom, as fast as they are taken; instance 1 prints
// how many it got, and in how many seconds.
const count = Number(process.env.COUNT);
const data = 'x'.repeat(100);
const window = 200;

let sent = 0;
let waiting = 0;
function send() {
  while (waiting < window && sent < count) {
    sent++;
    waiting++;
    process.send({ topic: sent === count ? 'last' : 'talk', data }, () => {
      waiting--;
      send();
    });
  }
}

let got = 0;
let begin;
process.on('message', ({ topic }) => {
  begin ??= process.hrtime.bigint();
  got++;
  // pm2-intercom sends more than one copy in some versions, so the end is the first copy of the last.
  if (topic === 'last' && process.env.NODE_APP_INSTANCE === '1') {
    console.log(`got ${got} ${Number(process.hrtime.bigint() - begin) / 1e9}`);
  }
});

// pm2-intercom asks for the list of processes every 2 s.
if (process.env.NODE_APP_INSTANCE === '0') setTimeout(send, Number(process.env.AFTER));
require('node:http').createServer((request, response) => response.end('here')).listen(Number(process.env.PORT));
