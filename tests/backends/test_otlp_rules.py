# SPDX-License-Identifier: Apache-2.0
"""What ship does with each answer of an OTLP backend, and what its account says of it."""
import email.utils
import gzip
import os
import socket
import subprocess
import time

import grpc
import pytest
from google.protobuf import any_pb2, duration_pb2
from google.rpc import error_details_pb2, status_pb2

import sink_frames as frames
from sink_server import CLOSE, HANG, METHOD, GrpcSink, HttpSink, RawSink, free_port, response, server_context
from sink_ship import Ship, wait_for

pytestmark = pytest.mark.filterwarnings("error::pytest.PytestUnhandledThreadExceptionWarning")


def make(count, **options):
    return [frames.http_span(f"/{i}", **options) for i in range(count)]


def run(sink, spans, *arguments, env=None, url=None):
    """Sends the spans and lets ship drain; its account must balance."""
    with Ship("--otlp", url or sink.url, *arguments, env=env) as ship:
        ship.prepare()
        ship.spans(spans)
    assert ship.process.returncode == 0, ship.err
    assert ship.residual() == 0
    assert ship.account()["spans"] == len(spans)
    assert ship.account()["queued"] == 0
    assert all(r.spans for r in sink.requests), "an empty request was sent"
    return ship


def once(result):
    """That answer to the first request, success from then on."""
    return lambda n, request: result if n == 0 else None


SINKS = [pytest.param(HttpSink, {}, id="http/protobuf"),
         pytest.param(HttpSink, {"OTEL_EXPORTER_OTLP_PROTOCOL": "http/json"}, id="http/json"),
         pytest.param(GrpcSink, {}, id="grpc")]


@pytest.mark.parametrize("compression", ["none", "gzip"])
@pytest.mark.parametrize("kind,env", SINKS)
def test_delivery(kind, env, compression):
    """Protects: each span arrives once, unchanged, under its resource and scope; right headers."""
    spans = make(100)
    with kind() as sink:
        with Ship("--json", "--otlp", sink.url, env={**env, "OTEL_EXPORTER_OTLP_COMPRESSION": compression,
                                           "OTEL_EXPORTER_OTLP_HEADERS": "x-key=a%20b,api-key=secret"}) as ship:
            ship.send(frames.resource(1, "one") + frames.resource(2, "two") + frames.scope())
            ship.spans(spans[:50], number=1)
            ship.spans(spans[50:], number=2)
        request = sink.requests[0]
        assert sorted(s.SerializeToString() for s in sink.taken) == sorted(s.SerializeToString() for s in spans)
    services = {r.resource.attributes[0].value.string_value: sum(len(c.spans) for c in r.scope_spans)
                for q in sink.requests for r in q.message.resource_spans}
    assert services == {"one": 50, "two": 50}
    for r in request.message.resource_spans:
        assert r.schema_url.startswith("https://opentelemetry.io/schemas/")
        assert r.scope_spans[0].scope.name == "sonde"
    assert request.path == (METHOD if kind is GrpcSink else "/v1/traces")
    assert request.headers["x-key"] == "a b"
    assert request.headers["user-agent"].startswith("sonde/")
    assert ship.account()["acked"] == 100
    assert ship.residual() == 0


@pytest.mark.parametrize("kind,env", SINKS)
def test_unsampled_spans_are_counted_and_not_sent(kind, env):
    with kind() as sink:
        with Ship("--otlp", sink.url, env=env) as ship:
            ship.prepare()
            ship.spans(make(3))
            ship.spans(make(4), sampled=False)
        assert len(sink.taken) == 3
    account = ship.account()
    assert (account["spans"], account["unsampled"], account["acked"]) == (7, 4, 3)
    assert ship.residual() == 0


def test_batches_wait_for_the_delay_and_no_longer():
    """Protects: spans go out 0.8 s after the first (so that they have left within a second of their end), together, without the end of the stream."""
    with HttpSink() as sink, Ship("--otlp", sink.url) as ship:
        ship.prepare()
        begin = time.monotonic()
        for i in range(5):
            ship.spans(make(1))
        wait_for(lambda: sink.taken, "the first batch")
        assert 0.7 < sink.requests[0].at - begin < 2.5
        assert len(sink.requests[0].spans) == 5
        wait_for(lambda: ship.account()["acked"] == 5, "the account says so")
        assert ship.residual() == 0


def test_bsp_variables():
    env = {"OTEL_BSP_SCHEDULE_DELAY": "10", "OTEL_BSP_MAX_EXPORT_BATCH_SIZE": "7"}
    with HttpSink() as sink:
        run(sink, make(30), env=env)
        assert max(len(r.spans) for r in sink.requests) == 7


@pytest.mark.parametrize("status", [429, 502, 503, 504])
def test_http_retries(status):
    with HttpSink(once((status, {}, b""))) as sink:
        ship = run(sink, make(5))
        assert len(sink.requests) == 2
        assert sink.requests[0].spans == sink.requests[1].spans
    assert ship.account()["acked"] == 5


@pytest.mark.parametrize("status", [400, 401, 403, 404, 405, 408, 409, 411, 415, 422, 500, 501, 505, 307, 302])
def test_http_refuses(status):
    with HttpSink(once((status, {"Location": "/other"}, b""))) as sink:
        ship = run(sink, make(5))
        assert len(sink.requests) == 1
    assert ship.account()["rejected_status"] == 5
    assert f"status {status}" in ship.err


def test_refusal_in_words():
    text = status_pb2.Status(message="no such \x1b[31mtenant").SerializeToString()
    with HttpSink(once((400, {}, text))) as sink:
        ship = run(sink, make(1))
    assert "no such ?[31mtenant" in ship.err


@pytest.mark.parametrize("status", [429, 503])
@pytest.mark.parametrize("form", ["seconds", "date", "rfc850", "asctime"])
def test_retry_after(status, form):
    """Protects: nothing is sent before the time that the backend asked for."""
    at = time.time() + 3
    text = {"seconds": "2", "date": email.utils.formatdate(at, usegmt=True),
            "rfc850": time.strftime("%A, %d-%b-%y %H:%M:%S GMT", time.gmtime(at)),
            "asctime": time.strftime("%a %b %e %H:%M:%S %Y", time.gmtime(at))}[form]
    with HttpSink(once((status, {"Retry-After": text}, b""))) as sink:
        ship = run(sink, make(2))
        first, second = sink.requests
        assert 1.7 < second.at - first.at < 3.6
    assert ship.account()["acked"] == 2


def test_retry_after_holds_for_later_batches():
    """Protects: while the backend wants peace, new spans do not break it."""
    with HttpSink(once((503, {"Retry-After": "3"}, b""))) as sink:
        with Ship("--otlp", sink.url, env={"OTEL_BSP_SCHEDULE_DELAY": "50"}) as ship:
            ship.prepare()
            ship.spans(make(1))
            wait_for(lambda: sink.requests, "the first request")
            for _ in range(10):
                ship.spans(make(1))
                time.sleep(0.1)
            wait_for(lambda: ship.account()["acked"] == 11, "all of them")
        assert sink.requests[1].at - sink.requests[0].at >= 2.9


CODES = {code.value[0]: code for code in grpc.StatusCode}
RETRYABLE = [1, 4, 10, 11, 14, 15]


@pytest.mark.parametrize("code", RETRYABLE)
def test_grpc_retries(code):
    with GrpcSink(once((CODES[code], "try again", ()))) as sink:
        ship = run(sink, make(5))
        assert len(sink.requests) == 2
    assert ship.account()["acked"] == 5


@pytest.mark.parametrize("code", sorted(set(CODES) - set(RETRYABLE) - {0}))
def test_grpc_refuses(code):
    with GrpcSink(once((CODES[code], "never again", ()))) as sink:
        ship = run(sink, make(5))
        assert len(sink.requests) == 1
    assert ship.account()["rejected_status"] == 5
    assert "never again" in ship.err


def retry_info(seconds):
    info = any_pb2.Any()
    info.Pack(error_details_pb2.RetryInfo(retry_delay=duration_pb2.Duration(seconds=seconds)))
    return (("grpc-status-details-bin", status_pb2.Status(code=8, details=[info]).SerializeToString()),)


@pytest.mark.parametrize("code", [8, 14])
def test_grpc_retry_info(code):
    with GrpcSink(once((CODES[code], "slow down", retry_info(2)))) as sink:
        ship = run(sink, make(5))
        assert 1.9 < sink.requests[1].at - sink.requests[0].at < 3.5
    assert ship.account()["acked"] == 5


@pytest.mark.parametrize("kind,env", SINKS)
def test_partial_success(kind, env):
    """Protects: what was refused is counted, and nothing is sent again."""
    answer = response(3, "three were too old")
    with kind(once((200, {}, answer) if kind is HttpSink else answer)) as sink:
        ship = run(sink, make(10), env=env)
        assert len(sink.requests) == 1
    assert (ship.account()["acked"], ship.account()["rejected_partial"]) == (7, 3)
    assert "three were too old" in ship.err


@pytest.mark.parametrize("kind,env", SINKS)
def test_partial_success_that_lies(kind, env):
    answer = response(2**62, "")
    with kind(once((200, {}, answer) if kind is HttpSink else answer)) as sink:
        ship = run(sink, make(10), env=env)
    assert ship.account()["rejected_partial"] == 10


def test_413_splits_once():
    with HttpSink(lambda n, request: (413, {}, b"") if len(request.spans) > 50 else None) as sink:
        ship = run(sink, make(100))
        assert [len(r.spans) for r in sink.requests] == [100, 50, 50]
    assert ship.account()["acked"] == 100


def test_413_splits_no_further():
    with HttpSink(lambda n, request: (413, {}, b"") if len(request.spans) > 30 else None) as sink:
        ship = run(sink, make(100))
        assert [len(r.spans) for r in sink.requests] == [100, 50, 50]
    assert ship.account()["dropped_too_large"] == 100


def test_413_of_one_span():
    with HttpSink(lambda n, request: (413, {}, b"")) as sink:
        ship = run(sink, make(1))
        assert len(sink.requests) == 1
    assert ship.account()["dropped_too_large"] == 1


def test_413_makes_later_batches_smaller():
    with HttpSink(lambda n, request: (413, {}, b"") if request.size > 15000 else None) as sink:
        with Ship("--otlp", sink.url, env={"OTEL_BSP_SCHEDULE_DELAY": "50"}) as ship:
            ship.prepare()
            ship.spans(make(80))
            wait_for(lambda: ship.account()["acked"] == 80, "the first are through")
            before = len(sink.requests)
            ship.spans(make(80))
        assert all(r.size <= 15000 for r in sink.requests[before:])
    assert ship.account()["acked"] == 160


@pytest.mark.parametrize("kind,env", SINKS)
def test_hanging_backend(kind, env):
    """Protects: an attempt ends with its timeout, its spans are unconfirmed, kept and sent again."""
    with kind(once(HANG)) as sink:
        ship = run(sink, make(5), env={**env, "OTEL_EXPORTER_OTLP_TIMEOUT": "700"})
        assert 0.6 < sink.requests[1].at - sink.requests[0].at < 3
        account = ship.account()
    assert (account["acked"], account["unconfirmed"]) == (5, 5)


def test_backend_that_hangs_for_ever():
    """Protects: ship ends five seconds after its stream, whatever the backend does."""
    with HttpSink(lambda n, request: HANG) as sink:
        with Ship("--otlp", sink.url) as ship:
            ship.prepare()
            ship.spans(make(5))
            begin = time.monotonic()
            ship.finish()
            assert 4.5 < time.monotonic() - begin < 6.5
    account = ship.account()
    assert (account["dropped_shutdown"], account["unconfirmed"]) == (5, 5)
    assert ship.residual() == 0


def test_answer_cut_off():
    with HttpSink(once(CLOSE)) as sink:
        ship = run(sink, make(5))
        assert len(sink.requests) == 2
    assert (ship.account()["acked"], ship.account()["unconfirmed"]) == (5, 5)


def test_endless_answer():
    """Protects: no more than 4 MiB of an answer are read; its status counts."""
    with HttpSink(once((200, {}, b"\0" * (64 << 20)))) as sink:
        ship = run(sink, make(5))
        assert len(sink.requests) == 1
    assert ship.account()["acked"] == 5


def test_broken_answers():
    """Protects: success with a body that is no answer is success."""
    for body in (b"\xff" * 100, b"<html>", b"\x0a\x05\x08", b"{", b"[]"):
        for env in ({}, {"OTEL_EXPORTER_OTLP_PROTOCOL": "http/json"}):
            with HttpSink(once((200, {}, body))) as sink:
                assert run(sink, make(1), env=env).account()["acked"] == 1


OK = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"


def first(reply):
    return lambda n: reply if n == 0 else OK


def reply(status, body, *headers, version="1.1", length=True):
    lines = [f"HTTP/{version} {status} X", "Content-Type: application/x-protobuf", *headers]
    if length:
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join([*lines, "", ""]).encode() + body


def chunked(status, body, *headers):
    return reply(status, b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body), "Transfer-Encoding: chunked", *headers, length=False)


def words(text):
    """google.rpc.Status, as an error's body is."""
    return status_pb2.Status(code=3, message=text).SerializeToString()


LONG = words("no room " * 12500)
PARTIAL = response(2, "two were too old").SerializeToString()


@pytest.mark.parametrize(
    "answer, said",
    [
        (reply(400, words("no such tenant"), version="1.0", length=False), "no such tenant"),
        (chunked(400, words("no such tenant")), "no such tenant"),
        (reply(400, gzip.compress(words("no such tenant")), "Content-Encoding: gzip"), "no such tenant"),
        (chunked(400, gzip.compress(words("no such tenant")), "Content-Encoding: gzip"), "no such tenant"),
        (reply(400, b"not gzip at all", "Content-Encoding: gzip"), "HTTP status 400"),
        (reply(400, gzip.compress(b"\0" * (64 << 20)), "Content-Encoding: gzip"), "HTTP status 400"),
        (reply(400, LONG), "no room no room"),
        (chunked(400, LONG), "no room no room"),
        (reply(400, words("a\nforged line\x1b[2J")), "HTTP status 400"),
        (reply(400, b"\xff" * 100_000), "HTTP status 400"),
        (reply(307, b"", "Location: /elsewhere"), "HTTP status 307"),
        (reply(308, b"", "Location: http://192.0.2.1/v1/traces"), "HTTP status 308"),
    ],
    ids=["http-1.0", "chunked", "gzip", "gzip-chunked", "no-gzip", "gzip-bomb", "long", "long-chunked", "control",
         "garbage", "307", "308"],
)
def test_refusals_in_every_form(answer, said):
    """Protects: a refusal counts as that, once, in whatever form it comes; its words are shown, bounded."""
    with RawSink(first(answer)) as sink:
        ship = run(sink, make(3))
        assert len(sink.requests) == 1
    assert (ship.account()["rejected_status"], ship.account()["unconfirmed"]) == (3, 0)
    assert said in ship.err
    assert len(ship.err) < 2000 and "\x1b" not in ship.err and "\nforged" not in ship.err


@pytest.mark.parametrize(
    "answer, rejected",
    [
        (reply(200, b"", version="1.0", length=False), 0),
        (reply(200, PARTIAL, version="1.0", length=False), 2),
        (chunked(200, PARTIAL), 2),
        (reply(200, gzip.compress(PARTIAL), "Content-Encoding: gzip"), 2),
        (reply(200, b"not gzip at all", "Content-Encoding: gzip"), 0),
        (b"HTTP/1.1 100 Continue\r\n\r\n" + reply(202, b""), 0),
        (b"HTTP/1.1 204 No Content\r\n\r\n", 0),
    ],
    ids=["http-1.0", "partial-1.0", "partial-chunked", "partial-gzip", "no-gzip", "after-100", "204"],
)
def test_success_in_every_form(answer, rejected):
    """Protects: success is success, once, in whatever form it comes; what it refused is counted."""
    with RawSink(first(answer)) as sink:
        account = run(sink, make(3)).account()
        assert len(sink.requests) == 1
    assert (account["acked"], account["rejected_partial"], account["unconfirmed"]) == (3 - rejected, rejected, 0)


@pytest.mark.parametrize(
    "answer",
    [
        b"", b"HTTP/1.1 200", b"\x00\xff garbage\r\n\r\n", b"220 mail.example ESMTP\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\ncut", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"HTTP/1.1 200 OK\r\n" + b"".join(b"X-%d: %s\r\n" % (i, b"x" * 1000) for i in range(2000)) + b"\r\n",
    ],
    ids=["reset", "half-status", "garbage", "other-protocol", "cut-body", "bad-chunk", "endless-head"],
)
def test_no_answer(answer):
    """Protects: what is no answer leaves the spans unconfirmed, and they are sent again."""
    with RawSink(first(answer)) as sink:
        account = run(sink, make(3)).account()
        assert len(sink.requests) == 2
    assert (account["acked"], account["unconfirmed"]) == (3, 3)


@pytest.mark.parametrize("status", [429, 502, 503, 504])
def test_retry_after_with_a_body_in_pieces(status):
    """Protects: the wait that an error asks for holds, whatever else is in it."""
    when = email.utils.formatdate(time.time() + 3, usegmt=True)
    with RawSink(first(chunked(status, gzip.compress(LONG), "Content-Encoding: gzip", f"Retry-After: {when}"))) as sink:
        account = run(sink, make(3)).account()
        assert 1.5 < sink.requests[1].at - sink.requests[0].at < 5
    assert (account["acked"], account["unconfirmed"]) == (3, 0)


@pytest.mark.parametrize("variable", ["http_proxy", "all_proxy", "ALL_PROXY"])
def test_proxy(variable):
    """Protects: proxies are found as curl finds them, and get the whole URL."""
    with RawSink(lambda n: OK) as proxy:
        env = {variable: f"http://127.0.0.1:{proxy.port}", "no_proxy": "other.test"}
        account = run(proxy, make(2), url="http://collector.test:4318", env=env).account()
        assert [r.path for r in proxy.requests] == ["http://collector.test:4318/v1/traces"]
    assert account["acked"] == 2


@pytest.mark.parametrize(
    "url, env",
    [
        ("http://collector.test:4318", {"no_proxy": "collector.test"}),
        ("http://collector.test:4318", {"NO_PROXY": "collector.test"}),
        ("http://collector.test:4318", {"no_proxy": ".test"}),
        ("http://collector.test:4318", {"no_proxy": "*"}),
        ("http://collector.test:4318", {"http_proxy": "", "HTTP_PROXY": "PROXY"}),  # CGI: lower case only
        ("http://127.0.0.1:1", {}),
        ("https://collector.test:4318", {}),  # http_proxy is for http
    ],
    ids=["no_proxy", "NO_PROXY", "domain", "star", "upper-case", "loopback", "https"],
)
def test_no_proxy(url, env):
    """Protects: what is not for the proxy does not go to it."""
    with RawSink(lambda n: OK) as proxy:
        address = f"http://127.0.0.1:{proxy.port}"
        env = {"http_proxy": address, **{k: v.replace("PROXY", address) for k, v in env.items()}}
        with Ship("--otlp", url, env=env) as ship:
            ship.prepare()
            ship.spans(make(2))
            said = ship.process.stderr.readline().decode()
            account = ship.account()
            ship.process.kill()
        assert not proxy.requests
    assert account["queued"] == 2 and "not delivered" in said


def test_https_proxy():
    """Protects: TLS goes through a proxy by CONNECT; HTTPS_PROXY counts in upper case, too."""
    heads = []
    with socket.create_server(("127.0.0.1", 0)) as proxy:
        port = proxy.getsockname()[1]
        with Ship("--otlp", "https://collector.test:4318", env={"HTTPS_PROXY": f"http://127.0.0.1:{port}"}) as ship:
            ship.prepare()
            ship.spans(make(2))
            proxy.settimeout(20)
            connection, _ = proxy.accept()
            with connection, connection.makefile("rb") as file:
                heads.append(file.readline())
            ship.process.kill()
    assert heads == [b"CONNECT collector.test:4318 HTTP/1.1\r\n"]


def test_backends_dead_for_thirty_seconds():
    """Protects: nothing that fits into the queue is lost while a backend is away."""
    ports = {HttpSink: free_port(), GrpcSink: free_port()}
    sent = []
    with Ship("--otlp", f"http://localhost:{ports[HttpSink]}",
              "--otlp", f"grpc://localhost:{ports[GrpcSink]}") as ship:
        ship.prepare()
        begin = time.monotonic()
        while time.monotonic() - begin < 30:
            spans = make(20)
            sent += [s.span_id for s in spans]
            ship.spans(spans)
            time.sleep(0.25)
            assert ship.residual("otlp") == ship.residual("otlp-2") == 0
        with HttpSink(port=ports[HttpSink]) as one, GrpcSink(port=ports[GrpcSink]) as two:
            wait_for(lambda: len(one.taken) == len(two.taken) == len(sent), "everything is there")
            ship.finish()
            assert sorted(one.span_ids()) == sorted(two.span_ids()) == sorted(sent)
    for name in ("otlp", "otlp-2"):
        account = ship.account(name)
        assert account["acked"] == account["spans"] == len(sent)
        assert account["unconfirmed"] == 0
    assert ship.err.count("works again") == 2


def test_backend_restarts_under_load():
    """Protects: a backend that goes away in the middle loses nothing that it had not taken."""
    port = free_port()
    env = {"OTEL_BSP_SCHEDULE_DELAY": "20"}
    taken, sent = [], []
    with Ship("--otlp", f"http://localhost:{port}", env=env) as ship:
        ship.prepare()
        for _ in range(4):
            with HttpSink(port=port) as sink:
                for _ in range(20):
                    spans = make(10)
                    sent += [s.span_id for s in spans]
                    ship.spans(spans)
                    time.sleep(0.01)
                wait_for(lambda: sink.taken, "something arrives")
            taken += sink.span_ids()
        with HttpSink(port=port) as sink:
            ship.finish()
            taken += sink.span_ids()
    assert set(taken) == set(sent)
    assert ship.account()["acked"] == len(sent)
    assert ship.residual() == 0


def test_full_queue():
    """Protects: the queue is bounded in bytes, what does not fit is dropped and counted at once."""
    with Ship("--otlp", f"http://localhost:{free_port()}", "--queue-bytes", 100_000) as ship:
        ship.prepare()
        ship.spans(make(1000))
        wait_for(lambda: ship.account()["spans"] == 1000, "all are seen")
        account = ship.account()
        assert 100 < account["queued"] < 400
        assert account["queued"] + account["dropped_queue_full"] == 1000
        assert ship.residual() == 0
        ship.terminate()
    assert ship.account()["dropped_shutdown"] == account["queued"]
    assert ship.residual() == 0


def test_given_up():
    """Protects: a batch is given up after OTEL_BSP_EXPORT_TIMEOUT and counted under its reason."""
    env = {"OTEL_BSP_EXPORT_TIMEOUT": "1500", "OTEL_BSP_SCHEDULE_DELAY": "1"}
    with HttpSink(lambda n, request: (503, {}, b"")) as sink, Ship("--otlp", sink.url, env=env) as ship:
        ship.prepare()
        ship.spans(make(3))
        wait_for(lambda: ship.account()["dropped_retries"] == 3, "it is given up")
        assert len(sink.requests) >= 2
    assert ship.residual() == 0


def test_sigterm_flushes():
    with HttpSink() as sink, Ship("--otlp", sink.url) as ship:
        ship.prepare()
        ship.spans(make(5))
        wait_for(lambda: ship.account().get("queued") == 5, "they wait")
        begin = time.monotonic()
        ship.terminate()
        assert time.monotonic() - begin < 2
        assert len(sink.taken) == 5
    assert ship.account()["acked"] == 5


def openssl(*arguments, cwd):
    subprocess.run(["openssl", *map(str, arguments)], cwd=cwd, check=True, capture_output=True)


@pytest.fixture(scope="module")
def certificates(tmp_path_factory):
    """A CA; certificates for localhost: good, expired, of another name; one for a client."""
    path = tmp_path_factory.mktemp("certificates")
    (path / "ca.cnf").write_text(
        "[ca]\ndefault_ca=d\n[d]\ndatabase=index.txt\nserial=serial\nnew_certs_dir=.\ndefault_md=sha256\n"
        "policy=p\ncopy_extensions=copy\nunique_subject=no\n[p]\ncommonName=supplied\n")
    (path / "index.txt").write_text("")
    (path / "serial").write_text("01")
    openssl("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=test CA", "-days", 2,
            "-keyout", "ca.key", "-out", "ca.pem", cwd=path)
    for name, host, start, end in (("good", "localhost", "20200101000000Z", "20991231000000Z"),
                                   ("expired", "localhost", "20200101000000Z", "20210101000000Z"),
                                   ("other", "elsewhere.test", "20200101000000Z", "20991231000000Z"),
                                   ("client", "agent", "20200101000000Z", "20991231000000Z")):
        openssl("req", "-newkey", "rsa:2048", "-nodes", "-subj", f"/CN={name}", "-addext",
                f"subjectAltName=DNS:{host}", "-keyout", f"{name}.key", "-out", f"{name}.csr", cwd=path)
        openssl("ca", "-batch", "-config", "ca.cnf", "-keyfile", "ca.key", "-cert", "ca.pem", "-in",
                f"{name}.csr", "-out", f"{name}.pem", "-startdate", start, "-enddate", end, cwd=path)
    return path


def tls_sink(kind, certificates, name, client=False):
    if kind is HttpSink:
        return HttpSink(tls=server_context(certificates / f"{name}.pem", certificates / f"{name}.key",
                                           certificates / "ca.pem" if client else None))
    read = lambda n: (certificates / n).read_bytes()  # noqa: E731
    return GrpcSink(tls=grpc.ssl_server_credentials(
        [(read(f"{name}.key"), read(f"{name}.pem"))], read("ca.pem") if client else None, client))


@pytest.mark.parametrize("client", [False, True])
@pytest.mark.parametrize("kind", [HttpSink, GrpcSink])
def test_tls(kind, client, certificates):
    env = {"OTEL_EXPORTER_OTLP_CERTIFICATE": str(certificates / "ca.pem")}
    if client:
        env["OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE"] = str(certificates / "client.pem")
        env["OTEL_EXPORTER_OTLP_CLIENT_KEY"] = str(certificates / "client.key")
    with tls_sink(kind, certificates, "good", client) as sink:
        assert run(sink, make(5), env=env).account()["acked"] == 5


def test_files_that_only_the_parent_may_read(certificates, tmp_path):
    """Protects: a private key that the role cannot open is used as the parent read it."""
    for name in ("ca.pem", "client.pem", "client.key"):
        (tmp_path / name).write_bytes((certificates / name).read_bytes())
    env = {"OTEL_EXPORTER_OTLP_CERTIFICATE": str(tmp_path / "ca.pem"), "OTEL_BSP_SCHEDULE_DELAY": "2000",
           "OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE": str(tmp_path / "client.pem"),
           "OTEL_EXPORTER_OTLP_CLIENT_KEY": str(tmp_path / "client.key")}
    with tls_sink(HttpSink, certificates, "good", True) as sink, Ship("--json", "--otlp", sink.url, env=env) as ship:
        ship.prepare()
        ship.spans(make(3))
        wait_for(lambda: ship.account().get("queued") == 3, "the role has begun")
        for name in ("ca.pem", "client.pem", "client.key"):
            (tmp_path / name).unlink()
        ship.finish()
        assert ship.account()["acked"] == 3


@pytest.mark.parametrize("why", ["expired", "other", "no client", "unknown CA"])
@pytest.mark.parametrize("kind", [HttpSink, GrpcSink])
def test_tls_refused(kind, why, certificates):
    """Protects: a certificate that is not valid gets no span; the spans are kept, the reason is said."""
    env = {} if why == "unknown CA" else {"OTEL_EXPORTER_OTLP_CERTIFICATE": str(certificates / "ca.pem")}
    with tls_sink(kind, certificates, why if why in ("expired", "other") else "good",
                  why == "no client") as sink:
        with Ship("--otlp", sink.url, env=env) as ship:
            ship.prepare()
            ship.spans(make(5))
            said = ship.process.stderr.readline().decode()
            account = ship.account()
            # Not to wait for the five seconds in which it would go on trying.
            ship.process.kill()
        assert not sink.requests
    assert account["queued"] == account["spans"] == 5
    assert {"expired": "certificate has expired", "other": "localhost",
            "unknown CA": "certificate"}.get(why, "not delivered") in said, said


def test_rotated_certificates(certificates, tmp_path):
    """Protects: a CA that was replaced counts for the next connection, without a restart."""
    ca = tmp_path / "ca.pem"
    openssl("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=stranger", "-days", 2,
            "-keyout", "stranger.key", "-out", ca, cwd=tmp_path)
    with tls_sink(HttpSink, certificates, "good") as sink:
        with Ship("--otlp", sink.url, env={"OTEL_EXPORTER_OTLP_CERTIFICATE": str(ca)}) as ship:
            ship.prepare()
            ship.spans(make(5))
            time.sleep(2)
            assert not sink.taken and ship.account()["queued"] == 5
            new = tmp_path / "new.pem"
            new.write_bytes((certificates / "ca.pem").read_bytes())
            os.rename(new, ca)
            wait_for(lambda: ship.account()["acked"] == 5, "the new CA counts")


@pytest.mark.parametrize("kind", [HttpSink, GrpcSink])
@pytest.mark.parametrize("tls", [False, True])
def test_many_batches(kind, tls, certificates):
    """Protects: batch after batch arrives over connections that are kept (or made anew where they must)."""
    env = {"OTEL_BSP_SCHEDULE_DELAY": "10", "OTEL_EXPORTER_OTLP_CERTIFICATE": str(certificates / "ca.pem")}
    with (tls_sink(kind, certificates, "good") if tls else kind()) as sink:
        with Ship("--otlp", sink.url, env=env) as ship:
            ship.prepare()
            for i in range(1, 31):
                ship.spans(make(1))
                wait_for(lambda n=i: ship.account()["acked"] == n, "one more")
        assert len(sink.requests) == 30
        if kind is HttpSink:
            assert len(sink.connections) == 1
    assert ship.account()["unconfirmed"] == 0


def test_idle_connection_closed_by_the_backend():
    """Protects: a kept connection that the backend has closed costs no span and no failure."""
    env = {"OTEL_BSP_SCHEDULE_DELAY": "10"}
    with HttpSink() as sink, Ship("--otlp", sink.url, env=env) as ship:
        ship.prepare()
        for i in range(1, 6):
            ship.spans(make(1))
            wait_for(lambda n=i: ship.account()["acked"] == n, "one more")
            sink.connections[-1].shutdown(2)
        ship.finish()
        assert len(sink.connections) == 5
        assert ship.account()["unconfirmed"] == 0
        assert "not delivered" not in ship.err


def test_two_destinations():
    """Protects: one queue each: a dead backend takes nothing from the other one."""
    with HttpSink() as sink:
        with Ship("--otlp", sink.url, "--otlp", f"grpc://localhost:{free_port()}") as ship:
            ship.prepare()
            ship.spans(make(5))
            wait_for(lambda: ship.account("otlp")["acked"] == 5, "the living one has them")
            ship.terminate()
    assert ship.account("otlp-2")["dropped_shutdown"] == 5
    assert ship.residual("otlp") == ship.residual("otlp-2") == 0
