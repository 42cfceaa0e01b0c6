# SPDX-License-Identifier: Apache-2.0
"""The store: what real programs did is found again by search and show; whatever happens to it, capture goes on."""

import ctypes
import json
import os
import pathlib
import random
import re
import shutil
import signal
import stat
import subprocess

import pytest

import bpf
import harness
import servers
from harness import ROOT, SONDE, residuals, start_trace, trace_scene, wait_for, write_scene


def ask(command, store, *words, code=0):
    done = subprocess.run([SONDE, command, "--store", store, *words], capture_output=True, text=True, timeout=120)
    assert done.returncode == code, f"{words}: {done.returncode}\n{done.stderr[-2000:]}"
    return done


def search(store, *words):
    return harness.parse_spans(ask("search", store, "--json", "-n", "1000000", *words).stdout)


def found(store, *words):
    """How many; to read each of some ten thousand would take longer than all else."""
    return ask("search", store, "--json", "-n", "1000000", *words).stdout.count('"startTimeUnixNano":')


def sink(run):
    unbalanced = {k: v for k, v in residuals(run.ledger).items() if v}
    assert not unbalanced, json.dumps(run.ledger)
    return run.ledger["sinks"]["store"]


def curl(server, *paths):
    return ["curl", "-s", "-o", "/dev/null", *[server.url(p) for p in paths]]


def same(spans):
    return {(s.trace_id, s.span_id, s.parent_id, s.kind, s.name, s.start_ns, s.end_ns,
             json.dumps([s.attributes, s.resource], sort_keys=True)) for s in spans}


def test_what_was_traced_is_found(tmp_path):
    """Protects: the store holds every span that another sink got, attribute for attribute; search and show find them."""
    server, store = servers.Nginx(tmp_path), tmp_path / "store"
    paths = [f"/path-{n}" for n in range(30)]
    run = trace_scene(tmp_path, [server], [curl(server, *paths)], options=["--store", store]).check()
    line = sink(run)
    assert line["acked"] == line["spans"] - line["unsampled"] == len(run.spans) >= 60
    assert same(search(store)) == same(run.spans)
    one = search(store, "kind=server", "path=/path-7")
    assert len(one) == 1 and one[0].path == "/path-7"
    assert same(search(store, "kind=server and not path=/path-7")) == same(
        [s for s in run.spans if s.kind == "SERVER" and s.path != "/path-7"])
    assert search(store, "path=/nowhere") == []
    text = ask("search", store, "path=/path-7", "kind=server").stdout
    assert one[0].trace_id in text and "/path-7" in text
    picture = ask("show", store, one[0].trace_id.upper()).stdout
    assert re.search(r"curl client GET /path-7", picture) and re.search(r"server GET /path-7", picture), picture
    shown = ask("show", store, "--json", one[0].trace_id).stdout
    assert "schemaUrl" not in shown  # which a store does not keep
    whole = harness.parse_spans(shown)
    assert same(whole) == same([s for s in run.spans if s.trace_id == one[0].trace_id])
    assert "no span of trace" in ask("show", store, "0" * 31 + "1", code=1).stderr
    assert "column" in ask("search", store, "status=", code=2).stderr
    assert "no trace id" in ask("show", store, "abc", code=2).stderr
    assert "there is no store" in ask("search", tmp_path / "none", code=1).stderr
    # Nobody else may read what was traced, and nothing but the store was written.
    assert stat.S_IMODE(store.stat().st_mode) == 0o700
    for file in store.iterdir():
        assert stat.S_IMODE(file.stat().st_mode) == 0o600 and file.stat().st_uid not in (0, 65534), file


def test_a_run_goes_on_with_the_store_of_the_one_before(tmp_path):
    """Protects: another run, with another uid of its role, adds to the same store."""
    store, total = tmp_path / "store", 0
    for n in range(3):
        server = servers.Nginx(tmp_path / str(n))
        run = trace_scene(tmp_path / str(n), [server], [curl(server, f"/run-{n}")], options=["--store", store]).check()
        total += len(run.spans)
        assert len(search(store)) == total
    assert len(list(store.glob("spans-*.db"))) == 1


def test_search_while_it_is_written(tmp_path):
    """Protects: a span is found while the run goes on, and readers neither stop the writer nor fail."""
    server, store = servers.Nginx(tmp_path), tmp_path / "store"
    wrk = ["wrk", "-t1", "-c1", "-d4s", server.url("/live")]
    sonde = start_trace(write_scene(tmp_path, [server], [wrk]), tmp_path, options=["--store", store])
    some = wait_for(lambda: store.is_dir() and list(store.glob("spans-*.db")) and
                    found(store, "kind=server", "path=/live"), "spans are found while the run goes on")
    more = wait_for(lambda: (n := found(store, "kind=server")) > some and n, "more of them")
    assert sonde.poll() is None and more > some
    run = harness.scene_results(harness.finish(sonde), [server])
    line = sink(run)
    assert line["acked"] == found(store)
    assert not line["dropped"].get("write")


@pytest.mark.parametrize("round", range(6))
def test_ship_killed_while_it_writes(tmp_path, round):
    """Protects: with the writing role killed, what is in the store is what the account says is in it."""
    server, store = servers.Nginx(tmp_path), tmp_path / "store"
    wrk = ["wrk", "-t1", "-c1", "-d3s", server.url("/kill")]
    sonde = start_trace(write_scene(tmp_path, [server], [wrk]), tmp_path, options=["--store", store])
    wait_for(lambda: store.is_dir() and any(f.stat().st_size > 50000 for f in store.glob("spans-*")), "it is written")
    for _ in range(3):
        old = bpf.roles(sonde.pid).get("ship")
        if sonde.poll() is not None or not old:
            break
        signalled = random.random() * 0.3
        wait_for(lambda: True, "", 1)
        ctypes.CDLL(None).usleep(int(signalled * 1e6))
        try:
            os.kill(old, signal.SIGKILL)
        except ProcessLookupError:
            break
        wait_for(lambda: sonde.poll() is not None or bpf.roles(sonde.pid).get("ship", old) != old, "it is back", 10)
    run = harness.finish(sonde)
    line = sink(run)
    assert found(store) == line["acked"], json.dumps(line)
    assert "damaged" not in line


def tool(name):
    """One of tests/tools, built from the same objects as sonde itself."""
    output = pathlib.Path(os.environ.get("OUTPUT", "build"))
    subprocess.run(["make", "-s", "-C", ROOT, f"OUTPUT={output}", f"{output}/tools/{name}"], check=True)
    return (output if output.is_absolute() else ROOT / output) / "tools" / name


def test_killed_at_200_moments(tmp_path):
    """Protects: a SIGKILL at any moment (while spans are written, a partition opened, made, closed or given up, a
    segment sealed, segments merged) leaves a store that opens again, with every acknowledged span whole and none
    twice, and an account that says exactly what is in it; who searches while it is written finds what is acknowledged."""
    folder = tmp_path / "store"
    folder.mkdir()
    seed = str(random.randrange(1 << 30))
    done = subprocess.run([tool("store_kills"), tool("ship_frames"), folder, "200", seed], capture_output=True,
                          text=True, timeout=300)
    assert done.returncode == 0, f"seed {seed}: {done.stderr[-2000:]}"
    said = json.loads(done.stdout)
    print(said)
    assert said["kills"] == 200 and said["ends"] >= 20, said
    assert min(said["at"][at] for at in ("open", "new", "block", "seal", "close", "evict", "merge")) > 0, said
    assert said["evicted"] > 0 and said["committed"] > 100000, said


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 1 MiB."""
    where = tmp_path / "disk"
    where.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m,mode=700", "tmpfs", where], check=True)
    yield where
    subprocess.run(["umount", "-l", where], check=True)


def test_disk_full(tmp_path, small_disk):
    """Protects: with the disk full, capture and the other sink go on, it is said once, and counted; what was
    committed before stays and can be searched."""
    server = servers.Nginx(tmp_path)
    wrk = ["wrk", "-t1", "-c8", "-d3s", server.url("/full?" + "x" * 200)]
    run = trace_scene(tmp_path, [server], [wrk], options=["--store", small_disk])
    run.check(quiet=False) if not harness.refused(run.ledger) else None
    line = sink(run)
    assert line["acked"] > 0 and line["dropped"]["write"] > 0, json.dumps(line)
    assert run.ledger["sinks"]["file"]["acked"] == line["spans"]
    assert "no space left on its device" in run.stderr
    assert run.stderr.count("no space left") <= 3, run.stderr
    assert len(search(small_disk)) == line["acked"]


def test_read_only(tmp_path, small_disk):
    """Protects: a folder that cannot be written is said, and costs only the store's spans."""
    subprocess.run(["mount", "-o", "remount,ro", small_disk], check=True)
    server = servers.Nginx(tmp_path)
    run = trace_scene(tmp_path, [server], [curl(server, "/a", "/b")], options=["--store", small_disk])
    line = sink(run)
    assert line["dropped"]["write"] == line["spans"] == len(run.spans) == 4, json.dumps(line)
    assert re.search(r"the store .* cannot be given to the role that writes it: Read-only file system", run.stderr), run.stderr
    assert re.search(r"store .*: it cannot be written: Permission denied; spans go on to the other sinks", run.stderr)


def newest(store):
    return max(store.glob("spans-*.db"))


def test_a_damaged_file_is_put_aside(tmp_path):
    """Protects: a damaged partition is renamed, said and counted; capture goes on in a new one."""
    store = tmp_path / "store"
    for n in range(2):
        server = servers.Nginx(tmp_path / str(n))
        run = trace_scene(tmp_path / str(n), [server], [curl(server, "/a")], options=["--store", store])
        if n == 0:
            with open(newest(store), "r+b") as f:
                f.write(b"nothing of SQLite's" * 100)
    line = sink(run)
    assert line["damaged"] == 1 and line["acked"] == line["spans"] == 2
    assert "put aside as spans-00000001.db.damaged" in run.stderr
    assert (store / "spans-00000001.db.damaged").exists()
    assert len(search(store)) == 2


def test_a_newer_file_is_refused(tmp_path):
    """Protects: what a newer sonde wrote is neither read nor changed, and it is said; capture goes on beside it."""
    store = tmp_path / "store"
    server = servers.Nginx(tmp_path / "0")
    trace_scene(tmp_path / "0", [server], [curl(server, "/a")], options=["--store", store])
    there = newest(store)
    with open(there, "r+b") as f:  # SQLite's header: user_version, big-endian, at 60
        f.seek(60)
        f.write((7).to_bytes(4, "big"))
    before = there.read_bytes()
    assert "written by a newer sonde (version 7; this one knows 2)" in ask("search", store, code=1).stderr
    server = servers.Nginx(tmp_path / "1")
    run = trace_scene(tmp_path / "1", [server], [curl(server, "/b")], options=["--store", store])
    assert "written by a newer sonde" in run.stderr
    assert there.read_bytes() == before
    assert len(search(store)) == sink(run)["acked"] == 2


def test_folders_that_are_refused(tmp_path):
    """Protects: a folder of other files is not given away; one store has one writer; a wrong size is usage."""
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "precious").write_text("precious")
    owner = (tmp_path / "mine").stat().st_uid

    def trace(*options):
        return subprocess.run([SONDE, "trace", *options, "--", "true"], capture_output=True, text=True, timeout=60)

    done = trace("--store", tmp_path / "mine")
    assert done.returncode == 125 and "other things than a store" in done.stderr
    assert (tmp_path / "mine").stat().st_uid == owner
    assert trace("--store-bytes", "1k").returncode == 2
    assert trace("--store-age", "soon").returncode == 2
    store = tmp_path / "store"
    first = subprocess.Popen([SONDE, "trace", "--store", store, "--", "sleep", "60"], stderr=subprocess.PIPE, text=True)
    wait_for(lambda: list(store.glob("spans-*.db")) if store.is_dir() else False, "the first writes")
    done = trace("--store", store)
    assert done.returncode == 125 and "another sonde" in done.stderr, done.stderr
    first.send_signal(signal.SIGTERM)
    first.communicate(timeout=30)


def test_reading_needs_nothing(tmp_path):
    """Protects: search takes a store's bytes with no capability, no way to write, as the store's owner."""
    store = tmp_path / "store"
    server = servers.Nginx(tmp_path)
    trace_scene(tmp_path, [server], [curl(server, "/a")], options=["--store", store])
    log = tmp_path / "strace"
    subprocess.run(["strace", "-f", "-o", log, SONDE, "search", "--store", store], check=True, capture_output=True)
    calls = log.read_text()
    uid = store.stat().st_uid
    assert re.search(rf"setresuid\({uid}, {uid}, {uid}\) += 0", calls)
    after = calls[calls.index("setresuid"):]
    opened = re.findall(r'open(?:at)?\((?:AT_FDCWD, )?"([^"]+)", ([A-Z_|]+)', after)
    assert opened and all(p.startswith("./spans-") and "O_WRONLY" not in f and "O_RDWR" not in f or "= -1" in f
                          for p, f in opened if p != "."), opened
    shutil.rmtree(store)


def test_limits(tmp_path):
    """Protects: past --store-age the oldest partitions go, and the account says how many spans went with them."""
    store = tmp_path / "store"
    server = servers.Nginx(tmp_path / "0")
    trace_scene(tmp_path / "0", [server], [curl(server, "/old")], options=["--store", store])
    old = newest(store)
    # A partition behind the last one, long ago.
    shutil.copy2(old, store / "spans-00000000.db")
    shutil.chown(store / "spans-00000000.db", old.stat().st_uid)
    os.utime(store / "spans-00000000.db", (1, 1))
    server = servers.Nginx(tmp_path / "1")
    run = trace_scene(tmp_path / "1", [server], [curl(server, "/new")],
                      options=["--store", store, "--store-age", "1h", "--store-bytes", "16m"])
    line = sink(run)
    assert line["evicted"] == 2, json.dumps(line)
    assert pathlib.Path(old).exists() and not (store / "spans-00000000.db").exists()
    assert len(search(store)) == 4
