'use strict';
// Each request keeps the process for WORK ms (2). It waits and does not compute, so that the figures do not depend on
// how many CPUs the machine has.
const http = require('node:http');

const cell = new Int32Array(new SharedArrayBuffer(4));
const work = Number(process.env.WORK || 2);

http
  .createServer((request, response) => {
    Atomics.wait(cell, 0, 0, work);
    response.setHeader('Content-Type', 'application/json');
    response.end(JSON.stringify({ pid: process.pid }));
  })
  .listen(Number(process.env.PORT));
