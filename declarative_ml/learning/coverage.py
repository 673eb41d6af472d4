"""What prediction intervals are worth on rows of known truth: how many they cover, how wide they are."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from declarative_ml.learning.disk_rows import write_rows
from declarative_ml.learning.intervals import mean_interval
from declarative_ml.learning.scores import Rows, in_memory, parts
from declarative_ml.learning.value_groups import ValueGroups

GROUPS = 5


def interval_quality(
    truth: Rows, lower: Rows, upper: Rows, level: float, *, seed: int = 0, scratch: Path | None = None
) -> dict[str, Any]:
    """Coverage and mean width of the intervals [lower, upper] of N >= 1 rows, all [N].

    `coverage` and `width` are [value, low, high] with a 95 % bootstrap interval; `below` and `above` the
    shares of rows outside on either side; `groups` the same by fifths of the rows from narrow to wide, which
    shows whether wide intervals are wide for a reason. `scratch`: as for `scores.scores`.
    """
    import numpy as np

    with TemporaryDirectory(dir=scratch) as temporary:
        folder = Path(temporary)

        def each(name: str, value: Any) -> Rows:
            found = (value(truth[part], lower[part], upper[part]) for part in parts(truth))
            whole = write_rows(folder / f"{name}.npy", len(truth), found)
            return whole[:] if in_memory(truth) else whole

        inside = each("inside", lambda is_, low, high: ((is_ >= low) & (is_ <= high)).astype(np.float64))
        width = each("width", lambda is_, low, high: high - low)
        below, above = (
            sum(int(np.count_nonzero(beyond(truth[part], ends[part]))) for part in parts(truth))
            for beyond, ends in ((np.less, lower), (np.greater, upper))
        )
        groups = _fifths(width, inside) if in_memory(truth) else _fifths_on_disk(width, inside, folder)
        return {
            "level": level,
            "rows": len(truth),
            "coverage": list(mean_interval(inside, seed=seed)),
            "width": list(mean_interval(width, seed=seed)),
            "below": below / len(truth),
            "above": above / len(truth),
            "groups": list(groups),
        }


def _fifths(width: Rows, inside: Rows) -> Iterator[dict[str, Any]]:
    import numpy as np

    for rows in np.array_split(np.argsort(np.asarray(width), kind="stable"), GROUPS):
        if len(rows):
            yield {
                "rows": len(rows),
                "width": float(width[rows].mean()),
                "coverage": float(inside[rows].mean()),
            }


def _fifths_on_disk(width: Rows, inside: Rows, folder: Path) -> Iterator[dict[str, Any]]:
    """As `_fifths`. Of rows of one width that lie in two fifths, both have the same share inside."""
    import numpy as np

    ends = np.cumsum([len(width) // GROUPS + (number < len(width) % GROUPS) for number in range(GROUPS)])
    sums = np.zeros((2, GROUPS))  # of widths, and of rows inside, down to each end
    with ValueGroups(folder / "widths", sum(1 for _ in parts(width))) as rows:
        for part in parts(width):
            rows.add(width[part], inside[part] == 1)
        before, done = 0, np.zeros(2)
        for values, within, outside in rows.ascending():
            counts = within + outside
            reached = np.concatenate([[before], before + np.cumsum(counts)])
            for place, found in enumerate((values * counts, within)):
                total = np.concatenate([[done[place]], done[place] + np.cumsum(found)])
                here = (ends > reached[0]) & (ends <= reached[-1])
                sums[place, here] = np.interp(ends[here], reached, total)
                done[place] = total[-1]
            before = int(reached[-1])
    sizes = np.diff(ends, prepend=0)
    for size, wide, covered in zip(sizes.tolist(), *np.diff(sums, axis=1, prepend=0.0).tolist(), strict=True):
        yield {"rows": size, "width": wide / size, "coverage": covered / size}
