"""ISO dates as numbers: one definition, used while training and spelled out again in the graph.

A value is `YYYY-MM-DD` or `YYYY-MM-DDTHH:MM:SS`; anything else is missing. Month and day are bounded
by the pattern alone: 30 February is the day after 29 February's place, as the arithmetic gives it,
never an error (H. Hinnant, "chrono-compatible low-level date algorithms", days_from_civil).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import pyarrow as pa

DATE_PATTERN = r"[0-9]{4}-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])"
TIME_PATTERN = r"T([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9]"
PARTS = ("days", "year", "month", "day", "weekday", "yearday", "hour")
"""days since 1970-01-01 with the time as fraction; weekday 0 = Monday; yearday 1 = 1 January."""


def date_parts(values: pa.Array) -> tuple[np.ndarray, np.ndarray]:
    """The parts of ISO texts: ([N, 7] float64 in the order of PARTS, [N] bool whether it is a date).

    Rows that are not dates hold zeros.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    parts = np.zeros((len(values), len(PARTS)))
    known = np.zeros(len(values), dtype=bool)
    lengths = pc.fill_null(pc.binary_length(values), 0).to_numpy()
    for pattern, length in ((DATE_PATTERN, 10), (DATE_PATTERN + TIME_PATTERN, 19)):
        rows = np.flatnonzero(lengths == length)
        texts = values.take(pa.array(rows))
        fits = pc.match_substring_regex(texts, rf"\A{pattern}\z")
        if len(rows) and pc.any(fits).as_py():
            places = rows[fits.to_numpy(zero_copy_only=False)]
            parts[places] = _parts(_digits(texts.filter(fits), length))
            known[places] = True
    return parts, known


def days_from_civil(year: np.ndarray, month: np.ndarray, day: np.ndarray) -> np.ndarray:
    """Days since 1970-01-01 in the Gregorian calendar, int64 [N]; years from 0."""
    shifted = year + 400 - (month <= 2)  # keeps every division of a number that is not negative
    era = shifted // 400
    of_era = shifted - era * 400
    of_year = (153 * ((month + 9) % 12) + 2) // 5 + day - 1
    days: np.ndarray = era * 146_097 + of_era * 365 + of_era // 4 - of_era // 100 + of_year - 865_565
    return days


def _digits(texts: pa.Array, length: int) -> np.ndarray:
    """Character codes minus that of 0 of texts that all have this many ASCII characters: [N, length]."""
    buffer = texts.buffers()[2]
    first = np.frombuffer(texts.buffers()[1], dtype=np.int32)[texts.offset]
    characters = np.frombuffer(buffer, dtype=np.uint8, count=len(texts) * length, offset=first)
    return characters.reshape(-1, length).astype(np.int64) - ord("0")


def _number(digits: np.ndarray, start: int, stop: int) -> np.ndarray:
    total: np.ndarray = digits[:, start]
    for place in range(start + 1, stop):
        total = total * 10 + digits[:, place]
    return total


def _parts(digits: np.ndarray) -> np.ndarray:
    year, month, day = (_number(digits, *span) for span in ((0, 4), (5, 7), (8, 10)))
    hour = seconds = np.zeros_like(year)
    if digits.shape[1] > 10:
        hour = _number(digits, 11, 13)
        seconds = hour * 3600 + _number(digits, 14, 16) * 60 + _number(digits, 17, 19)
    days = days_from_civil(year, month, day)
    one = np.ones_like(year)
    yearday = days - days_from_civil(year, one, one) + 1
    columns = [days + seconds / 86_400.0, year, month, day, (days + 3) % 7, yearday, hour]
    return np.stack(columns, axis=1).astype(np.float64)


def iso_texts(values: pa.Array) -> pa.Array:
    """Arrow dates and timestamps as ISO texts (seconds kept, fractions cut); texts as they are."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if pa.types.is_timestamp(values.type):
        plain = values.cast(pa.timestamp("s", values.type.tz), safe=False).cast(pa.string())
        return pc.utf8_slice_codeunits(pc.replace_substring(plain, " ", "T"), 0, 19)
    return values if pa.types.is_string(values.type) else values.cast(pa.string())


def iso_from_days(days: float, *, with_time: bool) -> str:
    """The ISO text of a number of days since 1970-01-01."""
    moment = np.datetime64("1970-01-01T00:00:00", "s") + np.timedelta64(round(days * 86_400), "s")
    text = str(moment)
    return text if with_time else text.partition("T")[0]
