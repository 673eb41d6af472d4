"""How columns differ from those that a champion was made of: gone, new, renamed, of another type."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from declarative_ml.core.errors import Problem
from declarative_ml.core.schema import ColumnRule
from declarative_ml.spec.positions import Positions
from declarative_ml.spec.problem_report import Report

_LIKE = 0.7
"""Names that are so alike (difflib's ratio) may be one column renamed."""


@dataclass(frozen=True)
class ColumnChange:
    """One column that is not what it was for the champion."""

    column: str
    change: Literal["missing", "new", "renamed", "retyped"]
    message: str


def change_problems(changes: Iterable[ColumnChange], positions: Positions) -> list[Problem]:
    """The changes as warnings at the source of the spec."""
    report = Report(positions)
    hint = "the champion cannot read what is gone or of another type; a new model learns what is there"
    return [report.warning("DML203", ("data", "source"), item.message, hint) for item in changes]


def changes_between(
    before: Mapping[str, ColumnRule], now: Mapping[str, ColumnRule], unused: Sequence[str] = ()
) -> list[ColumnChange]:
    """The changes from one set of columns to another; `unused` ones are no news."""
    gone = [name for name in before if name not in now]
    new = [name for name in now if name not in before and name not in unused]
    found = []
    for name in gone:
        heir = _heir(name, before[name], {other: now[other] for other in new})
        if heir is None:
            found.append(ColumnChange(name, "missing", f"the champion reads '{name}', which the data lacks"))
        else:
            new.remove(heir)
            message = f"the champion reads '{name}', which the data lacks: is it called '{heir}' now?"
            found.append(ColumnChange(name, "renamed", message))
    found += [ColumnChange(name, "new", f"the champion does not use '{name}'") for name in new]
    for name, rule in before.items():
        if name in now and not _fits(rule, now[name]):
            message = f"'{name}' was {_kind(rule)} for the champion and is {_kind(now[name])} now"
            found.append(ColumnChange(name, "retyped", message))
    return found


def _heir(name: str, rule: ColumnRule, others: Mapping[str, ColumnRule]) -> str | None:
    plain = {_plain(other): other for other, found in others.items() if _fits(rule, found)}
    near = difflib.get_close_matches(_plain(name), plain, n=1, cutoff=_LIKE)
    return plain[near[0]] if near else None


def _plain(name: str) -> str:
    return re.sub(r"[\W_]+", "", name).lower()


def _fits(before: ColumnRule, now: ColumnRule) -> bool:
    """Whether values of `now` are what they were: whole numbers are numbers as well."""
    numbers = ("number", "integer")
    return before.type == now.type or (before.type in numbers and now.type in numbers)


def _kind(rule: ColumnRule) -> str:
    words = {"integer": "a number", "number": "a number", "boolean": "true or false", "date": "a date"}
    return words.get(rule.type, "text")
