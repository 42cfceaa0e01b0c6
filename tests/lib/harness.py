# SPDX-License-Identifier: Apache-2.0
"""Runs `sonde trace` around real programs and reads back what it says.

The programs under trace are started by scene.py, which is the traced command: it starts servers,
waits until they listen, runs clients, stops everything by pid. So sonde is always scoped to
processes of the test's own.
"""

import base64
import dataclasses
import functools
import itertools
import json
import os
import pathlib
import random
import re
import socket
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
OUTPUT = pathlib.Path(os.environ.get("OUTPUT", "build"))
SONDE = (OUTPUT if OUTPUT.is_absolute() else ROOT / OUTPUT) / "sonde"
SCENE = ROOT / "tests/lib/scene.py"
PYTHON = "/usr/bin/python3"

KINDS = {1: "INTERNAL", 2: "SERVER", 3: "CLIENT"}


GIVEN = set()


def bindable(port):
    with socket.socket() as s:
        try:
            s.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def free_ports(count):
    """Loopback ports that were free a moment ago, and that were not given to anybody before. None of
    those that the kernel gives to outgoing connections: one of them might take it before the server."""
    with open("/proc/sys/net/ipv4/ip_local_port_range") as limits:
        low, high = map(int, limits.read().split())
    ports = [p for p in range(10000, 65536) if not low <= p <= high and p not in GIVEN]
    random.shuffle(ports)
    found = list(itertools.islice(filter(bindable, ports), count))
    assert len(found) == count
    GIVEN.update(found)
    return found


def free_port():
    return free_ports(1)[0]


def wait_for(condition, what, seconds=30.0):
    """Waits for a condition, never for a time; returns what it returned."""
    end = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise AssertionError(f"waited {seconds:.0f} s in vain: {what}")
        time.sleep(0.02)


def listeners(port):
    """Inode numbers of the sockets that listen on a TCP port: asks /proc, no connection is spent on it."""
    needle, found = f":{port:04X}", set()
    for name in ("/proc/net/tcp", "/proc/net/tcp6"):
        try:
            with open(name) as lines:
                for fields in map(str.split, lines):
                    if fields[1].endswith(needle) and fields[3] == "0A":
                        found.add(fields[9])
        except OSError:
            pass
    return found


def listening(port, pid=None):
    """Is there a listener on this TCP port? pid: and is it this process's, not a stranger's?"""
    wanted = {f"socket:[{inode}]" for inode in listeners(port)}
    if pid is None or not wanted:
        return bool(wanted)
    try:
        folder = f"/proc/{pid}/fd"
        return any(os.readlink(f"{folder}/{fd}") in wanted for fd in os.listdir(folder))
    except OSError:
        return False


@dataclasses.dataclass(frozen=True)
class Span:
    trace_id: str
    span_id: str
    parent_id: str
    kind: str
    name: str
    start_ns: int
    end_ns: int
    status: int
    flags: int
    trace_state: str
    attributes: dict
    resource: dict
    links: tuple = ()  # (trace id, span id, attributes) each

    @property
    def pid(self):
        return self.resource.get("process.pid")

    @property
    def service(self):
        return self.resource.get("service.name")

    @property
    def path(self):
        """The path of the request, on either side."""
        full = self.attributes.get("url.full")
        if self.kind == "CLIENT" and full:
            return re.sub(r"^[a-z]+://[^/]*", "", full).partition("?")[0]
        return self.attributes.get("url.path")

    @property
    def status_code(self):
        return self.attributes.get("http.response.status_code")

    @property
    def error(self):
        return self.attributes.get("error.type")

    @property
    def cut(self):
        """An exchange that never ended: it carries an error.type that is no status code."""
        return self.error is not None and not self.error.isdigit()

    def __hash__(self):
        return hash((self.trace_id, self.span_id))


def plain_value(value):
    (kind, inner), = value.items()
    if kind == "intValue":
        return int(inner)
    if kind == "arrayValue":
        return [plain_value(v) for v in inner.get("values", [])]
    return inner


def attributes_of(message):
    return {a["key"]: plain_value(a["value"]) for a in message.get("attributes", [])}


def parse_spans(text):
    """OTLP JSON lines, one export request a line -> [Span]."""
    spans = []
    for line in text.splitlines():
        if not line.strip():
            continue
        for resource_spans in json.loads(line).get("resourceSpans", []):
            resource = attributes_of(resource_spans.get("resource", {}))
            for scope_spans in resource_spans.get("scopeSpans", []):
                for s in scope_spans.get("spans", []):
                    spans.append(
                        Span(
                            s["traceId"], s["spanId"], s.get("parentSpanId", ""), KINDS[s["kind"]],
                            s["name"], int(s["startTimeUnixNano"]), int(s["endTimeUnixNano"]),
                            s.get("status", {}).get("code", 0), s.get("flags", 0),
                            s.get("traceState", ""), attributes_of(s), resource,
                            tuple((e["traceId"], e["spanId"], attributes_of(e)) for e in s.get("links", [])),
                        )
                    )
    return spans


HEX_IDS = {"traceId": 32, "spanId": 16, "parentSpanId": 16}
LONG_KEYS = {"startTimeUnixNano", "endTimeUnixNano", "timeUnixNano", "intValue"}
ENUM_KEYS = {"kind", "code"}


def to_protobuf_json(node, problems, key=""):
    """OTLP's JSON differs from protobuf's in ids (hex) and enums (numbers only); checks and converts."""
    if isinstance(node, dict):
        return {k: to_protobuf_json(v, problems, k) for k, v in node.items()}
    if isinstance(node, list):
        return [to_protobuf_json(v, problems, key) for v in node]
    if key in HEX_IDS:
        if not (isinstance(node, str) and (node == "" and key == "parentSpanId"
                or re.fullmatch(r"[0-9a-f]{%d}" % HEX_IDS[key], node) and int(node, 16))):
            problems.append(f"{key}: {node!r}")
            return ""
        return base64.b64encode(bytes.fromhex(node)).decode()
    if key in LONG_KEYS and not isinstance(node, str):
        problems.append(f"{key}: a 64-bit integer that is no string: {node!r}")
    if key in ENUM_KEYS and not isinstance(node, int):
        problems.append(f"{key}: an enum that is no number: {node!r}")
    return node


def check_otlp_json(text, most=None):
    """Every line is valid by the official definitions; returns how many spans they hold. most: as
    many spans are enough (of a file of hundreds of thousands)."""
    from google.protobuf import json_format
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

    count = 0
    for number, line in enumerate(text.splitlines(), 1):
        if most is not None and count >= most:
            break
        problems = []
        converted = to_protobuf_json(json.loads(line), problems)
        assert not problems, f"line {number}: {problems[:5]}"
        message = json_format.ParseDict(converted, ExportTraceServiceRequest())
        assert message.resource_spans, f"line {number}: an empty envelope"
        for resource_spans in message.resource_spans:
            for scope_spans in resource_spans.scope_spans:
                assert scope_spans.spans, f"line {number}: a scope without spans"
                for span in scope_spans.spans:
                    assert span.start_time_unix_nano <= span.end_time_unix_nano
                    assert span.name and span.kind
                    count += 1
    return count


def residuals(ledger):
    """{line: residual} of the account; `sinks` by name."""
    lines = {name: ledger[name]["residual"] for name in ("records", "bytes", "exchanges")}
    lines.update({f"sink {name}": sink["residual"] for name, sink in ledger.get("sinks", {}).items()})
    return lines


def losses(ledger):
    """Everything of the account that is lost, by line and reason; empty in a quiet run."""
    found = {}
    for line, key in (("records", "lost"), ("bytes", "gap"), ("exchanges", "dropped")):
        found.update({f"{line}.{key}.{reason}": n for reason, n in ledger[line].get(key, {}).items() if n})
    return found


def refused(ledger):
    """Spans that were made, but that ship's pipe or a sink's queue had no room for."""
    lost = ledger["exchanges"].get("frames_lost", 0)
    for sink in ledger.get("sinks", {}).values():
        lost += sum(sink["dropped"].values()) + sum(sink["rejected"].values())
    return lost


@dataclasses.dataclass
class Run:
    """One run of sonde: what it printed, its spans and its account."""

    returncode: int
    stdout: str
    stderr: str
    text: str
    ledger: dict
    directory: pathlib.Path

    @functools.cached_property
    def spans(self):
        return parse_spans(self.text)

    def kind(self, kind, pids=None, cut=None):
        return [
            s for s in self.spans
            if s.kind == kind and (pids is None or s.pid in pids) and (cut is None or s.cut == cut)
        ]

    def check(self, quiet=True, most=None):
        """What holds for every run: valid lines, an account that balances, no id twice; quiet: no loss."""
        assert self.returncode == 0, f"sonde: exit {self.returncode}\n{self.stderr[-3000:]}"
        valid = check_otlp_json(self.text, most)
        assert valid == len(self.spans) or most is not None and valid >= most
        assert len({s.span_id for s in self.spans}) == len(self.spans), "a span id twice"
        unbalanced = {k: v for k, v in residuals(self.ledger).items() if v != 0}
        assert not unbalanced, f"residuals: {unbalanced}\n{json.dumps(self.ledger)}"
        assert self.ledger["exchanges"]["spans"] == len(self.spans) + refused(self.ledger)
        if quiet:
            assert not refused(self.ledger), "spans lost on their way out"
            assert not losses(self.ledger), f"losses: {losses(self.ledger)}"
        return self


def command(options, cmd, directory, ledger=True):
    words = [str(SONDE), "trace", "-o", str(directory / "out.jsonl")]
    if ledger:
        words += ["--ledger", str(directory / "ledger.json")]
    return words + [str(o) for o in options] + ["--"] + [str(c) for c in cmd]


def start_trace(cmd, directory, options=(), env=None):
    """Starts sonde around cmd; the caller waits with finish()."""
    directory = pathlib.Path(directory)
    directory.mkdir(parents=True, exist_ok=True)
    out = open(directory / "sonde.stdout", "w")
    err = open(directory / "sonde.stderr", "w")
    process = subprocess.Popen(
        command(options, cmd, directory), stdout=out, stderr=err, stdin=subprocess.DEVNULL,
        cwd=ROOT, env={**os.environ, **(env or {})},
    )
    process.directory = directory
    return process


def finish(process, timeout=120):
    """Waits for a sonde of start_trace(); ends it, by its pid, where it hangs."""
    try:
        process.wait(timeout)
    except subprocess.TimeoutExpired:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        err = (process.directory / "sonde.stderr").read_text(errors="replace")
        raise AssertionError(f"sonde did not end within {timeout} s\n{err[-3000:]}") from None
    directory = process.directory

    def read(name):
        path = directory / name
        return path.read_text(errors="replace") if path.exists() else ""

    ledger = read("ledger.json")
    return Run(
        process.returncode, read("sonde.stdout"), read("sonde.stderr"), read("out.jsonl"),
        json.loads(ledger) if ledger.strip() else {}, directory,
    )


def sonde_trace(cmd, directory, options=(), timeout=120, env=None):
    """`sonde trace -o out.jsonl --ledger ledger.json OPTIONS -- CMD` -> Run."""
    return finish(start_trace(cmd, directory, options, env), timeout)


def write_scene(directory, servers, clients, **more):
    """The traced command for servers and clients; see scene.py for the words."""
    directory = pathlib.Path(directory)
    directory.mkdir(parents=True, exist_ok=True)
    plan = {
        "directory": str(directory),
        "servers": [s.plan() for s in servers],
        "clients": [{"cmd": [str(w) for w in c]} if isinstance(c, (list, tuple)) else c for c in clients],
        **more,
    }
    (directory / "plan.json").write_text(json.dumps(plan))
    return [PYTHON, str(SCENE), str(directory / "plan.json")]


def trace_scene(directory, servers, clients, options=(), timeout=120, env=None, **more):
    """Traces servers and clients; Run with `.results`: a list of {pid, rc, stdout} a client."""
    cmd = write_scene(directory, servers, clients, **more)
    return scene_results(sonde_trace(cmd, directory, options, timeout, env), servers)


def scene_results(run, servers=()):
    results = json.loads((run.directory / "results.json").read_text())
    run.results = results["clients"]
    run.server_pids = results["servers"]
    for server, pids in zip(servers, results["servers"]):
        server.pids = set(pids)
    for client in run.results:
        assert client["rc"] == 0, f"client {client}\n{run.stderr[-2000:]}"
    return run
