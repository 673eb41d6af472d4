from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from declarative_ml.learning.buckets import Buckets


def test_what_is_put_into_a_bucket_comes_out_of_it_in_order(tmp_path: Path) -> None:
    with Buckets(tmp_path / "rough", 3, ("<u8", "u1")) as buckets:
        buckets.add(2, (np.array([7, 8]), np.array([True, False])))
        buckets.add(0, (np.array([1]), np.array([1])))
        buckets.add(2, (np.array([9]), np.array([1])))
        numbers, flags = buckets.whole(2)
        assert numbers.tolist() == [7, 8, 9] and flags.tolist() == [1, 0, 1]
        assert numbers.dtype == np.uint64
        assert [array.tolist() for array in buckets.whole(0)] == [[1], [1]]
        assert [array.tolist() for array in buckets.whole(1)] == [[], []]
    assert not list(tmp_path.iterdir())


def test_the_file_is_gone_after_an_error(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError), Buckets(tmp_path / "rough", 1, ("<i8",)) as buckets:
        buckets.add(0, (np.arange(3),))
        raise RuntimeError
    assert not list(tmp_path.iterdir())
