# SPDX-License-Identifier: Apache-2.0
"""Real HTTPS servers for scene.py, with a certificate authority of the test's own."""

import atexit
import functools
import pathlib
import shutil
import subprocess
import tempfile

import servers
from rust import rust_program


@functools.cache
def authority():
    """A folder with ca.pem, and cert.pem and key.pem of a server on localhost and 127.0.0.1."""
    folder = pathlib.Path(tempfile.mkdtemp(prefix="sonde-ca-"))
    folder.chmod(0o755)

    def openssl(*words):
        subprocess.run(["openssl", *words], check=True, capture_output=True, cwd=folder)

    new = ["-newkey", "rsa:2048", "-nodes"]
    openssl("req", "-x509", *new, "-keyout", "ca.key", "-out", "ca.pem", "-days", "30", "-subj", "/CN=sonde test CA")
    openssl("req", *new, "-keyout", "key.pem", "-out", "cert.csr", "-subj", "/CN=localhost")
    (folder / "names").write_text("subjectAltName=DNS:localhost,IP:127.0.0.1\n")
    openssl("x509", "-req", "-in", "cert.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-days", "30",
            "-out", "cert.pem", "-extfile", "names")
    (folder / "key.pem").chmod(0o644)
    return folder


class Https:
    """What an HTTPS server has instead of an HTTP one; the name that a certificate has is localhost."""

    def url(self, path="/"):
        return f"https://localhost:{self.port}{path}"

    def env(self):
        return {"SSL_CERT_FILE": str(authority() / "ca.pem")}


class NginxTls(Https, servers.Nginx):
    """nginx; protocols: "TLSv1.2", "TLSv1.3" or both."""

    def __init__(self, directory, protocols="TLSv1.2 TLSv1.3", **more):
        folder = authority()
        more["http"] = (f"ssl_certificate {folder}/cert.pem; ssl_certificate_key {folder}/key.pem; "
                        f"ssl_protocols {protocols};") + more.get("http", "")
        super().__init__(directory, **more)

    def prepare(self):
        super().prepare()
        conf = self.directory / "nginx.conf"
        conf.write_text(conf.read_text().replace(f"listen 127.0.0.1:{self.port};", f"listen 127.0.0.1:{self.port} ssl;"))


class ApacheTls(Https, servers.ApacheEvent):
    def prepare(self):
        super().prepare()
        folder, conf = authority(), self.directory / "httpd.conf"
        conf.write_text(conf.read_text() + f"""
LoadModule socache_shmcb_module /usr/lib/apache2/modules/mod_socache_shmcb.so
LoadModule ssl_module /usr/lib/apache2/modules/mod_ssl.so
SSLEngine on
SSLCertificateFile {folder}/cert.pem
SSLCertificateKeyFile {folder}/key.pem
""")


class PythonTls(Https, servers.PythonThreads):
    """http.server with threads, its socket wrapped."""

    def cmd(self):
        return [*super().cmd(), authority()]


class NodeTls(Https, servers.Node):
    def cmd(self):
        return [*super().cmd(), authority()]


class GoTls(Https, servers.Go):
    """net/http over crypto/tls."""

    def cmd(self):
        return [*super().cmd(), authority()]


class RustTls(Https, servers.Server):
    """A server of rustls, a thread a connection."""

    def cmd(self):
        folder = authority()
        return [rust_program("rustls", "server"), self.port, self.log, folder / "cert.pem", folder / "key.pem"]


class Aio(Https, servers.Server):
    """aiohttp on asyncio's loop: memory BIOs."""

    loop = "asyncio"

    def cmd(self):
        return [servers.venv_python(), servers.HERE / "aio.py", self.port, self.log, self.loop, authority()]


class AioUv(Aio):
    """The same on uvloop, which sends what was written when a round of the loop is over."""

    loop = "uvloop"


class Postgres(servers.Server):
    """PostgreSQL, which begins TLS when it is asked to. It refuses to be root's."""

    stop = "SIGINT"

    def prepare(self):
        self.bin = sorted(pathlib.Path("/usr/lib/postgresql").glob("*/bin"))[-1]
        self.home = pathlib.Path(tempfile.mkdtemp(prefix="sonde-postgres-"))
        atexit.register(shutil.rmtree, self.home, True)
        for name in ("cert.pem", "key.pem"):
            shutil.copy(authority() / name, self.home / name)
            (self.home / name).chmod(0o600)
        subprocess.run(["chown", "-R", "postgres:", self.home], check=True)
        subprocess.run(self.own(["initdb", "-D", self.home / "data", "-A", "trust", "-U", "postgres", "-N"]), check=True,
                       capture_output=True, cwd="/")

    def plan(self):
        return {**super().plan(), "says": "database system is ready to accept connections"}

    def own(self, words):
        """As its user."""
        return ["setpriv", "--reuid", "postgres", "--regid", "postgres", "--clear-groups", self.bin / words[0], *words[1:]]

    def cmd(self):
        return self.own(["postgres", "-D", self.home / "data", "-p", self.port, "-h", "127.0.0.1", "-k", "", "-c", "ssl=on",
                         "-c", f"ssl_cert_file={self.home}/cert.pem", "-c", f"ssl_key_file={self.home}/key.pem"])
