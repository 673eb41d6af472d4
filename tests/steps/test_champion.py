"""The champion out of a registry, and its answers in the order of the new model's classes."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest

from declarative_ml.core.task import Task
from declarative_ml.graph.plan import Step
from declarative_ml.steps.champion import fetch_registered
from declarative_ml.steps.context import StepContext
from declarative_ml.steps.rival import find_rival
from declarative_ml.steps.tested import read_tested
from declarative_ml.store.bundle import Bundle
from declarative_ml.trackers.base import Registered, TrackContent, Tracker


class FolderTracker(Tracker):
    """A registry that is a folder: NAME/ALIAS holds the bundle of version 3."""

    type: Literal["folder"] = "folder"
    root: str

    def find(self, workspace: Path, key: str) -> str | None:
        return None

    def log(self, workspace: Path, content: TrackContent) -> str:
        raise AssertionError("nothing is logged here")

    def registered(self, workspace: Path, name: str, alias: str) -> Registered | None:
        if not (Path(self.root) / name / alias).is_dir():
            return None
        return Registered(
            name=name, version=3, aliases=(alias,), run_id="r", model_digest="d", created="", tags={}
        )

    def fetch(self, workspace: Path, registered: Registered, target: Path) -> None:
        Bundle.open(Path(self.root) / registered.name / registered.aliases[0]).unpack(target)

    def _not_asked(self, *given: Any, **named: Any) -> Any:
        raise AssertionError("a champion step only reads")

    register = versions = promote = rollback = history = _not_asked


@dataclass(frozen=True)
class World:
    """Where a champion step of 'churn' runs."""

    context: StepContext
    tracker: FolderTracker

    def told(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads((self.context.out / "champion.json").read_text())
        return found


def context_of(out: Path, scratch: Path, inputs: dict[str, Path], **params: Any) -> StepContext:
    for folder in (out, scratch):
        folder.mkdir(exist_ok=True)
    return StepContext(
        step=Step(id="champion", kind="champion", title="", params=params),
        inputs=inputs,
        out=out,
        scratch=scratch,
        workspace=out,
        key="",
        threads=1,
        finished={},
        progress=lambda fraction, message: None,
    )


@pytest.fixture
def world(tmp_path: Path) -> World:
    context = context_of(tmp_path / "out", tmp_path / "scratch", {}, registry="churn", alias="champion")
    return World(context, FolderTracker(root=str(tmp_path / "registry")))


def test_a_registry_without_the_model_says_so(world: World) -> None:
    fetch_registered(world.tracker, world.context)
    absent = "there is no champion: the registry has no model 'churn' with the alias champion"
    assert world.told() == {"absent": absent, "what": ""}
    assert not (world.context.out / "bundle.json").exists()


def test_the_registered_bundle_is_kept_whatever_a_kill_left(
    world: World, flowers: Callable[..., Path], run: Callable[..., Any]
) -> None:
    bundle = Path(run(flowers()).result["bundle"])
    shutil.copytree(bundle, Path(world.tracker.root) / "churn" / "champion")
    (world.context.scratch / "bundle").mkdir()
    fetch_registered(world.tracker, world.context)
    assert world.told() == {"absent": None, "what": "version 3 of 'churn', alias champion"}
    kept = Bundle.open(world.context.out, verify=True)
    assert kept.manifest.model_digest == Bundle.open(bundle).manifest.model_digest


def binary_run(flowers: Callable[..., Path], run: Callable[..., Any], folder: str, positive: str) -> Any:
    """A run that tells two kinds apart, with a threshold of its own."""
    data = {
        "source": "flowers.csv",
        "sql": "SELECT * FROM source WHERE kind <> 'c'",
        "split": {"validation": 0.2},
    }
    target = {"column": "kind", "type": "binary", "positive": positive}
    report = run(flowers(folder, data=data, target=target, evaluate={"threshold": 0.3}))
    assert report.error is None, report.error
    return report


def artifact(report: Any, step: str) -> Path:
    digest = json.loads((report.folder / "run.json").read_text())["digests"][step]
    (found,) = (report.folder.parents[1] / "store" / "artifacts").glob(f"*/{digest}")
    return Path(found)


@pytest.mark.parametrize("positive", ["a", "b"])
def test_the_answers_are_those_of_the_bundle_with_its_own_threshold(
    flowers: Callable[..., Path], run: Callable[..., Any], tmp_path: Path, positive: str
) -> None:
    """The champion says yes to `positive` from 0.3 on; the new model's positive class is b."""
    report = binary_run(flowers, run, positive, positive)
    champion = tmp_path / "champion"
    shutil.copytree(report.result["bundle"], champion)
    (champion / "champion.json").write_text(json.dumps({"absent": None, "what": "the old one"}))
    inputs = {"champion": champion, "table": artifact(report, "sql"), "split": artifact(report, "split")}
    context = context_of(tmp_path / "out", tmp_path / "scratch", inputs)
    task = Task(target="kind", type="binary", classes=("a", "b"))
    test = read_tested(artifact(report, "evaluate"))
    rows, own = test.rows[:], test.prediction[:]
    found = find_rival(context, task, rows)
    assert found.prediction is not None
    answers = found.prediction[:]
    assert found.about.startswith("the old one (model digest ") and found.notes == ()
    order = [0, 1] if positive == "b" else [1, 0]
    np.testing.assert_allclose(answers, own[:, order], atol=1e-6)
    says_b = answers[:, 1] >= found.threshold
    meant = own[:, 1] >= 0.3 if positive == "b" else ~(own[:, 1] >= 0.3)
    assert 0 < says_b.sum() < len(rows)
    np.testing.assert_array_equal(says_b, meant)


def test_values_that_do_not_fit_are_missing_for_the_champion(
    flowers: Callable[..., Path], run: Callable[..., Any]
) -> None:
    """A number that has become a text with words in it."""
    old = run(flowers("old")).result["bundle"]
    path = flowers(
        "new",
        data={
            "source": "flowers.csv",
            "sql": "SELECT * REPLACE (if(wild, 'tall', length::VARCHAR) AS length) FROM source",
            "split": {"validation": 0.2},
        },
        evaluate={"champion": old, "gates": {"n": {"metric": "log_loss", "beats": "champion", "by": -9}}},
    )
    report = run(path)
    assert report.error is None, report.error
    page = Path(report.result["report"]).read_text()
    assert "values that do not fit the champion&#39;s columns count as missing for it: length (" in page
    assert "the champion learned from other data" in page
