# SPDX-License-Identifier: Apache-2.0
"""The Python SDK: sdk.py ENCODING=ENDPOINT...; says on stdout, a line a span, what it hands to its exporters.

Each span has a field that no version of the protocol knows, as an SDK of tomorrow might send one.
"""

import json
import sys
import time

import opentelemetry.exporter.otlp.proto.grpc.trace_exporter as by_grpc
import opentelemetry.exporter.otlp.proto.http.trace_exporter as by_http
from grpc import Compression as GrpcCompression
from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.http import Compression
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import SpanLimits, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SimpleSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.trace import Link, SpanContext, SpanKind, Status, StatusCode, TraceFlags, TraceState

# Field 9999, of bytes.
UNKNOWN = b"\xfa\xf0\x04\x07unknown"
ATTRIBUTES = {"text": "é\u202e<b>☃", "whole": -(2**63), "real": 0.1, "truth": False, "texts": ["a", "", "ü"],
              "wholes": [1, 2**53 + 1], "reals": [0.5, 1.5], "truths": [True, False], "none": [], "empty": "", "long": "x" * 10_000}
FAR = SpanContext(0x4BF92F3577B34DA6A3CE929D0E0E4736, 0x00F067AA0BA902B7, True, TraceFlags(1), TraceState([("a", "b"), ("c", "d")]))


def with_unknown(encode):
    def encoded(spans):
        request = encode(spans)
        for resource_spans in request.resource_spans:
            for scope_spans in resource_spans.scope_spans:
                for span in scope_spans.spans:
                    span.MergeFromString(UNKNOWN)
        return request

    return encoded


for module in (by_http, by_grpc):
    module.encode_spans = with_unknown(module.encode_spans)


def exporter_of(encoding, endpoint):
    if encoding == "grpc":
        return by_grpc.OTLPSpanExporter(endpoint=endpoint, insecure=True, compression=GrpcCompression.Gzip)
    return by_http.OTLPSpanExporter(endpoint=endpoint + "/v1/traces", compression=Compression.Gzip)


class Sayer(SpanExporter):
    def __init__(self, encoding):
        self.encoding = encoding

    def export(self, spans):
        for s in spans:
            print(json.dumps({
                "encoding": self.encoding, "trace": f"{s.context.trace_id:032x}", "span": f"{s.context.span_id:016x}",
                "parent": f"{s.parent.span_id:016x}" if s.parent else "", "state": s.context.trace_state.to_header(), "name": s.name,
                "kind": s.kind.value + 1, "start": s.start_time, "end": s.end_time, "attributes": dict(s.attributes),
                "events": [[e.name, e.timestamp, dict(e.attributes)] for e in s.events],
                # Its encoder leaves the state of a link out.
                "links": [[f"{k.context.trace_id:032x}", f"{k.context.span_id:016x}", "", dict(k.attributes)] for k in s.links],
                "status": [s.status.status_code.value, s.status.description or ""], "scope": [s.instrumentation_scope.name, s.instrumentation_scope.version or ""],
                "dropped": [s.dropped_attributes, s.dropped_events, s.dropped_links], "resource": dict(s.resource.attributes)}))
        return SpanExportResult.SUCCESS


def act(provider):
    tracer = provider.get_tracer("lib.one", "1.2", "https://example.com/schema/1", {"of": "the scope"})
    with tracer.start_as_current_span("outer é\u202e", kind=SpanKind.SERVER, attributes=ATTRIBUTES) as span:
        for n in range(10):
            span.add_event(f"happened {n}", {"k": True, "n": n}, timestamp=time.time_ns() - n)
        with tracer.start_as_current_span("inner", kind=SpanKind.CLIENT, links=[Link(FAR, {"why": "☃"})]) as inner:
            inner.set_status(Status(StatusCode.ERROR, "failed ☃"))
            inner.record_exception(ValueError("<wrong>"))
        with tracer.start_as_current_span("sent", kind=SpanKind.PRODUCER) as sent:
            sent.set_status(Status(StatusCode.OK))
    far = trace.set_span_in_context(trace.NonRecordingSpan(FAR))
    with tracer.start_as_current_span("got", context=far, kind=SpanKind.CONSUMER):
        pass
    other = provider.get_tracer("lib.two")
    for n in range(30):
        begun = 1_700_000_000_000_000_001 + n
        other.start_span(f"step {n}", start_time=begun, attributes={"n": n}).end(begun + 3_600_000_000_000)


def main():
    providers = []
    for argument in sys.argv[1:]:
        encoding, endpoint = argument.split("=", 1)
        provider = TracerProvider(resource=Resource.create({"service.name": f"python-{encoding}", "ключ": "значение ☃", "n": 7}),
                                  span_limits=SpanLimits(max_events=8))
        provider.add_span_processor(SimpleSpanProcessor(Sayer(encoding)))
        provider.add_span_processor(BatchSpanProcessor(exporter_of(encoding, endpoint)))
        act(provider)
        providers.append(provider)
    for provider in providers:
        provider.shutdown()


main()
