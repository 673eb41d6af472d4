"""Look at a table and write a spec for it that runs as it is, with the reasons as comments."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from declarative_ml.api.init_checks import checks_section
from declarative_ml.api.tables import is_mapping, source_of, steady
from declarative_ml.core.atomic import write_text
from declarative_ml.core.columns import hash_places, typed_batches
from declarative_ml.core.errors import DataError, UsageError
from declarative_ml.core.schema import DEFAULT_MISSING
from declarative_ml.learning.leak_search import find_leaks
from declarative_ml.learning.metric_names import default_metric
from declarative_ml.learning.statistics import ColumnProfiler
from declarative_ml.sources.base import Source
from declarative_ml.sources.inference import RuleInference
from declarative_ml.sources.remote import REMOTE_PATH
from declarative_ml.steps.profile import infer_feature, looks_like_id, require_few
from declarative_ml.steps.table import require_columns
from declarative_ml.steps.target import learn_target

if TYPE_CHECKING:
    import pyarrow as pa

    from declarative_ml.core.schema import TableSchema
    from declarative_ml.learning.statistics import ColumnProfile

SAMPLE_ROWS = 200_000
"""Leaks are looked for in at most this many rows; types always in all of them."""


@dataclass(frozen=True)
class Draft:
    """What `dml init` found and wrote."""

    path: Path
    text: str
    rows: int
    features: dict[str, str]
    excluded: dict[str, str]
    """Column -> why it must not or cannot be a feature."""
    notes: list[str] = field(default_factory=list)


def init_spec(
    data: str,
    target: str,
    output: Path,
    *,
    name: str | None = None,
    force: bool = False,
    checks: bool = False,
    progress: Callable[[str], None] = lambda message: None,
) -> Draft:
    """Write a commented spec for `data` (what `source_of` takes) with `target`, and the editor schema; with
    `checks` also a data contract that the data passes.

    Raises UsageError when `output` exists and `force` is not set, DataError when the data cannot be
    learned from.
    """
    if output.exists() and not force:
        raise UsageError(
            f"{output} exists already", hint="name another file with -o, or overwrite it with --force"
        )
    with steady(source_of(data), progress) as source:
        schema, rows, notes = _types(source, progress)
        require_columns(list(schema.columns), [target])
        require_few(len(schema.columns) - 1)
        profiles, sample = _profile(source, schema, progress)
    excluded = _excluded(profiles, target)
    progress("looking for leaks")
    looked_at = [name for name in sample.schema.names if name not in excluded]
    for leak in find_leaks(sample, target, looked_at):
        excluded |= dict.fromkeys(leak.columns, f"LEAK: {leak.reason}")
    column = sample.column(target)
    learned = learn_target(column.chunks, column.type, {"column": target, "type": None, "positive": None})
    task, target_notes = learned.task, [learned.note] if learned.note else []
    if absent := len(column) - learned.present:
        target_notes.append(f"{absent:,} rows have no '{target}'; they are left out")
    features = _chosen(profiles, target, excluded)
    facts = {
        "name": name or _name(data),
        "source": _source_text(data, output),
        "target": target,
        "task": task,
        "rows": rows,
        "metric": default_metric(task),
        "classes": task.classes,
        "checks": list(checks_section(profiles, rows, target, _scalar)) if checks else [],
    }
    text = _text(facts, features, excluded, [*notes, *target_notes])
    write_text(output, text)
    _write_schema(output)
    return Draft(output, text, rows, features, excluded, [*notes, *target_notes])


def _chosen(profiles: Sequence[ColumnProfile], target: str, excluded: Mapping[str, str]) -> dict[str, str]:
    """Column -> its feature type. Raises DataError when none is left."""
    features = {
        profile.name: options["type"]
        for profile in profiles
        if profile.name != target and profile.name not in excluded
        for options in [infer_feature(profile)[0]]
        if options is not None
    }
    if not features:
        raise DataError(
            "no column is left to learn from",
            hint="; ".join(f"{name}: {reason}" for name, reason in excluded.items())
            or "the target is the only column: add columns that may tell it",
        )
    return features


def _source_text(data: str, output: Path) -> str:
    if is_mapping(data):
        return data.strip()
    if REMOTE_PATH.match(data):
        return json.dumps(data)
    if data.startswith("sample:"):
        return f"{{type: sample, name: {data.removeprefix('sample:')}}}"
    relative = os.path.relpath(Path(data).absolute(), output.absolute().parent)
    path, kind = _scalar(Path(relative).as_posix()), source_of(data).type
    return path if kind == "file" else f"{{type: {kind}, path: {path}}}"


def _types(source: Source, progress: Callable[[str], None]) -> tuple[TableSchema, int, list[str]]:
    inference, rows = RuleInference(DEFAULT_MISSING), 0
    for batch in source.batches():
        inference.update(batch)
        rows += batch.num_rows
        progress(f"looking at the types · {rows:,} rows")
    if not rows:
        raise DataError("the data has no rows", hint="the file holds a header only, or nothing")
    return inference.schema(), rows, list(inference.notes)


def _profile(
    source: Source, schema: TableSchema, progress: Callable[[str], None]
) -> tuple[list[ColumnProfile], pa.Table]:
    import numpy as np
    import pyarrow as pa

    profilers: list[ColumnProfiler] = []
    kept: list[pa.RecordBatch] = []
    rows = 0
    for block in typed_batches(source.batches(), schema):
        if not profilers:
            profilers = [ColumnProfiler(item.name, item.type) for item in block.schema]
        hashes = hash_places(np.arange(rows, rows + block.num_rows))
        for number, profiler in enumerate(profilers):
            profiler.update(block.column(number), hashes)
        if rows < SAMPLE_ROWS:
            kept.append(block)
        rows += block.num_rows
        progress(f"profiling · {rows:,} rows")
    return [profiler.profile() for profiler in profilers], pa.Table.from_batches(kept)


def _excluded(profiles: list[ColumnProfile], target: str) -> dict[str, str]:
    found = {}
    for profile in profiles:
        if profile.name == target:
            continue
        options, reason = infer_feature(profile)
        if options is None:
            found[profile.name] = reason
        elif looks_like_id(profile):
            found[profile.name] = "looks like an id"
    return found


def _text(facts: dict[str, Any], features: dict[str, str], excluded: dict[str, str], notes: list[str]) -> str:
    task = facts["task"]
    kind = {"binary": "one of two classes", "multiclass": f"one of {len(facts['classes'])} classes"}
    lines = [
        "# yaml-language-server: $schema=.dml/spec.v1.json",
        "version: 1",
        f"name: {facts['name']}",
        "",
        "data:",
        f"  source: {facts['source']}" + f"   # {facts['rows']:,} rows",
        *facts["checks"],
        "  split: {method: random, test: 0.2}   # 20 % of the rows are kept for the final evaluation",
        "",
        f"target: {_scalar(facts['target'])}   # {task.type}: {kind.get(task.type, 'a number')}",
    ]
    if task.type == "binary":
        lines.append(f"# the probability is of {_scalar(task.classes[1])}; for the other class: ")
        lines.append(
            f"# target: {{column: {_scalar(facts['target'])}, positive: {_scalar(task.classes[0])}}}"
        )
    lines += ["", *_feature_lines(features)]
    if excluded:
        lines += ["", "exclude:", *(f"  - {_scalar(name)}   # {reason}" for name, reason in excluded.items())]
    lines += [
        "",
        "model: lightgbm   # or auto, linear, mlp, or {type: ensemble, members: [lightgbm, linear, mlp]}",
        "",
        "evaluate:",
        f"  metric: {facts['metric']}",
    ]
    sliced = next((name for name, kind_ in features.items() if kind_ in ("category", "binary")), None)
    if sliced is not None:
        lines.append(f"  # slices: [{_scalar(sliced)}]   # how good is it for each {sliced}?")
    lines += [f"\n# note: {note}" for note in notes]
    return "\n".join(lines) + "\n"


def _feature_lines(features: dict[str, str]) -> Iterator[str]:
    yield "features: auto   # chosen from the training rows; here:"
    by_type: dict[str, list[str]] = {}
    for name, kind in features.items():
        by_type.setdefault(kind, []).append(name)
    for kind, names in by_type.items():
        shown = ", ".join(names[:12]) + (f", … ({len(names)} columns)" if len(names) > 12 else "")
        yield f"#   {kind}: {' '.join(shown.splitlines())}"


def _scalar(text: str) -> str:
    """A text as a YAML scalar: bare where it is safe, quoted as JSON elsewhere."""
    if re.fullmatch(r"[A-Za-z_./][\w ./-]*[\w./]|[A-Za-z]", text) and text.lower() not in (
        "true",
        "false",
        "null",
    ):
        return text
    return json.dumps(text, ensure_ascii=False)


def _name(data: str) -> str:
    if is_mapping(data):
        named = re.search(r"\b(?:table|topic|path): *['\"]?([\w./-]+)", data)
        data = named[1].rpartition(".")[2] if named and "/" not in named[1] else "model"
    path = Path(data.removeprefix("sample:")).absolute()
    stem = path.name.partition(".")[0]
    if stem.lower() in ("data", "train", "dataset") and path.parent.name:
        stem = path.parent.name
    slug = re.sub(r"[^a-z0-9]+", "-", stem.lower()).strip("-")[:63].strip("-")
    return slug or "model"


def _write_schema(output: Path) -> None:
    from declarative_ml.spec.schema import spec_schema

    text = json.dumps(spec_schema(), indent=1, ensure_ascii=False)
    write_text(output.absolute().parent / ".dml" / "spec.v1.json", text + "\n")
