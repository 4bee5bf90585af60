// Runs in a Node worker before the program (RPM_NODE_DRAIN=close). Nothing is changed until the worker drains.
import { channel } from 'node:diagnostics_channel';

// What the program starts inherits its own options only.
const part = ` --import=${import.meta.url}`;
const options = process.env.NODE_OPTIONS;
if (options?.includes(part)) {
  const rest = options.replace(part, '');
  if (rest) process.env.NODE_OPTIONS = rest;
  else delete process.env.NODE_OPTIONS;
}

// A server is quiet if in this time (ms) no request has begun or ended.
const QUIET = 1000;

// When a request of a server last began or ended.
const servers = new Map();

const isConnection = (name) => typeof name === 'string' && name.toLowerCase() === 'connection';

// Headers for writeHead, with `Connection: close` in the place of another one.
function closing(headers) {
  if (Array.isArray(headers)) {
    return headers.map((value, at) => (at % 2 && isConnection(headers[at - 1]) ? 'close' : value));
  }
  if (headers === null || typeof headers !== 'object' || !Object.keys(headers).some(isConnection)) return headers;
  const all = Object.entries(headers);
  return Object.fromEntries(all.map(([name, value]) => [name, isConnection(name) ? 'close' : value]));
}

// To close while a body is still coming would reset the connection, and with it the answer.
const receives = ({ complete, headers }) =>
  !complete && ('transfer-encoding' in headers || Number(headers['content-length']) > 0);

// The response will be the last one on its connection.
function leave(request, response) {
  const { writeHead } = response;
  response.writeHead = function (...given) {
    if (this.headersSent || receives(request)) return Reflect.apply(writeHead, this, given);
    this.shouldKeepAlive = false;
    if (this.hasHeader('connection')) this.setHeader('connection', 'close');
    return Reflect.apply(writeHead, this, given.map(closing));
  };
}

function begins({ request, response, server }) {
  servers.set(server, Date.now());
  leave(request, response);
}

function ends({ server }) {
  servers.set(server, Date.now());
}

// A connection is closed only after a while without requests: on one that was just used the next request may be on its way.
function closeIdle() {
  for (const [server, since] of servers) {
    if (Date.now() - since >= QUIET) server.closeIdleConnections?.();
  }
}

// Held here, because a channel without other references loses its subscribers in some versions.
const started = channel('http.server.request.start');
const finished = channel('http.server.response.finish');

// The runtime says that the worker drains. The name makes it a message that the program does not see.
function heard(message) {
  if (message?.cmd !== 'NODE_RPM_DRAIN') return;
  process.off('internalMessage', heard);
  started.subscribe(begins);
  finished.subscribe(ends);
  for (const handle of process._getActiveHandles?.() ?? []) {
    for (const server of [handle, handle.server]) {
      if (typeof server?.closeIdleConnections === 'function') servers.set(server, Date.now());
    }
    const response = handle._httpMessage;
    if (response?.req && typeof response.writeHead === 'function') leave(response.req, response);
  }
  setInterval(closeIdle, QUIET / 4).unref();
}

// Other processes and threads have no channel of the runtime.
if (process.channel) process.on('internalMessage', heard);
