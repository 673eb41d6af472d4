"""Spans of time as people write them: `90s`, `2m`, `1h30m`, a number of seconds; short: `100us`, `1ms`."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import Field

PATTERN = r"^(\d+h)?(\d+m)?(\d+s?)?$"

Duration = Annotated[str, Field(min_length=1, pattern=PATTERN, examples=["90s", "2m", "1h30m"])]


def seconds_of(text: str) -> int:
    """The span in seconds. Raises ValueError for anything else than a Duration."""
    found = re.fullmatch(PATTERN, text)
    if found is None:
        raise ValueError(f"'{text}' is no span of time: write 90s, 2m or 1h30m")
    hours, minutes, seconds = (int(part.rstrip("hms")) if part else 0 for part in found.groups())
    return 3600 * hours + 60 * minutes + seconds


LATENCY_PATTERN = r"^\d+(\.\d+)?(us|ms)$"

Latency = Annotated[str, Field(pattern=LATENCY_PATTERN, examples=["100us", "1ms"])]


def microseconds_of(text: str) -> float:
    """The span in microseconds. Raises ValueError for anything else than a Latency."""
    if re.fullmatch(LATENCY_PATTERN, text) is None:
        raise ValueError(f"'{text}' is no latency: write 100us or 1ms")
    return float(text[:-2]) * (1_000.0 if text.endswith("ms") else 1.0)
