"""`build_plan(spec) -> Plan`: the whole pipeline as a graph. Pure and instant; reads no data."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from declarative_ml.core.digest import digest_json
from declarative_ml.core.duration import seconds_of
from declarative_ml.core.optional import installed
from declarative_ml.core.size import memory_bytes
from declarative_ml.features import FEATURES
from declarative_ml.formats import FORMATS
from declarative_ml.graph.plan import Plan, Step
from declarative_ml.learning.splits import AUTO_FOLDS
from declarative_ml.planner.judging import gate_steps
from declarative_ml.planner.proving import behave_step, verify_step
from declarative_ml.planner.rows import Rows
from declarative_ml.planner.texts import files_of, libraries_of, places_of, readings_of
from declarative_ml.planner.training import Training
from declarative_ml.spec.document import Spec
from declarative_ml.spec.dump import spec_options, spec_to_yaml
from declarative_ml.steps.verdict import JUDGES

_ARROW = ("pyarrow", "numpy")


def build_plan(
    spec: Spec,
    *,
    spec_digest: str | None = None,
    folder: Path | None = None,
    most_rows: Mapping[str, int] = MappingProxyType({}),
) -> Plan:
    """The Plan of `spec`, whose relative paths start at `folder`. Equal specs give equal plans.

    `most_rows`: type of model, or name of a candidate -> the rows that it may learn from, where memory has
    no room for all.
    """
    digest = spec_digest or digest_json(spec.model_dump(mode="json"))
    return Plan(
        name=spec.name,
        spec_digest=digest,
        cpu=spec.resources.cpu,
        memory=memory_of(spec),
        seconds=None if spec.resources.time is None else seconds_of(spec.resources.time),
        steps=tuple(_Builder(spec, digest, folder or Path.cwd(), most_rows).steps()),
    )


def memory_of(spec: Spec) -> int | None:
    """The memory that a run of the spec may have, in bytes."""
    return None if spec.resources.memory is None else memory_bytes(spec.resources.memory)


class _Builder:
    """Builds the steps in the order of the flow; each method adds one stretch of it."""

    def __init__(self, spec: Spec, spec_digest: str, folder: Path, most_rows: Mapping[str, int]) -> None:
        self.spec = spec
        self.most_rows = most_rows
        self.folder = folder
        self.spec_digest = spec_digest
        self.rows = Rows(spec)
        self.table = self.rows.table
        self.readings = readings_of(spec)

    def steps(self) -> list[Step]:
        steps = [*self.rows.steps(), *self._prepare()]
        training = Training(self.spec, self.table, self._folds(), self.most_rows)
        steps += training.steps()
        if training.has_baseline:
            steps += training.baseline()
        steps += self._judge(training)
        return [_with_overview(step, steps) for step in steps]

    def _folds(self) -> int:
        split = self.spec.data.split
        explicit = getattr(split, "folds", None)
        if explicit is not None:
            return int(explicit)
        automatic = hasattr(split, "folds") and getattr(split, "validation", None) is None
        return max(folds for _, folds in AUTO_FOLDS) if automatic else 1

    def _tracks(self) -> bool:
        """Whether the run is tracked: as the spec says, else where MLflow is installed."""
        track = self.spec.track
        if track.enabled is not None:
            return track.enabled
        return installed("mlflow") or track.uri is not None or track.register_as is not None

    def _prepare(self) -> list[Step]:
        spec = self.spec
        features = spec.features
        named = {} if features == "auto" else {name: item.options() for name, item in features.items()}
        tables = {"table": self.table, "split": "split"}
        shelf = tuple(FEATURES.module(name) for name in FEATURES)
        learned_with = [library for feature in FEATURES.classes() for library in feature.libraries]
        learned_with += libraries_of(self.readings)
        profile = Step(
            id="profile",
            kind="profile",
            title="Look at every column of the training rows and choose its feature type",
            params={
                "features": named,
                "others": "auto" if features == "auto" else spec.others,
                "exclude": sorted(spec.exclude),
                "weight": spec.weight,
                "reserved": self._reserved(),
                "interval": spec.evaluate.interval is not None,
            },
            inputs=tables,
            components=shelf,
            libraries=_ARROW,
        )
        prepare = Step(
            id="prepare",
            kind="prepare",
            title="Learn each feature's statistics on the training rows and encode all rows",
            params={"weight": spec.weight, "seed": spec.seed, "background": spec.explain.background},
            inputs={**tables, "profile": "profile"},
            components=shelf,
            libraries=tuple(dict.fromkeys([*_ARROW, *learned_with])),
            outside=places_of(self.readings, self.folder),
            files=tuple(files_of(self.readings, self.folder)),
            long=bool(self.readings),
        )
        return [profile, prepare]

    def _reserved(self) -> list[str]:
        split = self.spec.data.split
        columns = [self.spec.data.key]
        if split.method in ("column", "group"):
            columns.append(split.column)
        return sorted({column for column in columns if column})

    def _judge(self, training: Training) -> list[Step]:
        spec = self.spec
        judged = {"table": self.table, "split": "split", "assemble": "assemble"}
        evaluate = Step(
            id="evaluate",
            kind="evaluate",
            title="Measure the ONNX file on rows it has never seen, beside the baselines",
            params={
                "metric": spec.evaluate.metric,
                "metrics": list(spec.evaluate.metrics),
                "slices": [item if isinstance(item, str) else dict(item) for item in spec.evaluate.slices],
                "seed": spec.seed,
            },
            inputs={
                **judged,
                "prepare": "prepare",
                **({"baseline": "baseline.assemble"} if training.has_baseline else {}),
            },
            libraries=("onnxruntime", "numpy"),
        )
        steps = [evaluate]
        shown = {"evaluate": "evaluate"}
        told = training.curves() | training.tuned()
        told |= {step.id: step.id for step in self.rows.checks}
        gates = gate_steps(spec, {**judged, "prepare": "prepare", "evaluate": "evaluate"})
        steps += gates
        if spec.tests:
            steps.append(behave_step(spec, judged, self.folder, self.readings))
        self.judges = {step.id: step.id for step in steps if step.id in JUDGES}
        if spec.evaluate.segments and getattr(spec.data.split, "test", None) != 0:
            rivals = {step.id: step.id for step in gates if step.id == "champion"}
            steps.append(self._segments(judged | rivals))
            told["segments"] = "segments"
        if spec.explain.method != "none":
            steps.append(self._explain(judged))
            shown["explain"] = "explain"
        if training.blends:
            steps.append(training.leaderboard())
            told["leaderboard"] = "leaderboard"
        converted = self._convert({**judged, **self.judges})
        steps += converted
        shown |= {step.id: step.id for step in converted}
        steps += self._ship(judged, shown, told)
        if spec.track.tensorboard and spec.track.enabled is not False:
            steps.append(self._tensorboard(training))
        return steps

    def _segments(self, judged: dict[str, str]) -> Step:
        return Step(
            id="segments",
            kind="segments",
            title="Search for segments of the test rows where the model is clearly worse",
            params={"seed": self.spec.seed},
            inputs={**judged, "prepare": "prepare", "evaluate": "evaluate"},
            libraries=("onnxruntime", *_ARROW),
        )

    def _convert(self, judged: dict[str, str]) -> list[Step]:
        return [
            Step(
                id=f"convert.{wanted.name}",
                kind="convert",
                title=f"Convert to {wanted.name} and compare it with model.onnx",
                params={
                    "format": wanted.options(),
                    "name": self.spec.name,
                    "metric": self.spec.evaluate.metric if wanted.leave_out else None,
                },
                inputs={**judged, "prepare": "prepare"},
                components=(FORMATS.module(wanted.format),),
                libraries=("onnxruntime", "onnx", "numpy", *wanted.libraries),
                files=tuple(str(path) for path in wanted.reads()),
                long=True,
            )
            for wanted in self.spec.convert
        ]

    def _explain(self, judged: dict[str, str]) -> Step:
        return Step(
            id="explain",
            kind="explain",
            title=f"Explain {self.spec.explain.rows} predictions by SHAP values",
            params={"rows": self.spec.explain.rows, "seed": self.spec.seed},
            inputs={**judged, "prepare": "prepare"},
            libraries=("onnxruntime", "shap", "numpy"),
            long=True,
        )

    def _tensorboard(self, training: Training) -> Step:
        chosen = {"model", "refit", "imbalance", "seed"}
        return Step(
            id="tensorboard",
            kind="tensorboard",
            title="Write learning curves, metrics and options for TensorBoard",
            params={"options": self.spec.model_dump(mode="json", include=chosen)},
            inputs={"evaluate": "evaluate", **training.curves(), **training.tuned()},
            libraries=("tensorboardX",),
        )

    def _ship(self, judged: dict[str, str], shown: dict[str, str], told: dict[str, str]) -> list[Step]:
        spec = self.spec
        about = {
            "name": spec.name,
            "description": spec.description,
            "owner": spec.owner,
            "sql": spec.data.sql,
            "spec_digest": self.spec_digest,
        }
        package = Step(
            id="package",
            kind="package",
            title="Write the bundle",
            params={**about, "source": self.rows.words, "split": self.rows.split_options},
            inputs={
                **judged,
                **shown,
                **self.judges,
                "prepare": "prepare",
                "profile": "profile",
                **self.rows.sql_sources,
            },
            outside=places_of(self.readings, self.folder),
            libraries=("numpy",),
        )
        verify = verify_step(judged, self.folder, self.readings)
        self.judges["verify"] = verify.id
        report = Step(
            id="report",
            kind="report",
            title="Draw the report",
            params=about,
            inputs={**judged, **shown, **told, **self.judges, "profile": "profile", "package": "package"},
            libraries=("jinja2", "numpy"),
        )
        steps = [package, verify, report]
        if self._tracks():
            steps.append(self._track(about, {**judged, **shown, **told}))
        return steps

    def _track(self, about: dict[str, Any], inputs: dict[str, str]) -> Step:
        spec = self.spec
        return Step(
            id="track",
            kind="track",
            title="Log the run to MLflow",
            params={**about, "track": spec.track.model_dump(mode="json", exclude={"uri", "tensorboard"})},
            outside={
                "uri": spec.track.uri,
                "spec": spec_options(spec),
                "spec_yaml": spec_to_yaml(spec),
            },
            inputs={"package": "package", "report": "report", **inputs, **self.judges},
            effect=True,
        )


def _with_overview(step: Step, steps: list[Step]) -> Step:
    """Tell the report step what the whole plan looks like, so that it can draw it."""
    if step.kind != "report":
        return step
    overview = [
        {"id": other.id, "title": other.title, "needs": sorted(other.needs)}
        for other in steps
        if other.kind not in ("report", "tensorboard", "track")
    ]
    return step.model_copy(update={"outside": {"steps": overview}})
