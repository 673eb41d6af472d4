"""Checks against the clock and against the rows of the last good run."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from declarative_ml.api.check import Checked, check_data
from declarative_ml.api.run import RunReport, run_spec
from declarative_ml.spec.load import load_spec
from declarative_ml.steps.finding import Finding
from declarative_ml.steps.last_rows import NONE_YET

CHECKS = {
    "rows": {"change": 0.1},
    "columns": {"when": {"freshness": "2d"}, "amount": {"drift": 0.2, "severity": "warn"}},
    "drift": {"max": 0.2},
    "as_of": "2024-03-02",
}


def _write(path: Path, rows: int = 300, shift: float = 0.0, level: str = "c", seed: int = 0) -> Path:
    source = random.Random(seed)
    lines = ["amount,kind,when,y"]
    for row in range(rows):
        kind = source.choice(["a", "b", level])
        amount = source.gauss(shift, 1)
        lines.append(f"{amount:.3f},{kind},2024-0{1 + row % 2}-{1 + row % 29:02d},{'ny'[amount > shift]}")
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def _spec(folder: Path, checks: dict[str, Any]) -> Path:
    spec = {
        "name": "orders",
        "data": {"source": "rows.csv", "checks": checks},
        "target": "y",
        "model": "linear",
        "explain": False,
        "track": False,
        "evaluate": {"segments": False},
    }
    path = folder / "spec.yaml"
    path.write_text(json.dumps(spec), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, RunReport]]:
    """A spec that compares, and its first good run."""
    folder = tmp_path_factory.mktemp("orders")
    _write(folder / "rows.csv")
    spec = _spec(folder, CHECKS)
    yield spec, run_spec(load_spec(spec))


def _found(checked: Checked) -> dict[str, Finding]:
    return {item.check: item for item in checked.report.findings}


def test_the_first_run_has_nothing_to_compare_with(done: tuple[Path, RunReport]) -> None:
    report = done[1]
    assert report.error is None
    said = {item["check"]: item["found"] for item in report.result["checks"]}
    assert said["rows.change"] == said["columns.kind.drift"] == NONE_YET
    assert said["columns.when.freshness"] == "the newest is 2024-02-29 00:00:00"


def test_columns_are_held_against_those_of_the_champion(
    done: tuple[Path, RunReport], tmp_path: Path, dml: Any
) -> None:
    spec, report = done
    july = _write(tmp_path / "july.csv")
    text = july.read_text().replace("amount,kind,when,y", "Amount,kind,when,y,shop").replace(",n\n", ",n,1\n")
    july.write_text(text.replace(",y\n", ",y,2\n").replace(",2024-", ",day 2024-"), encoding="utf-8")
    champion = f"evaluate.champion={{path: {report.result['bundle']}}}"
    checked = json.loads(dml("check", spec, july, "--set", champion, "--format", "json").out)
    wanted = [
        ("renamed", "the champion reads 'amount', which the data lacks: is it called 'Amount' now?"),
        ("new", "the champion does not use 'shop'"),
        ("retyped", "'when' was a date for the champion and is text now"),
    ]
    assert [(item["change"], item["message"]) for item in checked["changes"]] == wanted
    told = dml("check", spec, july, "--set", champion).out
    assert all(message in told for _, message in wanted)
    source = ("--set", f"data.source={july}", "--set", "data.checks=null")
    validated = json.loads(
        dml("validate", spec, *source, "--set", champion, "--data", "--format", "json").out
    )
    found = [item for item in validated["problems"] if item["code"] == "DML203"]
    assert {item["severity"] for item in found} == {"warning"}
    assert [item["message"] for item in found] == [message for _, message in wanted]
    assert dml("validate", spec, "--set", champion, "--data").out.count("DML203") == 0


def test_the_same_rows_have_not_moved(done: tuple[Path, RunReport]) -> None:
    checked = check_data(done[0])
    assert checked.error is None
    found = _found(checked)
    assert found["rows.change"].found == "there are 300, +0 % of the 300 in the last good run"
    assert found["columns.kind.drift"].found == "the population stability index is 0"
    assert set(found) == {
        "rows.change",
        "columns.when.freshness",
        *(f"columns.{name}.drift" for name in ("amount", "kind", "when", "y")),
    }


@pytest.mark.parametrize(
    ("rows", "options", "broken"),
    [
        (300, {"seed": 1}, {}),
        (320, {}, {}),
        (250, {}, {"rows.change": "there are 250, -16.7 % of the 300 in the last good run"}),
        (300, {"level": "d"}, {"columns.kind.drift": "; new: 'd'"}),
        (300, {"shift": 2.0}, {"columns.amount.drift": "the population stability index is "}),
        (12, {"shift": 0.6}, {"rows.change": "there are 12", "columns.when.freshness": "the newest is"}),
    ],
)
def test_other_rows(
    rows: int,
    options: dict[str, Any],
    broken: dict[str, str],
    done: tuple[Path, RunReport],
    tmp_path: Path,
) -> None:
    checked = check_data(done[0], str(_write(tmp_path / "july.csv", rows, **options)))
    wrong = {item.check: item.found for item in checked.report.findings if not item.passed}
    assert set(wrong) == set(broken)
    for check, words in broken.items():
        assert words in wrong[check]
    assert (checked.error is None) == (set(broken) <= {"columns.amount.drift"})  # a warning


def test_a_column_of_another_type_has_moved(done: tuple[Path, RunReport], tmp_path: Path) -> None:
    path = _write(tmp_path / "july.csv")
    path.write_text(path.read_text().replace("\n", "\nx", 1), encoding="utf-8")
    found = _found(check_data(done[0], str(path)))["columns.amount.drift"]
    assert not found.passed
    assert found.found == "it was a number in the last good run and is a category now"


def test_a_second_run_compares_and_a_third_finds_nothing_new(done: tuple[Path, RunReport]) -> None:
    spec, first = done
    second = run_spec(load_spec(spec))
    assert second.error is None
    assert second.result["model_digest"] == first.result["model_digest"]
    ran = [step["id"] for step in second.result["steps"] if step["status"] == "run"]
    assert set(ran) | {"check"} == {"check", "report"}
    assert run_spec(load_spec(spec)).unchanged


AGES = (
    ("{when: {freshness: 2d}}", "2024-03-02T00:00", ""),
    ("{when: {freshness: 36h}}", "2024-03-01T12:00", ""),
    ("{when: {freshness: 1d}}", "2024-03-02", "2024-02-29 00:00:00, and it is 2024-03-02 00:00 (UTC)"),
    ("{when: {freshness: 2d}}", None, "the newest is 2024-02-29 00:00:00, and it is 20"),
    ("{kind: {freshness: 2d}}", "2024-03-02", "there is no date"),
)  # fmt: skip


@pytest.mark.parametrize(("columns", "as_of", "found"), AGES, ids=[f"{item[0]} {item[1]}" for item in AGES])
def test_the_age_of_the_newest_date(columns: str, as_of: str | None, found: str, tmp_path: Path) -> None:
    _write(tmp_path / "rows.csv", 60)
    spec = _spec(tmp_path, {})
    overrides = [f"data.checks.columns={columns}", *([f"data.checks.as_of={as_of}"] if as_of else [])]
    wrong = [item for item in check_data(spec, overrides=overrides).report.findings if not item.passed]
    said = [item.found for item in wrong if item.check.endswith("freshness")]
    assert len(said) == bool(found)
    assert found in "".join(said)


def test_the_clock_is_asked_in_every_run(tmp_path: Path, dml: Any) -> None:
    _write(tmp_path / "rows.csv", 60)
    spec = _spec(tmp_path, {"columns": {"when": {"freshness": "9999d"}}})
    assert dml("check", spec).code == 0
    planned = dml("plan", spec)
    assert "the clock is asked in every run" in planned.out
    fixed = dml("plan", spec, "--set", "data.checks.as_of=2024-03-02")
    assert "the clock" not in fixed.out
