"""Expressions of SQL that share what they have in common, and the query that computes them.

An expression is pieces of text with other expressions between them. What is used more than once becomes a
column of a common table expression (CTE), so that the text grows with the graph and not with its paths.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

Dtype = Literal["float32", "float64", "int64", "bool", "string"]
"""The types of the graph. Both kinds of floats are DOUBLE in SQL; NaN is NULL."""

_CHUNK = 40
"""Summands between two parentheses: databases limit how deep an expression nests."""
_ROW = "dml_row"
_SOURCE = '"dml source"'


@dataclass(frozen=True)
class Dialect:
    """Where the languages of databases part."""

    name: str
    double: str
    not_a_number: str
    full_match: str
    """`{0}` the text, `{1}` the pattern."""
    all_of: str
    """Every column of the row `{0}`."""
    typed_literals: bool
    """Whether a plain 1.5e0 is an exact decimal, which is slow where nothing else makes it a float."""
    barrier: str
    """Behind a CTE: keeps the planner from merging it with the next, which would copy its expressions."""
    longest_name: int | None
    """Bytes of an identifier; longer ones are cut."""
    most_columns: int | None
    same_case: bool
    """Whether names that differ only in case are the same."""


DIALECTS: Mapping[str, Dialect] = {
    "duckdb": Dialect(
        name="DuckDB",
        double="DOUBLE",
        not_a_number="'NaN'::DOUBLE",
        full_match="regexp_full_match({0}, {1})",
        all_of="{0}.*",
        typed_literals=False,
        barrier="",
        longest_name=None,
        most_columns=None,
        same_case=True,
    ),
    "postgres": Dialect(
        name="PostgreSQL",
        double="float8",
        not_a_number="'NaN'::float8",
        full_match="{0} ~ ('^(' || {1} || ')$')",
        all_of="({0}).*",
        typed_literals=True,
        barrier=" OFFSET 0",
        longest_name=63,
        most_columns=1_600,
        same_case=False,
    ),
}


@dataclass(eq=False, slots=True)
class Expression:
    """One value of a row. Two are equal only when they are the same object."""

    parts: tuple[str | Expression, ...]
    dtype: Dtype
    nullable: bool = False
    """Whether it can be NULL, which stands for NaN."""
    exact: bool = True
    """float32: whether it is a float32 value; False: it was computed in DOUBLE and not rounded."""
    choices: tuple[int, ...] | None = None
    """int64: the only values that it takes; None: not known."""
    front: tuple[str, Expression] | None = None
    """string: a known text and the expression that it stands in front of."""
    difference_of: Expression | None = None
    """Set where this is x - x: it is NaN for x infinite or NaN."""
    tested: Expression | None = None
    """bool: set where this is true whenever that expression is NULL."""
    column: bool = field(default=False)
    """Whether it is a column in any case."""

    def inner(self) -> Iterator[Expression]:
        """The expressions between the pieces of text, as often as they stand there."""
        return (part for part in self.parts if isinstance(part, Expression))


Value = Expression | float | int | bool | str
"""One element of a tensor: computed from a row, or known."""


def identifier(name: str) -> str:
    """A name in double quotes, whatever it holds."""
    return '"' + name.replace('"', '""') + '"'


def text_literal(text: str) -> str:
    """A string literal, whatever it holds."""
    return "'" + text.replace("'", "''") + "'"


def number(value: float) -> str:
    """A float's shortest decimal that reads back the same; with an exponent it is a DOUBLE in DuckDB."""
    shown = repr(float(value))
    if "e" not in shown:
        shown = shown.removesuffix(".0") + "e0"
    return f"({shown})" if value < 0 else shown


def literal(value: Any, dtype: Dtype, dialect: Dialect) -> str:
    """A known value, its type plain to see."""
    if dtype == "string":
        return text_literal(str(value))
    if dtype == "bool":
        return "TRUE" if value else "FALSE"
    if dtype == "int64":
        return f"({int(value)})" if value < 0 else str(int(value))
    if math.isnan(value):
        return f"CAST(NULL AS {dialect.double})"
    if math.isinf(value):
        return f"'{'-' if value < 0 else ''}Infinity'::{dialect.double}"
    plain = number(value)
    return f"{plain}::{dialect.double}" if dialect.typed_literals else plain


def chained(parts: Sequence[tuple[str | Expression, ...]], operator: str) -> tuple[str | Expression, ...]:
    """`a + b + …` in parentheses, in groups of groups where it is long."""
    groups = list(parts)
    while len(groups) > _CHUNK:
        groups = [
            chained(groups[start : start + _CHUNK], operator) for start in range(0, len(groups), _CHUNK)
        ]
    found: list[str | Expression] = ["("]
    for position, group in enumerate(groups):
        found += [operator] if position else []
        found += group
    return (*found, ")")


class Query:
    """A statement that adds columns to the rows of a table."""

    def __init__(self, dialect: Dialect, table: str, answers: Mapping[str, Expression]) -> None:
        self._dialect = dialect
        self._table = table
        self._answers = answers
        self._columns = _shared(answers.values())
        self._levels: dict[Expression, int] = {}
        """The CTE that each column stands in, from 1."""
        for expression in self._columns:
            self._levels[expression] = 1 + max(
                (self._levels[used] for used in self._read(expression)), default=0
            )
        self._names = {expression: f"d{place}" for place, expression in enumerate(self._columns, start=1)}

    @property
    def widest(self) -> int:
        """Columns of the widest CTE."""
        return max((len(carried) + len(new) for carried, new in self._stages()), default=0) + 1

    def text(self) -> str:
        """The whole statement, without a semicolon: it can be a view or a subquery."""
        source = f"{self._table} AS {_SOURCE}"
        ctes = []
        for level, (carried, new) in enumerate(self._stages(), start=1):
            row = f"{_SOURCE} AS {_ROW}" if level == 1 else _ROW
            shown = [row, *(self._names[column] for column in carried)]
            shown += [f"{self._written(column)} AS {self._names[column]}" for column in new]
            below = source if level == 1 else f'"dml {level - 1}"'
            body = ",\n  ".join(shown)
            ctes.append(f'"dml {level}" AS (SELECT {body}\n  FROM {below}{self._dialect.barrier})')
        answers = [f"{self._shown(value)} AS {identifier(name)}" for name, value in self._answers.items()]
        selected = ",\n  ".join([self._dialect.all_of.format(_ROW), *answers])
        chain = ",\n".join(ctes)
        return f'WITH {chain}\nSELECT {selected}\nFROM "dml {len(ctes)}"\n'

    def _stages(self) -> list[tuple[list[Expression], list[Expression]]]:
        """For each CTE the columns that it passes on, and those that it computes."""
        last = dict.fromkeys(self._columns, 0)
        depth = max(self._levels.values(), default=1)
        for expression in self._columns:
            for used in self._read(expression):
                last[used] = max(last[used], self._levels[expression])
        for expression in self._answers.values():
            for used in self._leaves(expression):
                last[used] = depth + 1
        return [
            (
                [column for column in self._columns if self._levels[column] < level < last[column]],
                [column for column in self._columns if self._levels[column] == level],
            )
            for level in range(1, depth + 1)
        ]

    def _read(self, expression: Expression) -> list[Expression]:
        """The columns that a column is computed from."""
        return [used for part in expression.inner() for used in self._leaves(part)]

    def _leaves(self, expression: Expression) -> list[Expression]:
        if expression in self._levels or expression.column:
            return [expression]
        return self._read(expression)

    def _shown(self, expression: Expression) -> str:
        return self._names[expression] if expression in self._names else self._written(expression)

    def _written(self, expression: Expression) -> str:
        return "".join(part if isinstance(part, str) else self._shown(part) for part in expression.parts)


def _shared(answers: Iterable[Expression]) -> list[Expression]:
    """What becomes a column, marked as such, each after those that it is computed from."""
    seen: dict[Expression, int] = {}
    order: list[Expression] = []

    def visit(expression: Expression) -> None:
        seen[expression] = seen.get(expression, 0) + 1
        if seen[expression] == 1:
            for part in expression.inner():
                visit(part)
            order.append(expression)

    for answer in answers:
        visit(answer)
    for expression in order:
        expression.column |= seen[expression] > 1
    return [expression for expression in order if expression.column]
