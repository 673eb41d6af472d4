"""Columns that divide the rows, and spellings of missing, beside the cells that they are about."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from declarative_ml.spec.cells import canonical, described, rule_of
from declarative_ml.spec.document import ColumnSplit, GroupSplit, TimeSplit
from declarative_ml.spec.doubt import ENOUGH, Doubt, Look, at, short
from declarative_ml.spec.sampled_rows import Column

_COLUMN = ("data", "split", "column")
_SHOWN = 4


def split_doubts(look: Look) -> Iterator[Doubt]:
    """What speaks against `data.split`, `data.key` and `data.missing`."""
    split, target = look.spec.data.split, look.spec.target.column
    column = look.sample.column(getattr(split, "column", ""))
    if column is not None and column.name != target:  # that is an error of its own
        if isinstance(split, ColumnSplit):
            yield from _parts(look, split, column)
        elif isinstance(split, TimeSplit):
            yield from _times(look, column)
        elif isinstance(split, GroupSplit):
            yield from _groups(look, column)
    key = look.sample.column(look.spec.data.key or "")
    if key is not None and key.name != target:
        yield from _key(look, key)
    yield from _names_for_spellings(look)


def _parts(look: Look, split: ColumnSplit, column: Column) -> Iterator[Doubt]:
    """Cells that name none of the parts; a part that no row names."""
    marks = {split.train, split.validation, split.test}
    if len(marks) < 3:
        return
    rule = rule_of(column.distinct)
    cells = column.raw if rule.type == "text" else [canonical(cell, rule) for cell in column.cells]
    said = (
        "'train', 'validation' and 'test'"
        if marks == {"train", "validation", "test"}
        else "those of data.split"
    )
    for row, (cell, trimmed) in enumerate(zip(cells, column.cells, strict=True), 1):
        if trimmed and cell in marks:
            continue
        what = f"is missing in row {row:,}" if not trimmed else f"holds {short(cell)} (row {row:,})"
        message = f"'{column.name}' says the part of a row, and it {what}; the parts are {said}"
        others = ", ".join(map(short, list(column.distinct)[:_SHOWN]))
        hint = (
            f"say which value is which: split: {{method: column, column: {column.name}, train: …, test: …}}"
        )
        yield Doubt("DML115", _COLUMN, message, f"{hint}; it holds {others}" if others else hint)
        return
    if look.sample.whole and split.test not in cells:
        hint = f"mark some rows {split.test!r}, or the report will show validation numbers only"
        yield Doubt("DML115", _COLUMN, f"'{column.name}' marks none of {look.sample.said} as test rows", hint)


def _times(look: Look, column: Column) -> Iterator[Doubt]:
    """A column that does not order all rows."""
    if "" in column.cells:
        row = column.cells.index("") + 1
        hint = "drop rows without a time in data.sql, or split at random"
        yield Doubt(
            "DML115", _COLUMN, f"'{column.name}' orders the rows, and it is missing in row {row:,}", hint
        )
    if not column.distinct:
        return
    if rule_of(column.distinct).type not in ("date", "integer", "number"):
        yield _no_times(column)
    elif len(column.values) >= ENOUGH and len({*column.distinct, *column.further} - {""}) == 1:
        only = next(iter(column.distinct))
        message = f"'{column.name}' orders the rows, and it is {short(only)} in each of {look.sample.said}"
        yield Doubt("DML115", _COLUMN, message, "split by another column, or at random")


def _no_times(column: Column) -> Doubt:
    """Texts, or dates of which some are written in another way."""
    texts = list(column.distinct)
    odd = texts[0]
    if rule_of(texts[:1]).type in ("date", "integer", "number"):
        kinds = ("date", "integer", "number")
        odd = next((each for each in texts if rule_of([texts[0], each]).type not in kinds), texts[0])
    message = f"'{column.name}' orders the rows, and it holds {described([odd])} such as {at(column, odd)}"
    if odd != texts[0]:
        message += f" beside {at(column, texts[0])}"
    return Doubt(
        "DML115", _COLUMN, message, "all cells must be dates of one kind, or numbers: mend them in data.sql"
    )


def _groups(look: Look, column: Column) -> Iterator[Doubt]:
    """Groups that cannot be divided, or that hold nothing together."""
    if look.sample.rows < ENOUGH:
        return
    distinct = {*column.cells, *column.further}
    if len(distinct) == 1:
        only = next(iter(distinct))
        what = f"is {short(only)}" if only else "is missing"
        message = f"'{column.name}' names the group, and it {what} in each of {look.sample.said}"
        hint = "one group cannot be divided: name another column, or split at random"
        yield Doubt("DML115", _COLUMN, message, hint)
    elif look.sample.whole and len(column.distinct) == look.sample.rows:
        message = f"'{column.name}' names the group, and it is different in each of {look.sample.said}"
        yield Doubt("DML115", _COLUMN, message, "groups of one row hold nothing together: split at random")


def _key(look: Look, column: Column) -> Iterator[Doubt]:
    """Keys that do not tell rows apart."""
    absent = column.cells.count("")
    if absent:
        message = f"'{column.name}' is the key, and it is missing in {absent:,} of {look.sample.said}"
        hint = "rows without a key all go to the same part: give them one, or delete 'key'"
        yield Doubt("DML115", ("data", "key"), message, hint)
    double, number = next(iter(Counter(column.values).most_common(1)), ("", 0))
    if number < 2:
        return
    message = f"'{column.name}' is the key, and {short(double)} stands in {number:,} of {look.sample.said}"
    hint = "rows of one key go to the same part; is another column, or split: {method: group}, meant?"
    if len(set(column.values)) == 1:
        hint = "all rows would go to one part: name a column that tells rows apart"
    yield Doubt("DML115", ("data", "key"), message, hint)


def _names_for_spellings(look: Look) -> Iterator[Doubt]:
    """Names of columns under `data.missing`, which lists spellings."""
    for number, name in enumerate(look.spec.data.missing):
        column = look.sample.column(name)
        if column is None or any(name in map(str.strip, each) for each in look.sample.first.values()):
            continue
        message = (
            f"'{name}' in data.missing is a column, and no cell of {look.sample.said} is written like that"
        )
        hint = "data.missing lists how a missing cell is written, such as 'n.d.'; delete it"
        yield Doubt("DML116", ("data", "missing", number), message, hint)
