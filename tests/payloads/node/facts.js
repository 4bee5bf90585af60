'use strict';
// What a program and the processes and threads that it starts see: their options, and who listens to what.
const { execFile, fork } = require('node:child_process');
const { once } = require('node:events');
const { promisify } = require('node:util');
const { Worker } = require('node:worker_threads');

const SEEN = `({
  options: process.env.NODE_OPTIONS ?? null,
  words: process.execArgv,
  internal: process.listenerCount('internalMessage'),
  observed: ['request.start', 'response.finish'].some(
    (name) => require('node:diagnostics_channel').channel('http.server.' + name).hasSubscribers),
})`;
const seen = () => eval(SEEN);

if (require.main === module) process.send(seen(), () => process.disconnect());

module.exports = async () => {
  const spawned = await promisify(execFile)(process.execPath, ['-p', `JSON.stringify(${SEEN})`]);
  const [forked] = await once(fork(__filename), 'message');
  const code = `require('node:worker_threads').parentPort.postMessage(${SEEN})`;
  const [thread] = await once(new Worker(code, { eval: true }), 'message');
  return { own: seen(), spawned: JSON.parse(spawned.stdout), forked, thread };
};

process.on('message', (message) => console.log(`message ${JSON.stringify(message)}`));
