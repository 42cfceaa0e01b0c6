// SPDX-License-Identifier: Apache-2.0
// Small traces in OTLP JSON, written as lists: [id, parent, service, kind, name, start, end, attributes, more].

import { parseTrace } from "../../user/serve/page/otlp.js";
import { buildTree } from "../../user/serve/page/tree.js";

const KIND = { internal: 1, server: 2, client: 3, producer: 4, consumer: 5 };
export const BASE = 1795303391000000000n;
export const ID = "231abc53ff4040f73d3957b82bf0e435";

const value = (v) => (typeof v === "number" ? { intValue: String(v) } : typeof v === "boolean" ? { boolValue: v } : { stringValue: v });
export const attributes = (map) => Object.entries(map).map(([key, v]) => ({ key, value: value(v) }));

// Times in ms after BASE.
export function otlp(rows, hosts = {}) {
	const by = new Map();
	for (const [id, parent, service, kind, name, start, end, attrs = {}, more = {}] of rows) {
		if (!by.has(service)) by.set(service, []);
		by.get(service).push({
			traceId: ID, spanId: id, parentSpanId: parent, name, kind: KIND[kind], attributes: attributes(attrs),
			startTimeUnixNano: String(BASE + BigInt(Math.round(start * 1e6))), endTimeUnixNano: String(BASE + BigInt(Math.round(end * 1e6))), ...more,
		});
	}
	return { resourceSpans: [...by].map(([service, spans]) => ({
		resource: { attributes: attributes({ "service.name": service, ...(hosts[service] ? { "host.name": hosts[service] } : {}) }) },
		scopeSpans: [{ scope: { name: "sonde" }, spans }],
	})) };
}

export const tree = (rows, hosts) => buildTree(parseTrace(otlp(rows, hosts)));
export const FAILED = { status: { code: 2 } };

// web answers a page: it asks shop, which asks a database twice, one after the other.
//   w1 web  server  0 ─────────────────────── 100
//   w2 web  client    10 ───────────────── 90
//   s1 shop server     12 ─────────────── 88
//   d1 shop client       20 ─── 40
//   d2 shop client              50 ── 80
export const SHOP = [
	["w1", "", "web", "server", "GET", 0, 100, { "url.path": "/cart" }],
	["w2", "w1", "web", "client", "GET", 10, 90, { "url.full": "http://shop:80/items?x=1" }],
	["s1", "w2", "shop", "server", "GET", 12, 88, { "url.path": "/items" }],
	["d1", "s1", "shop", "client", "SELECT a", 20, 40, { "server.address": "db", "server.port": 5432 }],
	["d2", "s1", "shop", "client", "SELECT b", 50, 80, { "server.address": "db", "server.port": 5432 }, FAILED],
];
