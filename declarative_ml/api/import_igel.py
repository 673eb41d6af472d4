"""An igel config as a spec: target and split. Data, features and model have modules of their own."""

from __future__ import annotations

from pathlib import Path

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
from declarative_ml.api.import_conversion import KEPT_SHARES, Conversion
from declarative_ml.api.import_igel_data import exclude, import_reading, open_data
from declarative_ml.api.import_igel_features import import_preprocessing
from declarative_ml.api.import_igel_model import import_model
from declarative_ml.api.import_report import Imported, short
from declarative_ml.core.errors import UsageError
from declarative_ml.spec.positions import Node
from declarative_ml.spec.positions import Path as Keys

_TYPES = {"classification": "multiclass", "regression": "number"}
_SECTIONS = ("dataset", "model", "target", "input")
_FORMATS = ("csv", "txt")
_NONE = (None, "None", "none")


def import_igel(
    config: Path, output: Path, *, data: str | None = None, name: str | None = None, force: bool = False
) -> Imported:
    """Write a spec that does what the igel `config` does, as near as can be, and say what differs.

    Raises UsageError for a config without anything to learn or when `output` exists and `force` is not
    set, SpecError for what is not YAML, DataError when `data` lacks a column that the config names.
    """
    job = Conversion("igel", config, output, data=data, name=name, force=force)
    root = mapping(job.root, "the config")
    dataset, model = section(root, "dataset"), section(root, "model")
    kind = _kind(job, model)
    open_data(job, root, dataset)
    _target(job, root, _TYPES[kind])
    import_reading(job, dataset)
    job.put(("features",), "auto")
    import_model(job, model, root)
    for key, node in dataset.items():
        _dataset(job, ("dataset", key), key, node)
    for key in root:
        if key not in _SECTIONS:
            job.left_out((key,), "unknown to igel as well")
    return job.finish()


def _kind(job: Conversion, model: dict[str, Node]) -> str:
    """classification or regression. Raises UsageError for what has no target of ours."""
    node = model.get("type")
    kind = as_text(node)
    if kind not in _TYPES:
        at = where(node) if node else job.config
        found = (
            f"model.type is {short(kind)}, which has no counterpart"
            if kind
            else "the config has no model.type"
        )
        raise UsageError(
            f"{at}: {found}",
            hint="it must be classification or regression: they learn a target from a table",
        )
    job.carried(("model", "type"), f"target.type: {_TYPES[kind]}")
    return kind


def _target(job: Conversion, config: dict[str, Node], kind: str) -> None:
    node = config.get("target")
    targets = as_texts(node) or []
    if node is None or not targets or not all(targets):
        at = where(node) if node else job.config
        held = f" but {kind_of(node)}" if node else ""
        raise UsageError(
            f"{at}: the config names no target{held}", hint="list the column to predict under target"
        )
    first, *others = dict.fromkeys(targets)
    for name in (first, *others):
        job.ask(name, node)
    job.put(("target",), {"column": first, "type": kind})
    if not others:
        job.carried(("target",), f"target: {first} ({kind})")
        return
    exclude(job, others)
    why = "a spec has one target: the first is taken, the others are no features; write a spec for each"
    job.changed(("target",), f"target: {first} ({kind})", why)


# The section `dataset`, but for how the file is read.


def _dataset(job: Conversion, path: Keys, key: str, node: Node) -> None:
    if key == "type" and (as_text(node) or "csv") in _FORMATS:
        job.carried(path, "data.source: its format by the file's ending")
    elif key == "type":
        job.left_out(path, f"{as_text(node)} files are not read: save the table as csv, jsonl or parquet")
    elif key == "split":
        for name, child in mapping(node, "dataset.split").items():
            _split(job, (*path, name), name, child)
    elif key == "preprocess":
        import_preprocessing(job, path, mapping(node, "dataset.preprocess"))
    elif key == "random_numbers":
        _random(job, path, mapping(node, "dataset.random_numbers"))
    elif key != "read_data_options":
        job.left_out(path, "no counterpart for this option of the data")


def _split(job: Conversion, path: Keys, key: str, node: Node) -> None:
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
    elif key == "stratify":
        _stratify(job, path, as_text(node))
    else:
        job.left_out(path, "no counterpart for this option of the split")


def _stratify(job: Conversion, path: Keys, value: str | None) -> None:
    """igel draws without looking at the target for `None` and for `default`."""
    if value in _NONE:
        job.put(("data", "split", "method"), "random")
        job.carried(path, ("data", "split", "stratify"), False)
    elif value == job.spec["target"]["column"]:
        job.carried(path, "always so: every part keeps the target's shares")
    else:
        job.changed(path, "data.split: random", KEPT_SHARES)


def _random(job: Conversion, path: Keys, options: dict[str, Node]) -> None:
    for key, node in options.items():
        seed = as_number(node)
        if key == "generate_reproducible" and as_truth(node) is False:
            job.changed((*path, key), "seed", "every run can be repeated: a seed drives every random choice")
        elif key == "generate_reproducible":
            job.carried((*path, key), "always so: a seed drives every random choice")
        elif key == "seed" and isinstance(seed, int) and 0 <= seed < 2**31:
            job.carried((*path, key), ("seed",), seed)
        else:
            job.left_out((*path, key), "seed is a whole number from 0 on")
