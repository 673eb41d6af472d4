"""Schedules in five fields of cron, as the CronJob controller reads them."""

from __future__ import annotations

import re

_FIELDS = (("minute", 0, 59), ("hour", 0, 23), ("day", 1, 31), ("month", 1, 12), ("weekday", 0, 7))
_MONTHS = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"]
_DAYS = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"]
_MACROS = frozenset({"@yearly", "@annually", "@monthly", "@weekly", "@daily", "@midnight", "@hourly"})
_PART = re.compile(r"^(?P<first>\*|\?|\w+)(-(?P<last>\w+))?(/(?P<step>\d+))?$")


def schedule_fault(text: str) -> str | None:
    """What is wrong with a schedule; None for one that works."""
    if text in _MACROS:
        return None
    fields = text.split()
    if len(fields) != len(_FIELDS):
        return f"'{text}' has {len(fields)} fields, not five: minute hour day month weekday"
    for field, (name, low, high) in zip(fields, _FIELDS, strict=True):
        for part in field.split(","):
            if not _fits(part, name, low, high):
                return f"'{part}' is no {name}: {low} to {high}, *, ranges such as 1-5, steps such as */10"
    return None


def _fits(part: str, name: str, low: int, high: int) -> bool:
    found = _PART.match(part.lower())
    if found is None or found["step"] == "0":
        return False
    if found["first"] in ("*", "?"):
        return found["last"] is None
    first = _number(found["first"], name)
    last = first if found["last"] is None else _number(found["last"], name)
    return first is not None and last is not None and low <= first <= last <= high


def _number(text: str, name: str) -> int | None:
    names = {"month": {each: at for at, each in enumerate(_MONTHS, 1)}}
    names["weekday"] = {each: at for at, each in enumerate(_DAYS)}
    return int(text) if text.isdigit() else names.get(name, {}).get(text)
