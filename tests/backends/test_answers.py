# SPDX-License-Identifier: Apache-2.0
"""The read APIs of others: the same spans are sent to the real Jaeger, the real Tempo and to sonde, all are asked the same,
and what sonde answers is compared, field by field, with what the original answers. Where an answer must differ, DIFFERS
says why, and the difference itself is checked."""

import copy
import json
import time
import urllib.parse

import pytest
import requests
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1 import trace_pb2

import sink_frames as frames
from backends import Jaeger, Tempo
from harness import wait_for
from receiver import PROTOBUF, Receiver

MS, SECOND, HOUR = 10**6, 10**9, 3600 * 10**9
NOW = time.time_ns() - 60 * SECOND

DIFFERS = {
    "clocks": "Jaeger moves spans that do not lie within their parent, unless raw=true, and remarks on it: sonde changes no time, and its page "
              "marks skew and gaps",
    "order of tags": "Jaeger sorts tags, unless raw=true is asked for: sonde keeps the order that they were sent in",
    "shared ids": "Jaeger, unless raw=true, and Tempo give the server's span of a pair with one id another: sonde changes no id",
    "copies": "a span that came twice is told once by Tempo if it joins two parts of the trace, else twice: sonde tells what it was sent",
    "no service": "a resource without service.name has an empty name in Jaeger, a constant where it has no attribute at all: sonde's is that "
                  "of its searches, '?'",
    "no time": "Jaeger looks for the last two days where no time is given: sonde's store has the traces of a past run, too",
    "unknown service": "a service that an SDK could not name is called unknown_service:PROGRAM: sonde calls it PROGRAM everywhere, and finds it by both",
    "newest": "where there are more than are asked for, Jaeger's newest are those that began last, sonde's those that were written last, by "
              "which its store is ordered",
    "attributes of events": "Jaeger's memory has no index, and compares each tag with those of events, too: sonde's postings have span and resource",
    "bytes": "Jaeger compares bytes by their hexadecimal digits: sonde does not search for bytes",
    "a part": "Tempo finds a text by a part of it: sonde's tags are whole values, which postings have; TraceQL's =~ finds parts",
    "version 2": "Tempo 1.5, the newest that can be built here, has neither TraceQL nor version 2 of its API: what they ask is asked it by tags, "
                 "and the names and types are those of Tempo's documents and of what Grafana reads",
    "scopes": "Tempo 1.5, the newest that can be built here, has the names of OTLP before 0.16 for scopes: sonde has those of Tempo 2",
    "empty lists": "ProtoJSON leaves `values` out where a list has none: sonde writes []",
    "not sent": "Tempo writes the status, and an attribute's value, also where none was sent: sonde passes the bytes of a span on",
    "bytes in Tempo": "the OTLP of Tempo 1.5 has no name for a value of bytes, and writes it empty: sonde writes bytesValue, as Tempo 2",
}


class Scene:
    """Spans that have everything, and traces to search for."""

    def __init__(self):
        self.requests, self.traces = [], {}
        self.ids = 0

    def request(self, **resource):
        request = ExportTraceServiceRequest()
        self.requests.append(request)
        resource_spans = request.resource_spans.add()
        add_attributes(resource_spans.resource, {k.replace("__", "."): v for k, v in resource.items()})
        return resource_spans

    def span(self, scope, trace, name, parent=b"", at=0, took=MS, **more):
        self.ids += 1
        values = {"trace_id": self.traces.setdefault(trace, trace_id(trace)), "span_id": (0xabc0000000000000 + self.ids).to_bytes(8, "big"),
                  "parent_span_id": parent, "name": name, "start_time_unix_nano": NOW + at, "end_time_unix_nano": NOW + at + took, **more}
        attributes = values.pop("attributes", {})
        span = scope.spans.add(**values)
        add_attributes(span, attributes)
        return span


def trace_id(name):
    return {"short": bytes(8) + b"\1shorter", "zero": b"\0" + b"zero-at-the-lead"[:15]}.get(name, (b"trace-" + name.encode() + b"-" * 16)[:16])


def add_attributes(message, attributes):
    for key, plain in attributes.items():
        frames.set_value(message.attributes.add(key=key).value, plain)


TYPES = {"text": "é\u202e<b>☃\"\\\n\t\0", "empty": "", "none": None, "whole": 7, "big": 2**63 - 1, "small": -(2**63), "edge": 2**53 - 1, "beyond": 2**53,
         "real": 0.1, "tiny": 1e-7, "huge": 1e21, "third": 1 / 3, "integral": 5.0, "truth": True, "lie": False, "bytes": b"\0\xff<>", "no.bytes": b"",
         "list": ["a<b>&", 1, 0.5, 1e-7, True, None, b"\1", ["in"]], "no.list": [], "map": {"z": 1, "a": {"y": "<&>\u2028", "b": [2**60]}}, "no.map": {},
         "a.very.long.name." + "n" * 200: "v" * 3000}


def rich(scene):
    """One trace over two services, of all kinds, states, events and links."""
    front = scene.request(service__name="front", host__name="one", n=3, **{"list": ["r"], "ключ": "☃"})
    scope = front.scope_spans.add()
    scope.scope.name, scope.scope.version = "lib.one", "1.2"
    plain = front.scope_spans.add()
    root = scene.span(scope, "rich", "GET /é\u202e", took=3 * HOUR + 1, kind=2, attributes=TYPES, trace_state="a=b,c=d")
    for n, kind in enumerate((0, 1, 3, 4, 5)):
        span = scene.span(plain, "rich", f"kind {kind}", root.span_id, at=n * MS + n, took=n, kind=kind)
        span.status.code = n % 3
        span.status.message = ("", "said", "failed ☃")[n % 3]
    with_events = scene.span(scope, "rich", "events", root.span_id, at=MS, took=9 * MS, kind=1)
    for n, name in enumerate(("happened", "", "exception")):
        event = with_events.events.add(time_unix_nano=NOW + MS + n * 1500, name=name)
        add_attributes(event, (TYPES, {"z": 1, "event": "its own", "a": 2}, {"exception.type": "Error"})[n])
    with_events.events[0].dropped_attributes_count = 3
    with_events.dropped_attributes_count, with_events.dropped_events_count, with_events.dropped_links_count = 1, 2, 4
    linked = scene.span(plain, "rich", "links", root.span_id, at=2 * MS, kind=3)
    linked.links.add(trace_id=trace_id("other"), span_id=b"linked-1", trace_state="x=y", dropped_attributes_count=5)
    linked.links.add(trace_id=root.trace_id, span_id=root.span_id)
    add_attributes(linked.links.add(trace_id=root.trace_id, span_id=with_events.span_id), {"opentracing.ref_type": "child_of", "k": "v"})
    shop = scene.request(service__name="shop", **{"telemetry.sdk.language": "go"})
    inner = shop.scope_spans.add()
    inner.scope.name = "lib.two"
    scene.span(inner, "rich", "POST /items", linked.span_id, at=3 * MS, took=5 * MS, kind=2, attributes={"http.status_code": 200, "http.method": "POST"})
    scene.span(inner, "rich", "lost parent", b"nobodyxx", at=4 * MS, kind=1)
    again = scene.request(service__name="front", host__name="two")
    scene.span(again.scope_spans.add(), "rich", "kind 1", root.span_id, at=9 * MS, kind=1)


def strange(scene):
    """Ids that are short, shared or nobody's; spans that came twice; a service without a name."""
    one = scene.request(service__name="strange").scope_spans.add()
    scene.span(one, "short", "of 64 bits", kind=2)
    scene.span(one, "zero", "with leading zeros", kind=2)
    scene.span(one, "orphan", "only a child", b"nobodyxx", kind=3)
    client = scene.span(one, "shared", "both ends", kind=3, took=4 * MS)
    scene.span(one, "shared", "both ends", at=MS, took=2 * MS, kind=2, span_id=client.span_id)
    scene.span(one, "shared", "below", client.span_id, at=2 * MS, kind=1)
    early = scene.span(one, "skewed", "parent", took=10 * MS, kind=2)
    scene.span(one, "skewed", "before it", early.span_id, at=-5 * MS, kind=1)
    twice = scene.span(one, "twice", "sent twice", kind=2, attributes={"k": "v"})
    scene.request(service__name="strange").scope_spans.add().spans.add().CopyFrom(twice)
    scene.span(scene.request(host__name="nameless").scope_spans.add(), "nameless", "no service", kind=2)
    scene.span(scene.request().scope_spans.add(), "bare", "no resource", kind=2)
    scene.span(scene.request(service__name="unknown_service:thing").scope_spans.add(), "unknown", "of a program", kind=2)
    scene.span(scene.request(service__name="past").scope_spans.add(), "past", "three days ago", at=-72 * HOUR, kind=2)


def many(scene):
    """Twelve traces, to search for."""
    for n in range(12):
        scope = scene.request(service__name="many", region=("eu", "us")[n % 2]).scope_spans.add()
        root = scene.span(scope, f"many-{n}", f"op {n % 3}", at=-3 * n * SECOND, took=(n + 1) * 10 * MS, kind=2,
                          attributes={"http.status_code": 500 if n == 4 else 200, "path": f"/p/{n}", "n": n, "vip": n == 5, "ratio": n / 4})
        root.status.code = 2 if n == 4 else 0
        scene.span(scope, f"many-{n}", "SELECT", root.span_id, at=-3 * n * SECOND + MS, took=MS, kind=3, attributes={"db.system": "postgresql"})


def calls(scene):
    """Three traces of three services that call each other, and one that is not traced."""
    for n in range(3):
        parent = b""
        for depth, service in enumerate(("web", "shop", "stock")):
            scope = scene.request(service__name=service).scope_spans.add()
            parent = scene.span(scope, f"calls-{n}", f"GET /{service}", parent, at=depth * MS, took=50 * MS - 2 * depth * MS, kind=2).span_id
            for _ in range(1 + n):
                last = scene.span(scope, f"calls-{n}", "call", parent, at=depth * MS + MS, took=40 * MS - 2 * depth * MS, kind=3,
                                  attributes={"server.address": "db" if depth == 2 else "next"}).span_id
            parent = last


class World:
    def __init__(self, folder):
        self.scene = Scene()
        rich(self.scene)
        strange(self.scene)
        many(self.scene)
        calls(self.scene)
        (folder / "sonde").mkdir()
        self.jaeger, self.tempo, self.sonde = Jaeger(folder), Tempo(folder), Receiver(folder / "sonde")
        self.all = [self.jaeger, self.tempo, self.sonde]
        self.spans = sum(len(s.spans) for r in self.scene.requests for rs in r.resource_spans for s in rs.scope_spans)

    def __enter__(self):
        for one in self.all:
            one.__enter__()
        for url in (self.jaeger.http + "/v1/traces", self.tempo.http + "/v1/traces", self.sonde.url):
            for request in self.scene.requests:
                answer = requests.post(url, request.SerializeToString(), headers={"Content-Type": PROTOBUF}, timeout=30)
                assert answer.status_code == 200, (url, answer.text)
        self.sonde.wait_spans(self.spans)
        wait_for(lambda: all(self.there(i) for i in self.scene.traces.values()), "Jaeger and Tempo have all")
        # What came in several requests it joins when it writes a trace down.
        wait_for(lambda: "traces" in requests.get(f"{self.tempo.query}/api/search", {"tags": "service.name=shop root.service.name=front"}, timeout=10).json(),
                 "Tempo has joined what came apart", 60)
        return self

    def there(self, trace):
        theirs = requests.get(f"{self.jaeger.query}/api/traces/{trace.hex()}?raw=true", timeout=10)
        wanted = sum(s.trace_id == trace for r in self.scene.requests for rs in r.resource_spans for c in rs.scope_spans for s in c.spans)
        return (theirs.status_code == 200 and len(theirs.json()["data"][0]["spans"]) == wanted
                and requests.get(f"{self.tempo.query}/api/traces/{trace.hex()}", timeout=10).status_code == 200)

    def __exit__(self, *what):
        for one in self.all:
            one.__exit__(*what)

    def both(self, which, path, **params):
        """The original's answer, and sonde's."""
        query = "?" + urllib.parse.urlencode(params, doseq=True) if params else ""
        original = {"jaeger": self.jaeger, "tempo": self.tempo}[which]
        return (requests.get(f"{original.query}{path}{query}", timeout=30),
                requests.get(f"http://127.0.0.1:{self.sonde.ui}/{which}{path}{query}", timeout=30))

    def both_json(self, which, path, **params):
        theirs, ours = self.both(which, path, **params)
        assert theirs.status_code == ours.status_code == 200, (path, params, theirs.status_code, theirs.text[:300], ours.status_code, ours.text[:300])
        return theirs.json(), ours.json()


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    with World(tmp_path_factory.mktemp("answers")) as world:
        yield world


# DIFFERS: no service, unknown service.
RENAMED = {"": "?", "OTLPResourceNoServiceName": "?", "unknown_service:thing": "thing"}


def test_jaeger_names(world):
    """Protects: services, and their operations with their kinds, are those of Jaeger."""
    theirs, ours = world.both_json("jaeger", "/api/services")
    names = {RENAMED.get(n, n) for n in theirs["data"]}
    assert set(ours["data"]) == names == {"front", "shop", "strange", "many", "past", "web", "stock", "?", "thing"}
    assert {k: v for k, v in theirs.items() if k not in ("data", "total")} == {k: v for k, v in ours.items() if k not in ("data", "total")}
    assert ours["total"] == len(ours["data"])
    for service in ("front", "shop", "strange", "many", "nobody"):
        for path, params in ((f"/api/services/{service}/operations", {}), ("/api/operations", {"service": service}),
                             ("/api/operations", {"service": service, "spanKind": "server"}),
                             ("/api/operations", {"service": service, "spanKind": "unspecified"}), ("/api/operations", {"service": service, "spanKind": "nonsense"})):
            theirs, ours = world.both_json("jaeger", path, **params)
            for answer in (theirs, ours):
                if answer["data"]:
                    answer["data"].sort(key=json.dumps)
            assert ours == theirs, (path, params)


def jaeger_traces(answer, ordered=False):
    """{trace id: its spans}, each with its process in place of its name for it."""
    found = {}
    for trace in answer["data"]:
        spans = []
        for span in trace["spans"]:
            span["process"] = copy.deepcopy(trace["processes"][span.pop("processID")])
            span.pop("warnings")
            if not ordered:
                lists = [span["tags"], span["process"]["tags"], *(log["fields"] for log in span["logs"])]
                for tags in lists:
                    tags.sort(key=lambda t: (t["key"], json.dumps(t)))
            spans.append(span)
        assert set(trace) == {"traceID", "spans", "processes", "warnings"}
        assert set(trace["processes"]) == {f"p{n + 1}" for n in range(len(trace["processes"]))}
        found[trace["traceID"]] = sorted(spans, key=lambda s: (s["spanID"], s["startTime"], json.dumps(s, sort_keys=True)))
    return found


def named(traces):
    for spans in traces.values():
        for span in spans:
            name = span["process"]["serviceName"]
            span["process"]["serviceName"] = RENAMED.get(name, name)
    return traces


def same(theirs, ours, what=""):
    """As ==, but says where."""
    if isinstance(theirs, dict) and isinstance(ours, dict):
        assert list(sorted(theirs)) == list(sorted(ours)), what
        for key in theirs:
            same(theirs[key], ours[key], f"{what}.{key}")
    elif isinstance(theirs, list) and isinstance(ours, list):
        assert len(theirs) == len(ours), (what, theirs, ours)
        for n, (a, b) in enumerate(zip(theirs, ours)):
            same(a, b, f"{what}[{n}{':' + a['key'] if isinstance(a, dict) and 'key' in a else ''}]")
    else:
        assert type(theirs) is type(ours) and theirs == ours, (what, theirs, ours)


@pytest.mark.parametrize("raw", ["true", "false"])
def test_jaeger_traces(world, raw):
    """Protects: a trace is told as Jaeger tells it: ids, references, tags and their types, logs, processes, times."""
    for name, trace in world.scene.traces.items():
        theirs, ours = world.both_json("jaeger", f"/api/traces/{trace.hex()}", raw=raw)
        assert {k: v for k, v in theirs.items() if k != "data"} == {k: v for k, v in ours.items() if k != "data"}
        theirs, ours = (named(jaeger_traces(a, ordered=raw == "true")) for a in (theirs, ours))
        changed = {"shared": ("spanID", "shared ids"), "skewed": ("startTime", "clocks")}.get(name)
        if changed and raw == "false":
            assert {s[changed[0]] for s in theirs[trace.hex()]} != {s[changed[0]] for s in ours[trace.hex()]}, DIFFERS[changed[1]]
            continue
        same(theirs, ours, name)


def ids_of(world, *names):
    return [world.scene.traces[n].hex() for n in names]


def micros(ns):
    return (NOW + ns) // 1000


JAEGER_QUERIES = {
    "service": {"service": "many"},
    "operation": {"service": "many", "operation": "op 1"},
    "operation of a child": {"service": "many", "operation": "SELECT"},
    "text": {"service": "many", "tags": '{"path":"/p/7"}'},
    "number": {"service": "many", "tags": '{"http.status_code":"500"}'},
    "real": {"service": "many", "tags": '{"ratio":"2.75"}'},
    "truth": {"service": "many", "tags": '{"vip":"true"}'},
    "error": {"service": "many", "tags": '{"error":"true"}'},
    "no error": {"service": "many", "tags": '{"error":"false"}'},
    "kind": {"service": "many", "tags": '{"span.kind":"server"}'},
    "other kind": {"service": "many", "tags": '{"span.kind":"producer"}'},
    "of the resource": {"service": "many", "tags": '{"region":"eu"}'},
    "both": {"service": "many", "tags": '{"region":"eu","http.status_code":"500"}'},
    "neither": {"service": "many", "tags": '{"region":"us","http.status_code":"500"}'},
    "tag": {"service": "many", "tag": ["region:us", "n:3"]},
    "tag with colons": {"service": "many", "tag": "path:/p/7:8"},
    "status": {"service": "many", "tags": '{"otel.status_code":"ERROR"}'},
    "status ok": {"service": "front", "tags": '{"otel.status_code":"OK"}'},
    "status message": {"service": "front", "tags": '{"otel.status_description":"said"}'},
    "scope": {"service": "front", "tags": '{"otel.scope.name":"lib.one"}'},
    "no scope": {"service": "front", "tags": '{"otel.scope.name":"lib.two"}'},
    "state": {"service": "front", "tags": '{"w3c.tracestate":"a=b,c=d"}'},
    "event": {"service": "front", "tags": '{"event":"happened"}'},
    "of an event": {"service": "front", "tags": '{"exception.type":"Error"}'},
    "list": {"service": "front", "tags": '{"no.list":"[]"}'},
    "bytes": {"service": "front", "tags": '{"bytes":"00ff3c3e"}'},
    "empty": {"service": "front", "tags": '{"empty":""}'},
    "at least": {"service": "many", "minDuration": "55ms"},
    "at most": {"service": "many", "maxDuration": "35ms", "operation": "op 0"},
    "between": {"service": "many", "minDuration": "0.05s", "maxDuration": "80ms"},
    "exactly": {"service": "many", "minDuration": "60ms", "maxDuration": "60ms"},
    "hours": {"service": "front", "minDuration": "2h59m"},
    "from": {"service": "many", "start": micros(-16 * SECOND)},
    "until": {"service": "many", "end": micros(-16 * SECOND)},
    "in": {"service": "many", "start": micros(-19 * SECOND), "end": micros(-5 * SECOND)},
    "newest": {"service": "many", "limit": 3},
    "all of them": {"service": "many", "limit": 1000},
    "nobody": {"service": "nobody"},
    "nothing": {"service": "many", "operation": "nothing"},
    "unknown": {"service": "unknown_service:thing"},
    "past": {"service": "past"},
    "past, and that is said": {"service": "past", "start": micros(-80 * HOUR), "end": micros(-70 * HOUR)},
    "one": {"traceID": trace_id("many-1").hex()},
    "two": {"traceID": [trace_id("many-1").hex(), trace_id("short").hex()]},
    "one is missing": {"traceID": [trace_id("many-1").hex(), trace_id("nobody").hex()]},
    "a short one": {"traceID": trace_id("short").hex().lstrip("0")},
}


# The reason, and how many traces Jaeger and sonde find.
JAEGER_DIFFERS = {"of an event": ("attributes of events", (1, 0)), "bytes": ("bytes", (1, 0)), "newest": ("newest", (3, 3)),
                  "past": ("no time", (0, 1))}


@pytest.mark.parametrize("what", JAEGER_QUERIES)
def test_jaeger_search(world, what):
    """Protects: a search finds what Jaeger finds."""
    theirs, ours = world.both_json("jaeger", "/api/traces", **JAEGER_QUERIES[what])
    assert {k: v for k, v in theirs.items() if k != "data"} == {k: v for k, v in ours.items() if k != "data"}
    theirs, ours = (named(jaeger_traces(a)) for a in (theirs, ours))
    if what in JAEGER_DIFFERS:
        assert (len(theirs), len(ours)) == JAEGER_DIFFERS[what][1], DIFFERS[JAEGER_DIFFERS[what][0]]
    else:
        same(theirs, ours, what)


@pytest.mark.parametrize("params", [{}, {"lookback": 600_000}, {"service": "stock"}, {"service": "many"}, {"endTs": NOW // MS - HOUR // MS, "lookback": 1000}])
def test_jaeger_dependencies(world, params):
    """Protects: who called whom, and how often, is what Jaeger says."""
    theirs, ours = world.both_json("jaeger", "/api/dependencies", **{"endTs": time.time_ns() // MS, **params})
    for answer in (theirs, ours):
        answer["data"].sort(key=json.dumps)
    assert ours == theirs and len(ours["data"]) == {None: 3, "stock": 1, "many": 0}[params.get("service")] * ("endTs" not in params)


JAEGER_MISTAKES = [
    ("/api/dependencies", {"endTs": "now"}), ("/api/dependencies", {"endTs": "1", "lookback": "day"}),
    ("/api/traces", {}), ("/api/traces", {"service": ""}), ("/api/operations", {}), ("/api/traces/xyz", {}), ("/api/traces/" + "1" * 33, {}),
    ("/api/traces/" + trace_id("nobody").hex(), {}), ("/api/traces/0", {}), ("/api/traces", {"traceID": "xyz"}),
    ("/api/traces", {"service": "many", "minDuration": "fast"}), ("/api/traces", {"service": "many", "minDuration": "10"}),
    ("/api/traces", {"service": "many", "minDuration": "10ms", "maxDuration": "1ms"}), ("/api/traces", {"service": "many", "tags": "{"}),
    ("/api/traces", {"service": "many", "tags": '{"n":3}'}), ("/api/traces", {"service": "many", "tag": "n"}),
    ("/api/traces", {"service": "many", "start": "yesterday"}), ("/api/traces", {"service": "many", "limit": "all"}),
]


@pytest.mark.parametrize("path,params", JAEGER_MISTAKES)
def test_jaeger_mistakes(world, path, params):
    """Protects: a mistake is answered with Jaeger's status, in its form."""
    theirs, ours = world.both("jaeger", path, **params)
    assert ours.status_code == theirs.status_code
    theirs, ours = theirs.json(), ours.json()
    assert all(e.pop("msg") for a in (theirs, ours) for e in a["errors"])
    assert ours == theirs


def as_tempo_2(answer):
    """A trace of Tempo 1.5 with the names of scopes that Tempo 2 has."""
    assert "scopeSpans" not in json.dumps(answer), DIFFERS["scopes"]
    return json.loads(json.dumps(answer).replace('"instrumentationLibrarySpans":', '"scopeSpans":').replace('"instrumentationLibrary":', '"scope":'))


def as_tempo_1(node):
    """As Tempo 1.5 has it: bytes are a value that is not said, an empty list has no values. DIFFERS: bytes in Tempo, empty lists."""
    if isinstance(node, dict):
        return {k: as_tempo_1(v) for k, v in node.items() if k != "bytesValue" and (k, v) != ("values", [])}
    return [as_tempo_1(v) for v in node] if isinstance(node, list) else node


def clear(message):
    """As as_tempo_1(), of protobuf; and what is empty is as good as not there. DIFFERS: not sent."""
    for field, value in message.ListFields():
        for one in () if not field.message_type else value if field.is_repeated else [value]:
            clear(one)
        if field.name == "bytes_value" or field.message_type and not field.is_repeated and not value.ByteSize():
            message.ClearField(field.name)


def test_tempo_traces(world):
    """Protects: a trace is told as Tempo tells it, as JSON and as protobuf."""
    def flat(answer):
        return sorted(([b["resource"], s.get("scope"), span] for b in answer["batches"] for s in b["scopeSpans"] for span in s["spans"]),
                      key=lambda t: json.dumps(t, sort_keys=True))

    for name, trace in world.scene.traces.items():
        theirs, ours = world.both_json("tempo", f"/api/traces/{trace.hex()}")
        assert set(theirs) == set(ours) == {"batches"}
        if name == "twice":
            assert len(flat(as_tempo_2(theirs))) in (1, 2) and len(flat(ours)) == 2, DIFFERS["copies"]
            continue
        if name == "shared":
            assert len(flat(as_tempo_2(theirs))) == len(flat(ours)) and flat(as_tempo_2(theirs)) != flat(ours), DIFFERS["shared ids"]
            continue
        assert ("bytesValue" in json.dumps(ours)) == (name == "rich") and "bytesValue" not in json.dumps(theirs)
        same(flat(as_tempo_2(theirs)), flat(as_tempo_1(ours)), name)
        packed = []
        for base in (f"{world.tempo.query}", f"http://127.0.0.1:{world.sonde.ui}/tempo"):
            answer = requests.get(f"{base}/api/traces/{trace.hex()}", headers={"Accept": "application/protobuf"}, timeout=30)
            assert answer.status_code == 200 and answer.headers["Content-Type"] == "application/protobuf"
            message = trace_pb2.TracesData.FromString(answer.content)
            clear(message)
            packed.append(sorted((s.SerializeToString(), r.resource.SerializeToString(), c.scope.SerializeToString())
                                 for r in message.resource_spans for c in r.scope_spans for s in c.spans))
        assert packed[0] == packed[1], name


TEMPO_QUERIES = {
    "service": {"tags": "service.name=many"},
    "text": {"tags": "path=/p/7"},
    "quoted": {"tags": 'path="/p/7"'},
    "two": {"tags": "service.name=many region=eu"},
    "two spans": {"tags": "db.system=postgresql path=/p/7"},
    "neither": {"tags": "path=/p/7 region=eu"},
    "number": {"tags": "http.status_code=500"},
    "truth": {"tags": "vip=true"},
    "error": {"tags": "status.code=error"},
    "the error": {"tags": "error=true"},
    "name": {"tags": 'name="op 1"'},
    "root": {"tags": 'root.name="op 1"'},
    "service of the root": {"tags": "root.service.name=many"},
    "part of a text": {"tags": "path=/p/1"},
    "at least": {"tags": "service.name=many", "minDuration": "55ms"},
    "at most": {"tags": "service.name=many", "maxDuration": "55ms"},
    "between": {"tags": "service.name=many", "minDuration": "50ms", "maxDuration": "80ms"},
    "hours": {"minDuration": "2h59m"},
    "in": {"tags": "service.name=many", "start": NOW // SECOND - 19, "end": NOW // SECOND + 60},
    "before": {"tags": "service.name=many", "start": 1000, "end": 2000},
    "all": {"limit": 100},
    "nobody": {"tags": "service.name=nobody"},
    "nothing": {"tags": "region"},
    "snow": {"tags": "ключ=☃"},
    "of another service": {"tags": "service.name=shop root.service.name=front"},
    "not the root": {"tags": "root.service.name=shop"},
    "unknown": {"tags": "service.name=unknown_service:thing"},
    "quick": {"minDuration": "1ns", "maxDuration": "10ms", "limit": 100},
    "unset": {"tags": "status.code=unset", "limit": 100},
    "ok": {"tags": "status.code=ok"},
    "no error": {"tags": "error=false"},
    "by root and duration": {"tags": 'root.name="op 2"', "minDuration": "60ms"},
    "of a child, as long as the root": {"tags": "db.system=postgresql", "minDuration": "100ms"},
}
# The reason, and how many traces Tempo and sonde find.
TEMPO_DIFFERS = {"part of a text": ("a part", (3, 1)), "nothing": ("a part", (12, 0))}


@pytest.mark.parametrize("what", TEMPO_QUERIES)
def test_tempo_search(world, what):
    """Protects: a search finds what Tempo finds, and tells of it what Tempo tells."""
    theirs, ours = world.both_json("tempo", "/api/search", **{"limit": 50, **TEMPO_QUERIES[what]})
    assert "metrics" in theirs and "metrics" in ours and (what in TEMPO_DIFFERS or set(theirs) == set(ours))
    theirs, ours = ({t["traceID"]: t for t in a.get("traces", [])} for a in (theirs, ours))
    if what in TEMPO_DIFFERS:
        assert (len(theirs), len(ours)) == TEMPO_DIFFERS[what][1], DIFFERS[TEMPO_DIFFERS[what][0]]
        return
    for trace in theirs.values():
        trace["rootServiceName"] = RENAMED.get(trace["rootServiceName"], trace["rootServiceName"])
    same(theirs, ours, what)


def test_tempo_tags(world):
    """Protects: names and values to complete what somebody types are those of Tempo."""
    theirs, ours = world.both_json("tempo", "/api/search/tags")
    assert set(theirs) == set(ours) == {"tagNames"}
    assert set(ours["tagNames"]) == set(theirs["tagNames"]) and len(ours["tagNames"]) == len(set(ours["tagNames"]))
    for tag in ("service.name", "region", "http.status_code", "path", "vip", "ratio", "name", "root.name", "root.service.name", "status.code", "error",
                "nothing", "status", "text", "empty", "whole", "big", "real", "tiny", "huge", "third", "integral", "list", "map", "bytes", "none"):
        theirs, ours = world.both_json("tempo", f"/api/search/tag/{tag}/values")
        assert set(theirs) == set(ours), tag
        if tag.endswith("service.name"):
            theirs["tagValues"] = {RENAMED.get(v, v) for v in theirs["tagValues"]}
            ours["tagValues"] = set(ours["tagValues"]) - {"?"}
        assert set(ours.get("tagValues", ())) == set(theirs.get("tagValues", ())), tag


@pytest.mark.parametrize("path,params", [
    ("/api/traces/xyz", {}), ("/api/traces/" + "1" * 33, {}), ("/api/traces/" + trace_id("nobody").hex(), {}), ("/api/traces/1", {}),
    ("/api/search", {"minDuration": "fast"}), ("/api/search", {"tags": "a b=c"}), ("/api/search", {"limit": "all"}), ("/api/search", {"start": "x"}),
    ("/api/search", {"limit": "-1"}), ("/api/search", {"limit": "0"}), ("/api/echo", {}), ("/api/search", {"start": 5, "end": 4}), ("/api/search", {"tags": 'a"b=c'}),
    ("/api/search", {"tags": 'a="b'}), ("/api/search", {"tags": "=b"})])
def test_tempo_mistakes(world, path, params):
    """Protects: a mistake is answered with Tempo's status."""
    theirs, ours = world.both("tempo", path, **params)
    assert ours.status_code == theirs.status_code, (theirs.text, ours.text)
    if path == "/api/echo":
        assert ours.text == theirs.text


def sonde_tempo(world, path, **params):
    answer = requests.get(f"http://127.0.0.1:{world.sonde.ui}/tempo{path}", params, timeout=30)
    assert answer.status_code == 200, (path, params, answer.text)
    return answer.json()


# What TraceQL asks, and the tags by which Tempo 1.5 is asked the same. DIFFERS: version 2.
TRACEQL = {
    '{ resource.service.name = "many" }': "service.name=many",
    '{resource.service.name="many" && name="op 1"}': 'service.name=many name="op 1"',
    '{ span.path = "/p/7" }': "path=/p/7",
    '{ .region =~ "e.|x" }': "region=eu",
    '{ .region =~ "e" }': "region=nowhere",
    '{ span.db.system = "postgresql" } && { span.path = "/p/7" }': "db.system=postgresql path=/p/7",
    '{ span.path = "/p/7" } || { span.path = "/p/8" }': ("path=/p/7", "path=/p/8"),
    '{ status = error }': "status.code=error",
    '{ rootName = "op 1" && resource.service.name = "many" }': 'root.name="op 1" service.name=many',
    '{ trace:rootService = "front" && resource.service.name = "shop" }': "service.name=shop root.service.name=front",
    '{ nestedSetParent < 0 && resource.service.name = "shop" }': "service.name=nobody",
    '{ span.vip = true }': "vip=true",
    '{ resource.service.name = "many" && span.vip != nil } | select(span.vip, resource.region)': "service.name=many",
}


@pytest.mark.parametrize("query", TRACEQL)
def test_tempo_traceql(world, query):
    """Protects: a search in TraceQL finds what Tempo finds by tags, and tells of the same traces the same, with the spans that matched."""
    tags = TRACEQL[query] if isinstance(TRACEQL[query], tuple) else (TRACEQL[query],)
    theirs = {t["traceID"]: t for tag in tags for t in
              requests.get(f"{world.tempo.query}/api/search", {"tags": tag, "limit": 50}, timeout=30).json().get("traces", [])}
    ours = {t["traceID"]: t for t in sonde_tempo(world, "/api/search", q=query, limit=50, spss=1).get("traces", [])}
    sets = {k: (t.pop("spanSet"), t.pop("spanSets")) for k, t in ours.items()}
    same(theirs, ours, query)
    for first, every in sets.values():
        assert every == [first] and first["matched"] >= len(first["spans"]) == 1
        assert set(first["spans"][0]) <= {"spanID", "name", "startTimeUnixNano", "durationNanos", "attributes"}


def test_tempo_spans_of_a_search(world):
    """Protects: what is asked for, and what is selected, is told of each span, with its type, as Grafana's tables show it."""
    found = sonde_tempo(world, "/api/search", spss=10,
                        q='{ resource.service.name = "many" && status = error } | select(span.n, resource.region, span.ratio, span.vip, kind, span.nothing)')
    (trace,) = found["traces"]
    assert trace["spanSet"]["matched"] == 1 and trace["spanSets"] == [trace["spanSet"]]
    (span,) = trace["spanSet"]["spans"]
    attributes = {a["key"]: a["value"] for a in span.pop("attributes")}
    assert attributes == {"service.name": {"stringValue": "many"}, "status": {"stringValue": "error"}, "n": {"intValue": "4"},
                          "region": {"stringValue": "eu"}, "ratio": {"doubleValue": 1}, "vip": {"boolValue": False}, "kind": {"stringValue": "server"}}
    assert span["name"] == "op 1" and span["startTimeUnixNano"] == str(NOW - 12 * SECOND) and span["durationNanos"] == str(50 * MS)


def test_tempo_v2(world):
    """Protects: version 2 of Tempo's API says what the first does: traces in their envelope, names by scope, values with types."""
    base = f"http://127.0.0.1:{world.sonde.ui}/tempo"
    for trace in world.scene.traces.values():
        first, second = (sonde_tempo(world, f"/api/{v}traces/{trace.hex()}") for v in ("", "v2/"))
        assert second == {"trace": {"resourceSpans": first["batches"]}, "metrics": {}}
        packed = requests.get(f"{base}/api/v2/traces/{trace.hex()}?start=1&end=2", headers={"Accept": "application/protobuf"}, timeout=30)
        # TraceByIDResponse: the trace is its field 1, by which it looks like a list with one ResourceSpans' bytes.
        assert packed.headers["Content-Type"] == "application/protobuf" and packed.content[0] == 0x0a
        length, at = 0, 1
        while True:
            length |= (packed.content[at] & 127) << 7 * (at - 1)
            at += 1
            if packed.content[at - 1] < 128:
                break
        assert len(packed.content) == at + length
        assert trace_pb2.TracesData.FromString(packed.content[at:]).resource_spans
    scopes = {s["name"]: s["tags"] for s in sonde_tempo(world, "/api/v2/search/tags", limit=5000)["scopes"]}
    theirs = set(requests.get(f"{world.tempo.query}/api/search/tags", timeout=30).json()["tagNames"])
    assert set(scopes["span"]) | set(scopes["resource"]) == theirs - {"name", "root.name", "root.service.name", "status.code", "error"}
    assert {"service.name", "region"} <= set(scopes["resource"]) and "path" in scopes["span"] and "region" not in scopes["span"]
    assert {"name", "kind", "status", "duration", "rootName", "trace:duration"} <= set(scopes["intrinsic"])
    assert [s["name"] for s in sonde_tempo(world, "/api/v2/search/tags", scope="resource")["scopes"]] == ["resource"]
    assert requests.get(f"{base}/api/v2/search/tags?scope=nonsense", timeout=30).status_code == 400
    for tag in ("path", "n", "vip", "ratio", "db.system", "whole", "big", "real", "tiny", "text", "empty", "nothing"):
        ours = sonde_tempo(world, f"/api/v2/search/tag/span.{tag}/values")["tagValues"]
        values = requests.get(f"{world.tempo.query}/api/search/tag/{tag}/values", timeout=30).json().get("tagValues", [])
        assert {v["value"] for v in ours} == set(values), tag


def typed(world, tag, **params):
    return {(v["type"], v["value"]) for v in sonde_tempo(world, f"/api/v2/search/tag/{tag}/values", **params)["tagValues"]}


def test_tempo_typed_values(world):
    """Protects: values have the types by which Grafana quotes them; a query narrows them, one that is being typed does not."""
    assert typed(world, "status") == {("keyword", w) for w in ("error", "ok", "unset")} == typed(world, "span:status")
    assert ("keyword", "server") in typed(world, "kind") and ("string", "op 2") in typed(world, "name")
    assert typed(world, "span.vip") == {("bool", "true"), ("bool", "false")}
    assert ("int", "3") in typed(world, "span.n") and ("float", "0.25") in typed(world, ".ratio")
    assert ("string", "many") in typed(world, "resource.service.name") and ("string", "shop") in typed(world, ".service.name")
    assert typed(world, "resource.path") == set() and typed(world, "span.region") == set()
    assert typed(world, "resource.region", q='{ span.path = "/p/3" }') == {("string", "us")}
    assert typed(world, "resource.region", q="{ resource.region = }") == {("string", "us"), ("string", "eu")}
    assert typed(world, "resource.service.name", q='{ span.db.system != nil }') == {("string", "many")}
    assert typed(world, "rootName", q='{ resource.service.name = "many" }') == {("string", f"op {n}") for n in range(3)}
    assert typed(world, "span.n", start=1, end=2) == set()


def test_tempo_for_grafana(world):
    """Protects: what Grafana asks first is answered: that there is somebody, and which version; what is not known is said."""
    base = f"http://127.0.0.1:{world.sonde.ui}/tempo"
    assert requests.get(f"{base}/api/echo", timeout=30).text == "echo\n"
    # From 2.2 on it would ask for streams of gRPC.
    assert sonde_tempo(world, "/api/status/buildinfo")["version"] == "2.1.0"
    for path in ("query_range", "query"):
        answer = requests.get(f"{base}/api/metrics/{path}", {"q": "{} | rate()"}, timeout=30)
        assert answer.status_code == 400 and "metrics of traces are not known" in answer.text
    answer = requests.get(f"{base}/api/search", {"q": "{} >> {}"}, timeout=30)
    assert answer.status_code == 400 and "column 4" in answer.text
