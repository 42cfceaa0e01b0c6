# SPDX-License-Identifier: Apache-2.0
"""What sonde costs, measured in one run: nginx under wrk, without sonde, with empty programs on the
same hooks, with sonde; rounds of the three in turn, so that a noisy neighbour meets all of them.
Prints a table with the spread and keeps the raw values as JSON."""
import argparse
import json
import os
import platform
import re
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time

NGINX = """
worker_processes 2; daemon off; pid {dir}/nginx.pid; error_log {dir}/error.log;
events {{ worker_connections 1024; }}
http {{
  access_log off; keepalive_requests 1000000000;
  client_body_temp_path {dir}/b; proxy_temp_path {dir}/p; fastcgi_temp_path {dir}/f;
  uwsgi_temp_path {dir}/u; scgi_temp_path {dir}/s;
  server {{ listen 127.0.0.1:{port}; location / {{ return 200 "{body}"; }}
            location = /stat {{ stub_status; }} }}
}}
"""


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def wait_for(what, condition, seconds=20):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        value = condition()
        if value:
            return value
        time.sleep(0.01)
    raise SystemExit(f"bench: {what} did not come within {seconds} s")


def answers(port):
    try:
        socket.create_connection(("127.0.0.1", port), 0.2).close()
        return True
    except OSError:
        return False


def children(pid):
    return [int(p) for p in subprocess.run(["ps", "-o", "pid=", "--ppid", str(pid)], text=True,
                                           capture_output=True).stdout.split()]


def tree(pid):
    return [pid] + [q for p in children(pid) for q in tree(p)]


def cpu_seconds(pids):
    total = 0
    for pid in pids:
        try:
            fields = open(f"/proc/{pid}/stat").read().rsplit(")", 1)[1].split()
            total += (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
        except OSError:
            pass
    return total


def pss_bytes(pids):
    total = 0
    for pid in pids:
        try:
            total += int(re.search(r"Pss:\s+(\d+)", open(f"/proc/{pid}/smaps_rollup").read())[1]) * 1024
        except OSError:
            pass
    return total


def bpf_programs(pids):
    """Run count and time of every program that these processes hold, from their descriptors."""
    out = {}
    for pid in pids:
        base = f"/proc/{pid}/fdinfo"
        for fd in os.listdir(base):
            try:
                text = open(f"{base}/{fd}").read()
            except OSError:
                continue
            if "prog_id" not in text or "run_cnt" not in text:
                continue
            f = dict(line.split(":", 1) for line in text.splitlines() if ":" in line)
            out[int(f["prog_id"])] = (int(f["run_cnt"]), int(f["run_time_ns"]))
    return out


def map_bytes(pids):
    seen = {}
    for pid in pids:
        base = f"/proc/{pid}/fdinfo"
        for fd in os.listdir(base):
            try:
                text = open(f"{base}/{fd}").read()
            except OSError:
                continue
            f = dict(line.split(":", 1) for line in text.splitlines() if ":" in line)
            if "map_id" in f and "memlock" in f:
                seen[int(f["map_id"])] = int(f["memlock"])
    return sum(seen.values())


class Nginx:
    def __init__(self, body_bytes):
        self.dir = tempfile.mkdtemp(prefix="sonde-bench-")
        os.chmod(self.dir, 0o755)
        self.port = free_port()
        conf = f"{self.dir}/nginx.conf"
        with open(conf, "w") as f:
            f.write(NGINX.format(dir=self.dir, port=self.port, body="x" * body_bytes))
        self.process = subprocess.Popen(["nginx", "-c", conf, "-e", f"{self.dir}/error.log"])
        wait_for("nginx", lambda: answers(self.port))

    def stop(self):
        self.process.send_signal(signal.SIGQUIT)
        self.process.wait(20)
        shutil.rmtree(self.dir, ignore_errors=True)


def wrk(port, seconds, connections):
    out = subprocess.run(["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--latency",
                          f"http://127.0.0.1:{port}/"], text=True, capture_output=True, check=True).stdout
    requests = int(re.search(r"(\d+) requests in", out)[1])
    rate = float(re.search(r"Requests/sec:\s+([\d.]+)", out)[1])
    return requests, rate


class Empty:
    name = "empty programs"

    def __init__(self, args, nginx):
        self.process = subprocess.Popen([args.empty, args.tier or "socktp"], text=True,
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        if self.process.stdout.readline().strip() != "attached":
            raise SystemExit("bench: the empty programs could not be attached")

    def stop(self):
        self.process.stdin.close()
        self.process.wait(20)
        return {}


class Sonde:
    name = "sonde"

    def __init__(self, args, nginx):
        self.ledger = f"{nginx.dir}/ledger.json"
        command = [args.sonde, "trace", "-v", "-p", str(nginx.process.pid), "-o", "/dev/null",
                   "--ledger", self.ledger]
        if args.tier:
            command += ["--tier", args.tier]
        begin = time.monotonic()
        self.process = subprocess.Popen(command, text=True, stderr=subprocess.PIPE,
                                        stdout=subprocess.DEVNULL)
        while "hooks are attached" not in (line := self.process.stderr.readline()):
            if not line:
                raise SystemExit("bench: sonde ended before its hooks were attached")
        self.start_seconds = time.monotonic() - begin
        self.pids = tree(self.process.pid)
        self.idle_bytes = pss_bytes(self.pids) + map_bytes(self.pids)
        self.maps = map_bytes(self.pids)
        self.cpu = cpu_seconds(self.pids)
        self.programs = bpf_programs(self.pids)

    def stop(self):
        self.pids = tree(self.process.pid)
        user = cpu_seconds(self.pids) - self.cpu
        load_bytes = pss_bytes(self.pids) + map_bytes(self.pids)
        hits = {k: (n - self.programs.get(k, (0, 0))[0], t - self.programs.get(k, (0, 0))[1])
                for k, (n, t) in bpf_programs(self.pids).items()}
        self.process.send_signal(signal.SIGINT)
        self.process.communicate(timeout=30)
        ledger = json.load(open(self.ledger))
        return {"user_seconds": user, "idle_bytes": self.idle_bytes, "load_bytes": load_bytes,
                "map_bytes": self.maps, "start_seconds": self.start_seconds, "ledger": ledger,
                "hits": sum(n for n, _ in hits.values()), "hit_ns": sum(t for _, t in hits.values())}


def measure(arm, args, nginx):
    running = arm(args, nginx) if arm else None
    try:
        requests, rate = wrk(nginx.port, args.seconds, args.connections)
    finally:
        extra = running.stop() if running else {}
    return {"arm": arm.name if arm else "nothing", "requests": requests, "rate": rate, **extra}


def spread(values):
    return f"{statistics.median(values):.3f} ({min(values):.3f} to {max(values):.3f})"


def report(rounds, args):
    plain = [r["nothing"]["rate"] for r in rounds]
    print(f"\nnginx, keep-alive, {args.body} byte page, wrk -c{args.connections}, {args.seconds} s an arm, "
          f"{len(rounds)} rounds; {os.cpu_count()} processors, Linux {platform.release()}\n")
    print(f"  requests/s with nothing attached     {statistics.median(plain):,.0f} "
          f"({min(plain):,.0f} to {max(plain):,.0f})")
    for arm in ("empty programs", "sonde"):
        ratios = [r[arm]["rate"] / r["nothing"]["rate"] for r in rounds]
        print(f"  ratio with {arm:<25} {spread(ratios)}")
    s = [r["sonde"] for r in rounds]
    per = lambda f: [f(x) / x["requests"] for x in s]
    print(f"  ns a hook hit (kernel's own figure)  {spread([x['hit_ns'] / max(x['hits'], 1) for x in s])}")
    print(f"  hook hits an exchange                {spread(per(lambda x: x['hits']))}")
    print(f"  records an exchange                  {spread(per(lambda x: x['ledger']['records']['attempted']))}")
    print(f"  us of user space an exchange         {spread(per(lambda x: x['user_seconds'] * 1e6))}")
    print(f"  spans : requests                     {spread(per(lambda x: x['ledger']['exchanges']['spans']))}")
    print(f"  records lost                         {[sum(x['ledger']['records']['lost'].values()) for x in s]}")
    mib = lambda key: spread([x[key] / 2**20 for x in s])
    print(f"  MiB, maps and all roles, idle        {mib('idle_bytes')}")
    print(f"  MiB, maps and all roles, under load  {mib('load_bytes')}")
    print(f"  MiB, maps alone                      {mib('map_bytes')}")
    print(f"  s from start to hooks attached       {spread([x['start_seconds'] for x in s])}\n")


def main():
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument("--sonde", required=True)
    p.add_argument("--empty", required=True)
    p.add_argument("--json")
    p.add_argument("--tier")
    p.add_argument("--rounds", type=int, default=5)
    p.add_argument("--seconds", type=int, default=5)
    p.add_argument("--connections", type=int, default=32)
    p.add_argument("--body", type=int, default=128)
    args = p.parse_args()
    if os.geteuid() != 0:
        raise SystemExit("bench: it attaches programs to the kernel: run it as root")
    stats = "/proc/sys/kernel/bpf_stats_enabled"
    before = open(stats).read()
    nginx = Nginx(args.body)
    rounds = []
    try:
        open(stats, "w").write("1")
        wrk(nginx.port, 2, args.connections)
        for i in range(args.rounds):
            rounds.append({r["arm"]: r for r in (measure(arm, args, nginx) for arm in (None, Empty, Sonde))})
            print(f"round {i + 1}: " + ", ".join(f"{k} {v['rate']:,.0f}/s" for k, v in rounds[-1].items()),
                  flush=True)
    finally:
        open(stats, "w").write(before)
        nginx.stop()
    if args.json:
        json.dump({"machine": platform.uname()._asdict(), "rounds": rounds}, open(args.json, "w"), indent=1)
    report(rounds, args)


if __name__ == "__main__":
    sys.exit(main())
