'use strict';
// Does what a test says, in JavaScript: START at its start, then each line `{"id", "code"}` that comes over the unix
// socket CONTROL. What that gives is told as `{"id", "value"}` or `{"id", "error"}`. `tell` says more without being asked.
const cluster = require('node:cluster');
const http = require('node:http');
const net = require('node:net');
const tls = require('node:tls');
const { createInterface } = require('node:readline');

const names = ['child_process', 'dgram', 'fs', 'https', 'os', 'path'];
for (const name of names) globalThis[name] = require(`node:${name}`);

const control = net.connect(process.env.CONTROL);
const tell = (value) => void control.write(JSON.stringify(value) + '\n');
const reason = (error) => String(error?.code ?? error?.message ?? error);

// All messages so far, and what to do with the next one.
const got = [];
process.on('message', (message) => got.push(message));

// Waits until `fits` is true; it is asked again after each message.
const until = (fits) =>
  new Promise((resolve) => {
    const look = () => {
      if (!fits()) return;
      process.off('message', look);
      resolve(true);
    };
    process.on('message', look);
    look();
  });

// What the messages of that topic carried, and waiting for so many of them.
const heard = (topic) => got.filter((message) => message?.topic === topic).map((message) => message.data);
const hear = (topic, count) => until(() => heard(topic).length >= count).then(() => heard(topic));

const answer = (request, response) => {
  globalThis.answered++;
  const slot = process.env.NODE_APP_INSTANCE ?? null;
  const nonce = new URLSearchParams(request.url.split('?')[1]).get('nonce') ?? undefined;
  // A test sets it for the time in which no request must come.
  if (globalThis.early) response.statusCode = 500;
  response.setHeader('Content-Type', 'application/json');
  response.end(JSON.stringify({ pid: process.pid, slot, nonce }) + '\n');
};

// Serves HTTP there; gives the address, or the error's code.
const servers = [];
const serve = (...where) => listening(http.createServer(answer), ...where);
const listening = (server, ...where) =>
  new Promise((resolve, reject) => {
    servers.push(server);
    server.once('error', reject).listen(...where, () => resolve(server.address()));
  });
const close = () => new Promise((resolve) => servers.pop().close(() => resolve(true)));

// Serves TLS there, with the key and the certificate in the directory CERTIFICATE.
const secure = (...where) => {
  const read = (name) => fs.readFileSync(path.join(process.env.CERTIFICATE, name));
  return listening(https.createServer({ key: read('key'), cert: read('cert') }, answer), ...where);
};

// Answers each datagram with `PID SLOT WORD`.
const echo = (family, ...where) =>
  new Promise((resolve, reject) => {
    const socket = dgram.createSocket(family);
    socket.on('message', (word, from) => {
      socket.send(`${process.pid} ${process.env.NODE_APP_INSTANCE} ${word}`, from.port, from.address);
    });
    socket.once('error', reject).bind(...where, () => resolve(socket.address()));
  });

// Connects to a TLS server, with a session of an earlier connection: who answered, whether the session was taken, and
// the session for the next time.
const visit = (port, version, session) =>
  new Promise((resolve, reject) => {
    const said = { session: null, answer: '' };
    const options = { port, host: '127.0.0.1', rejectUnauthorized: false, minVersion: version, maxVersion: version };
    const socket = tls.connect({ ...options, session: session && Buffer.from(session, 'base64') }, () => {
      said.reused = socket.isSessionReused();
      socket.write('GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n');
    });
    socket.on('session', (ticket) => (said.session = ticket.toString('base64')));
    socket.on('data', (data) => (said.answer += data));
    socket.on('end', () => {
      said.slot = JSON.parse(said.answer.split('\r\n\r\n')[1]).slot;
      resolve(said);
    });
    socket.on('error', reject);
  });

// Sends to the runtime; done when the message is written.
const send = (...message) =>
  new Promise((resolve, reject) => process.send(...message, (error) => (error ? reject(error) : resolve(true))));

Object.assign(globalThis, { answered: 0, cluster, close, echo, got, hear, heard, http, listening, net, require });
Object.assign(globalThis, { answer, secure, send, serve, servers, tell, tls, until, visit });

globalThis.PORT = Number(process.env.PORT);

const run = (code, name) => {
  const done = (value) => tell({ ...name, value: value ?? null });
  return Promise.resolve()
    .then(() => (0, eval)(code))
    .then(done, (error) => tell({ ...name, error: reason(error) }));
};
const hello = { pid: process.pid, slot: Number(process.env.NODE_APP_INSTANCE ?? 0), worker: cluster.worker?.id ?? null };
tell({ hello: { ...hello, version: process.versions.node } });
run(process.env.START ?? 'null', { id: 0 });
createInterface({ input: control }).on('line', (line) => {
  const { id, code } = JSON.parse(line);
  run(code, { id });
});
control.on('error', () => process.exit(9));
// As a program under Node's own primary, it ends when it has left and serves nothing; `stay()` keeps it.
globalThis.stay = () => void control.ref();
if (process.connected) control.unref();
