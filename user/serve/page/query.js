// SPDX-License-Identifier: Apache-2.0
// The page's state and its address, both ways; and what is asked of the server for it. Pure: no DOM.
//
// state: { view, id, params: Map name -> [value] }; the address is "#/view/id?name=value&…".

import { parseDuration, unixMs } from "./format.js";

export const VIEWS = ["traces", "trace", "map", "services", "health", "diff"];

export function parseHash(hash) {
	const [path, query = ""] = hash.replace(/^#\/?/, "").split(/\?(.*)/s, 2);
	const [view = "", ...rest] = path.split("/");
	const params = new Map();
	for (const [name, value] of new URLSearchParams(query)) {
		if (!params.has(name)) params.set(name, []);
		params.get(name).push(value);
	}
	const known = VIEWS.includes(view);
	return { view: known ? view : "traces", id: known ? decoded(rest.join("/")) : "", params };
}

function decoded(text) {
	try {
		return decodeURIComponent(text);
	} catch {
		return text;
	}
}

export function formatHash({ view, id = "", params = new Map() }) {
	const query = new URLSearchParams();
	for (const [name, values] of params) for (const value of values) if (value !== "") query.append(name, value);
	const tail = query.toString();
	return `#/${view}${id ? `/${encodeURIComponent(id)}` : ""}${tail ? `?${tail}` : ""}`;
}

export const one = (state, name) => state.params.get(name)?.[0] ?? "";
export const all = (state, name) => state.params.get(name) ?? [];

// A copy of a state with some parameters set; "" and [] take one away.
export function changed(state, changes) {
	const params = new Map(state.params);
	for (const [name, value] of Object.entries(changes)) {
		const values = [].concat(value ?? []).map(String).filter((v) => v !== "");
		if (values.length) params.set(name, values);
		else params.delete(name);
	}
	return { ...state, params };
}

export const RANGES = { "15m": 900, "1h": 3600, "6h": 21600, "24h": 86400, "7d": 604800 };
const COPIED = ["service", "operation", "kind", "status", "q"];
// The most that the server answers at once.
const LIMIT_MOST = 200;

// The search of the API for a state of the traces view. now: ms since 1970.
// -> { query: "a=b&…", problems: [what cannot be understood] }
export function searchQuery(state, now, limit = 100) {
	const out = new URLSearchParams();
	const problems = [];
	for (const name of COPIED) if (one(state, name)) out.append(name, one(state, name));
	for (const name of ["min", "max"]) {
		const text = one(state, name);
		if (!text) continue;
		const ns = parseDuration(text);
		if (ns === null) problems.push(`“${text}” is no duration: write 20ms, 1.5s or 300us`);
		else out.append(`${name}_duration_nano`, String(ns));
	}
	for (const term of all(state, "attr")) {
		if (/^[^=]+=/s.test(term)) out.append("attr", term);
		else problems.push(`“${term}” is no attribute: write key=value`);
	}
	for (const [name, value] of rangeQuery(state, now)) out.append(name, value);
	out.append("limit", String(Math.min(LIMIT_MOST, Number(one(state, "limit")) || limit)));
	return { query: out.toString(), problems };
}

// ms since 1970, or null: without an end. "from" and "to" (a rectangle that was drawn) win over "range".
export function timeRange(state, now) {
	const from = Number(one(state, "from"));
	const to = Number(one(state, "to"));
	if (from || to) return { from: from || null, to: to || null };
	const seconds = RANGES[one(state, "range")];
	return { from: seconds ? now - seconds * 1000 : null, to: null };
}

// The parameters of the API for the state's time.
export function rangeQuery(state, now) {
	const { from, to } = timeRange(state, now);
	const out = new URLSearchParams();
	if (from !== null) out.append("start_unix_nano", nano(from));
	if (to !== null) out.append("end_unix_nano", nano(to));
	return out;
}

// How long the time of an answer is, in seconds, of which rates are.
export function secondsOf(answer) {
	return Math.max(0.001, (unixMs(answer.end_unix_nano) - unixMs(answer.start_unix_nano)) / 1000);
}

const nano = (ms) => `${BigInt(Math.round(ms * 1000))}000`;
