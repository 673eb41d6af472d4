"""The steps that search for options: trials in generations, and the choice among them.

The first trial is the model as the spec has it, alone: what it took tells the others, under a deadline,
whether they are worth beginning. The trials of a later generation run side by side and see all results
of the generations before.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from declarative_ml.graph.plan import Step
from declarative_ml.models import MODELS
from declarative_ml.spec.document import Spec
from declarative_ml.spec.portfolio import Candidate
from declarative_ml.spec.processes import processes_of
from declarative_ml.spec.tuned import searched

GENERATION = 4
"""Trials that run side by side: more of them see less of each other."""
_EFFORT = 0.2
"""Of a trial after the first, relative to its candidate's: the time for training is for finding good options
and for fitting with them, and a trial that cannot begin leaves its time to the others."""


class Tuning:
    """Builds the steps that come before the fits of a tuned candidate."""

    def __init__(self, spec: Spec, most_rows: Mapping[str, int] = MappingProxyType({})) -> None:
        self.spec, self.most_rows = spec, most_rows
        self.searched = searched(spec)

    def steps(self, candidate: Candidate) -> list[Step]:
        """The trials of a candidate and the step that chooses; none for one that is not tuned."""
        if self.spec.tune is None or candidate.name not in self.searched:
            return []
        trials = [self._trial(candidate, number) for number in range(self.spec.tune.trials)]
        return [*trials, self._choice(candidate, trials)]

    def inputs(self, name: str, role: str) -> dict[str, str]:
        """The input `role` with the options of the candidate `name`; none where it is not tuned."""
        return {role: f"tune.{name}"} if name in self.searched else {}

    def _trial(self, candidate: Candidate, number: int) -> Step:
        assert self.spec.tune is not None
        first = _first_of_generation(number)
        model = candidate.model
        processes = processes_of(self.spec, model)
        shared = {"processes": processes} if processes > 1 else {}
        rows = self.most_rows.get(model.type)
        return Step(
            id=f"tune.{candidate.name}.trial{number}",
            kind="trial",
            title=f"Try {'other' if number else 'the given'} options of {model.type} on held-out rows"
            + (f", in {processes} processes" if shared else "")
            + (at_most(rows) if rows is not None else ""),
            params={
                "model": model.options(),
                "space": self._space(candidate),
                "trial": number,
                "first": first,
                "metric": self.spec.tune.metric or self.spec.evaluate.metric,
                "seed": self.spec.seed,
                "imbalance": self.spec.imbalance,
                **shared,
                **({} if rows is None else {"rows": rows}),
            },
            inputs={
                "prepare": "prepare",
                "split": "split",
                **{f"trial{earlier}": f"tune.{candidate.name}.trial{earlier}" for earlier in range(first)},
            },
            components=(MODELS.module(model.type),),
            libraries=("numpy", *model.libraries, *(("optuna",) if number else ())),
            optional=candidate.optional or number > 0,
            effort=candidate.effort * (_EFFORT if number else 1.0),
            long=True,
        )

    def _choice(self, candidate: Candidate, trials: list[Step]) -> Step:
        return Step(
            id=f"tune.{candidate.name}",
            kind="tune",
            title=f"Choose the options of {candidate.model.type} that did best in {len(trials)} trials",
            params={"model": candidate.model.options(), "space": self._space(candidate)},
            inputs={f"trial{number}": step.id for number, step in enumerate(trials)},
            # Not for its own work: the trials are optional, and a run without optuna must not begin.
            libraries=("optuna", "numpy"),
        )

    def _space(self, candidate: Candidate) -> dict[str, object]:
        return {name: dimension.values() for name, dimension in self.searched[candidate.name].items()}


def at_most(rows: int) -> str:
    """What the title of a step says where a model learns from so many rows of more."""
    return f"; of the rows, {rows:,} at most"


def _first_of_generation(number: int) -> int:
    """The number of the first trial that runs beside trial `number`: 0, 1, 1, 1, 1, 5, …"""
    return number if number == 0 else (number - 1) // GENERATION * GENERATION + 1
