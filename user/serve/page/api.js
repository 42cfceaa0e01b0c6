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
const traces = new Map();

// { tree, answer }; the last ones are kept, as going back and forth should cost nothing.
export async function getTrace(id, signal, fresh = false) {
	const known = traces.get(id);
	if (known && !fresh) return known;
	const answer = await get(`api/v1/traces/${encodeURIComponent(id)}`, signal);
	const arrived = performance.now();
	const trace = parseTrace(answer);
	trace.id ||= id;
	const entry = { tree: buildTree(trace), answer, arrived };
	// Large ones are held by the view that shows them, not here.
	if (trace.spans.length <= 5000) {
		traces.set(id, entry);
		if (traces.size > KEPT) traces.delete(traces.keys().next().value);
	}
	return entry;
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
