"""An igel config as a spec: data, split, preprocessing and target; the model has a module of its own."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from declarative_ml.api.import_config import (
    as_number,
    as_text,
    as_texts,
    as_truth,
    kind_of,
    mapping,
    section,
    where,
)
from declarative_ml.api.import_conversion import Conversion
from declarative_ml.api.import_igel_model import import_igel_model
from declarative_ml.api.import_report import Imported
from declarative_ml.core.errors import UsageError
from declarative_ml.core.schema import DEFAULT_MISSING
from declarative_ml.spec.positions import Node
from declarative_ml.spec.positions import Path as Keys

if TYPE_CHECKING:
    from declarative_ml.learning.statistics import ColumnProfile
    from declarative_ml.sources.base import Source

_TYPES = {"classification": "multiclass", "regression": "number"}
_SECTIONS = ("dataset", "model", "target", "input")
_SCALES = {"standard": "standard", "minmax": "minmax"}
_FORMATS = ("csv", "txt")
_READING = "the reader has no such option; prepare the file, or shape it by data.sql"


def import_igel(
    config: Path, output: Path, *, data: str | None = None, name: str | None = None, force: bool = False
) -> Imported:
    """Write a spec that does what the igel `config` does, as near as can be, and say what differs.

    Raises UsageError for a config without anything to learn or when `output` exists and `force` is not
    set, SpecError for what is not YAML, DataError when `data` lacks a column that the config names.
    """
    job = Conversion("igel", config, output, data=data, name=name, force=force)
    _Igel(job).convert()
    return job.finish()


class _Igel:
    """One conversion, section after section."""

    def __init__(self, job: Conversion) -> None:
        self.job = job
        self.config = mapping(job.root, "the config")
        self.dataset = section(self.config, "dataset")
        self.model = section(self.config, "model")

    def convert(self) -> None:
        kind = self._kind()
        self._read_options()
        self._target(_TYPES[kind])
        self.job.put(("features",), "auto")
        import_igel_model(self.job, self.model, self.config)
        for key, node in self.dataset.items():
            self._dataset(("dataset", key), key, node)
        self._columns()
        for key in self.config:
            if key not in _SECTIONS:
                self.job.left_out((key,), "unknown to igel as well")

    def _kind(self) -> str:
        """classification or regression. Raises UsageError for what has no target of ours."""
        node = self.model.get("type")
        kind = as_text(node)
        if kind not in _TYPES:
            at = where(node) if node else self.job.config
            found = f"model.type is {kind}" if kind else "the config has no model.type"
            raise UsageError(
                f"{at}: {found}, which has no counterpart",
                hint="only classification and regression have a target to learn from a table",
            )
        self.job.carried(("model", "type"), f"target.type: {_TYPES[kind]}")
        return kind

    # The target.

    def _target(self, kind: str) -> None:
        node = self.config.get("target")
        targets = as_texts(node) or []
        if node is None or not targets or not all(targets):
            at = where(node) if node else self.job.config
            held = f" but {kind_of(node)}" if node else ""
            raise UsageError(
                f"{at}: the config names no target{held}", hint="list the column to predict under target"
            )
        first, others = targets[0], list(dict.fromkeys(targets[1:]))
        others = [name for name in others if name != first]
        for name in targets:
            self.job.ask(name, node)
        self.job.put(("target",), {"column": first, "type": kind})
        if not others:
            self.job.carried(("target",), f"target: {first} ({kind})")
            return
        self.job.put(("exclude",), others)
        why = "a spec has one target: the first is taken, the others are no features; write a spec for each"
        self.job.changed(("target",), f"target: {first} ({kind})", why)

    # The data.

    def _read_options(self) -> None:
        """What the source needs to know before its columns can be read."""
        node = self.dataset.get("read_data_options")
        keys: Keys = ("dataset", "read_data_options")
        options = node.value if node is not None and node.is_mapping else {}
        chosen = self._file_options(options, keys)
        if node is not None and not node.is_mapping and as_text(node) in (None, "default"):
            self.job.carried(keys, "data.source: as it is found")
        self._input()
        self.job.open_data(**chosen)
        for key, child in options.items():
            self._read_option((*keys, key), key, child)

    def _file_options(self, options: dict[str, Node], keys: Keys) -> dict[str, Any]:
        chosen: dict[str, Any] = {}
        is_file = self.job.data is None or not self.job.data.startswith("sample:")
        for key, option in (("sep", "delimiter"), ("delimiter", "delimiter"), ("encoding", "encoding")):
            value = as_text(options.get(key))
            if value is None or not is_file:
                continue
            if option == "delimiter" and len(value) != 1:
                self.job.left_out((*keys, key), "a delimiter is one character; it is found when absent")
            else:
                chosen[option] = value
                self.job.carried((*keys, key), f"data.source.{option}: {value}")
        return chosen

    def _input(self) -> None:
        """`input`, the path of the data, as some examples have it: from the config's folder, or from here."""
        node, job = self.config.get("input"), self.job
        path = as_text(node)
        if node is None:
            return
        found = [str(at) for at in (job.config.parent / (path or "."), Path(path or ".")) if at.is_file()]
        if job.data is not None:
            job.changed(("input",), f"data.source: {job.data}", "--data was given")
        elif found:
            job.data = found[0]
            job.carried(("input",), f"data.source: {path}")
        else:
            job.left_out(("input",), "there is no such file here: give --data")

    def _read_option(self, path: Keys, key: str, node: Node) -> None:
        texts = as_texts(node)
        named = isinstance(node.value, list) and all(isinstance(item.value, str) for item in node.value)
        if key == "na_values" and texts:
            spellings = list(dict.fromkeys([*DEFAULT_MISSING, *texts]))
            self.job.carried(path, ("data", "missing"), spellings)
        elif key == "usecols" and texts and named and self.job.columns is not None:
            self._use_columns(path, node, texts)
        elif key == "usecols":
            self.job.left_out(path, "with --data, columns can be excluded that it does not name")
        elif key == "index_col" and as_number(node) is None and texts and len(texts) == 1:
            self.job.ask(texts[0], node)
            self._exclude(texts)
            why = "rows have no labels: the column is no feature"
            self.job.changed(path, f"exclude: {texts[0]}", why)
        elif key == "header" and (node.value == 0 or as_text(node) in (None, "infer")):
            self.job.carried(path, "always so: the first line has the names")
        elif key in ("thousands", "decimal", "parse_dates", "dayfirst", "infer_datetime_format", "dtype"):
            self.job.left_out(path, "types and their spelling are found in all values of a column")
        else:
            self.job.left_out(path, _READING)

    def _use_columns(self, path: Keys, node: Node, names: list[str]) -> None:
        for name in names:
            self.job.ask(name, node)
        unused = [name for name in self.job.columns or () if name not in names]
        self._exclude(unused)
        why = "all columns are read; those that are not used are no features"
        self.job.changed(path, f"exclude: the {len(unused)} other columns", why)

    def _exclude(self, names: list[str]) -> None:
        kept = self.job.spec.get("exclude", [])
        self.job.put(("exclude",), [*kept, *(name for name in names if name not in kept)])

    def _columns(self) -> None:
        """Tidy `exclude`: the target is never in it, and it is absent when empty."""
        target = self.job.spec["target"]["column"]
        names = [name for name in self.job.spec.pop("exclude", []) if name != target]
        if names:
            self.job.put(("exclude",), names)

    # The rest of `dataset`.

    def _dataset(self, path: Keys, key: str, node: Node) -> None:
        if key == "type" and (as_text(node) or "csv") in _FORMATS:
            self.job.carried(path, "data.source: its format by the file's ending")
        elif key == "type":
            why = f"{as_text(node)} files are not read: save the table as csv, jsonl or parquet"
            self.job.left_out(path, why)
        elif key == "split":
            for name, child in mapping(node, "dataset.split").items():
                self._split((*path, name), name, child)
        elif key == "preprocess":
            self._preprocess(path, mapping(node, "dataset.preprocess"))
        elif key == "random_numbers":
            self._random(path, mapping(node, "dataset.random_numbers"))
        elif key not in ("read_data_options",):
            self.job.left_out(path, "no counterpart for this option of the data")

    def _split(self, path: Keys, key: str, node: Node) -> None:
        job, value = self.job, as_text(node)
        size = as_number(node)
        if key == "test_size" and size is not None and 0 <= size < 1:
            job.put(("data", "split", "method"), "random")
            job.carried(path, ("data", "split", "test"), float(size))
        elif key == "test_size":
            job.left_out(path, "the test rows are a share of all rows; 0.2 when absent")
        elif key == "shuffle" and as_truth(node) is not False:
            job.carried(path, "data.split.method: random")
        elif key == "shuffle":
            why = "the order of rows means nothing here: rows are drawn; {method: time} takes the newest"
            job.changed(path, "data.split.method: random", why)
        elif key == "stratify" and value in (None, "None", "none"):
            job.put(("data", "split", "method"), "random")
            job.carried(path, ("data", "split", "stratify"), False)
        elif key == "stratify":
            why = "every part keeps the target's shares (igel does not stratify by what is named here)"
            job.put(("data", "split", "method"), "random")
            job.changed(path, ("data", "split", "stratify"), why, True)
        else:
            job.left_out(path, "no counterpart for this option of the split")

    def _random(self, path: Keys, options: dict[str, Node]) -> None:
        for key, node in options.items():
            seed = as_number(node)
            if key == "generate_reproducible":
                self.job.carried((*path, key), "always so: a seed drives every random choice")
            elif key == "seed" and isinstance(seed, int) and 0 <= seed < 2**31:
                self.job.carried((*path, key), ("seed",), seed)
            else:
                self.job.left_out((*path, key), "seed is a whole number from 0 on")

    # Preprocessing.

    def _preprocess(self, path: Keys, options: dict[str, Node]) -> None:
        for key, node in options.items():
            if key == "encoding":
                self._encoding((*path, key), node)
            elif key not in ("missing_values", "scale"):
                self.job.left_out((*path, key), "no counterpart for this preprocessing")
        scale = section(options, "scale")
        method = as_text(scale.get("method"))
        wanted = {
            "missing": as_text(options.get("missing_values")) if "missing_values" in options else None,
            "scale": _SCALES.get(method or ""),
        }
        self._for_numbers(path, options, scale, wanted)

    def _for_numbers(
        self, path: Keys, options: dict[str, Node], scale: dict[str, Node], wanted: dict[str, str | None]
    ) -> None:
        """Missing values and the scale, which our spec says for each number by name."""
        job, kind = self.job, _model_type(self.job)
        chosen = {"scale": wanted["scale"]} if wanted["scale"] and kind != "lightgbm" else {}
        if wanted["missing"] == "mean" and kind != "lightgbm":
            chosen["missing"] = "mean"
        numbers = number_columns(job.source, job) if chosen and job.source is not None else []
        if chosen and numbers:
            job.put(("features",), {name: {"type": "number", **chosen} for name in numbers})
            job.put(("others",), "auto")
        told = bool(numbers)
        self._missing((*path, "missing_values"), options.get("missing_values"), kind, told)
        for key, node in scale.items():
            below = (*path, "scale", key)
            if key == "target":
                job.carried(below, "always so: inputs by feature, a number target inside the models")
            elif key != "method":
                job.left_out(below, "no counterpart for this option of the scale")
            elif kind == "lightgbm":
                job.left_out(below, "trees need no scale")
            elif wanted["scale"] is None:
                job.left_out(below, f"there is no scale {as_text(node)}; numbers are scaled robustly")
            elif told:
                job.carried(below, f"features: scale {wanted['scale']} for {len(numbers)} numbers")
            else:
                why = "numbers are known with --data only: the default scale, robust, is kept"
                job.changed(below, "features: scale robust", why)

    def _missing(self, path: Keys, node: Node | None, kind: str, told: bool) -> None:
        if node is None:
            return
        job, value = self.job, as_text(node)
        if kind == "lightgbm":
            why = "trees see that a value is missing; nothing is made up"
            job.changed(path, "features: missing as it is when absent", why)
        elif value == "median" or (value == "mean" and told):
            job.carried(path, f"features: missing {value} for numbers")
        elif value == "drop":
            why = "no row is dropped for a missing feature; WHERE … IS NOT NULL in data.sql does that"
            job.changed(path, "features: missing median", why)
        else:
            why = "numbers become the median; a missing level is a level of its own"
            job.changed(path, "features: missing median", why)

    def _encoding(self, path: Keys, node: Node) -> None:
        if not node.is_mapping:
            self.job.left_out(path, "no counterpart for this preprocessing")
            return
        target = self.job.spec["target"]["column"]
        column = as_text(node.value.get("column"))
        for key, child in node.value.items():
            if column is not None and column == target:
                self.job.carried((*path, key), "target: classes are found, and keep their names")
            elif key == "type" and (as_text(child) or "").lower() == "onehotencoding":
                self.job.carried((*path, key), "features: levels of categories are encoded by the model")
            elif key in ("type", "column"):
                why = "levels have no order: the model encodes them, in every category"
                self.job.changed((*path, key), "features: category", why)
            else:
                self.job.left_out((*path, key), "no counterpart for this option of the encoding")


def _model_type(job: Conversion) -> str:
    model = job.spec["model"]
    return str(model["type"] if isinstance(model, dict) else model)


def number_columns(source: Source, job: Conversion) -> list[str]:
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
    from declarative_ml.core.columns import row_hashes, typed_batches
    from declarative_ml.learning.statistics import ColumnProfiler
    from declarative_ml.sources.inference import RuleInference

    inference = RuleInference(missing)
    for batch in source.batches():
        inference.update(batch)
    profilers: list[ColumnProfiler] = []
    for block in typed_batches(source.batches(), inference.schema()):
        profilers = profilers or [ColumnProfiler(item.name, item.type) for item in block.schema]
        hashes = row_hashes(block, 0)
        for number, profiler in enumerate(profilers):
            profiler.update(block.column(number), hashes)
    return [profiler.profile() for profiler in profilers]
