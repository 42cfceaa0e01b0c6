# SPDX-License-Identifier: Apache-2.0
"""Debian's Chromium under Playwright: tabs that keep what went wrong in them and whom they asked."""

import re
import shutil

from playwright.sync_api import expect, sync_playwright

# What a loaded machine needs; whatever is waited for comes as soon as it is there.
PATIENCE_MS = 30_000


class Tab:
    """A page in a context of its own: nothing that one test left is there in the next."""

    def __init__(self, chromium, url, **context):
        self.url = url
        self.context = chromium.new_context(**{"viewport": {"width": 1280, "height": 720}, **context})
        self.context.set_default_timeout(PATIENCE_MS)
        self.page = self.context.new_page()
        self.problems = []
        self.asked = set()
        # Violations of the content security policy come to the console, too.
        self.page.on("console", self._said)
        self.page.on("pageerror", lambda error: self.problems.append(str(error)))
        self.context.on("request", lambda request: self.asked.add(request.url))

    def _said(self, message):
        if message.type in ("error", "warning", "assert"):
            self.problems.append(f"{message.text} {message.location['url']}")

    def open(self, address, *, until=None, count=None):
        """An address of the page, loaded anew, until an element (or so many of them) is there."""
        self.page.goto("about:blank")
        self.page.goto(self.url + address)
        if until:
            self.sees(until, count)

    def sees(self, selector, count=None):
        found = self.page.locator(selector)
        if count is None:
            expect(found.first).to_be_visible()
        else:
            expect(found).to_have_count(count)
        return found.first

    def says(self, selector, *texts):
        """The element's text contains each of these."""
        for text in texts:
            expect(self.page.locator(selector).first).to_contain_text(text, use_inner_text=True)

    def address_has(self, *parts):
        for part in parts:
            expect(self.page).to_have_url(re.compile(re.escape(part)))

    def press(self, *keys):
        for key in keys:
            self.page.keyboard.press(key)

    def drag(self, begin, end):
        self.page.mouse.move(*begin)
        self.page.mouse.down()
        self.page.mouse.move(*end, steps=3)
        self.page.mouse.up()

    def processor_ms(self):
        """What the page's main thread has worked so far; unlike a clock it does not count what others do to this machine."""
        devtools = self.context.new_cdp_session(self.page)
        devtools.send("Performance.enable", {"timeDomain": "threadTicks"})
        metrics = {m["name"]: m["value"] for m in devtools.send("Performance.getMetrics")["metrics"]}
        devtools.detach()
        return metrics["TaskDuration"] * 1000

    def picture(self, path):
        # A frame after the last change, so that it is drawn.
        self.page.evaluate("new Promise(r => requestAnimationFrame(() => requestAnimationFrame(() => r(1))))")
        self.page.screenshot(path=path)

    def check(self, *expected):
        """No error but those that contain one of these, and no request to anybody else."""
        assert [p for p in self.problems if not any(e in p for e in expected)] == []
        assert {u for u in self.asked if not u.startswith((self.url, "about:", "data:"))} == set()


class Browser:
    def __init__(self):
        program = shutil.which("chromium")
        assert program, "chromium is missing: make deps"
        expect.set_options(timeout=PATIENCE_MS)
        self._playwright = sync_playwright().start()
        self._chromium = self._playwright.chromium.launch(executable_path=program, args=["--no-proxy-server"])

    def tab(self, url, **context):
        return Tab(self._chromium, url, **context)

    def close(self):
        self._chromium.close()
        self._playwright.stop()
