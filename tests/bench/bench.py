# SPDX-License-Identifier: Apache-2.0
"""What sonde costs, measured in one run: nginx under wrk, without sonde, with empty programs on the
same hooks, with sonde that exports to an acknowledging sink; rounds of the three in turn, so that a
noisy neighbour meets all of them. Then a million exchanges that are checked one by one, and a million
tiny requests. Prints a table with the spread and keeps the raw values as JSON. About eight minutes."""
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
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../vm"))

import matrix  # noqa: E402

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


def bpf_descriptors(pids, *words):
    """What the kernel says of each descriptor of these processes that has all the words."""
    for pid in pids:
        base = f"/proc/{pid}/fdinfo"
        for fd in os.listdir(base):
            try:
                text = open(f"{base}/{fd}").read()
            except OSError:
                continue
            said = dict(line.split(":", 1) for line in text.splitlines() if ":" in line)
            if all(word in said for word in words):
                yield said


def bpf_programs(pids):
    """Run count and time of every program that these processes hold."""
    return {int(f["prog_id"]): (int(f["run_cnt"]), int(f["run_time_ns"]))
            for f in bpf_descriptors(pids, "prog_id", "run_cnt")}


def map_bytes(pids):
    return sum({int(f["map_id"]): int(f["memlock"]) for f in bpf_descriptors(pids, "map_id", "memlock")}.values())


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
        self.process = subprocess.Popen([args.empty, args.tier], text=True,
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        if self.process.stdout.readline().strip() != "attached":
            raise SystemExit(f"bench: the empty programs of tier {args.tier} could not be attached")
        self.pids = [self.process.pid]

    def begin(self):
        pass

    def end(self):
        return {}

    def stop(self):
        self.process.stdin.close()
        self.process.wait(20)
        return {}


class Sonde:
    """The agent, scoped to nginx; every span goes to a sink that acknowledges and does nothing else."""
    name = "sonde"

    def __init__(self, args, nginx):
        self.ledger = f"{nginx.dir}/ledger.json"
        self.sink = subprocess.Popen([args.sink], text=True, stdout=subprocess.PIPE)
        port = self.sink.stdout.readline().split()[1]
        # What is measured is the work, not how the governor shirks it.
        command = [args.sonde, "agent", "--cpu-budget", "100", "--memory-budget", "1g",
                   "--lock", f"{nginx.dir}/lock", "-p", str(nginx.process.pid), "--tier", args.tier,
                   "--otlp", f"http://127.0.0.1:{port}", "--ledger", self.ledger]
        start = time.monotonic()
        self.process = subprocess.Popen(command, text=True, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL)
        said = []
        while "hooks are attached" not in (line := self.process.stderr.readline()):
            said.append(line)
            if not line:
                raise SystemExit("bench: sonde ended before its hooks were attached:\n" + "".join(said))
        self.start_seconds = time.monotonic() - start
        # What it says later must not fill the pipe.
        self.reader = threading.Thread(target=self.process.stderr.read, daemon=True)
        self.reader.start()
        self.pids = tree(self.process.pid)
        self.maps = map_bytes(self.pids)
        self.idle_bytes = pss_bytes(self.pids) + self.maps
        self.peak_bytes = self.idle_bytes

    def begin(self):
        self.pids = tree(self.process.pid)
        self.cpu = self.cpu_by_role()
        self.watching = True
        self.watcher = threading.Thread(target=self.watch, daemon=True)
        self.watcher.start()

    def watch(self):
        while self.watching:
            self.peak_bytes = max(self.peak_bytes, pss_bytes(self.pids) + map_bytes(self.pids))
            time.sleep(0.5)

    def cpu_by_role(self):
        out = {}
        for pid in self.pids:
            try:
                words = open(f"/proc/{pid}/cmdline").read()
            except OSError:
                continue
            role = re.search(r"--role=(\w+)", words)
            out[role[1] if role else "probe"] = cpu_seconds([pid])
        return out

    def end(self):
        self.watching = False
        self.watcher.join()
        return {"cpu": {role: s - self.cpu.get(role, 0) for role, s in self.cpu_by_role().items()},
                "idle_bytes": self.idle_bytes, "load_bytes": self.peak_bytes, "map_bytes": self.maps,
                "start_seconds": self.start_seconds}

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        status = self.process.wait(60)
        self.reader.join()
        self.sink.send_signal(signal.SIGTERM)
        sink = json.loads(self.sink.communicate(timeout=20)[0].splitlines()[-1])
        if status:
            raise SystemExit(f"bench: sonde: exit {status}")
        return {"ledger": json.load(open(self.ledger)), "sink": sink}


STATS = "/proc/sys/kernel/bpf_stats_enabled"


def hits(running, nginx, args):
    """Hits and their time as the kernel counts them, in a load of its own: counting costs, too."""
    before = open(STATS).read()
    try:
        open(STATS, "w").write("1")
        was = bpf_programs(running.pids)
        requests, _ = wrk(nginx.port, 1, args.connections)
        now = bpf_programs(running.pids)
    finally:
        open(STATS, "w").write(before)
    took = [(n - was.get(k, (0, 0))[0], t - was.get(k, (0, 0))[1]) for k, (n, t) in now.items()]
    return {"hits": sum(n for n, _ in took), "hit_ns": sum(t for _, t in took), "hit_requests": requests}


def best_tier(sonde):
    """The one that sonde would take here by itself."""
    said = subprocess.run([sonde, "doctor", "--json"], text=True, capture_output=True).stdout
    tier = json.loads(said).get("tier") if said else None
    return tier or sys.exit("bench: sonde cannot trace here: see `sonde doctor`")


def measure(arm, args, nginx):
    running = arm(args, nginx) if arm else None
    out = {"arm": arm.name if arm else "nothing"}
    try:
        if running:
            running.begin()
        out["requests"], out["rate"] = wrk(nginx.port, args.seconds, args.connections)
        if running:
            out.update(running.end())
            out.update(hits(running, nginx, args))
    finally:
        out.update(running.stop() if running else {})
    return out


def residuals(ledger):
    return sum(abs(part["residual"]) for part in
               [ledger["records"], ledger["bytes"], ledger["exchanges"], *ledger["sinks"].values()])


def tiny(args, nginx):
    """Requests until there were so many; nothing else than in a round, but for long."""
    running = Sonde(args, nginx)
    begin, asked = time.monotonic(), 0
    try:
        running.begin()
        while asked < args.tiny and time.monotonic() - begin < args.limit:
            asked += wrk(nginx.port, 5, args.connections)[0]
        out = running.end()
    finally:
        stopped = running.stop()
    return {"requests": asked, "seconds": time.monotonic() - begin, **out, **stopped}


def busy(args):
    """Eight processes whose payloads name themselves, each span checked: tests/vm/guest."""
    matrix.build_guest()
    out, begin = {"exchanges": 0, "bad": 0, "checked": 0, "rounds": []}, time.monotonic()
    count = 25000
    with tempfile.TemporaryDirectory(prefix="sonde-bench-") as folder:
        spans, ledger = f"{folder}/out.jsonl", f"{folder}/ledger.json"
        while out["exchanges"] < args.busy and time.monotonic() - begin < args.limit:
            # In turn one that wraps around all the time and may lose, and one that holds nearly everything.
            ring = ("256k", "16m")[len(out["rounds"]) % 2]
            done = subprocess.run([args.sonde, "trace", "-q", "--tier", args.tier, "--ring-size", ring, "-o", spans, "--ledger", ledger, "--",
                                   matrix.GUEST / "peer", "busy", "4", str(count)], text=True, capture_output=True)
            if done.returncode:
                raise SystemExit(f"bench: busy: exit {done.returncode}\n{done.stderr[-1000:]}")
            judged = [subprocess.run([matrix.GUEST / "spans", *words], text=True, capture_output=True)
                      for words in (("busy", "4", str(count), spans, ledger), ("balance", ledger))]
            out["exchanges"] += 4 * count
            out["checked"] += int(re.search(r"(\d+) of \d+ spans", judged[0].stdout)[1])
            out["bad"] += any(j.returncode for j in judged)
            out["rounds"].append(judged[0].stdout.strip() + (judged[1].stdout if judged[1].returncode else ""))
            print(f"busy {out['exchanges']:,}: {out['rounds'][-1]}", flush=True)
    out["seconds"] = time.monotonic() - begin
    return out


def replay(args):
    """Nanoseconds of the user side for an exchange, from a record file; the all of several runs."""
    tools, out = os.path.dirname(args.sink), {}
    with tempfile.TemporaryDirectory(prefix="sonde-bench-") as folder:
        subprocess.run([f"{tools}/nginx_record", "100000", f"{folder}/nginx.sonde"], check=True)
        for part in ("trace", "ship"):
            out[part] = []
            for _ in range(args.rounds):
                words = subprocess.run([f"{tools}/replay_cost", f"{folder}/nginx.sonde", part], text=True, check=True,
                                       capture_output=True).stdout.split()
                found = dict(zip(words[::2], map(int, words[1::2])))
                out[part].append(found["ns"] / found["exchanges"])
    return out


def spread(values):
    digits = 0 if min(values) >= 100 else 3
    text = [f"{v:,.{digits}f}" for v in (statistics.median(values), min(values), max(values))]
    return f"{text[0]} ({text[1]} to {text[2]})"


def row(what, value):
    print(f"  {what:<52} {value}")


def report(result, args):
    rounds = result["rounds"]
    print(f"\nnginx, keep-alive, {args.body} byte page, wrk -c{args.connections}, {args.seconds} s an arm, "
          f"{len(rounds)} rounds, tier {args.tier}; {os.cpu_count()} processors, Linux {platform.release()}\n"
          "median (least to most)\n")
    row("requests/s with nothing attached", spread([r["nothing"]["rate"] for r in rounds]))
    for arm in ("empty programs", "sonde"):
        row(f"throughput ratio with {arm}", spread([r[arm]["rate"] / r["nothing"]["rate"] for r in rounds]))
    s = [r["sonde"] for r in rounds]
    for arm in ("empty programs", "sonde"):
        row(f"ns a hook hit, {arm}", spread([r[arm]["hit_ns"] / max(r[arm]["hits"], 1) for r in rounds]))
    row("hook hits an exchange", spread([x["hits"] / x["hit_requests"] for x in s]))
    row("records an exchange", spread([x["ledger"]["records"]["attempted"] / max(x["ledger"]["exchanges"]["begun"], 1)
                                       for x in s]))
    row("us of user space an exchange, all roles", spread([sum(x["cpu"].values()) * 1e6 / x["requests"] for x in s]))
    for role in ("trace", "ship"):
        row(f"  of them {role}", spread([x["cpu"].get(role, 0) * 1e6 / x["requests"] for x in s]))
    if "replay" in result:
        row("ns an exchange, replay to frames", spread(result["replay"]["trace"]))
        row("ns a span, frames to request", spread(result["replay"]["ship"]))
    row("bytes of export a span", spread([x["sink"]["bytes"] / max(x["ledger"]["exchanges"]["spans"], 1) for x in s]))
    row("records lost", [sum(x["ledger"]["records"]["lost"].values()) for x in s])
    row("residuals of the accounts", [residuals(x["ledger"]) for x in s])
    for key, what in (("idle_bytes", "maps and all roles, idle"), ("load_bytes", "maps and all roles, under load"),
                      ("map_bytes", "maps alone")):
        row(f"MiB, {what}", spread([x[key] / 2**20 for x in s]))
    row("s from start to hooks attached", spread([x["start_seconds"] for x in s]))
    if "tiny" in result:
        t = result["tiny"]
        e, r = t["ledger"]["exchanges"], t["ledger"]["records"]
        print(f"\n  {t['requests']:,} tiny requests in {t['seconds']:.0f} s: {e['spans']:,} spans, "
              f"{sum(e['dropped'].values()):,} dropped and counted, {r['attempted'] / max(e['begun'], 1):.3f} records an "
              f"exchange,\n    MiB {t['idle_bytes'] / 2**20:.1f} before, {t['load_bytes'] / 2**20:.1f} at the most, "
              f"residuals {residuals(t['ledger'])}")
    if "busy" in result:
        b = result["busy"]
        print(f"\n  {b['exchanges']:,} exchanges of 8 busy processes in {b['seconds']:.0f} s, the bytes of {b['checked']:,} "
              "client and server spans checked\n    (the others' records were dropped and counted): "
              + ("no torn, foreign or doubled one" if not b["bad"] else f"WRONG in {b['bad']} rounds"))
    print()


def wrong(result):
    """What is not a matter of cost: it must hold on any machine."""
    out = []
    for name, ledger in [(f"round {i + 1}", r["sonde"]["ledger"]) for i, r in enumerate(result["rounds"])] + \
            ([("tiny requests", result["tiny"]["ledger"])] if "tiny" in result else []):
        if residuals(ledger):
            out.append(f"{name}: an account does not balance")
    if result.get("busy", {}).get("bad"):
        out.append("busy: torn, foreign or unaccounted spans")
    return out


def main():
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument("--sonde", required=True)
    p.add_argument("--empty", required=True)
    p.add_argument("--sink", required=True, help="otlp_sink; the other tools lie beside it")
    p.add_argument("--json")
    p.add_argument("--tier", choices=("kprobe", "fentry", "socktp"), help="default: what sonde doctor would take")
    p.add_argument("--rounds", type=int, default=5)
    p.add_argument("--seconds", type=int, default=5)
    p.add_argument("--connections", type=int, default=32)
    p.add_argument("--body", type=int, default=128)
    p.add_argument("--tiny", type=int, default=1000000, help="tiny requests; 0: leave it out")
    p.add_argument("--busy", type=int, default=1000000, help="checked exchanges; 0: leave it out")
    p.add_argument("--limit", type=int, default=240, help="seconds that each of these two may take")
    args = p.parse_args()
    if os.geteuid() != 0:
        raise SystemExit("bench: it attaches programs to the kernel: run it as root")
    args.tier = args.tier or best_tier(args.sonde)
    nginx = Nginx(args.body)
    result = {"machine": platform.uname()._asdict(), "arguments": vars(args), "rounds": []}
    try:
        wrk(nginx.port, 2, args.connections)
        for i in range(args.rounds):
            # Whoever comes first is another one each time.
            arms = ([None, Empty, Sonde] * 2)[i % 3:i % 3 + 3]
            result["rounds"].append({r["arm"]: r for r in (measure(arm, args, nginx) for arm in arms)})
            print(f"round {i + 1}: " + ", ".join(f"{k} {v['rate']:,.0f}/s" for k, v in result["rounds"][-1].items()),
                  flush=True)
        if args.tiny:
            result["tiny"] = tiny(args, nginx)
    finally:
        nginx.stop()
    result["replay"] = replay(args)
    if args.busy:
        result["busy"] = busy(args)
    if args.json:
        json.dump(result, open(args.json, "w"), indent=1)
    report(result, args)
    problems = wrong(result)
    for problem in problems:
        print(f"bench: {problem}", file=sys.stderr)
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
