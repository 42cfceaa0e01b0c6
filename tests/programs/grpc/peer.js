// SPDX-License-Identifier: Apache-2.0
// See README.
"use strict";
const fs = require("fs");
const grpc = require("@grpc/grpc-js");

const asItIs = (b) => b;
const method = (name, requestStream, responseStream) => ({
	path: `/sonde.test.Echo/${name}`, requestStream, responseStream,
	requestSerialize: asItIs, requestDeserialize: asItIs, responseSerialize: asItIs, responseDeserialize: asItIs,
});
const methods = {
	unary: method("Unary", false, false), client: method("ClientStream", true, false),
	server: method("ServerStream", false, true), bidi: method("Bidi", true, true),
};

function unary(call, answer) {
	const [word, number] = call.request.toString().split(" ");

	if (word === "fail")
		answer({ code: Number(number), details: "as asked for" });
	else
		setTimeout(() => answer(null, call.request), word === "sleep" ? Number(number) : 0);
}

function countThem(call, answer) {
	let n = 0;

	call.on("data", () => n++);
	call.on("end", () => answer(null, Buffer.from(String(n))));
}

function answerMany(call) {
	const many = Number(call.request.toString().split(" ")[1]);
	let i = 0, over = false;

	call.on("cancelled", () => { over = true; });
	(function some() {
		for (let n = 0; n < 100 && i < many && !over; n++)
			call.write(Buffer.from(String(i++)));
		if (i < many && !over)
			setTimeout(some, 1);
		else if (!over)
			call.end();
	})();
}

function echo(call) {
	call.on("data", (message) => call.write(message));
	call.on("end", () => call.end());
}

function serve(port, certificate, key) {
	const server = new grpc.Server({ "grpc.max_concurrent_streams": 5000 });
	const credentials = certificate ?
		grpc.ServerCredentials.createSsl(null, [{ cert_chain: fs.readFileSync(certificate), private_key: fs.readFileSync(key) }]) :
		grpc.ServerCredentials.createInsecure();

	server.addService(methods, { unary, client: countThem, server: answerMany, bidi: echo });
	server.bindAsync(`127.0.0.1:${port}`, credentials, (err) => { if (err) throw err; });
}

function check(is, what) {
	if (!is)
		throw new Error(what);
}

function call(client, name, message, options) {
	return new Promise((resolve) => client[name](message, new grpc.Metadata(), options || {}, (err, answer) => resolve([err ? err.code : 0, answer])));
}

function bidi(client, n) {
	return new Promise((resolve, reject) => {
		const stream = client.bidi();
		let i = 0;

		stream.on("error", reject);
		stream.on("end", () => (i === n ? resolve() : reject(new Error(`bidi: ${i} of ${n}`))));
		stream.on("data", (message) => {
			check(message.toString() === String(i), "bidi");
			if (++i < n)
				stream.write(Buffer.from(String(i)));
			else
				stream.end();
		});
		stream.write(Buffer.from("0"));
	});
}

const steps = {
	async unary(client, n) {
		for (let i = 0; i < n; i++) {
			const [code, answer] = await call(client, "unary", Buffer.from(`hello ${i}`));

			check(code === 0 && answer.toString() === `hello ${i}`, "unary");
		}
	},
	client: (client, n) => new Promise((resolve, reject) => {
		const stream = client.client((err, answer) => (err || answer.toString() !== String(n) ? reject(err || new Error("client")) : resolve()));

		for (let i = 0; i < n; i++)
			stream.write(Buffer.from("x"));
		stream.end();
	}),
	server: (client, n) => new Promise((resolve, reject) => {
		const stream = client.server(Buffer.from(`count ${n}`));
		let got = 0;

		stream.on("data", () => got++);
		stream.on("error", reject);
		stream.on("end", () => (got === n ? resolve() : reject(new Error(`server: ${got} of ${n}`))));
	}),
	bidi,
	async concurrent(client, n) {
		const open = [], answered = [];

		for (let i = 0; i < n; i++) {
			const stream = client.bidi();

			answered.push(new Promise((resolve) => stream.on("data", resolve)));
			open.push([stream, new Promise((resolve, reject) => stream.on("end", resolve).on("error", reject))]);
			stream.write(Buffer.from(String(i)));
		}
		(await Promise.all(answered)).forEach((message, i) => check(message.toString() === String(i), "concurrent"));
		for (const [stream, ended] of open) {
			stream.end();
			await ended;
		}
	},
	async fail(client, code) {
		check((await call(client, "unary", Buffer.from(`fail ${code}`)))[0] === code, "fail");
	},
	cancel: (client) => new Promise((resolve, reject) => {
		const stream = client.server(Buffer.from("count 100000000"));

		stream.once("data", () => stream.cancel());
		stream.on("error", (err) => (err.code === grpc.status.CANCELLED ? resolve() : reject(err)));
	}),
	async deadline(client) {
		// A server in Go resets the stream when the time is over: where that comes first, it is CANCELLED here.
		const [code] = await call(client, "unary", Buffer.from("sleep 3000"), { deadline: Date.now() + 300 });

		check(code === 4 || code === 1, "deadline");
	},
	async missing(client) {
		check((await call(client, "missing", Buffer.from("")))[0] === 12, "missing");
	},
};

async function ask(port, ca, ...words) {
	const Client = grpc.makeGenericClientConstructor({ ...methods, missing: method("Missing", false, false) }, "Echo");
	const client = ca === "-" ? new Client(`127.0.0.1:${port}`, grpc.credentials.createInsecure()) :
		new Client(`localhost:${port}`, grpc.credentials.createSsl(fs.readFileSync(ca)));

	for (const word of words) {
		const [name, number] = word.split(":");

		await steps[name](client, Number(number));
	}
	client.close();
}

if (process.argv[2] === "server")
	serve(...process.argv.slice(3));
else
	ask(...process.argv.slice(3)).catch((err) => { console.error(err); process.exit(1); });
