# SPDX-License-Identifier: Apache-2.0
"""Ways past what the tier of this machine hooks: what is seen of them is right, what is not is counted
under its own reason, and never wrong bytes. `peer bypass` (tests/vm/guest/bypass.c) goes those ways, with
EXCHANGES requests in turn on one connection; what the kernel lacks is skipped, in its words."""

import collections
import json
import os
import re
import signal
import subprocess

import pytest

from harness import PYTHON, SONDE, free_port, parse_spans, residuals, sonde_trace, wait_for
from test_tiers import guest  # noqa: F401

EXCHANGES = 6
FIRST_STATUS = 210
HALF = EXCHANGES // 2
ALL = range(EXCHANGES)
NONE = range(0)

# What is to be seen of each end, and under which reasons the rest is counted. All of what a socket in a
# sockmap reads and writes is in its stream unless a program takes it out.
CASES = {
    "sockmap-member": (ALL, ALL, None),
    "sockmap-pass": (ALL, ALL, None),
    "sockmap-redirect": (NONE, NONE, "unseen sockmap"),
    "sockmap-answers": (NONE, NONE, "unseen sockmap"),
    "sockmap-requests": (NONE, NONE, "unseen sockmap"),
    "sockmap-verdict": (NONE, NONE, "unseen sockmap"),
    "sockmap-late": (range(HALF), range(HALF), "unseen sockmap"),
    "ktls": (NONE, NONE, "unseen ktls"),
    "ktls-late": (range(HALF), range(HALF), "unseen ktls"),
    "mptcp": (NONE, NONE, "unseen mptcp"),
    "mptcp-alone": (NONE, ALL, "unseen mptcp"),
    "splice-out": (ALL, NONE, "gap missed"),
    "splice-in": (NONE, ALL, "gap missed"),
    "uring-armed": (ALL, NONE, "unseen unknown_call"),
    "uring-worker": (ALL, NONE, "unseen kernel_thread"),
}


def traced(words, tmp_path):
    run = sonde_trace(words, tmp_path, ["--tier", "socktp", "--ring-size", "4m"])
    if run.returncode == 77:
        pytest.skip(run.stderr.strip().splitlines()[0])
    if run.returncode == 125:
        pytest.skip(f"this kernel has no tier socktp: {run.stderr.strip().splitlines()[-1][:100]}")
    assert run.returncode == 0, run.stderr[-2000:]
    assert not [v for v in residuals(run.ledger).values() if v], run.ledger
    return run


def reasons(ledger):
    """Everything that was not looked at, or not seen: {"unseen NAME": calls, "gap NAME": bytes}."""
    found = {f"unseen {name}": n for name, n in ledger["unseen"].items() if n}
    found.update({f"gap {name}": n for name, n in ledger["bytes"]["gap"].items() if n})
    return found


def seen(run, kind, path):
    """Which exchanges of a path have a span of this kind; each is whole and says what was said. Where another
    span had named it as its parent by then, one whose answer was not seen is a span, too, which tells of none."""
    numbers = collections.Counter()
    parents = {span.parent_id for span in run.spans}
    for span in run.kind(kind):
        number = re.fullmatch(rf"/{path}/(\d+)", span.path)
        assert number, f"a span of nobody's: {span}"
        number = int(number[1])
        assert span.attributes["http.request.method"] == "GET"
        if span.status_code is None:
            assert span.span_id in parents and span.attributes["sonde.incomplete"] is True, span
            continue
        assert span.error is None, span
        assert span.status_code == FIRST_STATUS + number, span
        numbers[number] += 1
    assert not numbers or max(numbers.values()) == 1, numbers
    return sorted(numbers)


@pytest.mark.parametrize("case", CASES)
def test_bypass(case, guest, tmp_path):  # noqa: F811
    """Protects: spans of what passes in sight, none of what does not, and the reason in the account."""
    client, server, reason = CASES[case]
    run = traced([guest / "peer", "bypass", case], tmp_path)
    # the programs themselves have checked every byte; this is what they say to have done
    assert len(run.stdout.splitlines()) == EXCHANGES, run.stdout
    assert seen(run, "CLIENT", case) == list(client)
    assert seen(run, "SERVER", case) == list(server)
    assert set(reasons(run.ledger)) == ({reason} if reason else set()), run.ledger
    # what began is a span, or its answer went by unseen
    dropped = run.ledger["exchanges"]["dropped"]
    assert set(dropped) <= {"response_lost"}, dropped
    assert run.ledger["exchanges"]["begun"] == len(run.spans) + sum(dropped.values())


def test_redirected_on_an_older_connection(guest, tmp_path):  # noqa: F811
    """Protects: the first call that is seen of a connection says where its stream stands only where its bytes
    are of that stream: as many had passed before, in sight of nobody, as are redirected now."""
    ledger, out = tmp_path / "ledger.json", tmp_path / "out.jsonl"
    with subprocess.Popen(
        [guest / "peer", "bypass", "sockmap-late"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        env={**os.environ, "PEER_HOLD": "1"}, stderr=subprocess.PIPE,
    ) as peer:
        lines = [peer.stdout.readline() for _ in range(HALF + 1)]
        if peer.poll() == 77:
            pytest.skip(peer.stderr.read().strip())
        assert lines[-1] == "held\n", lines
        with open(tmp_path / "stderr", "w") as err:
            sonde = subprocess.Popen(
                [SONDE, "trace", "-v", "--tier", "socktp", "-p", str(peer.pid), "-o", out, "--ledger", ledger],
                stdin=subprocess.DEVNULL, stderr=err,
            )
        try:
            wait_for(lambda: "hooks are attached" in (tmp_path / "stderr").read_text(), "sonde's start")
            peer.stdin.write("\n")
            peer.stdin.flush()
            assert len(peer.stdout.readlines()) == EXCHANGES - HALF
            assert peer.wait() == 0
        finally:
            sonde.send_signal(signal.SIGINT)
            sonde.wait(30)
    account = json.loads(ledger.read_text())
    assert not [v for v in residuals(account).values() if v], account
    assert not parse_spans(out.read_text() if out.exists() else "")
    # of the client one request, which went into its stream before the next answer was found to be none of it
    assert account["bytes"]["captured"] == len(f"GET /sockmap-late/{HALF + 1} HTTP/1.1\r\nHost: bypass\r\n\r\n")
    assert set(reasons(account)) == {"unseen sockmap"}, account


# What a 32-bit libc would do, without one: no header and no library for 32 bits need be here.
COMPAT = r"""
static long call(long number, long a, long b, long c)
{
	long ret;

	__asm__ volatile("int $0x80" : "=a"(ret) : "a"(number), "b"(a), "c"(b), "d"(c) : "memory");
	return ret;
}

static long socket_call(int which, long a, long b, long c)
{
	long arguments[3] = { a, b, c };

	return call(102, which, (long)arguments, 0);
}

#define REQUEST "GET /compat/x HTTP/1.1\r\nHost: x\r\n\r\n"

void _start(void)
{
	struct { unsigned short family, port; unsigned int address; char rest[8]; } at = {
		2, __builtin_bswap16(PORT), 0x0100007f, "" };
	static char answer[65536];
	struct { void *base; unsigned int len; } areas[2] = { { REQUEST, 9 }, { REQUEST + 9, sizeof(REQUEST) - 10 } };
	long fd, left = EXCHANGES;

	fd = socket_call(1, 2, 1, 0);
	if (fd < 0 || socket_call(3, fd, (long)&at, sizeof(at)))
		call(1, 2, 0, 0);
	while (left--) {
		/* write and writev in turn, read and recv in turn */
		if ((left & 1 ? call(146, fd, (long)areas, 2) : call(4, fd, (long)REQUEST, sizeof(REQUEST) - 1)) !=
		    sizeof(REQUEST) - 1)
			call(1, 3, 0, 0);
		if (call(3, fd, (long)answer, sizeof(answer)) <= 12 || answer[9] != '2')
			call(1, 4, 0, 0);
	}
	call(1, 0, 0, 0);
}
"""

SERVER = """
import socket, subprocess, sys
listener = socket.create_server(("127.0.0.1", int(sys.argv[1])))
client = subprocess.Popen([sys.argv[2]])
connection = listener.accept()[0]
while connection.recv(65536):
    connection.sendall(b"HTTP/1.1 210 OK\\r\\nContent-Length: 2\\r\\n\\r\\nok")
sys.exit(client.wait())
"""


def test_program_of_32_bits(tmp_path):
    """Protects: a 32-bit program's calls are counted as that, whatever their registers look like; the
    other end of its connection is seen."""
    source, program, port = tmp_path / "compat.c", tmp_path / "compat", free_port()
    source.write_text(f"#define PORT {port}\n#define EXCHANGES {EXCHANGES}\n{COMPAT}")
    built = subprocess.run(
        ["gcc", "-m32", "-O1", "-ffreestanding", "-nostdlib", "-static", "-fno-pie", "-no-pie",
         "-fno-stack-protector", "-o", program, source],
        capture_output=True, text=True,
    )
    if built.returncode:
        pytest.skip(f"gcc builds no 32-bit program here: {built.stderr.strip().splitlines()[-1]}")
    alone = subprocess.run([PYTHON, "-c", SERVER, str(port), program], capture_output=True, text=True)
    if "Exec format error" in alone.stderr:
        pytest.skip("this kernel runs no 32-bit programs")
    assert alone.returncode == 0, alone.stderr
    run = traced([PYTHON, "-c", SERVER, port, program], tmp_path / "traced")
    assert not run.kind("CLIENT")
    assert [(s.path, s.status_code, s.error) for s in run.kind("SERVER")] == [("/compat/x", 210, None)] * EXCHANGES
    assert reasons(run.ledger) == {"unseen compat": 2 * EXCHANGES}
