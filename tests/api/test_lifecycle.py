"""The verbs around a model's life, from Python: they do what the command line does."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import declarative_ml as dml

SPEC = {
    "name": "flowers",
    "data": {
        "source": "flowers.csv",
        "checks": {"columns": {"length": {"min": 1e6, "severity": "warn"}, "kind": {"missing": 0}}},
        "split": {"method": "random", "validation": 0.2},
    },
    "target": "kind",
    "model": "linear",
    "tests": {"colour": {"type": "invariance", "columns": ["colour"], "max_change": 1.0}},
    "explain": {"method": "none"},
    "track": False,
    "resources": {"cpu": 1},
    "deploy": {"image": "registry.example.com/flowers:1.0.0"},
}


@pytest.fixture(scope="module")
def spec(tmp_path_factory: pytest.TempPathFactory, write_flowers: Callable[..., Path]) -> Path:
    place = tmp_path_factory.mktemp("flowers")
    write_flowers(place / "flowers.csv", rows=120)
    (place / "spec.yaml").write_text(json.dumps(SPEC))
    dml.run(place / "spec.yaml")
    return place / "spec.yaml"


def test_data_is_held_against_its_contract(spec: Path) -> None:
    checked = dml.check(spec)
    assert checked.error is None
    assert [item.check for item in checked.report.warnings] == ["columns.length.min"]
    empty = spec.with_name("empty.csv")
    lines = spec.with_name("flowers.csv").read_text().splitlines()
    names = lines[0].split(",")
    cells = lines[1].split(",")
    cells[names.index("kind")] = ""
    empty.write_text("\n".join([*lines[:5], ",".join(cells)]) + "\n")
    broken = dml.check(spec, empty)
    assert broken.error is not None
    assert "columns.kind.missing: 1 row" in broken.error.message


def test_a_model_is_tested(spec: Path) -> None:
    tested = dml.test(spec)
    assert tested.error is None
    assert [outcome.name for outcome in tested.outcomes] == ["colour"]


def test_a_run_is_made_again(spec: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(spec.parent)
    again = dml.reproduce()
    assert again["equal"]


def test_its_card_its_notebook_and_its_objects(spec: Path, tmp_path: Path) -> None:
    assert dml.card(spec).startswith("# Model card: flowers")
    assert "<html" in dml.card(spec, "html")
    path = dml.export_notebook(spec, tmp_path / "flowers.ipynb")
    assert json.loads(path.read_text())["cells"]
    text = dml.deploy(spec)
    assert "kind: Deployment" in text
    assert "image: registry.example.com/flowers:1.0.0" in text
    with pytest.raises(dml.UsageError, match="there is no target 'moon'"):
        dml.deploy(spec, to="moon")


def test_its_image(spec: Path, tmp_path: Path) -> None:
    [context] = dml.package(spec, tmp_path / "image", images=["serve"])
    assert context.path == tmp_path / "image" / "serve"
    assert "USER 10001" in (context.path / "Dockerfile").read_text()


def test_it_is_served(spec: Path) -> None:
    program = f"import declarative_ml as dml; dml.serve({str(spec)!r}, port=0)"
    with subprocess.Popen([sys.executable, "-c", program]) as service:
        with pytest.raises(subprocess.TimeoutExpired):
            service.wait(8)
        service.send_signal(signal.SIGTERM)
        assert service.wait(30) == 0
    with pytest.raises(dml.UsageError, match="cannot listen on"):
        dml.serve(spec, host="203.0.113.1", port=0)


def test_a_log_that_is_not_there(spec: Path) -> None:
    with pytest.raises(dml.UsageError, match="names no prediction log"):
        dml.monitor(spec)


def test_the_registry(tmp_path: Path, flowers: Callable[..., Path]) -> None:
    pytest.importorskip("mlflow")
    spec = flowers(track={"register": "flowers"}, explain={"method": "none"})
    dml.run(spec)
    [version] = dml.list_models(spec)
    assert (version["name"], version["version"], version["aliases"]) == ("flowers", 1, ["challenger"])
    assert dml.promote(spec).sentence == "flowers: version 1 is champion now, the first one"
    assert "champion" in dml.list_models(spec)[0]["aliases"]
    with pytest.raises(dml.UsageError, match="nothing to roll back"):
        dml.rollback(spec)
