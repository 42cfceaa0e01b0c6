// SPDX-License-Identifier: Apache-2.0
// The Node SDK: sdk.js ENCODING=ENDPOINT...; says on stdout, a line a span, what it hands to its exporters.
"use strict";

const { SpanKind, SpanStatusCode, TraceFlags, context, createTraceState, trace } = require("@opentelemetry/api");
const { BasicTracerProvider, BatchSpanProcessor, SimpleSpanProcessor } = require("@opentelemetry/sdk-trace-base");
const { Resource } = require("@opentelemetry/resources");
const { CompressionAlgorithm } = require("@opentelemetry/otlp-exporter-base");
const exporters = {
	"http/protobuf": require("@opentelemetry/exporter-trace-otlp-proto").OTLPTraceExporter,
	"http/json": require("@opentelemetry/exporter-trace-otlp-http").OTLPTraceExporter,
	grpc: require("@opentelemetry/exporter-trace-otlp-grpc").OTLPTraceExporter,
};

const ATTRIBUTES = {
	text: "é\u202e<b>☃", whole: -9007199254740991, real: 0.1, truth: false, texts: ["a", "", "ü"], wholes: [1, 2], reals: [0.5, 1.5],
	truths: [true, false], none: [], empty: "", long: "x".repeat(10000),
};
const FAR = {
	traceId: "4bf92f3577b34da6a3ce929d0e0e4736", spanId: "00f067aa0ba902b7", traceFlags: TraceFlags.SAMPLED, isRemote: true,
	traceState: createTraceState("a=b,c=d"),
};

const nano = (t) => BigInt(t[0]) * 1000000000n + BigInt(t[1]);
const state = (c) => (c.traceState ? c.traceState.serialize() : "");

class Sayer {
	constructor(encoding) {
		this.encoding = encoding;
	}
	export(spans, done) {
		for (const s of spans) {
			const c = s.spanContext();
			const line = {
				encoding: this.encoding, trace: c.traceId, span: c.spanId, parent: s.parentSpanId ?? "", state: state(c), name: s.name,
				kind: s.kind + 1, start: "@" + nano(s.startTime), end: "@" + nano(s.endTime), attributes: s.attributes,
				events: s.events.map((e) => [e.name, "@" + nano(e.time), e.attributes ?? {}]),
				links: s.links.map((l) => [l.context.traceId, l.context.spanId, state(l.context), l.attributes ?? {}]),
				status: [s.status.code, s.status.message ?? ""], scope: [s.instrumentationLibrary.name, s.instrumentationLibrary.version ?? ""],
				dropped: [s.droppedAttributesCount, s.droppedEventsCount, s.droppedLinksCount], resource: s.resource.attributes,
			};
			// A number of JavaScript cannot hold these times.
			process.stdout.write(JSON.stringify(line).replace(/"@(\d+)"/g, "$1") + "\n");
		}
		done({ code: 0 });
	}
	async shutdown() {}
}

function act(provider) {
	const tracer = provider.getTracer("lib.one", "1.2", { schemaUrl: "https://example.com/schema/1" });
	const root = tracer.startSpan("outer é\u202e", { kind: SpanKind.SERVER, attributes: ATTRIBUTES });
	for (let n = 0; n < 10; n++)
		root.addEvent(`happened ${n}`, { k: true, n }, [1700000000, n]);
	const below = trace.setSpan(context.active(), root);
	const inner = tracer.startSpan("inner", { kind: SpanKind.CLIENT, links: [{ context: FAR, attributes: { why: "☃" } }] }, below);
	inner.setStatus({ code: SpanStatusCode.ERROR, message: "failed ☃" });
	inner.recordException(new Error("<wrong>"));
	inner.end();
	const sent = tracer.startSpan("sent", { kind: SpanKind.PRODUCER }, below);
	sent.setStatus({ code: SpanStatusCode.OK });
	sent.end();
	root.end();
	tracer.startSpan("got", { kind: SpanKind.CONSUMER }, trace.setSpan(context.active(), trace.wrapSpanContext(FAR))).end();
	const other = provider.getTracer("lib.two");
	for (let n = 0; n < 30; n++)
		other.startSpan(`step ${n}`, { startTime: [1700000000, n], attributes: { n } }).end([1700003600, n]);
}

async function main() {
	const providers = [];
	for (const argument of process.argv.slice(2)) {
		const at = argument.indexOf("=");
		const encoding = argument.slice(0, at), endpoint = argument.slice(at + 1);
		const provider = new BasicTracerProvider({
			resource: new Resource({ "service.name": `node-${encoding}`, ключ: "значение ☃", n: 7 }),
			spanLimits: { eventCountLimit: 8 },
			spanProcessors: [
				new SimpleSpanProcessor(new Sayer(encoding)),
				new BatchSpanProcessor(new exporters[encoding]({
					url: encoding === "grpc" ? endpoint : endpoint + "/v1/traces", compression: CompressionAlgorithm.GZIP,
				})),
			],
		});
		act(provider);
		providers.push(provider);
	}
	for (const provider of providers)
		await provider.shutdown();
}

main();
