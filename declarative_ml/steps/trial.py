"""Try one set of options of a model on the rows that the folds hold out.

trial.json    trial, metric, options (none: the model as the spec has it), point (the value of every option
              of the space, null where it is outside), given (what the spec's model has for them), score
              (on all held-out rows together), folds (the score of each), work and stopped_after of each,
              pruned, cut
"""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from declarative_ml.core.atomic import write_json
from declarative_ml.core.errors import StepFailed
from declarative_ml.core.task import Task
from declarative_ml.learning.metric_names import METRICS, default_metric
from declarative_ml.learning.metrics import score
from declarative_ml.learning.space import Dimension
from declarative_ml.learning.task import predictions_from_margins
from declarative_ml.learning.tuning import Space, Tried, propose
from declarative_ml.models import MODELS
from declarative_ml.models.base import FitContext, Work
from declarative_ml.steps.context import SKIPPED, StepContext
from declarative_ml.steps.directions import fit_directions
from declarative_ml.steps.train import learned_from, open_prepared, rows_of

if TYPE_CHECKING:
    import numpy as np

    from declarative_ml.learning.dataset import Dataset
    from declarative_ml.models.base import Model

ENOUGH = 4
"""With fewer first folds to compare with, no trial is stopped after its own."""


@dataclass(frozen=True)
class Measured:
    """How one set of options did."""

    score: float
    folds: list[float | None]
    work: list[Work]
    stopped_after: list[int | None]
    """Of each fold: where the deadline ended its fit (see Fitted)."""
    pruned: bool

    @property
    def cut(self) -> bool:
        """Whether the deadline ended a fit."""
        return any(place is not None for place in self.stopped_after)


def run(context: StepContext) -> None:
    """Measure the options, or leave the reason why they were not."""
    split = context.read("split", "split.json")
    task = Task.model_validate(split["task"])
    metric = context.params["metric"] or default_metric(task)
    earlier = [context.read(role, "trial.json") for role in context.roles("trial")]
    reason = _guard(context, split["folds"], earlier)
    if reason is not None:
        _skip(context, reason)
        return
    space = space_of(context)
    options = _proposal(context, space, earlier, METRICS[metric].greater_is_better)
    if options is None:
        _skip(context, "the same options as in an earlier trial")
        return
    model = MODELS.parse({**context.params["model"], **options})
    data = open_prepared(context)
    measured = _measure(context, model, task, data, metric, split["folds"], _bar(metric, earlier))
    if measured is None:
        context.cut_short()
        _skip(context, "the time is up")
        return
    if measured.cut:
        context.cut_short()
        context.pin({"stopped_after": measured.stopped_after})
    rows = len(rows_of(context, 0)[0])
    given = _given(context, task, min(rows, context.params.get("rows") or rows))
    found = {"trial": context.params["trial"], "metric": metric, "options": options, "given": given}
    point = {name: {**given, **options}[name] for name in space}
    inside = all(space[name].holds(value) for name, value in point.items())
    found |= {"point": point if inside else None, **asdict(measured), "cut": measured.cut}
    write_json(context.out / "trial.json", found)


def space_of(context: StepContext) -> Space:
    """What each option may be."""
    return {name: Dimension.model_validate(span) for name, span in context.params["space"].items()}


def as_tried(trials: Sequence[dict[str, Any]]) -> list[Tried]:
    """The measured trials that lie in the space, from their trial.json."""
    return [
        Tried(trial["trial"], trial["point"], trial["score"], whole=not trial["pruned"])
        for trial in trials
        if trial["point"] is not None
    ]


def _skip(context: StepContext, reason: str) -> None:
    write_json(context.out / SKIPPED, {"reason": reason})


def _guard(context: StepContext, folds: int, earlier: Sequence[dict[str, Any]]) -> str | None:
    """Why this trial is not needed or not possible, if so."""
    absent = context.absent_library(context.step.libraries)
    if absent is not None:
        return absent
    if folds == 0:
        return "no rows are held out"
    if context.params["trial"] and not (earlier and earlier[0]["trial"] == 0):
        return "the given options could not be tried"
    if context.params["trial"] and context.deadline is not None:
        took = context.finished[context.step.inputs["trial0"]].seconds
        if earlier[0]["cut"] or context.deadline() - time.monotonic() < took:
            context.cut_short()
            return "the time is up"
    return None


def _proposal(
    context: StepContext, space: Space, earlier: Sequence[dict[str, Any]], greater_is_better: bool
) -> dict[str, Any] | None:
    """The options to try; none at first, which is the model as the spec has it. None for a repetition."""
    number = context.params["trial"]
    if number == 0:
        return {}
    points = propose(
        space,
        as_tried(earlier),
        first=context.params["first"],
        trial=number,
        seed=context.params["seed"],
        greater_is_better=greater_is_better,
    )
    known = [trial["point"] for trial in earlier] + points[:-1]
    return None if points[-1] in known else points[-1]


def _bar(metric: str, earlier: Sequence[dict[str, Any]]) -> Callable[[float], bool]:
    """Whether a first fold is worse than half of those of the generations before."""
    known = [trial["folds"][0] for trial in earlier if trial["folds"][0] is not None]
    if len(known) < ENOUGH:
        return lambda first: False
    middle = statistics.median(known)
    if METRICS[metric].greater_is_better:
        return lambda first: first < middle
    return lambda first: first > middle


def _given(context: StepContext, task: Task, rows: int) -> dict[str, Any]:
    """What the spec's own model has for the options of the space; null where only a fit would tell."""
    options = context.params["model"]
    defaults = MODELS.parse(options).defaults(rows, task)
    return {
        name: defaults.get(name) if options[name] is None else options[name]
        for name in context.params["space"]
    }


def _measure(
    context: StepContext,
    model: Model,
    task: Task,
    data: Dataset,
    metric: str,
    folds: int,
    is_worse: Callable[[float], bool],
) -> Measured | None:
    """Fit the folds and score what they hold out; None where the time was up before the end.

    The first trial must come through, so it makes do with fits that are cut short.
    """
    rows: list[np.ndarray] = []
    margins: list[np.ndarray] = []
    scores: list[float] = []
    work: list[Work] = []
    stopped_after: list[int | None] = []
    pruned = False
    for fold in range(folds):
        fitted_rows, held_out = rows_of(context, fold)
        train = learned_from(context, task, data, fitted_rows)
        validation = data.view(held_out)
        fitted = model.fit(train, validation, _fit_context(context, task, fold, folds))
        stopped_after.append(fitted.stopped_after)
        if fitted.cut and context.params["trial"]:
            return None
        rows.append(held_out[:])
        margins.append(model.predict(fitted.state, validation, task))
        work.append(fitted.work)
        scores.append(_score(metric, task, data, rows[-1:], margins[-1:]))
        if fold == 0 and folds > 1 and is_worse(scores[0]):
            pruned = True
            break
    whole = _score(metric, task, data, rows, margins)
    if not math.isfinite(whole):
        raise StepFailed(f"{metric} is not defined on the held-out rows", hint="set another tune.metric")
    finite = [each if math.isfinite(each) else None for each in scores]
    return Measured(whole, finite, work, stopped_after, pruned=pruned)


def _score(
    metric: str, task: Task, data: Dataset, rows: Sequence[np.ndarray], margins: Sequence[np.ndarray]
) -> float:
    import numpy as np

    truth = data.target[np.concatenate(rows)]
    return score(metric, task, truth, predictions_from_margins(task, np.concatenate(margins)))


def _fit_context(context: StepContext, task: Task, fold: int, folds: int) -> FitContext:
    scratch = context.scratch / f"fold{fold}"
    scratch.mkdir(exist_ok=True)
    stops = context.pinned.get("stopped_after", [])
    return FitContext(
        task=task,
        seed=context.params["seed"],
        threads=context.threads,
        processes=context.params.get("processes", 1),
        scratch=scratch,
        progress=lambda done, message: context.progress(
            (fold + done) / folds, f"fold {fold + 1}/{folds} · {message}"
        ),
        deadline=_part(context.deadline, folds - fold),
        stop_after=stops[fold] if fold < len(stops) else None,
        monotone=fit_directions(context),
    )


def _part(deadline: Callable[[], float] | None, parts: int) -> Callable[[], float] | None:
    """The deadline of the next of so many equal parts of the time that is left."""
    if deadline is None:
        return None
    begun = time.monotonic()
    return lambda: begun + (deadline() - begun) / parts
