// SPDX-License-Identifier: Apache-2.0
// tls_client.js PORT COUNT CA [SOCKETS]: COUNT requests on SOCKETS (1) kept connections, as many at a time.
'use strict';

const fs = require('fs');
const https = require('https');

const [port, count, ca, sockets = '1'] = process.argv.slice(2);
const agent = new https.Agent({ ca: fs.readFileSync(ca), keepAlive: true, maxSockets: Number(sockets) });
let next = 0, done = 0;

function ask() {
	if (next === Number(count))
		return;
	https.get({ host: 'localhost', port, path: `/node/${next++}`, agent }, (response) => {
		response.resume();
		response.on('end', () => {
			if (++done === Number(count))
				agent.destroy();
			else
				ask();
		});
	});
}
for (let i = 0; i < Number(sockets); i++)
	ask();
