# SPDX-License-Identifier: Apache-2.0
"""The role that serves: what was traced is answered over HTTP; whoever asks wrongly, or too much, is refused or
bounded, and capture goes on."""

import base64
import contextlib
import gzip
import http.client
import json
import os
import pathlib
import re
import resource
import shutil
import signal
import socket
import subprocess
import sys
import urllib.parse

import pytest

import bpf
import harness
import servers
from crowd import Crowd
from harness import SONDE, free_port, start_trace, trace_scene, wait_for, write_scene

HOSTILE = "<script>alert(1)</script>\u202e\"'\\"
TOKEN = "a-token-of-some-length"
# A client whose environment can still be read when it is looked at: it does not end at once.
STAYS = "import sys, time, urllib.request as r; r.urlopen(sys.argv[1]).read(); time.sleep(1)"


class Answer:
    def __init__(self, response):
        self.status = response.status
        self.headers = {k.lower(): v for k, v in response.getheaders()}
        self.body = response.read()

    @property
    def json(self):
        assert self.headers["content-type"] == "application/json", self.headers
        return json.loads(self.body)


def ask(port, path, method="GET", headers=None, host="127.0.0.1"):
    """One request; `headers` may replace Host."""
    connection = http.client.HTTPConnection(host, port, timeout=30)
    connection.putrequest(method, path, skip_host=bool(headers and "Host" in headers), skip_accept_encoding=True)
    for name, value in (headers or {}).items():
        connection.putheader(name, value)
    connection.endheaders()
    answer = Answer(connection.getresponse())
    connection.close()
    return answer


def get(port, path, **params):
    answer = ask(port, path + ("?" + urllib.parse.urlencode(params) if params else ""))
    assert answer.status == 200, answer.body
    return answer.json


def service_names(run):
    """As `sonde search` has them."""
    return {s.resource["service.name"].removeprefix("unknown_service:") for s in run.spans}


def listening(port):
    return bool(harness.listeners(port))


class Serve:
    """A `sonde serve` on a store."""

    def __init__(self, store, *options, env=None, address=None):
        self.port = free_port()
        self.process = subprocess.Popen(
            [SONDE, "serve", "--store", store, "--ui", address or f"127.0.0.1:{self.port}", *options],
            stderr=subprocess.PIPE, text=True, env={**os.environ, **(env or {})})

    def __enter__(self):
        wait_for(lambda: listening(self.port) or self.process.poll() is not None, "it listens")
        assert self.process.poll() is None, self.process.stderr.read()
        wait_for(self.sandboxed, "it is in its sandbox")
        return self

    def sandboxed(self):
        return "Seccomp:\t2" in pathlib.Path(f"/proc/{self.process.pid}/status").read_text()

    def __exit__(self, *_):
        self.process.send_signal(signal.SIGTERM)
        _, err = self.process.communicate(timeout=20)
        assert self.process.returncode == 0, err


@pytest.fixture(scope="module")
def traced(tmp_path_factory):
    """A store with what curl and nginx did, and the run that wrote it."""
    where = tmp_path_factory.mktemp("serve")
    server, store = servers.Nginx(where), where / "store"
    urls = [server.url(f"/path-{n}") for n in range(20)]
    clients = [["curl", "-s", "-o", "/dev/null", *urls],
               ["env", f"OTEL_SERVICE_NAME={HOSTILE}", sys.executable, "-c", STAYS,
                server.url("/%3Cscript%3E?q=%22%3E%3Cb%3E")]]
    run = trace_scene(where, [server], clients, options=["--store", store]).check()
    run.store = store
    return run


@pytest.fixture(scope="module")
def served(traced):
    with Serve(traced.store) as serve:
        yield serve


@pytest.mark.parametrize("kind, why", [("newer", "written by a newer sonde"), ("cut", "it is damaged")])
def test_what_cannot_be_read_is_said(traced, tmp_path, kind, why):
    """Protects: a partition that cannot be read is not taken for none: health and each answer say so."""
    store = tmp_path / "store"
    shutil.copytree(traced.store, store)
    with open(max(store.glob("spans-*.db")), "r+b") as f:
        if kind == "newer":  # SQLite's header: user_version, big-endian, at 60
            f.seek(60)
            f.write((7).to_bytes(4, "big"))
        else:
            f.truncate(5000)
    with Serve(store) as serve:
        health = get(serve.port, "/api/v1/health")
        assert health["status"] == "degraded" and why in health["store"]["why"] and not health["account"]
        assert health["store"]["unread"] == 1 and health["store"]["damaged"] == 0
        found = get(serve.port, "/api/v1/search")
        assert found == {"traces": [], "incomplete": True, "unread": 1}
        assert get(serve.port, "/api/v1/services") == {"services": [], "incomplete": True}
        assert get(serve.port, "/api/v1/statistics")["incomplete"]


def test_what_was_traced_is_answered(traced, served):
    """Protects: services, operations, search and traces say what was traced, span for span."""
    names = service_names(traced)
    services = get(served.port, "/api/v1/services")
    assert {s["name"] for s in services["services"]} == names and not services["incomplete"]
    assert sum(s["spans"] for s in services["services"]) == len(traced.spans)
    health = get(served.port, "/api/v1/health")
    assert health["status"] == "ok" and health["store"]["spans"] == len(traced.spans)
    assert int(health["store"]["oldest_unix_nano"]) == min(s.start_ns for s in traced.spans)
    assert int(health["store"]["newest_unix_nano"]) == max(s.end_ns for s in traced.spans)
    operations = get(served.port, "/api/v1/operations", service="nginx")["operations"]
    assert {o["kind"] for o in operations} == {"server"}
    assert sum(o["spans"] for o in operations) == sum(s.kind == "SERVER" for s in traced.spans)
    found = get(served.port, "/api/v1/search", limit=200)
    assert {t["trace_id"] for t in found["traces"]} == {s.trace_id for s in traced.spans} and not found["incomplete"]
    one = get(served.port, "/api/v1/search", service="nginx", attr="url.path=/path-7", kind="server")["traces"]
    assert len(one) == 1 and one[0]["spans"] == 2 and one[0]["services"] == ["curl", "nginx"]
    assert one[0]["root"]["service"] == "curl" and len(one[0]["matched"]) == 1
    whole = get(served.port, f"/api/v1/traces/{one[0]['trace_id']}")
    assert whole.pop("sonde") == {"lost": False, "incomplete": False}
    spans = harness.parse_spans(json.dumps(whole))

    def same(some):
        return {(s.span_id, s.parent_id, s.name, s.start_ns, s.end_ns, json.dumps([s.attributes, s.resource],
                                                                                sort_keys=True)) for s in some}

    assert same(spans) == same(s for s in traced.spans if s.trace_id == one[0]["trace_id"])
    rows_are_spans(served.port, whole)
    longest = max(s.end_ns - s.start_ns for s in traced.spans)
    assert len(get(served.port, "/api/v1/search", min_duration_nano=longest)["traces"]) == 1
    assert get(served.port, "/api/v1/search", min_duration_nano=longest + 1)["traces"] == []
    first = min(s.start_ns for s in traced.spans)
    assert get(served.port, "/api/v1/search", end_unix_nano=first - 1)["traces"] == []


def rows_are_spans(port, whole):
    """The form "rows" says of each span what it says at length, and one span is asked for by its id."""
    path = f"/api/v1/traces/{whole['resourceSpans'][0]['scopeSpans'][0]['spans'][0]['traceId']}"
    rows = get(port, path, form="rows")
    assert rows.pop("sonde") == {"lost": False, "incomplete": False}
    for brief, long in zip(rows["resourceSpans"], whole["resourceSpans"], strict=True):
        assert brief["resource"] == long["resource"]
        for row, span in zip(brief["scopeSpans"][0]["rows"], long["scopeSpans"][0]["spans"], strict=True):
            few = {a["key"]: a["value"].get("stringValue", int(a["value"].get("intValue", 0))) for a in span["attributes"]
                   if a["key"].startswith(("url.path", "url.full", "http.response.status_code", "sonde.link.method"))}
            start, end = int(span["startTimeUnixNano"]), int(span["endTimeUnixNano"])
            assert row[:8] == [span["spanId"], span.get("parentSpanId", ""), span["name"], span["kind"], span["status"].get("code", 0),
                               *divmod(start, 10**9), end - start]
            assert row[8] == few
            alone = get(port, path, span=span["spanId"])
            assert [s["spans"] for r in alone["resourceSpans"] for s in r["scopeSpans"]] == [[span]]
    assert ask(port, path + "?span=00000000000000ff").status == 404
    assert ask(port, path + "?span=abc").status == ask(port, path + "?form=columns").status == 400


def nearest(values, percent):
    return sorted(values)[max(0, -(-percent * len(values) // 100) - 1)]


def test_statistics_and_map(traced, served):
    """Protects: rates, errors and durations are those of the spans, by service, operation and over time; who called whom is
    what their ids say, and nothing else."""
    spans = [s for s in traced.spans if s.resource["service.name"].removeprefix("unknown_service:") == "nginx"]
    took = [s.end_ns - s.start_ns for s in spans]
    answer = get(served.port, "/api/v1/statistics")
    assert answer["spans"] == len(traced.spans) and not answer["incomplete"]
    assert {s["name"] for s in answer["services"]} == service_names(traced)
    one = get(served.port, "/api/v1/statistics", service="nginx", buckets=7)
    nginx = one["services"][0]
    assert len(one["services"]) == 1 and nginx["kind"] == "server" and nginx["count"] == len(spans) == one["spans"]
    assert nginx["errors"] == sum(s.status == 2 for s in spans)
    assert int(nginx["max_nano"]) == max(took)
    for percent in (50, 95, 99):
        assert abs(int(nginx[f"p{percent}_nano"]) - nearest(took, percent)) <= nearest(took, percent) / 16
    assert sum(b["count"] for b in nginx["buckets"]) == len(spans) and len(nginx["buckets"]) <= 7
    span_of_time = 7 * int(one["bucket_nano"])
    assert abs(nginx["in_flight"] - sum(took) / span_of_time) < 0.001
    assert nginx["peak"] >= 1 and 0 < nginx["busy_share"] <= nginx["in_flight"] * 1.001
    operations = {o["name"]: o for o in nginx["operations"]}
    assert operations["GET /path-7"]["count"] == 1 and operations["GET /path-7"]["inferred"]
    assert sum(o["count"] for o in operations.values()) == len(spans)
    slow = get(served.port, "/api/v1/statistics", service="nginx", min_duration_nano=max(took))["services"]
    assert [s["count"] for s in slow] == [1]
    first = min(s.start_ns for s in traced.spans)
    assert get(served.port, "/api/v1/statistics", end_unix_nano=first - 1)["services"] == []
    for wrong in ({"buckets": 0}, {"buckets": "x"}, {"buckets": 241}, {"nonsense": 1}):
        assert ask(served.port, "/api/v1/statistics?" + urllib.parse.urlencode(wrong)).status == 400

    drawn = get(served.port, "/api/v1/map")
    names = {n["id"]: n["name"] for n in drawn["nodes"]}
    calls = {(names[e["from"]], names[e["to"]]): e for e in drawn["edges"]}
    callers = service_names(traced) - {"nginx"}
    assert set(calls) == {(c, "nginx") for c in callers} and all(n["traced"] for n in drawn["nodes"])
    assert sum(e["count"] for e in calls.values()) == len(spans)
    curl = calls["curl", "nginx"]
    assert curl["count"] == 20 and int(curl["max_nano"]) == max(
        s.end_ns - s.start_ns for s in traced.spans if s.kind == "CLIENT" and s.resource["service.name"].endswith("curl"))
    assert {x["span_id"] for x in curl["examples"]} <= {s.span_id for s in traced.spans} and len(curl["examples"]) == 5
    assert next(n for n in drawn["nodes"] if n["name"] == "nginx")["count"] == len(spans)
    assert get(served.port, "/api/v1/map", end_unix_nano=1) | {"start_unix_nano": "", "end_unix_nano": ""} == {
        "start_unix_nano": "", "end_unix_nano": "", "spans": 0, "nodes": [], "edges": [], "incomplete": False}


def test_hostile_names_are_text(traced, served):
    """Protects: a name that is markup comes back as a JSON string, with a type that no browser takes for markup."""
    services = ask(served.port, "/api/v1/services")
    assert HOSTILE in {s["name"] for s in services.json["services"]}
    trace = get(served.port, "/api/v1/search", service=HOSTILE)["traces"]
    assert len(trace) == 1 and HOSTILE in trace[0]["services"]
    for path in (f"/api/v1/traces/{trace[0]['trace_id']}", "/jaeger/api/services",
                 f"/jaeger/api/traces/{trace[0]['trace_id']}", f"/tempo/api/traces/{trace[0]['trace_id']}"):
        answer = ask(served.port, path)
        assert answer.json and answer.headers["x-content-type-options"] == "nosniff"
        assert b'">' not in answer.body.replace(b'\\">', b"")


def test_as_jaeger_and_tempo_answer(traced, served):
    """Protects: clients of Jaeger's query service and of Tempo find the same spans."""
    assert set(get(served.port, "/jaeger/api/services")["data"]) == service_names(traced)
    data = get(served.port, "/jaeger/api/traces", service="nginx", tags='{"url.path":"/path-3"}')["data"]
    assert len(data) == 1 and len(data[0]["spans"]) == 2
    mine = [s for s in traced.spans if s.trace_id == data[0]["traceID"]]
    assert {(s["spanID"], s["startTime"]) for s in data[0]["spans"]} == {(s.span_id, s.start_ns // 1000) for s in mine}
    server = next(s for s in data[0]["spans"] if s["references"])
    assert server["references"][0]["spanID"] in {s.span_id for s in mine if s.kind == "CLIENT"}
    tempo = get(served.port, f"/tempo/api/traces/{data[0]['traceID']}")
    spans = [s for b in tempo["batches"] for scope in b["scopeSpans"] for s in scope["spans"]]
    assert {base64.b64decode(s["spanId"]).hex() for s in spans} == {s.span_id for s in mine}
    found = get(served.port, "/tempo/api/search", q='{ span.url.path = "/path-3" && kind = server }')["traces"]
    assert [t["traceID"] for t in found] == [data[0]["traceID"].lstrip("0")]
    assert "url.path" in get(served.port, "/tempo/api/search/tags")["tagNames"]
    assert "nginx" in get(served.port, "/tempo/api/search/tag/service.name/values")["tagValues"]
    from opentelemetry.proto.trace.v1 import trace_pb2
    answer = ask(served.port, f"/tempo/api/traces/{data[0]['traceID']}", headers={"Accept": "application/protobuf"})
    message = trace_pb2.TracesData.FromString(answer.body)
    assert {s.span_id.hex() for r in message.resource_spans for c in r.scope_spans for s in c.spans} == {
        s.span_id for s in mine}


def test_the_page(served):
    """Protects: the page's files come compressed, with their type and tag, and nothing else does."""
    answer = ask(served.port, "/")
    assert answer.status == 200 and answer.headers["content-type"].startswith("text/html")
    assert answer.headers["content-encoding"] == "gzip" and b"<html" in gzip.decompress(answer.body)
    assert "'unsafe" not in answer.headers["content-security-policy"]
    again = ask(served.port, "/index.html", headers={"If-None-Match": answer.headers["etag"]})
    assert again.status == 304 and again.body == b""
    files = sorted((harness.ROOT / "user/serve/page").iterdir())
    for file in files:
        assert gzip.decompress(ask(served.port, "/" + file.name).body) == file.read_bytes()


@pytest.mark.parametrize("path", ["/../../../../etc/passwd", "/..%2f..%2fetc%2fpasswd", "/%2e%2e/%2e%2e/etc/passwd",
                                  "/page/index.html", "//index.html", "/index.html/", "/index.html%00.js",
                                  "/spans-00000001.db", "/api/v1/traces/..%2f..%2fhealth", "/api/../index.html"])
def test_no_path_leads_out(served, path):
    """Protects: only exact names of embedded files and the API's paths are answered."""
    assert ask(served.port, path).status in (400, 404)


def test_who_may_ask(served):
    """Protects: names of strangers (DNS rebinding) and methods that write are refused, with every header in place."""
    for host in ("evil.example", "evil.example:4380", "localhost.evil.example", "", "127.0.0.1.evil.example",
                 "user@localhost", "10.0.0.1"):
        refused = ask(served.port, "/api/v1/services", headers={"Host": host})
        assert refused.status == 421 and "do" in refused.json["error"], host
    for host in ("localhost", "LOCALHOST:9999", "127.0.0.1", "[::1]:1", "x.localhost"):
        assert ask(served.port, "/api/v1/health", headers={"Host": host}).status == 200, host
    for method in ("POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "BREW"):
        refused = ask(served.port, "/api/v1/search", method=method)
        assert refused.status == 405 and refused.headers["allow"] == "GET, HEAD", method
    head = ask(served.port, "/api/v1/services", method="HEAD")
    assert head.status == 200 and head.body == b"" and int(head.headers["content-length"]) > 0
    for path in ("/", "/api/v1/health", "/nothing", "/api/v1/search?limit=x"):
        headers = ask(served.port, path).headers
        assert headers["content-security-policy"].startswith("default-src 'none'; script-src 'self'")
        assert headers["x-content-type-options"] == "nosniff" and headers["referrer-policy"] == "no-referrer"
        assert headers["cache-control"] == ("no-cache" if path == "/" else "no-store")
        assert "access-control-allow-origin" not in headers


def raw(port, data, seconds=30):
    with socket.create_connection(("127.0.0.1", port), timeout=seconds) as s:
        s.sendall(data)
        got = b""
        while chunk := s.recv(65536):
            got += chunk
        return got


def test_what_is_no_request(served):
    """Protects: too much, or what is no HTTP, ends the connection, not the role."""
    close = b"Host: localhost\r\nConnection: close\r\n\r\n"
    assert raw(served.port, b"GET /" + b"a" * 100000 + b" HTTP/1.1\r\n" + close).startswith(b"HTTP/1.1 4")
    assert raw(served.port, b"GET / HTTP/1.1\r\n" + b"X: " + b"a" * 100000 + b"\r\n" + close).startswith(b"HTTP/1.1 4")
    assert b" 421 " in raw(served.port, b"GET / HTTP/1.1\r\nHost: localhost\r\n" + close)
    assert b" 200 " not in raw(served.port, b"GET /api/v1/health HTTP/1.1\r\nConnection: close\r\n\r\n")
    assert b" 200 " not in raw(served.port, b"\x16\x03\x01\x02\x00\x01\x00\r\n\r\n\r\n\r\n")
    assert b" 200 " not in raw(served.port, b"GET /api/v1/health HTTP/1.1\r\nContent-Length: 5\r\n" + close + b"hello")
    both = b"GET /api/v1/health HTTP/1.1\r\nHost: localhost\r\n\r\nGET /api/v1/health HTTP/1.1\r\n" + close
    assert raw(served.port, both).count(b"HTTP/1.1 200") == 2
    assert get(served.port, "/api/v1/health")["status"] == "ok"


def test_a_slow_client_is_ended(served):
    """Protects: a head that never ends, byte for byte, does not hold a connection for ever; others are answered."""
    with socket.create_connection(("127.0.0.1", served.port), timeout=1) as s:
        s.sendall(b"GET / HTTP/1.1\r\nX: ")

        def ended():
            try:
                s.sendall(b"a")
                s.settimeout(0.5)
                return s.recv(1) == b""
            except socket.timeout:
                assert get(served.port, "/api/v1/health")["status"] == "ok"
                return False
            except OSError:
                return True

        wait_for(ended, "it is ended", 25)


def memory_of(pid):
    text = pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text()
    return int(re.search(r"^Rss: +(\d+)", text, re.M).group(1)) << 10


def test_ten_thousand_connections(served):
    """Protects: idle connections, however many, neither keep others out nor take much memory."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < 11000:
        pytest.skip("not that many descriptors are allowed here")
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    get(served.port, "/api/v1/services")
    before, open_ones = memory_of(served.process.pid), []
    try:
        for n in range(10000):
            s = socket.socket()
            s.settimeout(20)
            s.connect(("127.0.0.1", served.port))
            open_ones.append(s)
            if n % 1000 == 999:
                assert get(served.port, "/api/v1/health")["status"] == "ok"
        assert memory_of(served.process.pid) - before < 24 << 20
        assert len(os.listdir(f"/proc/{served.process.pid}/fd")) < 1100
    finally:
        for s in open_ones:
            s.close()
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert get(served.port, "/api/v1/health")["status"] == "ok"


def test_it_can_read_nothing_but_the_store(served):
    """Protects: no capability, no other user's files, no descriptor beside its own."""
    base = pathlib.Path(f"/proc/{served.process.pid}")
    status = (base / "status").read_text()
    assert re.search(r"^CapEff:\t0+$", status, re.M) and re.search(r"^Seccomp:\t2$", status, re.M)
    assert not re.search(r"^Uid:\t0\b", status, re.M)
    for fd in (base / "fd").iterdir():
        if int(fd.name) > 2:
            try:
                what = os.readlink(fd)
            except FileNotFoundError:  # it answers others meanwhile: a segment that was read is closed
                continue
            assert re.match(r"socket:|anon_inode:|.*/store/spans-", what), what


def test_a_token_where_others_reach(traced):
    """Protects: on an address of others it starts with a token only, and then asks for it; the page itself has no secret."""
    done = subprocess.run([SONDE, "serve", "--store", traced.store, "--ui", "0.0.0.0:4380"], capture_output=True, text=True,
                          timeout=30)
    assert done.returncode == 2 and "token" in done.stderr, done.stderr
    done = subprocess.run([SONDE, "serve", "--store", traced.store, "--ui", "0.0.0.0:4380"], capture_output=True, text=True,
                          timeout=30, env={**os.environ, "SONDE_UI_TOKEN": "short"})
    assert done.returncode == 2 and "16" in done.stderr, done.stderr
    with Serve(traced.store, env={"SONDE_UI_TOKEN": TOKEN}) as serve:
        refused = ask(serve.port, "/api/v1/health")
        assert refused.status == 401 and refused.headers["www-authenticate"] == "Bearer"
        for wrong in (f"Bearer {TOKEN}x", f"Bearer {TOKEN[:-1]}", "Bearer ", f"Basic {TOKEN}", TOKEN):
            assert ask(serve.port, "/api/v1/health", headers={"Authorization": wrong}).status == 401, wrong
        assert ask(serve.port, "/api/v1/health", headers={"Authorization": f"Bearer {TOKEN}"}).status == 200
        assert ask(serve.port, "/").status == 200
    file = traced.store.parent / "token"
    file.write_text(TOKEN + "\n")
    with Serve(traced.store, "--ui-token-file", file, "--ui-host", "box.example") as serve:
        headers = {"Authorization": f"Bearer {TOKEN}", "Host": "box.example"}
        assert ask(serve.port, "/api/v1/health", headers=headers).status == 200


def test_wrong_usage_says_what_to_do(traced, tmp_path):
    for options, code, words in ((["--ui", "nonsense"], 2, "127.0.0.1:4380"), (["--store", tmp_path / "none"], 1, "no store"),
                                 (["extra"], 2, "too many")):
        done = subprocess.run([SONDE, "serve", "--store", traced.store, *options], capture_output=True, text=True, timeout=30)
        assert done.returncode == code and words in done.stderr, done.stderr
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        s.listen()
        done = subprocess.run([SONDE, "serve", "--store", traced.store, "--ui", str(s.getsockname()[1])],
                              capture_output=True, text=True, timeout=30)
        assert done.returncode == 1 and "another port" in done.stderr, done.stderr


def test_beside_capture(tmp_path):
    """Protects: the page is served while tracing goes on, from a folder of its own; killed, the role comes back with the
    same address; capture notices nothing; at the end the folder has gone, and a pipe gets no page after the command."""
    server, port = servers.Nginx(tmp_path), free_port()
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    # So many that no machine is too busy for them: the store need not drop any.
    curl = ["curl", "-s", "--rate", "100/s", "-o", "/dev/null", server.url("/live?n=[1-800]")]
    sonde = start_trace(write_scene(tmp_path, [server], [curl]), tmp_path, options=["--ui", f"127.0.0.1:{port}"],
                        env={"TMPDIR": str(temporary)})

    def answered(count):
        try:
            return len(get(port, "/api/v1/search", service="nginx", limit=50)["traces"]) >= count
        except OSError:
            return False

    wait_for(lambda: answered(1), "a trace is shown while the command runs")
    old = bpf.roles(sonde.pid)["serve"]
    for kill in (signal.SIGKILL, signal.SIGSEGV):
        os.kill(old, kill)
        new = wait_for(lambda o=old: (r := bpf.roles(sonde.pid).get("serve", o)) != o and r, "it is back")
        wait_for(lambda: answered(10), "it answers again")
        old = new
    folders = list(temporary.iterdir())
    run = harness.scene_results(harness.finish(sonde), [server])
    assert len(folders) == 1 and not list(temporary.iterdir())
    assert f"http://127.0.0.1:{port}/" in run.stderr
    assert not {k: v for k, v in harness.residuals(run.ledger).items() if v}
    assert run.ledger["sinks"]["store"]["acked"] == run.ledger["sinks"]["store"]["spans"]
    assert not listening(port)


def test_thirty_thousand_connections_beside_capture(tmp_path):
    """Protects: ten thousand connections to each port that a run listens on do capture no harm: every request is told, no
    record is lost, the account holds, and who asks is answered."""
    server, ports, requests = servers.Nginx(tmp_path), harness.free_ports(3), 600
    curl = ["curl", "-s", "--rate", "100/s", "-o", "/dev/null", server.url(f"/live?n=[1-{requests}]")]
    sonde = start_trace(write_scene(tmp_path, [server], [curl]), tmp_path, options=[
        "--ui", f"127.0.0.1:{ports[0]}", "--otlp-http", f"127.0.0.1:{ports[1]}", "--otlp-grpc", f"127.0.0.1:{ports[2]}"])
    with contextlib.ExitStack() as stack:
        wait_for(lambda: all(listening(p) for p in ports) and server.logged(), "requests are traced, and all ports open")
        crowds = [stack.enter_context(Crowd(p, 10000)) for p in ports]
        come = [list(c.come())[-1] for c in crowds]
        during = server.logged()
        assert get(ports[0], "/api/v1/health")["status"] == "ok"
        run = harness.scene_results(harness.finish(sonde), [server])
    assert come == [10000] * 3 and 0 < during < requests == server.logged(), "all of them were there while it was traced"
    assert len(run.check().spans) == 2 * requests


def test_the_account_of_a_run(tmp_path, served):
    """Protects: the account can be looked at while a run goes on, with every line and what sonde costs; it is renewed; a
    store alone has none, and says where one is."""
    server, port = servers.Nginx(tmp_path), free_port()
    wrk = ["wrk", "-t1", "-c2", "-d8s", server.url("/live")]
    sonde = start_trace(write_scene(tmp_path, [server], [wrk]), tmp_path, options=["--ui", f"127.0.0.1:{port}"])

    def account(least=1):
        try:
            answer = ask(port, "/api/v1/account")
        except OSError:
            return None
        return answer.json if answer.status == 200 and answer.json["exchanges"]["spans"] >= least else None

    first = wait_for(account, "it is there")
    second = wait_for(lambda: account(first["exchanges"]["spans"] + 1), "it goes on")
    assert second["running"] and int(second["at_unix_nano"]) > int(first["at_unix_nano"])
    documented = (harness.ROOT / "docs/api.yaml").read_text().split("    Account:\n", 1)[1]
    required = re.search(r"required: \[(.*?)\]", documented).group(1).split(", ")
    assert set(second) == set(required)
    assert second["tier"] and second["sinks"]["store"]["spans"] and second["connections"]["http1"]
    assert set(second["cost"]["roles"]) >= {"probe", "trace", "ship", "serve"}
    assert all(r["cpu_seconds"] > 0 and r["memory_bytes"] > 100_000 for r in second["cost"]["roles"].values())
    run = harness.scene_results(harness.finish(sonde), [server])
    assert not {k: v for k, v in harness.residuals(run.ledger).items() if v}
    assert run.ledger["exchanges"]["spans"] >= second["exchanges"]["spans"]
    assert set(second) - set(run.ledger) == {"running", "at_unix_nano", "cost"}
    refused = ask(served.port, "/api/v1/account")
    assert refused.status == 404 and "--ui" in refused.json["error"]["do"]


def test_an_occupied_port_is_no_reason_not_to_trace(tmp_path):
    """Protects: the address taken by another program is said with what to do, and everything else works."""
    server = servers.Nginx(tmp_path)
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        s.listen()
        run = trace_scene(tmp_path, [server], [["curl", "-s", "-o", "/dev/null", server.url("/a")]],
                          options=["--store", tmp_path / "store", "--ui", f"127.0.0.1:{s.getsockname()[1]}"])
    assert len(run.spans) == 2 and "another port" in run.stderr


def test_the_documented_api(traced, served):
    """Protects: each path of docs/api.yaml answers with a documented status and the documented members."""
    found = subprocess.run(["/usr/bin/python3", harness.ROOT / "tests/lib/api_check.py", harness.ROOT / "docs/api.yaml",
                            f"http://127.0.0.1:{served.port}", traced.spans[0].trace_id],
                           capture_output=True, text=True, timeout=60)
    assert found.returncode == 0, found.stdout + found.stderr
