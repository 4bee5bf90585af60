// Answers each datagram with `PID SLOT WORD`, after WORK milliseconds: udp_echo.js PORT. No signal handler.
const dgram = require('node:dgram');

const work = Number(process.env.WORK ?? 0);
const socket = dgram.createSocket(process.env.FAMILY ?? 'udp4');
socket.on('message', (word, client) => {
  const answer = `${process.pid} ${process.env.NODE_APP_INSTANCE ?? '-'} ${word}`;
  setTimeout(() => socket.send(answer, client.port, client.address), work);
});
socket.bind(Number(process.argv[2]), () => console.log('bound'));
