"""Chromium without a window, driven by the DevTools protocol."""

import contextlib
import itertools
import json
import os
import subprocess
import tempfile
import time
import urllib.request
from base64 import b64decode
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from websockets.sync.client import ClientConnection, connect

SECONDS = 60


class Page:
    """A page of the browser.

    Args:
      socket: the connection to it.

    Attributes:
      errors: the errors and warnings of its console, and exceptions of its scripts.
      requested: the URLs that it requested.
    """

    def __init__(self, socket: ClientConnection):
        self._socket, self._numbers = socket, itertools.count(1)
        self.errors, self.requested = list[str](), list[str]()
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.send(f"{domain}.enable")

    def send(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Call a method and return its result."""
        number = next(self._numbers)
        self._socket.send(json.dumps({"id": number, "method": method, "params": parameters}))
        while True:
            message = json.loads(self._socket.recv(timeout=SECONDS))
            if message.get("id") == number:
                assert "error" not in message, message
                return message["result"]
            self._note(message)

    def _note(self, message: dict[str, Any]) -> None:
        given = message.get("params", {})
        if message.get("method") == "Runtime.exceptionThrown":
            self.errors.append(json.dumps(given["exceptionDetails"]))
        elif message.get("method") == "Runtime.consoleAPICalled" and given["type"] in ("error", "warning"):
            self.errors.append(json.dumps(given["args"]))
        elif message.get("method") == "Log.entryAdded" and given["entry"]["level"] in ("error", "warning"):
            self.errors.append(json.dumps(given["entry"]))
        elif message.get("method") == "Network.requestWillBeSent":
            self.requested.append(given["request"]["url"])

    def open(self, url: str) -> None:
        """Open a URL, and wait until it is loaded."""
        self.send("Page.navigate", url=url)
        self.until(f"location.href == {url!r} && document.readyState == 'complete'")

    def value(self, script: str) -> Any:
        """Return the value of a JavaScript expression."""
        found = self.send("Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True)
        assert "exceptionDetails" not in found, found
        return found["result"].get("value")

    def until(self, script: str) -> None:
        """Wait until a JavaScript expression is true."""
        end = time.monotonic() + SECONDS
        while not self.value(script):
            assert time.monotonic() < end, (script, self.value("document.body.innerText"), self.errors)
            time.sleep(0.05)

    def press(self, key: str, code: int, text: str = "") -> None:
        """Press a key."""
        for kind in ("keyDown", "keyUp"):
            self.send("Input.dispatchKeyEvent", type=kind, key=key, windowsVirtualKeyCode=code, text=text)

    def write(self, text: str) -> None:
        """Write text into the element with the focus."""
        self.send("Input.insertText", text=text)

    def size(self, width: int, height: int) -> None:
        """Set the size of the page."""
        self.send(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=width < 500
        )

    def picture(self, file: Path) -> None:
        """Write a picture of the page."""
        file.write_bytes(b64decode(self.send("Page.captureScreenshot", captureBeyondViewport=True)["data"]))


@contextlib.contextmanager
def browsing(program: Path) -> Iterator[Page]:
    """Run a browser in the block, and yield its page."""
    with tempfile.TemporaryDirectory(prefix="twostep-chromium-", ignore_cleanup_errors=True) as folder:
        command = [
            str(program),
            "--headless",
            "--disable-gpu",
            "--remote-debugging-port=0",
            f"--user-data-dir={folder}",
        ]
        command += ["--no-sandbox"] if os.geteuid() == 0 else []
        with subprocess.Popen(
            [*command, "about:blank"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        ) as process:
            try:
                yield from _connected(Path(folder, "DevToolsActivePort"))
            finally:
                process.kill()


def _connected(file: Path) -> Iterator[Page]:
    end = time.monotonic() + SECONDS
    while not file.is_file() or not file.read_text().strip():
        assert time.monotonic() < end, "Chromium did not start"
        time.sleep(0.05)
    port = file.read_text().splitlines()[0]
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/json") as answer:
        [target] = [each for each in json.load(answer) if each["type"] == "page"]
    with connect(target["webSocketDebuggerUrl"], max_size=2**26) as socket:
        yield Page(socket)
