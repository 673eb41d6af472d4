"""The data contract: what breaks it is found, counted, shown, and ends the run before anything is learned."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from declarative_ml.api.run import RunOptions, run_spec
from declarative_ml.spec.load import load_spec
from declarative_ml.steps.finding import ContractViolated

HEADER = "id,age,plan,since,paid,note,grown,y\n"
LINES = [
    f"{number},{20 + number % 50},{'basic' if number % 3 else 'gold'},2024-{1 + number % 12:02d}-15,"
    f"{number / 4},{'call back' if number % 2 else 'x'},{'true' if number % 2 else 'false'},"
    f"{'yes' if number % 5 < 2 else 'no'}\n"
    for number in range(1, 101)
]


@pytest.fixture
def written(tmp_path: Path) -> Callable[..., Path]:
    """Write a spec with this contract over 100 rows, some of them changed: row from 1 -> line."""

    def write(checks: str, *, split: str = "{}", **changed: str) -> Path:
        lines = list(LINES)
        for row, line in changed.items():
            lines[int(row.removeprefix("row")) - 1] = line + "\n"
        (tmp_path / "rows.csv").write_text(HEADER + "".join(lines), encoding="utf-8")
        spec = tmp_path / "spec.yaml"
        spec.write_text(
            f"name: clients\ndata:\n  source: rows.csv\n  checks: {checks}\n  split: {split}\n"
            "target: y\nmodel: linear\n",
            encoding="utf-8",
        )
        return spec

    return write


HELD = (
    "{rows: {min: 100, max: 100, duplicates: 0}}",
    "{columns: {age: {min: 20, max: 69, missing: 0}}}",
    "{columns: {age: {type: integer}, paid: {type: number}, grown: {type: boolean}, since: {type: date}}}",
    "{columns: {grown: {type: number, values: [true, false]}}}",
    "{columns: {since: {min: 2024-01-15, max: '2024-12-15'}}}",
    "{columns: {plan: {values: [basic, gold], min_length: 4, max_length: 5}}}",
    "{columns: {id: {unique: true, matches: '[0-9]+'}}}",
    "{rules: {grows: {holds: 'paid <= id'}, unknown: {holds: 'nullif(age, age) > 3'}}}",
)


@pytest.mark.parametrize("checks", HELD)
def test_what_holds(checks: str, written: Callable[..., Path], dml: Any) -> None:
    done = dml("check", str(written(checks)), "--format", "json")
    assert done.code == 0, done.err
    assert json.loads(done.out)["passed"]


BROKEN: tuple[tuple[str, str, int, str, list[tuple[int, str | None]]], ...] = (
    ("{rows: {min: 101}}", "rows.min", 0, "there are 100", []),
    ("{rows: {max: 99}}", "rows.max", 0, "there are 100", []),
    ("{columns: {age: {min: 21}}}", "columns.age.min", 2, "2 rows break 'at least 21'", [(50, "20")]),
    ("{columns: {age: {max: 68}}}", "columns.age.max", 2, "2 rows break 'at most 68'", [(49, "69")]),
    (
        "{columns: {paid: {type: integer}}}",
        "columns.paid.type",
        75,
        "75 rows break",
        [(1, "0.25")],
    ),
    ("{columns: {plan: {type: number}}}", "columns.plan.type", 100, "break 'a number'", [(1, "basic")]),
    ("{columns: {plan: {min: 3}}}", "columns.plan.type", 100, "break 'a number'", [(1, "basic")]),
    ("{columns: {age: {type: date}}}", "columns.age.type", 100, "break 'a date'", [(1, "21")]),
    ("{columns: {plan: {values: [basic]}}}", "columns.plan.values", 33, "'one of basic'", [(3, "gold")]),
    ("{columns: {paid: {values: [0.25, 1, 25]}}}", "columns.paid.values", 97, "0.25, 1, 25", [(2, "0.5")]),
    ("{columns: {plan: {unique: true}}}", "columns.plan.unique", 100, "'every value once'", [(1, "basic")]),
    ("{columns: {plan: {matches: gol}}}", "columns.plan.matches", 100, "'matching gol'", [(1, "basic")]),
    ("{columns: {note: {min_length: 2}}}", "columns.note.min_length", 50, "at least 2", [(2, "x")]),
    (
        "{columns: {note: {max_length: 8}}}",
        "columns.note.max_length",
        50,
        "at most 8 char",
        [(1, "call back")],
    ),
    ("{columns: {since: {max: 2024-11-30}}}", "columns.since.max", 8, "2024-11-30", [(11, "2024-12-15")]),
    ("{columns: {gone: {min: 0}}}", "columns.gone", 0, "the data has no such column", []),
    ("{columns: {age: {}}, others: refuse}", "others", 0, "there are also id, plan, since", []),
    ("{rules: {half: {holds: 'paid < 20'}}}", "rules.half", 21, "21 rows break 'paid < 20'", [(80, None)]),
)


@pytest.mark.parametrize(("checks", "name", "count", "words", "first"), BROKEN)
def test_what_breaks_is_named_counted_and_shown(
    checks: str,
    name: str,
    count: int,
    words: str,
    first: list[tuple[int, str | None]],
    written: Callable[..., Path],
    dml: Any,
) -> None:
    done = dml("check", str(written(checks)), "--format", "json")
    assert done.code == 5, done.err
    found = json.loads(done.out)
    broken = [item for item in found["checks"] if not item["passed"]]
    assert [item["check"] for item in broken] == [name]
    assert broken[0]["broken"] == count
    assert words in broken[0]["found"]
    assert [(item["row"], item["value"]) for item in broken[0]["examples"]][:1] == first[:1]


def test_missing_values_and_repeated_rows_are_shares(written: Callable[..., Path], dml: Any) -> None:
    changed = {"row7": LINES[5].strip(), "row9": "9,,basic,2024-03-15,1,x,true,no"}
    asked = "{rows: {duplicates: %s}, columns: {age: {missing: %s}}}"
    assert dml("check", str(written(asked % (0.01, 0.01), **changed))).code == 0
    done = dml("check", str(written(asked % (0, 0.005), **changed)))
    assert done.code == 5
    assert "✗ rows.duplicates                  1 row break 'none repeat an earlier one'" in done.out
    assert "✗ columns.age.missing              1 row (1 %) break 'at most 0.5 % missing'" in done.out
    assert "row 7\n" in done.out
    assert "row 9\n" in done.out


def test_late_garbage_is_found_where_it_stands(written: Callable[..., Path], dml: Any) -> None:
    spec = written(
        "{columns: {age: {min: 0, max: 120}}}", row97="97,n.a. (lost),basic,2024-03-15,1,x,true,no"
    )
    done = dml("check", str(spec))
    assert done.code == 5
    assert "✗ columns.age.type                 1 row break 'a number'" in done.out
    assert "row 97: 'n.a. (lost)'" in done.out


def test_a_broken_contract_ends_the_run_before_anything_is_learned(written: Callable[..., Path]) -> None:
    spec = written("{columns: {age: {min: 21}, plan: {values: [basic]}}}")
    report = run_spec(load_spec(spec), RunOptions())
    assert isinstance(report.error, ContractViolated)
    assert report.error.exit_code == 5
    assert "columns.age.min: 2 rows break 'at least 21' (row 50: '20', row 100: '20')" in report.error.message
    assert [step["id"] for step in report.result["steps"] if step["status"] == "run"] == ["acquire.source"]


def test_a_warning_lets_the_run_go_on_and_is_told(written: Callable[..., Path], dml: Any) -> None:
    spec = written("{columns: {age: {min: 21, severity: warn}, plan: {values: [basic, gold]}}}")
    done = dml("run", str(spec), "--set", "explain.method=none", "--set", "track.enabled=false")
    assert done.code == 0, done.err
    assert "! columns.age.min                  2 rows break 'at least 21'" in done.out
    run = next(iter((spec.parent / ".dml" / "runs").iterdir()))
    page = (run / "report.html").read_text(encoding="utf-8")
    assert "Data contract" in page
    assert "1 of 2 checks are broken." in page
    assert "row 50: &#39;20&#39;" in page
    kept = json.loads((run / "run.json").read_text(encoding="utf-8"))["result"]["checks"]
    assert [item["passed"] for item in kept] == [False, True]


def test_another_contract_trains_nothing_again(written: Callable[..., Path], dml: Any) -> None:
    options = ("--set", "explain.method=none", "--set", "track.enabled=false", "--format", "json")
    first = json.loads(dml("run", str(written("{columns: {age: {min: 0}}}")), *options).out)
    again = json.loads(dml("run", str(written("{columns: {age: {min: 10}}}")), *options).out)
    assert again["model_digest"] == first["model_digest"]
    ran = {step["id"] for step in again["steps"] if step["status"] == "run"}
    assert "check" in ran
    assert not [step for step in ran if step.startswith(("train", "split", "prepare", "profile"))]


def test_rows_of_held_out_files_are_named_as_such(written: Callable[..., Path], dml: Any) -> None:
    spec = written("{columns: {age: {max: 120}}}", split="{method: files, test: test.csv, validation: 0.2}")
    test = HEADER + LINES[0] + "2,130,gold,2024-02-15,1,x,true,no\n"
    (spec.parent / "test.csv").write_text(test, encoding="utf-8")
    done = dml("check", str(spec))
    assert done.code == 5
    assert "row 2 of the test file: '130'" in done.out


def test_another_file_against_the_same_contract(
    written: Callable[..., Path], dml: Any, tmp_path: Path
) -> None:
    spec = written("{columns: {age: {max: 120}}}")
    (tmp_path / "july.csv").write_text(HEADER + "1,130,gold,2024-02-15,1,x,true,no\n", encoding="utf-8")
    assert dml("check", str(spec)).code == 0
    done = dml("check", str(spec), str(tmp_path / "july.csv"))
    assert done.code == 5
    assert "row 1: '130'" in done.out


FAULTS = (
    ("{rules: {wrong: {holds: 'agee > 3'}}}", "a check does not run", "look at rules.wrong"),
    ("{rules: {today: {holds: 'since < current_date'}}}", "gives another answer each time", "constant"),
    (
        "{rules: {file: {holds: \"(SELECT count(*) FROM 'rows.csv') > 1\"}}}",
        "a check does not run",
        "rules.file",
    ),
)


@pytest.mark.parametrize(("checks", "message", "hint"), FAULTS)
def test_rules_that_cannot_be_held(
    checks: str, message: str, hint: str, written: Callable[..., Path], dml: Any
) -> None:
    done = dml("check", str(written(checks)))
    assert done.code == 5
    assert message in done.err
    assert hint in done.err
    assert "Traceback" not in done.err


def test_a_spec_without_checks(written: Callable[..., Path], dml: Any) -> None:
    done = dml("check", str(written("null")))
    assert done.code == 2
    assert "has no checks" in done.err
