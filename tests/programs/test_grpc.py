# SPDX-License-Identifier: Apache-2.0
"""gRPC, in the clear and in TLS: each call is a span at both ends, with its method, its status and its messages."""

import contextlib
import json
import os
import signal
import subprocess

import pytest

import bpf
import tls
from grpc_peers import LANGUAGES, GrpcServer, client
from harness import SONDE, listening, parse_spans, refused, residuals, trace_scene, wait_for
from servers import HERE, Server, venv_python

CLIENT = HERE.parent / "clients/grpc_client.py"
RING = ["--ring-size", "16m"]


class GrpcPython(Server):
    """grpcio, on gRPC's C core: scattered writes, SETTINGS before the client has said anything."""

    def cmd(self):
        return [venv_python(), HERE / "grpc_server.py", self.port, self.log]


def call(tmp_path, *calls, options=(), quiet=True):
    server = GrpcPython(tmp_path)
    return trace_scene(tmp_path, [server], [[venv_python(), CLIENT, server.port, *calls]],
                       RING + list(options)).check(quiet)


def both(run):
    """[(client span, server span)] in the order of the calls."""
    servers = {s.parent_id: s for s in run.kind("SERVER")}
    clients = sorted(run.kind("CLIENT"), key=lambda s: s.start_ns)
    assert len(clients) == len(servers)
    return [(c, servers[c.span_id]) for c in clients]


def messages(span):
    return span.attributes["sonde.rpc.request.messages"], span.attributes["sonde.rpc.response.messages"]


def test_call_types(tmp_path):
    """Protects: method, status and message counts of the four types of calls, at both ends."""
    found = both(call(tmp_path, "unary:7", "unary:8 100000", "server:100", "client:50", "both:20"))
    wanted = [("Unary", 1, 1), ("Unary", 1, 1), ("ServerStream", 1, 100), ("ClientStream", 50, 1), ("BothStreams", 20, 40)]
    assert len(found) == len(wanted)
    for pair, (name, requests, responses) in zip(found, wanted):
        for span in pair:
            assert span.name == f"test.Echo/{name}"
            assert span.attributes["rpc.system.name"] == "grpc"
            assert span.attributes["rpc.method"] == f"test.Echo/{name}"
            assert span.attributes["rpc.response.status_code"] == "OK"
            assert span.status == 0 and not span.error
            assert messages(span) == (requests, responses)
        assert pair[1].attributes["sonde.link.method"] == "edge"


def test_statuses(tmp_path):
    """Protects: what a call ends with is said as gRPC says it: trailers alone, cancelled, too late, not there."""
    run = call(tmp_path, "unary:fail", "lacking", "sleep::0.4", "cancel")
    assert run.results[0]["stdout"].split("\n")[:3] == [
        "unary FAILED_PRECONDITION", "lacking UNIMPLEMENTED", "sleep DEADLINE_EXCEEDED"]
    found = both(run)
    codes = [tuple(s.attributes.get("rpc.response.status_code") for s in pair) for pair in found]
    assert [c for c, _ in codes] == ["FAILED_PRECONDITION", "UNIMPLEMENTED", "DEADLINE_EXCEEDED", "CANCELLED"]
    assert codes[0][1] == "FAILED_PRECONDITION" and codes[1][1] == "UNIMPLEMENTED"
    for client, _ in found:
        assert client.status == 2 and client.error == client.attributes["rpc.response.status_code"]
    # a server is not to blame for what it was asked for
    assert found[0][1].status == 0
    assert found[1][1].status == 2 and found[1][1].attributes["rpc.method"] == "_OTHER"
    assert found[1][1].attributes["rpc.method_original"] == "test.Echo/Lacking"
    assert found[2][0].attributes["sonde.rpc.timeout"] in range(1, 403)


def test_thousand_streams(tmp_path):
    """Protects: a thousand calls at once on one connection."""
    run = call(tmp_path, "many:1000", quiet=False)
    assert run.ledger["exchanges"]["spans"] == 2000
    if not refused(run.ledger):
        for pair in both(run):
            for span in pair:
                assert span.attributes["rpc.response.status_code"] == "OK"
                assert messages(span) == (1, 1)


def test_traceparent(tmp_path):
    """Protects: a propagation header is read from metadata."""
    (client, server), = both(call(tmp_path, "traced"))
    assert client.trace_id == server.trace_id == "0af7651916cd43dd8448eb211c80319c"
    assert client.parent_id == "b7ad6b7169203331" and server.parent_id == client.span_id


# What the peers of grpc/README are told to do, and what its spans say: (method, status, messages of the request,
# messages of the response) of each call, in the order of the calls. None: whatever it was when it was cut.
STEPS = {
    "unary:20": [("Unary", "OK", 1, 1)] * 20,
    "client:5": [("ClientStream", "OK", 5, 1)],
    "server:250": [("ServerStream", "OK", 1, 250)],
    "bidi:7": [("Bidi", "OK", 7, 7)],
    "concurrent:1000": [("Bidi", "OK", 1, 1)] * 1000,
    "fail:5": [("Unary", "NOT_FOUND", 1, 0)],
    # before what floods the client: grpc-java is not back in time from that
    "deadline": [("Unary", "DEADLINE_EXCEEDED", 1, 0)],
    "cancel": [("ServerStream", "CANCELLED", 1, None)],
    "missing": [("Missing", "UNIMPLEMENTED", None, 0)],
}
WANTED = [call for calls in STEPS.values() for call in calls]
SERVICE = "sonde.test.Echo"


def check_call(span, wanted):
    """A span says what its end of the call is known to have seen."""
    name, status, requests, responses = wanted
    said = span.attributes
    assert said["rpc.system.name"] == "grpc" and "sonde.headers" not in said
    if name == "Missing":
        assert said["rpc.method"] == "_OTHER" and said["rpc.method_original"] == f"{SERVICE}/{name}"
    else:
        assert said["rpc.method"] == span.name == f"{SERVICE}/{name}"
    if span.kind == "SERVER" and status in ("CANCELLED", "DEADLINE_EXCEEDED"):
        # the server hears of it by a reset, if it hears of it at all before it has answered
        assert said.get("rpc.response.status_code") in (None, "CANCELLED", "DEADLINE_EXCEEDED")
    else:
        assert said["rpc.response.status_code"] == status
    assert bool(span.error) == (status != "OK") or span.kind == "SERVER"
    for wanted_messages, key in ((requests, "request"), (responses, "response")):
        assert wanted_messages is None or said[f"sonde.rpc.{key}.messages"] == wanted_messages
    if status == "DEADLINE_EXCEEDED":
        # rounded up by some
        assert 1 <= said["sonde.rpc.timeout"] <= 310


def check_calls(spans):
    assert len(spans) == len(WANTED)
    for span, wanted in zip(spans, WANTED):
        check_call(span, wanted)


def check_peers(run, asked, server):
    """Every call of this client has a span at both ends, in one trace."""
    clients = sorted(run.kind("CLIENT", {asked["pid"]}), key=lambda s: s.start_ns)
    by_parent = {s.parent_id: s for s in run.kind("SERVER", server.pids)}
    check_calls(clients)
    check_calls([by_parent[c.span_id] for c in clients])
    for span in clients:
        below = by_parent[span.span_id]
        assert below.trace_id == span.trace_id and below.attributes["sonde.link.method"] == "edge"
        assert span.attributes["network.peer.port"] == server.port


def peer(language, server, *steps, ca="-"):
    """An entry of a scene."""
    cmd, env = client(language, server, *steps, ca=ca)
    return {"cmd": [str(w) for w in cmd], "env": env}


PAIRS = [(language, language) for language in LANGUAGES] + [("java", "go")]


@pytest.mark.parametrize("asking, answering", PAIRS)
def test_languages(asking, answering, tmp_path):
    """Protects: method, status and messages at both ends, whichever implementation of gRPC is at them."""
    server = GrpcServer(tmp_path, answering)
    run = trace_scene(tmp_path, [server], [peer(asking, server, *STEPS)], RING).check(most=500)
    assert len(run.spans) == 2 * len(WANTED)
    check_peers(run, run.results[0], server)
    # also where a client resets a stream for each message that still comes after it was cancelled (grpc-java)
    assert run.ledger["records"]["attempted"] < 7 * len(run.spans)


def tls_server(tmp_path, language):
    folder = tls.authority()
    return GrpcServer(tmp_path, language, (folder / "cert.pem", folder / "key.pem"))


# A program is hooked some milliseconds after it was mapped for the first time: a first client lasts longer than
# that, the second one is counted.
WARM = ["unary:200", "deadline", "deadline"]


@pytest.mark.parametrize("asking, answering", [("go", "go"), ("node", "node"), ("node", "go")])
def test_languages_tls(asking, answering, tmp_path):
    """Protects: the same inside TLS, where the libraries at both ends are known."""
    ca = tls.authority() / "ca.pem"
    server = tls_server(tmp_path, answering)
    clients = [peer(asking, server, *WARM, ca=ca), peer(asking, server, *STEPS, ca=ca)]
    run = trace_scene(tmp_path, [server], clients, RING).check(most=500)
    check_peers(run, run.results[1], server)
    for span in run.kind("CLIENT", {run.results[1]["pid"]}):
        assert span.attributes["tls.protocol.version"] == "1.3"


def ask_go(tmp_path, asking):
    """Go's server, whose library is seen into, and this client; also the server's spans of what it has asked."""
    ca = tls.authority() / "ca.pem"
    server = tls_server(tmp_path, "go")
    clients = [peer("go", server, *WARM, ca=ca), peer(asking, server, *STEPS, ca=ca)]
    run = trace_scene(tmp_path, [server], clients, RING).check(most=500)
    warm, asked = (result["pid"] for result in run.results)
    over = max(run.kind("CLIENT", {warm}), key=lambda s: s.end_ns).end_ns
    served = sorted((s for s in run.kind("SERVER", server.pids) if s.start_ns > over), key=lambda s: s.start_ns)
    check_calls(served)
    assert run.ledger["records"]["attempted"] < 7 * 2 * (len(WANTED) + 202)
    return run, run.kind("CLIENT", {asked}), served


def test_languages_tls_not_seen_into(tmp_path):
    """Protects: a client whose library cannot be seen into (grpcio's) has no spans, and its server has all of its own."""
    run, asked, served = ask_go(tmp_path, "python")
    assert not asked
    assert not any(s.parent_id for s in served)
    assert run.ledger["connections"]["tls"] > run.ledger["connections"]["tls_seen_into"] > 0
    assert "TLS connections were not seen into" in run.stderr


def test_languages_tls_own_copy(tmp_path):
    """Protects: a library that a program unpacks for itself (grpc-java's BoringSSL) is hooked when it is there: some
    milliseconds later than it may be used, so that of a connection some is missing, but nothing is wrong."""
    _, asked, served = ask_go(tmp_path, "java")
    ids = {s.span_id: s for s in asked}
    for span in served:
        assert not span.parent_id or ids[span.parent_id].trace_id == span.trace_id
    for span in asked:
        assert span.attributes.get("rpc.method") in (None, "_OTHER", *(f"{SERVICE}/{call[0]}" for call in WANTED))
    if asked and not any("sonde.joined" in s.attributes for s in asked):
        check_calls(sorted(asked, key=lambda s: s.start_ns))


def test_languages_tls_unknown(tmp_path):
    """Protects: where neither end's library is known nothing is made up, and that is said."""
    ca = tls.authority() / "ca.pem"
    server = tls_server(tmp_path, "python")
    run = trace_scene(tmp_path, [server], [peer("python", server, *STEPS, ca=ca)], RING).check()
    assert not run.spans
    assert run.ledger["connections"]["tls"] > run.ledger["connections"]["tls_seen_into"] == 0
    assert "TLS connections were not seen into" in run.stderr


class Steps:
    """A client that makes its calls when it is told to: clients/grpc_steps.py."""

    def __init__(self, server):
        self.process = subprocess.Popen([venv_python(), CLIENT.parent / "grpc_steps.py", str(server.port)],
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def do(self, step, number):
        self.process.stdin.write(f"{step} {number}\n")
        self.process.stdin.flush()
        assert self.process.stdout.readline() == "done\n"


def trace_steps(tmp_path, server, steps):
    """The client's connection is older than sonde; what is said before, while and after its tables are refilled."""
    out = tmp_path / "out.jsonl"
    steps.do("call", 5)
    pids = f"{server.process.pid},{steps.process.pid}"
    command = [SONDE, "trace", "-p", pids, "-o", out, "--ledger", tmp_path / "ledger.json", *RING]
    with open(tmp_path / "stderr", "w") as log:
        sonde = subprocess.Popen([str(w) for w in command], stderr=log)
    try:
        def both_ends():
            steps.do("call", 1)
            said = parse_spans(out.read_text()) if out.exists() else []
            return {s.kind for s in said} == {"CLIENT", "SERVER"}

        wait_for(both_ends, "sonde tells of calls at both ends", 60)
        steps.do("call", 20)
        steps.do("refill", 60)
        steps.do("call", 30)
        sonde.terminate()
        assert sonde.wait(60) == 0, (tmp_path / "stderr").read_text()
    finally:
        if sonde.poll() is None:
            sonde.kill()
            sonde.wait()
    spans = sorted(parse_spans(out.read_text()), key=lambda s: s.start_ns)
    assert not any("sonde.incomplete" in s.attributes for s in spans)
    ledger = json.loads((tmp_path / "ledger.json").read_text())
    assert not any(residuals(ledger).values()), ledger
    each = [[s for s in spans if s.kind == kind] for kind in ("CLIENT", "SERVER")]
    return [[s for end in each for s in end[part]] for part in (slice(-91), slice(-91, -30), slice(-30, None))]


@contextlib.contextmanager
def go_server(tmp_path):
    """Go's peer, outside of any scene; ended by its pid."""
    server = GrpcServer(tmp_path, "go")
    with open(tmp_path / "server.log", "w") as log:
        server.process = subprocess.Popen([str(w) for w in server.cmd()], env={**os.environ, **server.env()}, stdout=log, stderr=log)
    try:
        wait_for(lambda: listening(server.port, server.process.pid), "the server listens")
        yield server
    finally:
        server.process.kill()
        server.process.wait()


@contextlib.contextmanager
def stepping(server):
    steps = Steps(server)
    try:
        yield steps
    finally:
        steps.process.kill()
        steps.process.wait()


def test_met_in_mid_life(tmp_path):
    """Protects: of a connection whose methods stand in the tables of header fields since before sonde was there nothing is
    guessed, and that is said; once the tables were refilled everything is right again, at both ends."""
    with go_server(tmp_path) as server, stepping(server) as steps:
        before, meanwhile, after = trace_steps(tmp_path, server, steps)
    # the method was said before sonde was there
    for kind in ("CLIENT", "SERVER"):
        assert len([s for s in before if s.kind == kind]) >= 20
    for span in before:
        assert span.attributes["sonde.headers"] == "partial"
        assert not {"rpc.method", "rpc.response.status_code", "url.path", "url.full"} & set(span.attributes)
    # what comes as a literal is known at once; that there is no such method may still be said by an entry that is not
    lacking = {f"{SERVICE}/{'Lacking' * 8}{i}" for i in range(60)}
    told = set()
    for span in meanwhile:
        said = span.attributes
        told.add(said.get("rpc.method_original", said.get("rpc.method")) or (span.path or "").lstrip("/"))
        assert ("rpc.method_original" in said) == (said.get("rpc.response.status_code") == "UNIMPLEMENTED")
    assert told - {"", f"{SERVICE}/Unary"} == lacking
    for span in before + meanwhile:
        assert span.attributes["sonde.joined"] and span.status_code in (None, 200)
        assert span.attributes.get("http.request.method") in (None, "POST")
    check_after(after)


def check_after(after):
    """The last 30 calls are whole at both ends."""
    clients = [s for s in after if s.kind == "CLIENT"]
    servers = {s.parent_id: s for s in after if s.kind == "SERVER"}
    assert len(clients) == len(servers) == 30
    for span in clients:
        assert servers[span.span_id].attributes["sonde.link.method"] == "edge"
        for end in (span, servers[span.span_id]):
            check_call(end, ("Unary", "OK", 1, 1))


def last(spans, n):
    return [s for kind in ("CLIENT", "SERVER") for s in sorted((s for s in spans if s.kind == kind), key=lambda s: s.start_ns)[-n:]]


def test_lost_records(tmp_path):
    """Protects: records that were lost in the middle of a connection cost what was in them, and nothing that follows is wrong:
    what refers to them is left out, and once it was said anew all is right again. A replay says the same."""
    file = tmp_path / "run.sonde"
    with go_server(tmp_path) as server, stepping(server) as steps:
        sonde = subprocess.Popen([str(w) for w in (SONDE, "record", "-o", file, "-p", f"{server.process.pid},{steps.process.pid}",
                                                   "--ledger", tmp_path / "ledger.json")], stderr=subprocess.DEVNULL)
        try:
            wait_for(lambda: steps.do("call", 20) or (file.exists() and file.stat().st_size), "sonde records", 60)
            reader = bpf.roles(sonde.pid)["trace"]
            steps.do("refill", 60)
            steps.do("call", 30)
            # nobody reads the ring: what it does not hold is lost
            os.kill(reader, signal.SIGSTOP)
            steps.do("call", 1500)
            os.kill(reader, signal.SIGCONT)
            steps.do("call", 100)
            steps.do("refill", 60)
            steps.do("call", 30)
            sonde.terminate()
            assert sonde.wait(60) == 0
        finally:
            if sonde.poll() is None:
                sonde.kill()
                sonde.wait()
    ledger = json.loads((tmp_path / "ledger.json").read_text())
    assert sum(ledger["records"]["lost"].values()) > 0
    assert not any(residuals(ledger).values()), ledger
    said = []
    for n in range(2):
        subprocess.run([SONDE, "replay", file, "-o", tmp_path / f"{n}.jsonl"], check=True, capture_output=True, timeout=60)
        said.append((tmp_path / f"{n}.jsonl").read_text())
    assert said[0] == said[1]
    spans = parse_spans(said[0])
    names = {f"{SERVICE}/{'Lacking' * 8}{i}" for i in range(60)} | {f"{SERVICE}/Unary"}
    for span in spans:
        method = span.attributes.get("rpc.method_original", span.attributes.get("rpc.method"))
        assert method in names or (method is None and span.attributes["sonde.headers"] == "partial")
        if method == f"{SERVICE}/Unary" and "rpc.response.status_code" in span.attributes:
            assert span.attributes["rpc.response.status_code"] == "OK"
    # known, then not, then again
    partial = [s.attributes.get("sonde.headers") for s in sorted(spans, key=lambda s: s.start_ns)]
    known = partial.index(None)
    assert "partial" in partial[known:] and partial[known:].count(None) >= 2 * (30 + 30)
    check_after(last(spans, 30))
