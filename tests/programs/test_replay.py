# SPDX-License-Identifier: Apache-2.0
"""What was recorded is told again, to the same bytes."""

import os
import stat
import subprocess

import servers
from harness import SONDE, check_otlp_json, parse_spans, write_scene


def test_replay_twice(tmp_path):
    """Protects: record, then replay twice: byte-identical OTLP; the file is private; replay needs no root."""
    backend = servers.PythonThreads(tmp_path)
    front = servers.proxy(tmp_path, backend)
    scene = write_scene(tmp_path, [backend, front], [["curl", "-sS", front.url(f"/r/{n}")] for n in range(10)])
    file = tmp_path / "run.sonde"
    subprocess.run([SONDE, "record", "-o", file, "--", *scene], check=True, capture_output=True, timeout=60)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    outputs = []
    for n in range(2):
        out = tmp_path / f"replay{n}.jsonl"
        subprocess.run([SONDE, "replay", file, "-o", out], check=True, capture_output=True, timeout=60)
        outputs.append(out.read_bytes())
    assert outputs[0] == outputs[1]
    text = outputs[0].decode()
    assert check_otlp_json(text) == 40
    spans = parse_spans(text)
    assert len({s.trace_id for s in spans}) == 10


def test_replay_refuses(tmp_path):
    """Protects: a file that is none of sonde's is refused by name, with status 1."""
    file = tmp_path / "other"
    file.write_bytes(os.urandom(4096))
    done = subprocess.run([SONDE, "replay", file], capture_output=True, text=True, timeout=20)
    assert done.returncode == 1
    assert str(file) in done.stderr
