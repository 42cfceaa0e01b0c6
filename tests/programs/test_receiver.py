# SPDX-License-Identifier: Apache-2.0
"""The role that receives: OTLP of other programs is kept as it came, searchable, and passed on; whoever sends what is
none, too much, or too slowly, is told so, or bounded."""

import concurrent.futures
import gzip
import json
import os
import pathlib
import re
import signal
import socket
import subprocess
import time

import grpc
import pytest
from google.protobuf import json_format
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (ExportTraceServiceRequest,
                                                                      ExportTraceServiceResponse)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2_grpc import TraceServiceStub

import bpf
import harness
from crowd import Crowd
from harness import SONDE, free_port, wait_for
from receiver import JSON, PROTOBUF, Backend, Receiver, flat, request_of

# Field 9999, of bytes: no version of the protocol has it.
UNKNOWN = b"\xfa\xf0\x04\x07unknown"


@pytest.fixture(scope="module")
def receiver(tmp_path_factory):
    with Receiver(tmp_path_factory.mktemp("receiver")) as receiver:
        yield receiver


def test_protobuf_is_kept_and_found(receiver):
    """Protects: what comes by OTLP/HTTP is searchable within two seconds, packed or not."""
    before = receiver.spans()
    plain, _ = request_of(3, name="plain")
    packed, trace = request_of(4, service="packed", name="packed")
    begun = time.monotonic()
    answer = receiver.post(plain.SerializeToString(), PROTOBUF)
    assert answer.status == 200 and answer.headers["Content-Type"] == PROTOBUF and answer.body == b""
    answer = receiver.post(gzip.compress(packed.SerializeToString()), PROTOBUF, Content_Encoding="gzip")
    assert answer.status == 200, answer.body
    wait_for(lambda: receiver.get("/api/v1/search?service=packed")["traces"], "it is found")
    assert time.monotonic() - begun < 2
    found = receiver.get("/api/v1/search?service=packed")["traces"]
    assert [t["trace_id"] for t in found] == [trace] and found[0]["spans"] == 4
    receiver.wait_spans(before + 7)
    names = [s["name"] for s in receiver.trace(trace)["resourceSpans"][0]["scopeSpans"][0]["spans"]]
    assert sorted(names) == [f"packed{i}" for i in range(4)]


def full_request():
    """A request with everything that a span can have."""
    request, trace = request_of(1)
    span = request.resource_spans[0].scope_spans[0].spans[0]
    span.parent_span_id, span.trace_state, span.flags = b"parentid", "a=b", 0x101
    span.dropped_attributes_count, span.dropped_events_count, span.dropped_links_count = 1, 2, 3
    span.attributes.add(key="text").value.string_value = "\u00e9\u202e<b>"
    span.attributes.add(key="whole").value.int_value = -(2 ** 63)
    span.attributes.add(key="real").value.double_value = 0.1
    span.attributes.add(key="truth").value.bool_value = False
    span.attributes.add(key="bytes").value.bytes_value = b"\x00\xff"
    span.attributes.add(key="list").value.array_value.values.add().string_value = ""
    inner = span.attributes.add(key="map").value.kvlist_value.values.add(key="in")
    inner.value.int_value = 2 ** 53 + 1
    event = span.events.add(time_unix_nano=7, name="event", dropped_attributes_count=4)
    event.attributes.add(key="k").value.bool_value = True
    link = span.links.add(trace_id=b"l" * 16, span_id=b"l" * 8, trace_state="c=d", flags=1)
    link.attributes.add(key="k").value.int_value = 1
    span.status.code, span.status.message = 2, "failed"
    return request, trace


def to_json(request):
    """OTLP/JSON, as its specification differs from ProtoJSON: ids in hexadecimal, enumerations as numbers."""
    tree = json_format.MessageToDict(request, use_integers_for_enums=True)
    for resource_spans in tree["resourceSpans"]:
        for scope_spans in resource_spans["scopeSpans"]:
            for span in scope_spans["spans"]:
                for holder in (span, *span.get("links", [])):
                    for key in ("traceId", "spanId", "parentSpanId"):
                        if key in holder:
                            holder[key] = json_format.base64.b64decode(holder[key]).hex()
    return json.dumps(tree).encode()


def test_three_encodings_say_the_same(receiver):
    """Protects: a span that has everything is the same, field for field, whichever way it came."""
    seen = []
    for encoding in ("protobuf", "json", "grpc"):
        request, trace = full_request()
        if encoding == "grpc":
            with grpc.insecure_channel(f"127.0.0.1:{receiver.grpc}") as channel:
                assert TraceServiceStub(channel).Export(request, timeout=30) == ExportTraceServiceResponse()
        elif encoding == "json":
            answer = receiver.post(to_json(request), JSON)
            assert answer.status == 200 and json.loads(answer.body) == {}, answer.body
        else:
            assert receiver.post(request.SerializeToString(), PROTOBUF).status == 200
        wait_for(lambda t=trace: any(x["trace_id"] == t for x in receiver.get("/api/v1/search?limit=100")["traces"]),
                 f"{encoding} is found")
        (resource, scope, span), = flat(receiver.trace(trace))
        sent = json.loads(to_json(request))["resourceSpans"][0]["scopeSpans"][0]["spans"][0]
        got = {k: v for k, v in span.items() if v != []}
        assert got == sent, encoding
        assert resource["attributes"] == [{"key": "service.name", "value": {"stringValue": "sender"}}]
        assert scope["name"] == "lib"
        for own in ("traceId", "spanId", "startTimeUnixNano", "endTimeUnixNano"):
            span.pop(own)
        seen.append(span)
    assert seen[0] == seen[1] == seen[2]


def test_passed_on_as_it_came(tmp_path):
    """Protects: what is received is kept, and passed on byte for byte, fields of tomorrow included."""
    request, trace = full_request()
    span = request.resource_spans[0].scope_spans[0].spans[0]
    span.ParseFromString(span.SerializeToString() + UNKNOWN)
    wire = span.SerializeToString()
    assert UNKNOWN in wire
    request.resource_spans[0].schema_url = "https://example.com/schema/1"
    request.resource_spans[0].ParseFromString(request.resource_spans[0].SerializeToString() + UNKNOWN)
    with Backend() as backend, Receiver(tmp_path, "--otlp", backend.url) as receiver:
        assert receiver.post(request.SerializeToString(), PROTOBUF).status == 200
        receiver.wait_spans(1)
        wait_for(lambda: backend.bodies, "it is passed on")
        assert wire in backend.bodies[0]
        # Around it, too: the schema that it names, or none, and what is not known.
        assert ExportTraceServiceRequest.FromString(backend.bodies[0]) == request
        assert flat(receiver.trace(trace))[0][2]["name"] == "op0"
    assert {s["acked"] for s in receiver.ledger["sinks"].values()} == {1} and len(receiver.ledger["sinks"]) == 2


def test_refusals(receiver):
    """Protects: whoever is refused is told why, in the encoding that was used, with the status that the protocol asks for."""
    good = request_of(1)[0].SerializeToString()
    for body, content_type, options, status in (
            (b"xx{}", PROTOBUF, {}, 400), (b"{", JSON, {}, 400), (good[:-1], PROTOBUF, {}, 400),
            (good, "text/plain", {}, 415), (good, PROTOBUF, {"Content_Encoding": "br"}, 415),
            (good, PROTOBUF, {"Content_Encoding": "gzip"}, 400), (good, PROTOBUF, {"path": "/v1/metrics"}, 404),
            (good, PROTOBUF, {"Host": "evil.example"}, 421), (b"x" * (17 << 20), PROTOBUF, {}, 413),
            (gzip.compress(b"\0" * (17 << 20)), PROTOBUF, {"Content_Encoding": "gzip"}, 413)):
        answer = receiver.post(body, content_type, **options)
        assert answer.status == status, (body[:20], answer.status)
        assert answer.headers["Content-Type"] == (JSON if content_type == JSON else PROTOBUF)
        if content_type == JSON:
            assert json.loads(answer.body)["message"]
        else:  # google.rpc.Status {code 1, message 2}
            assert answer.body[0] == 8 and answer.body[2] == 0x12, answer.body
    request, _ = request_of(3)
    request.resource_spans[0].scope_spans[0].spans[1].trace_id = b"short"
    before = receiver.spans()
    answer = ExportTraceServiceResponse.FromString(receiver.post(request.SerializeToString(), PROTOBUF).body)
    assert answer.partial_success.rejected_spans == 1 and "ids" in answer.partial_success.error_message
    receiver.wait_spans(before + 2)


def test_refusals_by_grpc(receiver):
    path = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"
    with grpc.insecure_channel(f"127.0.0.1:{receiver.grpc}", options=[("grpc.max_send_message_length", -1)]) as channel:
        for method, body, code in ((path, b"xx{}", grpc.StatusCode.INVALID_ARGUMENT),
                                   (path, b"x" * (17 << 20), grpc.StatusCode.RESOURCE_EXHAUSTED),
                                   ("/a.B/C", b"", grpc.StatusCode.UNIMPLEMENTED)):
            with pytest.raises(grpc.RpcError) as raised:
                channel.unary_unary(method)(body, timeout=60)
            assert raised.value.code() == code and raised.value.details()
        before = receiver.spans()
        stub = TraceServiceStub(channel)
        with concurrent.futures.ThreadPoolExecutor(16) as pool:  # several streams of one connection
            list(pool.map(lambda _: stub.Export(request_of(10)[0], timeout=60), range(64)))
        receiver.wait_spans(before + 640)


def test_large_and_many(receiver):
    """Protects: ten megabytes at once pass, through a ring of a quarter of one, and none of it is lost."""
    before = receiver.spans()
    request, trace = request_of(10000, service="large", size=900)
    body = request.SerializeToString()
    assert 9 << 20 < len(body) < 16 << 20
    assert receiver.post(body, PROTOBUF).status == 200
    receiver.wait_spans(before + 10000)
    assert len(flat(receiver.trace(trace))) == 10000


def test_a_token(tmp_path):
    """Protects: on an address that others reach a token is asked for; without one nothing is opened there."""
    done = subprocess.run([SONDE, "serve", "--store", tmp_path / "s", "--ui", "127.0.0.1:0", "--otlp-http", "0.0.0.0:0"],
                          capture_output=True, text=True, timeout=30)
    assert done.returncode == 2 and "token" in done.stderr, done.stderr
    with Receiver(tmp_path, env={"SONDE_OTLP_TOKEN": "a-token-of-some-length"}) as receiver:
        body = request_of(1)[0].SerializeToString()
        assert receiver.post(body, PROTOBUF).status == 401
        assert receiver.post(body, PROTOBUF, Authorization="Bearer wrong-token-of-length").status == 401
        assert receiver.post(body, PROTOBUF, Authorization="Bearer a-token-of-some-length").status == 200
        with grpc.insecure_channel(f"127.0.0.1:{receiver.grpc}") as channel:
            with pytest.raises(grpc.RpcError) as raised:
                TraceServiceStub(channel).Export(request_of(1)[0], timeout=30)
            assert raised.value.code() == grpc.StatusCode.UNAUTHENTICATED
            TraceServiceStub(channel).Export(request_of(1)[0], timeout=30,
                                             metadata=[("authorization", "Bearer a-token-of-some-length")])
        receiver.wait_spans(2)


# What clients send that keep a connection and ask for nothing whole.
SILENT = ["POST /v1/tr", "POST /v1/traces HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\nx", "", "PRI * HTTP/2.0\r\n"]


def memory_of(pid):
    text = pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text()
    return int(re.search(r"^Rss: +(\d+)", text, re.M).group(1)) << 10


def test_ten_thousand_silent_clients(receiver):
    """Protects: clients that send half of a head, half of a body, or nothing, on each port ten thousand, keep nobody else
    out, and cost neither much memory nor many descriptors."""
    pid, sent, before = bpf.roles(receiver.process.pid)["receive"], 0, receiver.spans()
    memory = memory_of(pid)
    with Crowd(receiver.http, 10000, *SILENT) as one, Crowd(receiver.grpc, 10000, *SILENT) as other:
        for _ in zip(one.come(), other.come()):
            assert receiver.post(request_of(5)[0].SerializeToString(), PROTOBUF).status == 200
            with grpc.insecure_channel(f"127.0.0.1:{receiver.grpc}") as channel:
                TraceServiceStub(channel).Export(request_of(5)[0], timeout=30, wait_for_ready=True)
            sent += 10
        grown, held = memory_of(pid) - memory, len(os.listdir(f"/proc/{pid}/fd"))
        print(f"20,000 silent clients: {grown >> 10} KiB more, {held} descriptors")
        assert sent == 100 and grown < 48 << 20 and held < 1700
        receiver.wait_spans(before + sent)
    assert bpf.roles(receiver.process.pid)["receive"] == pid
    assert receiver.post(b"", PROTOBUF).status == 200


def test_killed(tmp_path):
    """Protects: a receiver that dies comes back at the same address; the account holds."""
    with Receiver(tmp_path) as receiver:
        assert receiver.post(request_of(5)[0].SerializeToString(), PROTOBUF).status == 200
        receiver.wait_spans(5)
        old = bpf.roles(receiver.process.pid)["receive"]
        os.kill(old, signal.SIGKILL)
        wait_for(lambda: bpf.roles(receiver.process.pid).get("receive", old) != old, "it is back")
        wait_for(receiver.answers, "it answers again")
        assert receiver.post(request_of(5)[0].SerializeToString(), PROTOBUF).status == 200
        receiver.wait_spans(10)
    assert receiver.ledger["received"]["passed"] == 10


def test_no_loop(tmp_path):
    """Protects: nobody is sent what it sent itself."""
    port = free_port()
    done = subprocess.run([SONDE, "serve", "--store", tmp_path / "s", "--ui", "127.0.0.1:0", "--otlp-http",
                           f"127.0.0.1:{port}", "--otlp", f"http://localhost:{port}"],
                          capture_output=True, text=True, timeout=30)
    assert done.returncode == 2 and "without end" in done.stderr, done.stderr


def test_sonde_sends_to_sonde(tmp_path):
    """Protects: what one machine's sonde traces is kept by another's receiver."""
    (tmp_path / "far").mkdir()
    with Receiver(tmp_path / "far") as receiver:
        run = harness.sonde_trace(["curl", "-s", "-o", "/dev/null", f"http://127.0.0.1:{receiver.ui}/"], tmp_path,
                                    options=["--otlp", f"http://127.0.0.1:{receiver.http}"])
        receiver.wait_spans(len(run.spans))
        assert run.spans
