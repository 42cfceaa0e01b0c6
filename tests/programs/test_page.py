# SPDX-License-Identifier: Apache-2.0
"""The page in a real browser, on what the real serve role answers from a real store."""

import json
import os
import pathlib
import random
import subprocess
import sys
import time

import pytest

import harness
import servers
from chromium import Chromium
from harness import SONDE, free_port, start_trace, wait_for, write_scene

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "backends"))
import sink_frames as frames  # noqa: E402
import sink_ship  # noqa: E402

MS = 1_000_000
SHOTS = pathlib.Path(os.environ.get("OUTPUT", "build")) / "test" / "page"
HOSTILE = "<img src=x onerror=alert(1)>\u202e\0<script>alert(2)</script>"
BIG = bytes([0xab]) * 16
BIG_SPANS = 100_000
SERVICES = {"web": 1, "shop": 2, "profile": 3, HOSTILE: 4}


class Scene:
    """Frames of traces; ids and times are drawn from a seed, so that a picture is the same each time."""

    def __init__(self, start_ns):
        self.start_ns = start_ns
        self.random = random.Random(5)
        self.ids = 0
        self.head = [frames.scope()] + [frames.resource(n, service, host__name="one") for service, n in SERVICES.items()]
        self.out = []

    def store(self, folder, at_once=20_000):
        """Into a store; so many at once as ship's queue takes without dropping any."""
        for at in range(0, len(self.out), at_once):
            part = self.out[at:at + at_once]
            done = subprocess.run([sink_ship.tool(), "--store", folder], input=b"".join(self.head + part), capture_output=True, timeout=120)
            assert done.returncode == 0, done.stderr
            line = json.loads(done.stderr[done.stderr.index(b"account ") + 8:].splitlines()[0])["store"]
            assert line["acked"] == line["spans"] == len(part), line

    def span(self, trace, parent, service, name, kind, start_ms, took_ms, failed=False, **values):
        self.ids += 1
        message = frames.make_span(
            name=name, kind=kind, trace_id=trace, span_id=self.ids.to_bytes(8, "big"), parent_id=parent.span_id if parent else b"",
            start_ns=self.start_ns + int(start_ms * MS), duration_ns=int(took_ms * MS), status=2 if failed else 0, **values)
        self.out.append(frames.span_frame(message, SERVICES[service]))
        return message

    def purchase(self, n, people=0, failed=False, slow=False):
        """web asks shop, which asks a database that is not traced and, one after the other, for people."""
        trace, at = self.random.randbytes(16), n * 1500 + self.random.randrange(700)
        took = (400 if slow else 60) + self.random.randrange(40) + people * 10
        root = self.span(trace, None, "web", "GET", frames.SERVER, at, took, failed, url__path=f"/cart/{n}", http__response__status_code=500 if failed else 200)
        call = self.span(trace, root, "web", "GET", frames.CLIENT, at + 2, took - 6, failed, url__full="http://shop:80/items", server__address="shop",
                         sonde__link__method="thread", sonde__link__confidence=95)
        shop = self.span(trace, call, "shop", "GET", frames.SERVER, at + 4, took - 10, failed, url__path="/items", region="b" if failed else "a",
                         sonde__link__method="edge", sonde__link__confidence=100)
        for k in range(people):
            person = self.span(trace, shop, "shop", "GET", frames.CLIENT, at + 8 + k * 10, 9, url__full=f"http://profile:90/profile/{k + 7}")
            self.span(trace, person, "profile", "GET", frames.SERVER, at + 9 + k * 10, 7, url__path=f"/profile/{k + 7}")
        self.span(trace, shop, "shop", "SELECT stock", frames.CLIENT, at + took - 30, 12, failed, server__address="db", server__port=5432,
                  sonde__link__ambiguous=True, sonde__link__candidates=3)
        return trace.hex()

    def big(self):
        root = self.span(BIG, None, "web", "GET", frames.SERVER, 0, 10_000, url__path="/big")
        above = [root]
        for n in range(BIG_SPANS - 1):
            parent = above[n // 40]
            begin = (parent.start_time_unix_nano - self.start_ns) / MS
            took = (parent.end_time_unix_nano - parent.start_time_unix_nano) / MS
            at = (n % 40) / 40 * took
            above.append(self.span(BIG, parent, ("web", "shop", "profile")[n % 3], f"step {n % 40}", 1, begin + at, took / 50, n % 997 == 0,
                                   http__response__status_code=200, network__protocol__version="1.1"))


class Page:
    def __init__(self, folder):
        scene = Scene(time.time_ns() - 120_000 * MS)
        for n in range(60):
            trace = scene.purchase(n, failed=n % 12 == 5, slow=n % 10 == 3)
        self.plain = trace
        self.people = scene.purchase(61, people=50)
        self.hostile = bytes([0xee]) * 16
        scene.span(self.hostile, None, HOSTILE, HOSTILE, frames.SERVER, 70_000, 5, True, **{"url.path": HOSTILE, HOSTILE: HOSTILE, "long": "A" * 16384})
        scene.start_ns += 100_000 * MS
        scene.big()
        store = folder / "store"
        store.mkdir()
        scene.store(store)
        self.folder = store
        self.port, self.process = self.serve()
        self.url = f"http://127.0.0.1:{self.port}/"
        self.browser = Chromium(folder)
        self.browser.size(1280, 720)

    def serve(self, *options):
        port = free_port()
        process = subprocess.Popen([SONDE, "serve", "--store", self.folder, "--ui", f"127.0.0.1:{port}", *options], stderr=subprocess.PIPE)
        wait_for(lambda: harness.listeners(port) or process.poll() is not None, "the page is served")
        return port, process

    def open(self, hash_, until):
        self.browser.open(self.url + hash_)
        return self.browser.wait(until)

    def shot(self, name):
        # A frame after the last change, so that it is drawn.
        self.browser.evaluate("new Promise(r => requestAnimationFrame(() => requestAnimationFrame(() => r(1))))")
        self.browser.screenshot(SHOTS / f"{name}.png")

    def check(self):
        assert self.browser.problems == []
        elsewhere = {u for u in self.browser.requests if not u.startswith((self.url, "about:", "data:"))}
        assert elsewhere == set()

    def close(self):
        self.browser.close()
        self.process.terminate()
        assert self.process.wait(20) == 0, self.process.stderr.read()


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    page = Page(tmp_path_factory.mktemp("page"))
    yield page
    page.close()


LIST = "document.querySelectorAll('.traces li').length"
ROWS = "document.querySelectorAll('.row').length"


def test_list_and_search(page):
    """Protects: what the store holds is listed; every field narrows it; the address alone brings the same back."""
    browser = page.browser
    page.open("", f"{LIST} == 63")
    page.shot("traces")
    browser.key("e")
    browser.wait(f"{LIST} > 0 && {LIST} < 20 && location.hash.includes('status=error')")
    page.open("#/traces?attr=region%3Db&live=0", f"{LIST} == 5")
    page.open("#/traces?min=300ms&max=800ms&service=web&live=0", f"{LIST} == 7")
    page.open("#/traces?service=web&live=0", f"{LIST} == 62")
    page.shot("list")
    browser.key("/")
    assert browser.evaluate("document.activeElement.name") == "service"
    page.open("#/traces?min=fast", "document.querySelector('.notice')?.innerText.includes('is no duration')")
    page.open("#/traces?service=nobody", "document.querySelector('.notice')?.innerText.includes('No trace matches')")
    page.open("#/traces?compare=errors", "document.querySelectorAll('.compare tbody tr').length > 0")
    assert browser.evaluate("document.querySelector('.compare').innerText.includes('region')")
    page.shot("compare")
    page.check()


def test_a_rectangle_on_the_scatter(page):
    """Protects: a rectangle of time and duration becomes the search, in the address."""
    browser = page.browser
    page.open("#/traces?live=0", f"{LIST} == 63")
    x, y, width, height = browser.box(".scatter")
    browser.drag((x + 55, y + 3), (x + width - 100, y + height - 25))
    browser.wait(f"location.hash.includes('from=') && location.hash.includes('min=') && {LIST} > 3 && {LIST} < 63")
    page.check()


def test_a_trace(page):
    """Protects: the tree, the N+1 group, the critical path, the link's evidence; all by keyboard, and again after a reload."""
    browser = page.browser
    page.open(f"#/trace/{page.people}", f"{ROWS} == 5")
    assert "50 × GET /profile/{id}, sequential, 450 ms" in browser.evaluate("document.querySelector('.row.group').innerText")
    assert browser.evaluate("document.querySelectorAll('.critical').length") > 10
    for _ in range(3):
        browser.key("j")
    browser.wait("document.querySelector('.pane')?.innerText.includes('both ends of one connection')")
    page.shot("trace")
    browser.scheme("dark")
    page.shot("trace-dark")
    dark = browser.evaluate("getComputedStyle(document.body).backgroundColor")
    browser.scheme("light")
    assert dark != browser.evaluate("getComputedStyle(document.body).backgroundColor")
    browser.key("j")
    browser.key("ArrowRight")
    browser.wait(f"{ROWS} > 20 && location.hash.includes('open=')")
    address = browser.evaluate("location.hash")
    page.open(address, f"{ROWS} > 20 && document.querySelector('.row.selected.group')")
    browser.key("c")
    browser.wait("document.querySelectorAll('.critical').length == 0")
    browser.key("?")
    browser.wait("document.querySelector('dialog[open]')")
    browser.key("Escape")
    browser.wait("!document.querySelector('dialog[open]')")
    page.open("#/trace/" + "0" * 31 + "1", "document.querySelector('.notice')")
    browser.problems[:] = [p for p in browser.problems if "404" not in p]
    page.check()


def test_other_views(page):
    """Protects: map, service, health, diff come up with what the traces say."""
    browser = page.browser
    page.open("#/map", "document.querySelectorAll('.node').length >= 4 && document.querySelector('.untraced')?.textContent.includes('db:5432')")
    page.shot("map")
    browser.key("e")
    browser.wait("location.hash.includes('errors=1')")
    page.open("#/services", "document.body.innerText.includes('shop')")
    page.open("#/services/shop", "document.querySelectorAll('.chart').length == 4")
    page.shot("service")
    page.open("#/health", "document.body.innerText.includes('on disk')")
    page.shot("health")
    page.open(f"#/diff?a={page.plain}&b={page.people}", "document.querySelector('.diff')?.innerText.includes('only in B')")
    page.shot("diff")
    browser.problems[:] = [p for p in browser.problems if "api/v1/account" not in p]  # not there in a store that nobody writes
    page.check()


def test_health_of_a_run(page, tmp_path):
    """Protects: while something is traced, the account is shown with its lines, links and what sonde costs."""
    browser, server, port = page.browser, servers.Nginx(tmp_path), free_port()
    load = ["curl", "-s", "--rate", "20/s", "-o", "/dev/null", server.url("/live?n=[1-400]")]
    sonde = start_trace(write_scene(tmp_path, [server], [load]), tmp_path, options=["--ui", f"127.0.0.1:{port}"])
    try:
        wait_for(lambda: harness.listeners(port) and server.logged(), "it is served")
        browser.open(f"http://127.0.0.1:{port}/#/health")
        browser.wait("['What sonde costs', 'Links', 'Connections', 'Sink store'].every(w => document.body.innerText.includes(w))")
        text = browser.evaluate("document.body.innerText")
        assert "does not balance" not in text and "tier of the hooks" in text
        page.shot("health-run")
    finally:
        page.open("#/traces?live=0", f"{LIST} == 63")
        harness.finish(sonde)
    browser.requests[:] = [u for u in browser.requests if not u.startswith(f"http://127.0.0.1:{port}/")]
    page.check()


def test_hostile_names_are_text(page):
    """Protects: markup, directions and NUL in names stay text, in the list, the trace and the map."""
    browser = page.browser
    page.open(f"#/trace/{page.hostile.hex()}", f"{ROWS} == 1")
    browser.key("j")
    browser.wait("document.querySelector('.pane')?.innerText.includes('⟨U+202E⟩')")
    page.shot("hostile")
    for address in ("#/traces", "#/map", "#/services", f"#/trace/{page.hostile.hex()}"):
        page.open(address, "document.body.innerText.includes('<script>') || document.body.textContent.includes('<img src')")
        assert browser.evaluate("document.querySelectorAll('main img, main script').length") == 0
        assert "\u202e" not in browser.evaluate("document.querySelector('main').textContent")
    page.check()


def axe_faults(browser, rules):
    """What axe-core finds that keeps somebody out: `serious` and `critical`, each with where. rules: these alone, or all."""
    if not browser.evaluate("!!window.axe"):
        folder = subprocess.run([harness.ROOT / "tests/lib/npm.sh", "--path"], check=True, stdout=subprocess.PIPE, text=True).stdout.strip()
        browser.evaluate((pathlib.Path(folder) / "axe-core/axe.min.js").read_text() + "; 0")
    only = f"runOnly: {json.dumps(rules)}, " if rules else ""
    found = browser.evaluate(f"axe.run(document, {{ {only}resultTypes: ['violations'] }})" ".then(r => ({ passes: r.passes.length, violations: r.violations.map(v => "
                             "({ id: v.id, impact: v.impact, help: v.help, nodes: v.nodes.slice(0, 5).map(n => n.target + ' ' + n.html.slice(0, 150) + ' ' + "
                             "n.failureSummary) })) }))", timeout=120)
    assert found["passes"] > (0 if rules else 5)
    return [v for v in found["violations"] if v["impact"] in ("serious", "critical")]


@pytest.mark.parametrize("how", ["light", "dark", "phone"])
def test_accessible(page, how):
    """Protects: axe-core finds no serious fault of accessibility in any view; what depends on colours neither in the dark, what
    on the size neither on a phone."""
    subprocess.run([harness.ROOT / "tests/lib/npm.sh"], check=True)
    browser, faults = page.browser, {}
    pane = [("j", 3)]
    views = [("#/traces?live=0", f"{LIST} == 63", []), ("#/traces?compare=errors&live=0", "document.querySelectorAll('.compare tbody tr').length > 0", []),
             ("#/traces?service=nobody&live=0", "document.querySelector('.notice')", []), (f"#/trace/{page.people}", f"{ROWS} == 5", []),
             (f"#/trace/{page.people}", f"{ROWS} == 5", pane), (f"#/trace/{page.hostile.hex()}", f"{ROWS} == 1", [("j", 1)]),
             ("#/traces?live=0", f"{LIST} == 63", [("?", 1)]), ("#/map", "document.querySelectorAll('.node').length >= 4", []),
             ("#/map?errors=1", "document.querySelectorAll('.node').length >= 1", []), ("#/services", "document.body.innerText.includes('shop')", []),
             ("#/services/shop", "document.querySelectorAll('.chart').length == 4", []), ("#/health", "document.body.innerText.includes('on disk')", []),
             (f"#/diff?a={page.plain}&b={page.people}", "document.querySelector('.diff')?.innerText.includes('only in B')", [])]
    rules = {"dark": ["color-contrast"], "phone": ["color-contrast", "scrollable-region-focusable", "target-size", "nested-interactive", "label"]}.get(how)
    browser.scheme("dark" if how == "dark" else "light")
    if how == "phone":
        browser.size(390, 844, phone=True)
    try:
        for address, until, keys in views:
            page.open(address, until)
            for key, times in keys:
                for _ in range(times):
                    browser.key(key)
            for fault in axe_faults(browser, rules):
                faults.setdefault((fault["id"], fault["impact"], fault["help"]), {})[address] = fault["nodes"]
    finally:
        browser.scheme("light")
        browser.size(1280, 720)
    assert not faults, "\n".join(f"{what}: {json.dumps(where, ensure_ascii=False, indent=1)}" for what, where in faults.items())
    browser.problems[:] = [p for p in browser.problems if "api/v1/account" not in p]
    page.check()


def test_a_token(page, tmp_path):
    """Protects: where the API wants a token the page asks for it once."""
    browser, token = page.browser, tmp_path / "token"
    token.write_text("a-token-of-some-length\n")
    token.chmod(0o600)
    port, process = page.serve("--ui-token-file", token)
    try:
        browser.open(f"http://127.0.0.1:{port}/#/traces?live=0")
        browser.wait("document.querySelector('.notice input[type=password]')")
        browser.evaluate("document.querySelector('.notice input').focus()")
        browser.type("a-token-of-some-length")
        browser.key("Enter")
        browser.wait(f"{LIST} == 63")
    finally:
        process.terminate()
        process.wait(20)
    browser.problems[:] = [p for p in browser.problems if "401" not in p]
    browser.requests[:] = [u for u in browser.requests if not u.startswith(f"http://127.0.0.1:{port}/")]
    page.check()


def test_phone(page):
    """Protects: nothing is wider than a phone."""
    browser = page.browser
    browser.size(390, 844, phone=True)
    try:
        for address, until in (("#/traces", f"{LIST} == 63"), (f"#/trace/{page.people}", f"{ROWS} == 5"), ("#/map", "document.querySelector('.node')"),
                               ("#/services/shop", "document.querySelector('.chart')"), ("#/health", "document.querySelector('.card')")):
            page.open(address, until)
            assert browser.evaluate("document.documentElement.scrollWidth") <= 390, address
            page.shot("phone-" + address.split("/")[1].split("?")[0])
    finally:
        browser.size(1280, 720)
    browser.problems[:] = [p for p in browser.problems if "api/v1/account" not in p]
    page.check()


def test_a_hundred_thousand_spans(page):
    """Protects: of a huge trace only the rows in sight are elements; folding it all takes a moment."""
    browser = page.browser
    browser.open(page.url + "#/traces?service=nobody&live=0")
    browser.wait("document.querySelector('.notice')")
    before = browser.processor_ms()
    asked = browser.evaluate(f"(location.hash = '#/trace/{BIG.hex()}', performance.now())")
    paint = browser.wait("performance.getEntriesByName('trace-paint')[0]?.duration")
    shown = browser.evaluate("(p => p.startTime + p.duration)(performance.getEntriesByName('trace-paint')[0])") - asked
    work = browser.processor_ms() - before
    assert browser.evaluate("document.querySelector('.trace-head').innerText.includes('100 000 spans')")
    assert browser.evaluate(ROWS) < 100
    page.shot("big")
    fold = []
    for key in "[][]":
        before = browser.processor_ms()
        clock = browser.evaluate(f"""(async () => {{
            const began = performance.now();
            document.dispatchEvent(new KeyboardEvent("keydown", {{ key: "{key}", bubbles: true }}));
            await new Promise(r => requestAnimationFrame(() => setTimeout(r)));
            return performance.now() - began;
        }})()""")
        fold.append((browser.processor_ms() - before, clock))
    # For the bench, which says what it comes to; here it must only not be absurd.
    (SHOTS / "hundred-thousand.json").write_text(json.dumps(
        {"shown_ms": shown, "paint_ms": paint, "work_ms": work, "fold_ms": [clock for _, clock in fold[::2]], "unfold_ms": [clock for _, clock in fold[1::2]]}))
    assert min(work for work, _ in fold[::2]) < 100
    page.check()


def test_size():
    """Protects: the whole page is 250 KiB gzipped at the most."""
    folder = pathlib.Path(__file__).resolve().parents[2] / "user/serve/page"
    packed = subprocess.run(["sh", "-c", 'for f in "$1"/*; do gzip -9c "$f"; done | wc -c', "sh", folder], capture_output=True, check=True, text=True)
    assert 10_000 < int(packed.stdout) <= 250 * 1024
