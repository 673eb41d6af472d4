"""Choose the options that did best on the held-out rows, if they did clearly better than the given ones.

The best of many scores flatters, the more so the fewer rows there are. So the given options stay unless the
best trial beats them by more than one standard error of the difference, fold by fold: the rule of Breiman,
Friedman, Olshen & Stone, "Classification and Regression Trees" (1984), 3.4.3, on paired folds.

options.json    the options that differ from the plan's model: what the fits take
tune.json       model, metric, leader (number of the trial with the best score), best (of the chosen one: the
                leader or 0), options, given (what the model has without tuning), trials (each with its
                trial.json, or number and reason), and importance
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from typing import Any

from declarative_ml.core.atomic import read_json, write_json
from declarative_ml.learning.metric_names import METRICS
from declarative_ml.learning.option_importance import importance
from declarative_ml.steps.context import StepContext, skip_reason
from declarative_ml.steps.trial import as_tried, space_of


def run(context: StepContext) -> None:
    """Write the choice. Where no trial was possible, the model stays as it is."""
    trials = [_trial(context, number) for number in range(len(context.inputs))]
    measured = [trial for trial in trials if "score" in trial]
    whole = [trial for trial in measured if not trial["pruned"]]
    found: dict[str, Any] = {
        "model": context.params["model"]["type"],
        "metric": None,
        "leader": None,
        "best": None,
        "options": {},
        "given": {},
        "trials": trials,
        "importance": {},
    }
    if whole:
        metric = whole[0]["metric"]
        greater = METRICS[metric].greater_is_better
        leader = max(whole, key=lambda trial: trial["score"] if greater else -trial["score"])
        best = leader if is_clear(whole[0]["folds"], leader["folds"]) else whole[0]
        found |= {"metric": metric, "given": whole[0]["given"]}
        found |= {"leader": leader["trial"], "best": best["trial"], "options": best["options"]}
        space = space_of(context)
        found["importance"] = importance(space, as_tried(measured), greater_is_better=greater)
    write_json(context.out / "options.json", {"options": found["options"]})
    write_json(context.out / "tune.json", found)


def is_clear(given: Sequence[float | None], leading: Sequence[float | None]) -> bool:
    """Whether the mean difference of two trials is larger than its standard error over their folds.

    One fold tells nothing of its error: its score counts as it is.
    """
    pairs = zip(given, leading, strict=True)
    differences = [there - here for here, there in pairs if here is not None and there is not None]
    if len(differences) < 2:
        return True
    error = statistics.stdev(differences) / math.sqrt(len(differences))
    return abs(statistics.fmean(differences)) > error


def _trial(context: StepContext, number: int) -> dict[str, Any]:
    folder = context.inputs[f"trial{number}"]
    reason = skip_reason(folder)
    if reason is not None:
        return {"trial": number, "reason": reason}
    found: dict[str, Any] = read_json(folder / "trial.json")
    return found
