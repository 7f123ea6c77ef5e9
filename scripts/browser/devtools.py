"""A headless Chromium driven over the DevTools protocol, through a pipe: the Python standard library is all it needs.

https://chromedevtools.github.io/devtools-protocol/
"""

import base64
import json
import os
import queue
import shutil
import subprocess
import tempfile
import threading
import time

PROGRAMS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
KEYS = {"Enter": 13, "Escape": 27, "ArrowLeft": 37, "ArrowRight": 39, "Tab": 9}
PATIENCE = 20  # seconds that a page has for what is waited for


class Failure(Exception):
    """What a check found wrong."""


class Browser:
    def __init__(self, program=None):
        program = program or next((found for name in PROGRAMS if (found := shutil.which(name))), None)
        if program is None:
            raise SystemExit("no Chromium here: apt-get install chromium, or name one with --browser")
        self._profile = tempfile.mkdtemp(prefix="temper-browser-")
        read_end, commands = os.pipe()
        answers, write_end = os.pipe()
        # The browser reads commands from descriptor 3 and answers on 4; the shell puts the pipes there.
        flags = ["--headless=new", "--remote-debugging-pipe", f"--user-data-dir={self._profile}", "--no-first-run",
                 "--disable-gpu", "--disable-dev-shm-usage", "--disable-background-networking",
                 "--disable-component-update", "--disable-sync", "--disable-default-apps"]
        if os.geteuid() == 0:
            flags.append("--no-sandbox")  # which root cannot have
        self._process = subprocess.Popen(
            ["sh", "-c", f'exec "$@" 3<&{read_end} 4>&{write_end}', "sh", program, *flags],
            pass_fds=(read_end, write_end), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        os.close(read_end)
        os.close(write_end)
        self._commands = os.fdopen(commands, "wb", buffering=0)
        self._answers = os.fdopen(answers, "rb")
        self._lock, self._last = threading.Lock(), 0
        self._waiting, self._pages = {}, {}
        threading.Thread(target=self._read, daemon=True).start()

    def call(self, method, session=None, /, **params):
        answer = queue.Queue()
        with self._lock:
            self._last += 1
            number = self._last
            self._waiting[number] = answer
            message = {"id": number, "method": method, "params": params}
            if session:
                message["sessionId"] = session
            self._commands.write(json.dumps(message).encode() + b"\0")
        try:
            result = answer.get(timeout=60)
        except queue.Empty:
            raise Failure(f"the browser does not answer {method}") from None
        if "error" in result:
            raise Failure(f"{method}: {result['error']}")
        return result["result"]

    def page(self, url, width=1280, height=800, dark=False, touch=False):
        context = self.call("Target.createBrowserContext")["browserContextId"]  # with a storage of its own
        target = self.call("Target.createTarget", url="about:blank", browserContextId=context)["targetId"]
        session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        page = Page(self, session)
        self._pages[session] = page
        page.open(url, width, height, dark, touch)
        return page

    def close(self):
        try:
            self.call("Browser.close")
            self._process.wait(timeout=20)
        except (Failure, OSError, subprocess.TimeoutExpired):
            self._process.kill()
        shutil.rmtree(self._profile, ignore_errors=True)

    def _read(self):
        rest = b""
        while chunk := self._answers.read1(1 << 20):
            *messages, rest = (rest + chunk).split(b"\0")
            for message in map(json.loads, messages):
                if "id" in message:
                    self._waiting.pop(message["id"]).put(message)
                elif page := self._pages.get(message.get("sessionId")):
                    page.saw(message["method"], message["params"])


class Page:
    """A tab, and what went on in it: `requests` (addresses), `errors` (exceptions, console errors, broken policies)."""

    def __init__(self, browser, session):
        self._browser, self._session = browser, session
        self.requests, self.errors = [], []

    def call(self, method, **params):
        return self._browser.call(method, self._session, **params)

    def open(self, url, width, height, dark, touch):
        for domain in ("Page", "Runtime", "Network", "Log"):
            self.call(f"{domain}.enable")
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=touch)
        self.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}])
        self.call("Page.navigate", url=url)
        self.wait("document.readyState === 'complete'")

    def reload(self):
        self.evaluate("window.beforeReload = true")
        self.call("Page.reload")
        self.wait("!window.beforeReload && document.readyState === 'complete'")

    def saw(self, method, params):
        if method == "Network.requestWillBeSent":
            self.requests.append(params["request"]["url"])
        elif method == "Runtime.exceptionThrown":
            details = params["exceptionDetails"]
            self.errors.append(details.get("exception", {}).get("description") or details["text"])
        elif method == "Runtime.consoleAPICalled" and params["type"] in ("error", "assert"):
            self.errors.append(" ".join(str(one.get("value", one.get("description"))) for one in params["args"]))
        elif method == "Log.entryAdded" and params["entry"]["level"] == "error" and params["entry"]["source"] != "network":
            self.errors.append(params["entry"]["text"])  # of the network: statuses such as 401, which pages show themselves

    def evaluate(self, expression):
        result = self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        if "exceptionDetails" in result:
            raise Failure(f"{expression}: {result['exceptionDetails'].get('exception', {}).get('description')}")
        return result["result"].get("value")

    def wait(self, expression, what=None, patience=PATIENCE):
        end = time.monotonic() + patience
        while True:
            value = self.evaluate(expression)
            if value or value == {}:  # which is how a node arrives
                return value
            if time.monotonic() > end:
                raise Failure(f"{what or expression}: not within {patience} s")
            time.sleep(0.05)

    def text(self, selector):
        """What can be read there."""
        return self.evaluate(f"document.querySelector({json.dumps(selector)})?.innerText ?? null")

    def count(self, selector):
        return self.evaluate(f"document.querySelectorAll({json.dumps(selector)}).length")

    def seen(self, selector):
        return self.evaluate(f"!!document.querySelector({json.dumps(selector)})?.checkVisibility()")

    def place(self, selector):
        """The middle of an element, on the screen."""
        box = self.evaluate(f"""(() => {{
          const node = document.querySelector({json.dumps(selector)});
          if (!node?.checkVisibility()) return null;
          node.scrollIntoView({{block: "nearest"}});
          const box = node.getClientRects()[0];
          return [box.x + box.width / 2, box.y + box.height / 2];
        }})()""")
        if box is None:
            raise Failure(f"{selector}: is not to be seen")
        return box

    def click(self, selector):
        x, y = self.place(selector)
        for kind in ("mouseMoved", "mousePressed", "mouseReleased"):
            self.call("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="none" if kind == "mouseMoved" else "left", clickCount=1)

    def hover(self, selector):
        x, y = self.place(selector)
        self.call("Input.dispatchMouseEvent", type="mouseMoved", x=x, y=y)

    def type(self, text):
        self.call("Input.insertText", text=text)

    def fill(self, selector, text):
        self.click(selector)
        self.evaluate(f"document.querySelector({json.dumps(selector)}).select?.()")
        self.type(text)

    def press(self, key, shift=False):
        text = {"Enter": "\r"}.get(key, "")
        for kind in ("keyDown", "keyUp"):
            self.call("Input.dispatchKeyEvent", type=kind, key=key, code=key, windowsVirtualKeyCode=KEYS[key],
                      modifiers=8 if shift else 0, text=text if kind == "keyDown" else "")

    def picture(self, path):
        with open(path, "wb") as out:
            out.write(base64.b64decode(self.call("Page.captureScreenshot", format="png")["data"]))
