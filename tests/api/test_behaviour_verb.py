"""`dml test`: the tests of a spec or a bundle on a trained model."""

from __future__ import annotations

import json
import shutil
import xml.etree.ElementTree as ET
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Make = Callable[..., Any]
COLUMNS = {"length": "number", "width": "number", "colour": "category"}
KNOWN = {"type": "expect", "rows": [{"given": {"length": 0, "width": 0}, "prediction": "a"}]}
COLOUR = {"type": "invariance", "columns": ["colour"], "max_change": 1.0}
STILL = {"type": "robustness", "noise": "jitter", "max_change": 0.0, "rows": 10}


@pytest.fixture
def trained(flowers: Make, run: Make) -> Path:
    """A spec with one test, and its run."""
    path: Path = flowers(features=COLUMNS, tests={"colour": COLOUR})
    assert run(path).error is None
    return path


def test_the_tests_of_the_spec_as_it_is_now_on_the_rows_of_its_run(
    trained: Path, flowers: Make, dml: Make, write_flowers: Make
) -> None:
    kept = json.loads((trained.parent / ".dml" / "runs").glob("*/run.json").__next__().read_text())
    found = json.loads(dml("test", trained, "--format", "json").out)
    (outcome,) = found["tests"]
    assert {name: outcome[name] for name in kept["result"]["tests"][0]} == kept["result"]["tests"][0]
    assert (found["passed"], found["failed"], found["rows"], found["model"]) == (1, 0, "test", "flowers")

    flowers(features=COLUMNS, tests={"colour": COLOUR, "known": KNOWN, "still": STILL})
    again = dml("test", trained)
    assert again.code == 4
    assert "✓ colour " in again.out and "✗ still " in again.out
    assert "One percent of the spread more or less of any one column must not move" in again.out
    assert "2 passed, 1 failed" in again.out
    assert again.err.startswith("error: test still: 10 of 10 rows failed (100 %, allowed 0 %)")
    worst = [line for line in again.out.splitlines() if line.startswith("      row ")]
    assert len(worst) == 5 and " → " in worst[0] and "P(" in worst[0]

    write_flowers(trained.parent / "new.csv", rows=20, seed=5)
    other = json.loads(dml("test", trained, trained.parent / "new.csv", "--format", "json").out)
    assert [item["rows"] for item in other["tests"]] == [20, 1, 10]
    assert [item["part"] for item in other["tests"]] == ["new.csv", "given", "new.csv"]


def test_a_bundle_keeps_its_tests(trained: Path, flowers: Make, dml: Make, tmp_path: Path) -> None:
    (bundle,) = (trained.parent / ".dml" / "runs").glob("*/bundle")
    beside = json.loads(dml("test", bundle, "--format", "json").out)
    assert [item["name"] for item in beside["tests"]] == ["colour"]
    assert beside["rows"] == "test"

    copy = shutil.copytree(bundle, tmp_path / "elsewhere")
    lost = dml("test", copy)
    assert (lost.code, "the tests need rows" in lost.err) == (2, True)
    assert dml("test", copy, trained.parent / "flowers.csv").code == 0

    flowers("b", features=COLUMNS, tests={"known": KNOWN})
    given = json.loads(dml("test", copy, "--spec", tmp_path / "b" / "spec.yaml", "--format", "json").out)
    assert [item["name"] for item in given["tests"]] == ["known"]
    assert given["rows"] == "given"


def test_junit_is_what_ci_reads(trained: Path, flowers: Make, dml: Make, tmp_path: Path) -> None:
    """testsuites, testsuite with counts, testcase with its names, failure with message and text."""
    flowers(features=COLUMNS, tests={"colour & \x0b<wild>": COLOUR, "still": STILL})
    page = tmp_path / "out" / "tests.xml"
    assert dml("test", trained, "--junit", page).code == 4
    root = ET.parse(page).getroot()
    (suite,) = root
    assert (root.tag, suite.tag) == ("testsuites", "testsuite")
    counts = {name: suite.get(name) for name in ("tests", "failures", "errors", "skipped")}
    assert counts == {"tests": "2", "failures": "1", "errors": "0", "skipped": "0"}
    good, bad = suite
    assert (good.tag, good.get("classname"), good.get("name")) == (
        "testcase",
        "flowers.invariance",
        "colour & \ufffd<wild>",
    )
    assert len(good) == 0
    (failure,) = bad
    assert (failure.tag, failure.get("type")) == ("failure", "robustness")
    assert str(failure.get("message")).startswith("test still: 10 of 10 rows failed")
    assert json.loads(str(failure.text).splitlines()[0])["of_class"] in "abc"
    assert float(str(suite.get("time"))) >= float(str(good.get("time"))) >= 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["none.yaml"], "no such file"),
        (["{spec}", "--spec", "{spec}"], "--spec goes with a bundle"),
        (["{spec}", "--set", "tests=null"], "has no tests"),
        (["{spec}", "nothing.csv"], "nothing.csv"),
        (["{bundle}", "--spec", "{untested}"], "untested.yaml has no tests"),
        (["{untested}"], "has no tests"),
        (["{fresh}"], "fresh.yaml has no good run yet"),
    ],
)
def test_what_cannot_be_tested_is_said(arguments: list[str], message: str, trained: Path, dml: Make) -> None:
    spec = json.loads(trained.read_text())
    (trained.parent / "untested.yaml").write_text(json.dumps({**spec, "tests": {}}))
    (trained.parent / "fresh.yaml").write_text(json.dumps({**spec, "name": "fresh"}))
    (bundle,) = (trained.parent / ".dml" / "runs").glob("*/bundle")
    places = {"spec": trained, "bundle": bundle}
    places |= {name: trained.parent / f"{name}.yaml" for name in ("untested", "fresh")}
    found = dml("test", *(item.format(**places) for item in arguments))
    assert found.code in (2, 3, 5)
    assert message in found.err


def test_rows_that_are_gone_from_the_store_are_told(trained: Path, dml: Make) -> None:
    shutil.rmtree(trained.parent / ".dml" / "store" / "artifacts")
    found = dml("test", trained)
    assert found.code == 2
    assert "are no longer in the store" in found.err
    assert dml("test", trained, trained.parent / "flowers.csv").code == 0
