import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

GOOD = "name: churn\ndata: {source: table.csv}\ntarget: Churn\n"


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "table.csv").write_text("tenure,Churn\n1,Yes\n2,No\n")
    (tmp_path / "good.yaml").write_text(GOOD)
    (tmp_path / "bad.yaml").write_text(f"{GOOD}seeed: 7\n")
    (tmp_path / "lost.yaml").write_text(GOOD.replace("table", "tabel"))
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("specs", "code", "verdict"),
    [
        (["good.yaml"], 0, "1 spec(s): valid, 0 warning(s)"),
        (["bad.yaml"], 3, "1 spec(s): 1 error(s), 0 warning(s)"),
        (["lost.yaml"], 5, "1 spec(s): 1 error(s), 0 warning(s)"),
        (["lost.yaml", "bad.yaml", "good.yaml"], 3, "3 spec(s): 2 error(s), 0 warning(s)"),
        (["good.yaml", "none.yaml"], 3, "2 spec(s): 1 error(s), 0 warning(s)"),
    ],
)
def test_every_spec_is_reported(
    specs: list[str], code: int, verdict: str, here: Path, dml: Callable[..., Any]
) -> None:
    outcome = dml("validate", *specs)
    assert outcome.code == code
    assert outcome.out.endswith(f"{verdict}\n")
    assert outcome.err == ""


def test_unreadable_data_is_shown_where_the_spec_names_it(here: Path, dml: Callable[..., Any]) -> None:
    out = dml("validate", "lost.yaml").out
    assert "lost.yaml:2:16  error DML202  there is no file" in out
    assert "     |                ^^^^^^^^^ did you mean" in out


def test_without_data_it_is_not_looked_for(here: Path, dml: Callable[..., Any]) -> None:
    assert dml("validate", "lost.yaml", "--no-data").code == 0


@pytest.mark.parametrize("form", ["json", "sarif"])
def test_machines_read_the_same_problems(form: str, here: Path, dml: Callable[..., Any]) -> None:
    outcome = dml("validate", "lost.yaml", "bad.yaml", "--format", form)
    found = json.loads(outcome.out)
    assert outcome.code == 3
    if form == "json":
        assert [problem["code"] for problem in found["problems"]] == ["DML202", "DML012"]
    else:
        results = found["runs"][0]["results"]
        files = [result["locations"][0]["physicalLocation"]["artifactLocation"]["uri"] for result in results]
        assert [result["ruleId"] for result in results] == ["DML202", "DML012"]
        assert files == ["lost.yaml", "bad.yaml"]
