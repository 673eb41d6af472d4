"""Binary tensors of texts: whatever they are, they are read to what was written."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from declarative_ml.serving.exchange import Refusal
from declarative_ml.serving.protocol_tensors import read_binary, write_binary

PLAIN = st.text(st.characters(codec="ascii", exclude_characters="\0"), max_size=12)
NASTY = st.one_of(
    st.text(max_size=12), st.just(""), st.just("\0" * 5), st.just("x" * 300), st.just("\0\0\0\x05")
)


def written(texts: list[str]) -> bytes:
    return write_binary(np.array(texts, dtype=object), "BYTES")


@given(st.lists(st.one_of(PLAIN, NASTY), max_size=40), st.lists(PLAIN, min_size=16, max_size=40))
def test_texts_come_back(nasty: list[str], plain: list[str]) -> None:
    for texts in (nasty, plain, plain + nasty, nasty + plain):
        assert read_binary("note", "BYTES", memoryview(written(texts)), len(texts)) == texts


@given(st.lists(PLAIN, min_size=16, max_size=30), st.integers(0, 400), st.integers(-2, 2))
def test_a_damaged_tensor_is_refused(texts: list[str], place: int, rows: int) -> None:
    content = written(texts)
    if rows:
        with pytest.raises(Refusal):
            read_binary("note", "BYTES", memoryview(content), len(texts) + rows)
    if place < len(content):
        with pytest.raises(Refusal):
            read_binary("note", "BYTES", memoryview(content[:place]), len(texts))


def test_lengths_that_lead_elsewhere_are_no_texts() -> None:
    """Three zeros in line at every right place, and lengths that do not fit them."""
    texts = ["word"] * 20
    content = bytearray(written(texts))
    content[8] = 3
    with pytest.raises(Refusal):
        read_binary("note", "BYTES", memoryview(bytes(content)), len(texts))
