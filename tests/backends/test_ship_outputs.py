# SPDX-License-Identifier: Apache-2.0
"""Files, consoles and what may be wrong with them: the real ship code fed with frames."""
import os
import pathlib
import random
import re
import signal
import socket
import struct
import subprocess
import time

import pytest

import sink_frames as frames
from sink_server import HttpSink, read_json, spans_of
from sink_ship import Ship, tool, wait_for


def make(count, **options):
    return [frames.http_span(f"/{i}", **options) for i in range(count)]


def balanced(ship, name):
    account = ship.account(name)
    assert ship.residual(name) == 0 and account["queued"] == 0, account
    return account


def hostile_span():
    text = "\x1b[31m\x07\r\n\u202e\u0000é服" + chr(0x9b)
    message = frames.http_span(f"/{text}", **{"user_agent.original": text, "http.request.header.x-y": [text]})
    message.name = text
    return message


def test_file_lines_are_valid(tmp_path):
    """Protects: each line is one request by the official JSON definitions, with every span once."""
    out = tmp_path / "out.jsonl"
    spans = make(3000) + [hostile_span()]
    odd = frames.make_span("odd", **{"a.double": 1.5, "a.bool": True, "a.bytes": b"\0\xff", "a.int": -2**63,
                                     "a.list": ["x", ""], "a.nan": float("nan")})
    odd.events.add(name="event", time_unix_nano=5).attributes.extend(frames.attributes({"k": 1}))
    odd.links.add(trace_id=os.urandom(16), span_id=os.urandom(8), trace_state="a=b", flags=1)
    odd.trace_state, odd.dropped_attributes_count = "k=v", 7
    odd.status.message = "why"
    spans.append(odd)
    random.Random(1).shuffle(spans)
    with Ship("-o", out) as ship:
        ship.send(frames.resource(1, "one") + frames.resource(2, "two\x01") + frames.scope())
        ship.spans(spans[:1000], number=1)
        ship.spans(spans[1000:], number=2)
    got, services = [], set()
    for line in out.read_text().splitlines():
        request = read_json(line)
        assert spans_of(request), "an empty request"
        got += spans_of(request)
        for r in request.resource_spans:
            services.add(r.resource.attributes[0].value.string_value)
            assert r.schema_url == r.scope_spans[0].schema_url != ""
            assert r.scope_spans[0].scope.version == "0.1.0"
    assert sorted(s.SerializeToString() for s in got) == sorted(s.SerializeToString() for s in spans)
    assert services == {"one", "two\x01"}
    assert balanced(ship, "file")["acked"] == len(spans)


def test_the_same_frames_give_the_same_bytes(tmp_path):
    """Protects: replay: lines are cut by size alone, however slowly the frames come."""
    data = frames.resource(1) + frames.scope() + b"".join(frames.span_frame(m) for m in make(1500))
    for name, piece, pause in (("a", len(data), 0), ("b", 50_000, 0.03), ("c", 77_777, 0.05)):
        with Ship("-o", tmp_path / name, "--by-size", "--json") as ship:
            for at in range(0, len(data), piece):
                ship.send(data[at:at + piece])
                time.sleep(pause)
    texts = {(tmp_path / name).read_bytes() for name in "abc"}
    assert len(texts) == 1 and len(texts.pop().splitlines()) == 3


def test_broken_spans_do_not_spoil_a_file(tmp_path):
    out = tmp_path / "out.jsonl"
    good = make(2)
    with Ship("-o", out, "--console") as ship:
        ship.prepare()
        ship.send(b"".join(frames.span_frame(m, raw=raw) for m, raw in
                           [(good[0], None), (good[0], b"\xff\xff\xff"), (good[0], b"\x0a\x7fx"), (good[1], None)]))
    assert [s.span_id for line in out.read_text().splitlines() for s in spans_of(read_json(line))] == \
        [s.span_id for s in good]
    assert balanced(ship, "file")["dropped_write"] == 2
    assert balanced(ship, "console")["dropped_write"] == 2


def test_text_that_is_no_utf8(tmp_path):
    out = tmp_path / "out.jsonl"
    message = make(1)[0]
    message.name = "NAME"
    with Ship("-o", out) as ship:
        ship.prepare()
        ship.send(frames.span_frame(message, raw=message.SerializeToString().replace(b"NAME", b"\xff\xfe\xc3(")))
    assert spans_of(read_json(out.read_text()))[0].name == "\ufffd\ufffd\ufffd("


def test_disk_full():
    """Protects: a full disk costs spans, counted, and nothing else: other outputs go on."""
    with HttpSink() as sink:
        with Ship("-o", "/dev/full", "--otlp", sink.url) as ship:
            ship.prepare()
            ship.spans(make(100))
            wait_for(lambda: ship.account("file").get("dropped_write") == 100, "they are counted")
            ship.spans(make(50))
        assert len(sink.taken) == 150
    assert balanced(ship, "file")["dropped_write"] == 150
    assert "No space left on device" in ship.err


def test_file_size_limit(tmp_path):
    """Protects: a line that could not be written whole is taken back; the file stays valid."""
    out = tmp_path / "out.jsonl"
    command = f'trap "" XFSZ; ulimit -f 1024; exec {tool()} -o {out}'
    data = frames.resource(1) + frames.scope() + b"".join(frames.span_frame(m) for m in make(2000))
    result = subprocess.run(["bash", "-c", command], input=data, capture_output=True, check=True)
    lines = out.read_text().splitlines()
    assert 0 < sum(len(spans_of(read_json(line))) for line in lines) < 2000
    account = dict(re.findall(r'"(\w+)":(\d+)', result.stderr.decode().split('"file":')[1]))
    assert int(account["acked"]) == sum(len(spans_of(read_json(line))) for line in lines)
    assert int(account["acked"]) + int(account["dropped_write"]) == 2000


def test_slow_reader_of_a_pipe():
    """Protects: a reader that does not read blocks nothing; what does not fit is dropped and counted."""
    with HttpSink() as sink:
        with Ship("-o", "-", "--otlp", sink.url) as ship:
            ship.prepare()
            # More than the writer keeps (16 MiB of JSON), while nobody reads.
            for _ in range(30):
                ship.spans(make(1000))
            wait_for(lambda: ship.account("otlp")["acked"] == 30000, "the backend has all")
            account = ship.account("file")
            assert account["queued"] > 1000 and account["dropped_queue_full"] > 1000
            assert ship.residual("file") == 0
            ship.process.stdin.close()
            text = ship.process.stdout.read()
            ship.process.wait()
    lines = text.decode().splitlines()
    account = balanced(ship, "file")
    assert sum(len(spans_of(read_json(line))) for line in lines) == account["acked"] > 1000


def test_reader_that_never_reads():
    """Protects: ship still ends, five seconds later."""
    with Ship("-o", "-") as ship:
        ship.prepare()
        ship.spans(make(2000))
        ship.process.stdin.close()
        ship.process.wait(8)
    account = balanced(ship, "file")
    assert account["dropped_shutdown"] > 0 and account["acked"] + account["dropped_shutdown"] == 2000


def test_reader_that_leaves():
    """Protects: `… -o - | head -1` costs counted spans, no signal, no endless error."""
    with Ship("-o", "-") as ship:
        ship.prepare()
        ship.spans(make(10))
        assert ship.process.stdout.readline()
        ship.process.stdout.close()
        ship.process.stdout = None
        ship.spans(make(1000))
        wait_for(lambda: ship.account("file")["dropped_write"] > 0, "the loss is counted")
    assert ship.process.returncode == 0
    balanced(ship, "file")


CONTROL = re.compile(rb"[\x00-\x09\x0b-\x1f\x7f]")


@pytest.mark.parametrize("options", [["--console"], ["--tree"], ["--console", "-c", "--headers"],
                                     ["--tree", "--unicode", "-c"]])
def test_hostile_text_never_reaches_the_terminal(options):
    with Ship(*options) as ship:
        ship.send(frames.resource(1, "svc\x1b[2J\x9b") + frames.scope())
        ship.spans([hostile_span() for _ in range(20)])
    assert not CONTROL.search(ship.out)
    assert "\u202e" not in ship.out.decode() and "\x9b" not in ship.out.decode()
    assert b"\\x1b[31m" in ship.out


def test_colour_is_the_only_escape():
    with Ship("--console", "--color") as ship:
        ship.send(frames.resource(1, "svc\x1b[2J") + frames.scope())
        ship.spans([hostile_span()])
    assert not CONTROL.search(re.sub(rb"\x1b\[\d+m", b"", ship.out))


def test_lines_come_at_once():
    with Ship("--console") as ship:
        ship.prepare()
        begin = time.monotonic()
        ship.spans(make(1))
        ship.process.stdout.readline()
        assert b"/0" in ship.process.stdout.readline()
        assert time.monotonic() - begin < 1


def test_limit():
    """Protects: -n N shows N spans, not one more."""
    with Ship("--console", "-n", 3) as ship:
        ship.prepare()
        ship.spans(make(10))
    assert len(ship.out.splitlines()) == 4
    assert balanced(ship, "console")["acked"] == 10


def test_where():
    with Ship("--console", "--where", "status>=500 path~^/[0-9]$") as ship:
        ship.prepare()
        ship.spans(make(20, status_code=503) + make(20))
    assert len(ship.out.splitlines()) == 11
    assert balanced(ship, "console")["acked"] == 40


def test_where_that_is_wrong():
    result = subprocess.run([tool(), "--where", "statsu>=500"], capture_output=True)
    assert result.returncode == 2
    assert b"no such field" in result.stderr and b"at column 1" in result.stderr


def test_tree_waits_for_the_trace():
    """Protects: a trace is drawn once, whole, when it has been quiet; not when a span arrives."""
    trace = os.urandom(16)
    root = frames.http_span("/root", kind=frames.CLIENT, trace_id=trace)
    child = frames.http_span("/child", trace_id=trace, parent_id=root.span_id)
    with Ship("--tree") as ship:
        ship.prepare()
        ship.spans([child])
        time.sleep(0.3)
        ship.spans([root])
        lines = [ship.process.stdout.readline().decode() for _ in range(3)]
    assert "2 spans" in lines[0] and trace.hex() in lines[0]
    assert "/root" in lines[1] and re.search("(`-|└─)web server GET /child", lines[2])
    assert balanced(ship, "console")["acked"] == 2


def test_summary_counts_unsampled_spans():
    with Ship("--console", "-c") as ship:
        ship.prepare()
        ship.spans(make(2), operation=5)
        ship.spans(make(8), operation=5, sampled=False)
    assert re.search(rb"\n +10 +0 .* web +server +GET\n", ship.out)


def test_stream_that_begins_in_the_middle():
    """Protects: the ship after a killed one finds its way back into the stream."""
    data = b"".join(frames.span_frame(m) for m in make(10))
    with Ship("--console") as ship:
        ship.send(data[101:])
        ship.prepare()
        ship.spans(make(5))
    assert balanced(ship, "console")["acked"] == 14
    assert "were no frames" in ship.err


def test_garbage_is_survived():
    """Protects: any bytes in the pipe are passed over; ship ends well."""
    rng = random.Random(5)
    data = b"".join(frames.span_frame(m) for m in make(30))
    for _ in range(60):
        broken = bytearray(data)
        for _ in range(rng.randrange(1, 40)):
            broken[rng.randrange(len(broken))] = rng.randrange(256)
        result = subprocess.run([tool(), "--console", "--tree", "-c", "-o", "-", "--json"], input=bytes(broken),
                                capture_output=True, timeout=20)
        assert result.returncode == 0


def test_restart_counts_what_was_lost(tmp_path):
    """Protects: a ship that is killed leaves its counters; the next one names what it had queued."""
    account = tmp_path / "account"
    data = frames.resource(1) + frames.scope() + b"".join(frames.span_frame(m) for m in make(40))
    first = subprocess.Popen([tool(), "--account", account, "--otlp", "http://localhost:1"], stdin=subprocess.PIPE,
                             stderr=subprocess.DEVNULL)
    first.stdin.write(data)
    first.stdin.flush()

    def counters():
        from sink_ship import layout
        raw = pathlib.Path(account).read_bytes()
        return {c[0]: struct.unpack_from("<Q", raw, layout()["sinks"] + c[1])[0] for c in layout()["counters"] if c}

    wait_for(lambda: account.exists() and account.stat().st_size and counters()["queued"] == 40, "they wait")
    first.kill()
    first.wait()
    with HttpSink() as sink:
        subprocess.run([tool(), "--account", account, "--otlp", sink.url], input=data, check=True,
                       stderr=subprocess.DEVNULL)
    got = counters()
    assert (got["spans"], got["acked"], got["dropped_restart"], got["queued"]) == (80, 40, 40, 0)


def role(tmp_path, *options):
    """ship with the sockets of its role: packets of frames, and one to control it."""
    near, far = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    control, control_far = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    process = subprocess.Popen([tool(), *map(str, options), "--control", str(control_far.fileno())], stdin=far,
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE, pass_fds=[control_far.fileno()])
    control_far.close()
    # The other end of the frames stays open, as the parent keeps it for the next ship.
    return process, near, far, control


FINISH, LIMIT = 2, 6


def test_finish_takes_what_was_sent(tmp_path):
    """Protects: every packet that was in the socket when CONTROL_FINISH came is delivered."""
    process, near, far, control = role(tmp_path, "-o", tmp_path / "out")
    os.kill(process.pid, signal.SIGSTOP)
    near.setblocking(False)
    near.send(frames.resource(1) + frames.scope())
    sent = 0
    try:
        while sent < 5000:
            near.send(b"".join(frames.span_frame(m) for m in make(1 + sent % 7)))
            sent += 1 + sent % 7
    except BlockingIOError:
        pass
    control.send(struct.pack("<II", FINISH, 0))
    os.kill(process.pid, signal.SIGCONT)
    assert process.wait(10) == 0
    got = [s for line in (tmp_path / "out").read_text().splitlines() for s in spans_of(read_json(line))]
    assert len(got) == sent > 20
    near.close(), far.close(), control.close()


def test_limit_is_told_to_the_parent(tmp_path):
    process, near, far, control = role(tmp_path, "--console", "-n", 3)
    near.send(frames.resource(1) + frames.scope() + b"".join(frames.span_frame(m) for m in make(5)))
    control.settimeout(10)
    assert struct.unpack("<II", control.recv(64))[0] == LIMIT
    control.send(struct.pack("<II", FINISH, 0))
    assert process.wait(10) == 0
    assert len(process.stdout.read().splitlines()) == 4
    near.close(), far.close(), control.close()


def test_killed_under_load(tmp_path):
    """Protects: whenever ship is killed, every span that it was handed is in its line of the account."""
    account = tmp_path / "account"
    data = frames.resource(1) + frames.scope() + b"".join(frames.span_frame(m) for m in make(20000))
    source = tmp_path / "frames"
    source.write_bytes(data)
    with HttpSink() as sink:
        options = ["--account", account, "--otlp", sink.url, "-o", tmp_path / "out", "--console"]
        for i in range(12):
            with open(source, "rb") as stdin:
                cat = subprocess.Popen(["cat"], stdin=stdin, stdout=subprocess.PIPE)
                ship = subprocess.Popen([tool(), *options], stdin=cat.stdout, stdout=subprocess.DEVNULL,
                                        stderr=subprocess.DEVNULL)
                cat.stdout.close()
                time.sleep(0.01 + 0.012 * i)
                ship.kill()
                ship.wait()
                cat.wait()
        result = subprocess.run([tool(), *options], input=b"", stderr=subprocess.PIPE, check=True)
    for name in ("otlp", "file", "console"):
        got = {k: int(v) for k, v in
               re.findall(r'"(\w+)":(\d+)', result.stderr.decode().split(f'"{name}":{{')[1].split("}")[0])}
        ended = sum(v for k, v in got.items() if k not in ("spans", "unconfirmed", "_"))
        assert got["spans"] == ended > 0 and got["dropped_restart"] > 0 and got["queued"] == 0, (name, got)


def test_idle_ship_does_not_wake():
    """Protects: with nothing to do, nothing runs."""
    with HttpSink() as sink, Ship("--otlp", sink.url, "--console", "--tree", "-o", "/dev/null") as ship:
        ship.prepare()
        ship.spans(make(5))
        wait_for(lambda: ship.account("otlp")["acked"] == 5 and ship.account("console")["acked"] == 5, "all done")
        time.sleep(0.5)

        def switches():
            text = pathlib.Path(f"/proc/{ship.process.pid}/status").read_text()
            return int(re.search(r"\nvoluntary_ctxt_switches:\s*(\d+)", text)[1])

        before = switches()
        time.sleep(3)
        assert switches() - before <= 1
