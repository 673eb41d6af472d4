"""A window that moved calls somebody: signed, once, again where nobody answered, and without delay."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import logging
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from receiver import Receiver, receiver
from service_client import Client

from declarative_ml.core.errors import SpecError
from declarative_ml.learning.drift import ColumnDrift, Distance
from declarative_ml.learning.drift_windows import Verdict, Watched
from declarative_ml.serving.alarm import SIGNATURE, Alarm
from declarative_ml.serving.app import Application
from declarative_ml.serving.fleet import Fleet
from declarative_ml.serving.model import ServedModel
from declarative_ml.serving.service import Service
from declarative_ml.serving.watch import watch_models
from declarative_ml.spec.load import load_spec
from declarative_ml.spec.monitor import Monitor
from declarative_ml.spec.webhook import Webhook
from declarative_ml.store.bundle import Bundle

WINDOW = {"began": 1_700_000_000.0, "ended": 1_700_000_060.0}
KEY = "between us"


def verdict(*reasons: str) -> Verdict:
    fare = ColumnDrift("fare", "number", (900, 600), Distance(0.5, 0.1, 0.02), (0.0, 0.0))
    return Verdict(600, 500, (Watched(fare, 0.0, 0.0, 0.0, reasons),))


MOVED, STILL = verdict("psi 0.50"), verdict()


@pytest.fixture
def called(monkeypatch: pytest.MonkeyPatch) -> Iterator[Receiver]:
    with receiver() as found:
        monkeypatch.setenv("HOOK", found.url)
        monkeypatch.setenv("KEY", KEY)
        yield found


def alarm(folder: Path | None = None, **options: Any) -> Alarm:
    hook = Webhook.model_validate({"url": "${env:HOOK}", **options})
    return Alarm(hook, {"name": "guests", "version": "abc"}, folder, pause=0.01)


def rung(alarm: Alarm, what: Verdict = MOVED) -> bool:
    """Ring, and wait for the thread."""
    found = alarm.ring(WINDOW, what, 0.2)
    if alarm._thread is not None:
        alarm._thread.join(20)
    return found


def test_a_signed_call(called: Receiver) -> None:
    bell = alarm(secret="${env:KEY}")
    assert not rung(bell, STILL) and rung(bell)
    (body,), (headers,) = called.bodies, called.headers
    told = json.loads(body)
    assert told.pop("time").endswith("+00:00")
    assert told == {
        "event": "drift",
        "model": {"name": "guests", "version": "abc"},
        "alert": 0.2,
        "window": {"began": "2023-11-14T22:13:20+00:00", "ended": "2023-11-14T22:14:20+00:00", "rows": 600},
        "moved": [{"column": "fare", "psi": 0.5, "answer": False}],
    }
    known = hmac.new(KEY.encode(), body, hashlib.sha256).hexdigest()
    assert headers[SIGNATURE.lower()] == f"sha256={known}"
    assert headers["content-type"] == "application/json"
    assert (bell.called, bell.failed) == (1, 0)


def test_one_call_in_the_time_of_the_cooldown(called: Receiver, tmp_path: Path) -> None:
    times = {"now": 1_700_000_000.0}
    for folder in (None, tmp_path):
        # Two workers with a folder are one service.
        bells = [alarm(folder, cooldown="1h") for _ in range(1 if folder is None else 2)]
        for bell in bells:
            bell.clock = lambda: times["now"]
        called.bodies.clear()
        assert [rung(bell) for bell in (*bells, *bells)].count(True) == 1
        times["now"] += 3599
        assert not any(rung(bell) for bell in bells)
        times["now"] += 2
        assert rung(bells[-1]) and len(called.bodies) == 2
        assert SIGNATURE.lower() not in called.headers[-1]


@pytest.mark.parametrize(
    ("statuses", "calls", "arrived"),
    [
        ([503, 429, 204], 3, True),
        ([500] * 9, 3, False),
        ([404], 1, False),
        ([307, 200], 1, False),
    ],
)
def test_it_is_tried_again(
    called: Receiver, tmp_path: Path, caplog: pytest.LogCaptureFixture, statuses: list[int], calls: int,
    arrived: bool,
) -> None:  # fmt: skip
    called.statuses[:] = statuses
    bell = alarm(tmp_path, retries=2)
    with caplog.at_level(logging.WARNING):
        assert rung(bell)
    assert (len(called.bodies), bell.called, bell.failed) == (calls, arrived, not arrived)
    assert called.url not in caplog.text
    assert ("the webhook was called" in caplog.text) == arrived
    # Where nobody heard it, the next window calls.
    called.statuses.clear()
    assert rung(bell) != arrived


@pytest.mark.parametrize(
    ("address", "told"),
    [
        ("http://127.0.0.1:1/token-in-the-path", "Connection refused"),
        ("file:///etc/passwd", "${env:HOOK} is not the address of a server"),
        ("http://[hidden", "ValueError"),
        (None, "the environment variable HOOK is not set"),
    ],
)
def test_addresses_where_nobody_is(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, address: str | None, told: str
) -> None:
    if address is not None:
        monkeypatch.setenv("HOOK", address)
    bell = alarm(retries=0)
    with caplog.at_level(logging.WARNING):
        assert rung(bell)
    assert told in caplog.text and bell.failed == 1
    assert "token-in-the-path" not in caplog.text and "hidden" not in caplog.text


def test_a_service_whose_rows_drift(
    called: Receiver,
    bundle_of: Callable[[str], Bundle],
    runner: asyncio.Runner,
    rows: list[dict[str, Any]],
) -> None:
    """The receiver holds the call, and requests are answered meanwhile."""
    monitor = Monitor.model_validate({"drift": {"rows": 600, "webhook": {"url": "${env:HOOK}"}}})
    model = ServedModel(bundle_of("stays"))
    watch_models([model], monitor)
    service = Service(Fleet.of([model]))
    client = Client(Application(service), runner)
    called.held.clear()
    try:
        many = (rows * 5)[:600]
        client.post("/predict", {"rows": many})
        client.get("/metrics")
        assert called.bodies == []
        for _ in range(3):  # three windows, one call
            client.post("/predict", {"rows": [{**row, "fare": row["fare"] * 1000} for row in many]})
            client.get("/metrics")
        began = time.monotonic()
        assert client.post("/predict", {"rows": rows[:1]}).status == 200
        assert time.monotonic() - began < 5
        called.held.set()
        assert model.watch is not None and model.watch.alarm is not None
        thread = model.watch.alarm._thread
        assert thread is not None
        thread.join(20)
        (body,) = called.bodies
        assert json.loads(body)["moved"][0]["column"] == "fare"
        assert 'dml_drift_calls_total{model="guests-stays"' in client.get("/metrics").body.decode()
    finally:
        service.close()


@pytest.mark.parametrize(
    ("webhook", "said"),
    [
        ('{url: "https://hooks.example.com/x"}', "is given in clear"),
        ('{url: "${env:HOOK}", cooldown: 10ms}', "no span of time"),
        ('{url: "${env:HOOK}", retries: 99}', "retries"),
    ],
)
def test_what_the_section_refuses(tmp_path: Path, webhook: str, said: str) -> None:
    (tmp_path / "spec.yaml").write_text(
        "name: a\ndata: {source: {type: sample, name: iris}}\ntarget: species\n"
        f"monitor: {{drift: {{webhook: {webhook}}}}}\n"
    )
    with pytest.raises(SpecError) as caught:
        load_spec(tmp_path / "spec.yaml")
    assert said in " ".join(problem.message for problem in caught.value.problems)
