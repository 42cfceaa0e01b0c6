# SPDX-License-Identifier: Apache-2.0
"""HTTP/2 that is meant to hurt, through the hooks of a real kernel: what it costs is bounded, and all of it is counted."""

import pytest

import bpf
from harness import PYTHON, finish, refused, residuals, scene_results, start_trace, wait_for, write_scene
from servers import HERE, Server
from test_http2 import RING, H2Echo, h2load

MEMORY_KIB = 128 * 1024


class Swallow(Server):
    def cmd(self):
        return [PYTHON, HERE / "swallow.py", self.port]


def attacked(tmp_path, what, n, options=RING, whole=True):
    """A hostile client and its server; then a real one asks another on a connection of its own. whole: of that nothing is lost."""
    server, other = Swallow(tmp_path), H2Echo(tmp_path)
    hostile = [PYTHON, HERE.parent / "clients/hostile_http2.py", server.port, what, n]
    scene = write_scene(tmp_path, [server, other], [hostile, h2load(other, 200, 1, 10, ["/echo/1"])])
    sonde = start_trace(scene, tmp_path, options)
    peak = [0]

    def ended():
        peak[0] = max(peak[0], bpf.pss_kib(bpf.roles(sonde.pid).values()))
        return sonde.poll() is not None

    wait_for(ended, "the scene is over", 120)
    run = scene_results(finish(sonde), [server, other]).check(quiet=False, most=500)
    assert peak[0] < MEMORY_KIB
    # whose connection was not attacked has all its spans
    assert "200 succeeded" in run.results[1]["stdout"]
    good = [s for s in run.spans if s.path == "/echo/1"]
    assert (len(good) == 400 or not whole) and {s.status_code for s in good} == {200}
    assert not any("sonde.headers" in s.attributes for s in good)
    return run, [s for s in run.spans if s not in set(good)]


def test_hpack_bomb(tmp_path):
    """Protects: 12 KiB that unpack to 48 MiB are unpacked to a bound, and said to be cut."""
    run, spans = attacked(tmp_path, "hpack_bomb", 50, RING + ["--headers"])
    assert len(spans) == 100 and run.ledger["exchanges"]["dropped"] == {}
    for span in spans:
        assert span.attributes["sonde.head.truncated"] and span.attributes["http.request.method"] == "GET"
        assert len(str(span.attributes)) < 40000


def test_continuation_flood(tmp_path):
    """Protects: of a header block without end 16 KiB are told; 16 MB more are counted."""
    n = 8000
    run, spans = attacked(tmp_path, "continuation_flood", n)
    assert len(spans) == 2
    assert run.ledger["bytes"]["sequence"] > 2 * n * 2000
    # a block's bytes are bounded, its frames' headers are not: nine bytes each
    assert run.ledger["bytes"]["captured"] < 2 * (16384 + n * 20) + 200000


def test_stream_ids(tmp_path):
    """Protects: streams by the highest numbers; beyond those that one connection may have open they are dropped{bound}."""
    run, spans = attacked(tmp_path, "stream_ids", 3000)
    assert len(spans) == 2 * 1024 and {s.error for s in spans} <= {"connection_closed", "process_exit"}
    assert run.ledger["exchanges"]["dropped"] == {"bound": 2 * (3000 - 1024)}
    assert {s.path for s in spans} == {"/"}


@pytest.mark.parametrize("n", [2000, 20000])
def test_rapid_reset(tmp_path, n):
    """Protects: requests that are given up at once are spans that say so; of more than there is room for the rest is a
    counted loss (check() balances it), and none stays open."""
    run, spans = attacked(tmp_path, "rapid_reset", n, whole=n == 2000)
    assert run.ledger["exchanges"]["open"] == 0
    assert {s.error for s in spans} <= {"stream_cancelled"}
    if n == 2000:
        assert len(spans) == 2 * n and not refused(run.ledger)
    else:
        assert len(spans) + refused(run.ledger) >= n // 4


def test_senseless(tmp_path):
    """Protects: frames that nobody would send make no spans, no residual, and no harm to others."""
    run, spans = attacked(tmp_path, "resets", 5000)
    assert not any(residuals(run.ledger).values())
    assert all(s.cut for s in spans)
