"""A real Chromium for tests of our pages, driven by the DevTools protocol over one WebSocket.

Debian's `chromium`; without it, tests are skipped with that reason. Source: the Chrome DevTools Protocol, version 1.3.
"""

import contextlib
import itertools
import json
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import websocket

_PROGRAMS = ("chromium", "chromium-browser", "google-chrome")
_OPTIONS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--disable-extensions", "--remote-debugging-port=0",
    "--remote-allow-origins=*", "--force-prefers-reduced-motion",
)  # fmt: skip
_START_SECONDS = 60
_ANSWER_SECONDS = 60


def find() -> str | None:
    """Return the browser's program, or None."""
    return next(filter(None, map(shutil.which, _PROGRAMS)), None)


class Tab:
    """One tab. What its pages say, ask for and do wrong is collected."""

    def __init__(self, socket: websocket.WebSocket) -> None:
        self._socket = socket
        self._ids = itertools.count(1)
        self._session = ""
        self.events: list[dict[str, Any]] = []
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network", "Performance"):
            self.call(f"{domain}.enable", **({"timeDomain": "threadTicks"} if domain == "Performance" else {}))

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Call a method of the protocol and return its result."""
        number = next(self._ids)
        asked = {"id": number, "method": method, "params": parameters} | (
            {"sessionId": self._session} if self._session else {}
        )
        self._socket.send(json.dumps(asked))
        while True:
            said = self._next()
            if said.get("id") == number:
                assert "error" not in said, f"{method}: {said}"
                result: dict[str, Any] = said["result"]
                return result

    def _next(self) -> dict[str, Any]:
        said: dict[str, Any] = json.loads(self._socket.recv())
        if "method" in said:
            self.events.append(said)
        return said

    def show(self, width: int, *, height: int = 900, dark: bool = False, script: bool = True) -> None:
        """Choose the window's size, the color scheme, and whether scripts run, for the pages that are opened from now on."""
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.call("Emulation.setEmulatedMedia", features=[scheme])
        self.call("Emulation.setScriptExecutionDisabled", value=not script)

    def open(self, page: Path, *, fragment: str = "") -> None:
        """Open a page, and wait until it is loaded."""
        for url in ("about:blank", page.resolve().as_uri() + fragment):  # else a fragment of the same page loads nothing
            self.events.clear()
            self.call("Page.navigate", url=url)
            while not any(event["method"] == "Page.loadEventFired" for event in self.events):
                self._next()
        self.value("1")  # what was logged until then has arrived

    def value(self, expression: str) -> Any:
        """Return the value of an expression in the page."""
        done = self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in done, done
        return done["result"].get("value")

    def press(self, key: str, *, text: str = "", shift: bool = False) -> None:
        """Press a key."""
        facts = {"key": key, "code": key, "modifiers": 8 if shift else 0, "windowsVirtualKeyCode": _CODES.get(key, 0)}
        self.call("Input.dispatchKeyEvent", type="keyDown" if text else "rawKeyDown", text=text, **facts)
        self.call("Input.dispatchKeyEvent", type="keyUp", **facts)

    def type(self, text: str) -> None:
        """Type a text where the focus is."""
        self.call("Input.insertText", text=text)

    def cpu_seconds(self) -> float:
        """Return the CPU time that the main thread of the page's process has used."""
        metrics = {each["name"]: each["value"] for each in self.call("Performance.getMetrics")["metrics"]}
        return float(metrics["TaskDuration"])

    def complaints(self) -> list[str]:
        """Return what went wrong on the page: errors, what the policy blocked, dialogs, and requests to elsewhere."""
        found = []
        for event in self.events:
            method, facts = event["method"], event["params"]
            if method == "Log.entryAdded" and facts["entry"]["level"] in {"error", "warning"}:
                found.append(facts["entry"]["text"])
            elif method in {"Runtime.exceptionThrown", "Page.javascriptDialogOpening", "Runtime.consoleAPICalled"}:
                found.append(f"{method}: {facts}")
            elif method == "Network.requestWillBeSent" and not facts["request"]["url"].startswith(("file:", "about:")):
                found.append(f"asked for {facts['request']['url']}")
        return found


_CODES = {"Tab": 9, "Enter": 13, " ": 32, "ArrowRight": 39}


@contextlib.contextmanager
def browser(program: str) -> Iterator[Tab]:
    """Run the browser; give a tab of it."""
    with tempfile.TemporaryDirectory(prefix="chromium-", ignore_cleanup_errors=True) as profile:
        log = (Path(profile) / "log").open("wb")
        argv = [program, *_OPTIONS, f"--user-data-dir={profile}", "about:blank"]
        with log, subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log) as process:
            try:
                socket = websocket.create_connection(_address(Path(profile), process), timeout=_ANSWER_SECONDS)
                with contextlib.closing(socket):
                    yield Tab(socket)
            finally:
                process.terminate()
                try:
                    process.wait(10)
                except subprocess.TimeoutExpired:
                    process.kill()


def _address(profile: Path, process: "subprocess.Popen[bytes]") -> str:
    until = time.monotonic() + _START_SECONDS
    while time.monotonic() < until and process.poll() is None:
        with contextlib.suppress(FileNotFoundError, ValueError):
            port, path = (profile / "DevToolsActivePort").read_text().split()
            return f"ws://127.0.0.1:{port}{path}"
        time.sleep(0.05)
    raise AssertionError(f"chromium did not start: {(profile / 'log').read_text('utf-8', 'replace')[-2000:]}")
