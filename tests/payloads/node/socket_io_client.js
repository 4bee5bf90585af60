'use strict';
// Connects CLIENTS clients of socket.io to PORT, over WebSocket alone. Then each says a word, and each must hear every
// word exactly once. Prints the workers they are connected to, how many clients these know of, and what was heard.
const { io } = require('socket.io-client');

const count = Number(process.env.CLIENTS);
const words = Array.from({ length: count }, (_, number) => `word ${number}`);

const heard = words.map(() => []);

async function main() {
  const workers = new Set();
  setTimeout(() => {
    console.error('connected to', workers, 'heard', heard);
    process.exit(1);
  }, 20_000).unref();
  const clients = words.map(() => io(`http://127.0.0.1:${process.env.PORT}`, { transports: ['websocket'], forceNew: true }));
  await Promise.all(
    clients.map((client) => new Promise((resolve) => client.on('who', ({ pid }) => resolve(workers.add(pid)))))
  );
  const all = clients.map(
    (client, number) =>
      new Promise((resolve) =>
        client.on('said', (word) => heard[number].push(word) >= count && resolve())
      )
  );
  clients.forEach((client, number) => client.emit('say', words[number]));
  await Promise.all(all);
  const known = await new Promise((resolve) => clients[0].emit('count', resolve));
  // A second copy of a word would come before this one.
  const last = clients.map((client) => new Promise((resolve) => client.on('said', (word) => word === 'last' && resolve())));
  clients[0].emit('say', 'last');
  await Promise.all(last);
  const wanted = [...words, 'last'].sort().join();
  const right = heard.filter((one) => one.sort().join() === wanted).length;
  for (const client of clients) client.close();
  console.log(JSON.stringify({ workers: [...workers], known, right }));
}

main();
