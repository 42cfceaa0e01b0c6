# SPDX-License-Identifier: Apache-2.0
"""Spans sent to the real Collector and the real Jaeger are read back as they were written to the file."""

import dataclasses
import json

import pytest

import servers
from backends import Collector, Jaeger
from harness import trace_scene, wait_for

PROTOCOLS = ["http/protobuf", "http/json", "grpc"]
COUNT = 10


def traced(tmp_path, backend, protocol, options=(), env=None):
    """curl -> nginx -> Python, exported to a back end and to a file at once."""
    inner = servers.PythonThreads(tmp_path)
    front = servers.proxy(tmp_path, inner)
    curls = [["curl", "-sS", "-o", "/dev/null", front.url(f"/b/{n}?q=1")] for n in range(COUNT)]
    url = backend.grpc if protocol == "grpc" else backend.http
    return trace_scene(
        tmp_path, [inner, front], curls, ["--otlp", url, *options],
        env={"OTEL_EXPORTER_OTLP_PROTOCOL": protocol, **(env or {})},
    ).check()


def comparable(spans, loose=False):
    """Spans as plain values, by id. loose: arrays as the text that Jaeger makes of them, and what
    its own storage has no place for left out."""
    found = {}
    for span in spans:
        plain = dataclasses.asdict(span)
        if loose:
            plain.pop("flags")
            for part in ("attributes", "resource"):
                plain[part] = {k: json.dumps(v, separators=(",", ":")) if isinstance(v, list) else v
                               for k, v in plain[part].items()}
        found[span.span_id] = plain
    assert len(found) == len(spans), "a span twice"
    return found




@pytest.mark.parametrize("compression", ["gzip", "none"])
@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_collector(tmp_path, protocol, compression):
    """Protects: ids, parents, attributes and times arrive in the Collector as they were written."""
    with Collector(tmp_path) as collector:
        run = traced(tmp_path, collector, protocol, env={"OTEL_EXPORTER_OTLP_COMPRESSION": compression})
        assert len(run.spans) == 4 * COUNT
        wait_for(lambda: len(collector.spans()) >= len(run.spans), "the Collector writes its file")
        assert comparable(collector.spans()) == comparable(run.spans)
    for name, sink in run.ledger["sinks"].items():
        assert sink["acked"] == sink["spans"] == len(run.spans), (name, sink)
        assert sink["residual"] == 0


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_jaeger(tmp_path, protocol):
    """Protects: Jaeger's query API tells each trace with the same ids, parents, attributes and times."""
    with Jaeger(tmp_path) as jaeger:
        run = traced(tmp_path, jaeger, protocol)
        traces = {}
        for span in run.spans:
            traces.setdefault(span.trace_id, []).append(span)
        assert len(traces) == COUNT
        for trace_id, spans in traces.items():
            wait_for(lambda t=trace_id, n=len(spans): len(jaeger.spans(t)) >= n, "Jaeger has the trace")
            assert comparable(jaeger.spans(trace_id), True) == comparable(spans, True)
