// SPDX-License-Identifier: Apache-2.0
// server.js PORT LOG [FOLDER]: every request is answered. FOLDER: over TLS, with its cert.pem and key.pem.
'use strict';

const fs = require('fs');

const [port, log, folder] = process.argv.slice(2);
const http = folder ? require('https') : require('http');
const options = folder ? { cert: fs.readFileSync(`${folder}/cert.pem`), key: fs.readFileSync(`${folder}/key.pem`) } : {};
const fd = fs.openSync(log, 'a');

http.createServer(options, (request, response) => {
	request.resume();
	response.on('close', () => fs.writeSync(fd, `${request.method} ${request.url} ${response.statusCode}\n`));
	response.end('hello\n');
}).listen(Number(port), '127.0.0.1');
process.on('SIGTERM', () => process.exit(0));
