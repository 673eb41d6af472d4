"""What an option of a model may be while it is tuned: a range of numbers, or a few values."""

from __future__ import annotations

import math
from typing import Any

from pydantic import Field, model_validator

from declarative_ml.core.component import Section

Choice = bool | int | float | str | tuple[int, ...] | None


class Span(Section):
    """What an option may be: `low` and `high` for numbers, or `choices` for anything."""

    low: float | None = Field(default=None, description="The smallest value that is tried")
    high: float | None = Field(default=None, description="The largest value that is tried")
    log: bool = Field(default=False, description="true: look at orders of magnitude, as 0.001, 0.01, 0.1")
    step: float | None = Field(
        default=None, gt=0.0, description="Only low, low + step, low + 2 step, … are tried"
    )
    choices: tuple[Choice, ...] | None = Field(
        default=None, min_length=2, description="The values that are tried, instead of a range"
    )

    @model_validator(mode="after")
    def _one_of(self) -> Span:
        if self.choices is not None:
            beside = [name for name in ("low", "high", "step") if getattr(self, name) is not None]
            beside += ["log"] if self.log else []
            if beside:
                raise ValueError(f"'choices' stands alone: delete {' and '.join(beside)}")
            return self
        if self.low is None or self.high is None:
            raise ValueError("a range needs 'low' and 'high'; a few values are 'choices'")
        if self.low >= self.high:
            raise ValueError(f"'low' is {self.low:g} and 'high' is {self.high:g}: low must be below high")
        if self.log and self.low <= 0.0:
            raise ValueError("with 'log', 'low' must be above 0")
        if self.log and self.step is not None:
            raise ValueError("'log' and 'step' exclude each other: delete one of them")
        return self


class Dimension(Span):
    """A span of a known option: `integer` where the option takes whole numbers only."""

    integer: bool = False

    def values(self) -> dict[str, Any]:
        """The JSON form, without what says nothing."""
        return self.model_dump(mode="json", exclude_defaults=True)

    @property
    def top(self) -> float:
        """The largest value that can be reached from `low` by steps."""
        assert self.low is not None and self.high is not None
        if self.step is None:
            return self.high
        return self.low + self.step * math.floor((self.high - self.low) / self.step + 1e-9)

    def holds(self, value: Any) -> bool:
        """Whether `value` could have been tried."""
        if self.choices is not None:
            return self.place(value) is not None
        if isinstance(value, bool) or not isinstance(value, int | float):
            return False
        assert self.low is not None
        if not self.low <= value <= self.top:
            return False
        steps = (value - self.low) / self.step if self.step is not None else 0.0
        return abs(steps - round(steps)) < 1e-9

    def place(self, value: Any) -> int | None:
        """The position of `value` among the choices; None where it is not one of them."""
        # 1 and true are equal in Python, and lists of JSON are tuples here.
        wanted = (type(value) is bool, tuple(value) if isinstance(value, list) else value)
        found = [(isinstance(choice, bool), choice) for choice in self.choices or ()]
        return found.index(wanted) if wanted in found else None
