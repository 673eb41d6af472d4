"""`build_plan(spec) -> Plan`: the whole pipeline as a graph. Pure and instant; reads no data."""

from __future__ import annotations

from typing import Any

from declarative_ml.core.component import Component
from declarative_ml.core.digest import digest_json
from declarative_ml.core.optional import installed
from declarative_ml.features import FEATURES
from declarative_ml.graph.plan import Plan, Step
from declarative_ml.models import MODELS
from declarative_ml.models.base import Model
from declarative_ml.sources import SOURCES
from declarative_ml.sources.base import Source
from declarative_ml.spec.document import Ensemble, FilesSplit, Spec
from declarative_ml.spec.dump import spec_options, spec_to_yaml

AUTO_FOLDS = 5
BASELINE = "linear"
_ARROW = ("pyarrow", "numpy")


def build_plan(spec: Spec, *, spec_digest: str | None = None) -> Plan:
    """The Plan of `spec`. Equal specs give equal plans."""
    digest = spec_digest or digest_json(spec.model_dump(mode="json"))
    return Plan(
        name=spec.name,
        spec_digest=digest,
        steps=tuple(_Builder(spec, digest).steps()),
    )


class _Builder:
    """Builds the steps in the order of the flow; each method adds one stretch of it."""

    def __init__(self, spec: Spec, spec_digest: str) -> None:
        self.spec = spec
        self.spec_digest = spec_digest
        self.members = _named(spec.members)

    def steps(self) -> list[Step]:
        folds = self._folds()
        steps = [*self._data(), *self._prepare()]
        for name, model in self.members.items():
            steps += self._train(name, model, folds)
        steps.append(self._assemble("assemble", list(self.members), folds))
        if self._has_baseline():
            steps += self._baseline()
        steps += self._judge()
        return [_with_overview(step, steps) for step in steps]

    def _folds(self) -> int:
        split = self.spec.data.split
        explicit = getattr(split, "folds", None)
        if explicit is not None:
            return int(explicit)
        automatic = hasattr(split, "folds") and getattr(split, "validation", None) is None
        return AUTO_FOLDS if automatic else 1

    def _tracks(self) -> bool:
        """Whether the run is tracked: as the spec says, else where MLflow is installed."""
        track = self.spec.track
        if track.enabled is not None:
            return track.enabled
        return installed("mlflow") or track.uri is not None or track.register_as is not None

    def _sql_sources(self) -> dict[str, str]:
        """The tables that data.sql reads: the bundle must know how their text is typed."""
        if self.spec.data.sql is None:
            return {}
        tables = [name for name in self._sources() if not self._is_part(name)]
        return {f"source.{table}": f"acquire.{table}" for table in tables}

    def _sources(self) -> dict[str, Source]:
        data = self.spec.data
        named = {"source": data.source} if data.source is not None else dict(data.sources)
        if isinstance(data.split, FilesSplit):
            named["test"] = data.split.test
            if isinstance(data.split.validation, Source):
                named["validation"] = data.split.validation
        return named

    def _data(self) -> list[Step]:
        data = self.spec.data
        sources = self._sources()
        tables = [name for name in sources if not self._is_part(name)]
        steps = []
        for table in tables:
            parts = {table: sources[table]}
            if len(tables) == 1:
                parts |= {name: sources[name] for name in sources if self._is_part(name)}
            steps.append(self._acquire(table, parts))
        if data.sql is not None:
            steps.append(
                Step(
                    id="sql",
                    kind="sql",
                    title="Shape the table by the SQL of the spec",
                    params={"sql": data.sql, "missing": list(data.missing)},
                    inputs={table: f"acquire.{table}" for table in tables},
                    libraries=("duckdb", *_ARROW),
                )
            )
        table_step = "sql" if data.sql is not None else f"acquire.{tables[0]}"
        self.table = table_step
        steps.append(
            Step(
                id="split",
                kind="split",
                title="Divide the rows into train, validation and test",
                params={
                    "split": _split_options(data.split),
                    "target": self.spec.target.model_dump(mode="json"),
                    "key": data.key,
                    "seed": self.spec.seed,
                },
                inputs={"table": table_step},
                libraries=_ARROW,
            )
        )
        return steps

    def _is_part(self, name: str) -> bool:
        return isinstance(self.spec.data.split, FilesSplit) and name in ("test", "validation")

    def _acquire(self, table: str, parts: dict[str, Source]) -> Step:
        files = [str(path) for source in parts.values() for path in source.files()]
        return Step(
            id=f"acquire.{table}",
            kind="acquire",
            title=f"Read {' and '.join(map(_describe, parts.values()))} and infer column types",
            params={
                "missing": list(self.spec.data.missing),
                "parts": {
                    name: {"type": source.type, "files": len(source.files()), **source.options_for_key()}
                    for name, source in parts.items()
                },
            },
            outside={"sources": {name: source.options() for name, source in parts.items()}},
            components=tuple(sorted({SOURCES.module(source.type) for source in parts.values()})),
            libraries=_ARROW,
            files=tuple(files),
        )

    def _prepare(self) -> list[Step]:
        spec = self.spec
        features = spec.features
        named = {} if features == "auto" else {name: item.options() for name, item in features.items()}
        tables = {"table": self.table, "split": "split"}
        shelf = tuple(FEATURES.module(name) for name in FEATURES)
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
            libraries=_ARROW,
        )
        return [profile, prepare]

    def _reserved(self) -> list[str]:
        split = self.spec.data.split
        columns = [self.spec.data.key]
        if split.method in ("column", "group"):
            columns.append(split.column)
        return sorted({column for column in columns if column})

    def _train(self, name: str, model: Model, folds: int) -> list[Step]:
        steps = [self._fit(f"train.{name}.fold{fold}", model, {"fold": fold}) for fold in range(folds)]
        steps.append(
            self._fit(
                f"train.{name}.final",
                model,
                {"fold": None, "refit": self.spec.refit},
                {f"fold{fold}": f"train.{name}.fold{fold}" for fold in range(folds)},
            )
        )
        return steps

    def _fit(
        self, step_id: str, model: Model, extra: dict[str, Any], inputs: dict[str, str] | None = None
    ) -> Step:
        fold = extra["fold"]
        if fold is not None:
            title = f"Fit {model.type} with fold {fold} held out"
        elif inputs:
            title = f"Fit {model.type} on all training and validation rows"
        else:
            title = f"Fit {model.type} as a baseline"
        return Step(
            id=step_id,
            kind="train",
            title=title,
            params={
                "model": model.options(),
                "seed": self.spec.seed,
                "imbalance": self.spec.imbalance,
                **extra,
            },
            inputs={"prepare": "prepare", "split": "split", **(inputs or {})},
            components=(MODELS.module(model.type),),
            libraries=("numpy", *model.libraries),
            long=True,
        )

    def _assemble(self, step_id: str, members: list[str], folds: int) -> Step:
        spec = self.spec
        baseline = step_id.startswith("baseline")
        inputs = {"prepare": "prepare", "split": "split"}
        for number, name in enumerate(members):
            prefix = "baseline" if baseline else f"train.{name}"
            inputs[f"member{number}.final"] = f"{prefix}.final" if not baseline else "baseline.train"
            for fold in range(folds):
                inputs[f"member{number}.fold{fold}"] = f"{prefix}.fold{fold}"
        models = [MODELS.parse(BASELINE)] if baseline else list(self.members.values())
        weights = spec.model.weights if isinstance(spec.model, Ensemble) else "equal"
        return Step(
            id=step_id,
            kind="assemble",
            title="Build the baseline's graph"
            if baseline
            else "Calibrate, set the threshold, build the one ONNX graph and prove its parity",
            params={
                "name": spec.name,
                "members": [model.options() for model in models],
                "names": members,
                "weights": weights,
                "calibrate": not baseline,
                "threshold": {"value": 0.5, "maximize": None}
                if baseline
                else spec.evaluate.threshold.model_dump(mode="json"),
            },
            inputs={**inputs, "table": self.table},
            components=(
                *sorted({MODELS.module(model.type) for model in models}),
                *(FEATURES.module(name) for name in FEATURES),
            ),
            libraries=("onnx", "onnxruntime", "numpy"),
        )

    def _has_baseline(self) -> bool:
        return list(self.members) != [BASELINE]

    def _baseline(self) -> list[Step]:
        model = MODELS.parse(BASELINE)
        fit = self._fit("baseline.train", model, {"fold": None, "refit": True})
        return [fit, self._assemble("baseline.assemble", [BASELINE], 0)]

    def _judge(self) -> list[Step]:
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
            inputs={**judged, **({"baseline": "baseline.assemble"} if self._has_baseline() else {})},
            libraries=("onnxruntime", "numpy"),
        )
        steps = [evaluate]
        shown = {"evaluate": "evaluate"}
        if spec.explain.method != "none":
            steps.append(self._explain(judged))
            shown["explain"] = "explain"
        steps += self._ship(judged, shown)
        return steps

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

    def _ship(self, judged: dict[str, str], shown: dict[str, str]) -> list[Step]:
        spec = self.spec
        about = {
            "name": spec.name,
            "description": spec.description,
            "owner": spec.owner,
            "sql": spec.data.sql,
            "spec_digest": self.spec_digest,
        }
        curves = {
            f"curve.{step}": step
            for name in self.members
            for step in [
                *(f"train.{name}.fold{fold}" for fold in range(self._folds())),
                f"train.{name}.final",
            ]
        }
        package = Step(
            id="package",
            kind="package",
            title="Write the bundle",
            params=about,
            inputs={**judged, **shown, "prepare": "prepare", **self._sql_sources()},
            libraries=("numpy",),
        )
        report = Step(
            id="report",
            kind="report",
            title="Draw the report",
            params=about,
            inputs={**judged, **shown, **curves, "profile": "profile", "package": "package"},
            libraries=("jinja2", "numpy"),
        )
        steps = [package, report]
        if self._tracks():
            steps.append(
                Step(
                    id="track",
                    kind="track",
                    title="Log the run to MLflow",
                    params={**about, "track": spec.track.model_dump(mode="json", exclude={"uri"})},
                    outside={
                        "uri": spec.track.uri,
                        "spec": spec_options(spec),
                        "spec_yaml": spec_to_yaml(spec),
                    },
                    inputs={"package": "package", "report": "report", **judged, **shown, **curves},
                    effect=True,
                )
            )
        return steps


def _with_overview(step: Step, steps: list[Step]) -> Step:
    """Tell the report step what the whole plan looks like, so that it can draw it."""
    if step.kind != "report":
        return step
    overview = [
        {"id": other.id, "title": other.title, "needs": sorted(set(other.inputs.values()))}
        for other in steps
        if other.kind not in ("report", "track")
    ]
    return step.model_copy(update={"outside": {"steps": overview}})


def _named(members: tuple[Any, ...]) -> dict[str, Model]:
    """Unique names: the model's type, numbered from the second of a kind on."""
    named: dict[str, Model] = {}
    for model in members:
        name, number = model.type, 1
        while name in named:
            number += 1
            name = f"{model.type}{number}"
        named[name] = model
    return named


def _split_options(split: Any) -> dict[str, Any]:
    """The split's options without its sources: their rows arrive as parts of the table."""
    options: dict[str, Any] = split.model_dump(mode="json")
    if isinstance(split, FilesSplit):
        options["test"] = True
        if isinstance(split.validation, Component):
            options["validation"] = True
    return options


def _describe(source: Source) -> str:
    files = source.files()
    if not files:
        return f"{source.type} {getattr(source, 'name', '')}".strip()
    return files[0].name if len(files) == 1 else f"{len(files)} files like {files[0].name}"
