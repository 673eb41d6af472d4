"""Features whose cells speak against their type, or tell a model nothing: ids, counters and constants."""

from __future__ import annotations

import re
from collections.abc import Iterable
from itertools import pairwise

from declarative_ml.core.schema import ColumnRule
from declarative_ml.learning.words import is_prose, wording
from declarative_ml.spec.cells import canonical, described, is_iso_date, is_number, numbers_of, rule_of
from declarative_ml.spec.doubt import ENOUGH, Doubt, Look, Used, at, short
from declarative_ml.spec.sampled_rows import Column

_NUMBERS = frozenset({"integer", "number"})
_FEW = 0.5
"""A smaller share of strange cells is called the exception."""
_LOST = 0.1
"""A smaller share of cells that are no dates is what `missing` is for."""
_YEARS = range(1700, 2200)
_MOMENTS = 100_000_000
"""Whole numbers of this size that keep their distance are seconds since 1970."""
_ID_NAME = re.compile(r"(?i:(?:^|[\W_])(?:id|uuid|guid))$|[a-z](?:ID|Id|UUID|Uuid|GUID)$")
_UUID = re.compile(r"[0-9a-f]{8}-?(?:[0-9a-f]{4}-?){3}[0-9a-f]{12}", re.IGNORECASE)
_MAIL = re.compile(r"[^@\s]+@[^@\s]+\.[^@\s]+")


def type_doubt(used: Used, look: Look) -> Doubt | None:
    """Cells that the declared type cannot take."""
    check = {"number": _as_number, "date": _as_date, "binary": _as_binary}.get(used.declared or "")
    return check(used, look) if check is not None and used.column.values else None


def _as_number(used: Used, look: Look) -> Doubt | None:
    column = used.column
    if numbers_of(column.distinct) is not None:
        return None
    rule = rule_of(column.distinct)
    if rule.type in ("integer", "number", "boolean"):
        return None
    if rule.type == "date":
        return _wrong_type(used, column.distinct, "write date: it becomes year, month, weekday and age")
    strange = [text for text in column.distinct if not is_number(text)]
    if not strange:
        return None
    words = [text for text in strange if not any(map(str.isdigit, text))]
    others = [text for text in column.distinct if text not in set(words)]
    if words and _share(words, column) < _FEW and rule_of(others).type in _NUMBERS:
        return _exceptions(used, look, words)
    if not words and (mixed := _mixed_numbers(used)) is not None:
        return mixed
    if _share(strange, column) < _FEW:
        return _exceptions(used, look, strange)
    return _wrong_type(used, strange, "write category, or take the number out of the text in data.sql")


def _mixed_numbers(used: Used) -> Doubt | None:
    """Every cell is a number by itself, but they are not written in one way."""
    column = used.column
    first, *others = column.distinct
    if not all(rule_of([text]).type in _NUMBERS for text in column.distinct):
        return None
    other = next((text for text in others if rule_of([first, text]).type not in _NUMBERS), None)
    if other is None:
        return None
    message = (
        f"'{column.name}' is declared a number, and its cells are written in different ways: "
        f"{at(column, first)}, {at(column, other)}"
    )
    return used.doubt("DML113", message, "write all numbers in one way, or bring them to one in data.sql")


def _as_date(used: Used, look: Look) -> Doubt | None:
    """A cell of a column that is no date as a whole is missing unless it is an ISO date."""
    column = used.column
    rule = rule_of(column.distinct)
    if rule.type == "date":
        return None
    lost = [text for text in column.distinct if not is_iso_date(text)]
    if _share(lost, column) < _LOST:
        return None
    words = [text for text in lost if not any(map(str.isdigit, text))]
    others = [text for text in column.distinct if text not in set(words)]
    if words and _share(words, column) < _FEW and rule_of(others).type == "date":
        return _exceptions(used, look, words, "so the column is text, and its other cells count as missing")
    return _wrong_type(used, lost, _date_hint(lost), "which count as missing")


def _date_hint(lost: list[str]) -> str:
    if all(re.fullmatch(r"(?:19|20)[0-9]{6}", text) for text in lost):
        return "write dates as YYYY-MM-DD, or read them in data.sql: strptime(…, '%Y%m%d')"
    if all(re.fullmatch(r"[0-9]{10}", text) for text in lost):
        return "seconds since 1970? make moments of them in data.sql: to_timestamp(…)"
    if rule_of(lost).type in _NUMBERS:
        return "write number"
    if rule_of(lost[:1]).type == "date":
        return "write all dates in one way, best as YYYY-MM-DD"
    return "write category, or make dates of them in data.sql: strptime(…)"


def _as_binary(used: Used, look: Look) -> Doubt | None:
    column = used.column
    rule = rule_of(column.distinct)
    cells = zip(column.raw if rule.type == "text" else column.cells, column.cells, strict=True)
    levels = list(dict.fromkeys(canonical(raw, rule) for raw, cell in cells if cell))
    if len(levels) <= 2:
        return None
    shown = ", ".join(map(short, levels[:4])) + (", …" if len(levels) > 4 else "")
    message = f"'{column.name}' is declared binary, and it holds {shown}"
    if len({level.strip().lower() for level in levels}) <= 2:
        return used.doubt("DML113", message, "spell each value in one way: lower(trim(…)) in data.sql")
    return used.doubt("DML113", message, f"write {_fitting(rule)}")


def _fitting(rule: ColumnRule) -> str:
    if rule.type in _NUMBERS:
        return "number"
    return "date" if rule.type == "date" else "category"


def _wrong_type(used: Used, texts: Iterable[str], hint: str, more: str = "") -> Doubt:
    column, first = used.column, next(iter(texts))
    message = (
        f"'{column.name}' is declared a {used.declared}, and its cells are {described(texts)} "
        f"such as {at(column, first)}"
    )
    return used.doubt("DML113", f"{message}, {more}" if more else message, hint)


def _exceptions(used: Used, look: Look, texts: list[str], so: str = "") -> Doubt:
    """A few cells that keep a column from being what it is declared to be."""
    column, known = used.column, set(texts)
    number = sum(cell in known for cell in column.values)
    hold = "holds none:" if number == 1 else "hold none, such as"
    message = f"'{column.name}' is declared a {used.declared}, and {number:,} of {look.sample.said} {hold} "
    message += f"{at(column, texts[0])}; {so}" if so else at(column, texts[0])
    if len(texts) <= 3 and not any(map(str.isdigit, "".join(texts))):
        hint = f"if that means missing, add {', '.join(map(repr, texts))} to data.missing"
    else:
        hint = "correct these cells, or clean the column in data.sql"
    return used.doubt("DML113", message, hint)


def _share(texts: list[str], column: Column) -> float:
    known = set(texts)
    return sum(cell in known for cell in column.values) / len(column.values)


def silence_doubt(used: Used, look: Look) -> Doubt | None:
    """The same in every row, or another one in every row."""
    if look.sample.rows < ENOUGH:
        return None
    if used.declared is not None and (found := _constant(used, look)) is not None:
        return found
    return _counter(used, look) or _unique_category(used, look)


def _constant(used: Used, look: Look) -> Doubt | None:
    """A run drops a constant by itself, unless the spec names it."""
    column = used.column
    only, *others = {*column.cells, *column.further}
    if others:
        return None
    where = f"each of {look.sample.said}"
    if only == "":
        hint = "delete it, or is one of its spellings in data.missing by mistake?"
        return used.doubt("DML112", f"'{column.name}' is missing in {where}", hint)
    hint = "delete it" if look.sample.whole else "delete it, unless it changes further down"
    return used.doubt(
        "DML112", f"'{column.name}' is {short(only)} in {where}: it tells a model nothing", hint
    )


def _is_unique(column: Column) -> bool:
    """Whether no value comes twice, as far as one can see."""
    if len(column.values) < ENOUGH or len(column.distinct) < len(column.values):
        return False
    further = [cell for cell in column.further if cell]
    all_values = {*column.distinct, *further}
    return len(all_values) == len(column.values) + len(further)


def _counter(used: Used, look: Look) -> Doubt | None:
    """Whole numbers that only say which row it is: they count, fill their range, or are called an id."""
    column = used.column
    if used.declared not in (None, "number") or not _is_unique(column):
        return None
    numbers = numbers_of(column.distinct)
    if numbers is None or not all(number.is_integer() for number in numbers.values()):
        return None
    values = [int(number) for number in numbers.values()]
    if min(values) in _YEARS and max(values) in _YEARS:
        return None
    steps = {after - before for before, after in pairwise(values)}
    fills = max(values) - min(values) + 1 <= 2 * len(values)
    if used.declared is None and fills and len(values) == look.sample.rows and _is_integer(column):
        return None  # the run finds it by itself
    counts = len(steps) == 1 and max(map(abs, values)) < _MOMENTS
    if not (counts or fills or _ID_NAME.search(column.name)):
        return None
    what = "it counts the rows" if counts else "it looks like an id"
    message = f"'{column.name}' holds a different whole number in each of {look.sample.said}: {what}"
    return used.doubt(
        "DML112", message, _way_out(used, "if rows come in an order that matters, split by time")
    )


def _is_integer(column: Column) -> bool:
    return rule_of(column.distinct).type == "integer"


def _unique_category(used: Used, look: Look) -> Doubt | None:
    """A category of one row cannot be learned from."""
    column = used.column
    if used.declared != "category" or not _is_unique(column):
        return None
    rule = rule_of(column.distinct)
    message = f"'{column.name}' is different in each of {look.sample.said}"
    if _looks_like_id(column, rule):
        return used.doubt("DML112", f"{message}: it looks like an id", _way_out(used))
    hint = "delete it, or derive something from it in data.sql that repeats"
    if rule.type != "text":
        hint = f"write {_fitting(rule)}"
    elif is_prose(*wording(column.values)):
        hint = "write text"
    return used.doubt("DML112", f"{message}, and a category is learned from values that repeat", hint)


def _looks_like_id(column: Column, rule: ColumnRule) -> bool:
    """Codes without blanks; not dates, not numbers with decimals, not free text."""
    if rule.type in ("date", "number"):
        return False
    if any("." in value and is_number(value) for value in column.values):
        return False
    first = column.values[0]
    shaped = _UUID.fullmatch(first) or _MAIL.fullmatch(first) or _ID_NAME.search(column.name)
    return bool(shaped) or not any(re.search(r"\s", value) for value in column.values)


def _way_out(used: Used, more: str = "") -> str:
    way = "delete it" if used.declared is not None else f"exclude: [{used.name}]"
    return f"{way}; {more}" if more else f"{way}; where rows belong together by another id, split by group"
