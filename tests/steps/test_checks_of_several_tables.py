"""A data contract for each of several sources, and for what the SQL makes of them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from declarative_ml import validate
from declarative_ml.api.check import check_data
from declarative_ml.api.planning import make_plan
from declarative_ml.core.errors import DataError, SpecError, UsageError
from declarative_ml.spec.load import load_spec

_SPEC = """
name: orders
data:
  sources: {orders: orders.csv, customers: customers.csv}
  checks:
    sources:
      orders: {rows: {min: 3}, columns: {price: {min: 0, drift: 0.2}}}
      customers: {columns: {customer: {unique: true}, segment: {values: [a, b], severity: warn}}}
    table: {rows: {min: 40}, columns: {segment: {missing: 0.5}}, rules: {paid: {holds: price >= 1}}}
  sql: SELECT orders.*, segment FROM orders LEFT JOIN customers USING (customer)
target: returned
model: linear
explain: {method: none}
track: {enabled: false}
"""


@pytest.fixture
def spec(tmp_path: Path) -> Path:
    orders = [f"{number % 5},{number + 1},{'yn'[number % 2]}" for number in range(60)]
    (tmp_path / "orders.csv").write_text("\n".join(["customer,price,returned", *orders]) + "\n")
    customers = [f"{number},{'ab'[number % 2]}" for number in range(5)]
    (tmp_path / "customers.csv").write_text("\n".join(["customer,segment", *customers]) + "\n")
    (tmp_path / "spec.yaml").write_text(_SPEC)
    return tmp_path / "spec.yaml"


def add(path: Path, *lines: str) -> None:
    with path.open("a") as stream:
        stream.writelines(f"{line}\n" for line in lines)


def test_every_table_is_held_against_its_own_part(spec: Path) -> None:
    found = check_data(spec)
    assert found.error is None
    assert [item.check for item in found.report.findings] == [
        "sources.orders.rows.min",
        "sources.orders.columns.price.min",
        "sources.orders.columns.price.drift",
        "sources.customers.columns.customer.unique",
        "sources.customers.columns.segment.values",
        "table.rows.min",
        "table.columns.segment.missing",
        "table.rules.paid",
    ]
    assert found.report.rows == 60 + 5 + 60


def test_what_is_broken_of_each_source_is_told(spec: Path) -> None:
    add(spec.parent / "customers.csv", "4,c")
    add(spec.parent / "orders.csv", "1,-5,y")
    report = check_data(spec).report
    assert {item.check: item.examples[0].words for item in report.violations} == {
        "sources.orders.columns.price.min": "row 61: '-5'",
        "sources.customers.columns.customer.unique": "row 5: '4'",
    }
    assert [item.check for item in report.warnings] == ["sources.customers.columns.segment.values"]
    assert not any(item.check.startswith("table") for item in report.findings), "no rows come of these"


def test_the_table_that_sql_gives(spec: Path) -> None:
    add(spec.parent / "orders.csv", "9,0.5,y", "9,0.25,n")
    assert {item.check for item in check_data(spec).report.violations} == {"table.rules.paid"}
    spec.write_text("\n".join(line for line in _SPEC.splitlines() if "orders: {rows" not in line))
    assert {item.check for item in check_data(spec).report.violations} == {"table.rules.paid"}


def test_nothing_runs_before_its_rows_are_looked_at(spec: Path) -> None:
    plan = make_plan(load_spec(spec))
    before = {"check.sources.orders", "check.sources.customers"}
    assert set(plan["sql"].after) == before
    assert set(plan["split"].after) == {*before, "check.table"}
    assert plan["check.table"].inputs == {"table": "sql"}


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("customers: {columns", "clients: {columns", "data.sources has no 'clients' to check"),
        (
            "    table: {rows: {min: 40},",
            "    rows: {min: 40}\n    table: {",
            "there are several sources",
        ),
        ("{price: {min: 0, drift: 0.2}}", "{prize: {min: 0}}", "no column 'prize'"),
        ("{segment: {missing: 0.5}}", "{sgmnt: {missing: 0.5}}", "mention a column 'sgmnt'"),
    ],
)
def test_contracts_of_tables_that_are_not_there(spec: Path, old: str, new: str, said: str) -> None:
    spec.write_text(_SPEC.replace(old, new))
    found = list(validate(spec))
    assert [problem.message for problem in found if said in problem.message], found


def test_a_table_without_sql(spec: Path) -> None:
    text = "name: a\ndata: {source: orders.csv, checks: {table: {rows: {min: 1}}}}\ntarget: returned\n"
    spec.write_text(text)
    with pytest.raises(SpecError) as caught:
        load_spec(spec)
    assert "checks.table is of what sql gives; there is none" in caught.value.problems[0].message
    spec.write_text(_SPEC)
    with pytest.raises(UsageError, match="the spec has several sources"):
        check_data(spec, "orders.csv")


@pytest.mark.slow
def test_a_run_and_the_next_one(spec: Path, dml: Callable[..., Any]) -> None:
    result = json.loads(dml("run", str(spec), "--format", "json").out)
    assert len(result["checks"]) == 8
    assert all(item["passed"] for item in result["checks"])
    add(spec.parent / "orders.csv", *(f"1,{5000 + number},y" for number in range(400)))
    ended = dml("run", str(spec))
    assert ended.code == DataError.exit_code
    assert "sources.orders.columns.price.drift: the population stability index is" in ended.err
