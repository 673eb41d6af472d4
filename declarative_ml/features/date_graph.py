"""The calendar of `learning.iso_dates` spelled out in graph operators, integer for integer."""

from __future__ import annotations

from typing import TYPE_CHECKING

from declarative_ml.learning.iso_dates import DATE_PATTERN, TIME_PATTERN

if TYPE_CHECKING:
    from declarative_ml.graph.onnx_graph import OnnxGraph


class DateGraph:
    """Nodes that turn an ISO text [N, 1] into the tensors of its parts, int64 [N, 1] each."""

    def __init__(self, graph: OnnxGraph, tensor: str) -> None:
        self.graph = graph
        with_time = graph.add("RegexFullMatch", [tensor], pattern=DATE_PATTERN + TIME_PATTERN)
        date_only = graph.add("RegexFullMatch", [tensor], pattern=DATE_PATTERN)
        self.valid = graph.add("Or", [with_time, date_only])
        midnight = graph.add("StringConcat", [tensor, graph.constant([["T00:00:00"]])])
        either = graph.add("Where", [with_time, tensor, midnight])
        # Texts that are no dates become one, so that no cast can fail; `valid` hides them afterwards.
        epoch = graph.constant([["1970-01-01T00:00:00"]])
        text = graph.add("Where", [self.valid, either, epoch])
        # One row more, cut off in `_integer`: without any row the splits would have no columns.
        text = graph.add("Concat", [text, epoch], axis=0)
        year, month, rest = self._split(text, "-", 3)
        day, clock = self._split(rest, "T", 2)
        hour, minute, second = self._split(clock, ":", 3)
        self.year, self.month, self.day, self.hour = (self._integer(t) for t in (year, month, day, hour))
        self.minute, self.second = self._integer(minute), self._integer(second)
        self.whole_days = self._days(self.year, self.month, self.day)

    def _split(self, tensor: str, delimiter: str, pieces: int) -> list[str]:
        """[N, 1] -> `pieces` tensors [N, 1]."""
        graph = self.graph
        flat = graph.add("Reshape", [tensor, graph.constant([-1], "int64")])
        table = graph.add_many("StringSplit", [flat], outputs=2, delimiter=delimiter)[0]
        return [graph.add("Gather", [table, graph.constant([i], "int64")], axis=1) for i in range(pieces)]

    def _integer(self, tensor: str) -> str:
        first, last, axis = (self.graph.constant([number], "int64") for number in (0, -1, 0))
        return self.graph.add("Slice", [self.graph.cast(tensor, "int64"), first, last, axis])

    def _with(self, operator: str, tensor: str, number: int) -> str:
        return self.graph.add(operator, [tensor, self.graph.constant([[number]], "int64")])

    def _sum(self, *tensors: str) -> str:
        total = tensors[0]
        for tensor in tensors[1:]:
            total = self.graph.add("Add", [total, tensor])
        return total

    def _days(self, year: str, month: str, day: str) -> str:
        """iso_dates.days_from_civil."""
        early = self.graph.cast(
            self.graph.add("LessOrEqual", [month, self.graph.constant([[2]], "int64")]), "int64"
        )
        shifted = self.graph.add("Sub", [self._with("Add", year, 400), early])
        era = self._with("Div", shifted, 400)
        of_era = self.graph.add("Sub", [shifted, self._with("Mul", era, 400)])
        turned = self._with("Mod", self._with("Add", month, 9), 12)
        of_year = self._with("Div", self._with("Add", self._with("Mul", turned, 153), 2), 5)
        leap = self.graph.add("Sub", [self._with("Div", of_era, 4), self._with("Div", of_era, 100)])
        years = self._sum(self._with("Mul", era, 146_097), self._with("Mul", of_era, 365), leap)
        return self._with("Add", self._sum(years, of_year, day), -865_566)

    def part(self, name: str) -> str:
        """One of iso_dates.PARTS without its fraction, int64 [N, 1]."""
        if name == "days":
            return self.whole_days
        if name == "weekday":
            # 1,400,000 is a multiple of seven that makes every day positive.
            return self._with("Mod", self._with("Add", self.whole_days, 1_400_003), 7)
        if name == "yearday":
            one = self.graph.constant([[1]], "int64")
            january = self._days(self.year, one, one)
            return self._with("Add", self.graph.add("Sub", [self.whole_days, january]), 1)
        return {"year": self.year, "month": self.month, "day": self.day, "hour": self.hour}[name]

    def days_since(self, centre: int) -> str:
        """Days after `centre`, with the time of day as fraction, float64 [N, 1]."""
        graph = self.graph
        minutes = self._sum(self._with("Mul", self.hour, 60), self.minute)
        seconds = self._sum(self._with("Mul", minutes, 60), self.second)
        fraction = graph.add("Div", [graph.cast(seconds, "float64"), graph.constant([[86_400.0]], "float64")])
        whole = graph.cast(self._with("Sub", self.whole_days, centre), "float64")
        return graph.add("Add", [whole, fraction])

    def or_else(self, tensor: str, missing: float) -> str:
        """`tensor` as float32, `missing` where the text is no date."""
        number = self.graph.cast(tensor, "float32")
        return self.graph.add("Where", [self.valid, number, self.graph.constant([[missing]], "float32")])
