"""Resolve the target, drop rows without it, and divide the rest, whatever order the rows came in.

order.npy    int64 [n]: positions in the table, ordered by the rows' hashes
part.npy     uint8 [n]: 0 train, 1 validation, 2 test
fold.npy     int8  [n]: the fold in which the row is held out, or -1
target.npy   int64 class numbers or float64 values [n]
place.npy    int64 [rows of the table]: where each row is in order.npy, or -1
group.npy    int32 [n]: the number of the group that each row belongs to, where rows are divided by groups
split.json   task, counts, fold count, notes, fingerprint of the data

Rows are brought into the order of their hashes in pieces on disk. In memory are some bytes a row: class, part
and fold; more where rows are divided by time or by groups, or the target is a number.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

from declarative_ml.core.atomic import write_json
from declarative_ml.core.errors import DataError
from declarative_ml.core.task import Task
from declarative_ml.learning.buckets import Buckets, between
from declarative_ml.learning.disk_rows import DiskRows, RowWriter
from declarative_ml.steps.context import StepContext
from declarative_ml.steps.table import blocks, column_blocks, read_column, read_schema
from declarative_ml.steps.target import Target, learn_target

if TYPE_CHECKING:
    import numpy as np

TRAIN, VALIDATION, TEST = 0, 1, 2
_PIECE_BITS = 19
_PIECE_ROWS = 1 << _PIECE_BITS
"""About so many rows are brought into order at a time."""


def run(context: StepContext) -> None:
    """Write the split artifact."""
    import numpy as np

    table, rows = context.inputs["table"], context.read("table", "info.json")["rows"]
    wanted = context.params["target"]
    with column_blocks(table, wanted["column"]) as (kind, column):
        target = learn_target(column, kind, wanted)
    task, notes = target.task, [target.note] if target.note else []
    fingerprint = _order(context, target, rows)
    context.progress(0.7, "dividing the rows")
    hashes = DiskRows(context.out / _HASHES)
    values = DiskRows(context.out / "target.npy")
    part, fold = _assign(context, hashes, values, task)
    (context.out / _HASHES).unlink()
    _check_parts(task, values, part, fold)
    if target.present < rows:
        notes.append(f"{rows - target.present:,} rows have no {task.target!r} and are left out")
    counts = {
        name: int((part == number).sum()) for number, name in enumerate(("train", "validation", "test"))
    }
    np.save(context.out / "part.npy", part)
    np.save(context.out / "fold.npy", fold)
    write_json(
        context.out / "split.json",
        {
            "task": task.model_dump(mode="json"),
            "target_rule": read_schema(table).columns[task.target].model_dump(mode="json"),
            "rows": counts,
            "folds": int(fold.max()) + 1,
            "notes": notes,
            "fingerprint": fingerprint,
        },
    )


_HASHES = ".hashes.npy"
_RECORD = ("<u8", "<i8", "u1")
"""Of a row: its hash, its position in the table, whether it has a target; then the target."""


def _order(context: StepContext, target: Target, rows: int) -> str:
    """Write order.npy, target.npy, place.npy and the hashes in order. Returns the fingerprint.

    Equal rows are told apart by counting them, so that they spread over the parts as any random split
    would spread them; rows of one key stay together.
    """
    from declarative_ml.core.row_hash import distinct_hashes

    value = "<i8" if target.task.is_classification else "<f8"
    bits = max(rows.bit_length() - _PIECE_BITS, 0)
    with ExitStack() as stack:
        found, distinct = (
            stack.enter_context(Buckets(context.out / f".{name}.rough", 1 << bits, (*_RECORD, value)))
            for name in ("found", "distinct")
        )
        for record in _records(context, target, rows):
            _spread(found, _first_bits(record[0], bits), record)
        if context.params["key"] is not None:
            return _put_in_order(context.out, found, target.present, rows)
        for piece in range(len(found)):
            hashes, *others = found.whole(piece)
            hashes = distinct_hashes(hashes)
            _spread(distinct, _first_bits(hashes, bits), [hashes, *others])
        return _put_in_order(context.out, distinct, target.present, rows)


def _records(context: StepContext, target: Target, rows: int) -> Iterator[list[np.ndarray]]:
    """Hash (of the key column where there is one, else of all cells), position, presence and target."""
    import numpy as np

    from declarative_ml.core.columns import hash_values, row_hashes

    key, seed = context.params["key"], context.params["seed"]
    for start, block in blocks(context.inputs["table"]):
        hashes = row_hashes(block, seed) if key is None else hash_values(block.column(key), seed)
        values, present = target.read(block.column(target.task.target))
        done = start + block.num_rows
        yield [hashes, np.arange(start, done), present, values]
        context.progress(0.5 * done / rows, f"{done:,} of {rows:,} rows")


def _first_bits(hashes: np.ndarray, bits: int) -> np.ndarray:
    """The piece of the order of hashes that each row belongs to."""
    import numpy as np

    return hashes >> np.uint64(64 - bits) if bits else np.zeros(len(hashes), np.uint64)


def _spread(buckets: Buckets, pieces: np.ndarray, arrays: list[np.ndarray]) -> None:
    """Put rows into the buckets of their pieces [n]."""
    import numpy as np

    order = np.argsort(pieces, kind="stable")
    cuts = np.searchsorted(pieces[order], np.arange(1, len(buckets), dtype=pieces.dtype))
    ordered = [array[order] for array in arrays]
    for piece, (start, stop) in enumerate(between(cuts, len(order))):
        if stop > start:
            buckets.add(piece, [array[start:stop] for array in ordered])


def _put_in_order(folder: Path, pieces: Buckets, present: int, rows: int) -> str:
    """Write the files, piece by piece; equal hashes keep their order of occurrence."""
    import numpy as np

    digest, done = hashlib.sha256(), 0
    with (
        RowWriter(folder / "order.npy", (present,), np.int64) as orders,
        RowWriter(folder / _HASHES, (present,), np.uint64) as ordered,
        RowWriter(folder / "target.npy", (present,), pieces.kinds[-1]) as targets,
        Buckets(folder / ".place.rough", -(-rows // _PIECE_ROWS), ("<i8", "<i8")) as places,
    ):
        for piece in range(len(pieces)):
            hashes, positions, known, values = pieces.whole(piece)
            order = np.lexsort((positions, hashes))
            digest.update(hashes[order].data)
            kept = order[known[order] == 1]
            for writer, array in ((orders, positions), (ordered, hashes), (targets, values)):
                writer.add(array[kept])
            _spread(places, positions[kept] // _PIECE_ROWS, [positions[kept], done + np.arange(len(kept))])
            done += len(kept)
        with RowWriter(folder / "place.npy", (rows,), np.int64) as written:
            for piece in range(len(places)):
                first = piece * _PIECE_ROWS
                found = np.full(min(_PIECE_ROWS, rows - first), -1)
                for positions, numbers in places.stretches(piece):
                    found[positions - first] = numbers
                written.add(found)
    return digest.hexdigest()


def _assign(
    context: StepContext, hashes: DiskRows, target: DiskRows, task: Task
) -> tuple[np.ndarray, np.ndarray]:
    """The part and fold of each ordered row, by the method of the spec."""
    import numpy as np

    from declarative_ml.learning.splits import assign

    options = context.params["split"]
    method, table = options["method"], context.inputs["table"]
    arguments: dict[str, Any] = {
        "test": options["test"] if method not in ("column", "files") else 0.0,
        "folds": options.get("folds"),
        "validation": options.get("validation") if method != "column" else 0.0,
        "stable": method == "hash",
    }

    def ordered(array: np.ndarray) -> np.ndarray:
        found: np.ndarray = array[np.load(context.out / "order.npy")]
        return found

    if method == "time":
        arguments["times"] = ordered(_times(read_column(table, options["column"]), options["column"]))
    elif method == "group":
        arguments["groups"] = ordered(_codes(table, options["column"])[0])
        np.save(context.out / "group.npy", arguments["groups"])
    elif method in ("column", "files"):
        arguments["given"] = ordered(_given(context))
        if method == "files" and options["validation"] is True:
            arguments["validation"] = None
    if method in ("random", "files"):
        wanted = options.get("stratify", True)
        if isinstance(wanted, str) and wanted != task.target:
            arguments["stratify"] = ordered(_codes(table, wanted)[0])
        elif wanted is not False:
            arguments["stratify"] = _strata(target, task)
    assigned = assign(hashes, **arguments)
    return assigned.part, assigned.fold


def _strata(target: DiskRows, task: Task) -> np.ndarray:
    """Labels whose shares every part should keep: classes, or bins of a number."""
    import numpy as np

    from declarative_ml.learning.splits import target_bins

    if not task.is_classification:
        return target_bins(target)
    found = np.empty(len(target), dtype=np.uint8 if len(task.classes) <= 256 else np.uint16)
    for start in range(0, len(target), _BLOCK_ROWS):
        stretch = slice(start, start + _BLOCK_ROWS)
        found[stretch] = target[stretch]
    return found


_BLOCK_ROWS = 1 << 16


def _given(context: StepContext) -> np.ndarray:
    """The part of every row of the table, from its files or from a column."""
    import numpy as np

    from declarative_ml.learning.splits import parts_from_column

    options, table = context.params["split"], context.inputs["table"]
    if options["method"] == "files":
        parts: np.ndarray = np.load(table / "part.npy")
        return parts
    names = {name: options[name] for name in ("train", "validation", "test")}
    codes, texts = _codes(table, options["column"])
    return parts_from_column(np.array(texts, dtype=object)[codes], **names)


def _codes(table: Path, name: str) -> tuple[np.ndarray, list[str]]:
    """The number of each row's canonical text among the sorted texts of a column, int32; missing is \"\"."""
    import numpy as np

    from declarative_ml.core.columns import raw_column

    known: dict[str, int] = {}
    found = []
    with column_blocks(table, name) as (_, column):
        for block in column:
            encoded = raw_column(block, "string").dictionary_encode()
            numbers = [known.setdefault(text, len(known)) for text in encoded.dictionary.to_pylist()]
            indices = encoded.indices.to_numpy(zero_copy_only=False)
            found.append(np.array(numbers, dtype=np.int32)[indices])
    texts = sorted(known)
    ranks = np.empty(len(texts), dtype=np.int32)
    ranks[[known[text] for text in texts]] = np.arange(len(texts))
    return np.concatenate([ranks[codes] for codes in found]), texts


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


def _check_parts(task: Task, target: DiskRows, part: np.ndarray, fold: np.ndarray) -> None:
    from declarative_ml.learning.splits import Assignment, check_classes

    fitted = int((part != TEST).sum())
    if fitted < 2:
        raise DataError(f"only {fitted} rows are left to learn from", hint="lower data.split.test")
    if task.is_classification:
        check_classes(Assignment(part, fold), target, task.classes)
