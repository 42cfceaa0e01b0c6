# SPDX-License-Identifier: Apache-2.0
"""What sonde costs where programs encrypt: requests a second of TLS servers with and without it, and what a call of each
library takes longer."""

import contextlib
import hashlib
import os
import pathlib
import shutil
import statistics
import subprocess
import tempfile
import time

from arms import OUTPUT, ROOT, Nginx, Nothing, Running, Sonde, answers, free_port, wrk
from measure import bpf_descriptors, cpu_ns, residuals, tree, wait_for
from rows import Row

CALLS = OUTPUT / "bench/tls_calls"
HERE = ROOT / "tests/bench"
CACHE = pathlib.Path(os.environ.get("SONDE_CACHE", "/var/cache/sonde"))
EXCHANGES = 5000
# Of HTTP/2, many small ones and a few large ones.
STREAMS = 20000
LARGE, LARGE_BYTES = 8, 1 << 26
# What a stream may cost of the ring, and as many more a second that it lives.
RECORDS_A_STREAM = 6


def certificate(folder):
    """A key and what it signs itself, for localhost."""
    made = [f"{folder}/certificate.pem", f"{folder}/key.pem"]
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
                    "-subj", "/CN=localhost", "-out", made[0], "-keyout", made[1]], check=True, capture_output=True)
    os.chmod(made[1], 0o644)
    return made


def go_peer():
    source = HERE / "tls_peer.go"
    binary = CACHE / "bin" / f"tls_peer-{hashlib.sha256(source.read_bytes()).hexdigest()[:12]}"
    if not binary.exists():
        binary.parent.mkdir(parents=True, exist_ok=True)
        built = f"{binary}.{os.getpid()}"
        subprocess.run([ROOT / "tests/lib/go.sh", "build", "-o", built, source], check=True, cwd=HERE)
        os.rename(built, binary)
    return binary


class GoServer(Running):
    def __init__(self, made):
        self.port = free_port()
        self.process = subprocess.Popen([go_peer(), "serve", str(self.port), *made], stderr=subprocess.DEVNULL)
        wait_for(lambda: answers(self.port), "the server in Go")

    @property
    def pids(self):
        return tree(self.process.pid)

    def stop(self):
        self.process.kill()
        self.process.wait()


class Calls(Running):
    """tls_calls and tls_peer: calls without a socket."""

    def __init__(self, command, made):
        self.process = subprocess.Popen([*command, *made], text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.pid = int(self.process.stdout.readline().split()[1])

    def ns(self, exchanges=EXCHANGES):
        """Of a call."""
        self.process.stdin.write(f"{exchanges}\n")
        self.process.stdin.flush()
        found = self.process.stdout.readline().split()
        return int(found[3]) / int(found[1])

    def stop(self):
        self.process.stdin.close()
        self.process.wait(60)
        self.process.stdout.close()


def hooked(sonde):
    """Waits until there are breakpoints in a library: inspect is asked for them when sonde runs already."""
    wait_for(lambda: any("uprobe" in f["link_type"] or "perf" in f["link_type"] for f in bpf_descriptors([sonde.process.pid], "link_type")),
             "hooks in a TLS library")


def served(server, args):
    """Rounds of one server: with nothing, with sonde, with nothing; all of the same length."""
    rounds = []
    for _ in range(args.rounds):
        arms = []
        for make in (Nothing, lambda: Sonde(args, [server.process.pid]), Nothing):
            with make() as arm:
                if isinstance(arm, Sonde):
                    hooked(arm)
                warm, _ = wrk(server.port, 1, scheme="https")
                own = sum(map(cpu_ns, server.pids))
                requests, rate = wrk(server.port, args.seconds, scheme="https")
                arms.append({"warm": warm, "requests": requests, "rate": rate, "own_ns": sum(map(cpu_ns, server.pids)) - own})
            if isinstance(arm, Sonde):
                arms[-1]["ledger"] = arm.ledger
        rounds.append(arms)
    return rounds


def server_rows(name, rounds):
    def a_request(arm):
        return arm["own_ns"] / arm["requests"]

    plain = [statistics.mean(r[i]["rate"] for i in (0, 2)) for r in rounds]
    ledgers = [r[1]["ledger"] for r in rounds]
    return [
        Row(f"{name} over TLS, nothing attached", plain, "/s"),
        Row(f"{name} over TLS loses with sonde, governor off", [1 - r[1]["rate"] / p for r, p in zip(rounds, plain)], "%"),
        Row("  its own time a request", [statistics.mean(a_request(r[i]) for i in (0, 2)) for r in rounds], "us"),
        Row("  and more with sonde", [a_request(r[1]) - statistics.mean(a_request(r[i]) for i in (0, 2)) for r in rounds], "us"),
        Row("  spans a request, dropped ones counted", [
            (ledger["exchanges"]["spans"] + sum(ledger["exchanges"]["dropped"].values())) / (r[1]["warm"] + r[1]["requests"])
            for r, ledger in zip(rounds, ledgers)]),
        Row("  residuals of all accounts there", [residuals(ledger) for ledger in ledgers], "", 0, judge="most"),
    ]


def h2load(port, path, streams, *options):
    out = subprocess.run(["h2load", "-n", str(streams), *options, f"https://127.0.0.1:{port}{path}"], text=True, capture_output=True,
                         check=True).stdout
    if f"{streams} succeeded" not in out:
        raise RuntimeError(f"h2load: {out}")


def records_of(server, args, path, streams, *options):
    """(records, seconds) of one sonde."""
    with Sonde(args, [server.process.pid]) as sonde:
        hooked(sonde)
        begun = time.monotonic()
        h2load(server.port, path, streams, *options)
        seconds = time.monotonic() - begun
    return sonde.ledger["records"]["attempted"], seconds, residuals(sonde.ledger)


def stream_rows(server, args):
    small = [records_of(server, args, "/", STREAMS, "-c4", "-m10") for _ in range(args.rounds)]
    # one more, so that what a connection costs by itself can be taken off
    one = [records_of(server, args, "/", 1) for _ in range(args.rounds)]
    large = [records_of(server, args, f"/bytes/{LARGE_BYTES}", LARGE + 1, "-m1") for _ in range(args.rounds)]
    marginal = [(n - first - seconds) / LARGE for (n, seconds, _), (first, _, _) in zip(large, one)]
    return [
        Row(f"records a stream of HTTP/2 over TLS, of {STREAMS} small ones", [n / STREAMS for n, _, _ in small], "", RECORDS_A_STREAM),
        Row(f"  of {LARGE_BYTES >> 20} MiB each, one for each second taken off", marginal, "", RECORDS_A_STREAM),
        Row("  residuals of all accounts there", [r for _, _, r in small + one + large], "", 0, judge="most"),
    ], {"small": small, "one": one, "large": large}


def call_rows(name, command, made, args):
    rounds = []
    with Calls(command, made) as calls:
        for _ in range(args.rounds):
            calls.ns(EXCHANGES // 5)
            before = calls.ns()
            with Sonde(args, [calls.pid]) as sonde:
                hooked(sonde)
                calls.ns(EXCHANGES // 5)
                traced = calls.ns()
            rounds.append({"before": before, "traced": traced, "after": calls.ns()})
    plain = [statistics.mean((r["before"], r["after"])) for r in rounds]
    return [Row(f"a call of {name}, 100 bytes", plain, "ns"),
            Row("  takes longer with sonde, by", [r["traced"] - p for r, p in zip(rounds, plain)], "ns")], rounds


def tls(args):
    """TLS: nginx and a server in Go with and without sonde; what a call of OpenSSL, GnuTLS and crypto/tls takes longer."""
    rows, raw = [], {}
    folder = tempfile.mkdtemp(prefix="sonde-bench-")
    os.chmod(folder, 0o755)
    try:
        made = certificate(folder)
        with Nginx(tls=made) as nginx, contextlib.ExitStack() as more:
            raw["nginx"] = served(nginx, args)
            rows += server_rows("nginx", raw["nginx"])
            go = more.enter_context(GoServer(made))
            raw["go"] = served(go, args)
            rows += server_rows("Go's net/http", raw["go"])
            found, raw["streams"] = stream_rows(go, args)
            rows += found
        for name, command in (("OpenSSL", [CALLS, "openssl"]), ("GnuTLS", [CALLS, "gnutls"]), ("crypto/tls", [go_peer(), "calls"])):
            found, raw[name] = call_rows(name, command, made, args)
            rows += found
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return rows, raw
