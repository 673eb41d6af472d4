"""`dml init --checks`: a contract that the very same rows pass, and that others break."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import pytest

from declarative_ml.sources.messy import COLUMNS, make_rows
from declarative_ml.spec.load import load_spec


@pytest.fixture(scope="module")
def orders(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("orders") / "orders.csv"
    with path.open("w", encoding="utf-8", newline="") as stream:
        csv.writer(stream).writerows([COLUMNS, *make_rows(600)])
    return path


@pytest.fixture
def spec(orders: Path, dml: Any) -> Path:
    path = orders.parent / "spec.yaml"
    done = dml("init", orders, "--target", "returned", "-o", path, "--checks", "--force", "-q")
    assert done.code == 0, done.err
    return path


def test_the_section(spec: Path) -> None:
    text = spec.read_text(encoding="utf-8")
    contract = load_spec(spec).spec.data.checks
    assert contract is not None
    checks = contract.model_dump(mode="json", exclude_unset=True)
    assert checks["rows"] == {"min": 300}
    assert checks["others"] == "warn"
    assert checks["columns"]["order_id"] == {"unique": True, "missing": 0}
    assert checks["columns"]["rating"] == {"min": 0, "max": 6, "missing": 0.22}
    assert checks["columns"]["gift"] == {"type": "boolean", "missing": 0}
    assert checks["columns"]["shop"] == {"values": ["north"], "missing": 0}
    assert checks["columns"]["returned"] == {"values": ["no", "yes"], "missing": 0}
    assert checks["columns"]["ordered"]["min"] == "2023-01-02"
    assert "values" not in checks["columns"]["postcode"]
    assert "values" not in checks["columns"]["category"]  # some come once
    assert "   # 1 to 5; 14 % are missing" in text


def test_the_same_rows_pass_and_others_do_not(spec: Path, orders: Path, dml: Any) -> None:
    done = dml("check", spec)
    assert done.code == 0, done.out + done.err
    worse = orders.with_name("worse.csv")
    worse.write_text(orders.read_text().replace(",north,", ",south,", 1), encoding="utf-8")
    done = dml("check", spec, worse)
    assert done.code == 5
    assert "columns.shop.values" in done.out
    assert "'south'" in done.out


def test_nasty_names_and_values(tmp_path: Path, dml: Any) -> None:
    rows = [[n / 7 - 3, ["NO", 'say "x"', " a: b", "true"][n % 4], "", 7, n % 2] for n in range(60)]
    path = tmp_path / "odd.csv"
    with path.open("w", encoding="utf-8", newline="") as stream:
        csv.writer(stream).writerows([["a: b", "#levels", "gone", "same", "y"], *rows])
    target = tmp_path / "spec.yaml"
    assert dml("init", path, "--target", "y", "-o", target, "--checks", "-q").code == 0
    done = dml("check", target)
    assert done.code == 0, done.out + done.err


def test_without_the_option_there_is_no_section(orders: Path, tmp_path: Path, dml: Any) -> None:
    dml("init", orders, "--target", "returned", "-o", tmp_path / "spec.yaml", "-q")
    assert "checks" not in (tmp_path / "spec.yaml").read_text()
