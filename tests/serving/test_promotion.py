"""The real service follows the registry and bundles: under load, in several processes, without MLflow."""

from __future__ import annotations

import http.client
import json
import os
import shutil
import signal
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from fleet_models import positive, promote, register, write_model
from test_server import Running, serving, wait_for

from declarative_ml.store.bundle import Bundle

pytest.importorskip("mlflow")

SLOPES = (0.5, -0.25)
ROW = {"age": 2.0, "fare": 7.0}
POLL = "1s"


def versions(bundles: list[Bundle]) -> list[str]:
    return [bundle.manifest.model_digest[:12] for bundle in bundles]


def registered(tmp_path: Path, uri: str | None, name: str) -> list[Bundle]:
    bundles = [write_model(tmp_path / str(slope), slope, name=name) for slope in SLOPES]
    for bundle in bundles:
        register(tmp_path / ".dml", bundle, uri=uri, name=name)
    promote(tmp_path / ".dml", 1, uri=uri, name=name)
    return bundles


@dataclass
class Load:
    """Clients that never rest, and what they got."""

    port: int
    answers: list[tuple[float, str, float]] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)
    ended: threading.Event = field(default_factory=threading.Event)

    def client(self) -> None:
        link = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        body = json.dumps({"rows": [ROW]})
        while not self.ended.is_set():
            try:
                began = time.monotonic()
                link.request("POST", "/predict", body)
                reply = link.getresponse()
                content = json.loads(reply.read())
                if reply.status != 200:
                    self.faults.append(str(content))
                    continue
                share = content["predictions"][0]["probabilities"]["yes"]
                self.answers.append((began, content["model"]["version"], share))
            except (OSError, http.client.HTTPException, ValueError) as error:
                self.faults.append(repr(error))
                return
        link.close()


@contextmanager
def load(port: int, clients: int = 4) -> Iterator[Load]:
    found = Load(port)
    threads = [threading.Thread(target=found.client) for _ in range(clients)]
    for thread in threads:
        thread.start()
    try:
        yield found
    finally:
        found.ended.set()
        for thread in threads:
            thread.join(30)


def seen(running: Running, version: str, times: int = 20) -> bool:
    """Whether the next answers are all of the version, on new connections: of every worker."""
    found = [running.ask("POST", "/predict", {"rows": [ROW]}) for _ in range(times)]
    return all(json.loads(body)["model"]["version"] == version for _, body in found)


def is_ready(running: Running) -> bool:
    """Whether a worker answers: on a busy machine they take their time to start."""
    try:
        return running.ask("GET", "/readyz")[0] == 200
    except TimeoutError:
        return False


def listed(running: Running) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(running.ask("GET", "/models")[1])
    return found


@pytest.mark.parametrize(
    ("where", "workers"),
    [
        ("sqlite", 2),
        pytest.param("sqlite", 1, marks=pytest.mark.slow),
        pytest.param("server", 2, marks=pytest.mark.slow),
    ],
)
def test_a_promotion_under_load_costs_no_request(
    request: pytest.FixtureRequest, tmp_path: Path, where: str, workers: int
) -> None:
    uri = request.getfixturevalue("mlflow_server") if where == "server" else None
    name = f"guests-{where}-{workers}"
    first, second = versions(bundles := registered(tmp_path, uri, name))
    place = ["--tracking-uri", uri] if uri else ["--store", tmp_path / ".dml"]
    cache = {"XDG_CACHE_HOME": str(tmp_path / "cache")}
    arguments = [f"registry:{name}@champion", "--poll", POLL, "--workers", workers, *place]
    with serving(*arguments, environment=cache) as running:
        wait_for(lambda: is_ready(running), 120)
        assert seen(running, first)
        with load(running.port) as sent:
            time.sleep(1)
            promote(tmp_path / ".dml", 2, uri=uri, name=name)
            wait_for(lambda: seen(running, second), 60)
            changed = time.monotonic() + 2.0  # the new connections may all have met the quicker worker
            time.sleep(2.5)
        assert sent.faults == []
        expected = {first: positive(SLOPES[0], 2.0), second: positive(SLOPES[1], 2.0)}
        assert {version for _, version, _ in sent.answers} == {first, second}
        for began, version, share in sent.answers:
            assert share == pytest.approx(expected[version], abs=1e-6)
            assert version == second or began < changed
        found = listed(running)["models"][0]
        assert (found["number"], found["origin"]) == ("2", f"registry:{name}@champion")
        assert found["digest"] == bundles[1].manifest.model_digest
        assert running.stop() == 0
    assert len(list((tmp_path / "cache" / "declarative-ml" / "registry").iterdir())) == 2


def test_a_registry_in_trouble_leaves_the_model(tmp_path: Path) -> None:
    bundles = registered(tmp_path, None, "guests")
    first, _ = versions(bundles)
    database = tmp_path / ".dml" / "mlflow.db"
    cache = {"XDG_CACHE_HOME": str(tmp_path / "cache")}
    with serving(
        "registry:guests", "--poll", POLL, "--store", tmp_path / ".dml", environment=cache
    ) as running:
        kept = database.read_bytes()
        database.write_bytes(b"no database")
        wait_for(lambda: bool(listed(running)["trouble"]))
        status, body = running.ask("GET", "/readyz")
        assert status == 200
        assert "cannot be used" in json.loads(body)["trouble"]["registry:guests@champion"]
        assert (
            b'dml_origin_trouble{origin="registry:guests@champion"} 1.0' in running.ask("GET", "/metrics")[1]
        )
        assert seen(running, first)
        database.write_bytes(kept)
        wait_for(lambda: listed(running)["trouble"] == {})
        spoil(tmp_path / ".dml" / "mlartifacts", bundles[1])
        promote(tmp_path / ".dml", 2)
        wait_for(lambda: "does not match its digest" in str(listed(running)["trouble"]))
        assert seen(running, first)
        with sqlite3.connect(database) as connection:
            connection.execute("DELETE FROM registered_model_aliases WHERE alias = 'champion'")
        connection.close()
        wait_for(lambda: "with alias 'champion'" in str(listed(running)["trouble"]))
        assert seen(running, first)
        log = running.log.read_text()
        assert "the model of before goes on" in log


def spoil(artifacts: Path, bundle: Bundle) -> None:
    content = bundle.read("model.onnx")
    for place in artifacts.rglob("model.onnx"):
        if place.read_bytes() == content:
            place.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))


@pytest.mark.parametrize("workers", [1, 2])
def test_a_signal_reloads_a_bundle_in_all_workers(tmp_path: Path, workers: int) -> None:
    bundles = [write_model(tmp_path / str(slope), slope) for slope in SLOPES]
    first, second = versions(bundles)
    wider = write_model(tmp_path / "wider", 1.0, columns=("age", "fare", "town"))
    served = tmp_path / "served"
    shutil.copytree(bundles[0].path, served)
    with serving(served, "--workers", workers) as running:
        wait_for(lambda: is_ready(running), 120)
        assert seen(running, first)
        shutil.rmtree(served)
        shutil.copytree(bundles[1].path, served)
        running.process.send_signal(signal.SIGHUP)
        wait_for(lambda: seen(running, second))
        shutil.rmtree(served)
        shutil.copytree(wider.path, served)
        running.process.send_signal(signal.SIGHUP)
        wait_for(lambda: all(b'"town"' in running.ask("GET", "/openapi.json")[1] for _ in range(20)))
        assert running.ask("POST", "/predict", {"rows": [ROW]})[0] == 422
        assert running.ask("POST", "/predict", {"rows": [{**ROW, "town": 1}]})[0] == 200
        assert running.stop() == 0


def test_a_shadow_and_a_canary_by_the_command_line(tmp_path: Path) -> None:
    bundles = [write_model(tmp_path / str(slope), slope) for slope in (*SLOPES, 3.0)]
    one, two, three = (bundle.path for bundle in bundles)
    with serving(one, "--canary", two, "--share", "0.5", "--shadow", three) as running:
        for _ in range(40):
            assert running.ask("POST", "/predict", {"rows": [ROW]})[0] == 200
        found = {item["role"]: item for item in listed(running)["models"]}
        assert found["canary"]["share"] == 0.5
        wait_for(lambda: listed(running)["models"][2]["comparison"]["requests"] > 0)
        assert os.fspath(three) == found["shadow"]["origin"]


def test_what_cannot_be_served_is_told_before_the_port_opens(tmp_path: Path, dml: Any) -> None:
    one = write_model(tmp_path / "one", 0.5).path
    wider = write_model(tmp_path / "wider", 1.0, columns=("age", "fare", "town")).path
    found = dml("serve", one, "--shadow", wider, "--port", 0)
    assert found.code == 2
    assert "cannot be a shadow of guests: it takes one more column: 'town'" in found.err
    found = dml("serve", "registry:guests@champion", "--store", tmp_path / ".dml", "--port", 0)
    assert found.code == 2
    assert "has no model 'guests' with alias 'champion'" in found.err
    found = dml("serve", one, "--share", "0.5", "--port", 0)
    assert found.code == 2
    assert "--share goes with --canary" in found.err
    found = dml("serve", one, "--poll", "soon", "--port", 0)
    assert found.code == 2
    assert "--poll" in found.err
    found = dml("serve", "registry@champion", "--store", tmp_path / ".dml", "--port", 0)
    assert found.code == 2
    assert "registry@champion names no model" in found.err


def test_a_spec_serves_the_champion_that_it_registers(tmp_path: Path) -> None:
    bundles = registered(tmp_path, None, "guests")
    first, second = versions(bundles)
    write_spec(
        tmp_path,
        track={"register": "guests"},
        serve={
            "model": "registry@champion",
            "canary": {"model": "registry@challenger", "share": 0.5, "by": "age"},
            "poll": POLL,
        },
    )
    with serving(tmp_path / "spec.yaml", environment={"XDG_CACHE_HOME": str(tmp_path / "cache")}) as running:
        found = {item["role"]: item for item in listed(running)["models"]}
        assert (found["serving"]["version"], found["serving"]["number"]) == (first, "1")
        assert (found["canary"]["version"], found["canary"]["by"]) == (second, "age")
        promote(tmp_path / ".dml", 2)
        wait_for(lambda: listed(running)["models"][0]["version"] == second)


def test_a_new_run_of_a_spec_is_followed(tmp_path: Path) -> None:
    write_spec(tmp_path, track=False, serve={"reload": True, "poll": POLL})
    bundles = [write_model(tmp_path / str(slope), slope) for slope in SLOPES]
    add_run(tmp_path, "20260101-000000-aaaa", bundles[0], "ok")
    with serving(tmp_path / "spec.yaml") as running:
        assert seen(running, versions(bundles)[0])
        add_run(tmp_path, "20260102-000000-aaaa", bundles[1], "failed")
        time.sleep(2)
        assert seen(running, versions(bundles)[0])
        add_run(tmp_path, "20260103-000000-aaaa", bundles[1], "ok")
        wait_for(lambda: seen(running, versions(bundles)[1]))
        assert listed(running)["models"][0]["number"] == "20260103-000000-aaaa"


def write_spec(folder: Path, **sections: Any) -> None:
    spec = {"name": "guests", "data": {"source": "guests.csv"}, "target": "stays", **sections}
    (folder / "spec.yaml").write_text(json.dumps(spec))


def add_run(folder: Path, run: str, bundle: Bundle, status: str) -> None:
    place = folder / ".dml" / "runs" / run
    shutil.copytree(bundle.path, place / "bundle")
    record = {"name": "guests", "spec_path": "../spec.yaml", "result": {"status": status}}
    (place / "run.json").write_text(json.dumps(record))
