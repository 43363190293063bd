"""Drives a headless Chromium over DevTools pipes, so that pages are tested as a person meets them."""

from __future__ import annotations

import base64
import fcntl
import json
import os
import select
import shutil
import signal
import tempfile
import time
from pathlib import Path
from typing import Any

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


class Browser:
    """One page in a headless Chromium; remembers what its console says and what it asks the network for.

    Parameters
    ----------
    width, height
        Of the window. [CSS pixels]
    webgl
        Whether pages may draw with WebGL (in software).
    """

    def __init__(self, width: int = 1366, height: int = 900, *, webgl: bool = True) -> None:
        self.webgl = webgl
        self.console: list[str] = []
        self.requests: list[str] = []
        self._profile = tempfile.mkdtemp(prefix="cosim-chromium-")
        self._count, self._buffer = 0, b""
        to_read, self._write = os.pipe()
        self._read, to_write = os.pipe()
        # Chromium reads commands from descriptor 3 and writes answers to 4; both must be free to be taken.
        ends = [fcntl.fcntl(end, fcntl.F_DUPFD, 10) for end in (to_read, to_write)]
        os.close(to_read)
        os.close(to_write)
        log = os.open(os.devnull, os.O_RDWR)
        graphics = ["--enable-unsafe-swiftshader", "--use-angle=swiftshader"] if webgl else ["--disable-3d-apis"]
        self._pid = os.posix_spawn(
            str(CHROMIUM),
            [
                str(CHROMIUM),
                "--headless=new",
                "--no-sandbox",
                "--remote-debugging-pipe",
                "--disable-gpu",
                "--disable-dev-shm-usage",
                "--no-first-run",
                "--disable-background-networking",
                "--hide-scrollbars",
                f"--user-data-dir={self._profile}",
                f"--window-size={width},{height}",
                *graphics,
                "about:blank",
            ],
            os.environ,
            file_actions=[
                (os.POSIX_SPAWN_DUP2, log, 1),
                (os.POSIX_SPAWN_DUP2, log, 2),
                (os.POSIX_SPAWN_DUP2, ends[0], 3),
                (os.POSIX_SPAWN_DUP2, ends[1], 4),
            ],
        )
        for end in (*ends, log):
            os.close(end)
        target = self._ask("Target.createTarget", {"url": "about:blank"}, session=None)["targetId"]
        self._session = self._ask("Target.attachToTarget", {"targetId": target, "flatten": True}, session=None)[
            "sessionId"
        ]
        for domain in ("Page", "Runtime", "Network", "Log"):
            self._ask(f"{domain}.enable")
        self.resize(width, height)

    def resize(self, width: int, height: int) -> None:
        """Give the page another window, a phone's below 500 pixels."""
        mobile = width < 500
        size = {"width": width, "height": height, "deviceScaleFactor": 2 if mobile else 1, "mobile": mobile}
        self._ask("Emulation.setDeviceMetricsOverride", size)

    def open(
        self,
        address: str | Path,
        *,
        part: str = "",
        ready: str = "document.body && document.body.dataset.ready",
        timeout_s: float = 120,
    ) -> None:
        """Open a page, of a file or by its address, at a part of it, and wait until it says that it is ready."""
        url = (address.resolve().as_uri() if isinstance(address, Path) else address) + part
        self.console.clear()
        self.requests.clear()
        self._ask("Page.navigate", {"url": "about:blank"})  # another part of the same page would not be loaded
        self._ask("Page.navigate", {"url": url})
        self.wait(ready, timeout_s)

    def run(self, expression: str) -> Any:
        """Return the value of a JavaScript expression, awaited."""
        answer = self._ask("Runtime.evaluate", {"expression": expression, "awaitPromise": True, "returnByValue": True})
        if "exceptionDetails" in answer:
            raise AssertionError(f"{expression}: {answer['exceptionDetails']}")
        return answer["result"].get("value")

    def wait(self, expression: str, timeout_s: float = 30) -> None:
        """Wait until an expression is true."""
        until = time.monotonic() + timeout_s
        while not self.run(f"!!({expression})"):
            if time.monotonic() > until:
                raise AssertionError(f"{expression} is not true; the console says {self.console}")
            time.sleep(0.05)

    def click(self, selector: str) -> None:
        """Click the middle of an element."""
        x, y = self.run(
            f"(() => {{ const e = document.querySelector({json.dumps(selector)});"
            "e.scrollIntoView({block: 'nearest'}); const b = e.getBoundingClientRect();"
            "return [b.x + b.width / 2, b.y + b.height / 2]; })()"
        )
        self.click_at(x, y)

    def click_at(self, x: float, y: float) -> None:
        """Click a place in the window."""
        for kind in ("mousePressed", "mouseReleased"):
            self._ask("Input.dispatchMouseEvent", {"type": kind, "x": x, "y": y, "button": "left", "clickCount": 1})

    def move(self, x: float, y: float) -> None:
        """Move the pointer to a place in the window."""
        self._ask("Input.dispatchMouseEvent", {"type": "mouseMoved", "x": x, "y": y})

    def press(self, key: str, code: int, text: str = "") -> None:
        """Press and release a key; code is its Windows virtual key code."""
        about = {"key": key, "windowsVirtualKeyCode": code, "code": key if len(key) > 1 else "Space"}
        self._ask("Input.dispatchKeyEvent", about | {"type": "keyDown", **({"text": text} if text else {})})
        self._ask("Input.dispatchKeyEvent", about | {"type": "keyUp"})

    def type(self, text: str) -> None:
        """Type into what has the focus."""
        self._ask("Input.insertText", {"text": text})

    def screenshot(self, path: Path | None = None, *, whole: bool = False) -> bytes:
        """Return a PNG of the window or of the whole page, and write it if there is a path."""
        answer = self._ask("Page.captureScreenshot", {"format": "png", "captureBeyondViewport": whole})
        content = base64.b64decode(answer["data"])
        if path is not None:
            path.write_bytes(content)
        return content

    def close(self) -> None:
        """End the browser and remove its profile."""
        try:
            self._ask("Browser.close", session=None)
        except (OSError, AssertionError):
            os.kill(self._pid, signal.SIGKILL)
        os.waitpid(self._pid, 0)
        os.close(self._read)
        os.close(self._write)
        shutil.rmtree(self._profile, ignore_errors=True)

    def __enter__(self) -> Browser:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _ask(self, method: str, params: dict[str, Any] | None = None, session: str | None = "page") -> Any:
        self._count += 1
        message: dict[str, Any] = {"id": self._count, "method": method, "params": params or {}}
        if session is not None:
            message["sessionId"] = self._session
        os.write(self._write, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._next()
            if answer.get("id") == self._count:
                if "error" in answer:
                    raise AssertionError(f"{method}: {answer['error']}")
                return answer["result"]
            self._hear(answer)

    def _next(self, timeout_s: float = 120) -> dict[str, Any]:
        until = time.monotonic() + timeout_s
        while b"\0" not in self._buffer:
            if not select.select([self._read], [], [], max(0, until - time.monotonic()))[0]:
                raise AssertionError(f"Chromium has not answered for {timeout_s:g} s")
            part = os.read(self._read, 1 << 20)
            if not part:
                raise AssertionError("Chromium has ended")
            self._buffer += part
        text, self._buffer = self._buffer.split(b"\0", 1)
        event: dict[str, Any] = json.loads(text)
        return event

    def _hear(self, event: dict[str, Any]) -> None:
        about = event.get("params", {})
        match event.get("method"):
            case "Runtime.consoleAPICalled" if about["type"] in ("error", "warning", "assert"):
                self.console.append(" ".join(str(a.get("value", a.get("description"))) for a in about["args"]))
            case "Runtime.exceptionThrown":
                self.console.append(str(about["exceptionDetails"].get("exception", about["exceptionDetails"])))
            case "Log.entryAdded" if about["entry"]["level"] in ("error", "warning"):
                self.console.append(about["entry"]["text"])
            case "Network.requestWillBeSent":
                self.requests.append(about["request"]["url"])
