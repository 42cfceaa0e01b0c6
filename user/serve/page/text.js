// SPDX-License-Identifier: Apache-2.0
// A trace as text for a terminal, a mail or a ticket. Pure: no DOM.

import { duration, plural, shown } from "./format.js";
import { label } from "./operation.js";
import { attribute } from "./otlp.js";

const BAR = 24;

// rows, depth: as tree.js's flatten gives them; lines stand in their order.
export function traceText(tree, { rows, depth }, groups) {
	const { trace, spans } = tree;
	const lines = [];
	for (let at = 0; at < rows.length; at++) {
		const i = rows[at];
		const indent = "  ".repeat(Math.min(depth[at], 20));
		lines.push(i < 0 ? groupLine(groups.list[-1 - i], indent, trace) : spanLine(spans[i], indent, trace));
	}
	const width = Math.min(72, Math.max(0, ...lines.map((l) => l.left.length)));
	const errors = spans.filter((s) => s.status === "error").length;
	const head = `trace ${trace.id}  ${duration(trace.end - trace.start)}  ${plural(spans.length, "span")}` +
		`${errors ? `  ${plural(errors, "error")}` : ""}${trace.lost ? "  spans were lost" : ""}`;
	return [head, ...lines.map((l) => `${l.left.padEnd(width)}  ${l.time.padStart(8)}  |${l.bar}|${l.right}`)].join("\n") + "\n";
}

function spanLine(span, indent, trace) {
	const status = attribute(span, "http.response.status_code");
	const failed = span.status === "error" ? "  ERROR" : "";
	return {
		left: `${indent}${shown(span.service, 40)} ${span.kind} ${shown(label(span), 60)}`,
		time: duration(span.duration),
		bar: bar(span.start, span.end, trace),
		right: `${status ? ` ${shown(status, 10)}` : ""}${failed}`,
	};
}

function groupLine(group, indent, trace) {
	return {
		left: `${indent}${group.members.length} x ${shown(group.name, 60)}, ${group.mode}`,
		time: duration(group.time),
		bar: bar(group.start, group.end, trace),
		right: group.errors ? `  ${plural(group.errors, "ERROR", "ERRORS")}` : "",
	};
}

function bar(start, end, trace) {
	const whole = trace.end - trace.start || 1;
	const from = Math.min(BAR - 1, Math.floor(((start - trace.start) / whole) * BAR));
	const to = Math.max(from + 1, Math.min(BAR, Math.round(((end - trace.start) / whole) * BAR)));
	return " ".repeat(from) + "=".repeat(to - from) + " ".repeat(BAR - to);
}
