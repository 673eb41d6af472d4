"""Following where models come from: changes, trouble, patience."""

from __future__ import annotations

import random
import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from fleet_models import write_model

from declarative_ml.core.errors import DataError, DmlError
from declarative_ml.serving.lineup import Lineup, read_lineup
from declarative_ml.serving.origin_watch import MOST_PATIENCE, Wanted, Watcher
from declarative_ml.serving.origins import Found, FromBundle
from declarative_ml.store.bundle import Bundle


@dataclass
class Clock:
    now: float = 0.0

    def __call__(self) -> float:
        return self.now


@dataclass
class Place:
    """An origin whose bundle a test changes."""

    path: Path
    shown: str = "registry:guests@champion"
    always: bool = True
    error: Exception | None = None
    looks: list[float] = field(default_factory=list)
    clock: Clock = field(default_factory=Clock)

    def look(self, known: Found | None, scratch: Path) -> Found:
        self.looks.append(self.clock.now)
        if self.error is not None:
            raise self.error
        if known is not None and known.path == self.path:
            return known
        return Found(str(self.path), self.path, self.path.name)


class Middle(random.Random):
    """No jitter."""

    def uniform(self, a: float, b: float) -> float:
        return (a + b) / 2


@pytest.fixture
def bundles(tmp_path: Path) -> dict[str, Path]:
    return {
        "1": write_model(tmp_path / "1", 0.5).path,
        "2": write_model(tmp_path / "2", -0.25).path,
        "wider": write_model(tmp_path / "wider", 1.0, columns=("age", "fare", "town")).path,
    }


def watcher(tmp_path: Path, clock: Clock, *wanted: Wanted, **more: Any) -> Watcher:
    folder = tmp_path / "state"
    folder.mkdir()
    return Watcher(list(wanted), folder, 30.0, clock=clock, chance=Middle(), **more)


def run(watch: Watcher, clock: Clock, seconds: int) -> Lineup:
    for _ in range(seconds):
        clock.now += 1
        watch.step()
    return read_lineup(watch.file)


def test_a_new_version_is_followed_when_it_is_time(tmp_path: Path, bundles: dict[str, Path]) -> None:
    clock = Clock()
    place = Place(bundles["1"], clock=clock)
    watch = watcher(tmp_path, clock, Wanted(place))
    watch.begin()
    before = watch.file.stat().st_ino
    place.path = bundles["2"]
    assert run(watch, clock, 29).entries[0].bundle == bundles["1"]
    assert watch.file.stat().st_ino == before
    lineup = run(watch, clock, 1)
    assert (lineup.entries[0].bundle, lineup.entries[0].number, lineup.reloads) == (bundles["2"], "2", 1)


def test_trouble_changes_nothing_and_is_told_once(
    tmp_path: Path, bundles: dict[str, Path], caplog: pytest.LogCaptureFixture
) -> None:
    clock = Clock()
    place = Place(bundles["1"], clock=clock)
    watch = watcher(tmp_path, clock, Wanted(place))
    watch.begin()
    place.error = DmlError("the MLflow server does not answer: refused")
    lineup = run(watch, clock, 3600)
    assert lineup.entries[0].bundle == bundles["1"]
    assert lineup.trouble == {place.shown: "the MLflow server does not answer: refused"}
    assert lineup.failures == len(place.looks) - 1
    waits = [after - before for before, after in zip(place.looks, place.looks[1:], strict=False)]
    assert waits[:5] == [30, 60, 120, 240, 480]
    assert max(waits) == 30 * MOST_PATIENCE
    assert caplog.text.count("the model of before goes on") == 1
    place.error, place.path = None, bundles["2"]
    lineup = run(watch, clock, 30 * MOST_PATIENCE)
    assert (lineup.trouble, lineup.entries[0].bundle) == ({}, bundles["2"])
    assert f"{place.shown} is there again" in caplog.text


def test_an_error_that_nobody_thought_of_is_trouble_too(tmp_path: Path, bundles: dict[str, Path]) -> None:
    clock = Clock()
    place = Place(bundles["1"], clock=clock)
    watch = watcher(tmp_path, clock, Wanted(place))
    watch.begin()
    place.error = OSError(28, "No space left on device")
    lineup = run(watch, clock, 30)
    assert "No space left on device" in lineup.trouble[place.shown]


def test_a_broken_bundle_is_not_changed_to(tmp_path: Path, bundles: dict[str, Path]) -> None:
    clock = Clock()
    place = Place(bundles["1"], clock=clock)
    watch = watcher(tmp_path, clock, Wanted(place))
    watch.begin()
    (bundles["2"] / "model.onnx").write_bytes(b"half")
    place.path = bundles["2"]
    lineup = run(watch, clock, 30)
    assert lineup.entries[0].bundle == bundles["1"]
    assert "model.onnx does not match its digest" in lineup.trouble[place.shown]


def test_asked_looks_at_once_even_without_reload(tmp_path: Path, bundles: dict[str, Path]) -> None:
    clock = Clock()
    folder = tmp_path / "served"
    shutil.copytree(bundles["1"], folder)
    watch = watcher(tmp_path, clock, Wanted(FromBundle(folder, "served")))
    assert watch.begin().entries[0].bundle == folder
    shutil.rmtree(folder)
    shutil.copytree(bundles["2"], folder)
    assert run(watch, clock, 1000).entries[0].bundle == folder
    watch.asked = True
    found = run(watch, clock, 1).entries[0].bundle
    assert found != folder
    assert Bundle.open(found).manifest == Bundle.open(bundles["2"]).manifest
    assert watch.asked is False


def test_reload_follows_a_folder(tmp_path: Path, bundles: dict[str, Path]) -> None:
    clock = Clock()
    folder = tmp_path / "served"
    shutil.copytree(bundles["1"], folder)
    watch = watcher(tmp_path, clock, Wanted(FromBundle(folder, "served", copied=True)), reload=True)
    first = watch.begin().entries[0].bundle
    shutil.rmtree(folder)
    lineup = run(watch, clock, 30)
    assert (lineup.entries[0].bundle, lineup.reloads) == (first, 0)
    assert Bundle.open(first, verify=True).manifest == Bundle.open(bundles["1"]).manifest
    assert "does not exist" in lineup.trouble["served"]
    shutil.copytree(bundles["2"], folder)
    lineup = run(watch, clock, 60)
    assert (lineup.reloads, lineup.trouble) == (1, {})
    assert lineup.entries[0].bundle not in (folder, first)


def test_a_new_model_leaves_behind_who_cannot_follow(tmp_path: Path, bundles: dict[str, Path]) -> None:
    clock = Clock()
    first = Place(bundles["1"], clock=clock)
    beside = Place(bundles["2"], "registry:guests@challenger", clock=clock)
    watch = watcher(tmp_path, clock, Wanted(first), Wanted(beside, "shadow", 0.5))
    watch.begin()
    first.path = bundles["wider"]
    lineup = run(watch, clock, 30)
    assert [entry.bundle for entry in lineup.entries] == [bundles["wider"]]
    assert "it does not take the column 'town'" in lineup.trouble[beside.shown]
    beside.path = bundles["wider"]
    lineup = run(watch, clock, 60)
    assert [(entry.role, entry.share) for entry in lineup.entries] == [("serving", 1.0), ("shadow", 0.5)]
    assert lineup.trouble == {}


def test_what_is_wrong_at_first_is_an_error(tmp_path: Path, bundles: dict[str, Path]) -> None:
    clock = Clock()
    place = Place(bundles["1"], clock=clock, error=DataError("the registry is on holiday"))
    with pytest.raises(DataError, match="on holiday"):
        watcher(tmp_path, clock, Wanted(place)).begin()


def test_services_do_not_look_at_the_same_moment(tmp_path: Path, bundles: dict[str, Path]) -> None:
    clock, dues = Clock(), []
    for number in range(20):
        folder = tmp_path / str(f"state{number}")
        folder.mkdir()
        watch = Watcher([Wanted(Place(bundles["1"], clock=clock))], folder, 30.0, clock=clock)
        watch.begin()
        dues.append(watch._followed[0].due)
    assert min(dues) >= 24 and max(dues) <= 36
    assert max(dues) - min(dues) > 1
