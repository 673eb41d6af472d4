"""The registry in an embedded sqlite file, and behind a real MLflow server over HTTP."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import textwrap
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from declarative_ml.core.digest import digest_folder
from declarative_ml.core.errors import DataError, DmlError, UsageError
from declarative_ml.store.bundle import write_bundle
from declarative_ml.trackers.base import KEY_TAG, Registered, TrackContent
from declarative_ml.trackers.mlflow import MLflowTracker
from declarative_ml.trackers.mlflow_store import connect, create_database, locate
from declarative_ml.trackers.promotions import line, took_effect

pytest.importorskip("mlflow")

MANIFEST: dict[str, Any] = {
    "name": "adult",
    "task": {"target": "pay", "type": "binary", "classes": ["low", "high"]},
    "target_rule": {"type": "text"},
    "inputs": [
        {"name": "age", "feature": "number", "dtype": "float32", "rule": {"type": "integer"}, "field": {}},
        {"name": "sex", "feature": "category", "dtype": "string", "rule": {"type": "text"}, "field": {}},
    ],
    "metrics": {"test": {"roc_auc": 0.93}},
}
POINTS = [
    "promote:alias",
    pytest.param("promote:record", marks=pytest.mark.slow),
    pytest.param("promote:end", marks=pytest.mark.slow),
]


@pytest.fixture(scope="module")
def empty_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("store") / "mlflow.db"
    create_database(path)
    return path


@dataclass
class Place:
    """A registry with one logged run, which may be registered again and again."""

    tracker: MLflowTracker
    workspace: Path
    bundle: Path
    run_id: str

    def add(self, key: str, name: str = "adult", **tags: str) -> Registered:
        tags = {KEY_TAG: key, "dml.model_digest": self.digest, "dml.gates": "passed", **tags}
        return self.tracker.register(self.workspace, name, self.run_id, tags)

    @property
    def digest(self) -> str:
        from declarative_ml.store.bundle import Bundle

        return Bundle.open(self.bundle).manifest.model_digest

    def promote(self, version: int, name: str = "adult") -> Any:
        return self.tracker.promote(self.workspace, name, version)

    def champion(self, name: str = "adult") -> int | None:
        found = self.tracker.registered(self.workspace, name, "champion")
        return None if found is None else found.version

    def client(self) -> Any:
        return connect(locate(self.workspace, self.tracker.uri))


@pytest.fixture(params=["sqlite", pytest.param("server", marks=pytest.mark.slow)])
def place(
    request: pytest.FixtureRequest,
    tmp_path: Path,
    empty_database: Path,
    make_content: Callable[..., TrackContent],
    onnx_file: Path,
) -> Place:
    workspace = tmp_path / ".dml"
    workspace.mkdir()
    uri = None
    if request.param == "server":
        uri = request.getfixturevalue("mlflow_server")
    else:
        shutil.copyfile(empty_database, workspace / "mlflow.db")
    files = {"model.onnx": onnx_file, "reference.json": b"{}", "formats/tflite/model.tflite": b"lite"}
    bundle = tmp_path / "bundle"
    write_bundle(bundle, MANIFEST, files)
    logged = {
        f"bundle/{path.relative_to(bundle).as_posix()}": path
        for path in bundle.rglob("*")
        if path.is_file() and path.name != "model.onnx"
    }
    tracker = MLflowTracker(uri=uri)
    content = make_content(f"run of {request.node.name}", files=logged, curves={}, nested=[])
    found = Place(tracker, workspace, bundle, tracker.log(workspace, content))
    _clear(found)
    return found


def _clear(place: Place) -> None:
    """A server serves all tests: take the models of the one before away."""
    client = place.client()
    for model in client.search_registered_models():
        client.delete_registered_model(model.name)


def test_a_version_tells_where_it_comes_from(place: Place) -> None:
    made = place.add("k1", **{"dml.metric": "test.roc_auc", "dml.score": "0.93"})
    assert (made.name, made.version, made.aliases, made.run_id) == ("adult", 1, ("challenger",), place.run_id)
    assert (made.model_digest, made.gates, made.score) == (place.digest, "passed", 0.93)
    assert made.created.startswith("20") and made.created.endswith("Z")
    assert place.tracker.versions(place.workspace, "adult") == [made]
    assert place.tracker.registered(place.workspace, "adult", "challenger") == made
    assert place.tracker.registered(place.workspace, "adult", "champion") is None
    assert place.tracker.registered(place.workspace, "unheard-of", "champion") is None


def test_a_key_is_registered_once_and_the_newest_version_is_the_challenger(place: Place) -> None:
    first, second = place.add("k1"), place.add("k2")
    assert place.add("k1").version == first.version == 1
    assert place.add("k2") == second
    other = place.add("k3", name="other")
    found = place.tracker.versions(place.workspace, "adult")
    assert [(item.version, item.aliases) for item in found] == [(2, ("challenger",)), (1, ())]
    everything = place.tracker.versions(place.workspace, None)
    assert {(item.name, item.version) for item in everything} == {("adult", 1), ("adult", 2), ("other", 1)}
    assert other.aliases == ("challenger",)


def test_a_deleted_version_is_not_there_and_is_made_again(place: Place) -> None:
    place.add("k1")
    place.client().delete_model_version("adult", "1")
    assert place.tracker.versions(place.workspace, "adult") == []
    assert place.tracker.registered(place.workspace, "adult", "challenger") is None
    assert place.add("k1").version in (1, 2)  # MLflow gives the number again when it was the last
    place.client().delete_registered_model("adult")
    assert place.add("k1").version == 1


def test_fetch_gives_back_what_was_evaluated(place: Place, tmp_path: Path) -> None:
    made = place.add("k1")
    place.tracker.fetch(place.workspace, made, tmp_path / "fetched")
    assert digest_folder(tmp_path / "fetched") == digest_folder(place.bundle)
    with pytest.raises(DataError, match="exists already"):
        place.tracker.fetch(place.workspace, made, tmp_path / "fetched")
    assert sorted(path.name for path in tmp_path.iterdir()) == [".dml", "bundle", "fetched"]


def test_fetch_refuses_another_model(place: Place, tmp_path: Path) -> None:
    made = place.add("k1", **{"dml.model_digest": "0" * 64})
    with pytest.raises(DataError, match="version 1 of adult has the model digest 0000"):
        place.tracker.fetch(place.workspace, made, tmp_path / "fetched")
    assert not (tmp_path / "fetched").exists()


@pytest.mark.parametrize("place", ["sqlite"], indirect=True)
def test_fetch_refuses_a_file_that_was_changed(place: Place, tmp_path: Path) -> None:
    made = place.add("k1")
    [model] = (place.workspace / "mlartifacts").rglob("model.onnx")
    model.write_bytes(model.read_bytes() + b"\0")
    with pytest.raises(DataError, match=r"damaged: model\.onnx does not match its digest"):
        place.tracker.fetch(place.workspace, made, tmp_path / "fetched")
    for stored in (place.workspace / "mlartifacts").rglob("bundle.json"):
        stored.unlink()
    with pytest.raises(DataError, match="version 1 of adult holds no bundle") as caught:
        place.tracker.fetch(place.workspace, made, tmp_path / "fetched")
    assert caught.value.hint is not None and "dml run" in caught.value.hint


def test_promote_and_roll_back_step_by_step(place: Place) -> None:
    for key in ("k1", "k2", "k3"):
        place.add(key)
    moves = [place.promote(version) for version in (1, 2, 3)]
    assert [(move.before, move.version) for move in moves] == [(None, 1), (1, 2), (2, 3)]
    assert place.promote(3) is None
    assert place.champion() == 3
    for expected in (2, 1):
        back = place.tracker.rollback(place.workspace, "adult", who="ada")
        assert (back.version, back.who, place.champion()) == (expected, "ada", expected)
    with pytest.raises(UsageError, match="nothing to roll back: adult had no champion before version 1"):
        place.tracker.rollback(place.workspace, "adult")
    place.promote(3)
    assert place.tracker.rollback(place.workspace, "adult").version == 1
    history = place.tracker.history(place.workspace, "adult")
    assert [record.kind[0] + str(record.version) for record in history] == [
        "p1", "p2", "p3", "r2", "r1", "p3", "r1",
    ]  # fmt: skip
    assert all(took_effect(history, {"champion": 1}))


def test_rollback_passes_over_versions_that_were_deleted(place: Place) -> None:
    for version, key in enumerate(("k1", "k2", "k3"), 1):
        place.add(key)
        place.promote(version)
    place.client().delete_model_version("adult", "2")
    assert place.tracker.rollback(place.workspace, "adult").version == 1
    with pytest.raises(UsageError, match="nothing to roll back"):
        place.tracker.rollback(place.workspace, "adult", "shadow")


def test_a_version_that_is_not_there_leaves_no_record(place: Place) -> None:
    place.add("k1")
    with pytest.raises(DmlError, match=r"refused: .*version=9"):
        place.promote(9)
    assert place.tracker.history(place.workspace, "adult") == []


def test_eight_promotions_at_once(place: Place) -> None:
    for number in range(1, 9):
        place.add(f"k{number}")
    overtaken: list[str] = []

    def work(version: int) -> None:
        try:
            place.promote(version)
        except DmlError as error:
            overtaken.append(error.message)

    threads = [threading.Thread(target=work, args=(version,)) for version in range(1, 9)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    history = place.tracker.history(place.workspace, "adult")
    champions = [
        item for item in place.tracker.versions(place.workspace, "adult") if "champion" in item.aliases
    ]
    assert sorted(record.version for record in history) == list(range(1, 9)), overtaken
    assert [item.version for item in champions] == [history[-1].version]
    assert line(history, "champion", history[-1].version)[-1] == history[-1].version
    if place.tracker.uri is None:  # the file is locked meanwhile: the records are one chain
        assert [record.before for record in history] == [None, *(record.version for record in history[:-1])]
        assert overtaken == []
    assert [message for message in overtaken if "at the same moment" not in message] == []


def _killed(place: Place, point: str, call: str) -> None:
    script = f"""
        from pathlib import Path
        from declarative_ml.trackers import TRACKERS
        workspace = Path({str(place.workspace)!r})
        tracker = TRACKERS.parse({{"type": "mlflow", "uri": {place.tracker.uri!r}}})
        tracker.{call}
    """
    environment = {**os.environ, "DML_FAULT": point}
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(script)], env=environment, check=False)
    assert done.returncode == -signal.SIGKILL, f"{point} was never reached"


@pytest.mark.parametrize("point", POINTS)
def test_a_killed_promotion_leaves_one_champion(place: Place, point: str) -> None:
    for version, key in enumerate(("k1", "k2", "k3"), 1):
        place.add(key)
        if version < 3:
            place.promote(version)
    _killed(place, point, "promote(workspace, 'adult', 3)")
    found = place.tracker.versions(place.workspace, "adult")
    champion = place.champion()
    assert champion == (3 if point == "promote:end" else 2)
    assert sum("champion" in item.aliases for item in found) == 1
    back = place.tracker.rollback(place.workspace, "adult")
    assert (back.before, back.version) == (champion, champion - 1)
    place.promote(3)
    assert place.champion() == 3


@pytest.mark.parametrize("point", POINTS)
@pytest.mark.slow
def test_a_killed_rollback_leaves_one_champion(place: Place, point: str) -> None:
    for version, key in enumerate(("k1", "k2", "k3"), 1):
        place.add(key)
        place.promote(version)
    _killed(place, point, "rollback(workspace, 'adult')")
    champion = place.champion()
    assert champion == (2 if point == "promote:end" else 3)
    assert place.tracker.rollback(place.workspace, "adult").version == champion - 1


@pytest.mark.parametrize("point", ["track:alias", pytest.param("track:register", marks=pytest.mark.slow)])
def test_a_killed_registration_leaves_no_half_version(place: Place, point: str) -> None:
    place.add("k1")
    tags = {KEY_TAG: "k2", "dml.gates": "passed"}
    _killed(place, point, f"register(workspace, 'adult', {place.run_id!r}, {tags!r})")
    assert all(item.run_id == place.run_id for item in place.tracker.versions(place.workspace, "adult"))
    assert place.add("k2").aliases == ("challenger",)
    assert [item.version for item in place.tracker.versions(place.workspace, "adult")] == [2, 1]


@pytest.mark.parametrize("place", ["sqlite"], indirect=True)
def test_a_registered_key_and_the_champion_are_found_without_mlflow(place: Place) -> None:
    made = place.add("k1")
    place.promote(1)
    script = f"""
        import sys
        from pathlib import Path
        from declarative_ml.trackers import TRACKERS
        tracker, workspace = TRACKERS.parse("mlflow"), Path({str(place.workspace)!r})
        again = tracker.register(workspace, "adult", {made.run_id!r}, {{"dml.key": "k1"}})
        champion = tracker.registered(workspace, "adult", "champion")
        records = tracker.history(workspace, "adult")
        print(again.version, champion.version, len(records), "mlflow" in sys.modules)
    """
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(script)], capture_output=True, text=True)
    assert done.stdout == "1 1 1 False\n", done.stderr


def test_reading_a_registry_that_is_not_there_makes_nothing(tmp_path: Path) -> None:
    tracker = MLflowTracker()
    assert tracker.versions(tmp_path, None) == []
    assert tracker.registered(tmp_path, "adult", "champion") is None
    assert tracker.history(tmp_path, "adult") == []
    assert list(tmp_path.iterdir()) == []
