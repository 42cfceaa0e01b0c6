# SPDX-License-Identifier: Apache-2.0
"""Programs that bring their own ids: their tree stays whole, nothing is told twice."""

import collections

import pytest

import servers
from backends import Collector
from harness import trace_scene, wait_for

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
PARENT = "00f067aa0ba902b7"


def roots(spans):
    """Spans whose parent is not among them."""
    ids = {s.span_id for s in spans}
    return [s for s in spans if s.parent_id not in ids]


def curl(server, path, *headers):
    words = ["curl", "-sS", "-o", "/dev/null", "--max-time", "20"]
    for header in headers:
        words += ["-H", header]
    return [*words, server.url(path)]


def test_invented_by_curl(tmp_path):
    """Protects: a caller's invented header: one tree, hung below the header's parent."""
    backend = servers.PythonThreads(tmp_path)
    front = servers.proxy(tmp_path, backend)
    header = f"traceparent: 00-{TRACE}-{PARENT}-01"
    run = trace_scene(tmp_path, [backend, front], [curl(front, "/a", header)]).check()
    assert {s.trace_id for s in run.spans} == {TRACE}
    assert len(run.spans) == 4
    (root,) = roots(run.spans)
    assert root.kind == "CLIENT" and root.parent_id == PARENT


def test_forwarded_by_nginx(tmp_path):
    """Protects: a header that a proxy passes on unchanged does not flatten the tree."""
    backend = servers.PythonThreads(tmp_path)
    front = servers.proxy(tmp_path, backend)
    header = f"traceparent: 00-{TRACE}-{PARENT}-01"
    run = trace_scene(tmp_path, [backend, front], [curl(front, "/a", header)]).check()
    by_id = {s.span_id: s for s in run.spans}
    (last,) = run.kind("SERVER", backend.pids)
    line = [last]
    while line[-1].parent_id in by_id:
        line.append(by_id[line[-1].parent_id])
    assert [s.kind for s in line] == ["SERVER", "CLIENT", "SERVER", "CLIENT"]


def test_api_only(tmp_path):
    """Protects: a program that carries the context on by the OpenTelemetry API alone, without an
    SDK, exports nothing: its spans are sonde's, and they are in the tree."""
    backend = servers.PythonThreads(tmp_path)
    middle = servers.Middle(tmp_path, backend, api=True)
    header = f"traceparent: 00-{TRACE}-{PARENT}-01"
    run = trace_scene(tmp_path, [backend, middle], [curl(middle, f"/a/{n}", header) for n in range(5)]).check()
    assert len(run.spans) == 20
    assert {s.trace_id for s in run.spans} == {TRACE}
    by_id = {s.span_id: s for s in run.spans}
    for span in run.kind("CLIENT", middle.pids):
        assert by_id[span.parent_id].pid in middle.pids
        assert by_id[span.parent_id].path == span.path


def check_forest(spans):
    """Every trace is one tree, with one root whose parent is nobody's here; links name spans."""
    known = {(s.trace_id, s.span_id) for s in spans}
    for trace_id in {s.trace_id for s in spans}:
        assert len(roots([s for s in spans if s.trace_id == trace_id])) == 1, trace_id
    for span in spans:
        for trace_id, span_id, _ in span.links:
            assert (trace_id, span_id) in known


def run_sdk(tmp_path, protocol, path, count, per_request, *headers):
    """curl -> Flask under the real SDK -> Python; returns the run, its servers, the SDK's own spans."""
    with Collector(tmp_path) as collector:
        backend = servers.PythonThreads(tmp_path)
        url = collector.grpc if protocol == "grpc" else collector.http
        middle = servers.FlaskSdk(tmp_path, backend, url, protocol)
        curls = [curl(middle, f"{path}/{n}", *headers) for n in range(count)]
        run = trace_scene(tmp_path, [backend, middle], curls).check()
        wanted = per_request * count
        own = wait_for(lambda: len(collector.spans()) >= wanted and collector.spans(), "the SDK's spans arrive")
    assert len(own) == wanted
    return run, backend, middle, own


READABLE = ["http/protobuf", "http/json"]


@pytest.mark.parametrize("protocol", READABLE)
@pytest.mark.parametrize("header", [None, f"traceparent: 00-{TRACE}-{PARENT}-01"], ids=["no-header", "header"])
def test_real_sdk(tmp_path, header, protocol):
    """Protects: an application under the real SDK, exporting: every trace is one tree, no span refers
    to one that nobody emitted, what both saw is counted as duplicate."""
    count = 6
    run, backend, middle, own = run_sdk(tmp_path, protocol, "/a", count, 2, *([header] if header else []))
    # curl's and the backend's; the application's own calls are its SDK's to tell.
    assert not [s for s in run.spans if s.pid in middle.pids]
    assert len(run.kind("CLIENT")) == count and len(run.kind("SERVER", backend.pids)) == count
    assert run.ledger["exchanges"]["filtered"]["duplicate"] == 2 * count
    assert run.ledger["exchanges"]["filtered"]["telemetry"] >= 1
    assert run.ledger["exports"]["unread"] == 0 and run.ledger["links"]["unproven"] == 0
    everything = run.spans + own
    known = {s.span_id for s in everything} | ({PARENT} if header else set())
    assert not [s for s in everything if s.parent_id and s.parent_id not in known]
    trees = collections.Counter(s.trace_id for s in everything)
    if header:
        # All of them children of the header's parent, as all six requests brought the same.
        assert set(trees) == {TRACE}
        assert not [s for s in everything if not s.parent_id or s.links]
        return
    # The SDK's server span is a root, as nobody told it of curl's: a tree with the SDK's two and the
    # backend's; and curl's, in a trace of its own, which says where it goes on.
    check_forest(everything)
    assert sorted(trees.values()) == [1] * count + [3] * count
    begun = {s.span_id: s for s in own if s.kind == "SERVER"}
    for span in run.kind("CLIENT"):
        ((trace_id, span_id, attributes),) = span.links
        assert begun[span_id].trace_id == trace_id and begun[span_id].attributes["http.target"] == span.path
        assert attributes == {"sonde.link.method": "export"}
    assert len({s.links[0][1] for s in run.kind("CLIENT")}) == count


def test_real_sdk_that_calls_nobody(tmp_path):
    """Protects: without a header and without a call that carries one, the SDK's span is known by the
    port of the connection: told once, linked."""
    count = 4
    run, _, middle, own = run_sdk(tmp_path, "http/protobuf", "/leaf", count, 1)
    assert len(run.spans) == count and run.ledger["exchanges"]["filtered"]["duplicate"] == count
    check_forest(run.spans + own)
    targets = {s.span_id: s.attributes["http.target"] for s in own}
    assert {s.path: targets[s.links[0][1]] for s in run.spans} == {s.path: s.path for s in run.spans}


def test_real_sdk_calls_uninstrumented(tmp_path):
    """Protects: a call that the SDK does not know of hangs on the SDK's span of its request."""
    count = 4
    run, backend, middle, own = run_sdk(tmp_path, "http/protobuf", "/plain", count, 1)
    everything = run.spans + own
    check_forest(everything)
    begun = {s.span_id: s for s in own}
    calls = run.kind("CLIENT", middle.pids)
    assert len(calls) == count == len(run.kind("SERVER", backend.pids))
    for call in calls:
        assert begun[call.parent_id].attributes["http.target"] == "/plain" + call.path


def test_real_sdk_unread(tmp_path):
    """Protects: exports that cannot be read: both tell, every trace is one tree all the same, the call
    says of which request it was, and the account says how many may be told twice."""
    count = 4
    run, backend, middle, own = run_sdk(tmp_path, "grpc", "/a", count, 2)
    assert len(run.spans) == 4 * count and run.ledger["links"]["unproven"] == 2 * count
    assert "may be told twice" in run.stderr
    everything = run.spans + own
    check_forest(everything)
    known = {s.span_id for s in everything}
    assert not [s for s in everything if s.parent_id and s.parent_id not in known]
    requests = {s.span_id: s for s in run.kind("SERVER", middle.pids)}
    for call in run.kind("CLIENT", middle.pids):
        ((trace_id, span_id, attributes),) = call.links
        assert requests[span_id].trace_id == trace_id and requests[span_id].path == call.path
        assert attributes["sonde.link.method"].startswith("thread")
