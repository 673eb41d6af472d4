"""A leak, from the table to the terminal, the report and the model card of a run."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from declarative_ml.cli.outcomes import suspicion_lines
from declarative_ml.core.atomic import read_json


def test_the_terminal_shows_what_makes_the_numbers_too_good() -> None:
    found = [
        {"kind": "leak", "columns": ["a", "b"], "reason": "a and b together give the target 'y'"},
        {"kind": "same", "columns": ["c", "d"], "reason": "c and d say the same (1.000 of 1)"},
    ]
    lines = suspicion_lines(found)
    assert [line.split(maxsplit=1)[1] for line in lines if line] == [
        "a, b                             a and b together give the target 'y'"
    ]
    assert suspicion_lines(found[1:]) == []


@pytest.mark.slow
def test_a_leak_is_told_wherever_a_person_looks(
    flowers: Callable[..., Path], dml: Callable[..., Any]
) -> None:
    spec = flowers()
    data = next(spec.parent.glob("*.csv"))
    header, *rows = data.read_text().splitlines()
    kind = header.split(",").index("kind")
    codes = {
        level: f"code {number}" for number, level in enumerate(sorted({row.split(",")[kind] for row in rows}))
    }
    data.write_text(
        "\n".join([f"{header},told", *(f"{row},{codes[row.split(',')[kind]]}" for row in rows)]) + "\n"
    )
    result = json.loads(dml("run", spec, "--format", "json", "--quiet").out)
    (leak,) = [item for item in result["suspicions"] if item["kind"] == "leak"]
    assert (leak["columns"], leak["reason"]) == (
        ["told"],
        "each of its values has one value of the target 'kind'",
    )
    for page in ("report", "card"):
        text = Path(result[page]).read_text()
        assert "Too good to be true? told: each of its values" in text, page
    assert "Look at these first" in Path(result["report"]).read_text()
    kept = [read_json(path) for path in spec.parent.glob(".dml/store/artifacts/*/*/relations.json")]
    assert kept[0]["relations"]["target"][0]["column"] == "told"
    assert "told" in dml("run", spec, "--quiet").out.partition("bundle")[0]
