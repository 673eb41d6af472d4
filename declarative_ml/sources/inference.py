"""Type inference: the rule of each column, from ALL its values, and notes on what a person should know.

Every text value is held against every hypothesis (integer, number, number with groups of thousands or
a unit, boolean, each date pattern); a column takes the first one that all its present values fit, and
is text otherwise. Counts only add up, so the rules do not depend on how rows are cut into batches.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from declarative_ml.core.arrow_types import plain_array, plain_type
from declarative_ml.core.columns import trimmed_texts
from declarative_ml.core.errors import DataError
from declarative_ml.core.grammar import ISO_DATE, TIME
from declarative_ml.core.schema import BLOCK_ROWS, DEFAULT_MISSING, ColumnRule, TableSchema
from declarative_ml.sources.hypotheses import (
    DATES,
    GROUPED,
    Counts,
    Sample,
    TextTally,
    is_day_first,
    swapped,
)

if TYPE_CHECKING:
    import pyarrow as pa

MIXED_SHARE = 0.9
"""From this share of fitting values on, a column that stays text gets a note with those that do not fit."""
_BUFFER_BYTES = 32 << 20

Decision = tuple[ColumnRule, list[str]]


class RuleInference:
    """Gathers a table's columns batch by batch; `schema()` and `notes` then say how they are read."""

    def __init__(self, missing: Iterable[str] = DEFAULT_MISSING) -> None:
        self._missing = tuple(missing)
        self._columns: dict[str, _Column] = {}
        self._rows = 0
        self._waiting: list[pa.RecordBatch] = []
        self._waiting_rows = self._waiting_bytes = 0

    def update(self, batch: pa.RecordBatch) -> None:
        """Take the next rows into account. Raises DataError when a column has changed its Arrow type."""
        if self._waiting and not self._waiting[0].schema.equals(batch.schema):
            self._flush()
        self._waiting.append(batch)
        self._waiting_rows += batch.num_rows
        self._waiting_bytes += batch.nbytes
        if self._waiting_rows >= BLOCK_ROWS or self._waiting_bytes >= _BUFFER_BYTES:
            self._flush()

    def merge(self, other: RuleInference) -> None:
        """Take in the rows that `other` saw; they count as the rows after those seen here."""
        self._flush()
        other._flush()
        for name, column in other._columns.items():
            self._columns.setdefault(name, _Column(name)).merge(column, self._rows)
        self._rows += other._rows

    @property
    def rows(self) -> int:
        """How many rows were seen."""
        return self._rows + self._waiting_rows

    def schema(self) -> TableSchema:
        """The rule of every column, in the order in which the columns appeared."""
        self._flush()
        columns = {name: column.decide()[0] for name, column in self._columns.items()}
        return TableSchema(missing=self._missing, columns=columns)

    @property
    def notes(self) -> list[str]:
        """Decisions that a person should know, one sentence each: "column: what was decided and why"."""
        self._flush()
        return [f"{name}: {note}" for name, column in self._columns.items() for note in column.decide()[1]]

    def _flush(self) -> None:
        """Look at the rows that wait: few big blocks cost much less than many small ones."""
        import pyarrow as pa

        if not self._waiting:
            return
        batch = self._waiting[0] if len(self._waiting) == 1 else pa.concat_batches(self._waiting)
        self._waiting, self._waiting_rows, self._waiting_bytes = [], 0, 0
        for name, array in zip(batch.schema.names, batch.columns, strict=True):
            self._columns.setdefault(name, _Column(name)).update(array, self._missing, self._rows)
        self._rows += batch.num_rows


class _Column:
    """What is known of one column."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._native: pa.DataType | None = None
        self._text = TextTally()
        self._infinite = 0

    def update(self, array: pa.Array, missing: Iterable[str], first_row: int) -> None:
        import pyarrow as pa
        import pyarrow.compute as pc

        array = plain_array(array)
        if pa.types.is_string(array.type):
            if self._native is not None and array.null_count < len(array):
                raise self._changed(array.type)
            self._text.update(trimmed_texts(array, missing), first_row)
            return
        if self._text.present or self._native not in (None, array.type):
            raise self._changed(array.type)
        self._native = array.type
        if pa.types.is_floating(array.type):
            self._infinite += pc.sum(pc.is_inf(array)).as_py() or 0

    def merge(self, other: _Column, first_row: int) -> None:
        if self._native is not None and other._native not in (None, self._native):
            raise self._changed(other._native)
        self._native = self._native or other._native
        self._text.merge(other._text, first_row)
        self._infinite += other._infinite

    def decide(self) -> Decision:
        if self._native is None:
            return decide(self._text)
        notes = [f"{self._infinite} infinite value(s) are read as missing"] if self._infinite else []
        return rule_of_type(self._native), notes

    def _changed(self, kind: pa.DataType) -> DataError:
        before = "text" if self._native is None else str(self._native)
        return DataError(
            f"column {self._name!r} changes its type from {before} to {kind}",
            hint="write the files with the same type of column",
        )


def rule_of_type(kind: pa.DataType) -> ColumnRule:
    """The rule of a column that already has an Arrow type. Raises DataError for nested and binary types."""
    import pyarrow as pa

    kind = plain_type(kind)
    if pa.types.is_string(kind):
        return ColumnRule(type="text")
    if pa.types.is_integer(kind):
        return ColumnRule(type="integer")
    if pa.types.is_floating(kind):
        return ColumnRule(type="number")
    if pa.types.is_boolean(kind):
        return ColumnRule(type="boolean")
    return ColumnRule(type="date", formats=(ISO_DATE,), has_time=pa.types.is_timestamp(kind))


def decide(tally: TextTally) -> Decision:
    """The rule of a column of text, and the notes about it."""
    if not tally.present:
        return ColumnRule(type="text"), ["every value is missing"]
    fits = tally.counts.fits
    for name in ("integer", "number", "boolean"):
        if fits[name] == tally.present:
            return ColumnRule.model_validate({"type": name}), []
    return _as_date(tally) or _as_number(tally) or (ColumnRule(type="text"), _why_text(tally))


def _as_date(tally: TextTally) -> Decision | None:
    fitting = [pattern for pattern in DATES if tally.counts.fits[pattern] == tally.present]
    if not fitting:
        return None
    pattern = fitting[0]
    has_time = pattern in tally.with_time
    formats = (pattern + TIME, pattern) if has_time else (pattern,)
    rule = ColumnRule(type="date", formats=formats, has_time=has_time)
    return rule, _notes_on_order(tally, pattern, fitting) + _notes_on_zones(tally)


def _notes_on_zones(tally: TextTally) -> list[str]:
    zoned, ahead, present = tally.zoned.fits["zone"], tally.zoned.fits["ahead"], tally.present
    if not zoned or (zoned == present and not ahead):
        return []
    others = "" if zoned == present else ", and those without one are taken for UTC"
    return [f"{zoned:,} of {present:,} values name a time zone: all moments are brought to UTC{others}"]


def _notes_on_order(tally: TextTally, pattern: str, fitting: list[str]) -> list[str]:
    other = swapped(pattern)
    if other == pattern or not (other in DATES or pattern == "%d.%m.%Y"):
        return []
    if other in fitting:
        return [
            f"dates are read month first ({pattern}), but every value could also be day first; "
            "write them as YYYY-MM-DD to be sure"
        ]
    if is_day_first(pattern):
        share = f"{tally.only_day_first[pattern]:,} of {tally.present:,}"
        return [f"dates are read day first ({pattern}): {share} values can only be day first"]
    return []


def _as_number(tally: TextTally) -> Decision | None:
    """Numbers with groups of thousands, a decimal comma, a prefix or a unit."""
    found = _grouping(tally.counts, tally.present)
    if found is not None:
        return ColumnRule(type="number", thousands=found[0], decimal=found[1]), found[2]
    for (prefix, suffix), counts in tally.units.items():
        if counts.fits["number"] == tally.present:
            found = (None, ".", [])
        else:
            found = _grouping(counts, tally.present)
        if found is not None:
            rule = ColumnRule(
                type="number", thousands=found[0], decimal=found[1], prefix=prefix, suffix=suffix
            )
            unit = " and ".join(repr(text) for text in (prefix, suffix) if text)
            return rule, [f"numbers with {unit}, which is taken off", *found[2]]
    return None


def _grouping(counts: Counts, present: int) -> tuple[str | None, str, list[str]] | None:
    fitting = [group + mark for group, mark in GROUPED if counts.fits[group + mark] == present]
    if not fitting:
        return None
    group, mark = fitting[0][0], fitting[0][1]
    note = f"numbers with {group!r} between thousands and {mark!r} before decimals"
    if {",.", ".,"} <= set(fitting):
        note += "; every value could also have a decimal comma"
    return group, mark, [note]


def _why_text(tally: TextTally) -> list[str]:
    fits, present = tally.counts.fits, tally.present
    if fits["digits"] == present:
        what = "leading zeros or more than 18 digits: they look like codes, not quantities"
        return [f"kept as text: values such as {_shown(tally.counts.misfits['number'])} have {what}"]
    best, counts = _best(tally)
    share = counts.fits[best] / present
    if share < MIXED_SHARE:
        return []
    words = {"boolean": "true or false", **dict.fromkeys(DATES, f"dates ({best})")}
    what = words.get(best, "numbers")
    wrong = present - counts.fits[best]
    shown = _shown(counts.misfits[best])
    return [
        f"kept as text: {wrong:,} of {present:,} values are not {what} ({shown}); "
        "if they mean missing, name them in data.missing"
    ]


def _best(tally: TextTally) -> tuple[str, Counts]:
    """The hypothesis that most values fit; the simpler one where two are equal."""
    names = ("number", "boolean", *DATES, *(group + mark for group, mark in GROUPED))
    candidates = [(name, tally.counts) for name in names]
    candidates += [(name, counts) for counts in tally.units.values() for name in ("number", ",.", ".,")]
    return max(candidates, key=lambda candidate: candidate[1].fits[candidate[0]])


def _shown(samples: list[Sample]) -> str:
    return ", ".join(f"row {row}: {text[:40]!r}" for row, text in samples)
