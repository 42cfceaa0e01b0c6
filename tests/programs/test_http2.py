# SPDX-License-Identifier: Apache-2.0
"""HTTP/2 in the clear: a span for each request at both ends, none mixed up, whatever runs beside it."""

import collections
import itertools
import json
import re
import subprocess

import pytest

import tls
from harness import ROOT, SONDE, listening, parse_spans, residuals, trace_scene, wait_for
from servers import HERE, ApacheEvent, Server, go_program, lacks

pytestmark = pytest.mark.skipif(bool(lacks("h2load", "nghttpd", "curl")), reason="no nghttp2-client, nghttp2-server")

# What a machine that is busy with other tests is slow to read is not what these tests are about.
RING = ["--ring-size", "16m"]


class Nghttpd(Server):
    """nghttp2's own server: files of its folder, HTTP/2 in the clear by prior knowledge or upgrade."""

    files = {"index.html": "hello\n"}

    def prepare(self):
        (self.directory / "www").mkdir()
        for name, text in self.files.items():
            (self.directory / "www" / name).write_text(text)

    def cmd(self):
        return ["nghttpd", "--no-tls", "-d", self.directory / "www", self.port]


class NghttpdUpload(Nghttpd):
    """Sends back what is sent to it."""

    def cmd(self):
        return super().cmd()[:-1] + ["--echo-upload", self.port]


class H2Echo(Server):
    """Go's net/http: reads frame headers by themselves, and answers from many threads."""

    def cmd(self):
        return [go_program("h2echo.go"), self.port, self.log]


# Requests a second: twice as many spans, far fewer than ship has room for, also where it waits for its turn.
RATE = 8000


def h2load(server, n, clients, streams, paths):
    """h2load asks for the paths one after another, over and over."""
    many = server.directory / f"paths-{n}-{clients}-{streams}"
    many.write_text("".join(server.url(p) + "\n" for p in paths))
    return ["h2load", "-n", n, "-c", clients, "-m", streams, "--rps", RATE // clients, "-i", many]


def check_both(run, wanted, status=200):
    """wanted: {path: how often}; each is there as often at both ends, joined, and says what it is."""
    for kind in ("CLIENT", "SERVER"):
        spans = run.kind(kind)
        assert collections.Counter(s.path for s in spans) == wanted, kind
        for span in spans:
            assert span.attributes["http.request.method"] == "GET"
            assert span.attributes["network.protocol.version"] == "2"
            assert span.status_code == status and span.name == "GET" and not span.error
    clients = {s.span_id: s for s in run.kind("CLIENT")}
    for span in run.kind("SERVER"):
        parent = clients[span.parent_id]
        assert parent.path == span.path and parent.trace_id == span.trace_id
        assert span.attributes["sonde.link.method"] == "edge"


def at_once(spans):
    """How many were open at one time, at the most."""
    steps = sorted([(s.start_ns, 1) for s in spans] + [(s.end_ns, -1) for s in spans])
    return max(itertools.accumulate(step for _, step in steps))


@pytest.mark.parametrize("clients, streams", [(1, 1), (1, 10), (1, 100), (10, 1), (10, 10), (10, 100)])
def test_nghttpd(tmp_path, clients, streams):
    """Protects: spans = requests, however many streams and connections, and each says its own path."""
    server = Nghttpd(tmp_path)
    paths = [f"/index.html?n={n}" for n in range(500)]
    run = trace_scene(tmp_path, [server], [h2load(server, 10000, clients, streams, paths)], RING).check(most=500)
    assert "10000 succeeded" in run.results[0]["stdout"]
    check_both(run, {"/index.html": 10000})
    assert at_once(run.kind("CLIENT")) >= min(clients * streams, 10) / 2


@pytest.mark.parametrize("clients, streams", [(1, 1), (1, 100), (10, 10)])
def test_numbers(tmp_path, clients, streams):
    """Protects: no two streams are mixed up: the response to /echo/N repeats N."""
    server = H2Echo(tmp_path)
    paths = [f"/echo/{n}" for n in range(1000)]
    load = h2load(server, 10000, clients, streams, paths)
    run = trace_scene(tmp_path, [server], [load], RING + ["--headers"]).check(most=500)
    assert "10000 succeeded" in run.results[0]["stdout"]
    wanted = collections.Counter()
    for line in server.lines():
        wanted[line.split()[1]] += 1
    assert sum(wanted.values()) == 10000
    check_both(run, wanted)
    # in step from the first byte on, at both ends
    assert run.ledger["connections"]["http2"] == 2 * clients
    assert run.ledger["frames"] == {"sync_lost": 0, "sync_found": 0}
    for span in run.spans:
        assert span.attributes["http.response.header.x-number"] == [span.path.rsplit("/", 1)[1]]


def test_thousand_in_one_write(tmp_path):
    """Protects: a thousand requests that are written at once are a thousand exchanges."""
    server = H2Echo(tmp_path)
    paths = [f"/echo/{n}" for n in range(1000)]
    load = [w for w in h2load(server, 1000, 1, 1000, paths) if w not in ("--rps", RATE)]
    run = trace_scene(tmp_path, [server], [load + ["-w", "24", "-W", "24"]], RING).check()
    check_both(run, collections.Counter(paths))
    assert run.ledger["records"]["attempted"] < 4000


def test_statuses_and_methods(tmp_path):
    """Protects: methods and status are each stream's own."""
    server = H2Echo(tmp_path)
    curl = ["curl", "-sS", "--http2-prior-knowledge", "-o", "/dev/null"]
    run = trace_scene(tmp_path, [server], [
        curl + [server.url("/missing/1")],
        curl + ["-X", "POST", "-d", "x" * 100000, server.url("/post/2")],
        curl + ["-X", "DELETE", server.url("/delete/3")],
    ]).check()
    for kind in ("CLIENT", "SERVER"):
        found = {s.path: (s.attributes["http.request.method"], s.status_code) for s in run.kind(kind)}
        assert found == {"/missing/1": ("GET", 404), "/post/2": ("POST", 200), "/delete/3": ("DELETE", 200)}
    assert {s.error for s in run.kind("CLIENT")} == {None, "404"}
    for span in run.kind("CLIENT"):
        assert span.attributes["url.full"] == f"http://127.0.0.1:{server.port}{span.path}"
        assert span.attributes["server.port"] == server.port


def test_download_costs_few_records(tmp_path):
    """Protects: DATA is counted, not copied: a large answer costs records for its head and its end."""
    server = H2Echo(tmp_path)
    size = 1 << 30
    curl = ["curl", "-sS", "--http2-prior-knowledge", "-o", "/dev/null", "-w", "%{size_download}"]
    run = trace_scene(tmp_path, [server], [curl + [server.url(f"/bytes/{size}")]]).check()
    assert run.results[0]["stdout"] == str(size)
    client, = run.kind("CLIENT")
    seconds = (client.end_ns - client.start_ns) / 1e9
    # each end: the connection's begin and end and its settings; six a stream and one a second
    assert run.ledger["records"]["attempted"] <= 2 * (8 + 6 + seconds)
    assert run.ledger["bytes"]["sequence"] > 2 * size
    assert run.ledger["bytes"]["captured"] < 10000


def test_more_streams_than_are_counted(tmp_path):
    """Protects: counts that made room for those of other streams are left out, and none is wrong."""
    server = NghttpdUpload(tmp_path)
    size = 200000
    (tmp_path / "upload").write_bytes(b"u" * size)
    load = ["h2load", "-d", tmp_path / "upload"]
    many = load + ["-n", 4000, "-c", 40, "-m", 100, server.url("/many")]
    few = load + ["-n", 100, "-c", 1, "-m", 4, server.url("/few")]
    run = trace_scene(tmp_path, [server], [many, few], RING + ["--headers"]).check()
    assert "4000 succeeded" in run.results[0]["stdout"] and "100 succeeded" in run.results[1]["stdout"]
    left_out = 0
    for span in run.spans:
        for side in ("request", "response"):
            told = span.attributes.get(f"http.{side}.body.size")
            assert told == size or (told is None and span.path == "/many"), span
            left_out += told is None
    assert left_out and len([s for s in run.spans if s.path == "/few"]) == 200


def test_cancelled(tmp_path):
    """Protects: a stream that its client gives up ends there, and says so."""
    server = H2Echo(tmp_path)
    curl = ["sh", "-c", f"curl -sS --http2-prior-knowledge -m 0.5 {server.url('/slow')} || true"]
    run = trace_scene(tmp_path, [server], [curl]).check()
    for kind in ("CLIENT", "SERVER"):
        span, = run.kind(kind)
        assert span.cut and span.status == 2
        assert span.attributes["sonde.incomplete"]


def test_headers_partial_is_never_said_from_the_start(tmp_path):
    """Protects: of connections that were seen from their first byte every field is known."""
    server = Nghttpd(tmp_path)
    run = trace_scene(tmp_path, [server], [h2load(server, 2000, 4, 20, ["/index.html", "/lacks"])], RING).check()
    assert len(run.spans) == 4000
    assert not [s for s in run.spans if "sonde.headers" in s.attributes]
    found = {(s.path, s.status_code) for s in run.spans}
    assert found == {("/index.html", 200), ("/lacks", 404)}
    assert not re.search("[1-9]", str(run.ledger["unseen"]))


class NghttpdPush(Nghttpd):
    """Pushes two more files with its index."""

    files = {"index.html": "hello\n", "a.css": "a" * 3000, "b.css": "b" * 5000}

    def cmd(self):
        *words, port = super().cmd()
        return [*words, "-p/index.html=/a.css,/b.css", port]


def test_push(tmp_path):
    """Protects: what a server pushes is no span, nothing of it is another stream's, and the fields that follow are known."""
    server = NghttpdPush(tmp_path)
    asked = [server.url(path) for path in ("/index.html", "/lacks", "/index.html?again")]
    run = trace_scene(tmp_path, [server], [["nghttp", "-v", "-n", *asked]], ["--headers"]).check()
    # it was pushed in fact
    assert "recv PUSH_PROMISE" in run.results[0]["stdout"] and "/b.css" in run.results[0]["stdout"]
    for kind in ("CLIENT", "SERVER"):
        spans = run.kind(kind)
        assert sorted((s.path, s.status_code) for s in spans) == [("/index.html", 200), ("/index.html", 200), ("/lacks", 404)]
        for span in spans:
            assert not {"sonde.headers", "sonde.incomplete"} & set(span.attributes)
            assert span.path == "/lacks" or span.attributes["http.response.body.size"] == 6


class ApacheH2c(ApacheEvent):
    """mod_http2: answers an upgrade from another thread than the one that read it."""

    def prepare(self):
        super().prepare()
        conf = self.directory / "httpd.conf"
        module = "LoadModule http2_module /usr/lib/apache2/modules/mod_http2.so\nProtocols h2c http/1.1\n"
        conf.write_text(module + conf.read_text())


class GoH2c(Server):
    """golang.org/x/net/http2/h2c."""

    def cmd(self):
        build = [ROOT / "tests/lib/go_java.sh", "h2c"]
        subprocess.run(build, check=True)
        return [subprocess.run([*build, "--path", "go"], check=True, capture_output=True, text=True).stdout.strip(), self.port, self.log]


def check_upgraded(run, paths, bodies):
    """Each path is there once, at both ends, joined; bodies: what was sent, by path."""
    for kind in ("CLIENT", "SERVER"):
        spans = {s.path: s for s in run.kind(kind)}
        assert sorted(spans) == sorted(paths) and len(run.kind(kind)) == len(paths), kind
        for span in spans.values():
            assert span.attributes["http.request.method"] == ("POST" if span.path in bodies else "GET")
            assert span.attributes["network.protocol.version"] == "2" and span.status_code == 200
            assert not span.cut and not {"sonde.headers", "sonde.upgraded", "sonde.incomplete", "sonde.early_response"} & set(span.attributes)
            assert span.attributes["http.request.body.size"] == bodies.get(span.path, 0)
            assert span.attributes["http.response.body.size"] > 0
            assert "http.response.header.upgrade" not in span.attributes
    clients = {s.path: s for s in run.kind("CLIENT")}
    for span in run.kind("SERVER"):
        assert span.parent_id == clients[span.path].span_id and span.trace_id == clients[span.path].trace_id
        assert span.attributes["sonde.link.method"] == "edge"
    assert run.ledger["frames"] == {"sync_lost": 0, "sync_found": 0}


def test_upgrade(tmp_path):
    """Protects: the request that asked for HTTP/2 in HTTP/1 is a span like those after it, which is none of 101."""
    server = GoH2c(tmp_path)
    curl = ["curl", "-sS", "--http2", "-o", "/dev/null", "-w", "%{http_version} %{http_code}\\n"]
    (tmp_path / "body").write_bytes(b"x" * 100000)
    paths = [f"/{n}" for n in range(9)]
    run = trace_scene(tmp_path, [server], [
        curl + [server.url("/0")],
        curl + ["-X", "POST", "--data-binary", "x" * 3000, server.url("/1")],
        curl + ["-X", "POST", "--data-binary", f"@{tmp_path}/body", "-H", "Expect:", server.url("/2")],
        # streams beside the upgraded one
        ["nghttp", "-u", "-n", *(server.url(path) for path in paths[3:])],
    ], ["--headers"]).check()
    assert [result["stdout"].strip() for result in run.results[:3]] == ["2 200"] * 3
    check_upgraded(run, paths, {"/1": 3000, "/2": 100000})
    assert run.ledger["connections"]["http2"] == 8


def test_upgrade_apache(tmp_path):
    """Protects: the same where the answer comes from another thread; what is not upgraded stays what it is."""
    server = ApacheH2c(tmp_path)
    curl = ["curl", "-sS", "-o", "/dev/null"]
    run = trace_scene(tmp_path, [server], [
        *(curl + ["--http2", server.url(f"/{n}")] for n in range(5)),
        ["nghttp", "-u", "-n", server.url("/5")],
    ], ["--headers"]).check()
    check_upgraded(run, [f"/{n}" for n in range(6)], {})


def established(port):
    with open("/proc/net/tcp") as lines:
        return any(f[1].endswith(f":{port:04X}") and f[3] == "01" for f in map(str.split, lines))


def test_met_in_mid_life(tmp_path):
    """Protects: of a connection that is older than sonde what is known is right, and what is not is said."""
    server = Nghttpd(tmp_path)
    started = []
    try:
        started.append(subprocess.Popen([str(w) for w in server.cmd()], stdout=subprocess.DEVNULL))
        wait_for(lambda: listening(server.port, started[0].pid), "nghttpd listens")
        load = ["h2load", "-D", "120", "--rps", "100", "-c", "1", "-m", "4", server.url("/index.html")]
        started.append(subprocess.Popen(load, stdout=subprocess.DEVNULL))
        wait_for(lambda: established(server.port), "h2load is connected")
        pids = ",".join(str(p.pid) for p in started)
        done = subprocess.run(
            [SONDE, "trace", "-p", pids, "--duration", "4s", "-o", tmp_path / "out.jsonl", "--ledger", tmp_path / "ledger.json"],
            capture_output=True, text=True, timeout=120)
    finally:
        for process in started:
            process.terminate()
            process.wait()
    assert done.returncode == 0, done.stderr
    ledger = json.loads((tmp_path / "ledger.json").read_text())
    assert not any(residuals(ledger).values())
    # nobody knew where their frames begin until their bytes proved it, in each direction of both ends
    assert ledger["connections"]["http2"] == 2 and ledger["frames"]["sync_found"] >= 4
    spans = [s for s in parse_spans((tmp_path / "out.jsonl").read_text()) if not s.cut]
    assert {s.kind for s in spans} == {"CLIENT", "SERVER"}
    for span in spans:
        assert span.attributes["sonde.joined"] and span.status_code == 200
        assert span.attributes.get("http.request.method", "GET") == "GET"
        assert span.path in (None, "/index.html")
    # the authority stands in the dynamic table since before sonde was there
    assert all(s.attributes["sonde.headers"] == "partial" and "url.full" not in s.attributes for s in spans)


class NginxTls(tls.NginxTls):
    """nginx over TLS, HTTP/2 by ALPN."""

    def prepare(self):
        super().prepare()
        conf = self.directory / "nginx.conf"
        conf.write_text(conf.read_text().replace(" ssl;", " ssl http2;"))


class GoTls(tls.Https, Server):
    """net/http over crypto/tls, HTTP/2 by ALPN."""

    def cmd(self):
        folder = tls.authority()
        return [go_program(HERE.parents[1] / "bench/tls_peer.go"), "serve", self.port, folder / "cert.pem", folder / "key.pem"]


def check_tls(run, paths, served, asked):
    """As often as it was asked for is each path there, at both ends, joined; served, asked: the spans of one client."""
    wanted = collections.Counter(paths)
    for spans in (served, asked):
        assert collections.Counter(s.path for s in spans) == wanted
        for span in spans:
            assert span.attributes["http.request.method"] == "GET" and span.name == "GET"
            assert span.attributes["network.protocol.version"] == "2" and span.attributes["tls.protocol.version"]
            assert span.status_code == 200 and not span.error and "sonde.headers" not in span.attributes
    parents = {s.span_id: s for s in asked}
    for span in served:
        assert parents[span.parent_id].path == span.path and parents[span.parent_id].trace_id == span.trace_id
        assert span.attributes["url.scheme"] == "https"


LOADS = [(2000, 1, 1), (5000, 1, 100), (5000, 10, 10)]


@pytest.mark.parametrize("n, clients, streams", LOADS)
def test_nginx_tls(tmp_path, n, clients, streams):
    """Protects: HTTP/2 inside TLS: spans = requests at both ends, none mixed up."""
    server = NginxTls(tmp_path)
    paths = [f"/{i}" for i in range(500)]
    run = trace_scene(tmp_path, [server], [h2load(server, n, clients, streams, paths)], RING).check(most=500)
    assert f"{n} succeeded" in run.results[0]["stdout"] and "Application protocol: h2" in run.results[0]["stdout"]
    wanted = [line.split()[1] for line in server.lines()]
    assert len(wanted) == n
    check_tls(run, wanted, run.kind("SERVER", server.pids), run.kind("CLIENT", {run.results[0]["pid"]}))


@pytest.mark.parametrize("n, clients, streams", LOADS)
def test_go_tls(tmp_path, n, clients, streams):
    """Protects: the same of crypto/tls. The program is hooked while a first client asks for something else."""
    server = GoTls(tmp_path)
    paths = [f"/{i}" for i in range(500)]
    warm = ["h2load", "-D", "1", "-c", "1", "-m", "1", "--rps", "50", server.url("/warm")]
    run = trace_scene(tmp_path, [server], [warm, h2load(server, n, clients, streams, paths)], RING).check(most=500)
    assert f"{n} succeeded" in run.results[1]["stdout"] and "Application protocol: h2" in run.results[1]["stdout"]
    # each connection asks for all of them one after another
    each = n // clients
    wanted = [paths[i % len(paths)] for i in range(each)] * clients
    served = [s for s in run.kind("SERVER", server.pids) if s.path != "/warm"]
    check_tls(run, wanted, served, run.kind("CLIENT", {run.results[1]["pid"]}))
