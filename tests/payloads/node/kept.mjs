// As kept.js, as a module and without a package.
import http from 'node:http';
import facts from './facts.js';

const answers = {
  '/facts': async (response) => response.end(JSON.stringify(await facts())),
  '/slow': (response) => {
    console.log('slow begins');
    process.once('SIGUSR2', () => response.end('slow'));
  },
  '/told': (response) => response.writeHead(200, ['X-One', '1', 'Connection', 'keep-alive']).end('told'),
  '/': (response, query) => response.end(JSON.stringify({ nonce: query.get('nonce') })),
};

http
  .createServer((request, response) => {
    const { pathname, searchParams } = new URL(request.url, 'http://localhost');
    answers[pathname](response, searchParams);
  })
  .listen(Number(process.env.PORT));
