"""What the first and last bytes of texts rule out is what a full look would rule out."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc
import pytest

from declarative_ml.core.edges import first_two, holds_letter, is_missing, without_blanks
from declarative_ml.core.grammar import WHITESPACE, spellings_of_missing
from declarative_ml.core.schema import DEFAULT_MISSING

COLUMNS: dict[str, list[str | None]] = {
    "none": [],
    "empty": ["", "", ""],
    "plain": ["a", "bc", "12"],
    "blanks": [" a", "b\t", "\u00a0c", "d\ufeff", "e f", ""],
    "letters outside ASCII": ["é", "Ǡ", "ÿ", "界", "\u202f5"],
    "missing": ["NA", "N", "Nat", "null", "nulL", "?", "??", "", "#N/A", "#N/B"],
    "null": [None, "NA", None, " x "],
    "only null": [None, None],
}


@pytest.fixture(params=COLUMNS, ids=list(COLUMNS))
def texts(request: pytest.FixtureRequest) -> pa.Array:
    """A column, as the end of a longer array: what stands before it must not matter."""
    return pa.array([" NAx", *COLUMNS[request.param]], pa.string())[1:]


def test_blanks_are_taken_off(texts: pa.Array) -> None:
    assert without_blanks(texts).equals(pc.utf8_trim(texts, characters=WHITESPACE))


def test_a_column_without_blanks_is_not_copied() -> None:
    column = pa.array(["a", "b c", ""])
    assert without_blanks(column) is column


@pytest.mark.parametrize("missing", [DEFAULT_MISSING, (), ("-9", " Nat "), ("界",)])
def test_spellings_of_missing_are_found(texts: pa.Array, missing: tuple[str, ...]) -> None:
    found = is_missing(texts, missing)
    spellings = spellings_of_missing(missing)
    wanted = [text in spellings for text in texts.to_pylist()]
    assert (found.to_pylist() if found is not None else [False] * len(texts)) == wanted


def test_letters_and_first_bytes(texts: pa.Array) -> None:
    present = [text for text in texts.to_pylist() if text is not None]
    assert holds_letter(texts, "n") == any("n" in text.lower() for text in present)
    first, second = first_two(texts.drop_null())
    bytes_ = [text.encode() for text in present]
    assert first.tolist() == [(text + b"\0\0")[0] for text in bytes_]
    assert second.tolist() == [(text + b"\0\0")[1] for text in bytes_]
