// Writes lines as fast as console.log allows: node flood.js LINES LENGTH GO. Says `ready`, waits for the file GO,
// and stays after its lines.
const fs = require('node:fs');

// The last three: in its cluster mode pm2 puts words of its own before them.
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
