# SPDX-License-Identifier: Apache-2.0
"""The real ship code as a process that a test feeds with frames: tests/tools/ship_frames.c."""
import functools
import json
import mmap
import os
import pathlib
import subprocess
import tempfile
import time

import sink_frames as frames

ROOT = pathlib.Path(__file__).resolve().parents[2]


@functools.cache
def tool():
    """Built from the same objects as sonde itself."""
    output = os.environ.get("OUTPUT", "build")
    subprocess.run(["make", "-s", "-C", str(ROOT), f"OUTPUT={output}", f"{output}/tools/ship_frames"],
                   check=True)
    path = pathlib.Path(output)
    return str((path if path.is_absolute() else ROOT / path) / "tools/ship_frames")


@functools.cache
def layout():
    return json.loads(subprocess.run([tool(), "--layout"], check=True, capture_output=True).stdout)


def wait_for(condition, what, seconds=20):
    """The condition's value once it is true."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        value = condition()
        if value:
            return value
        time.sleep(0.01)
    raise AssertionError(f"not within {seconds} s: {what}")


class Ship:
    """`with Ship("--otlp", url) as ship: ship.spans(...)`; .account is live and holds afterwards."""

    def __init__(self, *arguments, env=None, stdout=None):
        self.directory = tempfile.TemporaryDirectory()
        path = pathlib.Path(self.directory.name) / "account"
        clean = {k: v for k, v in os.environ.items() if not k.startswith("OTEL_")}
        self.process = subprocess.Popen(
            [tool(), "--account", str(path), *map(str, arguments)], stdin=subprocess.PIPE,
            stdout=stdout if stdout is not None else subprocess.PIPE, stderr=subprocess.PIPE,
            env={**clean, **(env or {})}, bufsize=0)
        size = layout()["sinks"] + 8 * layout()["each"]
        wait_for(lambda: self.process.poll() is not None or
                 (path.exists() and path.stat().st_size >= size), "the account is there")
        self.map = None
        if path.exists() and path.stat().st_size >= size:
            with open(path, "rb") as file:
                self.map = mmap.mmap(file.fileno(), size, access=mmap.ACCESS_READ)
        self.out = self.err = None

    def send(self, data):
        self.process.stdin.write(data)

    def prepare(self, service="web"):
        self.send(frames.resource(1, service) + frames.scope())

    def spans(self, messages, **options):
        self.send(b"".join(frames.span_frame(m, **options) for m in messages))

    def account(self, name="otlp"):
        """The sink's counters; all 0 until ship has come so far as to name it."""
        where = layout()
        for i in range(8):
            at = where["sinks"] + i * where["each"]
            if self.map[at:at + 32].rstrip(b"\0").decode() == name:
                return {c[0]: int.from_bytes(self.map[at + c[1]:at + c[1] + 8], "little")
                        for c in where["counters"] if c}
        return {c[0]: 0 for c in where["counters"] if c}

    def residual(self, name="otlp"):
        a = self.account(name)
        return a["spans"] - a["unsampled"] - a["acked"] - a["queued"] - \
            sum(v for k, v in a.items() if k.startswith(("rejected_", "dropped_")))

    def terminate(self):
        self.process.terminate()
        return self.finish(close=False)

    def finish(self, close=True, timeout=20):
        if close and self.process.stdin:
            self.process.stdin.close()
        if self.out is None:
            self.process.wait(timeout)
            self.out = self.process.stdout.read() if self.process.stdout else b""
            self.err = self.process.stderr.read().decode()
        return self

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        try:
            self.finish()
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.finish()
            if kind is None:
                raise
