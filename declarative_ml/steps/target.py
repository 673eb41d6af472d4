"""What there is to learn: the target's task, found from all of its values, and its value in each row."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from declarative_ml.core.errors import DataError
from declarative_ml.core.task import Task

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

MAX_CLASSES = 1000
MAX_INTEGER_CLASSES = 20


@dataclass(frozen=True)
class Target:
    """The task of a target column, and how its values are read."""

    task: Task
    present: int
    """The rows that have a value."""
    note: str | None
    """Where a person may want it read another way."""

    def read(self, column: pa.Array) -> tuple[np.ndarray, np.ndarray]:
        """Of some rows: int64 class numbers (0 where missing) or float64 values (NaN), and which have one."""
        import numpy as np
        import pyarrow as pa

        present = _present(column)
        if not self.task.is_classification:
            values = column.cast(pa.float64()).fill_null(np.nan).to_numpy(zero_copy_only=False)
            return np.asarray(values, dtype=np.float64), present
        import pyarrow.compute as pc

        codes = pc.index_in(_texts(column), value_set=pa.array(self.task.classes, pa.string()))
        return codes.fill_null(0).to_numpy(zero_copy_only=False).astype(np.int64), present


def learn_target(column: Iterable[pa.Array], kind: pa.DataType, wanted: Mapping[str, Any]) -> Target:
    """The target whose values come in the blocks of `column`, of the Arrow type `kind`.

    Raises DataError when it cannot be learned: all missing, one class, or text as a number.
    """
    name, asked = wanted["column"], wanted["type"]
    seen = _Seen(kind, asked)
    for block in column:
        seen.update(block)
    if not seen.present:
        raise DataError(
            f"the target '{name}' is missing in every row",
            hint="is it the right column? data.missing lists what counts as missing",
        )
    found, note = (asked, None) if asked else _infer_type(seen, name)
    if found == "number":
        _require_number(seen, name)
        return Target(Task(target=name, type="number"), seen.present, note)
    classes = _ordered_positive(seen.classes(), wanted["positive"], name)
    _check_classes(name, classes, seen.present, guessed=asked is None)
    if found == "binary" and len(classes) != 2:
        raise DataError(
            f"the target '{name}' has {len(classes)} classes, so it is not binary",
            hint="leave out target.type, or say type: multiclass",
        )
    found = "binary" if len(classes) == 2 else "multiclass"
    if wanted["positive"] and found != "binary":
        raise DataError(f"target.positive needs two classes; '{name}' has {len(classes)}")
    return Target(Task(target=name, type=found, classes=classes), seen.present, note)


class _Seen:
    """The different values of a column; of numbers only as many as tell whether they are classes."""

    def __init__(self, kind: pa.DataType, asked: str | None) -> None:
        import pyarrow as pa

        self.kind = kind
        self.numeric = pa.types.is_integer(kind) or pa.types.is_floating(kind)
        self.present = 0
        self.infinite = False
        self.distinct: pa.Array | None = pa.array([], kind)
        """None: too many for classes."""
        if self.numeric and asked == "number":
            self.distinct = None
        self._most = MAX_INTEGER_CLASSES if self.numeric and asked is None else None

    def update(self, block: pa.Array) -> None:
        """Look at the next rows."""
        import pyarrow as pa
        import pyarrow.compute as pc

        self.present += int(_present(block).sum())
        if pa.types.is_floating(self.kind):
            self.infinite = self.infinite or bool(pc.any(pc.is_inf(block)).as_py())
        if self.distinct is None:
            return
        self.distinct = pc.unique(pa.concat_arrays([self.distinct, pc.unique(block.drop_null())]))
        if self._most is not None and len(self.distinct) > self._most:
            self.distinct = None

    def classes(self) -> tuple[str, ...]:
        """The class names, sorted."""
        assert self.distinct is not None  # they are kept where classes are asked for, or found to be meant
        present = {str(name) for name in _texts(self.distinct).to_pylist()} - {""}
        if len(present) > MAX_CLASSES:
            raise DataError(
                f"the target has {len(present):,} classes; at most {MAX_CLASSES:,} can be learned",
                hint="is it an id or a text column? name another target",
            )
        return tuple(sorted(present, key=float) if self.numeric else sorted(present))


def _present(column: pa.Array) -> np.ndarray:
    import numpy as np

    present: np.ndarray = ~np.asarray(column.is_null(nan_is_null=True))
    return present


def _texts(column: pa.Array) -> pa.Array:
    """The values as class names."""
    from declarative_ml.core.columns import raw_column

    return raw_column(column, "string")


def _infer_type(seen: _Seen, name: str) -> tuple[str, str | None]:
    """binary, multiclass or number, from the values; and a note where a person may want the other.

    Whole numbers are classes when there are two of them, or when they count 0, 1, 2, … or 1, 2, 3, …
    without a gap up to 20: codes look like that. Ratings such as 3..9 are numbers.
    """
    import pyarrow as pa

    if pa.types.is_temporal(seen.kind):
        raise DataError(
            f"the target '{name}' is a date", hint="predict a number or a class; shape it by data.sql"
        )
    if not seen.numeric:
        return "multiclass", None
    if seen.distinct is None:
        return "number", None
    distinct = seen.distinct.to_numpy(zero_copy_only=False)
    if len(distinct) <= 2:
        return "binary", None
    low, high, whole = distinct.min(), distinct.max(), bool((distinct == distinct.round()).all())
    if whole and low in (0, 1) and high - low + 1 == len(distinct):
        return (
            "multiclass",
            f"target '{name}' counts {low:g}..{high:g} and is read as classes (type: number otherwise)",
        )
    if whole:
        return (
            "number",
            f"target '{name}' has {len(distinct)} whole numbers, read as a number "
            "(type: multiclass otherwise)",
        )
    return "number", None


def _require_number(seen: _Seen, name: str) -> None:
    if not seen.numeric:
        raise DataError(
            f"the target '{name}' is {seen.kind}, not a number",
            hint="say target.type: multiclass, or clean the column in data.sql",
        )
    if seen.infinite:
        raise DataError(f"the target '{name}' holds infinite values", hint="drop those rows in data.sql")


def _ordered_positive(classes: tuple[str, ...], positive: str | None, name: str) -> tuple[str, ...]:
    """Put the positive class last of two."""
    if positive is None:
        return classes
    if positive not in classes:
        raise DataError(
            f"target.positive is {positive!r}, but '{name}' has the classes {', '.join(classes[:10])}"
        )
    return (classes[1], classes[0]) if len(classes) == 2 and classes[0] == positive else classes


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
