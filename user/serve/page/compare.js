// SPDX-License-Identifier: Apache-2.0
// What some spans have in common that the others have not. Pure: no DOM.

import { text } from "./otlp.js";
import { operation } from "./operation.js";

// Values that name one span, connection or moment say nothing about many.
const NAMES_ONE = /(\.port|^sonde\.edge\.id|\.creation\.time|\.instance\.id|process\.pid|process\.parent_pid|\.size)$/;

// All that may be said of a trace: attributes of its spans and resources, services, operations, errors.
// A Set of "key\0value".
export function features(trace) {
	const out = new Set();
	const seen = new Set();
	for (const span of trace.spans) {
		out.add(`service.name\0${span.service}`);
		out.add(`span\0${span.service}: ${operation(span).name}`);
		if (span.status === "error") out.add(`error in\0${span.service}: ${operation(span).name}`);
		for (const a of span.raw.attributes || []) addValue(out, a);
		if (seen.has(span.resource)) continue;
		seen.add(span.resource);
		for (const a of span.resource.attributes) addValue(out, a);
	}
	return out;
}

function addValue(out, a) {
	if (NAMES_ONE.test(a.key) || a.key === "service.name") return;
	const value = text(a.value);
	if (value.length <= 256) out.add(`${a.key}\0${value}`);
}

// selected, others: [Set of features]. -> [{ key, value, selected, others (how many have it), difference }]
// with the greatest difference of shares first; what tells nothing (less than a fifth apart) is left out.
export function compare(selected, others, limit = 40) {
	const counts = new Map();
	const tally = (sets, at) => {
		for (const set of sets) {
			for (const f of set) {
				let c = counts.get(f);
				if (!c) counts.set(f, (c = [0, 0]));
				c[at]++;
			}
		}
	};
	tally(selected, 0);
	tally(others, 1);
	const out = [];
	for (const [f, [a, b]] of counts) {
		const difference = a / (selected.length || 1) - b / (others.length || 1);
		if (difference < 0.2) continue;
		const [key, value] = f.split("\0");
		out.push({ key, value, selected: a, others: b, difference });
	}
	out.sort((x, y) => y.difference - x.difference || (x.key < y.key ? -1 : x.key > y.key ? 1 : x.value < y.value ? -1 : 1));
	return out.slice(0, limit);
}
