// SPDX-License-Identifier: Apache-2.0
// tls_client.js PORT COUNT CA: COUNT requests, one after the other, on one kept connection.
'use strict';

const fs = require('fs');
const https = require('https');

const [port, count, ca] = process.argv.slice(2);
const agent = new https.Agent({ ca: fs.readFileSync(ca), keepAlive: true, maxSockets: 1 });

function ask(n) {
	if (n === Number(count)) {
		agent.destroy();
		return;
	}
	https.get({ host: 'localhost', port, path: `/node/${n}`, agent }, (response) => {
		response.resume();
		response.on('end', () => ask(n + 1));
	});
}
ask(0);
