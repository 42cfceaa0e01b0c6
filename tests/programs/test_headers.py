# SPDX-License-Identifier: Apache-2.0
"""traceparent is found wherever it stands and however it arrives, and taken only by the W3C rules."""

import json

import pytest

from harness import PYTHON, sonde_trace
from servers import HERE

PIECES = HERE.parent / "clients/pieces.py"
PARENT = "b7ad6b7169203331"


def trace_id(number):
    return f"0af7651916cd43dd8448eb211c{number:06x}"


def traceparent(number, flags="01", version="00"):
    return f"{version}-{trace_id(number)}-{PARENT}-{flags}"


def request(path, headers):
    lines = [f"GET {path} HTTP/1.1", "Host: test"] + headers
    return "\r\n".join(lines) + "\r\n\r\n"


def trace_pieces(tmp_path, plan):
    (tmp_path / "plan-pieces.json").write_text(json.dumps(plan))
    # Room for what a busy machine is slow to read: these tests are about heads, not about losses.
    ring = ["--ring-size", "4m"]
    return sonde_trace([PYTHON, PIECES, tmp_path / "plan-pieces.json"], tmp_path, ring).check()


def pairs(run):
    """{path: (client span, server span)}"""
    found = {}
    for span in run.spans:
        found.setdefault(span.path, {})[span.kind] = span
    return {path: (both.get("CLIENT"), both.get("SERVER")) for path, both in found.items()}


def assert_joined(pair, number):
    """The header's trace, its parent above the client's span, the server's span below that."""
    client, server = pair
    assert client and server
    assert client.trace_id == server.trace_id == trace_id(number)
    assert client.parent_id == PARENT
    assert server.parent_id == client.span_id


def padded(path, name, value, offset):
    """A head in which the header line begins at this offset (0: as the first one)."""
    head = f"GET {path} HTTP/1.1\r\n"
    number = 0
    while len(head) < offset:
        room = min(offset - len(head), 1000)
        line = f"X-Pad-{number}: "
        if room < len(line) + 3:
            # Too little room for a line of its own: the one before grows.
            head = head[:-2] + "p" * room + "\r\n"
        else:
            head += line + "p" * (room - len(line) - 2) + "\r\n"
        number += 1
    assert offset == 0 or len(head) == offset
    return head + f"{name}: {value}\r\nHost: test\r\n\r\n"


def test_offsets_and_cases(tmp_path):
    """Protects: found at any offset up to 16 KiB, in any letter case."""
    offsets = [0, 1500, 4000, 7900, 15000]
    names = ["traceparent", "Traceparent", "TRACEPARENT", "tRaCePaReNt", "TraceParent"]
    plan, wanted = [], {}
    for offset in offsets:
        for name in names:
            number = len(plan) + 1
            wanted[f"/at/{offset}/{name}"] = number
            plan.append([padded(f"/at/{offset}/{name}", name, traceparent(number), offset)])
    found = pairs(trace_pieces(tmp_path, plan))
    assert set(found) == set(wanted)
    for path, number in wanted.items():
        assert_joined(found[path], number)


def test_split_at_every_byte(tmp_path):
    """Protects: a head cut at any byte, and one that comes byte by byte, is read as the whole one."""
    def head(path, number):
        return request(path, [f"traceparent: {traceparent(number)}", "User-Agent: pieces"])

    length = len(head("/cut/000", 0))
    plan = []
    for cut in range(1, length):
        text = head(f"/cut/{cut:03}", cut)
        plan.append([text[:cut], text[cut:]])
    plan.append(list(head("/cut/all", 999)))
    found = pairs(trace_pieces(tmp_path, plan))
    assert len(found) == len(plan)
    for cut in range(1, length):
        assert_joined(found[f"/cut/{cut:03}"], cut)
    assert_joined(found["/cut/all"], 999)
    assert found["/cut/all"][1].attributes["user_agent.original"] == "pieces"


def test_hundred_pieces(tmp_path):
    """Protects: a head of 100 pieces is one exchange, and costs one record more a piece at the most."""
    text = request("/pieces", ["X-Pad: " + "p" * 4000, f"traceparent: {traceparent(7)}", "X-End: 1"])
    ends = [len(text) * n // 100 for n in range(101)]
    plan = [[text[a:b] for a, b in zip(ends, ends[1:])]]
    run = trace_pieces(tmp_path, plan)
    assert_joined(pairs(run)["/pieces"], 7)
    assert len(run.spans) == 2
    assert run.ledger["records"]["attempted"] <= 2 * 100 + 20


# (name, headers, taken?) by https://www.w3.org/TR/trace-context/#traceparent-header
RULES = [
    ("valid", lambda n: [f"traceparent: {traceparent(n)}"], True),
    ("spaces", lambda n: [f"traceparent:  \t{traceparent(n)} \t"], True),
    ("random-flag", lambda n: [f"traceparent: {traceparent(n, '03')}"], True),
    ("unknown-flags", lambda n: [f"traceparent: {traceparent(n, 'ff')}"], True),
    ("version-01", lambda n: [f"traceparent: {traceparent(n, version='01')}"], True),
    ("version-cc-more", lambda n: [f"traceparent: {traceparent(n, version='cc')}-what-comes"], True),
    ("version-cc-glued", lambda n: [f"traceparent: {traceparent(n, version='cc')}x"], False),
    ("version-ff", lambda n: [f"traceparent: {traceparent(n, version='ff')}"], False),
    ("version-00-more", lambda n: [f"traceparent: {traceparent(n)}-more"], False),
    ("version-upper", lambda n: [f"traceparent: {traceparent(n, version='0A')}"], False),
    ("zero-trace", lambda n: [f"traceparent: 00-{'0' * 32}-{PARENT}-01"], False),
    ("zero-parent", lambda n: [f"traceparent: 00-{trace_id(n)}-{'0' * 16}-01"], False),
    ("upper-case", lambda n: [f"traceparent: 00-{trace_id(n).upper()}-{PARENT}-01"], False),
    ("short", lambda n: [f"traceparent: {traceparent(n)[:-1]}"], False),
    ("not-hex", lambda n: [f"traceparent: 00-{trace_id(n)[:-1]}g-{PARENT}-01"], False),
    ("wrong-dash", lambda n: [f"traceparent: 00-{trace_id(n)}_{PARENT}-01"], False),
    ("empty", lambda n: ["traceparent: "], False),
    ("twice", lambda n: [f"traceparent: {traceparent(n)}", f"traceparent: {traceparent(n + 500)}"], False),
]


def test_w3c_rules(tmp_path):
    """Protects: malformed, doubled, versions 00 with more, ff and future, zero ids."""
    plan = [[request(f"/rule/{name}", make(n + 1))] for n, (name, make, _) in enumerate(RULES)]
    found = pairs(trace_pieces(tmp_path, plan))
    for n, (name, _, taken) in enumerate(RULES):
        client, server = found[f"/rule/{name}"]
        if taken:
            assert_joined((client, server), n + 1)
        else:
            assert client.trace_id not in (trace_id(n + 1), trace_id(n + 501)), name
            assert client.parent_id == "", name
            assert server.parent_id == client.span_id, name
            assert server.trace_id == client.trace_id, name


def test_tracestate(tmp_path):
    """Protects: tracestate headers are combined in order, and not read beside a bad traceparent."""
    plan = [
        [request("/state/two", [f"traceparent: {traceparent(1)}", "tracestate: a=1, b=2", "Tracestate: c=3"])],
        [request("/state/bad", ["traceparent: 00-x", "tracestate: a=1"])],
        [request("/state/alone", ["tracestate: a=1"])],
    ]
    found = pairs(trace_pieces(tmp_path, plan))
    assert found["/state/two"][1].trace_state.replace(" ", "") == "a=1,b=2,c=3"
    assert found["/state/bad"][1].trace_state == ""
    assert found["/state/alone"][1].trace_state == ""


@pytest.mark.parametrize("flags", ["00", "02"])
def test_unsampled_is_obeyed(tmp_path, flags):
    """Protects: a caller's decision not to sample holds; the exchange is counted all the same."""
    plan = [[request("/no", [f"traceparent: {traceparent(1, flags)}"])], [request("/yes", [])]]
    (tmp_path / "plan-pieces.json").write_text(json.dumps(plan))
    run = sonde_trace([PYTHON, PIECES, tmp_path / "plan-pieces.json"], tmp_path)
    assert run.returncode == 0, run.stderr
    assert {s.path for s in run.spans} == {"/yes"}
    assert run.ledger["exchanges"]["spans"] == 4
    assert run.ledger["exchanges"]["residual"] == 0
