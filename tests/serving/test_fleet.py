"""Several models in one service: versions, canaries, shadows, and changes of them."""

from __future__ import annotations

import asyncio
import gc
import math
import time
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fleet_models import positive, write_model
from service_client import Client

from declarative_ml.core.errors import UsageError
from declarative_ml.scoring.scorer import Scorer
from declarative_ml.serving.app import Application
from declarative_ml.serving.fleet import Fleet, open_fleet
from declarative_ml.serving.lineup import Entry, Lineup, write_lineup
from declarative_ml.serving.server import Settings, build
from declarative_ml.serving.shadow import MOST_WAITING_ROWS, Shadow
from declarative_ml.store.bundle import Bundle

ROW = {"age": 2.0, "fare": 7.0}


@pytest.fixture(scope="module")
def bundles(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Bundle]:
    folder = tmp_path_factory.mktemp("bundles")
    return {
        "one": write_model(folder / "one", 0.5),
        "two": write_model(folder / "two", -0.25),
        "wider": write_model(folder / "wider", 1.0, columns=("age", "fare", "town")),
        "whole": write_model(folder / "whole", 1.0, rule="integer"),
        "other": write_model(folder / "other", 1.0, classes=("leaves", "stays")),
        "else": write_model(folder / "else", 1.5, name="visitors"),
    }


@pytest.fixture
def runner() -> Iterator[asyncio.Runner]:
    with asyncio.Runner() as runner:
        yield runner


def entry(bundle: Bundle, **more: Any) -> Entry:
    return Entry(bundle=bundle.path, origin=bundle.path.name, **more)


@pytest.fixture
def client_of(runner: asyncio.Runner, tmp_path: Path) -> Iterator[Any]:
    clients = []

    def client(*entries: Entry) -> Client:
        write_lineup(tmp_path / "lineup.json", Lineup(entries=entries))
        clients.append(Client(build(Settings(lineup=tmp_path / "lineup.json")), runner))
        return clients[-1]

    yield client
    for each in clients:
        each.application.service.close()


def version(bundle: Bundle) -> str:
    return bundle.manifest.model_digest[:12]


def test_every_version_of_a_name_has_an_address(client_of: Any, bundles: dict[str, Bundle]) -> None:
    client = client_of(*(entry(bundles[name]) for name in ("one", "two", "else")))
    for path, slope in {
        "/predict": 0.5,
        "/models/guests/predict": 0.5,
        f"/models/guests/versions/{version(bundles['one'])}/predict": 0.5,
        f"/models/guests/versions/{version(bundles['two'])}/predict": -0.25,
        "/models/visitors/predict": 1.5,
    }.items():
        reply = client.post(path, {"rows": [ROW]})
        assert reply.status == 200, path
        found = reply.json["predictions"][0]["probabilities"]["yes"]
        assert found == pytest.approx(positive(slope, 2.0), abs=1e-6), path
    protocol = client.get("/v2/models/guests").json
    assert protocol["versions"] == [version(bundles["one"]), version(bundles["two"])]
    tensors = [
        {"name": name, "datatype": "FP32", "shape": [1, 1], "data": [value]} for name, value in ROW.items()
    ]
    path = f"/v2/models/guests/versions/{version(bundles['two'])}/infer"
    answer = client.post(path, {"inputs": tensors}).json
    assert answer["model_version"] == version(bundles["two"])
    assert answer["outputs"][1]["data"][1] == pytest.approx(positive(-0.25, 2.0), abs=1e-6)
    assert client.post("/models/guests/versions/1/predict", {"rows": [ROW]}).status == 404


def test_one_version_twice_is_refused(bundles: dict[str, Bundle]) -> None:
    entries = (entry(bundles["one"]), entry(bundles["one"]))
    with pytest.raises(UsageError, match="are the same version of guests"):
        open_fleet(Lineup(entries=entries))


@pytest.mark.parametrize(
    ("name", "more", "said"),
    [
        ("wider", {}, "it takes one more column: 'town'"),
        ("whole", {}, "it reads the column 'age' otherwise: type is 'integer', not 'number'"),
        ("other", {}, "its classes are leaves, stays, not no, yes"),
        ("two", {"by": "town"}, "the canary goes by the column 'town', which guests does not take"),
    ],
)
def test_what_cannot_stand_beside_it_is_refused(
    bundles: dict[str, Bundle], name: str, more: dict[str, Any], said: str
) -> None:
    entries = (entry(bundles["one"]), entry(bundles[name], role="canary", **more))
    with pytest.raises(UsageError, match=said):
        open_fleet(Lineup(entries=entries))


def answered_by(client: Client, count: int, body: Any = None) -> list[str]:
    asked = body or {"rows": [ROW]}
    return [client.post("/predict", asked).json["model"]["version"] for _ in range(count)]


def test_a_canary_answers_its_share_by_chance(client_of: Any, bundles: dict[str, Bundle]) -> None:
    client = client_of(entry(bundles["one"]), entry(bundles["two"], role="canary", share=0.2))
    count = 1000
    hits = answered_by(client, count).count(version(bundles["two"]))
    # Five standard deviations of a binomial count: one false alarm in millions of runs.
    assert abs(hits - 0.2 * count) < 5 * math.sqrt(count * 0.2 * 0.8)
    listed = {item["role"]: item for item in client.get("/models").json["models"]}
    assert listed["canary"]["share"] == 0.2
    assert listed["canary"]["digest"] == bundles["two"].manifest.model_digest
    text = client.get("/metrics").body.decode()
    role = f'dml_model_rows_total{{model="guests",role="canary",version="{version(bundles["two"])}"}}'
    assert f"{role} {hits}.0" in text
    alone = f"/models/guests/versions/{version(bundles['one'])}/predict"
    asked = {client.post(alone, {"rows": [ROW]}).json["model"]["version"] for _ in range(50)}
    assert asked == {version(bundles["one"])}


@pytest.mark.parametrize("by", ["age", "*"])
def test_a_canary_by_key_is_stable_and_answers_its_share(
    client_of: Any, bundles: dict[str, Bundle], by: str
) -> None:
    client = client_of(entry(bundles["one"]), entry(bundles["two"], role="canary", share=0.3, by=by))
    bodies = [{"rows": [{"age": float(age), "fare": 1.0}]} for age in range(500)]
    first = [answered_by(client, 1, body)[0] for body in bodies]
    assert first == [answered_by(client, 1, body)[0] for body in bodies]
    hits = first.count(version(bundles["two"]))
    assert abs(hits - 150) < 5 * math.sqrt(500 * 0.3 * 0.7)
    tensors = {
        age: [
            {"name": "age", "datatype": "FP32", "shape": [1], "data": [float(age)]},
            {"name": "fare", "datatype": "FP32", "shape": [1], "data": [1.0]},
        ]
        for age in range(20)
    }
    for age, inputs in tensors.items():
        answer = client.post("/v2/models/guests/infer", {"inputs": inputs}).json
        assert answer["model_version"] == first[age]
    columns = [{"age": float(age), "fare": 1.0} for age in range(3)] * 200
    long = client.post("/predict", {"rows": columns})
    assert long.json["model"]["version"] == first[0]


def test_a_shadow_is_compared_and_never_seen(client_of: Any, bundles: dict[str, Bundle]) -> None:
    client = client_of(entry(bundles["one"]), entry(bundles["two"], role="shadow"))
    batches = [
        [{"age": float(row * 7 % 11 - 4 + batch), "fare": 1.0} for row in range(batch + 1)]
        for batch in range(20)
    ]
    batches.append([{"age": row / 500, "fare": 1.0} for row in range(1000)])
    for rows in batches:
        reply = client.post("/predict", {"rows": rows})
        assert reply.json["model"]["version"] == version(bundles["one"])
    shadow = client.application.service.fleet.shadow
    assert shadow is not None
    wait_until(shadow.is_idle)
    rows = [row for batch in batches for row in batch]
    left, right = (Scorer(bundles[name]).predict_rows(rows) for name in ("one", "two"))
    away = abs(left.probabilities.astype(float) - right.probabilities.astype(float)).max(axis=1)
    listed = {item["role"]: item for item in client.get("/models").json["models"]}
    found = listed["shadow"]["comparison"]
    assert (found["rows"], found["requests"], found["dropped"]) == (len(rows), len(batches), 0)
    assert found["different_labels"] == pytest.approx((left.prediction != right.prediction).mean())
    assert found["mean_difference"] == pytest.approx(away.mean(), abs=1e-6)
    assert found["max_difference"] == pytest.approx(away.max(), abs=1e-6)
    assert found["mean_seconds"]["shadow"] > 0
    text = client.get("/metrics").body.decode()
    assert "dml_shadow_rows_total{" in text and f"}} {len(rows)}.0" in text


def test_a_share_of_the_traffic_is_enough_for_a_shadow(client_of: Any, bundles: dict[str, Bundle]) -> None:
    client = client_of(entry(bundles["one"]), entry(bundles["two"], role="shadow", share=0.25))
    answered_by(client, 400)
    shadow = client.application.service.fleet.shadow
    assert shadow is not None
    wait_until(shadow.is_idle)
    assert abs(shadow.comparison.requests - 100) < 5 * math.sqrt(400 * 0.25 * 0.75)


def test_a_slow_or_broken_shadow_costs_nothing_but_counts(
    bundles: dict[str, Bundle], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    fleet = open_fleet(Lineup(entries=(entry(bundles["one"]), entry(bundles["two"], role="shadow"))))
    shadow, model = fleet.shadow, fleet.lines[0].model
    assert shadow is not None
    columns, _ = model.scorer.raw_rows([ROW] * 1000)
    scored = model.scorer.predict_raw(columns)

    def slow(given: Any) -> Any:
        time.sleep(0.2)
        raise RuntimeError("out of memory")

    monkeypatch.setattr(shadow.model.scorer, "predict_raw", slow)
    began = time.perf_counter()
    for _ in range(100):
        shadow.offer(columns, scored, 0.001)
    assert time.perf_counter() - began < 0.2
    assert shadow.comparison.dropped >= 100 - MOST_WAITING_ROWS // 1000 - 1
    wait_until(lambda: shadow.comparison.failed >= 2)
    fleet.close()
    assert shadow.comparison.requests == 0
    assert caplog.text.count("the shadow") == 1


def wait_until(done: Any, seconds: float = 20) -> None:
    end = time.monotonic() + seconds
    while not done():
        assert time.monotonic() < end
        time.sleep(0.01)


def test_a_change_takes_the_routes_and_the_document_with_it(
    client_of: Any, runner: asyncio.Runner, bundles: dict[str, Bundle]
) -> None:
    client = client_of(entry(bundles["one"]))
    application = client.application
    old = application.service.fleet
    assert "town" not in client.get("/openapi.json").body.decode()
    lineup = Lineup(entries=(entry(bundles["wider"]),))
    runner.run(application.change(lambda: open_fleet(lineup, 1, old)))
    assert '"town"' in client.get("/openapi.json").body.decode()
    assert client.post("/predict", {"rows": [ROW]}).status == 422
    reply = client.post("/predict", {"rows": [{**ROW, "town": 1}]})
    assert reply.json["model"]["version"] == version(bundles["wider"])
    assert client.get(f"/v2/models/guests/versions/{version(bundles['one'])}").status == 404
    wait_until(lambda: is_closed(old))


def is_closed(fleet: Fleet) -> bool:
    return all(model._heavy._shutdown for model in fleet.models)


def test_what_has_begun_is_answered_by_the_model_of_then(
    client_of: Any, runner: asyncio.Runner, bundles: dict[str, Bundle]
) -> None:
    client = client_of(entry(bundles["one"]))
    application: Application = client.application
    old = application.service.fleet
    many = [ROW] * 1000  # answered aside, by the model's own thread

    async def scenario() -> tuple[Any, Any]:
        part = asyncio.Event()
        import json

        body = json.dumps({"rows": many}).encode()
        sent: list[Any] = []
        parts = [body[:100], body[100:]]

        async def receive() -> dict[str, Any]:
            if len(parts) == 1:
                await part.wait()
            chunk = parts.pop(0)
            return {"type": "http.request", "body": chunk, "more_body": bool(parts)}

        async def send(message: Any) -> None:
            sent.append(message)

        scope = {"type": "http", "method": "POST", "path": "/predict", "headers": [], "query_string": b""}
        begun = asyncio.create_task(application(scope, receive, send))  # type: ignore[arg-type]
        await asyncio.sleep(0.05)
        for name in ("two", "wider"):
            lineup = Lineup(entries=(entry(bundles[name]),))
            await application.change(lambda lineup=lineup: open_fleet(lineup, 1, application.service.fleet))
        assert not is_closed(old)
        part.set()
        await begun
        return json.loads(sent[1]["body"]), sent[0]["status"]

    answer, status = runner.run(scenario())
    assert status == 200
    assert answer["model"]["version"] == version(bundles["one"])
    wait_until(lambda: is_closed(old))


def test_models_that_stay_are_opened_once(bundles: dict[str, Bundle]) -> None:
    before = open_fleet(Lineup(entries=(entry(bundles["one"]), entry(bundles["two"], role="canary"))))
    after = open_fleet(
        Lineup(entries=(entry(bundles["two"]), entry(bundles["one"], role="shadow"))), 1, before
    )
    assert after.models == [before.lines[0].canary.model]  # type: ignore[union-attr]
    before.close(after)
    assert not is_closed(after)
    after.close()
    assert is_closed(before)


def test_the_shadow_counts_on_while_nothing_that_it_compares_changes(bundles: dict[str, Bundle]) -> None:
    entries = (entry(bundles["one"]), entry(bundles["two"], role="shadow"))
    before = open_fleet(Lineup(entries=entries))
    after = open_fleet(Lineup(entries=(*entries, entry(bundles["else"]))), 1, before)
    assert isinstance(after.shadow, Shadow)
    assert after.shadow is before.shadow
    before.close(after)
    after.close()


def test_an_old_model_leaves_no_memory_behind(
    client_of: Any, runner: asyncio.Runner, bundles: dict[str, Bundle]
) -> None:
    client = client_of(entry(bundles["one"]))
    application: Application = client.application
    client.post("/predict", {"rows": [ROW]})
    session = weakref.ref(application.service.first.scorer)
    lineup = Lineup(entries=(entry(bundles["two"]),))
    gc.disable()
    try:
        runner.run(application.change(lambda: open_fleet(lineup, 1, application.service.fleet)))
        wait_until(lambda: session() is None)
    finally:
        gc.enable()
