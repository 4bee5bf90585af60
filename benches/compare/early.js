// Listens at once and says `ready` half a second later. Until then each request is a fault: it answers 500.
let ready = false;

require('node:http')
  .createServer((request, response) => {
    const nonce = new URLSearchParams(request.url.split('?')[1]).get('nonce') ?? undefined;
    response.statusCode = ready ? 200 : 500;
    response.end(JSON.stringify({ pid: process.pid, nonce }) + '\n');
  })
  .listen(Number(process.env.PORT), () =>
    setTimeout(() => {
      ready = true;
      process.send('ready');
    }, 500)
  );
