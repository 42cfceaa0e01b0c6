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
from playwright.sync_api import expect

import harness
import servers
from browser import Browser
from harness import SONDE, free_port, start_trace, wait_for, write_scene

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "backends"))
import sink_frames as frames  # noqa: E402
import sink_ship  # noqa: E402

MS = 1_000_000
SHOTS = pathlib.Path(os.environ.get("OUTPUT", "build")) / "test" / "page"
HOSTILE = "<img src=x onerror=alert(1)>\u202e\0<script>alert(2)</script>"
BIG = bytes([0xab]) * 16
BIG_SPANS = 100_000
BACKGROUND = "getComputedStyle(document.body).backgroundColor"
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


class Served:
    """A store of some sixty traces and one huge one, behind the real serve role."""

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
        self.store = folder / "store"
        self.store.mkdir()
        scene.store(self.store)
        self.port, self.process = self.serve()
        self.url = f"http://127.0.0.1:{self.port}/"

    def serve(self, *options):
        port = free_port()
        process = subprocess.Popen([SONDE, "serve", "--store", self.store, "--ui", f"127.0.0.1:{port}", *options], stderr=subprocess.PIPE)
        wait_for(lambda: harness.listeners(port) or process.poll() is not None, "the page is served")
        return port, process

    def close(self):
        self.process.terminate()
        assert self.process.wait(20) == 0, self.process.stderr.read()


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    served = Served(tmp_path_factory.mktemp("page"))
    yield served
    served.close()


@pytest.fixture(scope="module")
def browser():
    browser = Browser()
    yield browser
    browser.close()


@pytest.fixture
def tab(browser, served):
    tab = browser.tab(served.url)
    yield tab
    tab.context.close()


@pytest.fixture
def phone(browser, served):
    tab = browser.tab(served.url, viewport={"width": 390, "height": 844}, device_scale_factor=2, is_mobile=True, has_touch=True)
    yield tab
    tab.context.close()


def shot(tab, name):
    tab.picture(SHOTS / f"{name}.png")


TRACES = ".traces li"
ROWS = ".row"


def test_list_and_search(tab):
    """Protects: what the store holds is listed; every field narrows it; the address alone brings the same back."""
    tab.open("", until=TRACES, count=63)
    shot(tab, "traces")
    tab.press("e")
    tab.address_has("status=error")
    tab.sees(TRACES, 7)
    tab.open("#/traces?attr=region%3Db&live=0", until=TRACES, count=5)
    tab.open("#/traces?min=300ms&max=800ms&service=web&live=0", until=TRACES, count=7)
    tab.open("#/traces?service=web&live=0", until=TRACES, count=62)
    tab.page.reload()
    tab.sees(TRACES, 62)
    shot(tab, "list")
    tab.press("/")
    expect(tab.page.locator("[name=service]")).to_be_focused()
    tab.open("#/traces?min=fast")
    tab.says(".notice", "is no duration")
    tab.open("#/traces?service=nobody")
    tab.says(".notice", "No trace matches")
    tab.open("#/traces?compare=errors", until=".compare tbody tr")
    tab.says(".compare", "region")
    shot(tab, "compare")
    tab.check()


def test_a_rectangle_on_the_scatter(tab):
    """Protects: a rectangle of time and duration becomes the search, in the address."""
    tab.open("#/traces?live=0", until=TRACES, count=63)
    box = tab.page.locator(".scatter").bounding_box()
    tab.drag((box["x"] + 55, box["y"] + 3), (box["x"] + box["width"] - 100, box["y"] + box["height"] - 25))
    tab.address_has("from=", "min=")
    expect(tab.page.locator(TRACES)).not_to_have_count(63)
    tab.sees(TRACES)
    assert tab.page.locator(TRACES).count() > 3
    tab.check()


def test_a_trace(tab, served):
    """Protects: the tree, the N+1 group, the critical path, the link's evidence; all by keyboard, and again after a reload."""
    tab.open(f"#/trace/{served.people}", until=ROWS, count=5)
    tab.says(".row.group", "50 × GET /profile/{id}, sequential, 450 ms")
    assert tab.page.locator(".critical").count() > 10
    tab.press("j", "j", "j")
    tab.says(".pane", "both ends of one connection")
    shot(tab, "trace")
    light = tab.page.evaluate(BACKGROUND)
    tab.page.emulate_media(color_scheme="dark")
    shot(tab, "trace-dark")
    assert tab.page.evaluate(BACKGROUND) != light
    tab.page.emulate_media(color_scheme="light")
    tab.press("j", "ArrowRight")
    tab.address_has("open=")
    expect(tab.page.locator(ROWS)).not_to_have_count(5)
    rows = tab.page.locator(ROWS).count()
    assert rows > 20
    tab.page.reload()
    tab.sees(".row.selected.group")
    tab.sees(ROWS, rows)
    tab.press("c")
    tab.sees(".critical", 0)
    tab.press("?")
    tab.sees("dialog[open]")
    tab.press("Escape")
    tab.sees("dialog[open]", 0)
    tab.open("#/trace/" + "0" * 31 + "1", until=".notice")
    tab.check("404")


def test_other_views(tab, served):
    """Protects: map, service, health, diff come up with what the traces say."""
    tab.open("#/map", until=".untraced")
    expect(tab.page.locator(".untraced").first).to_contain_text("db:5432")
    assert tab.page.locator(".node").count() >= 4
    shot(tab, "map")
    tab.press("e")
    tab.address_has("errors=1")
    tab.open("#/services")
    tab.says("body", "shop")
    tab.open("#/services/shop", until=".chart", count=4)
    shot(tab, "service")
    tab.open("#/health")
    tab.says("body", "on disk")
    shot(tab, "health")
    tab.open(f"#/diff?a={served.plain}&b={served.people}")
    tab.says(".diff", "only in B")
    shot(tab, "diff")
    tab.check()


def test_health_of_a_run(browser, tmp_path):
    """Protects: while something is traced, the account is shown with its lines, links and what sonde costs."""
    server, port = servers.Nginx(tmp_path), free_port()
    load = ["curl", "-s", "--rate", "20/s", "-o", "/dev/null", server.url("/live?n=[1-400]")]
    sonde = start_trace(write_scene(tmp_path, [server], [load]), tmp_path, options=["--ui", f"127.0.0.1:{port}"])
    tab = browser.tab(f"http://127.0.0.1:{port}/")
    try:
        wait_for(lambda: harness.listeners(port) and server.logged(), "it is served")
        tab.open("#/health")
        tab.says("body", "What sonde costs", "Links", "Connections", "Sink store", "tier of the hooks")
        assert "does not balance" not in tab.page.inner_text("body")
        shot(tab, "health-run")
        tab.check()
    finally:
        tab.context.close()
        harness.finish(sonde)


def test_hostile_names_are_text(tab, served):
    """Protects: markup, directions and NUL in names stay text, in the list, the trace and the map."""
    tab.open(f"#/trace/{served.hostile.hex()}", until=ROWS, count=1)
    tab.press("j")
    tab.says(".pane", "⟨U+202E⟩")
    shot(tab, "hostile")
    for address in ("#/traces", "#/map", "#/services", f"#/trace/{served.hostile.hex()}"):
        tab.open(address)
        expect(tab.page.locator("body")).to_contain_text("<img src")
        assert tab.page.locator("main img, main script").count() == 0
        assert "\u202e" not in tab.page.text_content("main")
    tab.check()


def axe_faults(page, rules):
    """What axe-core finds that keeps somebody out: `serious` and `critical`, each with where. rules: these alone, or all."""
    if not page.evaluate("!!window.axe"):
        folder = subprocess.run([harness.ROOT / "tests/lib/npm.sh", "--path"], check=True, stdout=subprocess.PIPE, text=True).stdout.strip()
        page.evaluate((pathlib.Path(folder) / "axe-core/axe.min.js").read_text() + "; 0")
    options = {"resultTypes": ["violations"], **({"runOnly": rules} if rules else {})}
    found = page.evaluate("""options => axe.run(document, options).then(r => ({
        passes: r.passes.length,
        violations: r.violations.map(v => ({
            id: v.id, impact: v.impact, help: v.help,
            nodes: v.nodes.slice(0, 5).map(n => n.target + ' ' + n.html.slice(0, 150) + ' ' + n.failureSummary),
        })),
    }))""", options)
    assert found["passes"] > (0 if rules else 5)
    return [v for v in found["violations"] if v["impact"] in ("serious", "critical")]


def views(served):
    """Every view: its address, how it is known to be there, keys."""
    return [("#/traces?live=0", TRACES, []), ("#/traces?compare=errors&live=0", ".compare tbody tr", []),
            ("#/traces?service=nobody&live=0", ".notice", []), (f"#/trace/{served.people}", ROWS, []),
            (f"#/trace/{served.people}", ROWS, ["j", "j", "j"]), (f"#/trace/{served.hostile.hex()}", ROWS, ["j"]),
            ("#/traces?live=0", TRACES, ["?"]), ("#/map", ".node", []), ("#/map?errors=1", ".node", []),
            ("#/services", "text=shop", []), ("#/services/shop", ".chart", []), ("#/health", "text=on disk", []),
            (f"#/diff?a={served.plain}&b={served.people}", ".diff >> text=only in B", [])]


@pytest.mark.parametrize("how", ["light", "dark", "phone"])
def test_accessible(request, served, how):
    """Protects: axe-core finds no serious fault of accessibility in any view; what depends on colours neither in the dark, what
    on the size neither on a phone."""
    subprocess.run([harness.ROOT / "tests/lib/npm.sh"], check=True)
    tab, faults = request.getfixturevalue("phone" if how == "phone" else "tab"), {}
    rules = {"dark": ["color-contrast"], "phone": ["color-contrast", "scrollable-region-focusable", "target-size", "nested-interactive", "label"]}.get(how)
    tab.page.emulate_media(color_scheme="dark" if how == "dark" else "light")
    for address, until, keys in views(served):
        tab.open(address, until=until)
        tab.press(*keys)
        for fault in axe_faults(tab.page, rules):
            faults.setdefault((fault["id"], fault["impact"], fault["help"]), {})[address] = fault["nodes"]
    assert not faults, "\n".join(f"{what}: {json.dumps(where, ensure_ascii=False, indent=1)}" for what, where in faults.items())
    tab.check()


def test_a_token(browser, served, tmp_path):
    """Protects: where the API wants a token the page asks for it once."""
    token = tmp_path / "token"
    token.write_text("a-token-of-some-length\n")
    token.chmod(0o600)
    port, process = served.serve("--ui-token-file", token)
    tab = browser.tab(f"http://127.0.0.1:{port}/")
    try:
        tab.open("#/traces?live=0", until=".notice input[type=password]")
        tab.page.fill(".notice input", "a-token-of-some-length")
        tab.press("Enter")
        tab.sees(TRACES, 63)
        tab.check("401")
    finally:
        tab.context.close()
        process.terminate()
        process.wait(20)


def test_phone(phone, served):
    """Protects: nothing is wider than a phone."""
    for address, until in (("#/traces", TRACES), (f"#/trace/{served.people}", ROWS), ("#/map", ".node"), ("#/services/shop", ".chart"), ("#/health", ".card")):
        phone.open(address, until=until)
        assert phone.page.evaluate("document.documentElement.scrollWidth") <= 390, address
        shot(phone, "phone-" + address.split("/")[1].split("?")[0])
    phone.check()


def test_a_hundred_thousand_spans(tab):
    """Protects: of a huge trace only the rows in sight are elements; folding it all takes a moment."""
    tab.open("#/traces?service=nobody&live=0", until=".notice")
    before = tab.processor_ms()
    asked = tab.page.evaluate(f"(location.hash = '#/trace/{BIG.hex()}', performance.now())")
    start, paint = tab.page.evaluate("""new Promise(done => new PerformanceObserver(list =>
        list.getEntriesByName('trace-paint').forEach(p => done([p.startTime, p.duration]))).observe({ type: 'measure', buffered: true }))""")
    work = tab.processor_ms() - before
    tab.says(".trace-head", "100 000 spans")
    assert tab.page.locator(ROWS).count() < 100
    shot(tab, "big")
    fold = []
    for key in "[][]":
        before = tab.processor_ms()
        clock = tab.page.evaluate("""async key => {
            const began = performance.now();
            document.dispatchEvent(new KeyboardEvent("keydown", { key, bubbles: true }));
            await new Promise(r => requestAnimationFrame(() => setTimeout(r)));
            return performance.now() - began;
        }""", key)
        fold.append((tab.processor_ms() - before, clock))
    # For the bench, which says what it comes to; here it must only not be absurd.
    (SHOTS / "hundred-thousand.json").write_text(json.dumps(
        {"shown_ms": start + paint - asked, "paint_ms": paint, "work_ms": work, "fold_ms": [clock for _, clock in fold[::2]],
         "unfold_ms": [clock for _, clock in fold[1::2]]}))
    assert min(work for work, _ in fold[::2]) < 100
    tab.check()


def test_size():
    """Protects: the whole page is 250 KiB gzipped at the most."""
    folder = pathlib.Path(__file__).resolve().parents[2] / "user/serve/page"
    packed = subprocess.run(["sh", "-c", 'for f in "$1"/*; do gzip -9c "$f"; done | wc -c', "sh", folder], capture_output=True, check=True, text=True)
    assert 10_000 < int(packed.stdout) <= 250 * 1024
