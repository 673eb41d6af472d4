"""A real browser for tests: Chromium over the DevTools protocol, on a pipe, so that nothing else is needed.

https://chromedevtools.github.io/devtools-protocol/; messages are JSON, each with a zero byte behind it.
"""

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
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

_SECONDS = 60
_FLAGS = ("--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--remote-debugging-pipe")


def browser() -> str:
    """The path of Chromium or Chrome; the test is skipped where there is none."""
    for name in ("chromium", "chromium-browser", "google-chrome"):
        if found := shutil.which(name):
            return found
    pytest.skip("neither Chromium nor Chrome is installed")


@dataclass(frozen=True)
class Seen:
    """What became of a page in the browser."""

    width: int
    """Of the window, in CSS pixels."""
    scroll_width: int
    """Of what is in it."""
    text: str
    requests: list[str]
    """Addresses that the page asked for, beside itself."""
    messages: list[str]
    """What the console said, errors and breaches of the content security policy among it."""


class Chromium:
    """A running browser."""

    def __init__(self, commands: int, answers: int) -> None:
        self._commands, self._answers = commands, answers
        self._rest = b""
        self._count = 0
        self._events: list[dict[str, Any]] = []

    def look(self, path: Path, width: int, picture: Path | None = None) -> Seen:
        """Open the file in a window of that width; optionally write a PNG of the whole page."""
        with self.visit(path.resolve().as_uri(), width) as tab:
            if picture is not None:
                tab.picture(picture)
            return tab.seen()

    @contextmanager
    def visit(self, address: str, width: int, *, dark: bool = False) -> Iterator[Tab]:
        """A tab with the page at `address` in a window of that width, until the block ends."""
        target = self._send("Target.createTarget", url="about:blank")["targetId"]
        session = self._send("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self._send(f"{domain}.enable", session)
        size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 600}
        self._send("Emulation.setDeviceMetricsOverride", session, **size)
        if dark:
            scheme = [{"name": "prefers-color-scheme", "value": "dark"}]
            self._send("Emulation.setEmulatedMedia", session, features=scheme)
        self._events.clear()
        self._send("Page.navigate", session, url=address)
        while not any(event["method"] == "Page.loadEventFired" for event in self._events):
            self._events.append(self._receive())
        yield Tab(self, session, address)
        self._send("Target.closeTarget", targetId=target)

    def _requests(self) -> list[str]:
        sent = [event["params"] for event in self._events if event["method"] == "Network.requestWillBeSent"]
        addresses = [str(params["request"]["url"]) for params in sent]
        return [address for address in addresses if not address.startswith("data:")]

    def _messages(self) -> list[str]:
        told = ("Runtime.consoleAPICalled", "Runtime.exceptionThrown", "Log.entryAdded")
        return [json.dumps(event["params"]) for event in self._events if event["method"] in told]

    def _send(self, method: str, session: str | None = None, **params: Any) -> dict[str, Any]:
        self._count += 1
        message: dict[str, Any] = {"id": self._count, "method": method, "params": params}
        if session is not None:
            message["sessionId"] = session
        os.write(self._commands, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._receive()
            if answer.get("id") == self._count:
                assert "error" not in answer, answer
                result: dict[str, Any] = answer["result"]
                return result
            self._events.append(answer)

    def _receive(self) -> dict[str, Any]:
        while b"\0" not in self._rest:
            assert select.select([self._answers], [], [], _SECONDS)[0], "the browser does not answer"
            part = os.read(self._answers, 1 << 16)
            assert part, "the browser has ended"
            self._rest += part
        message, _, self._rest = self._rest.partition(b"\0")
        found: dict[str, Any] = json.loads(message)
        return found


@dataclass(frozen=True)
class Tab:
    """A page that is open."""

    browser: Chromium
    session: str
    address: str

    def run(self, script: str) -> Any:
        """The value of the script in the page, awaited where it is a promise."""
        found = self.browser._send(
            "Runtime.evaluate", self.session, expression=script, returnByValue=True, awaitPromise=True
        )
        assert "exceptionDetails" not in found, found["exceptionDetails"]
        return found["result"].get("value")

    def wait(self, condition: str) -> None:
        """Until the script is true in the page."""
        end = time.monotonic() + _SECONDS
        while not self.run(f"Boolean({condition})"):
            assert time.monotonic() < end, f"not in time: {condition}; {self.run('document.body.innerText')}"
            time.sleep(0.05)

    def press(self, key: str) -> None:
        """A key, as a person presses it: Tab, Enter, …"""
        text = {"Enter": "\r"}.get(key, "")
        for kind in ("keyDown", "keyUp"):
            self.browser._send(
                "Input.dispatchKeyEvent", self.session, type=kind, key=key, code=key, text=text
            )

    def picture(self, path: Path) -> None:
        """Write a PNG of the whole page."""
        taken = self.browser._send("Page.captureScreenshot", self.session, captureBeyondViewport=True)
        path.write_bytes(base64.b64decode(taken["data"]))

    def seen(self) -> Seen:
        """What became of it until now."""
        sizes = "[innerWidth, document.scrollingElement.scrollWidth, document.body.innerText]"
        return Seen(
            *self.run(sizes),
            requests=[address for address in self.browser._requests() if address != self.address],
            messages=self.browser._messages(),
        )


@contextmanager
def chromium() -> Iterator[Chromium]:
    """Start the browser, and end it."""
    program = browser()
    ends = [_aside(end) for pair in (os.pipe(), os.pipe()) for end in pair]
    read_commands, commands, answers, write_answers = ends
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        actions = [
            (os.POSIX_SPAWN_DUP2, read_commands, 3),
            (os.POSIX_SPAWN_DUP2, write_answers, 4),
            (os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0),
            (os.POSIX_SPAWN_OPEN, 2, os.devnull, os.O_WRONLY, 0),
        ]
        command = [program, *_FLAGS, f"--user-data-dir={profile}"]
        process = os.posix_spawn(program, command, os.environ, file_actions=actions)
        os.close(read_commands)
        os.close(write_answers)
        try:
            yield Chromium(commands, answers)
        finally:
            os.kill(process, signal.SIGTERM)
            os.waitpid(process, 0)
            os.close(commands)
            os.close(answers)


def _aside(end: int) -> int:
    """The same end of a pipe under a number that is not one of the two that the browser reads."""
    moved = fcntl.fcntl(end, fcntl.F_DUPFD_CLOEXEC, 10)
    os.close(end)
    return moved
