"""The checks of a data contract as conditions in SQL, each of which finds the rows that break it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from declarative_ml.core.schema import ColumnRule, TableSchema
from declarative_ml.formats.sqltext.expressions import identifier, text_literal
from declarative_ml.spec.contract import Checks, ColumnCheck, Severity

_SQL_TYPES = {"number": "DOUBLE", "integer": "BIGINT", "boolean": "BOOLEAN", "date": "TIMESTAMP"}
_FITTING = {
    "number": ("number", "integer", "boolean"),
    "integer": ("integer", "boolean"),
    "boolean": ("boolean",),
    "date": ("date",),
}
"""What is asked for -> types of columns of which every value is that."""


ROW = "__dml_row"
"""The column with the position of a row, from 0."""


@dataclass(frozen=True)
class Check:
    """One demand on the rows."""

    name: str
    """As it stands in the spec, such as `columns.tenure.max`."""
    column: str | None
    asked: str
    """In words, such as `at most 120`."""
    broken: str
    """SQL condition of a row that breaks it."""
    allowed: float = 0.0
    """Share of the rows that may."""
    severity: Severity = "error"
    shown: str | None = None
    """SQL of the value to show of such a row; absent: nothing."""


def checks_of(contract: Checks, schema: TableSchema) -> Iterator[Check]:
    """The demands on rows and their values, in the order of the spec. Columns that are absent are no
    matter here: see `absent_columns`."""
    if contract.rows.duplicates is not None:
        yield Check(
            "rows.duplicates",
            None,
            f"{_share(contract.rows.duplicates)} repeat an earlier one",
            _repeats(list(schema.columns)),
            contract.rows.duplicates,
            contract.rows.severity,
        )
    for name, check in contract.columns.items():
        if name in schema.columns:
            yield from _column(name, check, schema.columns[name])
    for name, rule in contract.rules.items():
        broken = f"NOT coalesce(({rule.holds}), true)"
        yield Check(f"rules.{name}", None, rule.holds, broken, 0.0, rule.severity)


def _column(name: str, check: ColumnCheck, rule: ColumnRule) -> Iterator[Check]:
    column = identifier(name)
    text = f"CAST({column} AS VARCHAR)"

    def broken(key: str, asked: str, condition: str, allowed: float = 0.0) -> Check:
        place = f"columns.{name}.{key}"
        return Check(place, name, asked, condition, allowed, check.severity, text)

    if check.missing is not None:
        yield broken("missing", f"{_share(check.missing)} missing", f"{column} IS NULL", check.missing)
    if check.read_as is not None:
        yield from _of_type(check, rule, column, broken)
    if check.values is not None:
        allowed = ", ".join(text_literal(_text(value)) for value in check.values)
        asked = f"one of {', '.join(map(_text, check.values))}"
        yield broken("values", asked, f"{_plain(column, rule)} NOT IN ({allowed})")
    if check.unique:
        again = f"{column} IN (SELECT {column} FROM source GROUP BY {column} HAVING count(*) > 1)"
        yield broken("unique", "every value once", again)
    if check.matches is not None:
        found = f"NOT regexp_full_match({text}, {text_literal(check.matches)})"
        yield broken("matches", f"matching {check.matches}", found)
    if check.min_length is not None:
        yield broken(
            "min_length", f"at least {check.min_length} characters", f"length({text}) < {check.min_length}"
        )
    if check.max_length is not None:
        yield broken(
            "max_length", f"at most {check.max_length} characters", f"length({text}) > {check.max_length}"
        )


def _of_type(check: ColumnCheck, rule: ColumnRule, column: str, broken: Any) -> Iterator[Check]:
    """That every value reads as a number or date, and lies between the bounds."""
    wanted = check.read_as
    assert wanted is not None
    kind = _SQL_TYPES[wanted]
    value = f"TRY_CAST({column} AS {kind})"
    if rule.type not in _FITTING[wanted]:
        unread = f"{column} IS NOT NULL" + (f" AND {value} IS NULL" if rule.type == "text" else "")
        if wanted == "integer" and rule.type == "number":
            unread = f"{column} <> round({column})"
        yield broken("type", f"a {wanted}" if wanted != "integer" else "an integer", unread)
        if rule.type != "text":
            return
    for key, bound, sign, words in (("min", check.min, "<", "at least"), ("max", check.max, ">", "at most")):
        if bound is not None:
            literal = f"TIMESTAMP {text_literal(bound)}" if isinstance(bound, str) else repr(float(bound))
            yield broken(key, f"{words} {_text(bound)}", f"{value} {sign} {literal}")


def moment_of(name: str, rule: ColumnRule) -> str:
    """SQL of a column's values as moments; what is none is missing."""
    column = identifier(name)
    return f"TRY_CAST({column} AS TIMESTAMP)" if rule.type in ("text", "date") else "CAST(NULL AS TIMESTAMP)"


def _plain(column: str, rule: ColumnRule) -> str:
    """A value as a person writes it in the spec: 1.0 is 1."""
    text = f"CAST({column} AS VARCHAR)"
    if rule.type != "number":
        return text
    whole = f"{column} = round({column}) AND abs({column}) < 1e15"
    return f"CASE WHEN {whole} THEN CAST(CAST({column} AS BIGINT) AS VARCHAR) ELSE {text} END"


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e15:
        return str(int(value))
    return str(value)


def _share(allowed: float) -> str:
    return "none" if allowed == 0 else f"at most {100 * allowed:g} %"


def _repeats(columns: list[str]) -> str:
    """Whether an equal row came before."""
    names = ", ".join(map(identifier, columns))
    return f"row_number() OVER (PARTITION BY {names} ORDER BY {identifier(ROW)}) > 1"
