# SPDX-License-Identifier: Apache-2.0
"""Real HTTP servers for scene.py, each on a free loopback port, each with an access log of its own.

Every server answers GET /PATH with 200, a small body and keep-alive, and writes one line a request.
"""

import atexit
import os
import pathlib
import resource
import shutil
import subprocess
import tempfile

from harness import PYTHON, ROOT, free_port

HERE = ROOT / "tests/programs/servers"
CACHE = pathlib.Path(os.environ.get("SONDE_CACHE", "/var/cache/sonde"))
os.environ["PATH"] += ":/usr/sbin:/sbin"


class Server:
    """What a test needs of a server: plan() for scene.py, logged() for the truth."""

    stop = "SIGTERM"

    def __init__(self, directory, port=None):
        self.directory = pathlib.Path(directory) / f"{type(self).__name__.lower()}-{id(self):x}"
        self.directory.mkdir(parents=True)
        self.port = port or free_port()
        self.log = self.directory / "access.log"
        self.pids = set()
        self.prepare()

    def prepare(self):
        pass

    def env(self):
        return {}

    def plan(self):
        return {
            "cmd": [str(w) for w in self.cmd()], "port": self.port, "env": self.env(), "stop": self.stop,
            "log": str(self.directory / "output.log"), "cwd": str(self.directory),
        }

    def url(self, path="/"):
        return f"http://127.0.0.1:{self.port}{path}"

    def lines(self):
        return self.log.read_text().splitlines() if self.log.exists() else []

    def logged(self):
        return len(self.lines())


NGINX_CONF = """
daemon off; worker_processes {workers}; pid {dir}/nginx.pid; {user}
worker_rlimit_nofile {files};
events {{ worker_connections {connections}; }}
http {{
    log_format one '$request_method $uri $status $request_length';
    access_log {dir}/access.log one;
    client_body_temp_path {dir}/body; proxy_temp_path {dir}/proxy; fastcgi_temp_path {dir}/fastcgi;
    uwsgi_temp_path {dir}/uwsgi; scgi_temp_path {dir}/scgi;
    sendfile on; keepalive_requests 100000000; keepalive_timeout 300s; large_client_header_buffers 8 32k;
    {http}
    server {{
        listen {listen};
        root {dir}/www;
        {server}
    }}
}}
"""


class Nginx(Server):
    """nginx with two workers; `server` and `http` are further lines of its configuration."""

    # SIGQUIT: requests at hand are finished and logged.
    stop = "SIGQUIT"

    def __init__(self, directory, http="", server=None, workers=2, connections=1024, port=None, files=()):
        self.http, self.workers, self.connections, self.files = http, workers, connections, files
        self.server = server if server is not None else 'location / { return 200 "hello\\n"; }'
        super().__init__(directory, port)

    def prepare(self):
        (self.directory / "www").mkdir()
        for name, content in self.files:
            (self.directory / "www" / name).write_bytes(content)
        (self.directory / "nginx.conf").write_text(
            NGINX_CONF.format(
                dir=self.directory, workers=self.workers, files=min(65536, resource.getrlimit(resource.RLIMIT_NOFILE)[1]), connections=self.connections, http=self.http,
                server=self.server, listen=f"127.0.0.1:{self.port}",
                # Workers as root, so that files of a private temporary folder can be read.
                user="user root;" if os.geteuid() == 0 else "",
            )
        )

    def cmd(self):
        return ["nginx", "-p", self.directory, "-e", self.directory / "error.log", "-c", self.directory / "nginx.conf"]


APACHE_CONF = """
ServerRoot {dir}
ServerName 127.0.0.1
Listen 127.0.0.1:{port}
PidFile {dir}/httpd.pid
ErrorLog {dir}/error.log
Mutex file:{dir}
{modules}
{limits}
KeepAlive On
MaxKeepAliveRequests 0
KeepAliveTimeout 60
User www-data
Group www-data
DocumentRoot {www}
LogFormat "%m %U %s" one
CustomLog {dir}/access.log one
<Directory {www}>
    Require all granted
</Directory>
# Every path gives the same small file.
AliasMatch "^/.*" "{www}/hello.txt"
"""


class Apache(Server):
    """Apache httpd with the MPM of a subclass."""

    # Graceful: what is at hand is finished and logged.
    stop = "SIGWINCH"

    def prepare(self):
        # Its workers are another user: they must be able to get there.
        self.www = pathlib.Path(tempfile.mkdtemp(prefix="sonde-apache-"))
        atexit.register(shutil.rmtree, self.www, True)
        self.www.chmod(0o755)
        (self.www / "hello.txt").write_text("hello\n")
        names = [f"mpm_{self.mpm}", "authz_core", "alias"]
        modules = "\n".join(f"LoadModule {n}_module /usr/lib/apache2/modules/mod_{n}.so" for n in names)
        (self.directory / "httpd.conf").write_text(
            APACHE_CONF.format(dir=self.directory, port=self.port, www=self.www, modules=modules, limits=self.limits)
        )

    def cmd(self):
        return ["apache2", "-d", self.directory, "-f", self.directory / "httpd.conf", "-DFOREGROUND"]


class ApacheEvent(Apache):
    mpm = "event"
    limits = ("StartServers 1\nServerLimit 1\nThreadsPerChild 64\nThreadLimit 64\nMaxRequestWorkers 64\n"
              "MinSpareThreads 1\nMaxSpareThreads 64")


class ApachePrefork(Apache):
    mpm = "prefork"
    limits = "StartServers 20\nMinSpareServers 20\nMaxSpareServers 40\nServerLimit 40\nMaxRequestWorkers 40"


class Node(Server):
    """Node's own http server."""

    def cmd(self):
        return ["node", HERE / "server.js", self.port, self.log]


class PythonThreads(Server):
    """Python's ThreadingHTTPServer."""

    def cmd(self):
        return [PYTHON, HERE / "server.py", self.port, self.log]


class Go(Server):
    """Go's net/http."""

    version = ""  # of Go; the usual one

    def cmd(self):
        return [go_program("server.go", self.version), self.port, self.log]


class Java(Server):
    """The JDK's com.sun.net.httpserver."""

    def prepare(self):
        subprocess.run(["javac", "-d", self.directory, HERE / "HelloServer.java"], check=True)

    def cmd(self):
        return ["java", "-Xshare:auto", "-Xmx128m", "-cp", self.directory, "HelloServer", self.port, self.log]


def go_program(name, version=""):
    """Builds one Go file of servers/ or clients/ into the cache, keyed by its text; by another Go than the usual one."""
    import hashlib

    source = next(p for p in (HERE / name, HERE.parent / "clients" / name) if p.exists())
    key = hashlib.sha256(source.read_bytes() + version.encode()).hexdigest()[:12]
    binary = CACHE / "bin" / f"{source.stem}-{key}"
    if not binary.exists():
        binary.parent.mkdir(parents=True, exist_ok=True)
        built = f"{binary}.{os.getpid()}"
        subprocess.run([ROOT / "tests/lib/go.sh", "build", "-o", built, source], check=True, cwd=source.parent,
                       env=os.environ | ({"SONDE_GO": version} if version else {}))
        os.rename(built, binary)
    return binary


def lacks(*commands):
    """Those of the commands that this machine does not have."""
    return [c for c in commands if not shutil.which(c)]


class Middle(Server):
    """A threaded Python server that asks an upstream for the same path; api: by the OTel API alone."""

    def __init__(self, directory, upstream, api=False):
        self.upstream, self.api = upstream, api
        super().__init__(directory)

    def env(self):
        return {"FORWARD": "api"} if self.api else {}

    def cmd(self):
        return [venv_python() if self.api else PYTHON, HERE / "middle.py", self.port, self.upstream.port]


class FlaskSdk(Server):
    """Flask with the real SDK, exporting to a Collector; asks an upstream for the same path."""

    def __init__(self, directory, upstream, endpoint, protocol="http/protobuf"):
        self.upstream, self.endpoint, self.protocol = upstream, endpoint, protocol
        super().__init__(directory)

    def env(self):
        return {"OTEL_EXPORTER_OTLP_ENDPOINT": self.endpoint, "OTEL_SERVICE_NAME": "flask-app",
                "OTEL_EXPORTER_OTLP_PROTOCOL": self.protocol, "OTEL_EXPORTER_OTLP_INSECURE": "true"}

    def cmd(self):
        return [venv_python(), HERE / "flask_sdk.py", self.port, self.upstream.port]


class Shop(Server):
    """The demo's Node service, which asks the demo's Python service."""

    def __init__(self, directory, upstream):
        self.upstream = upstream
        super().__init__(directory)

    def cmd(self):
        return ["node", ROOT / "demo/shop.js", self.port, self.upstream.port]


class Stock(Server):
    """The demo's Python service."""

    def cmd(self):
        return [PYTHON, ROOT / "demo/stock.py", self.port]


def venv_python():
    """The Python with the packages of requirements.txt: the one that runs the tests."""
    import sys

    return sys.executable


PROXY = """
location / {{
    proxy_pass http://up;
    proxy_http_version 1.1;
    proxy_set_header Connection "";
}}
"""


def proxy(directory, upstream, **more):
    """nginx in front of an upstream, with kept connections to it."""
    return Nginx(
        directory, http=f"upstream up {{ server 127.0.0.1:{upstream.port}; keepalive 64; }}", server=PROXY.format(),
        **more,
    )


class GoMiddle(Server):
    """A Go server that asks an upstream for the same path."""

    def __init__(self, directory, upstream):
        self.upstream = upstream
        super().__init__(directory)

    def cmd(self):
        return [go_program("middle.go"), self.port, self.upstream.port]
