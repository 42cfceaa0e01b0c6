// SPDX-License-Identifier: Apache-2.0
'use strict';

const fs = require('fs');
const https = require('https');

const [port, log, folder] = process.argv.slice(2);
const fd = fs.openSync(log, 'a');
const options = { cert: fs.readFileSync(`${folder}/cert.pem`), key: fs.readFileSync(`${folder}/key.pem`) };

https.createServer(options, (request, response) => {
	request.resume();
	response.on('close', () => fs.writeSync(fd, `${request.method} ${request.url} ${response.statusCode}\n`));
	response.end('hello\n');
}).listen(Number(port), '127.0.0.1');
process.on('SIGTERM', () => process.exit(0));
