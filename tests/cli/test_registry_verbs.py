"""`dml models`, `dml promote` and `dml rollback`, over runs and over versions of other makers."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from declarative_ml.spec.run_lock import BUNDLE_LOCK
from declarative_ml.store.bundle import Bundle
from declarative_ml.trackers.mlflow import MLflowTracker
from declarative_ml.trackers.mlflow_store import connect, locate

pytest.importorskip("mlflow")

AddVersion = Callable[..., None]


@pytest.fixture
def registry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working folder, with an empty registry."""
    monkeypatch.chdir(tmp_path)
    connect(locate(tmp_path / ".dml", None))
    return tmp_path


@pytest.fixture
def add_version(registry: Path) -> AddVersion:
    """Add a version to the registry as MLflow does it, with these gates."""
    client = connect(locate(registry / ".dml", None))

    def add(name: str, gates: str | None, *aliases: str) -> None:
        if not client.search_registered_models(f"name = '{name}'"):
            client.create_registered_model(name)
        tags = {"dml.gates": gates} if gates else {}
        made = client.create_model_version(name, source="file:///x", tags=tags)
        for alias in aliases:
            client.set_registered_model_alias(name, alias, made.version)

    return add


@pytest.mark.slow
@pytest.mark.parametrize("place", ["sqlite", "server"])
def test_from_a_champion_to_a_better_one_and_back(
    place: str, flowers: Any, dml: Any, request: pytest.FixtureRequest
) -> None:
    uri = request.getfixturevalue("mlflow_server") if place == "server" else None
    track = {"register": "wild-flowers", "uri": uri}
    spec = flowers(target="wild", track=track)
    first = json.loads(dml("run", spec, "--format", "json", "-q").out)
    assert first["registered"] == {"name": "wild-flowers", "version": 1}
    assert dml("promote", spec).out == "wild-flowers: version 1 is champion now, the first one\n"
    shown = dml("run", flowers(target="wild", track=track, seed=7), "-q").out
    assert "registry wild-flowers version 2 · `dml promote` makes it the champion" in shown
    [second, champion] = json.loads(dml("models", spec, "--format", "json").out)
    assert (second["version"], second["aliases"]) == (2, ["challenger"])
    assert (champion["version"], champion["aliases"], champion["gates"]) == (1, ["champion"], "none")
    assert champion["model_digest"] == first["model_digest"]
    assert (champion["metric"], champion["score"]) == ("test.roc_auc", first["metrics"]["test"]["roc_auc"])
    assert dml("promote", spec).out == "wild-flowers: version 2 is champion now; it was version 1\n"
    assert dml("promote", spec).out == "wild-flowers: version 2 is champion already\n"
    assert dml("rollback", spec).out == "wild-flowers: version 1 is champion now; it was version 2\n"
    again = dml("rollback", spec)
    assert (again.code, again.out) == (2, "")
    assert "nothing to roll back: wild-flowers had no champion before version 1" in again.err
    assert dml("promote", spec, "--run", first["run"]).out == "wild-flowers: version 1 is champion already\n"
    history = json.loads(dml("models", spec, "--history", "--format", "json").out)
    assert [(move["kind"], move["version"], move["before"]) for move in history] == [
        ("promote", 1, None),
        ("promote", 2, 1),
        ("rollback", 1, 2),
    ]
    fetched = spec.parent / "fetched"
    workspace = spec.parent / ".dml"
    tracker = MLflowTracker(uri=uri)
    found = tracker.registered(workspace, "wild-flowers", "champion")
    assert found is not None
    tracker.fetch(workspace, found, fetched)
    evaluated = Bundle.open(first["bundle"], verify=True)
    registered = Bundle.open(fetched, verify=True)
    # The run's own copy has the lock besides: it says how the run ended, and so comes after registering.
    assert {*evaluated.manifest.files} - {*registered.manifest.files} == {BUNDLE_LOCK}
    assert registered.manifest.model_digest == evaluated.manifest.model_digest
    for name in registered.manifest.files:
        assert registered.read(name) == evaluated.read(name), name


@pytest.mark.slow
def test_a_run_registers_again_what_was_deleted(flowers: Any, dml: Any) -> None:
    spec = flowers(track={"register": "flowers"})
    first = json.loads(dml("run", spec, "--format", "json", "-q").out)
    client = connect(locate(spec.parent / ".dml", None))
    client.delete_registered_model("flowers")
    assert "track would run" in dml("why", "track", spec).out
    again = json.loads(dml("run", spec, "--format", "json", "-q").out)
    assert [step["id"] for step in again["steps"] if step["status"] == "run"] == ["track"]
    assert again["registered"] == {"name": "flowers", "version": 1}
    assert again["mlflow_run_id"] == first["mlflow_run_id"]
    once_more = json.loads(dml("run", spec, "--format", "json", "-q").out)
    assert once_more["run"] == again["run"]


def test_the_table(dml: Any, add_version: AddVersion) -> None:
    add_version("churn", "passed", "champion")
    add_version("churn", "failed", "challenger")
    lines = [line.split()[:6] for line in dml("models").out.splitlines()]
    assert lines == [
        ["model", "version", "aliases", "metric", "score", "gates"],
        ["churn", "2", "challenger", "–", "–", "failed"],
        ["churn", "1", "champion", "–", "–", "passed"],
    ]


def test_only_what_passed_is_promoted(dml: Any, add_version: AddVersion) -> None:
    for gates in ("failed", None, "passed", "none"):
        add_version("churn", gates)
    for version, words in ((1, "did not pass its gates"), (2, "not registered by dml run")):
        refused = dml("promote", "churn", "--version", version)
        assert refused.code == 4
        assert f"version {version} of churn" in refused.err and words in refused.err
        assert "--force promotes it all the same" in refused.err
    moved = dml("promote", "--version", "4", "--format", "json")
    assert json.loads(moved.out) == {
        "name": "churn", "version": 4, "alias": "champion", "changed": True, "before": None,
    }  # fmt: skip
    assert dml("promote", "--version", "1", "--force").out == (
        "churn: version 1 is champion now; it was version 4\n"
    )
    assert dml("promote", "--version", "3", "--to", "shadow").code == 0
    shown = dml("models", "churn", "--history").out.splitlines()
    assert [line.split()[1:5] for line in shown[1:]] == [
        ["promote", "champion", "4", "–"],
        ["promote", "champion", "1", "4"],
        ["promote", "shadow", "3", "–"],
    ]
    assert shown[2].endswith("forced")
    assert dml("rollback", "--alias", "shadow").code == 2


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["promote"], "the registry has 2 models\n  hint: name one: churn, fraud"),
        (["promote", "chrun"], "the registry has no model 'chrun'\n  hint: it has churn, fraud"),
        (["promote", "churn"], "churn has no version with the alias challenger\n  hint: its versions: 1"),
        (["promote", "churn", "--version", "9"], "churn has no version 9\n  hint: its versions: 1"),
        (["promote", "churn", "--run", "2026"], "churn has no version of run 2026"),
        (["promote", "churn", "--version", "1", "--run", "2026"], "give --version or --run, not both"),
        (["promote", "churn", "--version", "1", "--to", "v2"], "'v2' cannot be an alias"),
        (["models", "chrun"], "the registry has no model 'chrun'\n  hint: it has churn, fraud"),
        (["rollback", "churn"], "there is nothing to roll back: churn had no champion before"),
        (["models", "--profile", "prod"], "--profile and --set change a spec, and there is none here"),
        (["models", "churn.yaml"], "churn.yaml"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_refusals(arguments: list[str], message: str, dml: Any, add_version: AddVersion) -> None:
    add_version("churn", "passed")
    add_version("fraud", "passed")
    outcome = dml(*arguments)
    assert outcome.code in (2, 3), outcome
    assert message in outcome.err
    assert json.loads(dml("models", "--history", "churn", "--format", "json").out) == []


def test_an_empty_registry(registry: Path, dml: Any) -> None:
    assert "no models yet: `dml run` with `track: {register: NAME}`" in dml("models").out
    assert dml("models", "--format", "json").out == "[]\n"
    assert "the registry has no models" in dml("promote").err


def test_the_spec_says_where_the_registry_is(flowers: Any, dml: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    spec = flowers(track={"register": "flowers", "uri": "http://127.0.0.1:9"})
    refused = dml("models", spec)
    assert refused.code == 1
    assert "http://127.0.0.1:9 does not answer" in refused.err
    monkeypatch.chdir(spec.parent)
    assert "http://127.0.0.1:9 does not answer" in dml("models").err
    elsewhere = f"sqlite:///{spec.parent / 'other.db'}"
    assert "no models yet" in dml("models", "--tracking-uri", elsewhere).out
    assert "no models yet" in dml("models", spec, "--set", f"track.uri={elsewhere}").out
    silent = flowers(track=True)
    outcome = dml("models", silent)
    assert (outcome.code, outcome.err) == (
        2,
        f"error: {silent} registers no model\n  hint: write track: {{register: NAME}}\n",
    )
