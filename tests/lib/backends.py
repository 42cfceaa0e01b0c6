# SPDX-License-Identifier: Apache-2.0
"""The real Collector, Jaeger and Tempo, started on free loopback ports, stopped by pid."""

import json
import os
import pathlib
import subprocess

import requests

from harness import ROOT, free_ports, listening, parse_spans, wait_for

HERE = ROOT / "tests/backends"


def binary(name):
    subprocess.run([HERE / "build.sh", name], check=True, stdout=subprocess.DEVNULL)
    return subprocess.run([HERE / "build.sh", "--path", name], check=True, capture_output=True, text=True).stdout.strip()


class Backend:
    """A running back end: .grpc and .http are the URLs of its OTLP receivers."""

    def __init__(self, directory):
        self.directory = pathlib.Path(directory) / type(self).__name__.lower()
        self.directory.mkdir(parents=True)
        self.ports = dict(zip(("GRPC_PORT", "HTTP_PORT", "QUERY_PORT", "QUERY_GRPC_PORT", "MEMBER_PORT"), free_ports(5)))
        self.query = f"http://127.0.0.1:{self.ports['QUERY_PORT']}"
        self.grpc = f"http://127.0.0.1:{self.ports['GRPC_PORT']}"
        self.http = f"http://127.0.0.1:{self.ports['HTTP_PORT']}"
        self.process = None

    def __enter__(self):
        program = binary(self.name)
        with open(self.directory / "output.log", "a") as log:
            self.process = subprocess.Popen(
                [program, "--config", HERE / self.name / self.config], stdout=log, stderr=log,
                stdin=subprocess.DEVNULL, cwd=self.directory,
                env={**os.environ, **{k: str(v) for k, v in self.ports.items()}, "OUT_FILE": str(self.out)},
            )
        wait_for(lambda: self.process.poll() is not None or all(listening(self.ports[p], self.process.pid) for p in self.waits),
                 f"{self.name} listens")
        assert self.process.poll() is None, (self.directory / "output.log").read_text()[-2000:]
        return self

    def __exit__(self, *_):
        # None keeps anything worth a graceful end (Jaeger takes ten seconds for its own, Tempo thirty).
        self.process.kill()
        self.process.wait()

    @property
    def out(self):
        return self.directory / "out.jsonl"


class Collector(Backend):
    name, config, waits = "collector", "config.yaml", ("GRPC_PORT", "HTTP_PORT")

    def spans(self):
        """What its file exporter wrote so far; a last line may still be in the making."""
        text = self.out.read_text() if self.out.exists() else ""
        return parse_spans(text[: text.rfind("\n") + 1])


class Jaeger(Backend):
    name, config, waits = "jaeger", "jaeger.yaml", ("GRPC_PORT", "HTTP_PORT", "QUERY_PORT")

    def spans(self, trace_id):
        """One trace by the query API, version 3: OTLP again; [] while there is none."""
        answer = requests.get(f"{self.query}/api/v3/traces/{trace_id}", timeout=10)
        if answer.status_code == 404:
            return []
        answer.raise_for_status()
        return parse_spans(json.dumps(answer.json()["result"]))

    def page(self, trace_id):
        """The spans of one trace as its page asks for them, in Jaeger's own format; [] while there is none."""
        answer = requests.get(f"{self.query}/api/traces/{trace_id}", timeout=10)
        if answer.status_code == 404:
            return []
        answer.raise_for_status()
        return answer.json()["data"][0]["spans"]

    def operations(self, service, kind):
        """Names of a service's operations of one kind (client, server)."""
        answer = requests.get(f"{self.query}/api/v3/operations", params={"service": service, "span_kind": kind}, timeout=10)
        answer.raise_for_status()
        return [o["name"] for o in answer.json()["operations"]]


class Tempo(Backend):
    """Its query API is at .query; what was sent can be asked for at once."""

    name, config, waits = "tempo", "tempo.yaml", ("GRPC_PORT", "HTTP_PORT", "QUERY_PORT")

    def __enter__(self):
        super().__enter__()
        wait_for(lambda: requests.get(f"{self.query}/ready", timeout=10).status_code == 200, "Tempo is ready", 60)
        return self
