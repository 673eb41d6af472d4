"""The calendar of `learning.iso_dates` spelled out in graph operators, integer for integer.

A row costs about a microsecond for each node, so all parts are computed side by side: one tensor holds the
numbers of the text, a table by month stands for what depends on the month, and one product of matrices gives
the parts.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate
from typing import TYPE_CHECKING

from declarative_ml.learning.iso_dates import DATE_PATTERN, TIME_PATTERN

if TYPE_CHECKING:
    from declarative_ml.graph.onnx_graph import OnnxGraph

_YEAR, _MONTH, _DAY = 0, 1, 2
"""Places of the numbers that are read from a text; hour, minute and second follow."""
_CYCLE = 400
"""Years after which the calendar repeats. As many are added: no number that is divided is negative."""
_LATER = 1_400_003
"""So many days are added as well; three more than a multiple of seven, as 1970-01-01 was a Thursday."""
_FIRST_DAY = _LATER - 146_097 - 719_468 - 1
"""What makes the days that are counted from 1 March of the year 0 days after 1970-01-01, and later."""
_QUOTIENTS = {1: 365, 4: 1, 100: -1, 400: 1}
"""Before a year lie so many days for each whole quotient of it: 365 a year, and those of the leap years."""
_MONTHS = (31, 30, 31, 30, 31, 31, 30, 31, 30, 31, 31)
"""Days of March to January."""
_TO_JANUARY = sum(_MONTHS[:10])
_SECONDS = (3600, 60, 1)
_ENDLESS = 2**30
"""Greater than any of the numbers: what is left after division by it is the number."""

_COLUMNS = ("days", "seconds", "year", "month", "day", "weekday", "yearday", "hour")
"""iso_dates.PARTS, and the seconds of the day, which `days` gets as its fraction."""
_ADDED = {"days": _LATER, "yearday": _FIRST_DAY + _TO_JANUARY}


class DateGraph:
    """Nodes that turn an ISO text [N, 1] into the parts of its date.

    `valid` is bool [N, 1]: whether the text is a date. The parts of another text are those of 1970-01-01.
    """

    def __init__(self, graph: OnnxGraph, tensor: str) -> None:
        self.graph = graph
        self.valid = graph.add("RegexFullMatch", [tensor], pattern=f"{DATE_PATTERN}({TIME_PATTERN})?")
        whole = graph.cast(self._whole(self._read(tensor)), "float64")
        added = [[float(_ADDED.get(name, 0)) for name in _COLUMNS]]
        units = [[86_400.0 if name == "seconds" else 1.0 for name in _COLUMNS]]
        exact = graph.add("Sub", [whole, graph.constant(added)])
        self._numbers = graph.add("Div", [exact, graph.constant(units)])

    def parts(self, names: Sequence[str]) -> str:
        """These of iso_dates.PARTS, float64 [N, W]."""
        import numpy as np

        chosen = np.zeros((len(_COLUMNS), len(names)))
        for column, name in enumerate(names):
            chosen[_COLUMNS.index(name), column] = 1.0
            if name == "days":
                chosen[_COLUMNS.index("seconds"), column] = 1.0
        return self.graph.add("MatMul", [self._numbers, self.graph.constant(chosen)])

    def or_else(self, tensor: str, missing: float) -> str:
        """`tensor` [N, W] float32, `missing` where the text is no date."""
        return self.graph.add("Where", [self.valid, tensor, self.graph.constant([[missing]], "float32")])

    def _read(self, tensor: str) -> str:
        """Year, month, day, hour, minute and second: int64 [N, 6]."""
        graph = self.graph
        # Midnight, for a text without time; of one that has a time it is a third piece, which is not read.
        timed = graph.add("StringConcat", [tensor, graph.constant([["T00:00:00"]])])
        # Texts that are no dates become one, so that no cast can fail; `valid` hides them afterwards.
        epoch = graph.constant([["1970-01-01T00:00:00"]])
        timed = graph.add("Where", [self.valid, timed, epoch])
        # One row more, cut off in the end: without any row the splits would have no columns.
        timed = graph.add("Concat", [timed, epoch], axis=0)
        flat = graph.add("Reshape", [timed, graph.constant([-1], "int64")])
        pieces = self._split(flat, "T")
        date, clock = (graph.add("Gather", [pieces, self._number(i)], axis=1) for i in (0, 1))
        texts = graph.add("Concat", [self._split(date, "-"), self._split(clock, ":")], axis=1)
        first, last, axis = (graph.constant([number], "int64") for number in (0, -1, 0))
        return graph.add("Slice", [graph.cast(texts, "int64"), first, last, axis])

    def _split(self, tensor: str, delimiter: str) -> str:
        """[N] -> [N, the most pieces]."""
        return self.graph.add_many("StringSplit", [tensor], outputs=2, delimiter=delimiter)[0]

    def _number(self, number: int) -> str:
        return self.graph.constant(number, "int64")

    def _whole(self, read: str) -> str:
        """_COLUMNS as iso_dates.days_from_civil gives them, each with what is _ADDED: int64 [N, 8].

        Years begin in March, as there, so that the leap day is the last one.
        """
        graph = self.graph
        size = len(_QUOTIENTS)
        month = graph.add("Gather", [read, self._number(_MONTH)], axis=1)
        by_month = graph.add("Gather", [graph.constant(_month_table(), "int64"), month], axis=0)
        years_and_day = graph.take(read, [_YEAR] * 2 * size + [_DAY])
        shifted = graph.add("Add", [years_and_day, by_month])
        divisors = graph.constant([[*_QUOTIENTS, *_QUOTIENTS, 1]], "int64")
        quotients = graph.add("Div", [shifted, divisors])
        weighed = graph.add(
            "MatMul", [graph.concat([quotients, read]), graph.constant(_part_weights(), "int64")]
        )
        lengths = [[7 if name == "weekday" else _ENDLESS for name in _COLUMNS]]
        return graph.add("Mod", [weighed, graph.constant(lengths, "int64")])


def _month_table() -> list[list[int]]:
    """By month from 0: what is added to the year, for each quotient; to that of 1 January; and to the day."""
    size = len(_QUOTIENTS)
    before = [0, *accumulate(_MONTHS)]
    rows = [
        [_CYCLE - (month <= 2)] * size + [_CYCLE - 1] * size + [before[(month + 9) % 12] + _FIRST_DAY]
        for month in range(1, 13)
    ]
    return [rows[0], *rows]  # no month is 0


def _part_weights() -> list[list[int]]:
    """What each quotient and each number of the text counts in each of _COLUMNS: [15, 8]."""
    size = len(_QUOTIENTS)
    of_days = [*_QUOTIENTS.values(), *[0] * size, 1, *[0] * 6]
    of_january = [*[0] * size, *_QUOTIENTS.values(), *[0] * 7]
    numbers = 2 * size + 1
    single = {"year": 0, "month": 1, "day": 2, "hour": 3}
    weights = {name: [0] * (numbers + place) + [1] + [0] * (5 - place) for name, place in single.items()}
    weights["days"] = weights["weekday"] = of_days
    weights["yearday"] = [day - january for day, january in zip(of_days, of_january, strict=True)]
    weights["seconds"] = [*[0] * (numbers + 3), *_SECONDS]
    return [list(row) for row in zip(*(weights[name] for name in _COLUMNS), strict=True)]
