"""Arithmetic on values of a row: expressions of SQL where they depend on the row, else plain numbers."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from declarative_ml.formats.sqltext.expressions import (
    Dialect,
    Dtype,
    Expression,
    Value,
    chained,
    literal,
    number,
)

_LARGEST_EXPONENT = 700.0
"""exp of more is an error in PostgreSQL, and so is exp of less than the negative."""
FLOATS = ("float32", "float64")


class Values:
    """Values of a row in a dialect, and what is computed of them."""

    def __init__(self, dialect: Dialect) -> None:
        self.dialect = dialect

    def text(self, value: Value, dtype: Dtype) -> tuple[str | Expression, ...]:
        """The pieces of an expression, or of a known value."""
        return (value,) if isinstance(value, Expression) else (literal(value, dtype, self.dialect),)

    def as_expression(self, value: Value) -> Expression:
        """A known value too as an expression."""
        if isinstance(value, Expression):
            return value
        dtype: Dtype = "string" if isinstance(value, str) else "float64"
        return self.make(dtype, self.text(value, dtype))

    def make(self, dtype: Dtype, *pieces: Any, **facts: Any) -> Expression:
        """An expression of pieces: texts, expressions, and tuples of both. NULL where one of them is."""
        parts: list[str | Expression] = []
        for piece in pieces:
            parts += piece if isinstance(piece, tuple) else (piece,)
        nullable = any(part.nullable for part in parts if isinstance(part, Expression))
        return Expression(tuple(parts), dtype, **{"nullable": nullable, "exact": dtype != "float32", **facts})

    def rounded(self, value: Value) -> Value:
        """A float32 as float32 has it, where it was computed in DOUBLE."""
        if not isinstance(value, Expression) or value.dtype != "float32" or value.exact:
            return value
        return self.make("float32", "CAST(CAST(", value, f" AS REAL) AS {self.dialect.double})", exact=True)

    def arithmetic(self, operator: str, dtype: Dtype, a: Value, b: Value) -> Value:
        """`a + b`, `a - b`, `a * b` of numbers."""
        if not isinstance(a, Expression) and not isinstance(b, Expression):
            folded: Value = _FOLDS[operator](a, b)
            return folded
        if operator == "*":
            return self.product(a, b, dtype)
        if not isinstance(b, Expression) and b == 0:
            return a
        if operator == "+" and not isinstance(a, Expression) and a == 0:
            return b
        facts: dict[str, Any] = {}
        if operator == "-" and a is b:
            facts["difference_of"] = a
        facts["choices"] = _shifted(operator, a, b)
        return self.make(
            dtype, "(", self.plain(a, dtype), f" {operator} ", self.plain(b, dtype), ")", **facts
        )

    def product(self, a: Value, b: Value, dtype: Dtype) -> Value:
        """`a * b`, without what 0 and 1 make needless."""
        if not isinstance(a, Expression):
            a, b = b, a
        if not isinstance(a, Expression):
            return a * b  # type: ignore[operator]
        if not isinstance(b, Expression):
            if b == 1:
                return a
            if b == 0 and not a.nullable:
                return 0.0 if dtype in FLOATS else 0
        return self.make(dtype, "(", a, " * ", self.plain(b, dtype), ")")

    def plain(self, value: Value, dtype: Dtype) -> tuple[str | Expression, ...]:
        """As `text`, for a place beside a float, which gives a plain number its type."""
        if isinstance(value, (Expression, str)) or dtype not in FLOATS or not math.isfinite(value):
            return self.text(value, dtype)
        return (number(value),)

    def total(self, values: Sequence[Value], dtype: Dtype = "float32") -> Value:
        """The sum of all."""
        known = sum(value for value in values if not isinstance(value, Expression))  # type: ignore[misc]
        terms: list[tuple[str | Expression, ...]] = [
            (value,) for value in values if isinstance(value, Expression)
        ]
        if not terms:
            return known
        if len(terms) == 1 and known == 0:
            return values[next(place for place, value in enumerate(values) if isinstance(value, Expression))]
        if known != 0:
            terms.append(self.plain(known, dtype))
        return self.make(dtype, chained(terms, " + "))

    def compare(self, operator: str, dtype: Dtype, a: Value, b: Value) -> Value:
        """`a < b` and the like; with NaN it is false."""
        a, b = self.rounded(a), self.rounded(b)
        pieces = (self.plain(a, dtype), f" {operator} ", self.plain(b, dtype))
        made = self.make("bool", "(", *pieces, ")")
        return self.make("bool", "COALESCE(", made, ", FALSE)", nullable=False) if made.nullable else made

    def extreme(self, function: str, dtype: Dtype, a: Value, b: Value) -> Value:
        """GREATEST or LEAST, but NaN where one is NaN."""
        if not isinstance(a, Expression) and not isinstance(b, Expression):
            return (max if function == "GREATEST" else min)(a, b)
        exact = all(not isinstance(value, Expression) or value.exact for value in (a, b))
        made = self.make(
            dtype, f"{function}(", self.plain(a, dtype), ", ", self.plain(b, dtype), ")", exact=exact
        )
        for value in (a, b):
            if isinstance(value, Expression) and value.nullable:
                made = self.make(
                    dtype, "CASE WHEN ", value, " IS NOT NULL THEN ", made, " END", nullable=True, exact=exact
                )
        return made

    def largest(self, dtype: Dtype, values: Sequence[Value]) -> Value:
        """The largest of all, by pairs: one after the other would nest as deep as there are values."""
        found = list(values)
        while len(found) > 1:
            pairs = [self.extreme("GREATEST", dtype, a, b) for a, b in zip(found[::2], found[1::2])]
            found = pairs + found[2 * len(pairs) :]
        return found[0]

    def function(self, name: str, dtype: Dtype, value: Value, fold: Callable[[Any], float]) -> Value:
        """`NAME(value)` of one number."""
        if not isinstance(value, Expression):
            return fold(value)
        return self.make(dtype, f"{name}(", value, ")")

    def exponential(self, value: Value) -> Value:
        """e to the power, with the exponent between -700 and 700."""
        if not isinstance(value, Expression):
            return math.exp(float(value))
        low = self.extreme("GREATEST", "float64", value, -_LARGEST_EXPONENT)
        cut = self.extreme("LEAST", "float64", low, _LARGEST_EXPONENT)
        return self.function("EXP", value.dtype, cut, math.exp)

    def case(
        self, operand: Expression, table: Mapping[Any, Value], key: Dtype, default: Value, dtype: Dtype
    ) -> Expression:
        """The entry of a table by its key."""
        operand.column = True
        if not table:
            return self.make(dtype, self.text(default, dtype), exact=True)
        pieces: list[object] = ["CASE ", operand]
        for name, value in table.items():
            pieces += [" WHEN ", self.text(name, key), " THEN ", self.text(value, dtype)]
        values = [*table.values(), default]
        return self.make(
            dtype,
            *pieces,
            " ELSE ",
            self.text(default, dtype),
            " END",
            nullable=any(isinstance(value, float) and math.isnan(value) for value in values),
            exact=True,
            choices=tuple(sorted(set(values))) if dtype == "int64" else None,
        )

    def quotient(self, dtype: Dtype, a: Value, b: Value) -> Value:
        """`a / b`; of whole numbers the whole part."""
        if not isinstance(a, Expression) and not isinstance(b, Expression):
            return a // b if dtype == "int64" else a / b  # type: ignore[operator]
        operator = " // " if dtype == "int64" and self.dialect.name == "DuckDB" else " / "
        return self.make(dtype, "(", self.plain(a, dtype), operator, self.plain(b, dtype), ")")

    def logic(self, operator: str, a: Value, b: Value) -> Value:
        """`a AND b`, `a OR b`."""
        return self.make("bool", "(", self.text(a, "bool"), f" {operator} ", self.text(b, "bool"), ")")

    def sigmoid(self, dtype: Dtype, value: Value) -> Value:
        """1 / (1 + exp(-value))."""
        power = self.exponential(self.product(value, -1.0, "float64"))
        return self.quotient(dtype, 1.0, self.arithmetic("+", "float64", 1.0, power))

    def gelu(self, dtype: Dtype, x: Value) -> Value:
        """Its approximation by tanh."""
        cube = self.product(self.product(x, x, dtype), self.product(x, 0.044715, dtype), dtype)
        inner = self.product(self.arithmetic("+", dtype, x, cube), math.sqrt(2 / math.pi), dtype)
        curve = self.arithmetic("+", dtype, 1.0, self.function("TANH", dtype, inner, math.tanh))
        return self.product(self.product(x, 0.5, dtype), curve, dtype)


def shortest(value: float) -> float:
    """The number whose decimal form is the shortest that float32 reads as `value`."""
    import numpy as np

    return float(str(np.float32(value)))


def _shifted(operator: str, a: Value, b: Value) -> tuple[int, ...] | None:
    if operator == "+" and isinstance(a, Expression) and a.choices is not None and isinstance(b, int):
        return tuple(choice + b for choice in a.choices)
    return None


_FOLDS: Mapping[str, Callable[[Any, Any], Any]] = {
    "+": lambda a, b: a + b,
    "-": lambda a, b: a - b,
    "*": lambda a, b: a * b,
}
