# SPDX-License-Identifier: Apache-2.0
"""A real Chromium, headless, over its DevTools protocol on a pipe: no port, no package beside Debian's."""

import base64
import fcntl
import itertools
import json
import os
import select
import shutil
import subprocess
import time


class BrowserError(Exception):
    pass


def high(fd):
    moved = fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, 20)
    os.close(fd)
    return moved


class Chromium:
    """One browser with one page; what went wrong in the page is kept in .problems."""

    def __init__(self, folder):
        program = shutil.which("chromium")
        if not program:
            raise BrowserError("chromium is missing: make deps")
        to_it, self._write = os.pipe()
        self._read, from_it = os.pipe()
        # Chromium takes its commands from descriptor 3 and answers on 4, which may be these very ones here.
        to_it, from_it = (high(fd) for fd in (to_it, from_it))
        # --no-sandbox: as root it would not start; it only sees this tree's own page.
        command = [program, "--headless=new", "--no-sandbox", "--remote-debugging-pipe", "--disable-gpu",
                   "--disable-dev-shm-usage", "--no-first-run", "--disable-background-networking",
                   "--disable-component-update", "--disable-sync", "--disable-extensions", "--no-proxy-server",
                   "--disable-background-timer-throttling", "--hide-scrollbars", "--force-color-profile=srgb",
                   f"--user-data-dir={folder}/profile", "about:blank"]
        self._process = subprocess.Popen(
            ["/bin/bash", "-c", f'exec "$@" 3<&{to_it} 4>&{from_it} {to_it}<&- {from_it}>&-', "chromium", *command],
            pass_fds=(to_it, from_it), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
            stderr=open(f"{folder}/chromium.log", "wb"))
        os.close(to_it)
        os.close(from_it)
        self._ids = itertools.count(1)
        self._rest = b""
        self._session = None
        self.problems = []
        self.requests = []
        target = next(t for t in self.call("Target.getTargets")["targetInfos"] if t["type"] == "page")
        self._session = self.call("Target.attachToTarget", targetId=target["targetId"], flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")

    def call(self, method, timeout=60, **params):
        number = next(self._ids)
        message = {"id": number, "method": method, "params": params}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._write, json.dumps(message).encode() + b"\0")
        deadline = time.monotonic() + timeout
        while True:
            answer = self._next(deadline, method)
            if answer.get("id") == number:
                if "error" in answer:
                    raise BrowserError(f"{method}: {answer['error']['message']}")
                return answer["result"]

    def _next(self, deadline, what):
        while b"\0" not in self._rest:
            ready, _, _ = select.select([self._read], [], [], max(0, deadline - time.monotonic()))
            data = os.read(self._read, 1 << 20) if ready else None
            if not data:
                raise BrowserError(f"{what}: Chromium " + ("has ended" if data == b"" else "does not answer"))
            self._rest += data
        line, self._rest = self._rest.split(b"\0", 1)
        message = json.loads(line)
        self._note(message.get("method"), message.get("params", {}))
        return message

    def _note(self, method, params):
        if method == "Runtime.exceptionThrown":
            details = params["exceptionDetails"]
            self.problems.append(details.get("exception", {}).get("description", details["text"]))
        elif method == "Runtime.consoleAPICalled" and params["type"] in ("error", "warning", "assert"):
            self.problems.append(" ".join(str(a.get("value", a.get("description"))) for a in params["args"]))
        # Violations of the content security policy come this way, too.
        elif method == "Log.entryAdded" and params["entry"]["level"] in ("error", "warning"):
            entry = params["entry"]
            self.problems.append(f"{entry['text']} {entry.get('url', '')}")
        elif method == "Network.requestWillBeSent":
            self.requests.append(params["request"]["url"])

    def evaluate(self, script, timeout=60):
        """The value of an expression in the page; a promise is waited for."""
        answer = self.call("Runtime.evaluate", timeout=timeout, expression=script, returnByValue=True, awaitPromise=True)
        if "exceptionDetails" in answer:
            details = answer["exceptionDetails"]
            raise BrowserError(f"{script[:200]}: {details.get('exception', {}).get('description', details['text'])}")
        return answer["result"].get("value")

    def wait(self, condition, timeout=30):
        """Until an expression is true; answers its value."""
        deadline = time.monotonic() + timeout
        while True:
            # An element has no value here; and a page that is just being left has no body.
            value = self.evaluate(f"document.body && (v => v instanceof Node ? true : v)({condition})")
            if value:
                return value
            if time.monotonic() > deadline:
                text = self.evaluate("document.body.innerText.slice(0, 1500)")
                raise BrowserError(f"never true: {condition}; problems: {self.problems}; the page says:\n{text}")
            time.sleep(0.05)

    def open(self, url):
        self.call("Page.navigate", url="about:blank")
        self.call("Page.navigate", url=url)

    def size(self, width, height, phone=False):
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height,
                  deviceScaleFactor=2 if phone else 1, mobile=phone)

    def scheme(self, name):
        self.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": name}])

    def key(self, key):
        text = {"text": key} if len(key) == 1 else {"text": "\r"} if key == "Enter" else {}
        code = {"Enter": 13, "Escape": 27}.get(key, 0)
        self.call("Input.dispatchKeyEvent", type="keyDown", key=key, windowsVirtualKeyCode=code, **text)
        self.call("Input.dispatchKeyEvent", type="keyUp", key=key, windowsVirtualKeyCode=code)

    def type(self, text):
        self.call("Input.insertText", text=text)

    def drag(self, from_, to):
        press = {"button": "left", "clickCount": 1}
        self.call("Input.dispatchMouseEvent", type="mousePressed", x=from_[0], y=from_[1], **press)
        for step in (0.3, 0.7, 1):
            x, y = (a + (b - a) * step for a, b in zip(from_, to))
            self.call("Input.dispatchMouseEvent", type="mouseMoved", x=x, y=y, button="left", buttons=1)
        self.call("Input.dispatchMouseEvent", type="mouseReleased", x=to[0], y=to[1], **press)

    def box(self, selector):
        """x, y, width, height of an element in the window."""
        return self.evaluate(f"(() => {{ const r = document.querySelector({json.dumps(selector)}).getBoundingClientRect();"
                             "return [r.x, r.y, r.width, r.height] })()")

    def click(self, selector):
        x, y, width, height = self.box(selector)
        at = (x + width / 2, y + height / 2)
        press = {"button": "left", "clickCount": 1}
        self.call("Input.dispatchMouseEvent", type="mousePressed", x=at[0], y=at[1], **press)
        self.call("Input.dispatchMouseEvent", type="mouseReleased", x=at[0], y=at[1], **press)

    def processor_ms(self):
        """What the page's main thread has worked so far; unlike a clock it does not count what others do to this machine."""
        self.call("Performance.enable", timeDomain="threadTicks")
        metrics = {m["name"]: m["value"] for m in self.call("Performance.getMetrics")["metrics"]}
        return metrics["TaskDuration"] * 1000

    def screenshot(self, path):
        data = self.call("Page.captureScreenshot", format="png")["data"]
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(base64.b64decode(data))

    def close(self):
        try:
            self._session = None
            self.call("Browser.close", timeout=5)
        except BrowserError:
            pass
        try:
            self._process.wait(5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        os.close(self._read)
        os.close(self._write)
