# SPDX-License-Identifier: Apache-2.0
"""sonde in a pid namespace of its own, as in a container: the kernel's numbers of processes are not its own."""

import json
import subprocess

from harness import SONDE, parse_spans, residuals

# Starts a server and traces it by its number in this namespace; then a command; then a port that it sends to.
INSIDE = r"""
set -eu
for i in by-pid own; do : >$i.log; done
/usr/bin/python3 -u -m http.server 0 --bind 127.0.0.1 >server.log 2>&1 &
server=$!
trap 'kill $server' EXIT
until grep -q port server.log; do sleep 0.05; done
port=$(sed -n 's/.* port \([0-9]*\) .*/\1/p' server.log)
"$SONDE" trace -v -o by-pid.jsonl --ledger by-pid.json -p $server 2>by-pid.log &
sonde=$!
until grep -q 'hooks are attached' by-pid.log; do kill -0 $sonde; sleep 0.05; done
for i in 1 2 3; do curl -s -o /dev/null "http://127.0.0.1:$port/by-pid/$i"; done
kill $sonde; wait $sonde
"$SONDE" trace -o command.jsonl --ledger command.json -- sh -c "curl -s -o /dev/null http://127.0.0.1:$port/command"
# Spans are sent to a port that is in scope: sonde's own export must not be traced.
"$SONDE" trace -v -o own.jsonl --ledger own.json --otlp http://127.0.0.1:$port --port $port 2>own.log &
sonde=$!
until grep -q 'hooks are attached' own.log; do kill -0 $sonde; sleep 0.05; done
curl -s -o /dev/null "http://127.0.0.1:$port/own"
until grep -q 'POST /v1/traces' server.log; do sleep 0.05; done
sleep 1
kill $sonde; wait $sonde
echo $server >server.pid
"""


def inside(tmp_path, script, *options):
    # A root that is no mount, as after chroot, has no propagation to be changed; that of /proc is.
    return subprocess.run(["unshare", "-pf", "--kill-child", "--propagation", "unchanged", *options, "sh", "-c", script],
                          cwd=tmp_path, timeout=120, capture_output=True, text=True,
                          env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "SONDE": SONDE})


def test_numbers_are_translated(tmp_path):
    """Protects: -p, a command's tree, identities and what is sonde's own, by the kernel's numbers."""
    done = inside(tmp_path, INSIDE, "--mount-proc")
    assert done.returncode == 0, done.stdout + done.stderr
    server = int((tmp_path / "server.pid").read_text())

    def spans(name):
        ledger = json.loads((tmp_path / f"{name}.json").read_text())
        assert not any(residuals(ledger).values()), ledger
        return parse_spans((tmp_path / f"{name}.jsonl").read_text())

    by_pid = sorted(spans("by-pid"), key=lambda s: s.start_ns)
    assert [(s.kind, s.path) for s in by_pid] == [("SERVER", f"/by-pid/{i}") for i in (1, 2, 3)]
    assert {s.pid for s in by_pid} == {server}
    assert {s.resource["process.executable.name"].rstrip("0123456789.") for s in by_pid} == {"python"}
    assert [(s.kind, s.path, s.resource["process.executable.name"]) for s in spans("command")] == \
        [("CLIENT", "/command", "curl")]
    own = spans("own")
    assert {s.path for s in own if s.kind == "CLIENT"} == {"/own"}, [s.name for s in own]


def test_proc_of_another_namespace(tmp_path):
    """Protects: where /proc shows other processes than ours nothing is traced by mistake, and it is said why."""
    done = inside(tmp_path, '"$SONDE" trace -p 1 --duration 1')
    assert done.returncode == 1, done.stdout + done.stderr
    assert "/proc is not that of this pid namespace" in done.stderr and "mount -t proc" in done.stderr
    done = inside(tmp_path, '"$SONDE" doctor', "--mount-proc")
    assert "hostPID" in done.stdout
