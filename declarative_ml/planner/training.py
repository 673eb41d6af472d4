"""The steps that learn: fits of every candidate, their weights, the one graph, and the baseline."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Any

from declarative_ml.features import FEATURES
from declarative_ml.graph.plan import Step
from declarative_ml.models import MODELS
from declarative_ml.models.base import Model
from declarative_ml.planner.tuning import Tuning, at_most
from declarative_ml.spec.document import Spec
from declarative_ml.spec.monotone import left_out
from declarative_ml.spec.portfolio import Candidate, candidates, caps_of, weights_of
from declarative_ml.spec.processes import processes_of

BASELINE = "linear"
BASELINE_ROWS = 200_000
"""More rows move a linear model little, and a baseline is not worth more time than the model."""
STUDENT_ROWS = 100_000
"""A small model is full long before, and it has rows in memory that others read from disk."""
STUDENT_SHARE = 0.7
"""Of what it learns, from the other candidates; the rest is the labels."""
_FINAL = 0.5
"""Of the effort of a fold's fit, what is kept for the refit: not every candidate comes into the blend."""
_ERRORS = "lightgbm"
"""The kind of model that learns how large errors are, for intervals."""


class Training:
    """Builds the steps from the table called `table` and its split to `assemble`."""

    def __init__(
        self, spec: Spec, table: str, folds: int, most_rows: Mapping[str, int] = MappingProxyType({})
    ) -> None:
        self.spec = spec
        self.most_rows = most_rows
        self.table = table
        self.folds = folds
        self.left_out = left_out(spec)
        """Candidate -> why it is not fitted."""
        first, *others = [each for each in candidates(spec) if each.name not in self.left_out]
        self.candidates = [replace(first, optional=False), *others]
        self.caps = caps_of(spec)
        self.tuning = Tuning(spec, most_rows)

    def steps(self) -> list[Step]:
        """Fits, weights where there are several candidates, and the graph."""
        steps = [step for candidate in self.candidates for step in self._train(candidate)]
        if self.blends:
            steps.append(self._ensemble())
        if self.spec.evaluate.interval is not None:
            steps.append(self._interval(self.spec.evaluate.interval))
        return [*steps, self._assemble()]

    def curves(self) -> dict[str, str]:
        """Role -> step, of every fit that leaves a learning curve."""
        kinds = [*(f"fold{fold}" for fold in range(self.folds)), "final"]
        return {f"curve.train.{name}.{kind}": f"train.{name}.{kind}" for name in self.names for kind in kinds}

    def tuned(self) -> dict[str, str]:
        """Role -> step, of every search for options."""
        return {f"tuned.{name}": f"tune.{name}" for name in self.tuning.searched}

    @property
    def blends(self) -> bool:
        """Whether there are several candidates, be it that some are left out."""
        return len(self.candidates) + len(self.left_out) > 1

    def _train(self, candidate: Candidate) -> list[Step]:
        folds = self.folds
        prefix = f"train.{candidate.name}"
        effort = candidate.effort / max(folds, 1)
        tuned = self.tuning.inputs(candidate.name, "tune")
        steps = self.tuning.steps(candidate)
        teaching = self._teaching(candidate)
        steps += [
            self._fit(
                f"{prefix}.fold{fold}",
                candidate.model,
                {"fold": fold, **teaching},
                {**tuned, **self._teachers(candidate, [fold])},
                optional=candidate.optional,
                effort=effort,
            )
            for fold in range(folds)
        ]
        inputs = {**tuned, **{f"fold{fold}": f"{prefix}.fold{fold}" for fold in range(folds)}}
        inputs |= self._teachers(candidate, range(folds))
        params: dict[str, Any] = {"fold": None, "refit": self.spec.refit, **teaching}
        if self.blends:
            inputs["ensemble"] = "ensemble"
            params["name"] = candidate.name
        if self.blends:
            effort *= _FINAL
        steps.append(
            self._fit(
                f"{prefix}.final", candidate.model, params, inputs, optional=candidate.optional, effort=effort
            )
        )
        return steps

    def _teaching(self, student: Candidate) -> dict[str, Any]:
        """The parameters of a fit that learns from the other candidates as well; none of any other."""
        if not student.taught:
            return {}
        rows = min(STUDENT_ROWS, self.most_rows.get(student.name, STUDENT_ROWS))
        models = [each.model.options() for each in self._others(student)]
        return {"teachers": models, "share": STUDENT_SHARE, "rows": rows}

    def _teachers(self, student: Candidate, folds: Iterable[int]) -> dict[str, str]:
        """The fits that a student learns from, and their options; none where it has no teacher."""
        if not student.taught:
            return {}
        found: dict[str, str] = {}
        for number, other in enumerate(self._others(student)):
            found |= {f"teacher{number}.fold{fold}": f"train.{other.name}.fold{fold}" for fold in folds}
            found |= self.tuning.inputs(other.name, f"teacher{number}.tune")
        return found

    def _others(self, student: Candidate) -> list[Candidate]:
        return [each for each in self.candidates if each.name != student.name]

    def _fit(
        self,
        step_id: str,
        model: Model,
        extra: dict[str, Any],
        inputs: dict[str, str] | None = None,
        *,
        optional: bool = False,
        effort: float = 0.0,
    ) -> Step:
        fold, processes = extra["fold"], processes_of(self.spec, model)
        if fold is not None:
            title = f"Fit {model.type} with fold {fold} held out"
        elif inputs:
            title = f"Fit {model.type} on all training and validation rows"
        else:
            title = f"Fit {model.type} as a baseline"
        teachers = [MODELS.parse(options) for options in extra.get("teachers", ())]
        if teachers:
            title += ", from its labels and what the other candidates say of them"
        rows = extra.get("rows", self.most_rows.get(model.type))
        if rows is not None:
            title += at_most(rows)
        if processes > 1:
            title += f", in {processes} processes"
            extra = {**extra, "processes": processes}
        return Step(
            id=step_id,
            kind="train",
            title=title,
            params={
                "model": model.options(),
                "seed": self.spec.seed,
                "imbalance": self.spec.imbalance,
                **({} if rows is None else {"rows": rows}),
                **extra,
            },
            inputs={"prepare": "prepare", "split": "split", **(inputs or {})},
            components=tuple(dict.fromkeys(MODELS.module(each.type) for each in (model, *teachers))),
            libraries=tuple(
                dict.fromkeys(["numpy", *(name for each in (model, *teachers) for name in each.libraries)])
            ),
            optional=optional,
            effort=effort,
            long=True,
        )

    def _ensemble(self) -> Step:
        return Step(
            id="ensemble",
            kind="ensemble",
            title="Compare the candidates on the rows that their folds held out, and weigh them"
            + self._but(),
            params={
                "names": self.names,
                "weights": weights_of(self.spec),
                "left_out": self.left_out,
                **({"caps": self.caps, "members": self._model_options()} if self.caps else {}),
            },
            inputs={
                "prepare": "prepare",
                "split": "split",
                **self._fold_inputs(),
                **({"table": self.table, **self._tuned_inputs()} if self.caps else {}),
            },
            components=self._all_components() if self.caps else (),
            libraries=("numpy", *(("onnx", "onnxruntime") if self.caps else ())),
        )

    def _all_components(self) -> tuple[str, ...]:
        return self._graph_components([candidate.model for candidate in self.candidates])

    def _but(self) -> str:
        """What a plan says of the candidates that are not fitted."""
        reasons = dict.fromkeys(self.left_out.values())
        names = {why: [name for name, other in self.left_out.items() if other == why] for why in reasons}
        return "".join(f"; without {', '.join(names[why])}: {why}" for why in reasons)

    def _interval(self, level: float) -> Step:
        return Step(
            id="interval",
            kind="interval",
            title=f"Learn from the errors on held-out rows how wide an interval of {level:g} must be",
            params={"names": self.names, "level": level, "seed": self.spec.seed},
            inputs={
                "prepare": "prepare",
                "split": "split",
                **self._fold_inputs(),
                **({"ensemble": "ensemble"} if self.blends else {}),
            },
            components=(MODELS.module(_ERRORS),),
            libraries=("numpy", *MODELS.load(_ERRORS).libraries),
        )

    def leaderboard(self) -> Step:
        """The step that compares the candidates, for the report."""
        return Step(
            id="leaderboard",
            kind="leaderboard",
            title="Put the candidates side by side: score, speed and size",
            params={
                "names": self.names,
                "members": self._model_options(),
                "metric": self.spec.evaluate.metric,
                "seed": self.spec.seed,
            },
            inputs={
                "prepare": "prepare",
                "split": "split",
                "table": self.table,
                "ensemble": "ensemble",
                **self._fold_inputs(),
                **self._tuned_inputs(),
            },
            components=self._all_components(),
            libraries=("onnx", "onnxruntime", "numpy"),
        )

    @property
    def names(self) -> list[str]:
        """The candidates' names."""
        return [candidate.name for candidate in self.candidates]

    def _model_options(self) -> list[dict[str, Any]]:
        return [candidate.model.options() for candidate in self.candidates]

    def _fold_inputs(self) -> dict[str, str]:
        return {
            f"member{number}.fold{fold}": f"train.{name}.fold{fold}"
            for number, name in enumerate(self.names)
            for fold in range(self.folds)
        }

    def _tuned_inputs(self) -> dict[str, str]:
        found = [self.tuning.inputs(name, f"member{number}.tune") for number, name in enumerate(self.names)]
        return {role: step for inputs in found for role, step in inputs.items()}

    def _graph_components(self, models: list[Model]) -> tuple[str, ...]:
        return (
            *sorted({MODELS.module(model.type) for model in models}),
            *(FEATURES.module(name) for name in FEATURES),
        )

    def _assemble(self) -> Step:
        models = [candidate.model for candidate in self.candidates]
        if self.spec.evaluate.interval is not None:
            models.append(MODELS.parse(_ERRORS))
        finals = {f"member{number}.final": f"train.{name}.final" for number, name in enumerate(self.names)}
        return Step(
            id="assemble",
            kind="assemble",
            title="Calibrate, set the threshold, build the one ONNX graph and prove its parity",
            params={
                "name": self.spec.name,
                "members": self._model_options(),
                "names": self.names,
                "calibrate": True,
                "threshold": self.spec.evaluate.threshold.model_dump(mode="json"),
                "monotone": True,
                **({"caps": self.caps} if self.caps else {}),
            },
            inputs={
                "prepare": "prepare",
                "split": "split",
                "table": self.table,
                **self._fold_inputs(),
                **self._tuned_inputs(),
                **finals,
                **({"ensemble": "ensemble"} if self.blends else {}),
                **({"interval": "interval"} if self.spec.evaluate.interval is not None else {}),
            },
            components=self._graph_components(models),
            libraries=("onnx", "onnxruntime", "numpy"),
        )

    @property
    def has_baseline(self) -> bool:
        """Whether the model is another one than the baseline."""
        return self.names != [BASELINE]

    def baseline(self) -> list[Step]:
        """The steps of the model that every other has to beat."""
        model = MODELS.parse(BASELINE)
        extra = {"fold": None, "refit": True, "rows": BASELINE_ROWS}
        fit = self._fit("baseline.train", model, extra, effort=0.5)
        assemble = Step(
            id="baseline.assemble",
            kind="assemble",
            title="Build the baseline's graph",
            params={
                "name": self.spec.name,
                "members": [model.options()],
                "names": [BASELINE],
                "calibrate": False,
                "threshold": {"value": 0.5, "maximize": None},
                "monotone": False,
            },
            inputs={
                "prepare": "prepare",
                "split": "split",
                "table": self.table,
                "member0.final": "baseline.train",
            },
            components=self._graph_components([model]),
            libraries=("onnx", "onnxruntime", "numpy"),
        )
        return [fit, assemble]
