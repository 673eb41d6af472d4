from __future__ import annotations

import math
import random
from typing import Any

import pytest

from declarative_ml.core import optional
from declarative_ml.core.errors import MissingDependency
from declarative_ml.learning.option_importance import importance
from declarative_ml.learning.space import Dimension
from declarative_ml.learning.tuning import Tried, propose

pytest.importorskip("optuna")

SPACE = {
    "rate": Dimension(low=1e-3, high=1.0, log=True),
    "leaves": Dimension(low=4, high=128, log=True, integer=True),
    "bins": Dimension(low=4, high=21, step=4, integer=True),
    "share": Dimension(low=0.0, high=1.0, step=0.1),
    "layers": Dimension(choices=((64,), (64, 64), (128, 128))),
    "extra": Dimension(choices=(False, True, 1, None)),
}


def loss(point: dict[str, Any]) -> float:
    """Best at rate 0.03; leaves matter a little, the rest nothing."""
    return math.log10(point["rate"] / 0.03) ** 2 + 0.01 * math.log2(point["leaves"] / 32) ** 2


def search(trials: int, seed: int = 0, generation: int = 4, sign: float = 1.0) -> list[Tried]:
    tried: list[Tried] = []
    for first in range(0, trials, generation):
        last = min(trials, first + generation) - 1
        points = propose(SPACE, tried, first=first, trial=last, seed=seed, greater_is_better=sign < 0)
        tried += [Tried(first + n, point, sign * loss(point)) for n, point in enumerate(points)]
    return tried


def test_proposals_lie_in_the_space() -> None:
    for each in search(24):
        assert set(each.point) == set(SPACE)
        assert [name for name, value in each.point.items() if not SPACE[name].holds(value)] == []
        assert isinstance(each.point["leaves"], int)
        assert isinstance(each.point["layers"], list)


def test_a_proposal_is_a_function_of_what_it_sees() -> None:
    tried = search(16)
    assert tried == search(16)
    assert tried != search(16, seed=1)
    whole = propose(SPACE, tried, first=16, trial=19, seed=0, greater_is_better=False)
    for trial in (16, 17, 18, 19):
        assert (
            propose(SPACE, tried, first=16, trial=trial, seed=0, greater_is_better=False)
            == whole[: trial - 15]
        )


def test_the_trials_of_a_generation_differ() -> None:
    tried = search(20)
    points = propose(SPACE, tried, first=20, trial=27, seed=0, greater_is_better=False)
    assert all(point not in points[:number] for number, point in enumerate(points))


@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_later_trials_are_better_than_random_ones(sign: float) -> None:
    first, led = [], []
    for seed in range(3):
        scores = [sign * each.score for each in search(40, seed, sign=sign)]
        first += scores[:8]
        led += scores[24:]
    assert sum(led) / len(led) < 0.5 * sum(first) / len(first)


def test_results_that_stopped_early_count_less_than_whole_ones() -> None:
    tried = [Tried(each.trial, each.point, each.score, whole=each.trial % 2 == 0) for each in search(12)]
    points = propose(SPACE, tried, first=12, trial=12, seed=0, greater_is_better=False)
    assert points != propose(SPACE, search(12), first=12, trial=12, seed=0, greater_is_better=False)


def test_importance_finds_what_matters() -> None:
    shares = importance(SPACE, search(40), greater_is_better=False)
    assert sum(shares.values()) == pytest.approx(1.0)
    assert max(shares, key=shares.__getitem__) == "rate"
    assert shares["rate"] > 0.5
    assert importance(SPACE, search(7), greater_is_better=False) == {}


def test_importance_of_a_choice_and_of_the_other_direction() -> None:
    space = {"extra": Dimension(choices=(False, True)), "share": Dimension(low=0.0, high=1.0)}
    source = random.Random(0)
    tried = [
        Tried(trial, {"extra": trial % 3 == 0, "share": source.random()}, float(trial % 3 == 0))
        for trial in range(60)
    ]
    shares = importance(space, tried, greater_is_better=True)
    assert shares["extra"] > 0.8
    assert importance(space, [*tried, Tried(60, {}, 9.0, whole=False)], greater_is_better=True) == shares


def test_without_optuna_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(optional, "installed", lambda module: False)
    with pytest.raises(MissingDependency, match="optuna is not installed") as error:
        propose(SPACE, [], first=1, trial=1, seed=0, greater_is_better=True)
    assert error.value.hint == "pip install 'declarative-ml[tune]'"
