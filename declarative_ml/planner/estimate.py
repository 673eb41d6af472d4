"""What a run will take, from a bounded sample of its rows: rows, memory and seconds of every step.

The sample is what `dml validate` looks at as well: a thousand rows, and how large the file is. Widths come
from the same inference and the same feature types as in the run, so that only counts are guessed. Bytes of
memory are resident bytes of the whole run while a step is at work, as benchmarks/memory.py measures them;
seconds are of one thread of a plain processor and grow where others share it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import ceil
from typing import Any

from declarative_ml.core.errors import DataError
from declarative_ml.core.schema import ColumnRule
from declarative_ml.features import FEATURES
from declarative_ml.features.base import Feature
from declarative_ml.graph.plan import Plan, Step
from declarative_ml.spec.document import Spec
from declarative_ml.spec.portfolio import candidates
from declarative_ml.spec.sampled_rows import Sample, sample_rows

_MB = 1 << 20
_OWN = 110 * _MB
"""The process that runs the steps."""
_LIBRARIES = {"train": 200, "mlp": 420, "explain": 420, "verify": 380, "segments": 260, "track": 350}
"""MiB of a step's process before its rows; others have _OTHERS."""
_OTHERS = 190
_BLOCKS = {"acquire": 360, "split": 100, "prepare": 330, "profile": 250, "evaluate": 260, "assemble": 90}
"""MiB for blocks of rows and what is learned of them, however many there are."""
_ROW_BYTES = {"split": 7, "profile": 1, "prepare": 1, "evaluate": 1, "assemble": 8}
"""Bytes that grow with each row: its part, whether it is a test row, and what is said of held-out rows."""
_SECONDS = {"acquire": 0.28, "split": 0.1, "profile": 0.1, "prepare": 0.4, "evaluate": 0.6}
"""For a million cells: processor seconds as benchmarks/memory.py measures them, of `evaluate` with a fifth
of the rows as test rows."""
_TEXT_SECONDS, _TEXT_ROWS = 6.0, 100_000
"""What `prepare` takes to learn the terms of a column of texts, from so many rows."""
_LONGEST_SAMPLE_TEXT = 1 << 14
_FITTED = 0.8
"""The share of rows that models see, where the split does not say."""
_TREES = {"lightgbm": (1, 110), "xgboost": (12, 60), "extra_trees": (12, 100)}
"""Bytes of a row: for each value of it, and beside. Those of values as benchmarks/tree_memory.py has them."""
_ROUND = 10_000
_MOST_CLASSES = 100
"""Different targets in the sample, from which on they are taken for numbers."""
_KEPT = 0.6
"""What kept parts of `linear` take, of what their texts may hold at most."""


@dataclass(frozen=True)
class Facts:
    """What the sample says of the table."""

    rows: int
    exact: bool
    """Whether that is their number, not an estimate by the size of the file."""
    bytes: int
    """Of the source."""
    columns: int
    raw: int
    scaled: int
    codes: int
    terms: int
    """Columns of each kind that the features make."""
    statistics: int = 0
    """Columns of statistics of the target that trees see, where a model of the spec asks for them."""

    @property
    def cells(self) -> int:
        """Rows x columns."""
        return self.rows * self.columns

    @property
    def fitted(self) -> int:
        """About how many rows models learn from."""
        return int(self.rows * _FITTED)


@dataclass(frozen=True)
class Estimate:
    """What a step will take."""

    rows: int
    peak_bytes: int
    seconds: float


def look(spec: Spec) -> Facts | None:
    """What a sample of the rows says; None behind `data.sql` and where rows are not cheap to have."""
    if spec.data.sql is not None or spec.data.source is None:
        return None
    sample = sample_rows(spec.data.source, spec.data.missing)
    if sample is None or sample.total is None:
        return None
    try:
        raw, scaled, codes, terms = _widths(spec, sample)
    except (DataError, ValueError):
        return None  # the step that reads the rows says what is wrong with them
    asked = any(getattr(item.model, "categories", "native") != "native" for item in candidates(spec))
    statistics = codes * _outputs(spec, sample) if asked else 0
    size, columns = sample.size, len(sample.names)
    return Facts(sample.total, sample.counted, size, columns, raw, scaled, codes, terms, statistics)


def _outputs(spec: Spec, sample: Sample) -> int:
    """Values that a model gives a row: one, or one for each of several classes."""
    classes = set(sample.first.get(spec.target.column, ())) - {""}
    one = spec.target.type in ("binary", "number") or len(classes) < 3
    if one or (spec.target.type is None and len(classes) > _MOST_CLASSES):
        return 1
    return len(classes)


def _written(cell: str) -> str:
    """A cell short enough for an estimate. What no encoding can write is refused when the rows are read."""
    return cell[:_LONGEST_SAMPLE_TEXT].encode("utf-8", "replace").decode("utf-8")


def _widths(spec: Spec, sample: Sample) -> tuple[int, int, int, int]:
    """Columns of `raw`, `scaled` and `codes` and columns of terms that the features will make."""
    import pyarrow as pa

    from declarative_ml.core.columns import apply_rule, row_hashes
    from declarative_ml.learning.statistics import ColumnProfiler
    from declarative_ml.sources.inference import RuleInference

    texts = {name: [_written(cell) for cell in cells] for name, cells in sample.first.items()}
    batch = pa.RecordBatch.from_pydict({name: pa.array(cells, pa.string()) for name, cells in texts.items()})
    inference = RuleInference(spec.data.missing)
    inference.update(batch)
    rules = inference.schema().columns
    hashes = row_hashes(batch)
    left_out = {spec.target.column, spec.weight, spec.data.key, *spec.exclude}
    named: Mapping[str, Feature] = {} if spec.features == "auto" else spec.features
    total = [0, 0, 0, 0]
    for name, rule in rules.items():
        if name in left_out or (named and name not in named and spec.others == "drop"):
            continue
        values = apply_rule(batch.column(name), rule, spec.data.missing, strict=False)
        profiler = ColumnProfiler(name, values.type)
        profiler.update(values, hashes)
        feature = named.get(name) or _inferred(profiler)
        for place, width in enumerate(_width(feature, rule, values, hashes, sample)):
            total[place] += width
    return total[0], total[1], total[2], total[3]


def _inferred(profiler: Any) -> Feature | None:
    profile = profiler.profile()
    return next((found for kind in FEATURES.classes() if (found := kind.infer(profile)) is not None), None)


def _width(
    feature: Feature | None, rule: ColumnRule, values: Any, hashes: Any, sample: Sample
) -> tuple[int, int, int, int]:
    """The columns that one column becomes. A name of which the sample shows no copy may yet repeat."""
    from declarative_ml.core.columns import raw_column
    from declarative_ml.features.text import TREE_COMPONENTS, Text, default_components

    if feature is None:
        return (0, 0, 1, 0) if rule.type == "text" else (0, 0, 0, 0)
    if isinstance(feature, Text):
        rows = int((sample.total or 0) * _FITTED)
        components = feature.components or default_components(rows)
        return 1 + min(components, TREE_COMPONENTS), 2 + components, 0, 1
    accumulator = feature.accumulator()
    accumulator.update(raw_column(values, feature.raw_dtype), hashes)
    layout = feature.layout("", feature.fit(accumulator))
    return len(layout.raw), len(layout.scaled), len(layout.codes), 0


def tree_rows(facts: Facts, model: str, ceiling: int) -> int | None:
    """The most rows that a model of trees may learn from under a ceiling; None where all of them fit."""
    if model not in _TREES:
        return None
    free = ceiling - _OWN - (_LIBRARIES["train"] + 120) * _MB
    most = max(free // _tree_row(facts, model) // _ROUND, 1) * _ROUND
    return most if most < facts.rows else None


def student_rows(facts: Facts, ceiling: int) -> int:
    """The most rows that trees may learn from which other candidates teach: theirs are in memory besides."""
    free = ceiling - _OWN - (_LIBRARIES["train"] + 120) * _MB
    return max(free // _student_row(facts, "lightgbm"), 1_000)


def _student_row(facts: Facts, model: str) -> int:
    """Most rows come twice."""
    return 2 * (_tree_row(facts, model) + 4 * (facts.raw + facts.scaled + facts.codes))


def _tree_row(facts: Facts, model: str) -> int:
    value, beside = _TREES[model]
    columns = facts.raw + 2 * facts.codes + facts.statistics
    return value * columns + beside + 30  # its target, place and part


def estimates(plan: Plan, facts: Facts, ceiling: int | None = None) -> dict[str, Estimate]:
    """Step id -> what it will take; only steps whose work follows the rows and those with large libraries."""
    return {step.id: _estimate(step, facts, ceiling) for step in plan.steps}


def _estimate(step: Step, facts: Facts, ceiling: int | None) -> Estimate:
    if step.kind in ("train", "trial"):
        return _training(step, facts, ceiling)
    libraries = _LIBRARIES.get(step.kind, _OTHERS) + _BLOCKS.get(step.kind, 0)
    rows = facts.rows if step.kind in _ROW_BYTES or step.kind in _SECONDS else 0
    peak = _OWN + libraries * _MB + _ROW_BYTES.get(step.kind, 0) * facts.rows
    seconds = 1.5 + _SECONDS.get(step.kind, 0.0) * facts.cells / 1e6
    if step.kind == "prepare":
        seconds += _TEXT_SECONDS * facts.terms * min(1.0, facts.rows / _TEXT_ROWS)
    return Estimate(rows, peak, seconds)


def _training(step: Step, facts: Facts, ceiling: int | None) -> Estimate:
    model = step.params["model"]["type"]
    rows = min(facts.fitted, step.params.get("rows") or facts.fitted)
    beside = facts.rows  # which of them are learned from, and a few answers
    if model in _TREES:
        row = (_student_row if "teachers" in step.params else _tree_row)(facts, model)
        peak = _OWN + (_LIBRARIES["train"] + 120) * _MB + rows * row
        values = rows * (facts.raw + facts.codes + facts.statistics)
        return Estimate(rows, peak, 3 + 400 * values / 1e8)
    if model == "mlp":
        pool = min(rows * (4 * facts.scaled + 8 * facts.codes), 128 * _MB)
        values = rows * (facts.scaled + 8 * facts.codes)
        epochs = max(4, min(60, 2250 / max(rows, 1) ** 0.5))
        peak = _OWN + _LIBRARIES["mlp"] * _MB + pool + pool // 4 + beside
        return Estimate(rows, peak, 5 + epochs * values / 2e7)
    row = 8 * facts.scaled + 24 * facts.codes + 256 * facts.terms + 16
    part = min(rows * row, 128 * _MB)
    kept = rows * row
    if ceiling is not None:
        kept = min(kept, max(0, ceiling - _OWN - 400 * _MB))
    peak = _OWN + _LIBRARIES["train"] * _MB + max(2 * part, part + int(_KEPT * kept)) + beside
    return Estimate(rows, peak, 3 + 120 * rows * (facts.scaled + facts.codes + 20 * facts.terms) / 1e8)


def with_estimates(plan: Plan, found: Mapping[str, Estimate]) -> Plan:
    """The plan whose report compares what was estimated with what came of it."""
    told = {step: {"seconds": item.seconds, "peak_bytes": item.peak_bytes} for step, item in found.items()}
    steps = [
        step.model_copy(update={"outside": {**step.outside, "estimates": told}})
        if step.kind == "report"
        else step
        for step in plan.steps
    ]
    return plan.model_copy(update={"steps": tuple(steps)})


def too_little(found: Mapping[str, Estimate], ceiling: int) -> tuple[str, int] | None:
    """The step that needs most and what the run needs for it, in 64 MiB, where `ceiling` is less."""
    worst = max(found, key=lambda step: found[step].peak_bytes)
    needed = found[worst].peak_bytes
    return None if needed <= ceiling else (worst, ceil(needed / (64 * _MB)) * 64 * _MB)
