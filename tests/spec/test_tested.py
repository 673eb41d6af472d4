from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from declarative_ml.behaviour import BEHAVIOURS
from declarative_ml.behaviour.expectation import Expectation
from declarative_ml.spec.dump import spec_to_yaml
from declarative_ml.spec.load import LoadedSpec, load_spec
from declarative_ml.spec.tested import answer_files, columns_of_tests

TESTS: dict[str, Any] = {
    "fair": {"type": "invariance", "columns": ["sex", "town"], "max_change": "2%"},
    "older": {
        "type": "direction",
        "column": "age",
        "by": [1, "-5%"],
        "expect": "not_lower",
        "of_class": "yes",
    },
    "moved": {"type": "direction", "column": "town", "to": "Bern", "expect": "higher"},
    "typed": {"type": "robustness", "noise": "typos", "max_change": 0.1, "share": 0.9},
    "lost": {"type": "robustness", "columns": ["age"], "noise": "missing", "max_change": 0.1},
    "known": {
        "type": "expect",
        "rows": [
            {"given": {"age": 3, "town": None, "member": True, "code": "007"}, "prediction": "yes"},
            {"given": {"sex": "f"}, "probability": {"min": 0.5}},
        ],
    },
    "more": {"type": "expect", "file": "cases/known.csv"},
}


def load(folder: Path, **sections: Any) -> LoadedSpec:
    folder.mkdir(exist_ok=True)
    whole = {"name": "people", "data": {"source": "d.csv"}, "target": "stays", **sections}
    (folder / "spec.yaml").write_text(json.dumps(whole))
    return load_spec(folder / "spec.yaml")


def test_every_kind_of_test_is_written_and_read_back(tmp_path: Path) -> None:
    spec = load(tmp_path, tests=TESTS).spec
    assert {test.type for test in spec.tests.values()} == set(BEHAVIOURS)
    (tmp_path / "again.yaml").write_text(spec_to_yaml(spec))
    again = load_spec(tmp_path / "again.yaml").spec
    assert again.tests == spec.tests
    known = again.tests["known"]
    assert isinstance(known, Expectation)
    assert known.rows[0].given == {"age": 3, "town": None, "member": True, "code": "007"}
    for test in spec.tests.values():
        assert BEHAVIOURS.parse(json.loads(json.dumps(test.options()))) == test


def test_the_columns_that_tests_name(tmp_path: Path) -> None:
    named = list(columns_of_tests(load(tmp_path, tests=TESTS).spec))
    assert (("tests", "fair", "columns", 1), "town") in named
    assert (("tests", "older", "column"), "age") in named
    assert (("tests", "known", "rows", 1, "given", "sex"), "sex") in named
    assert not [path for path, _ in named if path[1] in ("typed", "more")]


def test_a_file_of_answers_is_relative_to_the_spec_and_no_part_of_its_meaning(tmp_path: Path) -> None:
    first, second = (load(tmp_path / name, tests=TESTS) for name in ("a", "b"))
    ((path, source),) = answer_files(first.spec).items()
    assert path == ("tests", "more", "file")
    assert source.path == str(tmp_path / "a" / "cases" / "known.csv")
    assert first.digest == second.digest


def test_a_file_that_a_template_names_is_relative_to_the_template(tmp_path: Path) -> None:
    (tmp_path / "base").mkdir()
    (tmp_path / "base" / "base.yaml").write_text(json.dumps({"tests": {"more": TESTS["more"]}}))
    spec = load(tmp_path / "a", extends="../base/base.yaml").spec
    (source,) = answer_files(spec).values()
    assert Path(source.path).resolve() == tmp_path / "base" / "cases" / "known.csv"
