from __future__ import annotations

import pytest

from declarative_ml.engines import clock
from declarative_ml.engines.clock import Budget, Clock
from declarative_ml.graph.plan import Step


def fit(name: str, effort: float) -> Step:
    return Step(id=name, kind="train", title="", effort=effort)


STEPS = [fit("a", 2.0), fit("b", 1.0), fit("c", 1.0)]
READ = Step(id="acquire.source", kind="acquire", title="")


@pytest.fixture
def now(monkeypatch: pytest.MonkeyPatch) -> dict[str, float]:
    """The time, to be set."""
    time = {"now": 1000.0}
    monkeypatch.setattr(clock.time, "monotonic", lambda: time["now"])
    return time


def start(jobs: int = 1) -> Clock:
    return Clock(STEPS, Budget(100.0, started=1000.0), jobs=jobs)


def test_what_follows_training_gets_time_by_what_came_before(now: dict[str, float]) -> None:
    found = start()
    before = found.training_ends
    found.end(READ, seconds=10.0)
    assert 1000 < found.training_ends < before < 1100
    found.end(READ, seconds=1000.0)
    assert found.training_ends == 1050.0, "half of the time is for training at least"


def test_conversions_have_their_time_kept(now: dict[str, float]) -> None:
    conversions = [Step(id=f"convert.{name}", kind="convert", title="") for name in ("onnx", "tflite")]
    plain, one, two = (
        Clock([*STEPS, *conversions[:count]], Budget(100.0, started=1000.0), jobs=1).training_ends
        for count in range(3)
    )
    assert plain > one > two > 1050


def test_fits_share_what_is_left_by_effort(now: dict[str, float]) -> None:
    found = start()
    left = found.training_ends - 1000.0
    deadline = found.begin(STEPS[0])
    assert deadline() == pytest.approx(1000.0 + left / 2)
    assert found.begin(STEPS[1])() == pytest.approx(1000.0 + left / 4)


def test_a_fit_that_needs_less_leaves_the_rest_to_those_under_way(now: dict[str, float]) -> None:
    found = start()
    left = found.training_ends - 1000.0
    deadline = found.begin(STEPS[1])
    found.end(STEPS[0], seconds=0.0)
    assert deadline() == pytest.approx(1000.0 + left / 2)
    found.end(STEPS[2], seconds=0.0)
    assert deadline() == pytest.approx(found.training_ends)


def test_fits_side_by_side_have_the_clock_twice(now: dict[str, float]) -> None:
    one, two = start().begin(STEPS[1]), start(jobs=2).begin(STEPS[1])
    assert two() - 1000.0 == pytest.approx(2 * (one() - 1000.0))
    assert start(jobs=9).begin(STEPS[0])() <= start().training_ends


def test_a_trial_has_what_its_search_has(now: dict[str, float]) -> None:
    trials = [
        Step(id=f"tune.a.trial{number}", kind="trial", title="", effort=1.0, optional=True)
        for number in range(3)
    ]
    found = Clock([*trials, fit("train.a.fold0", 1.0)], Budget(100.0, started=1000.0), jobs=2)
    left = found.training_ends - 1000.0
    deadline = found.begin(trials[0])
    assert deadline() == pytest.approx(1000.0 + 0.75 * left), "one search, however many run side by side"
    found.end(trials[1], seconds=0.0)
    assert deadline() == pytest.approx(1000.0 + 2 / 3 * left)
    found.end(trials[2], seconds=0.0, skipped=True)
    assert deadline() == pytest.approx(1000.0 + 2 / 3 * left), "the time of one that is left out stays"


def test_other_steps_have_until_the_end(now: dict[str, float]) -> None:
    assert start().begin(READ)() == 1100.0


def test_after_the_end_nothing_is_left(now: dict[str, float]) -> None:
    found = start()
    now["now"] = 2000.0
    assert found.begin(STEPS[0])() == 2000.0


def test_a_fit_with_nothing_to_do_leaves_its_time_to_its_candidate(now: dict[str, float]) -> None:
    folds = [fit("train.a.fold0", 1.0), fit("train.a.fold1", 1.0), fit("train.b.fold0", 2.0)]
    found = Clock(folds, Budget(100.0, started=1000.0), jobs=1)
    left = found.training_ends - 1000.0
    deadline = found.begin(folds[0])
    assert deadline() == pytest.approx(1000.0 + left / 4)
    found.end(folds[1], seconds=0.0, skipped=True)
    assert deadline() == pytest.approx(1000.0 + left / 2)


def prepared(seconds: float, *, begin: bool = True) -> tuple[Clock, list[Step]]:
    """A clock of 100 seconds after that long a preparation, and the fits of two candidates."""
    folds = [fit(f"train.{name}.fold{fold}", 1.0) for name in "ab" for fold in range(5)]
    found = Clock(folds, Budget(100.0, started=1000.0), jobs=2)
    if begin:
        found.end(Step(id="prepare", kind="prepare", title=""), seconds)
    return found, folds


def test_what_is_slow_to_prepare_is_fitted_with_fewer_folds(now: dict[str, float]) -> None:
    spared = []
    for seconds in (0.1, 20.0, 60.0):
        found, folds = prepared(seconds)
        spared.append(sum(found.spares(step) is not None for step in folds))
        assert found.spares(folds[0]) is None, "one is always held out"
        assert found.spares(READ) is None
    assert spared[0] == 0 < spared[1] <= spared[2] == 8


def test_the_time_of_spared_folds_is_that_of_their_candidate_at_once(now: dict[str, float]) -> None:
    found, folds = prepared(60.0)
    left = found.training_ends - 1000.0
    assert found.spares(folds[0]) is None
    assert found.begin(folds[0])() == pytest.approx(1000.0 + left), "half of the time, in two jobs"
    found.end(folds[1], 0.0, skipped=True)
    assert found.begin(folds[5])() == pytest.approx(1000.0 + left)


@pytest.mark.parametrize("why", ["interval", "reading", "pods"])
def test_no_fold_is_spared(now: dict[str, float], why: str) -> None:
    folds = [fit(f"train.a.fold{fold}", 1.0) for fold in range(5)]
    preparing = Step(id="prepare", kind="prepare", title="", long=why == "reading")
    more = [Step(id="interval", kind="interval", title="")] if why == "interval" else []
    steps = [preparing, *folds, *more]
    found = Clock(steps, Budget(100.0, started=1000.0), jobs=1, sparing=why != "pods")
    found.end(preparing, 60.0)
    assert found.spares(folds[4]) is None


def test_an_explanation_has_time_of_its_own(now: dict[str, float]) -> None:
    explain, track = (Step(id=kind, kind=kind, title="") for kind in ("explain", "track"))
    for steps in ([*STEPS, explain], [*STEPS, explain, track]):
        found = Clock(steps, Budget(100.0, started=1000.0), jobs=1)
        assert found.begin(explain)() - found.training_ends >= 1.5


def test_how_many_folds_there_are_is_settled_once(now: dict[str, float]) -> None:
    found, folds = prepared(0.1)
    assert found.spares(folds[4]) is None
    now["now"] = 1099.0
    assert found.spares(folds[4]) is None
    late, folds = prepared(0.1)
    assert late.spares(folds[4]) == "the time is short: 1 fold held out"
    unknown, folds = prepared(0.0, begin=False)
    assert unknown.spares(folds[4]) is None


def test_a_slow_machine_keeps_more_time_for_the_end(now: dict[str, float]) -> None:
    explain = Step(id="explain", kind="explain", title="")
    quick = start()
    now["now"] = 1001.0  # to here a command needs half a second elsewhere
    slow = start()
    assert 1100.0 - slow.training_ends == pytest.approx(2 * (1100.0 - quick.training_ends))
    assert 1100.0 - slow.begin(explain)() == pytest.approx(2 * (1100.0 - quick.begin(explain)()))
    now["now"] = 1050.0
    assert start().training_ends > 1050.0, "a wait for something else is not the machine's speed"
