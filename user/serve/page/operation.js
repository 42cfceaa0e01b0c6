// SPDX-License-Identifier: Apache-2.0
// What a span did, as one short line that is the same for calls of the same kind. Pure: no DOM.
//
// A span of HTTP is often named by its method alone, because the route is not known from
// outside. Its path then stands in for the route, with what looks like an identifier
// taken out. Such a name is inferred, and marked so.

import { attribute } from "./otlp.js";

const METHOD = /^[A-Z_]{2,20}$/;
const IDENTIFIER = [
	/^\d+$/,
	/^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/i,
	/^(?=.*\d)[0-9a-f]{8,}$/i,
	/^(?=.*\d)[A-Za-z0-9_-]{20,}$/,
];

export function template(path) {
	return path
		.split("/")
		.map((part) => (IDENTIFIER.some((pattern) => pattern.test(part)) ? "{id}" : part))
		.join("/");
}

export function pathOf(span) {
	const path = attribute(span, "url.path") || attribute(span, "http.target");
	if (path) return path.split(/[?#]/, 1)[0];
	const url = attribute(span, "url.full") || attribute(span, "http.url");
	const match = /^[a-z][a-z0-9+.-]*:\/\/[^/?#]*([^?#]*)/i.exec(url);
	return match ? match[1] || "/" : "";
}

// { name, inferred }
export function operation(span) {
	if (span.operation) return span.operation;
	let out = { name: span.name || "(no name)", inferred: false };
	if (METHOD.test(span.name)) {
		const route = attribute(span, "http.route") || attribute(span, "url.template");
		const path = route || template(pathOf(span));
		if (path) out = { name: `${span.name} ${path}`, inferred: !route };
	} else if (/\/\d/.test(span.name)) {
		out = { name: template(span.name), inferred: true };
	}
	span.operation = out;
	return out;
}

// The same for a span of a search's answer, which has a name and where there is one a path.
export function summaryName({ name, path }) {
	return path && METHOD.test(name) ? `${name} ${path}` : name || "(no name)";
}

// As the page writes it in a row: with the path itself, not its template.
export function label(span) {
	if (METHOD.test(span.name)) {
		const path = attribute(span, "http.route") || attribute(span, "url.template") || pathOf(span);
		if (path) return `${span.name} ${path}`;
	}
	return span.name || "(no name)";
}
