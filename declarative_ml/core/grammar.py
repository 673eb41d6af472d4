"""How one value is spelled: the closed grammar of missing values, numbers, booleans and dates.

Training reads whole columns with pyarrow (`core.columns`), the scorer reads single values with the
standard library (`scoring.parse`). Both build their patterns here, from syntax that RE2 and `re` share,
so that a text means the same to both.

    number    [sign] digits [mark digits] [exponent]; groups of thousands, prefix and unit by the rule
    boolean   true false 1 0, in any case
    date      strptime patterns of %Y %y %m %d %b (short or full month name); " %H:%M:%S" stands for
              a time of day with optional seconds, fraction, AM/PM and zone, after a blank or a "T"

Blanks around a number, boolean or date do not count. Only blanks, or a spelling of missing, is missing.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from functools import lru_cache

from declarative_ml.core.schema import ColumnRule

WHITESPACE = " \t\n\r\v\f\u00a0\ufeff"
ISO_DATE = "%Y-%m-%d"
TIME = " %H:%M:%S"
TRUE = frozenset({"true", "1"})
FALSE = frozenset({"false", "0"})
MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
MAX_PLAIN_INTEGER = 10**16
"""Below this size an integral float is spelled without a decimal mark."""


def either_case(pattern: str) -> str:
    """The pattern with each of its ASCII letters in both cases.

    With the flag `i`, RE2 and `re` take U+017F for an s and the Kelvin sign for a k, which are no letters of
    a month once the text is lowered.
    """
    return re.sub("[A-Za-z]", lambda letter: f"[{letter[0].upper()}{letter[0].lower()}]", pattern)


_MONTH_NAMES = either_case(
    "jan(?:uary)?|feb(?:ruary)?|mar(?:ch)?|apr(?:il)?|may|june?|july?|aug(?:ust)?|"
    "sept?(?:ember)?|oct(?:ober)?|nov(?:ember)?|dec(?:ember)?"
)
_TOKENS = {
    "%Y": "(?P<year>[0-9]{4})",
    "%y": "(?P<year>[0-9]{2})",
    "%m": "(?P<month>1[0-2]|0?[1-9])",
    "%d": "(?P<day>3[01]|[12][0-9]|0?[1-9])",
    "%b": rf"(?P<month>{_MONTH_NAMES})\.?",
}
_TIME_PATTERN = (
    r"(?:[Tt]| +)(?P<hour>[01]?[0-9]|2[0-3]):(?P<minute>[0-5][0-9])"
    r"(?::(?P<second>[0-5][0-9])(?:[.,](?P<fraction>[0-9]{1,9}))?)?"
    r"(?: ?(?P<half>[AaPp][Mm]))?(?: ?(?P<zone>[Zz]|[+-][0-9]{2}:?[0-9]{2}))?"
)


def spellings_of_missing(missing: Iterable[str]) -> frozenset[str]:
    """The trimmed spellings that count as missing; nothing but blanks always does."""
    return frozenset({"", *(text.strip(WHITESPACE) for text in missing)})


def number_pattern(rule: ColumnRule) -> str:
    """The pattern of a trimmed number under `rule`: groups `front` and `sign` (signs) and `digits`.

    Prefix and unit may be absent, since a client may send the bare number in the same unit.
    """
    mark = re.escape(rule.decimal)
    whole = "[0-9]+"
    if rule.thousands:
        group = "[ \u00a0\u202f]" if rule.thousands == " " else re.escape(rule.thousands)
        whole = f"(?:[0-9]{{1,3}}(?:{group}[0-9]{{3}})+|[0-9]+)"
    digits = f"(?P<digits>(?:{whole}(?:{mark}[0-9]*)?|{mark}[0-9]+)(?:[eE][+-]?[0-9]+)?)"
    front = "(?P<sign>[+-]?)"
    if rule.prefix:
        prefix = literal(rule.prefix)
        front = f"(?P<front>[+-]?) ?{prefix} ?(?P<sign>[+-]?)|(?P<only>[+-]?)"
        front = f"(?:{front})"
    unit = f"(?:[ \u00a0]?{literal(rule.suffix)})?" if rule.suffix else ""
    return f"{front}{digits}{unit}"


def literal(text: str) -> str:
    """A pattern for `text` itself; blanks are left bare, as RE2 and `re` differ in escaping them."""
    return re.escape(text).replace("\\ ", " ")


def plain_digits(digits: str, rule: ColumnRule) -> str:
    """The group `digits` of a number without groups of thousands and with a decimal point."""
    if rule.thousands:
        groups = " \u00a0\u202f" if rule.thousands == " " else rule.thousands
        for mark in groups:
            digits = digits.replace(mark, "")
    return digits.replace(rule.decimal, ".")


@lru_cache(maxsize=512)
def date_pattern(pattern: str) -> str:
    """The regular expression of a strptime pattern. Raises ValueError for one outside the grammar."""
    has_time = pattern.endswith(TIME)
    day = pattern.removesuffix(TIME)
    parts = re.split("(%.)", day)
    unknown = [part for part in parts if part.startswith("%") and part not in _TOKENS]
    if unknown or not day:
        raise ValueError(f"the date pattern {pattern!r} may hold only %Y %y %m %d %b and, last, '{TIME}'")
    text = "".join(_TOKENS.get(part) or literal(part).replace(" ", " +") for part in parts)
    return text + (_TIME_PATTERN if has_time else "")


def date_patterns(rule: ColumnRule) -> tuple[str, ...]:
    """The strptime patterns to try for a date column: its own, then ISO, which is never ambiguous."""
    return tuple(dict.fromkeys((*rule.formats, ISO_DATE, ISO_DATE + TIME)))


def full_year(digits: str) -> int:
    """The year; two digits mean 1969 to 2068, as in POSIX."""
    year = int(digits)
    return year if len(digits) == 4 else year + (1900 if year >= 69 else 2000)


@lru_cache(maxsize=512)
def compiled(pattern: str) -> re.Pattern[str]:
    """The compiled pattern; use its `fullmatch`."""
    return re.compile(pattern)


def read_date(text: str, rule: ColumnRule) -> datetime | None:
    """The trimmed text as a naive datetime (UTC where it named a zone), or None when no pattern fits."""
    for pattern in date_patterns(rule):
        found = compiled(date_pattern(pattern)).fullmatch(text)
        if found is not None:
            value = _build_date(found.groupdict())
            if value is not None:
                return value
    return None


def read_number(text: str, rule: ColumnRule) -> float | None:
    """The trimmed text as a finite number, or None when it is none."""
    found = compiled(number_pattern(rule)).fullmatch(text)
    if found is None:
        return None
    fields = found.groupdict()
    sign = (fields.get("front") or "") + (fields.get("sign") or "") + (fields.get("only") or "")
    if len(sign) > 1:
        return None
    value = float(sign + plain_digits(fields["digits"], rule))
    return value if abs(value) != float("inf") else None


def canonical_float(value: float) -> str:
    """The one spelling of a finite number: "3" for 3.0, else the shortest digits that read back equal."""
    if value.is_integer() and abs(value) < MAX_PLAIN_INTEGER:
        return str(int(value))
    return repr(value)


def canonical_date(value: datetime, has_time: bool) -> str:
    """ISO without a zone: YYYY-MM-DD, or YYYY-MM-DDTHH:MM:SS."""
    return value.replace(microsecond=0).isoformat() if has_time else value.date().isoformat()


def _build_date(fields: dict[str, str | None]) -> datetime | None:
    month = fields.get("month") or "1"
    number = int(month) if month.isdigit() else MONTHS.index(month[:3].lower()) + 1
    hour = int(fields.get("hour") or 0)
    if fields.get("half"):
        if not 1 <= hour <= 12:
            return None
        hour = hour % 12 + (12 if str(fields["half"]).lower() == "pm" else 0)
    fraction = (fields.get("fraction") or "").ljust(6, "0")[:6]
    try:
        moment = datetime(
            full_year(str(fields["year"])), number, int(fields.get("day") or 1),
            hour, int(fields.get("minute") or 0), int(fields.get("second") or 0), int(fraction), UTC,
        )  # fmt: skip
        return (moment - zone_offset(fields.get("zone") or "")).replace(tzinfo=None)
    except (ValueError, OverflowError):
        return None


def zone_offset(zone: str) -> timedelta:
    """How far a zone such as "Z", "+02:00" or "-0530" is ahead of UTC."""
    if len(zone) < 5:
        return timedelta()
    size = timedelta(hours=int(zone[1:3]), minutes=int(zone[-2:]))
    return -size if zone[0] == "-" else size
