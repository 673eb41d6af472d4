from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "c.csv").write_text("a,churned\n1,yes\n2,no\n")
    return tmp_path


def test_list_names_ours_and_the_teams(here: Path, dml: Any) -> None:
    (here / "specs").mkdir()
    (here / "specs" / "ours.yaml").write_text("description: Ours alone\nmodel: linear\n")
    found = {
        item["name"]: item
        for item in json.loads(dml("template", "list", "--format", "json").out)["templates"]
    }
    assert found["ours"]["about"] == "Ours alone"
    assert found["tabular-binary"]["params"]["maximize"]["default"] == "f1"
    text = dml("template", "list").out
    assert "tabular-binary" in text
    assert "ours" in text


def test_new_writes_a_spec_that_is_valid_with_its_params(here: Path, dml: Any) -> None:
    outcome = dml("template", "new", "tabular-binary", "--with", "source=c.csv", "--with", "target=churned")
    assert (outcome.code, "next: dml run spec.yaml" in outcome.out) == (0, True)
    assert dml("validate", "spec.yaml").code == 0
    assert yaml.safe_load((here / "spec.yaml").read_text())["extends"]["with"]["source"] == "c.csv"


def test_new_says_what_is_to_be_filled_in(here: Path, dml: Any) -> None:
    outcome = dml("template", "new", "tabular-regression", "-o", "r.yaml", "--name", "prices")
    assert "fill in: source, target; then: dml validate r.yaml" in outcome.out
    outcome = dml("validate", "r.yaml")
    assert outcome.code == 3
    assert "the param 'target' of" in outcome.out


def test_new_keeps_what_is_there(here: Path, dml: Any) -> None:
    (here / "spec.yaml").write_text("mine")
    outcome = dml("template", "new", "quick-look")
    assert (outcome.code, (here / "spec.yaml").read_text()) == (2, "mine")
    assert "--force" in outcome.err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("new", "quick-lok"), "did you mean 'quick-look'?"),
        (("show", "quick-lok"), "did you mean 'quick-look'?"),
        (("new", "quick-look", "--with", "sauce=c.csv"), "quick-look has no param 'sauce'"),
        (("new", "quick-look", "--with", "source"), "cannot read --with source"),
        (("lock", "nope.yaml"), "no such file"),
    ],
)
def test_mistakes_have_a_way_out(arguments: tuple[str, ...], message: str, dml: Any) -> None:
    outcome = dml("template", *arguments)
    assert outcome.code in (2, 3)
    assert message in outcome.err


def test_show_prints_the_template_as_written(dml: Any) -> None:
    library = Path(__file__).parents[2] / "specs"
    assert dml("template", "show", "time-split").out == (library / "time-split.yaml").read_text()


def test_lock_then_locked(here: Path, dml: Any) -> None:
    (here / "base.yaml").write_text("model: {rounds: 5}\n")
    (here / "spec.yaml").write_text(
        "name: mine\nextends: [{use: tabular-binary, with: {source: c.csv, target: churned}}, base.yaml]\n"
    )
    assert dml("validate", "--locked").code == 3
    assert "2 template(s)" in dml("template", "lock").out
    assert dml("validate", "--locked").code == 0
    assert dml("plan", "--locked").code == 0
    (here / "base.yaml").write_text("model: {rounds: 6}\n")
    assert dml("plan", "--locked").code == 3
    assert dml("run", "--locked").code == 3
    assert dml("plan").code == 0
