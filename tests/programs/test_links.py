# SPDX-License-Identifier: Apache-2.0
"""Spans are joined as the requests were: right parents, right kinds, never a wrong one."""

import re

import servers
from harness import trace_scene
from servers import go_program

COUNT = 20


def chain(span, by_id):
    """A span and its ancestors, nearest first."""
    line = [span]
    while line[-1].parent_id in by_id:
        line.append(by_id[line[-1].parent_id])
    return line


def test_three_services(tmp_path):
    """Protects: one curl through nginx, Node and Python is one trace with the right parents and kinds."""
    stock = servers.Stock(tmp_path)
    shop = servers.Shop(tmp_path, stock)
    front = servers.proxy(tmp_path, shop)
    curls = [["curl", "-sS", "-o", "/dev/null", front.url(f"/buy?item={n}")] for n in range(COUNT)]
    run = trace_scene(tmp_path, [stock, shop, front], curls).check()
    by_id = {s.span_id: s for s in run.spans}
    last = run.kind("SERVER", stock.pids)
    assert len(last) == COUNT
    shape = [("SERVER", stock.pids), ("CLIENT", shop.pids), ("SERVER", shop.pids), ("CLIENT", front.pids),
             ("SERVER", front.pids), ("CLIENT", {c["pid"] for c in run.results})]
    for span in last:
        line = chain(span, by_id)
        assert [s.kind for s in line] == [kind for kind, _ in shape]
        assert all(s.pid in pids for s, (_, pids) in zip(line, shape))
        assert len({s.trace_id for s in line}) == 1
        assert line[-1].parent_id == ""
        # A caller's span encloses its callee's.
        for below, above in zip(line, line[1:]):
            assert above.start_ns <= below.start_ns and below.end_ns <= above.end_ns + 1_000_000
    assert len({s.trace_id for s in run.spans}) == COUNT
    assert len(run.spans) == 6 * COUNT


def number_of(span):
    return re.search(r"(\d+)$", span.path).group(1)


def test_thousand_at_32(tmp_path):
    """Protects: 1,000 requests, 32 at once, through nginx's kept connections and a threaded Python
    server: 0 wrong parents. Where there is doubt there is no link, and it is said."""
    backend = servers.Nginx(tmp_path)
    middle = servers.Middle(tmp_path, backend)
    front = servers.proxy(tmp_path, middle)
    client = [go_program("client.go"), front.port, 1000, 32, "/r/"]
    run = trace_scene(tmp_path, [backend, middle, front], [client], ["--ring-size", "4m"]).check()
    assert backend.logged() == front.logged() == 1000
    by_id = {s.span_id: s for s in run.spans}
    assert len(run.spans) == 6000
    wrong = [(s, by_id[s.parent_id]) for s in run.spans
             if s.parent_id in by_id and number_of(s) != number_of(by_id[s.parent_id])]
    assert not wrong, wrong[:2]
    assert not [s for s in run.spans if s.parent_id and s.parent_id not in by_id]
    # Both ends of a connection are seen: those links are never in doubt.
    for span in run.kind("SERVER"):
        assert by_id[span.parent_id].kind == "CLIENT"
    # A Python thread holds one request at a time.
    inner = run.kind("CLIENT", middle.pids)
    assert sum(1 for s in inner if s.parent_id in by_id) >= 990
    # nginx holds many: what it cannot tell apart is said to be ambiguous, not guessed.
    for span in run.kind("CLIENT", front.pids):
        assert span.parent_id in by_id or span.attributes.get("sonde.link.ambiguous") is not None


def test_go_thread_is_no_request(tmp_path):
    """Protects: in a Go program a thread is not a request, so no link is made by thread there."""
    backend = servers.Nginx(tmp_path)
    middle = servers.GoMiddle(tmp_path, backend)
    client = [go_program("client.go"), middle.port, 300, 16, "/r/"]
    run = trace_scene(tmp_path, [backend, middle], [client], ["--ring-size", "4m"]).check()
    by_id = {s.span_id: s for s in run.spans}
    assert not [s for s in run.spans
                if s.parent_id in by_id and number_of(s) != number_of(by_id[s.parent_id])]
    for span in run.kind("CLIENT", middle.pids):
        assert span.attributes.get("sonde.link.method") != "thread"
