"""A headless Chromium, driven through its debugging pipe, as far as tests of the report need."""

import base64
import fcntl
import json
import os
import select
import shutil
import subprocess
import sys
from pathlib import Path
from types import TracebackType
from typing import Any

import pytest

NAMES = ("chromium", "chromium-browser", "google-chrome")
SECONDS = 60.0
# What a key is called, its number, and what it types.
KEYS = {
    "Enter": ("Enter", 13, "\r"), "Tab": ("Tab", 9, ""), " ": ("Space", 32, " "),
    "Escape": ("Escape", 27, ""), "F6": ("F6", 117, ""),
}  # fmt: skip
# The browser reads commands from descriptor 3 and answers on 4.
_PLACE = (
    "import os, sys; os.dup2(int(sys.argv[1]), 3); os.dup2(int(sys.argv[2]), 4); "
    "os.execv(sys.argv[3], sys.argv[3:])"
)


def chromium() -> str:
    """Its path. Skips the test where there is none, unless everything is required."""
    found = next((path for name in NAMES if (path := shutil.which(name))), None)
    if found is None:
        if os.environ.get("MXLAB_REQUIRE_DOCKER"):
            pytest.fail("no Chromium is installed: apt-get install chromium")
        pytest.skip("no Chromium is installed")
    return found


def flags(home: Path) -> list[str]:
    """How it is started: without a screen, a sandbox (containers have none to give), a network."""
    return [
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-background-networking",
        "--no-first-run",
        f"--user-data-dir={home}",
        "--window-size=1400,1200",
    ]


class Browser:
    """One page. `errors`: what its scripts threw or logged as errors; `requests`: what it asked
    for."""

    def __init__(self, home: Path) -> None:
        self._home = home
        self.errors: list[str] = []
        self.requests: list[str] = []
        self._loaded: set[str] = set()
        self._count = 0
        self._session = ""
        self._buffer = b""

    def __enter__(self) -> "Browser":
        path = chromium()
        pipes = [os.pipe(), os.pipe()]
        ours = self._read, self._write = pipes[1][0], pipes[0][1]
        theirs = [fcntl.fcntl(fd, fcntl.F_DUPFD, 10) for fd in (pipes[0][0], pipes[1][1])]
        command = [sys.executable, "-c", _PLACE, *map(str, theirs), path]
        self._process = subprocess.Popen(
            [*command, *flags(self._home), "--remote-debugging-pipe"],
            pass_fds=theirs,
            stderr=subprocess.DEVNULL,
        )
        for fd in {*theirs, *pipes[0], *pipes[1]} - {*ours}:
            os.close(fd)
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        attached = self.call("Target.attachToTarget", targetId=target, flatten=True)
        self._session = attached["sessionId"]
        for domain in ("Page", "Runtime", "Network", "Log"):
            self.call(f"{domain}.enable")
        self.call("Page.setLifecycleEventsEnabled", enabled=True)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        os.close(self._write)
        os.close(self._read)
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def open(self, page: Path, fragment: str = "") -> None:
        """Load a file, and wait until all of it is there."""
        self.visit("about:blank")
        self.errors.clear()
        self.requests.clear()
        self.visit(page.as_uri() + fragment)

    def visit(self, url: str) -> None:
        """Load an address, and wait until all of it is there."""
        loader = self.call("Page.navigate", url=url)["loaderId"]
        while loader not in self._loaded:
            self._next()

    def evaluate(self, script: str) -> Any:
        """The value of an expression; of a promise, what it comes to."""
        answer = self.call(
            "Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True
        )
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    def click(self, x: float, y: float) -> None:
        for kind in ("mouseMoved", "mousePressed", "mouseReleased"):
            self.call("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", clickCount=1)

    def press(self, key: str) -> None:
        for kind in ("keyDown", "keyUp"):
            self.call("Input.dispatchKeyEvent", type=kind, key=key)

    def strike(self, key: str, modifiers: int = 0) -> None:
        """A key as it is struck: Enter, Tab and Space do what they do; `modifiers`: 1 Alt, 2 Ctrl,
        8 Shift."""
        code, number, text = KEYS.get(key, (f"Key{key.upper()}", ord(key[0].upper()), key))
        how: dict[str, object] = {"key": key, "code": code, "windowsVirtualKeyCode": number}
        how["modifiers"] = modifiers
        typed = {} if modifiers & 2 else {"text": text}
        self.call("Input.dispatchKeyEvent", type="keyDown", **how, **typed)
        self.call("Input.dispatchKeyEvent", type="keyUp", **how)

    def type(self, text: str) -> None:
        """Text into what has the focus."""
        self.call("Input.insertText", text=text)

    def picture(self, where: Path, *, dark: bool = False) -> None:
        """A picture of the window, for people."""
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.call("Emulation.setEmulatedMedia", features=[scheme])
        data = self.call("Page.captureScreenshot", format="png")["data"]
        where.write_bytes(base64.b64decode(data))

    def call(self, method: str, **params: object) -> Any:
        """A command's result."""
        self._count += 1
        number = self._count
        request: dict[str, object] = {"id": number, "method": method, "params": params}
        if self._session:
            request["sessionId"] = self._session
        os.write(self._write, json.dumps(request).encode() + b"\0")
        while (item := self._next()).get("id") != number:
            pass
        assert "error" not in item, item
        return item["result"]

    def _next(self) -> Any:
        """The browser's next message, noted."""
        while b"\0" not in self._buffer:
            ready, _, _ = select.select([self._read], [], [], SECONDS)
            assert ready, "the browser does not answer"
            block = os.read(self._read, 1 << 16)
            assert block, "the browser has ended"
            self._buffer += block
        line, _, self._buffer = self._buffer.partition(b"\0")
        item = json.loads(line)
        self._note(item.get("method", ""), item.get("params", {}))
        return item

    def _note(self, method: str, params: Any) -> None:
        if method == "Page.lifecycleEvent" and params["name"] == "load":
            self._loaded.add(params["loaderId"])
        if method == "Runtime.exceptionThrown":
            self.errors.append(params["exceptionDetails"]["text"])
        if method == "Log.entryAdded" and params["entry"]["level"] == "error":
            entry = params["entry"]
            self.errors.append(f"{entry['text']} {entry.get('url', '')}".rstrip())
        if method == "Network.requestWillBeSent":
            self.requests.append(params["request"]["url"])


def until(browser: Browser, script: str, seconds: int = 50) -> object:
    """What the expression comes to as soon as it is true."""
    return browser.evaluate(
        f"""new Promise((done, late) => {{
          const end = performance.now() + {seconds * 1000};
          const look = () => {{
            const found = {script};
            if (found) done(found);
            else if (performance.now() > end) late(new Error({json.dumps(script)}));
            else requestAnimationFrame(look);
          }};
          look();
        }})"""
    )
