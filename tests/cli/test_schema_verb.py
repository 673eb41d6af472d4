"""`dml schema`: the same texts as the files of schemas/ and docs/reference.md."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from declarative_ml.cli.schema import NAMES
from declarative_ml.spec.schema import SCHEMAS

ROOT = Path(__file__).parents[2]


def test_the_names_are_those_of_the_table() -> None:
    assert tuple(SCHEMAS) == NAMES


@pytest.mark.parametrize(
    ("arguments", "file"),
    [
        ((), "schemas/spec.v1.json"),
        (("spec",), "schemas/spec.v1.json"),
        (("plan",), "schemas/plan.v1.json"),
        (("bundle",), "schemas/bundle.v1.json"),
        (("--docs",), "docs/reference.md"),
        (("spec", "--docs"), "docs/reference.md"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else value,
)
def test_each_is_printed_or_written(
    arguments: tuple[str, ...], file: str, dml: Callable[..., Any], tmp_path: Path
) -> None:
    printed = dml("schema", *arguments)
    assert (printed.code, printed.err) == (0, "")
    assert printed.out == (ROOT / file).read_text(encoding="utf-8")
    target = tmp_path / "new" / "file"
    written = dml("schema", *arguments, "-o", target)
    assert (written.code, written.out) == (0, f"wrote {target}\n")
    assert target.read_text(encoding="utf-8") == printed.out
    assert [path.name for path in target.parent.iterdir()] == ["file"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("plna",), "'plna' is not one of 'spec', 'plan', 'bundle'"),
        (("spec", "plan"), "unexpected extra argument"),
        (("plan", "--docs"), "--docs prints the reference of a spec; there is none of a plan."),
        (("bundle", "--docs", "-o", "x"), "there is none of a bundle."),
        (("--output", "."), "is a directory"),
    ],
)
def test_wrong_choices_are_usage_errors(
    arguments: tuple[str, ...], message: str, dml: Callable[..., Any]
) -> None:
    outcome = dml("schema", *arguments)
    assert (outcome.code, outcome.out) == (2, "")
    assert message in outcome.err
