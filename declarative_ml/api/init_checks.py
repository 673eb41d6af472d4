"""A first data contract from what a table holds: checks that it passes, with room for rows to come."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Sequence
from datetime import date, timedelta
from typing import TYPE_CHECKING

from declarative_ml.steps.profile import looks_like_id

if TYPE_CHECKING:
    from declarative_ml.learning.statistics import ColumnProfile

_LEAST_REPEATS = 10
"""Rows a listed value has to stand for on average."""
_LONGEST = 40
"""Characters of a listed value."""
_SLACK = 0.1
"""Share of the range that a bound lies beyond what was seen."""


def checks_section(
    profiles: Sequence[ColumnProfile], rows: int, target: str, scalar: Callable[[str], str]
) -> Iterator[str]:
    """The lines of `checks` inside `data`, as YAML with comments; `scalar` writes a text."""
    yield "  checks:   # inferred from these rows, with some room; `dml check` holds others against them"
    seen = f"{rows:,} here; change: 0.2 compares with the last good run"
    yield f"    rows: {{min: {max(rows // 2, 1)}}}   # {seen}"
    yield "    columns:"
    for profile in profiles:
        options, reason = _column(profile, is_target=profile.name == target, scalar=scalar)
        yield f"      {scalar(profile.name)}: {{{', '.join(options)}}}" + (f"   # {reason}" if reason else "")
    yield "    others: warn   # columns that are not named here"


def _column(
    profile: ColumnProfile, *, is_target: bool, scalar: Callable[[str], str]
) -> tuple[list[str], str]:
    """The options of one column as `key: value`, and what was seen."""
    options, seen = [_missing(profile)], []
    if profile.missing:
        seen.append(f"{100 * profile.missing / profile.rows:.2g} % are missing")
    if looks_like_id(profile):
        return ["unique: true", *options], "; ".join(seen)
    if profile.dtype in ("date", "timestamp"):
        if profile.min is not None and profile.max is not None:
            options.insert(0, f"min: {_day(profile.min)}")
            seen.insert(
                0, f"{_day(profile.min)} to {_day(profile.max)}; freshness: 7d would ask for new ones"
            )
    elif profile.dtype == "bool":
        options.insert(0, "type: boolean")
    elif profile.dtype != "string":
        if profile.min is not None and profile.max is not None:
            low, high = _bounds(profile.min, profile.max, integral=profile.integral)
            options.insert(0, f"min: {low}, max: {high}")
            seen.insert(0, f"{profile.min:g} to {profile.max:g}")
    elif values := _values(profile, is_target=is_target):
        options.insert(0, f"values: [{', '.join(map(scalar, values))}]")
    return options, "; ".join(seen)


def _missing(profile: ColumnProfile) -> str:
    share = profile.missing / profile.rows
    allowed = math.ceil(100 * min(1.0, 1.5 * share)) / 100 if share else 0
    return f"missing: {allowed:g}"


def _values(profile: ColumnProfile, *, is_target: bool) -> list[str]:
    """All texts of the column, if these are likely to be all that there are: a text that comes once says that
    there are others (Good, Biometrika 1953)."""
    listed = [text for text, _ in profile.top]
    whole = profile.distinct_exact and len(listed) == profile.distinct
    few = profile.present >= _LEAST_REPEATS * profile.distinct and all(count > 1 for _, count in profile.top)
    short = all(len(text) <= _LONGEST for text in listed)
    return sorted(listed) if whole and short and (few or is_target) else []


def _bounds(low: float, high: float, *, integral: bool) -> tuple[str, str]:
    """Bounds a little beyond the range, in few digits; what is never negative stays so."""
    slack = _SLACK * (high - low) or max(abs(low) * _SLACK, 1.0)
    digits = -math.floor(math.log10(slack))
    if integral:
        digits = min(digits, 0)
    step = 10.0**-digits
    wide = math.floor((low - slack) / step) * step, math.ceil((high + slack) / step) * step
    least = max(wide[0], 0.0) if low >= 0 else wide[0]
    most = min(wide[1], 0.0) if high <= 0 else wide[1]
    return _number(least, digits), _number(most, digits)


def _number(value: float, digits: int) -> str:
    rounded = round(value, max(digits, 0))
    is_plain = float(rounded).is_integer() and abs(rounded) < 1e15
    return json.dumps(int(rounded) if is_plain else rounded)


def _day(days: float) -> str:
    return (date(1970, 1, 1) + timedelta(days=math.floor(days))).isoformat()
