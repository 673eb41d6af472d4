"""The section `data.checks`: what the source's rows have to be before anything is learned from them."""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from typing import Annotated, Literal

from pydantic import Field, field_validator, model_validator

from declarative_ml.core.component import Section

Drift = Annotated[float, Field(gt=0.0)]
Severity = Literal["error", "warn"]
ValueType = Literal["number", "integer", "boolean", "date"]
Bound = float | str
"""A number, or a day as ISO text."""

_AGE = r"^(\d+d)?(\d+h)?(\d+m)?$"
Age = Annotated[str, Field(min_length=2, pattern=_AGE, examples=["2d", "36h", "1d12h"])]

_DATE = re.compile(r"^\d{4}-\d{2}-\d{2}([T ]\d{2}:\d{2}(:\d{2})?)?$")


class _Check(Section):
    severity: Severity = Field(
        default="error", description="error: nothing is trained; warn: the run and its report say so"
    )


def span_of(age: str) -> timedelta:
    """The span of time that an Age means."""
    found = re.fullmatch(_AGE, age)
    if found is None:
        raise ValueError(f"'{age}' is no age: write 2d, 36h or 1d12h")
    days, hours, minutes = (int(part[:-1]) if part else 0 for part in found.groups())
    return timedelta(days=days, hours=hours, minutes=minutes)


class RowsCheck(_Check):
    """What the table as a whole has to be."""

    min: int | None = Field(default=None, ge=0, description="Fewest rows")
    max: int | None = Field(default=None, ge=0, description="Most rows")
    duplicates: float | None = Field(
        default=None, ge=0.0, le=1.0, description="Largest share of rows that repeat an earlier one"
    )
    change: float | None = Field(
        default=None,
        ge=0.0,
        description="How far their number may be from that of the last good run, as a share of it",
    )


class ColumnCheck(_Check):
    """What the values of one column have to be. Missing values break `missing` only."""

    type: ValueType | None = Field(default=None, description="Every value reads as this")
    min: Bound | None = Field(default=None, description="Smallest value: a number, or a date")
    max: Bound | None = Field(default=None, description="Largest value: a number, or a date")
    missing: float | None = Field(default=None, ge=0.0, le=1.0, description="Largest share without a value")
    values: tuple[str | bool | int | float, ...] | None = Field(
        default=None, min_length=1, description="All the values there may be"
    )
    unique: bool = Field(default=False, description="No value comes twice")
    matches: str | None = Field(default=None, description="Regular expression of a whole value, as text")
    min_length: int | None = Field(default=None, ge=0, description="Fewest characters")
    max_length: int | None = Field(default=None, ge=0, description="Most characters")

    freshness: Age | None = Field(default=None, description="Greatest age of the newest date, such as 2d")
    drift: Drift | None = Field(
        default=None, description="Largest population stability index against the last good run, such as 0.2"
    )

    @field_validator("min", "max")
    @classmethod
    def _number_or_date(cls, value: Bound | None) -> Bound | None:
        if isinstance(value, str) and not _DATE.match(value):
            raise ValueError(f"'{value}' is neither a number nor a date such as 2024-12-31")
        return value

    @field_validator("matches")
    @classmethod
    def _is_expression(cls, value: str | None) -> str | None:
        if value is not None:
            try:
                re.compile(value)
            except re.error as error:
                raise ValueError(f"no regular expression: {error}") from None
        return value

    @model_validator(mode="after")
    def _can_hold(self) -> ColumnCheck:
        kinds = {type(bound) is str for bound in (self.min, self.max) if bound is not None}
        if len(kinds) > 1:
            raise ValueError("'min' and 'max' are a number and a date")
        if self.freshness is not None and (self.type not in (None, "date") or False in kinds):
            raise ValueError("'freshness' is of dates")
        if self.type is not None and kinds and (self.type == "date") != kinds.pop():
            raise ValueError(f"a {self.type} has bounds of its own kind")
        pairs = ((self.min, self.max, ""), (self.min_length, self.max_length, "_length"))
        for low, high, name in pairs:
            if low is not None and high is not None and low > high:  # type: ignore[operator]
                raise ValueError(f"'min{name}' is above 'max{name}'")
        return self

    @property
    def read_as(self) -> ValueType | None:
        """What values have to read as: what is said, or what the bounds are of."""
        bound = self.min if self.min is not None else self.max
        if self.type is None and self.freshness is not None:
            return "date"
        if self.type is not None or bound is None:
            return self.type
        return "date" if isinstance(bound, str) else "number"


class DriftCheck(_Check):
    """How far columns may move from what they were in the last good run."""

    max: Drift = Field(default=0.2, description="Largest population stability index of a column")


class RuleCheck(_Check):
    """A condition on the values of each row."""

    holds: str = Field(min_length=1, description="SQL condition; a row where it is unknown keeps it")


class TableChecks(Section):
    """What the rows of one table have to be."""

    rows: RowsCheck = Field(default=RowsCheck(), description="The table as a whole")
    columns: dict[str, ColumnCheck] = Field(default_factory=dict, description="By column of the table")
    others: Literal["allow", "warn", "refuse"] = Field(
        default="allow", description="What of columns that `columns` does not name"
    )
    rules: dict[str, RuleCheck] = Field(
        default_factory=dict, description="Name -> condition over the columns of a row"
    )
    drift: DriftCheck | None = Field(
        default=None, description="Of every column that has no `drift` of its own; absent: of none"
    )


class Checks(TableChecks):
    """The data contract: held by the rows of `data.source` before `sql` and `split`, or by several tables."""

    sources: dict[str, TableChecks] = Field(
        default_factory=dict, description="By name of one of `data.sources`: what its rows have to be"
    )
    table: TableChecks | None = Field(
        default=None, description="What the rows have to be that `data.sql` gives; looked at before `split`"
    )
    as_of: str | None = Field(
        default=None, description="The moment (UTC) that `freshness` counts back from; absent: now"
    )

    @field_validator("as_of")
    @classmethod
    def _is_moment(cls, value: str | None) -> str | None:
        try:
            if value is None or (_DATE.match(value) and datetime.fromisoformat(value)):
                return value
        except ValueError:
            pass
        raise ValueError(f"'{value}' is no moment such as 2024-12-31 or 2024-12-31T08:00")

    def parts(self) -> dict[str, Checks]:
        """What is asked of each table: `` of the source, `sources.NAME` of one of several, `table` of what
        `sql` gives. Each is a contract of that table alone."""
        own = self.model_copy(update={"sources": {}, "table": None})
        found = {} if (self.sources or self.table) and own == Checks(as_of=self.as_of) else {"": own}
        others = {f"sources.{name}": checks for name, checks in self.sources.items()}
        if self.table is not None:
            others["table"] = self.table
        return found | {name: Checks(as_of=self.as_of, **dict(checks)) for name, checks in others.items()}

    @property
    def asks_clock(self) -> bool:
        """Whether the answer depends on when it is asked."""
        return self.as_of is None and any(column.freshness for column in self.columns.values())

    @property
    def compares(self) -> bool:
        """Whether the rows are held against those of the last good run."""
        columns = self.columns.values()
        return self.rows.change is not None or self.drift is not None or any(item.drift for item in columns)
