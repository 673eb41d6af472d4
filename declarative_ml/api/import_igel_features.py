"""igel's preprocessing as options of features: missing values, scale, encoding."""

from __future__ import annotations

from typing import TYPE_CHECKING

from declarative_ml.api.import_config import as_text, section
from declarative_ml.api.import_conversion import NO_DROP, Conversion
from declarative_ml.core.schema import DEFAULT_MISSING
from declarative_ml.spec.positions import Node
from declarative_ml.spec.positions import Path as Keys

if TYPE_CHECKING:
    from declarative_ml.learning.statistics import ColumnProfile
    from declarative_ml.sources.base import Source

_SCALES = ("standard", "minmax")
_SCALED_INPUTS = ("inputs", "all")
_UNKNOWN = "without --data nobody knows which columns are numbers: they get the default"


def import_preprocessing(job: Conversion, path: Keys, options: dict[str, Node]) -> None:
    """Set the options of numbers, by name where the data tells which columns are numbers.

    The model must be set: trees need no scale, and see that a value is missing.
    """
    scale = section(options, "scale")
    numbers = _Numbers(job, scale, as_text(options.get("missing_values")))
    for key, node in options.items():
        if key == "missing_values":
            numbers.missing((*path, key), as_text(node))
        elif key == "scale":
            for name in scale:
                numbers.scale((*path, key, name), name)
        elif key == "encoding" and node.is_mapping:
            _encoding(job, (*path, key), node.value)
        else:
            job.left_out((*path, key), "no counterpart for this preprocessing")


class _Numbers:
    """The options of all numbers. Without data nobody knows which columns they are for."""

    def __init__(self, job: Conversion, scale: dict[str, Node], missing: str | None) -> None:
        self.job, self.method = job, as_text(scale.get("method"))
        self.scales_inputs = as_text(scale.get("target")) in _SCALED_INPUTS
        self.trees = job.spec["model"]["type"] == "lightgbm"
        self.named = 0
        """How many columns the options are given to."""
        wanted: dict[str, str] = {}
        if self.method in _SCALES and self.scales_inputs:
            wanted["scale"] = self.method
        if missing == "mean":
            wanted["missing"] = "mean"
        if wanted and not self.trees and job.source is not None:
            self._name(wanted, _number_columns(job, job.source))

    def _name(self, options: dict[str, str], numbers: list[str]) -> None:
        self.named = len(numbers)
        if numbers:
            self.job.put(("features",), {name: {"type": "number", **options} for name in numbers})
            self.job.put(("others",), "auto")

    def missing(self, path: Keys, value: str | None) -> None:
        """The verdict on `missing_values`."""
        if self.trees:
            why = "trees see that a value is missing; nothing is made up"
            self.job.changed(path, "features: missing as it is when absent", why)
        elif value == "median" or (value == "mean" and self.named):
            self.job.carried(path, f"features: missing {value} for numbers")
        elif value == "mean":
            self.job.changed(path, "features: missing median", _UNKNOWN)
        elif value == "drop":
            self.job.changed(path, "features: missing median", NO_DROP)
        else:
            why = "numbers become the median; a missing level is a level of its own"
            self.job.changed(path, "features: missing median", why)

    def scale(self, path: Keys, key: str) -> None:
        """The verdict on one key of `scale`."""
        if key == "target":
            self.job.carried(path, "always so: inputs by feature, a number target inside the models")
        elif key != "method":
            self.job.left_out(path, "no counterpart for this option of the scale")
        elif self.trees:
            self.job.left_out(path, "trees need no scale")
        elif not self.scales_inputs:
            self.job.left_out(path, "igel scales no inputs unless scale.target is inputs or all")
        elif self.method not in _SCALES:
            self.job.left_out(path, "there is no such scale; numbers are scaled robustly")
        elif self.named:
            self.job.carried(path, f"features: scale {self.method} for {self.named} numbers")
        else:
            self.job.changed(path, "features: scale robust", _UNKNOWN)


def _encoding(job: Conversion, path: Keys, options: dict[str, Node]) -> None:
    column = as_text(options.get("column"))
    for key, node in options.items():
        if column is not None and column == job.spec["target"]["column"]:
            job.carried((*path, key), "target: classes are found, and keep their names")
        elif key == "type" and (as_text(node) or "").lower() == "onehotencoding":
            job.carried((*path, key), "features: levels of categories are encoded by the model")
        elif key in ("type", "column"):
            why = "levels have no order: the model encodes them, in every category"
            job.changed((*path, key), "features: category", why)
        else:
            job.left_out((*path, key), "no counterpart for this option of the encoding")


def _number_columns(job: Conversion, source: Source) -> list[str]:
    """The columns that `features: auto` would take as numbers. Reads all rows.

    The spec names them only to give them options: what auto leaves out stays left out.
    """
    from declarative_ml.steps.profile import infer_feature

    spec = job.spec
    away = {spec["target"]["column"], *spec.get("exclude", ())}
    found = []
    for profile in _profiles(source, tuple(spec["data"].get("missing", DEFAULT_MISSING))):
        options, _ = infer_feature(profile)
        if options is not None and options["type"] == "number" and profile.name not in away:
            found.append(profile.name)
    return found


def _profiles(source: Source, missing: tuple[str, ...]) -> list[ColumnProfile]:
    import numpy as np

    from declarative_ml.core.columns import hash_places, typed_batches
    from declarative_ml.learning.statistics import ColumnProfiler
    from declarative_ml.sources.inference import RuleInference

    inference = RuleInference(missing)
    for batch in source.batches():
        inference.update(batch)
    profilers: list[ColumnProfiler] = []
    rows = 0
    for block in typed_batches(source.batches(), inference.schema()):
        profilers = profilers or [ColumnProfiler(item.name, item.type) for item in block.schema]
        hashes = hash_places(np.arange(rows, rows + block.num_rows))
        rows += block.num_rows
        for number, profiler in enumerate(profilers):
            profiler.update(block.column(number), hashes)
    return [profiler.profile() for profiler in profilers]
