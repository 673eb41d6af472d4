"""Which options to try next: a Tree-structured Parzen Estimator over what was tried before.

Multivariate TPE (Bergstra et al., "Algorithms for hyper-parameter optimization", NeurIPS 2011; Falkner
et al., "BOHB", ICML 2018) by Optuna. A proposal is a pure function of the seed, the number of the trial
and the results that it may see, so that trials can run side by side, again, or on other machines.
"""

from __future__ import annotations

import threading
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from declarative_ml.core.optional import require
from declarative_ml.learning.space import Dimension

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution
    from optuna.study import Study
    from optuna.trial import FrozenTrial

Space = Mapping[str, Dimension]
"""Option -> what it may be."""

AT_RANDOM = 8
"""So many results are there before they lead the search. Few, since trials are few."""
_DIGITS = 4
_lock = threading.Lock()


@dataclass(frozen=True)
class Tried:
    """The result of one trial."""

    trial: int
    point: Mapping[str, Any]
    """Option -> value, for every option of the space."""
    score: float
    whole: bool = True
    """Whether it was measured on all folds, and not stopped after the first."""


def propose(
    space: Space, tried: Sequence[Tried], *, first: int, trial: int, seed: int, greater_is_better: bool
) -> list[dict[str, Any]]:
    """The points of the trials `first` to `trial` of one generation, which all see the results `tried`.

    Each also knows the points, not the results, of those before it, and keeps away from them. Raises
    MissingDependency without optuna.
    """
    points: list[dict[str, Any]] = []
    with _optuna() as optuna:
        for number in range(first, trial + 1):
            sampler = optuna.samplers.TPESampler(
                seed=_seed(seed, number), multivariate=True, constant_liar=True, n_startup_trials=AT_RANDOM
            )
            study = _study(optuna, space, tried, points, sampler, greater_is_better)
            found = study.ask({name: _distribution(optuna, space[name]) for name in sorted(space)})
            points.append({name: _outside(space[name], found.params[name]) for name in sorted(space)})
    return points


@contextmanager
def _optuna() -> Iterator[Any]:
    """Optuna without its log lines and its warnings of experimental features; one thread at a time."""
    optuna = require("optuna", "tune")
    with _lock, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        yield optuna


def _seed(seed: int, trial: int) -> int:
    import numpy as np

    return int(np.random.SeedSequence([seed, trial]).generate_state(1)[0])


def _study(
    optuna: Any,
    space: Space,
    tried: Sequence[Tried],
    running: Sequence[Mapping[str, Any]],
    sampler: Any,
    greater_is_better: bool,
) -> Study:
    study: Study = optuna.create_study(
        direction="maximize" if greater_is_better else "minimize", sampler=sampler
    )
    for each in tried:
        study.add_trial(_finished(optuna, space, each))
    for point in running:
        state = optuna.trial.TrialState.RUNNING
        study.add_trial(optuna.trial.create_trial(state=state, **_inside(optuna, space, point)))
    return study


def _finished(optuna: Any, space: Space, tried: Tried) -> FrozenTrial:
    states, fields = optuna.trial.TrialState, _inside(optuna, space, tried.point)
    if tried.whole:
        fields |= {"state": states.COMPLETE, "value": tried.score}
    else:
        fields |= {"state": states.PRUNED, "intermediate_values": {0: tried.score}}
    trial: FrozenTrial = optuna.trial.create_trial(**fields)
    return trial


def _inside(optuna: Any, space: Space, point: Mapping[str, Any]) -> dict[str, Any]:
    """The point as Optuna wants it."""
    params = {
        name: point[name] if space[name].choices is None else space[name].place(point[name])
        for name in sorted(space)
    }
    distributions = {name: _distribution(optuna, space[name]) for name in sorted(space)}
    return {"params": params, "distributions": distributions}


def _distribution(optuna: Any, dimension: Dimension) -> BaseDistribution:
    kinds = optuna.distributions
    made: BaseDistribution
    if dimension.choices is not None:
        # By position: Optuna keeps no lists, and takes true and 1 for the same.
        made = kinds.CategoricalDistribution(tuple(range(len(dimension.choices))))
    elif dimension.integer:
        low, high, step = dimension.low or 0, dimension.top, dimension.step or 1
        made = kinds.IntDistribution(int(low), int(high), log=dimension.log, step=int(step))
    else:
        made = kinds.FloatDistribution(dimension.low, dimension.top, log=dimension.log, step=dimension.step)
    return made


def _outside(dimension: Dimension, value: Any) -> Any:
    """A value of Optuna's as the option takes it, in as many digits as matter."""
    if dimension.choices is not None:
        chosen = dimension.choices[value]
        return list(chosen) if isinstance(chosen, tuple) else chosen
    if dimension.integer:
        return int(value)
    if dimension.step is not None:
        return float(value)
    assert dimension.low is not None
    return min(dimension.top, max(dimension.low, float(f"{value:.{_DIGITS}g}")))
