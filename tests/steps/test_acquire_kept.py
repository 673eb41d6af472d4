"""A small table is read once, a larger one twice; the rows are the same."""

from __future__ import annotations

from pathlib import Path

import pytest

from declarative_ml.sources import SOURCES
from declarative_ml.sources.base import Source
from declarative_ml.steps.acquire import _Kept

ROWS = {"train": 5, "test": 3}


@pytest.fixture
def sources(tmp_path: Path) -> dict[str, Source]:
    for name, rows in ROWS.items():
        (tmp_path / f"{name}.csv").write_text("a,b\n" + "1,x\n" * rows)
    return {name: SOURCES.parse({"type": "file", "path": str(tmp_path / f"{name}.csv")}) for name in ROWS}


@pytest.mark.parametrize(
    ("most", "kept"),
    [(1 << 20, True), (60, False), (0, False)],
    ids=["room for all", "room for some", "no room"],
)
def test_the_second_pass_has_the_rows_of_the_first(
    sources: dict[str, Source], tmp_path: Path, most: int, kept: bool
) -> None:
    batches = _Kept(sources, most)
    first = {name: [batch.to_pylist() for batch in batches.first(name)] for name in sources}
    if kept:
        for name in ROWS:
            (tmp_path / f"{name}.csv").unlink()  # nobody reads it again
    again = {name: [batch.to_pylist() for batch in batches.again(name)] for name in sources}
    assert again == first
    assert {name: sum(map(len, rows)) for name, rows in again.items()} == ROWS
