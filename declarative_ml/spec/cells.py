"""How the texts of a column will be read: as numbers, dates, true or false, or texts. Without a library.

The same decisions as in `sources.inference`, which needs pyarrow and sees all rows; a test holds the two
together.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable

from declarative_ml.core.grammar import (
    ISO_DATE,
    MONTHS,
    TIME,
    canonical_float,
    compiled,
    date_pattern,
    either_case,
    read_date,
    read_number,
)
from declarative_ml.core.schema import ColumnRule

DATES = (
    "%Y-%m-%d", "%Y/%m/%d", "%Y.%m.%d", "%m/%d/%Y", "%d/%m/%Y", "%m-%d-%Y", "%d-%m-%Y", "%d.%m.%Y",
    "%m/%d/%y", "%d/%m/%y", "%m-%d-%y", "%d-%m-%y", "%d.%m.%y", "%d %b %Y", "%d-%b-%Y", "%d-%b-%y",
    "%b %d, %Y", "%b %d %Y", "%b %Y", "%Y-%m",
)  # fmt: skip
_GROUPED = ((",", "."), (".", ","), (" ", "."), (" ", ","), ("'", "."))
_WHOLE = "(?:0|[1-9][0-9]{0,17})"
_EXPONENT = r"(?:[eE](?:\+?[01]?[0-9]{1,2}|-[0-9]{1,3}))?"
_INTEGER = re.compile(rf"[+-]?{_WHOLE}")
_NUMBER = re.compile(rf"[+-]?(?:{_WHOLE}(?:\.[0-9]*)?|\.[0-9]+){_EXPONENT}")
_NUMBERS = re.compile(rf"(?:(?:{_NUMBER.pattern})\n)*")
_MONEY = r"[A-Z]{0,3}[$€£¥₹₩₽₺฿₫₦]|USD|EUR|GBP|CHF|JPY|CNY|INR|AUD|CAD|SEK|NOK|DKK|PLN|BRL|Rs\.?"
_NO_UNIT = r"0-9\s.,'\"+\-()\[\]{}:;!?&|=<>#*_~"
_UNIT = re.compile(
    rf"(?P<sign>[+-]?) ?(?:(?P<prefix>{_MONEY}) ?)?"
    r"(?P<digits>[+-]?[0-9.][0-9.,' \u00a0\u202f]*?)"
    rf"(?:[ \u00a0]?(?P<suffix>[^/{_NO_UNIT}][^{_NO_UNIT}]{{0,11}}))?"
)
_DATE_LIKE = re.compile(rf"[0-9]{{1,4}}[-/. ]|(?:{either_case('|'.join(MONTHS))})[A-Za-z]*[. ] ?[0-9]")
_LONGEST = 64
_PLAIN_NUMBER = ColumnRule(type="number")
_ISO = ColumnRule(type="date", formats=(ISO_DATE, ISO_DATE + TIME))


def rule_of(texts: Collection[str]) -> ColumnRule:
    """How a column of these texts (trimmed, none missing) will be read."""
    if not texts:
        return ColumnRule(type="text")
    if all(map(_INTEGER.fullmatch, texts)):
        return ColumnRule(type="integer")
    if _are_plain_numbers(texts):
        return _PLAIN_NUMBER
    if all(text.lower() in ("true", "false") for text in texts):
        return ColumnRule(type="boolean")
    return _dates(texts) or _numbers(texts) or ColumnRule(type="text")


def numbers_of(texts: Collection[str]) -> dict[str, float] | None:
    """Text -> number, when a column of these texts will be read as numbers; else None."""
    if texts and _are_plain_numbers(texts):
        return {text: float(text) for text in texts}
    if not any(map(str.isdigit, next(iter(texts), ""))):
        return None
    rule = _numbers(texts)
    if rule is None or _dates(texts) is not None:
        return None
    found = {text: read_number(text, rule) for text in texts}
    return {text: number for text, number in found.items() if number is not None}


def _are_plain_numbers(texts: Collection[str]) -> bool:
    """Whether all are numbers without groups or units. One match over all takes half the time of many."""
    if not _NUMBER.match(next(iter(texts))):
        return False
    lines = "\n".join(texts)
    return lines.count("\n") == len(texts) - 1 and _NUMBERS.fullmatch(f"{lines}\n") is not None


def is_number(text: str) -> bool:
    """Whether a cell of a column of text is read as a number all the same: 007 and -1.5e3 are."""
    return read_number(text, _PLAIN_NUMBER) is not None


def is_iso_date(text: str) -> bool:
    """Whether a cell of a column of text is read as a date all the same: ISO dates are."""
    return read_date(text, _ISO) is not None


def canonical(text: str, rule: ColumnRule) -> str:
    """The one spelling of a cell, by which levels are told apart."""
    if rule.type in ("integer", "number"):
        number = read_number(text, rule)
        return text if number is None else canonical_float(number)
    return text.lower() if rule.type == "boolean" else text


def described(texts: Iterable[str]) -> str:
    """What the texts look like, for a person: "dates", "amounts of money", "numbers with 'kg'", "texts"."""
    few = list(dict.fromkeys(texts))[:50]
    rule = rule_of(few)
    if rule.type == "text" and len(few) > 1:
        rule = rule_of(few[:1])
    if rule.type == "date":
        return "dates"
    if rule.type == "boolean":
        return "true or false"
    if rule.prefix or rule.suffix:
        return f"numbers with {(rule.prefix or rule.suffix)!r}"
    if rule.decimal != ".":
        return f"numbers with a decimal {rule.decimal!r}"
    if rule.thousands:
        return f"numbers with {rule.thousands!r} between thousands"
    return "texts" if rule.type == "text" else "numbers"


def _dates(texts: Collection[str]) -> ColumnRule | None:
    """The first pattern of dates that all texts fit, with or without a time of day."""
    first = next(iter(texts))
    if not _DATE_LIKE.match(first) or len(first) >= _LONGEST:
        return None
    for pattern in DATES:
        # One text decides for most patterns, and few patterns are ever compiled for a whole column.
        rule = ColumnRule(type="date", formats=(pattern + TIME, pattern))
        if all(_fits(text, pattern, rule) for text in texts):
            return rule
    return None


def _fits(text: str, pattern: str, rule: ColumnRule) -> bool:
    shapes = (compiled(date_pattern(pattern)), compiled(date_pattern(pattern + TIME)))
    return any(shape.fullmatch(text) for shape in shapes) and read_date(text, rule) is not None


def _numbers(texts: Collection[str]) -> ColumnRule | None:
    """The rule of numbers with groups of thousands, a decimal comma, a prefix or a unit."""
    grouping = _grouping(texts)
    if grouping is not None:
        return ColumnRule(type="number", thousands=grouping[0], decimal=grouping[1])
    found = [_UNIT.fullmatch(text) if len(text) < _LONGEST else None for text in texts]
    units = {(each["prefix"] or "", each["suffix"] or "") if each else None for each in found}
    unit = units.pop()
    if units or unit is None or unit == ("", ""):
        return None
    bare = [each["sign"] + each["digits"] for each in found if each]
    if all(map(_NUMBER.fullmatch, bare)):
        return ColumnRule(type="number", prefix=unit[0], suffix=unit[1])
    grouping = _grouping(bare)
    if grouping is None:
        return None
    return ColumnRule(
        type="number", thousands=grouping[0], decimal=grouping[1], prefix=unit[0], suffix=unit[1]
    )


def _grouping(texts: Collection[str]) -> tuple[str, str] | None:
    """The marks between thousands and before decimals that all texts go with, the likelier first."""
    for group, mark in _GROUPED:
        if all(map(compiled(_grouped(group, mark)).fullmatch, texts)):
            return group, mark
    return None


def _grouped(group: str, mark: str) -> str:
    space = "[ \u00a0\u202f]" if group == " " else re.escape(group)
    whole = f"(?:0|[1-9][0-9]{{0,2}}(?:{space}[0-9]{{3}})+|[1-9][0-9]{{0,17}})"
    return rf"[+-]?(?:{whole}(?:{re.escape(mark)}[0-9]*)?|{re.escape(mark)}[0-9]+){_EXPONENT}"
