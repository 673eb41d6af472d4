"""The five fields of cron as calendar events of systemd (systemd.time(7))."""

from __future__ import annotations

import re

_DAYS = ("Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat")
_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_SHORT = {
    "@hourly": "0 * * * *",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@weekly": "0 0 * * 0",
    "@monthly": "0 0 1 * *",
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
}
_RANGES = ((0, 59), (0, 23), (1, 31), (1, 12), (0, 7))
_NAMES = ("minute", "hour", "day of the month", "month", "day of the week")
_ITEM = re.compile(r"^(?:(\*)|([0-9a-z]+)(?:-([0-9a-z]+))?)(?:/([0-9]+))?$")


def calendar_events(schedule: str, time_zone: str) -> list[str]:
    """One event, or two where cron means either the day of the month or the day of the week.

    Raises ValueError naming the field that is wrong.
    """
    fields = _SHORT.get(schedule.strip(), schedule).lower().split()
    if len(fields) != len(_RANGES):
        raise ValueError(f"'{schedule}' has {len(fields)} fields, a schedule of cron has 5: 0 3 * * 1")
    minute, hour, day, month, weekday = (
        _numbers(text, *_RANGES[place], _NAMES[place]) for place, text in enumerate(fields)
    )
    time = f"{_list(hour)}:{_list(minute)}:00 {time_zone}"
    monthly = f"*-{_list(month)}-{_list(day)} {time}"
    if weekday is None:
        return [monthly]
    names = ",".join(_DAYS[number] for number in sorted({number % 7 for number in weekday}))
    weekly = f"{names} *-{_list(month)}-* {time}"
    # A field that begins with * leaves the other one alone, as in cron(8); else a day may match either.
    return [weekly] if day is None else [monthly, weekly]


def _numbers(text: str, low: int, high: int, name: str) -> list[int] | None:
    """The values of a field; None for all of them."""
    if text == "*":
        return None
    found: set[int] = set()
    for item in text.split(","):
        match = _ITEM.match(item)
        if match is None:
            raise ValueError(f"'{item}' is no {name}")
        start, end = low, high
        if not match[1]:
            start = _number(match[2], name)
            end = _number(match[3], name) if match[3] else (high if match[4] else start)
        step = int(match[4] or 1)
        if not (low <= start <= end <= high and step):
            raise ValueError(f"'{item}' is no {name}: it goes from {low} to {high}")
        found |= set(range(start, end + 1, step))
    return sorted(found)


def _number(text: str, name: str) -> int:
    if text.isdigit():
        return int(text)
    if name == "month" and text in _MONTHS:
        return _MONTHS.index(text) + 1
    days = [day.lower() for day in _DAYS]
    if name == "day of the week" and text in days:
        return days.index(text)
    raise ValueError(f"'{text}' is no {name}")


def _list(numbers: list[int] | None) -> str:
    return "*" if numbers is None else ",".join(f"{number:02d}" for number in numbers)
