from __future__ import annotations

import pyarrow as pa
import pytest

from declarative_ml.core.dates import read_dates
from declarative_ml.core.schema import ColumnRule

DAYS = ["2024-02-29", None, "0001-01-01", "9999-12-31", "1969-12-31"]
MOMENTS = ["2024-02-29 23:59:59", None, "1969-12-31 00:00", "2024-05-31T12:00:00", "0001-01-01 00:00:01"]


@pytest.mark.parametrize(("texts", "has_time"), [(DAYS, False), (MOMENTS, True)], ids=["days", "moments"])
def test_a_block_of_plain_dates_is_read_as_among_others(texts: list[str | None], has_time: bool) -> None:
    formats = ("%Y-%m-%d %H:%M:%S", "%Y-%m-%d") if has_time else ("%Y-%m-%d",)
    rule = ColumnRule(type="date", formats=formats, has_time=has_time)
    alone = read_dates(pa.array(texts, pa.string()), rule)
    for other in ("no date", "2024-05-31 12:00:00.5"):  # either keeps a block from the short way
        among = read_dates(pa.array([*texts, other]), rule)
        assert alone.equals(among[: len(texts)])
    sliced = read_dates(pa.array(["2024-01-01", *texts, None], pa.string())[1:-1], rule)
    assert sliced.equals(alone)
    assert alone.null_count == 1
