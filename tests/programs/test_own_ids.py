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


@pytest.mark.parametrize("header", [None, f"traceparent: 00-{TRACE}-{PARENT}-01"], ids=["no-header", "header"])
def test_real_sdk(tmp_path, header):
    """Protects: an application under the real SDK, exporting: its own spans and sonde's are one
    tree, no span refers to one that nobody emitted, what both saw is counted as duplicate."""
    count = 6
    with Collector(tmp_path) as collector:
        backend = servers.PythonThreads(tmp_path)
        middle = servers.FlaskSdk(tmp_path, backend, collector.http)
        curls = [curl(middle, f"/a/{n}", *([header] if header else [])) for n in range(count)]
        run = trace_scene(tmp_path, [backend, middle], curls).check()
        own = wait_for(lambda: len(collector.spans()) >= 2 * count and collector.spans(), "the SDK's spans arrive")
    assert len(own) == 2 * count
    # curl's and the backend's; the application's own calls are its SDK's to tell.
    assert not [s for s in run.spans if s.pid in middle.pids]
    assert len(run.kind("CLIENT")) == count and len(run.kind("SERVER", backend.pids)) == count
    assert run.ledger["exchanges"]["filtered"]["duplicate"] == 2 * count
    assert run.ledger["exchanges"]["filtered"]["telemetry"] >= 1
    everything = run.spans + own
    known = {s.span_id for s in everything} | ({PARENT} if header else set())
    assert not [s for s in everything if s.parent_id and s.parent_id not in known]
    trees = collections.Counter(s.trace_id for s in everything)
    if header:
        assert set(trees) == {TRACE}
    else:
        # One tree a request: client, the SDK's two, the backend's. The SDK made its server span a root, as
        # nobody told it of curl's: the two stand side by side.
        assert sorted(trees.values()) == [4] * count
        assert len(roots(everything)) == 2 * count
