"""Features that give the target away: the target itself, a recoding, or something known only afterwards."""

from __future__ import annotations

import math
from collections.abc import Sequence

from declarative_ml.learning.leaks import ALMOST_ONE, Outcome, correlation, parts
from declarative_ml.spec.cells import numbers_of
from declarative_ml.spec.doubt import ENOUGH, Doubt, Look, Used
from declarative_ml.spec.sampled_rows import Column


def leak_doubts(look: Look) -> dict[str, Doubt]:
    """Feature -> why it looks like a leak. All sampled rows have to agree, those further down as well."""
    target = look.target
    if target is None or look.task is None:
        return {}
    if len(target.values) < ENOUGH:
        return {}
    rows = [row for row, cell in enumerate(_cells(target)) if cell]
    return _by_numbers(look, target, rows) if look.task == "number" else _by_levels(look, target, rows)


def _cells(column: Column) -> list[str]:
    return [*column.cells, *column.further]


def _by_levels(look: Look, target: Column, rows: list[int]) -> dict[str, Doubt]:
    """Columns that tell the class, or one of two classes."""
    classes = _cells(target)
    first, outcome = Outcome(target.cells), Outcome([classes[row] for row in rows])
    complete = len(target.values) == len(target.cells)
    found: dict[str, Doubt] = {}
    for used in look.features:
        # The first rows acquit nearly every column, without a look at the others.
        if complete and not (first.determined_by(used.column.cells) or first.marked_by(used.column.cells)):
            continue
        cells = _cells(used.column)
        reason = _told_by([cells[row] for row in rows], outcome, target.name)
        if reason is not None:
            found[used.name] = _doubt(used, look, reason)
    return found


def _told_by(levels: Sequence[str], outcome: Outcome, target: str) -> str | None:
    """How the levels of a column tell the outcome; None when they do not."""
    if outcome.determined_by(levels):
        if levels == outcome.values:
            return f"is the target '{target}' itself"
        beside = dict(zip(levels, outcome.values, strict=True))
        level = next(level for level in levels if level)
        if len(beside) == len(set(beside.values())):
            return f"says the target '{target}' in other words: {level!r} for {beside[level]!r}"
        return f"tells the target '{target}': each of its values stands beside one class only"
    mark = outcome.marked_by(levels)
    if mark is None:
        return None
    what = "missing" if mark[0] == "" else repr(mark[0])
    return f"tells the target '{target}': it is {what} where that is {mark[1]!r}, and nowhere else"


def _by_numbers(look: Look, target: Column, rows: list[int]) -> dict[str, Doubt]:
    """Columns that are the target in another unit, determine it, or add up to it."""
    truth = _numbers(target, rows)
    if truth is None:
        return {}
    outcome, name = Outcome(truth), look.spec.target.column
    found: dict[str, Doubt] = {}
    rest: dict[str, list[float]] = {}
    for used in look.features:
        values = _numbers(used.column, rows)
        reason = None if values is None else _same_quantity(values, truth, name)
        cells = _cells(used.column)
        if reason is None and outcome.determined_by([cells[row] for row in rows]):
            reason = f"tells the target '{name}': each of its values stands beside one value only"
        if reason is not None:
            found[used.name] = _doubt(used, look, reason)
        elif values is not None and not any(map(math.isnan, values)):
            rest[used.name] = values
    return found | _adding_up(look, rest, truth)


def _numbers(column: Column, rows: list[int]) -> list[float] | None:
    """The numbers in these rows, NaN where missing; None for a column of something else."""
    cells = _cells(column)
    numbers = numbers_of(dict.fromkeys(filter(None, cells)))
    if numbers is None:
        return None
    numbers[""] = math.nan
    return [numbers[cells[row]] for row in rows]


def _same_quantity(values: list[float], truth: list[float], target: str) -> str | None:
    known, others = values, truth
    if any(map(math.isnan, values)):
        known = [value for value in values if not math.isnan(value)]
        others = [true for value, true in zip(values, truth, strict=True) if not math.isnan(value)]
    if len(known) < ENOUGH:
        return None
    if known == others:
        return f"is the target '{target}' itself"
    return f"is the target '{target}' in other numbers" if correlation(known, others) > ALMOST_ONE else None


def _adding_up(look: Look, numbers: dict[str, list[float]], truth: list[float]) -> dict[str, Doubt]:
    """The two columns whose sum or difference is the target."""
    found = parts(numbers, truth)
    if found is None:
        return {}
    first, sign, second = found
    used = next(used for used in look.features if used.name == first)
    message = (
        f"'{first}' {sign} '{second}' is the target '{look.spec.target.column}', in all of {look.sample.said}"
    )
    return {first: used.doubt("DML114", message, _way_out(used, [first, second]))}


def _doubt(used: Used, look: Look, reason: str) -> Doubt:
    message = f"'{used.name}' {reason}, in all of {look.sample.said}"
    return used.doubt("DML114", message, _way_out(used, [used.name]))


def _way_out(used: Used, names: list[str]) -> str:
    way = f"exclude: [{', '.join(names)}]"
    if used.declared is not None:
        way = "delete it here" if len(names) == 1 else "delete both here"
    return f"known only when the target is? {way}"
