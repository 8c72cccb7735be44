"""A headless Chromium, spoken to over a pipe (Chrome DevTools Protocol), so that tests need no driver.

Owns starting and stopping one browser; what a page should do is the tests' business.
"""

from __future__ import annotations

import json
import os
import select
import shutil
import subprocess
import time
from pathlib import Path
from types import TracebackType
from typing import Any

NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")
FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync", "--remote-debugging-pipe",
)  # fmt: skip
DEADLINE = 60.0
KEYS = {"Tab": (9, ""), "Enter": (13, "\r"), "Space": (32, " "), "ArrowRight": (39, "")}  # code and text


def find_browser() -> str | None:
    """The path of an installed Chromium."""
    return next((path for name in NAMES if (path := shutil.which(name))), None)


class Browser:
    """One page of one browser with a profile of its own.

    Attributes:
        requests: addresses the page asked for, its own first.
        messages: everything written to its console, by scripts or by the browser, and uncaught errors.
    """

    def __init__(self, executable: str, profile: Path) -> None:
        self.requests: list[str] = []
        self.messages: list[str] = []
        self.events: list[str] = []
        self.last_id = 0
        self.buffer = b""
        their_input, self.output = os.pipe()
        self.input, their_output = os.pipe()
        # Chromium reads commands from descriptor 3 and answers on 4.
        redirect = f'exec "$0" "$@" 3<&{their_input} 4>&{their_output}'
        command = ["bash", "-c", redirect, executable, *FLAGS, f"--user-data-dir={profile}", "about:blank"]
        self.process = subprocess.Popen(command, pass_fds=(their_input, their_output), stderr=subprocess.DEVNULL)
        os.close(their_input)
        os.close(their_output)
        targets = self.call("Target.getTargets", session=False)["targetInfos"]
        page = next(target["targetId"] for target in targets if target["type"] == "page")
        attached = self.call("Target.attachToTarget", session=False, targetId=page, flatten=True)
        self.session = attached["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")
        self.call("Emulation.setScrollbarsHidden", hidden=True)  # in a picture they cover the right margin

    def __enter__(self) -> Browser:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        os.close(self.output)
        os.close(self.input)
        self.process.terminate()
        self.process.wait(timeout=DEADLINE)

    def open(self, url: str) -> None:
        """Load a page and wait until everything of it has loaded."""
        self.requests.clear()
        self.messages.clear()
        self.events.clear()
        self.call("Page.navigate", url=url)
        while "Page.loadEventFired" not in self.events:
            self.receive()
        self.evaluate("0")  # a round trip: what was reported while loading has arrived now

    def evaluate(self, expression: str) -> Any:
        """The value of a JavaScript expression in the page."""
        answer = self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    def look(self, *, width: int, dark: bool = False, medium: str = "", scripts: bool = True) -> None:
        """Set the width in CSS pixels, the colour scheme, the medium and whether scripts run."""
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=900, deviceScaleFactor=1, mobile=False)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.call("Emulation.setEmulatedMedia", media=medium, features=[scheme])
        self.call("Emulation.setScriptExecutionDisabled", value=not scripts)

    def press(self, key: str) -> None:
        """Press and release one of ``KEYS``."""
        code, text = KEYS[key]
        about = {"key": " " if key == "Space" else key, "code": key, "windowsVirtualKeyCode": code}
        self.call("Input.dispatchKeyEvent", type="keyDown", text=text, **about)
        self.call("Input.dispatchKeyEvent", type="keyUp", **about)

    def call(self, method: str, *, session: bool = True, **params: Any) -> dict[str, Any]:
        """Send one command and wait for its answer; events that come before it are noted."""
        self.last_id += 1
        message = {"id": self.last_id, "method": method, "params": params}
        if session:
            message["sessionId"] = self.session
        os.write(self.output, json.dumps(message).encode() + b"\0")
        while True:
            answer = self.receive()
            if answer.get("id") == self.last_id:
                if "error" in answer:
                    raise RuntimeError(f"{method}: {answer['error']}")
                return answer["result"]

    def receive(self) -> dict[str, Any]:
        """The next message; events are sorted into requests and messages."""
        end = time.monotonic() + DEADLINE
        while b"\0" not in self.buffer:
            readable, _, _ = select.select([self.input], [], [], max(0.0, end - time.monotonic()))
            part = os.read(self.input, 1 << 16) if readable else b""
            if not part:
                raise RuntimeError("the browser ended or does not answer")
            self.buffer += part
        text, self.buffer = self.buffer.split(b"\0", 1)
        message: dict[str, Any] = json.loads(text)
        method, params = message.get("method", ""), message.get("params", {})
        self.events.append(method)
        if method == "Network.requestWillBeSent":
            url = params["request"]["url"]
            # Pictures inside the page are reported as well, but nothing is fetched for them.
            self.requests += [] if url.startswith("data:") else [url]
        elif method == "Runtime.consoleAPICalled":
            self.messages.append(str(params["args"]))
        elif method == "Log.entryAdded":
            self.messages.append(params["entry"]["text"])
        elif method == "Runtime.exceptionThrown":
            self.messages.append(str(params["exceptionDetails"]))
        return message
