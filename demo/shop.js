// SPDX-License-Identifier: Apache-2.0
// The shop: asks the stock for an item, answers what it costs.
'use strict';

const http = require('http');

const [port, stockPort] = process.argv.slice(2).map(Number);
const agent = new http.Agent({ keepAlive: true });

http.createServer((request, response) => {
	const item = new URL(request.url, 'http://shop').searchParams.get('item');
	const options = { host: '127.0.0.1', port: stockPort, path: `/stock/${item}`, agent };
	http.get(options, (answer) => {
		let body = '';
		answer.setEncoding('utf8');
		answer.on('data', (text) => { body += text; });
		answer.on('end', () => {
			response.writeHead(answer.statusCode === 200 ? 200 : 404, { 'Content-Type': 'application/json' });
			response.end(JSON.stringify({ item, stock: body.trim() }) + '\n');
		});
	}).on('error', (error) => {
		response.writeHead(502);
		response.end(`${error.message}\n`);
	});
}).listen(port, '127.0.0.1');

process.on('SIGTERM', () => process.exit(0));
