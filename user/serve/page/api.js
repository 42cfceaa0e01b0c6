// SPDX-License-Identifier: Apache-2.0
// What is asked of the server, and the traces that were fetched already.

import { parseTrace } from "./otlp.js";
import { buildTree } from "./tree.js";

export class ApiError extends Error {
	constructor({ what, why, do: todo }, status) {
		super(what);
		Object.assign(this, { what, why, do: todo, status, useToken: setToken });
	}
}

// Asked for where the page is served to others; kept for this tab alone, and never in an address.
const TOKEN = "sonde-token";

function setToken(token) {
	sessionStorage.setItem(TOKEN, token);
}

export async function get(path, signal) {
	const headers = { accept: "application/json" };
	const token = sessionStorage.getItem(TOKEN);
	if (token) headers.authorization = `Bearer ${token}`;
	let answer;
	try {
		answer = await fetch(path, { signal, headers });
	} catch (error) {
		if (error.name === "AbortError") throw error;
		throw new ApiError({
			what: "sonde does not answer",
			why: "the command that serves this page has ended, or the machine cannot be reached",
			do: "start it again (sonde trace --ui, or sonde agent --ui), then try again",
		}, 0);
	}
	if (answer.ok) return answer.json();
	let said = null;
	try {
		said = (await answer.json()).error;
	} catch {
		// An answer that is not JSON says no more than its status does.
	}
	throw new ApiError(said || { what: `the server answered ${answer.status} to ${path}` }, answer.status);
}

const KEPT = 200;
// Larger ones are held by the view that shows them, not here.
const KEPT_SPANS = 5000;
const traces = new Map();

async function fetchTrace(id, form, signal) {
	const known = traces.get(id + form);
	if (known) return known;
	const answer = await get(`api/v1/traces/${encodeURIComponent(id)}${form}`, signal);
	const arrived = performance.now();
	const trace = parseTrace(answer);
	trace.id ||= id;
	const entry = { tree: buildTree(trace), arrived };
	if (trace.spans.length <= KEPT_SPANS) {
		traces.set(id + form, entry);
		if (traces.size > KEPT) traces.delete(traces.keys().next().value);
	}
	return entry;
}

// { tree, arrived (ms, as performance.now()) }, with all attributes of all spans; the last ones are kept, as going back and
// forth should cost nothing.
export function getTrace(id, signal) {
	return fetchTrace(id, "", signal);
}

// The same with what names and links a span, and no more: a third as much to read.
export function getRows(id, signal) {
	return fetchTrace(id, "?form=rows", signal);
}

// One span with all that is known of it, as OTLP JSON; null where it has gone meanwhile.
export async function getSpan(id, { id: spanId, name, parent }, signal) {
	try {
		const answer = await get(`api/v1/traces/${encodeURIComponent(id)}?span=${spanId}`, signal);
		const spans = answer.resourceSpans.flatMap((r) => r.scopeSpans.flatMap((s) => s.spans));
		// Ids should be told apart, but need not be.
		return spans.find((s) => s.name === name && (s.parentSpanId || "") === parent) || spans[0] || null;
	} catch (error) {
		if (error.status === 404) return null;
		throw error;
	}
}

// A whole trace as OTLP JSON.
export async function getOtlp(id, signal) {
	return { resourceSpans: (await get(`api/v1/traces/${encodeURIComponent(id)}`, signal)).resourceSpans };
}

const AT_ONCE = 4;

// Many traces, a few at a time; one that has gone meanwhile is left out. progress(done, of).
export async function getTraces(ids, signal, progress = () => {}) {
	const out = new Array(ids.length);
	let next = 0;
	let done = 0;
	const worker = async () => {
		while (next < ids.length) {
			const at = next++;
			try {
				out[at] = await getTrace(ids[at], signal);
			} catch (error) {
				if (error.status !== 404) throw error;
			}
			progress(++done, ids.length);
		}
	};
	await Promise.all(Array.from({ length: Math.min(AT_ONCE, ids.length) }, worker));
	return out.filter(Boolean);
}

export function search(query, signal) {
	return get(`api/v1/search?${query}`, signal);
}
