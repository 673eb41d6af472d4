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
    for length in (10, 19):
        rows = np.flatnonzero(lengths == length)
        if len(rows):
            texts = values if len(rows) == len(values) else values.take(pa.array(rows))
            found, fits = _parts(_characters(texts, length))
            parts[rows[fits]] = found[fits]
            known[rows[fits]] = True
    return parts, known


def days_from_civil(year: np.ndarray, month: np.ndarray, day: np.ndarray) -> np.ndarray:
    """Days since 1970-01-01 in the Gregorian calendar, int64 [N]; years from 0."""
    shifted = year + 400 - (month <= 2)  # keeps every division of a number that is not negative
    era = shifted // 400
    of_era = shifted - era * 400
    of_year = (153 * ((month + 9) % 12) + 2) // 5 + day - 1
    days: np.ndarray = era * 146_097 + of_era * 365 + of_era // 4 - of_era // 100 + of_year - 865_565
    return days


def _characters(texts: pa.Array, length: int) -> np.ndarray:
    """The bytes of texts that all have this many: uint8 [length, N], a row for each place."""
    _, offsets, data = texts.buffers()
    first = np.frombuffer(offsets, dtype=np.int32)[texts.offset]
    characters = np.frombuffer(data, dtype=np.uint8, count=len(texts) * length, offset=first)
    return np.ascontiguousarray(characters.reshape(-1, length).T)


def _number(characters: np.ndarray, places: range, fits: np.ndarray) -> np.ndarray:
    """The number that the digits at these places make, int64 [N]; where others stand `fits` becomes False."""
    total = np.zeros(characters.shape[1], dtype=np.int64)
    for place in places:
        digit = characters[place] - np.uint8(ord("0"))  # what stands before 0 becomes a large number
        fits &= digit <= 9
        total = total * 10 + digit
    return total


def _parts(characters: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The parts by the patterns above, float64 [N, 7], and which texts fit them."""
    fits = np.ones(characters.shape[1], dtype=bool)
    marks = {4: "-", 7: "-", 10: "T", 13: ":", 16: ":"}
    for place, mark in marks.items():
        if place < len(characters):
            fits &= characters[place] == ord(mark)
    year, month, day = (_number(characters, range(*span), fits) for span in ((0, 4), (5, 7), (8, 10)))
    fits &= (month >= 1) & (month <= 12) & (day >= 1) & (day <= 31)
    hour = seconds = np.zeros_like(year)
    if len(characters) > 10:
        hour, minute, second = (
            _number(characters, range(*span), fits) for span in ((11, 13), (14, 16), (17, 19))
        )
        fits &= (hour < 24) & (minute < 60) & (second < 60)
        seconds = hour * 3600 + minute * 60 + second
    days = days_from_civil(year, month, day)
    one = np.ones_like(year)
    yearday = days - days_from_civil(year, one, one) + 1
    columns = [days + seconds / 86_400.0, year, month, day, (days + 3) % 7, yearday, hour]
    return np.stack(columns, axis=1).astype(np.float64), fits


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
