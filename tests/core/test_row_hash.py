from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from declarative_ml.core import row_hash
from declarative_ml.core.row_hash import hash_values

TEXTS = pa.array(["", "a", None, "naïve 🙂", "x" * 5_000, "\0", *(str(number) * 3 for number in range(300))])


@pytest.mark.skipif(row_hash._COMPILED is None, reason="not compiled here")
@pytest.mark.parametrize("chunk", [1, 100, 1 << 16])
@pytest.mark.parametrize(
    "texts", [TEXTS, TEXTS[3:40], TEXTS[:0], TEXTS[:1], pa.array([None, None], pa.string())]
)
def test_the_compiled_hashes_are_the_plain_ones(
    texts: pa.Array, chunk: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    fast = hash_values(texts, 7)
    monkeypatch.setattr(row_hash, "_COMPILED", None)
    monkeypatch.setattr(row_hash, "_CHUNK_BYTES", chunk)
    np.testing.assert_array_equal(fast, hash_values(texts, 7))
