# SPDX-License-Identifier: Apache-2.0
"""Peers of gRPC in four languages (tests/programs/grpc/README says what they do), as servers for scene.py and as
clients' commands."""

import subprocess
import sys

from harness import ROOT
from servers import Server

HERE = ROOT / "tests/programs/grpc"
LANGUAGES = ["python", "go", "node", "java"]


def output(*command):
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout.strip()


def words(language):
    """The command and its environment."""
    if language == "python":
        return [sys.executable, HERE / "peer.py"], {}
    if language == "node":
        subprocess.run([ROOT / "tests/lib/npm.sh"], check=True)
        return ["node", HERE / "peer.js"], {"NODE_PATH": output(ROOT / "tests/lib/npm.sh", "--path")}
    build = [ROOT / "tests/lib/go_java.sh", "grpc"]
    subprocess.run(build, check=True)
    path = output(*build, "--path", language)
    if language == "go":
        return [path], {}
    return ["java", "-Xshare:auto", "-Xmx256m", "-cp", f"{path}/*:{path}", "Peer"], {}


class GrpcServer(Server):
    """certificate: (certificate, key) in PEM files; None: in the clear."""

    def __init__(self, directory, language, certificate=None):
        self.words, self.more = words(language)
        self.certificate = certificate or ()
        super().__init__(directory)

    def env(self):
        return self.more

    def cmd(self):
        return [*self.words, "server", self.port, *self.certificate]


def client(language, server, *steps, ca="-"):
    """The command of a client, and its environment."""
    command, env = words(language)
    return [*map(str, command), "client", str(server.port), str(ca), *steps], env
