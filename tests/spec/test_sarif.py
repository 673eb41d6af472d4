import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from corpus_cases import all_cases, validate

from declarative_ml import __version__
from declarative_ml.core.errors import Problem
from declarative_ml.spec.codes import CODES
from declarative_ml.spec.sarif import anchor, problems_as_sarif

ROOT = Path(__file__).parents[2]
Problems = Callable[..., list[Problem]]


def run_of(problems: list[Problem]) -> dict[str, Any]:
    log = problems_as_sarif(problems)
    assert log["version"] == "2.1.0"
    assert log["$schema"].endswith("sarif-2.1.0.json")
    assert len(log["runs"]) == 1
    return log["runs"][0]


def test_every_code_is_a_rule() -> None:
    run = run_of([])
    driver = run["tool"]["driver"]
    assert (driver["name"], driver["version"]) == ("dml", __version__)
    assert run["results"] == []
    assert [rule["id"] for rule in driver["rules"]] == list(CODES)
    for rule in driver["rules"]:
        assert rule["shortDescription"]["text"]
        assert rule["fullDescription"]["text"]
        assert rule["help"]["text"]
        assert rule["help"]["markdown"]
        assert re.fullmatch(r"[A-Z][A-Za-z0-9]+", rule["name"])
        assert rule["defaultConfiguration"]["level"] in ("error", "warning")


def test_rules_link_to_headings_that_exist() -> None:
    page = (ROOT / "docs" / "errors.md").read_text()
    headings = re.findall(r"^## (.*)$", page, flags=re.MULTILINE)
    known = {re.sub(r"[^a-z0-9 _-]", "", heading.lower()).replace(" ", "-") for heading in headings}
    for code in CODES.values():
        file, _, link = anchor(code).partition("#")
        assert file == "docs/errors.md"
        assert link in known


def test_a_problem_becomes_a_result(problems: Problems, folder: Path) -> None:
    found = [*problems("track: {enabled: false, register: x}"), *problems("seed: 7\nname: churn\nseeed: 7")]
    run = run_of(found)
    warning, error = run["results"]
    rules = run["tool"]["driver"]["rules"]
    assert [rules[each["ruleIndex"]]["id"] for each in (warning, error)] == ["DML109", "DML012"]
    assert (warning["level"], error["level"]) == ("warning", "error")
    assert error["message"] == {"text": "unknown key 'seeed'\ndid you mean 'seed'?"}
    place = error["locations"][0]
    assert place["physicalLocation"] == {
        "artifactLocation": {"uri": (folder / "spec.yaml").as_uri()},
        "region": {"startLine": 3, "startColumn": 1, "endColumn": 6},
    }
    assert place["logicalLocations"] == [{"fullyQualifiedName": "seeed", "kind": "member"}]


@pytest.mark.parametrize(
    ("file", "uri"),
    [
        ("spec.yaml", "spec.yaml"),
        ("my specs/ä#1.yaml", "my%20specs/%C3%A4%231.yaml"),
        ("/data/spec.yaml", "file:///data/spec.yaml"),
        ("pkg:acme/base.yaml", "pkg:acme/base.yaml"),
        ("git+https://example.com/specs.git@v1#a b.yaml", "git+https://example.com/specs.git@v1#a%20b.yaml"),
    ],
)
def test_files_are_named_by_uris(file: str, uri: str) -> None:
    result = run_of([Problem("DML012", "no", file=file, line=1, column=1)])["results"][0]
    assert result["locations"][0]["physicalLocation"]["artifactLocation"]["uri"] == uri


def test_arguments_have_no_place_in_a_file() -> None:
    result = run_of([Problem("DML011", "no", file="--set seed", hint="write --set seed=7")])["results"][0]
    place = result["locations"][0]
    assert place == {
        "logicalLocations": [{"fullyQualifiedName": "--set seed", "kind": "member"}],
        "message": {"text": "--set seed"},
    }


def test_a_file_that_cannot_be_read_has_no_region() -> None:
    result = run_of([Problem("DML001", "cannot read the spec", file="spec.yaml")])["results"][0]
    assert "region" not in result["locations"][0]["physicalLocation"]


@pytest.mark.parametrize("case", all_cases()[::10], ids=lambda case: case.name)
def test_the_command_prints_sarif(case: Any, tmp_path: Path) -> None:
    code, output = validate(case, tmp_path, "--format", "sarif")
    results = json.loads(output)["runs"][0]["results"]
    _, plain = validate(case, tmp_path, "--format", "json")
    problems = json.loads(plain)["problems"]
    assert code == case.code
    assert [result["ruleId"] for result in results] == [problem["code"] for problem in problems]
    for result, problem in zip(results, problems, strict=True):
        region = result["locations"][0].get("physicalLocation", {}).get("region")
        assert (region is None) == (problem["line"] == 0)
        if region is not None:
            assert (region["startLine"], region["startColumn"]) == (problem["line"], problem["column"])
            assert region["endColumn"] > region["startColumn"]
