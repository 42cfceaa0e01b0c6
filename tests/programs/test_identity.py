# SPDX-License-Identifier: Apache-2.0
"""Who a span's process is: real programs, under every name that they can be given."""

import subprocess

import pytest

import servers
from harness import PYTHON, trace_scene

ENV_PLAIN = {"OTEL_SERVICE_NAME": "", "OTEL_RESOURCE_ATTRIBUTES": ""}


class Named(servers.PythonThreads):
    """The Python server with an environment of its own."""

    def __init__(self, directory, **env):
        self.own_env = env
        super().__init__(directory)

    def env(self):
        return {**ENV_PLAIN, **self.own_env}


class StrippedGo(servers.Go):
    """A Go program without symbols, under a name that says nothing."""

    def prepare(self):
        self.binary = self.directory / "shop"
        subprocess.run(["strip", "-o", self.binary, servers.go_program("server.go")], check=True)

    def cmd(self):
        return [self.binary, self.port, self.log]


class Jar(servers.Java):
    """The Java server out of an archive."""

    def prepare(self):
        super().prepare()
        manifest = self.directory / "manifest"
        manifest.write_text("Main-Class: HelloServer\n")
        classes = [p.name for p in self.directory.glob("*.class")]
        subprocess.run(["jar", "cfm", "cart.jar", manifest, *classes], check=True, cwd=self.directory)

    def cmd(self):
        return ["java", "-Xmx128m", "-jar", self.directory / "cart.jar", self.port, self.log]


def ask(server):
    """A Python client that stays for a moment, so that whoever wants to look at it can."""
    return (f"import time, urllib.request; urllib.request.urlopen('{server.url('/a')}').read(); "
            "time.sleep(1)\n")


def resource(tmp_path, server, **more):
    """Resource attributes of the server's spans; they are the same on each of them."""
    curl = ["curl", "-sS", server.url("/a"), server.url("/b")]
    run = trace_scene(tmp_path, [server], [curl], env=ENV_PLAIN, **more).check()
    spans = run.kind("SERVER", server.pids)
    assert len(spans) == 2
    by_pid = {s.pid: s.resource for s in spans}
    assert all(s.resource == by_pid[s.pid] for s in spans)
    return spans[0].resource, run


@pytest.mark.parametrize(
    "kind, name, language, executable",
    [
        (servers.Nginx, "unknown_service:nginx", "native", "nginx"),
        (servers.ApacheEvent, "unknown_service:apache2", "native", "apache2"),
        (servers.Node, "server", "nodejs", "node"),
        (servers.PythonThreads, "server", "python", "python3"),
        (servers.Java, "HelloServer", "java", "java"),
        (Jar, "cart", "java", "java"),
        (StrippedGo, "unknown_service:shop", "go", "shop"),
    ],
    ids=lambda v: v.__name__.lower() if isinstance(v, type) else None,
)
def test_names(kind, name, language, executable, tmp_path):
    """Protects: service.name by what the process runs, and the runtime's name, stripped or not."""
    server = kind(tmp_path)
    attributes, run = resource(tmp_path, server)
    assert attributes["service.name"] == name
    assert attributes["telemetry.sdk.language"] == language, f"{attributes}\n{run.stderr}"
    assert attributes["process.executable.name"].startswith(executable)
    assert attributes["process.pid"] in server.pids
    assert attributes["telemetry.sdk.name"] == "sonde"
    assert attributes["os.type"] == "linux"
    assert attributes["host.name"]
    assert attributes["process.creation.time"].endswith("Z")
    assert "process.command_line" not in attributes
    if language == "go":
        assert attributes["process.runtime.version"].startswith("go1.")


def test_short_lived_client(tmp_path):
    """Protects: a curl that ends after some milliseconds is still curl; its secrets stay its own."""
    server = servers.PythonThreads(tmp_path)
    curl = ["curl", "-sS", "-H", "Authorization: Bearer sesame", server.url("/a")]
    run = trace_scene(tmp_path, [server], [curl] * 10, env=ENV_PLAIN).check()
    spans = run.kind("CLIENT")
    assert {s.pid for s in spans} == {c["pid"] for c in run.results}
    assert {s.service for s in spans} == {"unknown_service:curl"}
    # One that ended before anybody could look is known by what the kernel said of it.
    assert {s.resource["telemetry.sdk.language"] for s in spans} <= {"native", "unknown"}
    assert "sesame" not in run.text


def test_environment(tmp_path):
    """Protects: OTEL_SERVICE_NAME beats OTEL_RESOURCE_ATTRIBUTES, whose other attributes are kept."""
    attributes, _ = resource(tmp_path, Named(
        tmp_path, OTEL_SERVICE_NAME="shop",
        OTEL_RESOURCE_ATTRIBUTES="service.name=no,service.namespace=pay%20ments,service.version=1.2,"
        "service.instance.id=i-1,deployment.environment.name=test,process.pid=1"))
    assert attributes["service.name"] == "shop"
    assert attributes["sonde.service.name.source"] == "OTEL_SERVICE_NAME"
    assert attributes["service.namespace"] == "pay ments"
    assert attributes["service.version"] == "1.2"
    assert attributes["service.instance.id"] == "i-1"
    assert attributes["deployment.environment.name"] == "test"
    assert attributes["process.pid"] != 1


def test_attributes_alone(tmp_path):
    attributes, _ = resource(tmp_path, Named(tmp_path, OTEL_RESOURCE_ATTRIBUTES="service.name=cart"))
    assert attributes["service.name"] == "cart"


def test_attributes_broken(tmp_path):
    """Protects: a decode error discards the whole variable."""
    attributes, _ = resource(
        tmp_path, Named(tmp_path, OTEL_RESOURCE_ATTRIBUTES="service.name=cart,service.version=%zz"))
    assert attributes["service.name"] == "server"
    assert "service.version" not in attributes


def test_hostile(tmp_path):
    """Protects: control characters and what is no UTF-8 make no invalid line; length has a bound."""
    attributes, run = resource(tmp_path, Named(
        tmp_path, OTEL_SERVICE_NAME="a\x1b[31m\udcff\udcc0\udcaf" + "x" * 3000,
        FILLER="y" * 100000))
    assert attributes["service.name"].startswith("a\ufffd[31m\ufffd\ufffd\ufffdxxx")
    assert len(attributes["service.name"]) < 300


@pytest.mark.parametrize("who", ["server", "client"])
def test_opt_out(who, tmp_path):
    """Protects: a process that asked not to be traced has no span, and its exchanges are counted."""
    env = {"SONDE_DISABLED": "true"}
    server = Named(tmp_path, **(env if who == "server" else {}))
    client = {"cmd": [PYTHON, "-c", ask(server)], "env": env if who == "client" else {}}
    run = trace_scene(tmp_path, [server], [client], env=ENV_PLAIN).check()
    assert len(run.kind("SERVER")) == (0 if who == "server" else 1)
    assert len(run.kind("CLIENT")) == (0 if who == "client" else 1)
    assert run.ledger["exchanges"]["filtered"]["opt_out"] == 1


def test_script_kinds(tmp_path):
    """Protects: module, script and one-liner of the same interpreter are told apart."""
    (tmp_path / "shop").mkdir()
    (tmp_path / "shop/__init__.py").write_text("")
    server = servers.PythonThreads(tmp_path)
    code = ask(server)
    (tmp_path / "shop/__main__.py").write_text(code)
    (tmp_path / "orders.py").write_text(code)
    clients = [
        {"cmd": [PYTHON, "-m", "shop"], "env": {"PYTHONPATH": str(tmp_path)}},
        {"cmd": [PYTHON, str(tmp_path / "orders.py")]},
        {"cmd": [PYTHON, str(tmp_path / "shop")]},
        {"cmd": [PYTHON, "-c", code]},
    ]
    run = trace_scene(tmp_path, [server], clients, env=ENV_PLAIN).check()
    names = {s.pid: s.service for s in run.kind("CLIENT")}
    assert [names[c["pid"]] for c in run.results] == [
        "shop", "orders", "shop", "unknown_service:python3.11"]
