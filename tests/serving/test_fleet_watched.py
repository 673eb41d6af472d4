"""What watches the models goes with them: windows, the log, numbers of workers, and Elastic APM."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from apm_intake import Intake
from fleet_models import write_model
from service_client import Client

from declarative_ml.core.errors import UsageError
from declarative_ml.serving.fleet import open_fleet
from declarative_ml.serving.lineup import Entry, Lineup, write_lineup
from declarative_ml.serving.server import Settings, build
from declarative_ml.spec.monitor import Monitor
from declarative_ml.store.bundle import Bundle

ROW = {"age": 2.0, "fare": 7.0}


@pytest.fixture(scope="module")
def bundles(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Bundle]:
    folder = tmp_path_factory.mktemp("bundles")
    return {
        "one": write_model(folder / "one", 0.5),
        "two": write_model(folder / "two", -0.25),
        "narrow": write_model(folder / "narrow", 1.0, columns=("age",)),
    }


@pytest.fixture
def runner() -> Iterator[asyncio.Runner]:
    with asyncio.Runner() as runner:
        yield runner


def entry(bundle: Bundle, **more: Any) -> Entry:
    return Entry(bundle=bundle.path, origin=bundle.path.name, **more)


def version(bundle: Bundle) -> str:
    return bundle.manifest.model_digest[:12]


def client_of(runner: asyncio.Runner, folder: Path, *entries: Entry, **settings: Any) -> Client:
    folder.mkdir(exist_ok=True)
    write_lineup(folder / "lineup.json", Lineup(entries=entries))
    return Client(build(Settings(lineup=folder / "lineup.json", **settings)), runner)


def change(client: Client, runner: asyncio.Runner, *entries: Entry) -> None:
    application = client.application
    service, lineup = application.service, Lineup(entries=entries)
    runner.run(application.change(lambda: open_fleet(lineup, 1, service.fleet, service.monitor)))


def wait_until(runner: asyncio.Runner, done: Any, seconds: float = 20) -> None:
    async def wait() -> None:
        async with asyncio.timeout(seconds):
            while not done():
                await asyncio.sleep(0.01)

    runner.run(wait())


def test_every_answer_is_logged_by_the_model_that_gave_it(
    runner: asyncio.Runner, tmp_path: Path, bundles: dict[str, Bundle]
) -> None:
    monitor = Monitor.model_validate({"log": {"path": str(tmp_path / "log")}})
    client = client_of(
        runner,
        tmp_path / "service",
        entry(bundles["one"]),
        entry(bundles["two"], role="canary", share=0.5, by="age"),
        monitor=monitor,
    )
    service = client.application.service
    old, canary = service.first, service.fleet.lines[0].canary
    assert canary is not None
    watch = canary.model.watch
    given: Counter[str] = Counter()

    def ask(age: float, path: str = "/predict") -> None:
        reply = client.post(path, {"rows": [{"age": age, "fare": 1.0}]})
        assert "x-request-id" in reply.headers
        given[reply.json["model"]["version"]] += 1

    for age in range(60):
        ask(age)
    assert min(given.values()) > 10
    text = client.get("/metrics").body.decode()
    for name in ("one", "two"):
        labels = f'{{model="guests",version="{version(bundles[name])}"}}'
        assert f"dml_drift_rows{labels} {float(given[version(bundles[name])])}" in text
        drift = client.get(f"/models/guests/versions/{version(bundles[name])}/drift").json
        assert drift["model"]["version"] == version(bundles[name])
        assert drift["current"]["rows"] == given[version(bundles[name])]
    change(client, runner, entry(bundles["two"]))
    assert service.first.watch is watch  # the canary of before: its windows go on
    wait_until(runner, lambda: old.watch is None)
    ask(1.0)
    assert client.get("/drift").json["current"]["rows"] == given[version(bundles["two"])]
    assert list(service.board._shown) == ["process", f"drift.guests.{version(bundles['two'])}"]
    service.close()
    lines = [
        json.loads(line) for path in (tmp_path / "log").iterdir() for line in path.read_text().splitlines()
    ]
    assert Counter(line["digest"][:12] for line in lines) == given


def test_a_column_to_redact_that_a_new_model_lacks_is_refused(
    runner: asyncio.Runner, tmp_path: Path, bundles: dict[str, Bundle]
) -> None:
    monitor = Monitor.model_validate({"log": {"path": str(tmp_path / "log"), "redact": ["fare"]}})
    client = client_of(runner, tmp_path / "service", entry(bundles["one"]), monitor=monitor)
    with pytest.raises(UsageError, match="monitor names 'fare', which the model does not take"):
        change(client, runner, entry(bundles["narrow"]))
    assert client.post("/predict", {"rows": [ROW]}).json["model"]["version"] == version(bundles["one"])
    client.application.service.close()


def test_what_shadows_and_versions_did_is_of_all_workers(
    runner: asyncio.Runner, tmp_path: Path, bundles: dict[str, Bundle]
) -> None:
    board = tmp_path / "board"
    board.mkdir()
    entries = entry(bundles["one"]), entry(bundles["two"], role="shadow")
    workers = [client_of(runner, tmp_path / f"{n}", *entries, board=board) for n in range(2)]
    for count, worker in enumerate(workers, 3):
        for _ in range(count):
            worker.post("/predict", {"rows": [ROW] * 2})
        shadow = worker.application.service.fleet.shadow
        assert shadow is not None
        wait_until(runner, shadow.is_idle)
        worker.application.service.board.write()
    for worker in workers:
        listed = {item["role"]: item for item in worker.get("/models").json["models"]}
        found = listed["shadow"]["comparison"]
        assert (found["requests"], found["rows"], found["dropped"]) == (7, 14, 0)
        assert found["mean_seconds"]["served"] > 0
        text = worker.get("/metrics").body.decode()
        row = f'dml_model_rows_total{{model="guests",role="serving",version="{version(bundles["one"])}"}}'
        assert f"{row} 14.0" in text
        assert "dml_shadow_rows_total{" in text
        assert 'dml_rows_total{model="guests"} 14.0' in text
    for worker in workers:
        worker.application.service.close()


def test_the_page_asks_each_version_at_its_own_path(
    runner: asyncio.Runner, tmp_path: Path, bundles: dict[str, Bundle]
) -> None:
    canary = entry(bundles["two"], role="canary", share=0.5)
    client = client_of(runner, tmp_path / "service", entry(bundles["one"]), canary)
    assert client.get("/").status == 200
    models = client.get("/models").json["models"]
    assert [model["role"] for model in models] == ["serving", "canary"]
    for model in models:
        for _ in range(8):
            answer = client.post(f"/{model['paths']['predict']}", {"rows": [model["example"]]})
            assert answer.json["model"]["version"] == model["version"]
    change(client, runner, entry(bundles["one"]))
    assert [item["paths"]["predict"] for item in client.get("/models").json["models"]] == ["predict"]
    client.application.service.close()


def test_elastic_learns_of_the_model_that_answered(
    runner: asyncio.Runner, tmp_path: Path, bundles: dict[str, Bundle], intake: Intake
) -> None:
    pytest.importorskip("elasticapm")
    monitor = Monitor.model_validate({"apm": {"url": intake.url, "sample": 1.0, "metrics_interval": "0s"}})
    canary = entry(bundles["two"], role="canary", share=0.5)
    client = client_of(runner, tmp_path / "service", entry(bundles["one"]), canary, monitor=monitor)
    application = client.application
    reporter = application._reporter
    assert reporter is not None
    reporter.start(application.routes)
    given = [client.post("/predict", {"rows": [ROW]}).json["model"]["version"] for _ in range(20)]
    change(client, runner, entry(bundles["narrow"]))
    given.append(client.post("/predict", {"rows": [{"age": 1.0}]}).json["model"]["version"])
    sets = list(reporter._metrics.collect())
    reporter.close()
    application.service.close()
    assert intake.faults == []
    assert [event["context"]["tags"]["version"] for event in intake.of("transaction")] == given
    assert len(set(given)) == 3
    told = {item["tags"]["version"] for item in sets if "model" in item.get("tags", {})}
    assert told == {version(bundles["narrow"])}
