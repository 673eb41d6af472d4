"""A block of which a quick look tells all is counted as one that is looked at text by text."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pytest

from declarative_ml.sources import hypotheses
from declarative_ml.sources.hypotheses import TextTally

BLOCKS = {
    "days": [["2024-05-31", "2024-02-29", None, "0999-01-01"]] * 3,
    "one day": [["2024-05-31"] * 300],
    "moments": [["2024-05-31 12:00:00", "2024-02-29T00:00", "1969-01-01 23:59:59"], ["2024-05-31 10:00"] * 4],
    "days and moments": [["2024-05-31", "2024-02-29"], ["2024-05-31 12:00:00"] * 2, ["31.05.2024"]],
    "wrong days": [["2024-05-31", "2024-02-30", "2024-13-01"], ["2023-02-29"] * 3],
    "prose": [["seven words", "many a word", "no word", "fine"], ["more of it", "and so on", "more of it"]],
    "names": [
        ["Ann", "Bob", "Cid", "Dan"],
        ["January", "Jan 2024", "Ann", "true", "FALSE"],
        ["12 kg", "Eve"],
    ],
    "codes": [
        ["M1", "M2", "M3", "M4"],
        ["M5", "M6", "USD 5", "M7"],
        ["M8", "5 kg", "6 kg"],
        ["M9", "é", "ſ"],
    ],
    "few": [["a", "b"], ["a"], ["1 kg", "b"], ["b", "c"]],
    "then numbers": [["a", "b", "c", "d"], ["1", "2", "x"], ["3.5", "4"]],
}


def tally(blocks: list[list[str | None]]) -> dict[str, Any]:
    found, rows = TextTally(), 0
    for block in blocks:
        found.update(pa.array(block, pa.string()), rows)
        rows += len(block)
    return {
        "present": found.present,
        "fits": {name: count for name, count in found.counts.fits.items() if count},
        "misfits": {name: samples for name, samples in found.counts.misfits.items() if samples},
        "units": {unit: (dict(counts.fits), dict(counts.misfits)) for unit, counts in found.units.items()},
        "time": found.with_time,
        "zones": {name: count for name, count in found.zoned.fits.items() if count},
        "order": {pattern: count for pattern, count in found.only_day_first.items() if count},
    }


@pytest.mark.parametrize("blocks", BLOCKS.values(), ids=BLOCKS)
def test_the_short_ways_count_alike(blocks: list[list[str | None]], monkeypatch: pytest.MonkeyPatch) -> None:
    short = tally(blocks)
    monkeypatch.setattr(TextTally, "_all_iso", lambda *_: False)
    monkeypatch.setattr(hypotheses, "promising", lambda present: present)
    assert tally(blocks) == short


def test_most_blocks_of_prose_need_no_count_of_their_texts(monkeypatch: pytest.MonkeyPatch) -> None:
    found = TextTally()
    found.update(pa.array(["one word", "two words", "three of them"]), 0)
    monkeypatch.setattr(hypotheses, "Values", None)  # a call would raise
    found.update(pa.array(["you and me", "who or what"]), 3)
    assert found.present == 5
