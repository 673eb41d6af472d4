"""The real service and Elastic APM: nothing is lost at the end, and its troubles are not the clients'."""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import json
import socket
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from apm_intake import Intake
from service_client import Client
from service_process import Running, serving, wait_for

from declarative_ml.serving.fleet import Fleet
from declarative_ml.serving.model import ServedModel
from declarative_ml.serving.service import Service
from declarative_ml.spec.apm import Apm
from declarative_ml.store.bundle import Bundle

pytest.importorskip("elasticapm")

OFTEN = {"ELASTIC_APM_API_REQUEST_TIME": "1s"}


@pytest.fixture
def spec(bundle_of: Callable[[str], Bundle]) -> Path:
    return Path(bundle_of("stays").path).parents[3] / "spec.yaml"


def apm(url: str, more: str = "sample: 1.0") -> str:
    return f"monitor.apm={{url: '{url}', {more}}}"


PAUSE = 0.005
"""Of a client between two requests: the agent's queue of 10,000 events, four a request, is to be enough."""


def load(running: Running, row: dict[str, Any], seconds: float, clients: int = 6) -> tuple[int, list[str]]:
    """Answers of 200, and what else happened; the service is stopped in the middle."""
    wait_for(lambda: running.ask("POST", "/predict", {"rows": [row]})[0] == 200)
    told, answered, faults = threading.Event(), [0] * clients, []
    body = json.dumps({"rows": [row]})

    def ask(number: int) -> None:
        with contextlib.closing(http.client.HTTPConnection("127.0.0.1", running.port, timeout=20)) as link:
            while True:
                try:
                    link.connect() if link.sock is None else None
                    link.request("POST", "/predict", body)
                    reply = link.getresponse()
                    reply.read()
                except (OSError, http.client.HTTPException) as error:
                    if not told.is_set():
                        faults.append(repr(error))
                    return
                time.sleep(PAUSE)
                if reply.status == 200:
                    answered[number] += 1
                else:
                    faults.append(str(reply.status))

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(clients)]
    for thread in threads:
        thread.start()
    time.sleep(seconds)
    told.set()
    assert running.stop() == 0
    for thread in threads:
        thread.join(20)
    return 1 + sum(answered), faults


@pytest.mark.parametrize("workers", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_no_event_is_lost_at_the_end(intake: Intake, spec: Path, row: dict[str, Any], workers: int) -> None:
    with serving(spec, "--workers", workers, "--set", apm(intake.url), environment=OFTEN) as running:
        answered, faults = load(running, row, 1.5)
        log = running.log.read_text()
    assert (faults, intake.faults) == ([], [])
    assert answered > 20
    counts = intake.counts
    assert counts["transaction"] == answered
    assert counts["span"] == 3 * answered
    requests = [
        item["samples"]["dml.requests"]["value"]
        for item in intake.of("metricset")
        if "dml.requests" in item["samples"]
    ]
    assert sum(requests) == answered
    senders = {event["process"]["pid"] for event in intake.of("metadata")}
    assert len(senders) == workers
    assert running.process.pid in senders or workers > 1
    assert "APM" not in log


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        pytest.param(401, "HTTP 401", marks=pytest.mark.slow),
        pytest.param("hang", "timed out", marks=pytest.mark.slow),
        pytest.param("refused", "Connection refused", marks=pytest.mark.slow),
        pytest.param(503, "HTTP 503", marks=pytest.mark.slow),
    ],
)
def test_no_trouble_of_the_server_reaches_a_client(
    apm_specs: Path, spec: Path, row: dict[str, Any], answer: Any, reason: str
) -> None:
    with Intake(apm_specs / "schemas", answer) as intake:
        url = intake.url if answer != "refused" else f"http://127.0.0.1:{_closed_port()}"
        settings = apm(url, "sample: 1.0, token: '${env:APM_TOKEN}'")
        environment = {**OFTEN, "APM_TOKEN": "geheim-4711", "ELASTIC_APM_SERVER_TIMEOUT": "1s"}
        with serving(spec, "--set", settings, environment=environment) as running:
            times = []
            while sum(times) < 3:
                began = time.monotonic()
                assert running.ask("POST", "/predict", {"rows": [row]})[0] == 200
                times.append(time.monotonic() - began)
            assert statistics.median(times) < 0.5  # half of what a send waits for at least
            wait_for(lambda: "gets no events" in running.log.read_text())
            began = time.monotonic()
            assert running.stop() == 0
            assert time.monotonic() - began < 15
            log = running.log.read_text()
    assert log.count("gets no events") == 1
    assert reason in log
    assert len(log.splitlines()) < 10
    assert "geheim" not in log


@pytest.mark.slow
def test_a_slow_server_gets_all(apm_specs: Path, spec: Path, row: dict[str, Any]) -> None:
    with Intake(apm_specs / "schemas", "slow", token="Bearer geheim-4711") as intake:
        settings = apm(intake.url, "sample: 1.0, token: '${env:APM_TOKEN}'")
        environment = {**OFTEN, "APM_TOKEN": "geheim-4711"}
        with serving(spec, "--set", settings, environment=environment) as running:
            answered, faults = load(running, row, 2.0)
            log = running.log.read_text()
    assert (faults, intake.faults) == ([], [])
    assert intake.counts["transaction"] == answered
    assert "APM" not in log
    assert "geheim" not in log
    assert b"geheim" not in b"".join(intake.bodies)


def test_in_a_container_elastics_variables_are_enough(
    intake: Intake, bundle_of: Callable[[str], Bundle], row: dict[str, Any]
) -> None:
    environment = {"ELASTIC_APM_SERVER_URL": intake.url, "ELASTIC_APM_TRANSACTION_SAMPLE_RATE": "1"}
    with serving(bundle_of("stays").path, environment=environment) as running:
        assert running.ask("POST", "/predict", {"rows": [row]})[0] == 200
        assert running.stop() == 0
    assert intake.faults == []
    assert intake.of("metadata")[0]["service"]["name"] == "guests-stays"
    assert [event["name"] for event in intake.of("transaction")] == ["POST /predict"]


def test_what_waits_is_bounded(
    apm_specs: Path,
    bundle_of: Callable[[str], Bundle],
    runner: asyncio.Runner,
    row: dict[str, Any],
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from declarative_ml.serving.apm.reporter import Reporter
    from declarative_ml.serving.app import Application

    monkeypatch.setenv("ELASTIC_APM_SERVER_TIMEOUT", "3s")
    service = Service(Fleet.of([ServedModel(bundle_of("stays"))]))
    with Intake(apm_specs / "schemas", "hang") as intake:
        reporter = Reporter(Apm(url=intake.url, sample=1.0, metrics_interval="0s"), service)
        application = Application(service, reporter)
        reporter.start(application.routes)
        client = Client(application, runner)
        agent = reporter._client
        try:
            client.post("/predict", {"rows": [row]})
            agent.queue(None, None, flush=True)
            wait_for(lambda: bool(intake.headers))  # it hangs from here on, for three seconds
            event = {"samples": {"x": {"value": 1}}, "timestamp": 1}
            for _ in range(20_000):
                agent.queue("metricset", event)
            waiting = agent._transport._event_queue.qsize()
            assert client.post("/predict", {"rows": [row]}).status == 200
        finally:
            intake.answer = 202
            reporter.close()
            service.close()
    assert waiting == 10_000
    assert len([text for text in caplog.messages if "its queue is full" in text]) == 1
    assert len(caplog.messages) <= 3


SEEN = """
import asyncio, json, sys
from declarative_ml.serving.server import Settings, build
application = build(Settings.model_validate_json(sys.argv[1]))
said = []
async def live():
    come = asyncio.Queue()
    for kind in ("lifespan.startup", "lifespan.shutdown"):
        come.put_nowait({"type": kind})
    async def send(message): said.append(message["type"])
    await application({"type": "lifespan"}, come.get, send)
asyncio.run(live())
assert said == ["lifespan.startup.complete", "lifespan.shutdown.complete"]
ours = ("elasticapm", "declarative_ml.serving.apm")
print(json.dumps([name for name in sys.modules if name.startswith(ours)]))
"""


@pytest.mark.parametrize(
    ("monitor", "loaded"),
    [({}, False), ({"apm": {"url": ""}}, False), ({"apm": {"url": "http://127.0.0.1:9"}}, True)],
)
def test_nothing_is_loaded_when_it_is_off(
    bundle_of: Callable[[str], Bundle], monitor: dict[str, Any], loaded: bool
) -> None:
    settings = json.dumps({"bundles": [str(bundle_of("stays").path)], "monitor": monitor})
    found = subprocess.run([sys.executable, "-c", SEEN, settings], capture_output=True, text=True, check=True)
    assert bool(json.loads(found.stdout)) == loaded


def test_an_absent_agent_is_told(spec: Path, dml: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("declarative_ml.api.serve.installed", lambda name: name != "elastic-apm")
    found = dml("serve", spec, "--set", apm("http://127.0.0.1:9"))
    assert found.code == 7
    assert "pip install 'declarative-ml[apm]'" in found.err


def _closed_port() -> int:
    with socket.socket() as link:
        link.bind(("127.0.0.1", 0))
        return int(link.getsockname()[1])
