from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

SPEC = """name: mine
extends: {use: base.yaml, with: {rounds: 40}}
model: {num_leaves: 16}
profiles: {quick: {explain: none}}
owner: ${env:DML_TEAM}
"""
BASE = """params: {rounds: {type: integer}}
name: base
data: {source: c.csv}
target: y
model: {type: lightgbm, num_leaves: 8, rounds: "${params.rounds}"}
"""


@pytest.fixture
def spec(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("DML_TEAM", "growth")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "c.csv").write_text("a,y\n1,x\n2,z\n")
    (tmp_path / "base.yaml").write_text(BASE)
    (tmp_path / "spec.yaml").write_text(SPEC)
    return tmp_path / "spec.yaml"


def test_every_value_says_where_it_is_from(spec: Path, dml: Any) -> None:
    outcome = dml(
        "explain", "spec.yaml", "--origin", "--profile", "quick", "--set", "seed=5", "--format", "json"
    )
    assert outcome.code == 0
    found = {item["path"]: item for item in json.loads(outcome.out)["origins"]}

    def place(path: str) -> tuple[str, int]:
        return found[path]["origin"]["file"], found[path]["origin"]["line"]

    assert place("name") == ("spec.yaml", 1)
    assert found["name"]["over"][0] == {
        "value": "base", "origin": {"file": "base.yaml", "line": 2, "column": 7, "profile": None},
    }  # fmt: skip
    assert place("target.column") == ("base.yaml", 4)
    assert place("model.num_leaves") == ("spec.yaml", 3)
    assert found["model.num_leaves"]["over"][0]["value"] == 8
    assert place("model.rounds") == ("spec.yaml", 2)
    assert found["model.rounds"]["via"] == ["${params.rounds} at base.yaml:5"]
    assert (place("owner"), found["owner"]["via"]) == (("spec.yaml", 5), ["${env:DML_TEAM}"])
    assert found["explain.method"]["origin"]["profile"] == "quick"
    assert found["seed"]["origin"]["file"] == "--set seed=5"
    assert found["refit"]["origin"] is None


def test_the_text_names_place_profile_and_what_was_replaced(spec: Path, dml: Any) -> None:
    outcome = dml("explain", "spec.yaml", "--origin", "--profile", "quick")
    assert "spec.yaml:4:29 (profile quick)" in outcome.out
    assert "over 8 at base.yaml:5:" in outcome.out
    assert "refit: true" in outcome.out


def test_specs_that_mean_the_same_do_not_differ(spec: Path, dml: Any, tmp_path: Path) -> None:
    (tmp_path / "flat.yaml").write_text(
        "name: mine\ndata: {source: c.csv}\ntarget: y\nowner: growth\n"
        "model: {type: lightgbm, num_leaves: 16, rounds: 40}\n"
    )
    outcome = dml("diff", "spec.yaml", "flat.yaml")
    assert (outcome.code, outcome.out) == (0, "the specs mean the same\n")


@pytest.mark.parametrize(
    ("override", "option", "runs", "rests"),
    [
        ("model.rounds=41", "model.rounds: 40 -> 41", "train.lightgbm.fold0", "prepare"),
        ("evaluate.slices=[a]", "evaluate.slices: [] -> ", "evaluate", "train.lightgbm.fold0"),
        ("data.split.test=0.5", "data.split.test: 0.2 -> 0.5", "split", "acquire.source"),
    ],
)
def test_a_difference_names_the_steps_that_run_again(
    override: str, option: str, runs: str, rests: str, spec: Path, dml: Any
) -> None:
    outcome = dml("diff", "spec.yaml", "spec.yaml", "--set", override)
    assert outcome.code == 8
    assert option in outcome.out
    lines = [
        line.split()[0] for line in outcome.out.partition("steps that run again:")[2].splitlines() if line
    ]
    assert runs in lines
    assert rests not in lines
    assert json.loads(dml("diff", "spec.yaml", "spec.yaml", "--set", override, "--format", "json").out)[
        "steps"
    ]


def test_other_data_under_another_name_is_a_difference(spec: Path, dml: Any, tmp_path: Path) -> None:
    (tmp_path / "same.csv").write_text((tmp_path / "c.csv").read_text())
    (tmp_path / "other.csv").write_text("a,y\n5,x\n6,z\n")
    same = json.loads(
        dml("diff", "spec.yaml", "spec.yaml", "--set", "data.source.path=same.csv", "--format", "json").out
    )
    other = json.loads(
        dml("diff", "spec.yaml", "spec.yaml", "--set", "data.source.path=other.csv", "--format", "json").out
    )
    assert "acquire.source" not in same["steps"]
    assert other["steps"]["acquire.source"] == "changed"
