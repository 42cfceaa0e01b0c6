# SPDX-License-Identifier: Apache-2.0
"""The traced command of the tests: servers, then clients, then the end, all by pid.

  scene.py PLAN.json

PLAN: {directory, servers: [{cmd, port | unix, says, env, cwd, log, stop}], clients: [{cmd, env, together}]}.
A server that listens before it serves says in its log when it does.
A client with "together": true runs beside the next one. Writes results.json: the clients' pids,
exit statuses and output, and each server's pids (with children) as they were before it was stopped.
It speaks to no server itself: whether one listens is read from /proc.
"""

import json
import os
import signal
import subprocess
import sys
import time

PATIENCE_S = 60


def listeners(port):
    """Inode numbers of the sockets that listen on a TCP port."""
    needle, found = f":{port:04X}", set()
    for name in ("/proc/net/tcp", "/proc/net/tcp6"):
        try:
            with open(name) as lines:
                for line in lines:
                    fields = line.split()
                    if fields[1].endswith(needle) and fields[3] == "0A":
                        found.add(fields[9])
        except OSError:
            pass
    return found


def ready(server, process):
    """Does this very server listen? (Some other program might have taken its port.)"""
    if "unix" in server:
        return os.path.exists(server["unix"])
    wanted = {f"socket:[{inode}]" for inode in listeners(server["port"])}
    if not wanted:
        return False
    try:
        folder = f"/proc/{process.pid}/fd"
        return any(os.readlink(f"{folder}/{fd}") in wanted for fd in os.listdir(folder))
    except OSError:
        return False


def tree(pid):
    """A process and its descendants."""
    found = [pid]
    for task in os.listdir(f"/proc/{pid}/task"):
        try:
            with open(f"/proc/{pid}/task/{task}/children") as children:
                for child in children.read().split():
                    found += tree(int(child))
        except OSError:
            pass
    return found


def start(entry, log):
    return subprocess.Popen(
        entry["cmd"], stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT,
        env={**os.environ, **entry.get("env", {})}, cwd=entry.get("cwd"),
        # Apache's parent signals its whole process group when it stops.
        start_new_session=True,
    )


def start_server(server, directory, number):
    with open(server.get("log", f"{directory}/server{number}.log"), "a") as log:
        process = start(server, log)
    end = time.monotonic() + PATIENCE_S
    while not ready(server, process):
        if process.poll() is not None or time.monotonic() > end:
            raise SystemExit(f"scene: server {number} does not listen: {server['cmd']}, see {log.name}")
        time.sleep(0.02)
    while "says" in server and process.poll() is None and time.monotonic() < end:
        with open(log.name, errors="replace") as said:
            if server["says"] in said.read():
                break
        time.sleep(0.02)
    return process


def stop(process, how):
    if process.poll() is None:
        process.send_signal(how)
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
    process.wait()


def run_clients(clients, directory):
    results, running = [], []
    for number, client in enumerate(clients):
        path = f"{directory}/client{number}.out"
        with open(path, "w") as log:
            running.append((start(client, log), path))
        if client.get("together"):
            continue
        for process, out in running:
            rc = process.wait()
            with open(out, errors="replace") as text:
                results.append({"pid": process.pid, "rc": rc, "stdout": text.read()})
        running = []
    return results


def main():
    with open(sys.argv[1]) as f:
        plan = json.load(f)
    directory = plan["directory"]
    processes, pids, results = [], [], []
    try:
        for number, server in enumerate(plan["servers"]):
            processes.append(start_server(server, directory, number))
        results = run_clients(plan["clients"], directory)
        pids = [tree(p.pid) for p in processes]
    finally:
        for process, server in reversed(list(zip(processes, plan["servers"]))):
            stop(process, getattr(signal, server.get("stop", "SIGTERM")))
        with open(f"{directory}/results.json", "w") as f:
            json.dump({"clients": results, "servers": pids}, f)


signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
main()
