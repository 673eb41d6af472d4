"""What a column of text may really be: how many values fit each hypothesis, and the first that do not."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from typing import TYPE_CHECKING

import numpy as np

from declarative_ml.core.arrow_types import as_mask, cast_or_none, text_buffers
from declarative_ml.core.dates import iso_moments, parse_dates
from declarative_ml.core.edges import first_two
from declarative_ml.core.grammar import ISO_DATE, MONTHS, TIME, either_case, literal
from declarative_ml.sources.openings import BOOLEAN_OPENS, DATE_OPENS, NUMBER_OPENS, Opening, promising

if TYPE_CHECKING:
    import pyarrow as pa

Sample = tuple[int, str]
"""A row number, counted from 1, and the value there."""

SAMPLES = 3
GROUPED = ((",", "."), (".", ","), (" ", "."), (" ", ","), ("'", "."))
"""Marks between thousands and before decimals, the likelier first."""

DATE_FAMILIES = (
    ("%Y-%m-%d",), ("%Y/%m/%d",), ("%Y.%m.%d",), ("%m/%d/%Y", "%d/%m/%Y"), ("%m-%d-%Y", "%d-%m-%Y"),
    ("%d.%m.%Y",), ("%m/%d/%y", "%d/%m/%y"), ("%m-%d-%y", "%d-%m-%y"), ("%d.%m.%y",), ("%d %b %Y",),
    ("%d-%b-%Y",), ("%d-%b-%y",), ("%b %d, %Y",), ("%b %d %Y",), ("%b %Y",), ("%Y-%m",),
)  # fmt: skip
"""Patterns of dates. A text fits one family at most; within a family it may fit both orders."""

DATES = tuple(pattern for family in DATE_FAMILIES for pattern in family)

_WHOLE = "(?:0|[1-9][0-9]{0,17})"
# With at most 18 digits in front, a number of this grammar stays within float64.
_EXPONENT = r"(?:[eE](?:\+?[01]?[0-9]{1,2}|-[0-9]{1,3}))?"
_SIMPLE_SIZE = 1e18
_MAX_UNITS = 64
_PREFIX = r"[A-Z]{0,3}[$€£¥₹₩₽₺฿₫₦]|USD|EUR|GBP|CHF|JPY|CNY|INR|AUD|CAD|SEK|NOK|DKK|PLN|BRL|Rs\.?"
_UNIT = (
    rf"^[+-]? ?(?:(?P<prefix>{_PREFIX}) ?)?"
    r"[+-]?[0-9.][0-9.,' \x{00a0}\x{202f}]*?"
    r"(?: ?(?P<suffix>[^0-9\s.,'\"+\-()\[\]{}:;!?/&|=<>#*_~][^0-9\s.,'\"+\-()\[\]{}:;!?&|=<>#*_~]{0,11}))?$"
)
_NUMBER_LIKE = rf"^[+-]? ?(?:(?:{_PREFIX}) ?)?[+-]?[.,]?[0-9]"
_DATE_LIKE = f"^(?:[0-9]{{1,4}}[-/. ]|(?:{either_case('|'.join(MONTHS))})[A-Za-z]*[. ] ?[0-9])"
_BOOLEAN = f"^(?:{either_case('true|false')})$"
_ZONE = "(?:[Zz]|:[0-9]{2}.*[+-][0-9]{2}:?[0-9]{2})$"
_AHEAD = "[+-](?:[0-9]{2}:?[0-9]*[1-9]|[0-9]*[1-9][0-9]*:?[0-9]{2})$"
"""A zone that is not UTC's own, +00:00."""
_HEAD = 256
"""So many texts are looked through for the first few different ones."""
_LONGEST = 64
"""Longer texts are neither numbers nor dates."""


def _patterns() -> dict[str, str]:
    plain = rf"[+-]?(?:{_WHOLE}(?:\.[0-9]*)?|\.[0-9]+){_EXPONENT}"
    patterns = {
        "integer": f"[+-]?{_WHOLE}",
        "number": plain,
        "digits": rf"[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+){_EXPONENT}",
    }
    for group, mark in GROUPED:
        space = "[ \u00a0\u202f]" if group == " " else literal(group)
        whole = f"(?:0|[1-9][0-9]{{0,2}}(?:{space}[0-9]{{3}})+|[1-9][0-9]{{0,17}})"
        dot = literal(mark)
        patterns[group + mark] = f"[+-]?(?:{whole}(?:{dot}[0-9]*)?|{dot}[0-9]+){_EXPONENT}"
    return {name: f"^(?:{pattern})$" for name, pattern in patterns.items()}


NUMBERS = _patterns()
"""Hypothesis -> pattern. "digits" allows leading zeros and any length: what codes look like."""


class Counts:
    """How many values fit each hypothesis, and the first few that do not."""

    def __init__(self) -> None:
        self.fits: dict[str, int] = defaultdict(int)
        self.misfits: dict[str, list[Sample]] = defaultdict(list)

    def add(self, name: str, fits: int, misfits: Iterable[Sample]) -> None:
        """Count `fits` values for the hypothesis; keep the first of `misfits`."""
        self.fits[name] += fits
        kept = self.misfits[name]
        if len(kept) < SAMPLES:
            kept.extend(list(misfits)[: SAMPLES - len(kept)])

    def merge(self, other: Counts, first_row: int) -> None:
        """Add the counts of later rows, which start after `first_row` rows."""
        for name, fits in other.fits.items():
            shifted = [(row + first_row, value) for row, value in other.misfits[name]]
            self.add(name, fits, shifted)


class Values:
    """The present values of one block of a column: distinct texts, their counts, and where they stand."""

    def __init__(self, trimmed: pa.Array, first_row: int) -> None:
        import pyarrow.compute as pc

        counted = pc.value_counts(trimmed.drop_null())
        self.texts: pa.Array = counted.field("values")
        self.counts: np.ndarray = counted.field("counts").to_numpy()
        self._column = trimmed
        self._first_row = first_row
        self._opening: tuple[np.ndarray, np.ndarray] | None = None

    def samples(self, mask: np.ndarray) -> list[Sample]:
        """The first values, in row order, of the distinct texts in `mask`."""
        import pyarrow.compute as pc

        texts = [self.texts[place].as_py() for place in np.flatnonzero(mask)[:SAMPLES].tolist()]
        return [(self._first_row + 1 + pc.index(self._column, text).as_py(), text) for text in texts]

    def matching(self, pattern: str, among: np.ndarray | None = None) -> np.ndarray:
        """Which distinct texts match a pattern; only those `among` are looked at."""
        import pyarrow as pa
        import pyarrow.compute as pc

        if among is None:
            return as_mask(pc.match_substring_regex(self.texts, pattern))
        result = np.zeros(len(self.counts), dtype=bool)
        places = np.flatnonzero(among)
        if len(places):
            found = pc.match_substring_regex(self.texts.take(pa.array(places)), pattern)
            result[places] = as_mask(found)
        return result

    def opening(self, openings: tuple[Opening, ...]) -> np.ndarray:
        """Which distinct texts begin with the two bytes of one of these; 0 stands for no byte."""
        if self._opening is None:
            self._opening = first_two(self.texts)
        one, two = self._opening
        found: np.ndarray = np.logical_or.reduce([first[one] & second[two] for first, second in openings])
        return found

    def shorter_than(self, length: int) -> np.ndarray:
        """Which distinct texts have fewer characters."""
        import pyarrow.compute as pc

        return as_mask(pc.less(pc.utf8_length(self.texts), length))

    def dates(self, pattern: str, among: np.ndarray) -> np.ndarray:
        """Which distinct texts `among` those given are dates by the strptime pattern."""
        import pyarrow as pa

        result = np.zeros(len(self.counts), dtype=bool)
        places = np.flatnonzero(among)
        if len(places):
            result[places] = parse_dates(self.texts.take(pa.array(places)), pattern)[1]
        return result


class TextTally:
    """The evidence about one column of text, gathered block by block."""

    def __init__(self) -> None:
        self.present = 0
        self.counts = Counts()
        self.units: dict[tuple[str, str], Counts] = {}
        self.with_time: set[str] = set()
        self.zoned = Counts()
        """Of the moments, how many name a time zone ("zone"), and how many one other than UTC ("ahead")."""
        self.only_day_first: dict[str, int] = defaultdict(int)
        """Date pattern with the day in front -> values that the month-first reading does not fit."""

    def update(self, trimmed: pa.Array, first_row: int) -> None:
        """Take in trimmed texts, null where missing; `first_row` rows came before them."""
        present = trimmed.drop_null()
        self.present += len(present)
        if not len(present) or self._all_plain(trimmed, present, first_row):
            return
        if self._all_iso(trimmed, present, first_row):
            return
        if self._is_sampled:
            likely = promising(present)
            if not len(likely):
                return
            values = Values(likely, first_row)
        else:
            values = Values(trimmed, first_row)
        short = values.shorter_than(_LONGEST)
        like = values.matching(_NUMBER_LIKE, short & values.opening(NUMBER_OPENS))
        digits = values.matching(NUMBERS["digits"], like)
        self._count_numbers(values, like, digits)
        true_or_false = values.matching(_BOOLEAN, short & ~like & values.opening(BOOLEAN_OPENS))
        self._count(self.counts, "boolean", values, true_or_false)
        dates = self._count_dates(values, short & ~digits)
        self._count_units(values, like & ~digits & ~dates)  # no date reads as a number with a unit

    def merge(self, other: TextTally, first_row: int) -> None:
        """Take in the evidence of later rows, which start after `first_row` rows."""
        self.present += other.present
        self.counts.merge(other.counts, first_row)
        for unit, counts in other.units.items():
            self.units.setdefault(unit, Counts()).merge(counts, first_row)
        self.with_time |= other.with_time
        self.zoned.merge(other.zoned, first_row)
        for pattern, number in other.only_day_first.items():
            self.only_day_first[pattern] += number

    def _all_plain(self, trimmed: pa.Array, present: pa.Array, first_row: int) -> bool:
        """The short way for a block of plain numbers such as 12 and -3.5: hardly a pattern is needed."""
        import pyarrow as pa
        import pyarrow.compute as pc

        numbers = cast_or_none(present, pa.float64())
        if numbers is None or not pc.all(pc.less(pc.abs(numbers), _SIMPLE_SIZE)).as_py():
            return False  # also where Arrow took a word such as NAN for a number
        shape = _plain_shape(present)
        if shape is None:
            return False
        dotted, groups = shape
        whole = len(present) - dotted
        fits = {"integer": whole, " ,": whole, ".,": whole + groups}
        misfits = self.counts.misfits
        first: list[Sample] = []
        if any(len(misfits[name]) < SAMPLES for name in ("boolean", *DATES)):
            first = _first_samples(trimmed, pc.is_valid(trimmed), first_row)
        first_dotted: list[Sample] = []
        if dotted and any(len(misfits[name]) < SAMPLES for name in fits):
            first_dotted = _first_samples(trimmed, pc.match_substring(trimmed, "."), first_row)
        for name in NUMBERS:
            self.counts.add(name, fits.get(name, len(present)), first_dotted if name in fits else [])
        for name in ("boolean", *DATES):
            self.counts.add(name, 0, first)
        return True

    def _all_iso(self, trimmed: pa.Array, present: pa.Array, first_row: int) -> bool:
        """The short way for a block of days such as 2024-05-31, or of moments such as 2024-05-31 12:00:00."""
        import pyarrow.compute as pc

        with_time = len(present[0].as_py()) > len("2024-05-31")
        if iso_moments(present, with_time=with_time) is None:
            return False
        found: list[Sample] = []
        if not self._is_sampled:
            texts = pc.unique(present[:_HEAD])[:SAMPLES].to_pylist()
            if len(texts) < SAMPLES:
                return False
            found = [(first_row + 1 + pc.index(trimmed, text).as_py(), text) for text in texts]
        for name in (*NUMBERS, "boolean", *DATES):
            self.counts.add(name, 0, found) if name != ISO_DATE else self.counts.add(name, len(present), [])
        if with_time:
            self.with_time.add(ISO_DATE)
        return True

    @property
    def _is_sampled(self) -> bool:
        """Whether enough values are known that do not fit, for each hypothesis that any does not fit yet."""
        misfits = self.counts.misfits
        return all(len(misfits[name]) >= SAMPLES for name in (*NUMBERS, "boolean", *DATES))

    def _count_numbers(self, values: Values, like: np.ndarray, digits: np.ndarray) -> None:
        """Each hypothesis of numbers, looking only at texts that a simpler one does not settle."""
        plain = values.matching(NUMBERS["number"], digits)
        found = {"digits": digits, "number": plain, "integer": values.matching(NUMBERS["integer"], plain)}
        for group, mark in GROUPED:
            name = group + mark
            if mark == ".":
                found[name] = plain | values.matching(NUMBERS[name], like & ~plain)
            else:
                found[name] = found["integer"] | values.matching(NUMBERS[name], like & ~found["integer"])
        for name, mask in found.items():
            self._count(self.counts, name, values, mask)

    def _count(self, counts: Counts, name: str, values: Values, mask: np.ndarray) -> None:
        misfits = [] if len(counts.misfits[name]) >= SAMPLES else values.samples(~mask)
        counts.add(name, int(values.counts[mask].sum()), misfits)

    def _count_units(self, values: Values, among: np.ndarray) -> None:
        """Numbers that carry a prefix or a unit, by that unit; their bare numbers are counted inside."""
        import pyarrow as pa
        import pyarrow.compute as pc

        places = np.flatnonzero(among)
        if not len(places) or len(self.units) > _MAX_UNITS:
            return
        found = pc.extract_regex(values.texts.take(pa.array(places)), _UNIT)
        joined = pc.binary_join_element_wise(
            pc.struct_field(found, "prefix"), pc.struct_field(found, "suffix"), "\0"
        )
        joined = pc.if_else(pc.equal(joined, "\0"), pa.scalar(None, pa.string()), joined)
        for unit in pc.unique(joined).drop_null()[: _MAX_UNITS + 1].to_pylist():
            prefix, _, suffix = unit.partition("\0")
            mine = pc.fill_null(pc.equal(joined, unit), False)
            self._count_unit(values, (prefix, suffix), places[as_mask(mine)])

    def _count_unit(self, values: Values, unit: tuple[str, str], places: np.ndarray) -> None:
        import pyarrow as pa
        import pyarrow.compute as pc

        prefix, suffix = (literal(text) for text in unit)
        edges = f"^([+-]?) ?{prefix} ?|[ \u00a0]?{suffix}$"
        bare = pc.replace_substring_regex(values.texts.take(pa.array(places)), edges, r"\1")
        counts = self.units.setdefault(unit, Counts())
        for name, pattern in NUMBERS.items():
            fits = as_mask(pc.match_substring_regex(bare, pattern))
            mask = np.zeros(len(values.counts), dtype=bool)
            mask[places[fits]] = True
            self._count(counts, name, values, mask)

    def _count_dates(self, values: Values, among: np.ndarray) -> np.ndarray:
        """Count the dates of every pattern. Returns which distinct texts are dates of any."""
        found = {pattern: np.zeros(len(values.counts), dtype=bool) for pattern in DATES}
        left = values.matching(_DATE_LIKE, among & values.opening(DATE_OPENS))
        clock = values.matching(":", left)  # is in every time of day, and in no day
        for family in _likely_first(values, left):
            for pattern in family:
                days = values.dates(pattern, left & ~clock)
                moments = values.dates(pattern + TIME, left & clock)
                found[pattern] = days | moments
                if moments.any():
                    self.with_time.add(pattern)
                    self._count_zones(values, moments)
            left = left & ~np.logical_or.reduce([found[pattern] for pattern in family])
        for pattern, mask in found.items():
            self._count(self.counts, pattern, values, mask)
            if is_day_first(pattern):
                only = mask & ~found[swapped(pattern)]
                self.only_day_first[pattern] += int(values.counts[only].sum())
        dates: np.ndarray = np.logical_or.reduce(list(found.values()))
        return dates

    def _count_zones(self, values: Values, moments: np.ndarray) -> None:
        zoned = values.matching(_ZONE, moments)
        for name, mask in (("zone", zoned), ("ahead", values.matching(_AHEAD, zoned))):
            self.zoned.add(name, int(values.counts[mask].sum()), [])


def _likely_first(values: Values, among: np.ndarray) -> list[tuple[str, ...]]:
    """The families of dates, those first that fit the first text: the others then find little left."""
    first = np.zeros(len(among), dtype=bool)
    first[np.flatnonzero(among)[:1]] = True

    def strange(family: tuple[str, ...]) -> bool:
        return not any(values.dates(pattern + time, first).any() for pattern in family for time in ("", TIME))

    return sorted(DATE_FAMILIES, key=strange) if first.any() else []


def _plain_shape(numbers: pa.Array) -> tuple[int, int] | None:
    """How many texts, all of them numbers, have a decimal point, and how many of those could be thousands
    (1.234); None when one has an exponent or a leading zero."""
    offsets, data = text_buffers(numbers)
    start, end = offsets[:-1], offsets[1:]
    used = data[offsets[0] : offsets[-1]]
    if ((used | 0x20) == ord("e")).any():
        return None
    first = start + ((data[start] == ord("+")) | (data[start] == ord("-")))
    second = np.minimum(first + 1, end - 1)
    zero = data[first] == ord("0")
    if (zero & (second > first) & (data[second] != ord("."))).any():
        return None
    dots = np.flatnonzero(used == ord(".")) + offsets[0]
    rows = np.searchsorted(end, dots, side="right")
    width = dots - first[rows]
    groups = (end[rows] - dots == 4) & (width >= 1) & (width <= 3) & ~zero[rows]
    return len(dots), int(groups.sum())


def _first_samples(trimmed: pa.Array, mask: pa.Array, first_row: int) -> list[Sample]:
    import pyarrow.compute as pc

    rows = np.flatnonzero(as_mask(pc.fill_null(mask, False)))[:SAMPLES].tolist()
    return [(first_row + 1 + row, trimmed[row].as_py()) for row in rows]


def is_day_first(pattern: str) -> bool:
    """Whether the pattern has a twin with the month in front."""
    return pattern.startswith("%d") and swapped(pattern) in DATES


def swapped(pattern: str) -> str:
    """The same pattern with day and month exchanged."""
    return pattern.replace("%d", "%_").replace("%m", "%d").replace("%_", "%m")
