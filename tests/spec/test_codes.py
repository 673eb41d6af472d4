import re
from collections.abc import Callable
from pathlib import Path

import pytest

from declarative_ml.core.errors import Problem
from declarative_ml.spec.codes import CODES, codes_page

ROOT = Path(__file__).parents[2]
_ELSEWHERE = ("DML002", "DML024", "DML111", "DML112", "DML114", "DML203")
"""One row of data, or none, does not show them: their own tests do."""
_LINES = [code for code in CODES.values() if not code.is_command and code.code not in _ELSEWHERE]


@pytest.mark.parametrize("code", _LINES, ids=[code.code for code in _LINES])
def test_the_examples_do_what_they_say(code: object, problems: Callable[..., list[Problem]]) -> None:
    profile = "prod" if "profiles" in code.wrong else None
    minimal = code.code != "DML008"
    assert code.code in [p.code for p in problems(code.wrong, profile=profile, data=True, minimal=minimal)]
    found = problems(code.right, profile=profile, data=True)
    assert code.code not in [p.code for p in found]


def test_the_table_and_the_code_know_the_same_codes() -> None:
    folder = ROOT / "declarative_ml" / "spec"
    sources = [path.read_text() for path in folder.glob("*.py") if path.name != "codes.py"]
    used = {code for text in sources for code in re.findall(r'"(DML\d{3})"', text)}
    assert used == set(CODES)


def test_the_reference_page_is_up_to_date() -> None:
    assert (ROOT / "docs" / "errors.md").read_text() == codes_page(), "run `make regen`"


def test_every_code_is_explained() -> None:
    for code in CODES.values():
        assert code.title
        assert code.meaning.endswith(".")
        assert code.wrong != code.right
