"""Resolve the target, drop rows without it, and divide the rest, whatever order the rows came in.

order.npy    int64 [n]: positions in the table, ordered by the rows' hashes
part.npy     uint8 [n]: 0 train, 1 validation, 2 test
fold.npy     int8  [n]: the fold in which the row is held out, or -1
target.npy   int64 class numbers or float64 values [n]
split.json   task, counts, fold count, notes, fingerprint of the data
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

from declarative_ml.core.atomic import write_json
from declarative_ml.core.errors import DataError
from declarative_ml.core.task import Task
from declarative_ml.steps.context import StepContext
from declarative_ml.steps.table import blocks, read_column, read_schema

if TYPE_CHECKING:
    import numpy as np

TRAIN, VALIDATION, TEST = 0, 1, 2


def run(context: StepContext) -> None:
    """Write the split artifact."""
    import numpy as np

    from declarative_ml.learning.splits import order_by_hash

    table = context.inputs["table"]
    wanted = context.params["target"]
    column = read_column(table, wanted["column"])
    task, target, present, notes = resolve_target(column, wanted)
    hashes = _hashes(context)
    context.progress(0.5, "dividing the rows")
    kept = np.flatnonzero(present)
    order = kept[order_by_hash(hashes[kept])]
    part, fold = _assign(context, order, hashes[order], target[order], task)
    _check_parts(task, target[order], part, fold)
    if len(kept) < len(present):
        notes.append(f"{len(present) - len(kept):,} rows have no {task.target!r} and are left out")
    counts = {
        name: int((part == number).sum()) for number, name in enumerate(("train", "validation", "test"))
    }
    np.save(context.out / "order.npy", order)
    np.save(context.out / "part.npy", part)
    np.save(context.out / "fold.npy", fold)
    np.save(context.out / "target.npy", target[order])
    write_json(
        context.out / "split.json",
        {
            "task": task.model_dump(mode="json"),
            "target_rule": read_schema(table).columns[task.target].model_dump(mode="json"),
            "rows": counts,
            "folds": int(fold.max()) + 1,
            "notes": notes,
            "fingerprint": hashlib.sha256(np.sort(hashes).tobytes()).hexdigest(),
        },
    )


def resolve_target(column: Any, wanted: dict[str, Any]) -> tuple[Task, np.ndarray, np.ndarray, list[str]]:
    """The task, the target of every row (class number or value), where it is present, and notes.

    Raises DataError when the target cannot be learned: all missing, one class, or text as a number.
    """
    import numpy as np

    name, kind = wanted["column"], wanted["type"]
    present = ~np.asarray(column.is_null(nan_is_null=True))
    if not present.any():
        raise DataError(
            f"the target '{name}' is missing in every row",
            hint="is it the right column? data.missing lists what counts as missing",
        )
    kind, note = (kind, None) if kind else _infer_type(column, name)
    if kind == "number":
        return Task(target=name, type="number"), _numbers(column, name), present, [note] if note else []
    codes, classes = _classes(column)
    classes, codes = _ordered_positive(classes, codes, wanted["positive"], name)
    _check_classes(name, classes, int(present.sum()), guessed=wanted["type"] is None)
    if kind == "binary" and len(classes) != 2:
        raise DataError(
            f"the target '{name}' has {len(classes)} classes, so it is not binary",
            hint="leave out target.type, or say type: multiclass",
        )
    kind = "binary" if len(classes) == 2 else "multiclass"
    if wanted["positive"] and kind != "binary":
        raise DataError(f"target.positive needs two classes; '{name}' has {len(classes)}")
    return Task(target=name, type=kind, classes=classes), codes, present, [note] if note else []


def _check_classes(name: str, classes: tuple[str, ...], rows: int, *, guessed: bool) -> None:
    if len(classes) < 2:
        raise DataError(
            f"the target '{name}' has one class only: {classes[0]!r}",
            hint="a model needs rows of at least two classes; check the filter or the column",
        )
    if guessed and len(classes) > max(2, rows // 2):
        raise DataError(
            f"the target '{name}' has {len(classes):,} classes in {rows:,} rows, too few rows of each",
            hint="is it an id, or a number of which some values do not read as one? correct those values, "
            "or add their spelling to data.missing",
        )


MAX_CLASSES = 1000
MAX_INTEGER_CLASSES = 20


def _infer_type(column: Any, name: str) -> tuple[str, str | None]:
    """binary, multiclass or number, from the values; and a note where a person may want the other.

    Whole numbers are classes when there are two of them, or when they count 0, 1, 2, … or 1, 2, 3, …
    without a gap up to 20: codes look like that. Ratings such as 3..9 are numbers.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    kind = column.type
    if pa.types.is_temporal(kind):
        raise DataError(
            f"the target '{name}' is a date", hint="predict a number or a class; shape it by data.sql"
        )
    if not pa.types.is_integer(kind) and not pa.types.is_floating(kind):
        return "multiclass", None
    distinct = pc.unique(column.drop_null()).to_numpy(zero_copy_only=False)
    if len(distinct) <= 2:
        return "binary", None
    low, high, whole = distinct.min(), distinct.max(), bool((distinct == distinct.round()).all())
    counting = whole and low in (0, 1) and high - low + 1 == len(distinct)
    if counting and len(distinct) <= MAX_INTEGER_CLASSES:
        return (
            "multiclass",
            f"target '{name}' counts {low:g}..{high:g} and is read as classes (type: number otherwise)",
        )
    if whole and len(distinct) <= MAX_INTEGER_CLASSES:
        return (
            "number",
            f"target '{name}' has {len(distinct)} whole numbers, read as a number "
            "(type: multiclass otherwise)",
        )
    return "number", None


def _numbers(column: Any, name: str) -> np.ndarray:
    import numpy as np
    import pyarrow as pa

    if not (pa.types.is_integer(column.type) or pa.types.is_floating(column.type)):
        raise DataError(
            f"the target '{name}' is {column.type}, not a number",
            hint="say target.type: multiclass, or clean the column in data.sql",
        )
    values = column.cast(pa.float64()).fill_null(np.nan).to_numpy()
    if np.isinf(values).any():
        raise DataError(f"the target '{name}' holds infinite values", hint="drop those rows in data.sql")
    return np.asarray(values, dtype=np.float64)


def _classes(column: Any) -> tuple[np.ndarray, tuple[str, ...]]:
    """Class numbers of every row (0 for missing rows) and the sorted class names."""
    import numpy as np
    import pyarrow as pa

    from declarative_ml.core.columns import raw_column

    text = raw_column(column.combine_chunks(), "string")
    encoded = (
        text.dictionary_encode() if isinstance(text, pa.Array) else text.combine_chunks().dictionary_encode()
    )
    names = [str(name) for name in encoded.dictionary.to_pylist()]
    codes = encoded.indices.to_numpy(zero_copy_only=False)
    present = [name for name in names if name != ""]
    numeric = pa.types.is_integer(column.type) or pa.types.is_floating(column.type)
    ordered = sorted(present, key=float) if numeric else sorted(present)
    if len(ordered) > MAX_CLASSES:
        raise DataError(
            f"the target has {len(ordered):,} classes; at most {MAX_CLASSES:,} can be learned",
            hint="is it an id or a text column? name another target",
        )
    place = {name: number for number, name in enumerate(ordered)}
    table = np.array([place.get(name, 0) for name in names], dtype=np.int64)
    return table[codes], tuple(ordered)


def _ordered_positive(
    classes: tuple[str, ...], codes: np.ndarray, positive: str | None, name: str
) -> tuple[tuple[str, ...], np.ndarray]:
    """Put the positive class last of two."""
    if positive is None:
        return classes, codes
    if positive not in classes:
        raise DataError(
            f"target.positive is {positive!r}, but '{name}' has the classes {', '.join(classes[:10])}"
        )
    if len(classes) == 2 and classes[0] == positive:
        return (classes[1], classes[0]), 1 - codes
    return classes, codes


def _hashes(context: StepContext) -> np.ndarray:
    """One hash a row: of its key column where there is one, else of all its cells.

    Equal rows are told apart by counting them, so that they spread over the parts as any random split
    would spread them; rows of one key stay together.
    """
    import numpy as np

    from declarative_ml.core.columns import hash_values, row_hashes
    from declarative_ml.core.row_hash import distinct_hashes

    key, seed = context.params["key"], context.params["seed"]
    found = []
    for _, block in blocks(context.inputs["table"]):
        found.append(row_hashes(block, seed) if key is None else hash_values(block.column(key), seed))
    hashes = np.concatenate(found)
    return hashes if key is not None else distinct_hashes(hashes)


def _assign(
    context: StepContext, order: np.ndarray, hashes: np.ndarray, target: np.ndarray, task: Task
) -> tuple[np.ndarray, np.ndarray]:
    """The part and fold of each ordered row, by the method of the spec."""
    from declarative_ml.learning.splits import assign

    options = context.params["split"]
    method, table = options["method"], context.inputs["table"]
    arguments: dict[str, Any] = {
        "test": options["test"] if method not in ("column", "files") else 0.0,
        "folds": options.get("folds"),
        "validation": options.get("validation") if method != "column" else 0.0,
        "stable": method == "hash",
    }
    if method == "time":
        arguments["times"] = _times(read_column(table, options["column"]), options["column"])[order]
    elif method == "group":
        arguments["groups"] = _texts(read_column(table, options["column"]))[order]
    elif method in ("column", "files"):
        arguments["given"] = _given(context)[order]
        if method == "files" and options["validation"] is True:
            arguments["validation"] = None
    if method in ("random", "files"):
        arguments["stratify"] = _strata(context, options, target, task, order)
    assigned = assign(hashes, **arguments)
    return assigned.part, assigned.fold


def _strata(
    context: StepContext, options: dict[str, Any], target: np.ndarray, task: Task, order: np.ndarray
) -> np.ndarray | None:
    """Labels whose shares every part should keep: the target's, a column's, or none."""
    from declarative_ml.learning.splits import target_bins

    wanted = options.get("stratify", True)
    if wanted is False:
        return None
    if isinstance(wanted, str) and wanted != task.target:
        labels: np.ndarray = _texts(read_column(context.inputs["table"], wanted))[order]
        return labels
    return target if task.is_classification else target_bins(target)


def _given(context: StepContext) -> np.ndarray:
    """The part of every row of the table, from its files or from a column."""
    import numpy as np

    from declarative_ml.learning.splits import parts_from_column

    options, table = context.params["split"], context.inputs["table"]
    if options["method"] == "files":
        parts: np.ndarray = np.load(table / "part.npy")
        return parts
    names = {name: options[name] for name in ("train", "validation", "test")}
    return parts_from_column(_texts(read_column(table, options["column"])), **names)


def _texts(column: Any) -> np.ndarray:
    """A column as canonical text (objects); missing is \"\"."""
    import numpy as np

    from declarative_ml.core.columns import raw_column

    return np.asarray(raw_column(column.combine_chunks(), "string").to_pylist(), dtype=object)


def _times(column: Any, name: str) -> np.ndarray:
    import numpy as np
    import pyarrow as pa

    if not (
        pa.types.is_temporal(column.type)
        or pa.types.is_integer(column.type)
        or pa.types.is_floating(column.type)
    ):
        raise DataError(f"data.split.column '{name}' is {column.type}, not a date or number")
    if column.null_count:
        raise DataError(f"data.split.column '{name}' is missing in {column.null_count:,} rows")
    if pa.types.is_temporal(column.type):
        column = column.cast(pa.timestamp("us")).cast(pa.int64())
    return np.asarray(column.to_numpy())


def _check_parts(task: Task, target: np.ndarray, part: np.ndarray, fold: np.ndarray) -> None:
    from declarative_ml.learning.splits import Assignment, check_classes

    fitted = target[part != TEST]
    if len(fitted) < 2:
        raise DataError(f"only {len(fitted)} rows are left to learn from", hint="lower data.split.test")
    if task.is_classification:
        check_classes(Assignment(part, fold), target, task.classes)
