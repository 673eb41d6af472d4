"""What `dml validate` says about 570 broken specs: the words themselves, and what they all promise."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from corpus_cases import Case, all_cases, shown, validate

from declarative_ml.spec.codes import CODES

_CASES = all_cases()


@pytest.fixture(autouse=True)
def no_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("DML_NOT_SET", "DATA", "OWNER", "WHO"):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize("case", _CASES, ids=[case.name for case in _CASES])
def test_the_words(case: Case, tmp_path: Path) -> None:
    code, output = validate(case, tmp_path)
    assert shown(output, tmp_path) == case.golden, (
        "run `python tests/spec/corpus_cases.py`, and read the diff"
    )
    assert code == case.code


@pytest.mark.parametrize("case", _CASES, ids=[case.name for case in _CASES])
def test_every_problem_has_a_place_and_a_way_out(case: Case, tmp_path: Path) -> None:
    code, output = validate(case, tmp_path, "--format", "json")
    problems = json.loads(output)["problems"]
    assert code == case.code
    assert problems
    assert any(problem["severity"] == "error" for problem in problems) == (code != 0)
    for problem in problems:
        assert problem["code"] in CODES
        assert problem["message"]
        assert problem["hint"]
        assert problem["file"]
        if not problem["file"].startswith(("--set ", "--profile ")):
            assert problem["line"] >= 1
            assert problem["column"] >= 1
    pointers = [line for line in case.golden.splitlines() if line.startswith("     | ")]
    assert len(pointers) == sum(problem["line"] > 0 for problem in problems)
    assert all(line.removeprefix("     | ").lstrip().startswith("^") for line in pointers)


def test_names_are_used_once() -> None:
    names = [case.name for case in _CASES]
    assert len(names) == len(set(names)) > 500


def test_most_codes_are_met() -> None:
    met = {code for code in CODES for case in _CASES if f" {code}  " in case.golden}
    # No spec, too large a file, a package's or locked template, targets, a champion's columns, a plan's
    # memory: their own tests have them.
    assert set(CODES) - met - {"DML161", "DML164"} == {"DML001", "DML024", "DML025", "DML203", "DML210"}


def test_no_words_of_a_library() -> None:
    words = ("pydantic", "input should", "discriminator", "tuple", "nonetype", "traceback", "libyaml")
    for case in _CASES:
        assert not any(word in case.golden.lower() for word in words), case.name
