// SPDX-License-Identifier: Apache-2.0
// deep.js PORT COUNT FOLDER: serves HTTPS with FOLDER's cert.pem and key.pem and asks itself COUNT times, from calls of
// any depth; every answer is checked. Says "right COUNT" when all were, and goes on serving others.
'use strict';

const fs = require('fs');
const https = require('https');

const [port, count, folder] = [Number(process.argv[2]), Number(process.argv[3]), process.argv[4]];
const agent = new https.Agent({ ca: fs.readFileSync(`${folder}/ca.pem`), keepAlive: true, maxSockets: 8 });
const answer = (n) => `${n}.`.repeat([1, 100, 3000][n % 3]);
const deep = (depth, then) => (depth ? deep(depth - 1, then) + 1 : (then(), 0));
let next = 0, done = 0;

function fail(what) {
	console.error(what);
	process.exit(1);
}

function ask() {
	if (next === count)
		return;
	const n = next++;
	const request = https.get({ host: 'localhost', port, path: `/${n}`, agent }, (response) => {
		let body = '';
		response.setEncoding('latin1');
		response.on('data', (data) => { body += data; });
		response.on('end', () => {
			if (response.statusCode !== 200 || body !== answer(n))
				fail(`a wrong answer to ${n}: ${response.statusCode}, ${body.length}`);
			// each connection is left now and then
			if (n % 400 === 0)
				request.socket.destroy();
			if (++done === count)
				console.log(`right ${count}`);
			deep((n * 31) % 2000, ask);
		});
	});
	request.on('error', (error) => fail(`${n}: ${error}`));
}

https.createServer({ cert: fs.readFileSync(`${folder}/cert.pem`), key: fs.readFileSync(`${folder}/key.pem`) }, (request, response) => {
	deep((Number(request.url.slice(1)) * 17) % 2000, () => response.end(answer(Number(request.url.slice(1)))));
}).listen(port, '127.0.0.1', () => {
	for (let i = 0; i < 8; i++)
		ask();
});
process.on('SIGTERM', () => process.exit(0));
