# SPDX-License-Identifier: Apache-2.0
"""Real SDKs of OpenTelemetry send to the receiver: what they sent, byte for byte as a relay saw it pass, and what they say
that they sent, is what the receiver passes on."""

import collections
import json
import os
import subprocess
import sys

import pytest
from google.protobuf import json_format
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

import harness
from harness import ROOT, wait_for
from receiver import Backend, Receiver
from relay import Relay

SDKS = ROOT / "tests/programs/sdks"
SPANS = 34  # of each program, by each encoding
ENCODINGS = {"python": ["http/protobuf", "grpc"], "node": ["http/protobuf", "http/json", "grpc"],
             "go": ["http/protobuf", "grpc"], "java": ["http/protobuf", "grpc"]}
WAYS = [(sdk, encoding) for sdk, encodings in ENCODINGS.items() for encoding in encodings]
# Field 9999, which the programs of these add to each span.
UNKNOWN, OF_TOMORROW = b"\xfa\xf0\x04\x07unknown", ("python", "go")


def output(*command):
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout.strip()


def commands():
    subprocess.run([ROOT / "tests/lib/npm.sh"], check=True)
    build = [ROOT / "tests/lib/go_java.sh", "sdks"]
    subprocess.run(build, check=True)
    java = output(*build, "--path", "java")
    return {
        "python": [sys.executable, SDKS / "sdk.py"], "node": ["node", SDKS / "sdk.js"], "go": [output(*build, "--path", "go")],
        "java": ["java", "-Xshare:auto", "-Xmx128m", "-XX:TieredStopAtLevel=1", "-Dfile.encoding=UTF-8", "-cp", f"{java}/*:{java}", "Sdk"],
    }


class Sent:
    """What became of the programs' spans."""

    def __init__(self, folder):
        self.said, self.relays = {}, {}
        words = commands()
        with Backend() as backend, Receiver(folder, "--otlp", backend.url) as receiver:
            running = {sdk: self.start(sdk, words[sdk], receiver) for sdk in ENCODINGS}
            for sdk, process in running.items():
                out, err = process.communicate(timeout=120)
                assert process.returncode == 0 and not err, (sdk, err)
                self.said[sdk] = [json.loads(line) for line in out.splitlines()]
            wait_for(lambda: receiver.spans() >= SPANS * len(WAYS), "all are in the store")
            self.found = {(sdk, encoding): receiver.get(f"/api/v1/search?service={sdk}-{encoding}&limit=100")["traces"] for sdk, encoding in WAYS}
        self.ledger = receiver.ledger
        self.passed_on = backend.bodies
        for relay in self.relays.values():
            relay.close()

    def start(self, sdk, words, receiver):
        arguments = []
        for encoding in ENCODINGS[sdk]:
            relay = self.relays[sdk, encoding] = Relay(receiver.grpc if encoding == "grpc" else receiver.http)
            arguments.append(f"{encoding}=http://127.0.0.1:{relay.port}")
        return subprocess.Popen([*map(str, words), *arguments], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                                env={**os.environ, "NODE_PATH": output(ROOT / "tests/lib/npm.sh", "--path")})


@pytest.fixture(scope="module")
def sent(tmp_path_factory):
    return Sent(tmp_path_factory.mktemp("sdks"))


def fields(message):
    """(number, bytes or number) of an encoded message."""
    at = 0

    def varint():
        nonlocal at
        value = shift = 0
        while True:
            byte = message[at]
            value |= (byte & 127) << shift
            at, shift = at + 1, shift + 7
            if byte < 128:
                return value

    while at < len(message):
        key = varint()
        if key & 7 == 0:
            value = varint()
        else:
            size = {1: 8, 5: 4}.get(key & 7) or varint()
            value = message[at:at + size]
            at += size
        yield key >> 3, value


def encoded_spans(request):
    """Each span's bytes, by itself, with those of its resource, scope and schemas."""
    for _, resource_spans in (f for f in fields(request) if f[0] == 1):
        of = collections.defaultdict(list)
        for number, value in fields(resource_spans):
            of[number].append(value)
        for scope_spans in of[2]:
            inner = collections.defaultdict(list)
            for number, value in fields(scope_spans):
                inner[number].append(value)
            for span in inner[2]:
                yield span, b"".join(of[1]), b"".join(of[3]), b"".join(inner[1]), b"".join(inner[3])


def service(resource_spans):
    return next(a.value.string_value for a in resource_spans.resource.attributes if a.key == "service.name")


def value_of(value):
    kind = value.WhichOneof("value")
    if kind == "array_value":
        return [value_of(v) for v in value.array_value.values]
    return getattr(value, kind) if kind else None


def attributes_of(message):
    return {a.key: value_of(a.value) for a in message.attributes}


def told(request, name):
    """The spans of a service in a request, in the words of the programs."""
    for resource_spans in request.resource_spans:
        for scope_spans in resource_spans.scope_spans:
            for s in scope_spans.spans if service(resource_spans) == name else ():
                yield {
                    "trace": s.trace_id.hex(), "span": s.span_id.hex(), "parent": s.parent_span_id.hex(), "state": s.trace_state, "name": s.name, "kind": s.kind,
                    "start": s.start_time_unix_nano, "end": s.end_time_unix_nano, "attributes": attributes_of(s),
                    "events": [[e.name, e.time_unix_nano, attributes_of(e)] for e in s.events],
                    "links": [[k.trace_id.hex(), k.span_id.hex(), k.trace_state, attributes_of(k)] for k in s.links],
                    "status": [s.status.code, s.status.message], "scope": [scope_spans.scope.name, scope_spans.scope.version],
                    "dropped": [s.dropped_attributes_count, s.dropped_events_count, s.dropped_links_count],
                    "resource": attributes_of(resource_spans.resource)}


@pytest.mark.parametrize("sdk,encoding", WAYS)
def test_fields(sent, sdk, encoding):
    """Protects: each field of each span is passed on as the SDK says that it handed it to its exporter; it is found by its service."""
    said = {s["span"]: {k: v for k, v in s.items() if k != "encoding"} for s in sent.said[sdk] if s["encoding"] == encoding}
    got = [s for body in sent.passed_on for s in told(ExportTraceServiceRequest.FromString(body), f"{sdk}-{encoding}")]
    assert len(said) == len(got) == SPANS
    for span in got:
        own = said[span["span"]]
        assert set(span) == set(own)
        for key, value in span.items():
            for name in set(value) | set(own[key]) if key == "attributes" else ():
                assert (type(value.get(name)), value.get(name)) == (type(own[key].get(name)), own[key].get(name)), (span["name"], name)
            assert value == own[key], (span["name"], key)
    assert {s["kind"] for s in got} == {1, 2, 3, 4, 5} and {s["status"][0] for s in got} == {0, 1, 2}
    assert sum(s["dropped"][1] for s in got) == 2 and sum(len(s["links"]) for s in got) == 1
    assert {t["trace_id"] for t in sent.found[sdk, encoding]} == {s["trace"] for s in got}


@pytest.mark.parametrize("sdk,encoding", [w for w in WAYS if w[1] != "http/json"])
def test_bytes(sent, sdk, encoding):
    """Protects: what came as protobuf is passed on byte for byte, with fields that nobody knows."""
    messages = sent.relays[sdk, encoding].messages()
    assert {kind for kind, _ in messages} == {"application/grpc" if encoding == "grpc" else "application/x-protobuf"}
    came = collections.Counter(s for _, body in messages for s in encoded_spans(body))
    went = collections.Counter(s for body in sent.passed_on for s in encoded_spans(body))
    assert came.total() == SPANS
    assert not came - went
    assert all(span.count(UNKNOWN) == (sdk in OF_TOMORROW) for span, *_ in came)


def test_json(sent):
    """Protects: what came as JSON is passed on with the same fields, by the protocol's own definitions."""
    (kind, body), = sent.relays["node", "http/json"].messages()
    problems = []
    came = json_format.ParseDict(harness.to_protobuf_json(json.loads(body), problems), ExportTraceServiceRequest())
    # Node's SDK writes 64-bit attributes as numbers, which the protocol has receivers take, too.
    assert kind == "application/json" and not [p for p in problems if not p.startswith("intValue")]

    def flat(request):
        return {s.span_id: (s, r.resource, r.schema_url, c.scope, c.schema_url) for r in request.resource_spans if service(r) == "node-http/json"
                for c in r.scope_spans for s in c.spans}

    went = {}
    for body in sent.passed_on:
        went.update(flat(ExportTraceServiceRequest.FromString(body)))
    assert len(went) == SPANS and went == flat(came)


def test_account(sent):
    """Protects: all of them were taken, and each was passed on once."""
    assert sent.ledger["received"]["passed"] == SPANS * len(WAYS)
    assert {s["acked"] for s in sent.ledger["sinks"].values()} == {SPANS * len(WAYS)}
