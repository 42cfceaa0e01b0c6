# SPDX-License-Identifier: Apache-2.0
"""Where the functions of TLS libraries are in real files, and where they return: against what binutils and Go's own
tools say of the same files, and through the sealed role."""
import array
import functools
import hashlib
import json
import os
import pathlib
import re
import shutil
import socket
import struct
import subprocess

import pytest

import harness
import machine_code
from rust import rust_program
from servers import CACHE

LIB = "/usr/lib/" + os.uname().machine + "-linux-gnu/"
TOOL = "tools/inspect_tls"
ENTRY, RETURN, SHARED = 0, 1, 2
JUMPS_OUT, UNKNOWN, CUT = 1, 2, 4
STRIPPED = 2
RUSTLS = 4
OPENSSL = {"SSL_read", "SSL_write", "SSL_read_ex", "SSL_write_ex", "SSL_peek", "SSL_free", "SSL_do_handshake",
           "SSL_shutdown", "SSL_set_fd", "SSL_set_bio", "SSL_read_early_data", "SSL_write_early_data", "SSL_sendfile"}
GNUTLS = {"gnutls_record_send", "gnutls_record_send2", "gnutls_record_recv", "gnutls_record_recv_seq", "gnutls_deinit",
          "gnutls_bye", "gnutls_handshake"}
GO = {f"crypto/tls.(*Conn).{name}" for name in ("Read", "Write", "Close", "handshakeContext")}


@functools.cache
def tool():
    output = harness.OUTPUT if harness.OUTPUT.is_absolute() else harness.ROOT / harness.OUTPUT
    subprocess.run(["make", "-s", "-C", harness.ROOT, f"OUTPUT={output}", f"{output}/{TOOL}"], check=True)
    return output / TOOL


def inspect(path):
    done = subprocess.run([tool(), path], capture_output=True, text=True, check=True)
    answer = json.loads(done.stdout)
    assert answer["status"] == 0, answer
    return answer


def functions(answer):
    return {f["name"]: f for f in answer["functions"]}


@functools.cache
def segments(path):
    """(offset, address, bytes) of what is loaded."""
    out = subprocess.run(["readelf", "-lW", path], capture_output=True, text=True, check=True).stdout
    return [tuple(int(x, 16) for x in (m[1], m[2], m[3]))
            for m in re.finditer(r"^ +LOAD +(0x\w+) (0x\w+) 0x\w+ (0x\w+)", out, re.M)]


def offset_of(path, address):
    return next(address - a + o for o, a, n in segments(path) if a <= address < a + n)


def address_of(path, offset):
    return next(offset - o + a for o, a, n in segments(path) if o <= offset < o + n)


def symbols(path, *how):
    """{name: (offset, bytes)}, names without their versions, of functions that the file itself has."""
    out = subprocess.run(["nm", "-S", *how, path], capture_output=True, text=True, check=True).stdout
    found = re.finditer(r"^(\w+) (\w+) [tTwW] ([^@\n]+)", out, re.M)
    return {m[3]: (offset_of(path, int(m[1], 16)), int(m[2], 16)) for m in found}


def instructions(path, offset, size, objdump="objdump"):
    """{offset: text} of machine code, by binutils."""
    start = address_of(path, offset)
    out = subprocess.run([objdump, "-d", "--no-show-raw-insn", f"--start-address={start}", f"--stop-address={start + size}",
                          path], capture_output=True, text=True, check=True).stdout
    return {offset_of(path, int(m[1], 16)): m[2] for m in re.finditer(r"^ *(\w+):\t(.*)$", out, re.M)}


def returns(path, offset, size, objdump="objdump"):
    return {at for at, text in instructions(path, offset, size, objdump).items()
            if re.match(r"(bnd |repz? |notrack )*ret", text)}


def check_function(path, f, size, objdump="objdump", with_returns=True):
    points = {at: kind for at, kind in f["points"]}
    start = f["offset"]
    assert points[start] == ENTRY
    inside = {at for at, kind in points.items() if kind != ENTRY and start <= at < start + size}
    if with_returns:
        assert inside == returns(path, start, size, objdump), f["name"]
    else:
        assert len(points) == 1, f["name"]
    for at in set(points) - inside - {start}:  # of parts elsewhere, and of functions that are jumped to
        assert returns(path, at, 1, objdump) == {at}, f"{f['name']} {at:#x}"


ARGUMENTS = re.compile(r"%(r?di|edi|dil|r?si|esi|sil)$")


def check_cheap(path, f):
    """Whatever is cheap is so, and stands for what is not: nothing between the two matters. How many points are replaced."""
    file = machine_code.File(path)
    start = file.address_of(f["offset"])
    plain = {file.address_of(at): kind for at, kind in f["points"]}
    cheap = {file.address_of(at): more for at, *more in f["cheap"]}
    replaced = set(plain) - set(cheap)
    parts = {(start, start + f["bytes"])} | {file.part_of(at) for at in plain if not start <= at < start + f["bytes"]}
    function = machine_code.Function(file, sorted(parts, key=lambda part: part[0] != start))
    exits = {}
    for at, (kind, below, result, condition) in cheap.items():
        if at in plain:
            assert (below, result, condition) == (0, 0, 0) and kind == plain[at]
        elif kind == ENTRY:
            assert machine_code.EMULATED.match(function.code[at]), function.code[at]
            between = [function.code[p] for p in sorted(function.code) if start <= p < at]
            assert -sum(map(machine_code.moves, between)) == below
            assert not any(ARGUMENTS.search(text) and not re.match("test|cmp", text) for text in between), between
            assert not [p for p, ways in function.ways.items() for to, how in ways if start < to <= at and how in ("taken", "jmp")]
            assert start in replaced
        else:
            exits[at] = (below, result, condition)
    machine_code.check_exits(function, replaced - {start}, exits)
    return len(replaced)


def check_library(path, wanted, *how):
    truth = symbols(path, *how)
    answer = inspect(path)
    found = functions(answer)
    assert wanted <= set(found)
    assert len(found) == len(answer["functions"]), "a function twice"
    entry_only = {"SSL_free", "SSL_set_fd", "SSL_set_rfd", "SSL_set_wfd", "SSL_set_bio", "gnutls_deinit",
                  "gnutls_transport_set_int2"}
    for name, f in found.items():
        assert (f["offset"], f["bytes"]) == truth[name]
        assert not f["flags"] & CUT, name
        check_function(path, f, f["bytes"], with_returns=name not in entry_only)
        if name not in entry_only and not f["flags"] & UNKNOWN and not f["flags"] & JUMPS_OUT:
            assert any(kind == RETURN for _, kind in f["points"]), name
    return found


def test_openssl():
    found = check_library(os.path.realpath(LIB + "libssl.so.3"), OPENSSL, "-D")
    for name in ("SSL_read", "SSL_write", "SSL_read_ex", "SSL_write_ex"):
        assert found[name]["flags"] == 0


@pytest.mark.skipif(os.uname().machine != "x86_64", reason="the kernel executes other instructions there")
def test_cheap_points():
    """Protects: breakpoints that are moved see the same calls, the same arguments and the same results."""
    path = os.path.realpath(LIB + "libssl.so.3")
    found = functions(inspect(path))
    replaced = {name: check_cheap(path, f) for name, f in found.items() if f["bytes"]}
    # In this build both protect their stacks. What a function calls right before it returns leaves it where it is.
    assert replaced["SSL_read"] == replaced["SSL_write"] == 2, replaced
    path = os.path.realpath(LIB + "libgnutls.so.30")
    replaced = {name: check_cheap(path, f) for name, f in functions(inspect(path)).items() if f["bytes"]}
    # the entry of one of them, the returns of the other and of the function that the first one ends in
    assert replaced["gnutls_record_recv"] == 4 and replaced["gnutls_record_send2"] == 1, replaced


def test_gnutls():
    path = os.path.realpath(LIB + "libgnutls.so.30")
    found = check_library(path, GNUTLS, "-D")
    # In this library, send() is nothing but a jump to send2(), through the table of imports: no return of its own.
    send, send2 = found["gnutls_record_send"], found["gnutls_record_send2"]
    if not returns(path, send["offset"], send["bytes"]):
        assert send["flags"] == JUMPS_OUT and len(send["points"]) == 1
        assert {kind for _, kind in send2["points"]} == {ENTRY, RETURN}


def test_node_has_openssl_in_it():
    """An executable of 100 MB, with 100,000 symbols."""
    path = shutil.which("node")
    if "libnode" in (out := subprocess.run(["ldd", path], capture_output=True, text=True).stdout) or "libssl" in out:
        pytest.skip("this node has its libraries beside it")
    answer = inspect(path)
    assert answer["us"] < 1_500_000
    assert check_library(path, {"SSL_read", "SSL_write", "SSL_read_ex", "SSL_write_ex"})


@pytest.mark.parametrize("name", ["server", "client"])
def test_rustls(name):
    path = str(rust_program("rustls", name))
    found = functions(inspect(path))
    wanted = {"PlaintextSink::write", "PlaintextSink::write_vectored", "CommonState::take_received_plaintext"}
    assert {f"rustls {w}" for w in wanted} <= set(found)
    for f in found.values():
        check_function(path, f, f["bytes"], with_returns=not f["name"].endswith(("_plaintext", "_notify")))


GO_KINDS = {
    "plain": ([], {}), "stripped": (["-ldflags=-s -w"], {}),
    "pie": (["-buildmode=pie"], {}), "pie-stripped": (["-buildmode=pie", "-ldflags=-s -w"], {}),
    "external": (["-ldflags=-linkmode=external -s -w"], {"CGO_ENABLED": "1"}),
    "external-pie": (["-buildmode=pie", "-ldflags=-linkmode=external -s -w"], {"CGO_ENABLED": "1"}),
    "static": (["-ldflags=-s -w"], {"CGO_ENABLED": "0"}),
    "arm64": (["-ldflags=-s -w"], {"CGO_ENABLED": "0", "GOARCH": "arm64"}),
}


@functools.cache
def go_build(flags, env, go=str(harness.ROOT / "tests/lib/go.sh")):
    """The program that is built so, in the cache, by its text, its flags and the Go that built it."""
    source = harness.ROOT / "tests/programs/clients/tls_layout.go"
    version = subprocess.run([go, "version"], capture_output=True, check=True, cwd=source.parent,
                             env=os.environ | dict(env)).stdout
    key = hashlib.sha256(source.read_bytes() + version + repr((flags, env)).encode()).hexdigest()[:12]
    binary = CACHE / "bin" / f"tls_layout-{key}"
    if not binary.exists():
        binary.parent.mkdir(parents=True, exist_ok=True)
        built = f"{binary}.{os.getpid()}"
        subprocess.run([go, "build", *flags, "-o", built, source], check=True, cwd=source.parent,
                       env=os.environ | dict(env))
        os.rename(built, binary)
    return str(binary)


def go_program(kind, strip=True):
    flags, env = GO_KINDS[kind]
    flags = flags if strip else [f.replace("-s -w", "").replace("-ldflags= ", "") for f in flags if f != "-ldflags=-s -w"]
    return go_build(tuple(flags), tuple(env.items()))


def with_symbols(kind):
    """The same program, not stripped: its functions are in other places where C is linked, so is compared by text."""
    return go_program(kind, strip=False)


@pytest.mark.parametrize("kind", GO_KINDS)
def test_go(kind):
    objdump = "objdump"
    if kind == "arm64" and os.uname().machine != "aarch64":
        objdump = "aarch64-linux-gnu-objdump"
        if not shutil.which(objdump):
            objdump = None
    path = go_program(kind)
    answer = inspect(path)
    assert bool(answer["flags"] & STRIPPED) == (kind not in ("plain", "pie"))
    found = functions(answer)
    assert set(found) == GO
    truth = symbols(with_symbols(kind))
    for name, f in found.items():
        assert not f["flags"], name
        size = truth[name][1]
        assert abs(f["bytes"] - size) < 32, name  # the one or the other counts what fills the space to the next
        if "external" not in kind:
            assert f["offset"] == truth[name][0] + (0 if kind in ("plain", "pie") else
                                                    found_shift(path, with_symbols(kind))), name
        if objdump:
            check_function(path, f, min(size, f["bytes"]), objdump)


def found_shift(path, other):
    """How much further text lies than in the other file, as section tables differ in size: by the segment of code."""
    def text(p):
        out = subprocess.run(["readelf", "-SW", p], capture_output=True, text=True, check=True).stdout
        return int(re.search(r"\.text +PROGBITS +\w+ (\w+)", out)[1], 16)
    return text(path) - text(other)


@pytest.mark.parametrize("kind", ["plain", "stripped", "pie-stripped"])
def test_layout_of_go(kind):
    """The way from a *tls.Conn to its descriptor, and the table that tells a TCP connection from others."""
    path = go_program(kind)
    said = json.loads(subprocess.run([path], capture_output=True, text=True, check=True).stdout)
    assert said.pop("kind") == "int"
    go = inspect(path)["go"]
    assert {k: go[k] for k in said} == said
    version = subprocess.run([harness.ROOT / "tests/lib/go.sh", "version", path], capture_output=True, text=True,
                             check=True).stdout
    assert f"go{go['major']}.{go['minor']}" in version
    assert go["registers"] == 1
    assert go["tcp_itab"]
    if kind == "plain":
        out = subprocess.run(["nm", path], capture_output=True, text=True, check=True).stdout
        itab = re.search(r"^(\w+) \w go:itab\.\*net\.TCPConn,net\.Conn$", out, re.M)
        assert go["tcp_itab"] == int(itab[1], 16)


@pytest.mark.parametrize("kind", ["plain", "pie-stripped"])
def test_go_without_sections(kind, tmp_path):
    """Section headers are not needed to run, and packers leave them out."""
    path = go_program(kind)
    data = bytearray(pathlib.Path(path).read_bytes())
    data[40:48] = bytes(8)    # e_shoff
    data[58:64] = bytes(6)    # e_shentsize, e_shnum, e_shstrndx
    bare = tmp_path / "bare"
    bare.write_bytes(data)
    mine, whole = inspect(bare), inspect(path)
    assert mine["functions"] == whole["functions"]
    assert mine["go"] == whole["go"]


def test_a_library_without_sections(tmp_path):
    path = os.path.realpath(LIB + "libssl.so.3")
    data = bytearray(pathlib.Path(path).read_bytes())
    data[40:48] = bytes(8)
    data[58:64] = bytes(6)
    bare = tmp_path / "bare.so"
    bare.write_bytes(data)
    assert inspect(bare)["functions"] == inspect(path)["functions"]


@pytest.mark.parametrize("path", ["/bin/sleep", LIB + "libc.so.6", "/usr/bin/python3"])
def test_files_without_tls(path):
    answer = inspect(path)
    assert answer["functions"] == [] and answer["library"] == 0 and answer["libraries"] == 0
    assert answer["hidden"] == 0
    assert answer["us"] < 500_000


def test_a_stripped_program_hides_its_library(tmp_path):
    """Nothing says where rustls is in it; that it is there is said."""
    bare = tmp_path / "stripped"
    subprocess.run(["strip", "-o", bare, rust_program("rustls", "server")], check=True)
    answer = inspect(bare)
    assert answer["functions"] == []
    assert answer["hidden"] == 1 << RUSTLS


def test_through_the_sealed_role():
    """The disassembler works behind the sandbox: no file can be opened there any more."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with ours, theirs:
        role = subprocess.Popen(["bash", "-c", f'exec "$0" --role=inspect {61184 + 78} 4<&{theirs.fileno()}', harness.SONDE],
                                pass_fds=[theirs.fileno()], stderr=subprocess.PIPE, text=True)
        theirs.close()
        with open(os.path.realpath(LIB + "libssl.so.3"), "rb") as file:
            rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [file.fileno()]))]
            ours.settimeout(60)
            ours.sendmsg([struct.pack("=III", 2, 77, 1)], rights)
            answer = ours.recv(1 << 16)
            ours.sendmsg([struct.pack("=III", 2, 78, 0)], rights)
            program = ours.recv(1 << 16)
    _, error = role.communicate(timeout=30)
    assert role.returncode == 0, error
    (abi, request, status, _, _, library, libraries, hidden, n_functions,
     n_points) = struct.unpack_from("=IIiIHHIIII", answer)
    assert (abi, request, status, library, libraries, hidden) == (2, 77, 0, 1, 2, 0)
    expected = inspect(os.path.realpath(LIB + "libssl.so.3"))["functions"]
    assert n_functions == len(expected)
    assert n_points == sum(len({at for at, *_ in f["points"] + f["cheap"]}) for f in expected)
    assert struct.unpack_from("=II", program) == (2, 78)
