"""Whether one model may be asked what another one was asked."""

from __future__ import annotations

from declarative_ml.store.bundle import Input, Manifest


def why_not(first: Manifest, other: Manifest) -> str | None:
    """Why `other` cannot take the requests of `first`, or answer them in the same form; None: it can."""
    ours, theirs = _columns(first), _columns(other)
    if absent := [name for name in ours if name not in theirs]:
        return f"it does not take the column {absent[0]!r}"
    if more := [name for name in theirs if name not in ours]:
        return f"it takes one more column: {more[0]!r}"
    for name, column in ours.items():
        if told := _difference(column, theirs[name]):
            return f"it reads the column {name!r} otherwise: {told}"
    if first.missing != other.missing:
        return "other spellings count as missing"
    if first.task.type != other.task.type:
        return f"its target is {other.task.type}, not {first.task.type}"
    if first.task.classes != other.task.classes:
        return f"its classes are {', '.join(other.task.classes)}, not {', '.join(first.task.classes)}"
    if (first.interval is None) != (other.interval is None):
        return "one of the two answers with intervals, the other without"
    return None


def _columns(manifest: Manifest) -> dict[str, Input]:
    return {column.name: column for column in manifest.inputs}


def _difference(ours: Input, theirs: Input) -> str | None:
    if ours.dtype != theirs.dtype:
        return f"as {theirs.dtype}, not {ours.dtype}"
    if ours.reading != theirs.reading:
        return "the text pipeline is another"
    left, right = ours.rule.model_dump(), theirs.rule.model_dump()
    for name, value in left.items():
        if right[name] != value:
            return f"{name} is {right[name]!r}, not {value!r}"
    return None
