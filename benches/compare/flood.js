// Writes lines as fast as console.log allows: node flood.js LINES LENGTH GO. Prints `ready`, waits for the file GO,
// and keeps running after its lines.
const fs = require('node:fs');

// Takes the last three arguments: in cluster mode, pm2 puts its own arguments before them.
const [count, size, go] = process.argv.slice(-3);
const [lines, length] = [Number(count), Number(size)];
const text = 'x'.repeat(length - 1);
let written = 0;

function more() {
  for (let i = 0; i < 200 && written < lines; i++, written++) console.log(text);
  if (written < lines) setImmediate(more);
}

console.log('ready');
setInterval(() => {
  if (written === 0 && fs.existsSync(go)) more();
}, 5);
