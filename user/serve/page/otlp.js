// SPDX-License-Identifier: Apache-2.0
// A trace as the page holds it, made from OTLP JSON. Pure: no DOM.
//
// trace: { id, base: {s, ns}, start, end (ns after base), spans: [span], lost }
// span:  { id, parent, name, kind, status, message, start, end, duration (ns, start after the trace's base),
//          service, host, resource (index of trace.resources), raw (the OTLP span, null where only a row of it came),
//          few (a row's attributes: name -> value, null where it has none) }
// Times are kept as sent. Seconds and nanoseconds are taken apart first: a double does not
// hold nanoseconds since 1970, but does hold those since the trace began.

const KINDS = ["unspecified", "internal", "server", "client", "producer", "consumer"];
const STATUSES = ["unset", "ok", "error"];

export function parseTrace(answer) {
	const resources = [];
	const spans = [];
	let baseS = Infinity;
	for (const rs of answer.resourceSpans || []) {
		const attributes = rs.resource?.attributes || [];
		const resource = { attributes, index: resources.length };
		resources.push(resource);
		// As the rest of the page calls it: what an SDK could not name has the name of its program.
		const service = text(find(attributes, "service.name")).replace(/^unknown_service:(?=.)/s, "") || "unknown_service";
		const host = text(find(attributes, "host.id")) || text(find(attributes, "host.name"));
		for (const ss of rs.scopeSpans || []) {
			for (const raw of ss.spans || []) {
				const span = fromSpan(raw, service, host, resource, ss.scope);
				if (span.second < baseS) baseS = span.second;
				spans.push(span);
			}
			for (const row of ss.rows || []) {
				const span = fromRow(row, service, host, resource, ss.scope);
				if (span.second < baseS) baseS = span.second;
				spans.push(span);
			}
		}
	}
	return settle(spans, resources, baseS, answer);
}

function fromSpan(raw, service, host, resource, scope) {
	const t = split(raw.startTimeUnixNano);
	const e = split(raw.endTimeUnixNano);
	return {
		id: raw.spanId || "",
		parent: raw.parentSpanId || "",
		name: raw.name || "",
		kind: oneOf(KINDS, raw.kind, "SPAN_KIND_"),
		status: oneOf(STATUSES, raw.status?.code, "STATUS_CODE_"),
		message: raw.status?.message || "",
		start: t.ns,
		end: e.ns + (e.s - t.s) * 1e9,
		second: t.s,
		duration: 0,
		service,
		host,
		resource,
		scope: scope || null,
		raw,
		few: null,
		operation: null,
	};
}

// A span of the API's form "rows" (docs/api.yaml, TraceRows).
function fromRow([id, parent, name, kind, status, second, start, took, few], service, host, resource, scope) {
	return {
		id,
		parent,
		name,
		kind: KINDS[kind] || KINDS[0],
		status: STATUSES[status] || STATUSES[0],
		message: "",
		start,
		end: start + took,
		second,
		duration: 0,
		service,
		host,
		resource,
		scope: scope || null,
		raw: null,
		few: few || null,
		operation: null,
	};
}

function settle(spans, resources, baseS, answer) {
	let start = Infinity;
	let end = -Infinity;
	for (const span of spans) {
		const shift = (span.second - baseS) * 1e9;
		span.start += shift;
		span.end += shift;
		span.duration = span.end - span.start;
		if (span.start < start) start = span.start;
		if (span.end > end) end = span.end;
	}
	if (!spans.length) start = end = baseS = 0;
	return {
		id: spans[0]?.raw?.traceId || "",
		baseS,
		start,
		end,
		spans,
		resources,
		lost: Boolean(answer.sonde?.lost),
	};
}

function split(nano) {
	const text = typeof nano === "string" ? nano : String(nano ?? 0);
	const digits = text.length < 10 ? text.padStart(10, "0") : text;
	return { s: Number(digits.slice(0, -9)), ns: Number(digits.slice(-9)) };
}

function oneOf(names, code, prefix) {
	if (typeof code === "string" && code.startsWith(prefix)) {
		const name = code.slice(prefix.length).toLowerCase();
		return names.includes(name) ? name : names[0];
	}
	return names[Number(code ?? 0)] || names[0];
}

export function find(attributes, key) {
	for (const a of attributes) if (a.key === key) return a.value;
	return undefined;
}

// An AnyValue as plain text; "" where there is none.
export function text(value) {
	if (value === undefined || value === null) return "";
	if (value.stringValue !== undefined) return value.stringValue;
	if (value.intValue !== undefined) return String(value.intValue);
	if (value.boolValue !== undefined) return String(value.boolValue);
	if (value.doubleValue !== undefined) return String(value.doubleValue);
	if (value.bytesValue !== undefined) return value.bytesValue;
	if (value.arrayValue) return `[${(value.arrayValue.values || []).map(text).join(", ")}]`;
	if (value.kvlistValue) {
		return `{${(value.kvlistValue.values || []).map((a) => `${a.key}: ${text(a.value)}`).join(", ")}}`;
	}
	return "";
}

export function attribute(span, key) {
	if (!span.raw) return span.few && Object.hasOwn(span.few, key) ? String(span.few[key]) : "";
	return text(find(span.raw.attributes || [], key));
}

export function resourceAttribute(span, key) {
	return text(find(span.resource.attributes, key));
}

// Unix time of a moment of the trace, in ms.
export function atMs(trace, ns) {
	return trace.baseS * 1000 + ns / 1e6;
}
