# SPDX-License-Identifier: Apache-2.0
"""The calls inside of Go's crypto/tls that stand for an entry and its returns: against what binutils say of the same
functions, of the oldest Go that is hooked up to the newest; and served requests of the oldest, counted."""
import os
import re
import subprocess

import pytest

import tls
from harness import trace_scene
from servers import go_program
from test_inspect_tls import GO_KINDS, functions, go_build, inspect, instructions, with_symbols
from test_inspect_tls import go_program as layout

pytestmark = pytest.mark.skipif(os.uname().machine != "x86_64", reason="the kernel executes other instructions there")
INSIDE = 3
READ, WRITE = "crypto/tls.(*Conn).Read", "crypto/tls.(*Conn).Write"
X86 = [kind for kind in GO_KINDS if kind != "arm64"]
# With and without a push of the frame's pointer at the beginning of functions; the first that is fetched as a module.
OLDER = ["1.18.10", "1.21.13"]


def older_go(version):
    return (("SONDE_GO", version),)


def calls_of(code, name):
    return [at for at, text in sorted(code.items()) if re.match(rf"call +\w+ <{re.escape(name)}>", text)]


def check_inside(path):
    """Of a program with symbols: each function has the calls in the place of all else, and they are the right ones."""
    found = functions(inspect(path))
    for name, called in ((READ, "runtime.memmove"), (WRITE, "crypto/tls.(*Conn).writeRecordLocked")):
        f = found[name]
        code = instructions(path, f["offset"], f["bytes"])
        assert [at for at, *_ in f["cheap"]] == calls_of(code, called), name
        assert {kind for _, kind, *_ in f["cheap"]} == {INSIDE}
        assert INSIDE not in {kind for _, kind in f["points"]}
    (at, _, below, *_), = found[READ]["cheap"]
    code = instructions(path, found[READ]["offset"], found[READ]["bytes"])
    before = [text for place, text in sorted(code.items()) if place < at]
    # the program's buffer, as it was kept at the beginning, beside the connection
    to = next(text for text in reversed(before) if re.match(r"(?!cmp|test).*,%rax$", text))
    assert re.match(rf"mov +{below + 16:#x}\(%rsp\),%rax$", to)
    assert [text for text in before if re.match(rf"mov +%rax,{below + 8:#x}\(%rsp\)$", text)]
    return found


@pytest.mark.parametrize("kind", X86)
def test_inside(kind):
    """Protects: the one breakpoint is at the call that moves plaintext, whichever way a program was built; stripped or
    not is the same."""
    named = check_inside(with_symbols(kind))
    bare = functions(inspect(layout(kind)))
    for name in (READ, WRITE):
        def places(f):
            return [(at - f["offset"], below) for at, _, below, *_ in f["cheap"]]
        assert places(bare[name]) == places(named[name])


@pytest.mark.parametrize("version", OLDER)
def test_inside_of_older(version):
    check_inside(go_build((), older_go(version)))


def test_not_inlined():
    """Protects: where the copy is in another function (built to be debugged), entry and returns are hooked as ever."""
    found = functions(inspect(go_build(("-gcflags=all=-N -l",), ())))
    for name in (READ, WRITE):
        kinds = {kind for _, kind, *_ in found[name]["cheap"]}
        assert kinds == {INSIDE} or kinds == {0, 1}, name
    assert 1 in {kind for _, kind, *_ in found[READ]["cheap"]}


class OlderGo(tls.GoTls):
    version = OLDER[0]


def test_served_by_older(tmp_path):
    """Protects: requests of both ends, where the code around the calls is another compiler's."""
    server, count = OlderGo(tmp_path), 400
    client = go_program("client.go", OLDER[0])
    # the first one lasts until it is hooked
    run = trace_scene(tmp_path, [server], [[client, server.port, n, 4, "/go/", tls.authority() / "ca.pem"] for n in (3000, count)],
                      ["--ring-size", "4m"]).check()
    asked = run.kind("CLIENT", {run.results[1]["pid"]})
    assert len(asked) == count and not [s for s in asked if s.cut]
    assert {s.attributes["network.peer.port"] for s in asked} == {server.port}
    served = {s.parent_id: s for s in run.kind("SERVER", server.pids)}
    assert all(served[s.span_id].path == s.path for s in asked)
