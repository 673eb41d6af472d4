"""What differs between two runs or bundles: metrics on the same rows, answers, options, data, costs."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

from declarative_ml.api.diff import changed_options, pairs
from declarative_ml.api.sides import Origin, find_origin, gather, latencies, test_rows
from declarative_ml.api.workspace import Workspace
from declarative_ml.core.atomic import read_json
from declarative_ml.core.columns import raw_column
from declarative_ml.learning.intervals import paired_differences
from declarative_ml.report.comparison import Comparison, Disagreement, Shared, Side
from declarative_ml.report.disagreement import agreement, answers, distance
from declarative_ml.report.tables import importance_table
from declarative_ml.report.wording import trimmed
from declarative_ml.steps.table import open_table, read_rows

if TYPE_CHECKING:
    import numpy as np

MAX_ROWS = 20
"""Rows that are shown of those on which the two disagree."""
MAX_ALIKE = 3
"""Of rows with the same difference."""
MAX_COLUMNS = 6
"""Columns that are shown of these rows, the most important first."""


def compare(first: str, second: str, workspace: Workspace) -> Comparison:
    """Compare two runs (an id, the start of one, `latest`) or bundles (paths).

    Raises UsageError for runs that are not there or made no bundle, DataError for damaged bundles.
    """
    one, other = find_origin(first, workspace), find_origin(second, workspace)
    times = latencies(one, other)
    old, new = replace(gather(one), latency=times[0]), replace(gather(other), latency=times[1])
    shared, pairing = _share(one, other, old, new)
    before, after = one.options(), other.options()
    return Comparison(
        old,
        new,
        pairing=pairing,
        shared=shared,
        differences=_differences(old, new, shared),
        options=None if before is None or after is None else changed_options(before, after),
        disagreements=_disagreements(other, old, new, shared),
    )


def _share(first: Origin, second: Origin, old: Side, new: Side) -> tuple[Shared | None, str]:
    """The rows that both were tested on, and a sentence that says so, or why there are none."""
    import numpy as np

    if old.content.task != new.content.task:
        return None, "The two have different targets, so their answers cannot be held against each other."
    known, given = test_rows(first), test_rows(second)
    if known is None or given is None:
        absent = old if known is None else new
        return None, f"The answers of {absent.label} on its test rows are not in a store here."
    places = _places(first, second, known["rows"], given["rows"])
    if places is None:
        return None, "The two were learned from different data, so their test rows are not the same."
    _, left, right = np.intersect1d(places[0], places[1], return_indices=True)
    if not len(left):
        return None, "The data are the same, and no row was a test row of both."
    truth = known["truth"][left]
    if not np.array_equal(truth, given["truth"][right]):
        return None, f"The values of {new.content.task.target} are not the same in both tables."
    shared = Shared(truth, known["prediction"][left], given["prediction"][right], given["rows"][right])
    counts = len(known["rows"]), len(given["rows"])
    if counts[0] == counts[1] == len(left):
        return shared, f"Both were tested on the same {len(left):,} rows."
    return shared, f"{len(left):,} rows were test rows of both ({counts[0]:,} and {counts[1]:,} each)."


def _places(
    first: Origin, second: Origin, rows: np.ndarray, others: np.ndarray
) -> tuple[np.ndarray, np.ndarray] | None:
    """What names a test row in both: its position in the one table, or its rank by hash in equal data."""
    import numpy as np

    if first.table_digest() is not None and first.table_digest() == second.table_digest():
        return rows, others
    splits = first.artifact("split"), second.artifact("split")
    if splits[0] is None or splits[1] is None:
        return None
    prints = {read_json(folder / "split.json")["fingerprint"] for folder in splits if folder is not None}
    orders = np.load(splits[0] / "order.npy"), np.load(splits[1] / "order.npy")
    if len(prints) > 1 or len(orders[0]) != len(orders[1]):
        return None
    return _ranks(orders[0], rows), _ranks(orders[1], others)


def _ranks(order: np.ndarray, positions: np.ndarray) -> np.ndarray:
    """The places in `order` at which these positions stand."""
    import numpy as np

    rank = np.empty(int(order.max()) + 1, dtype=np.int64)
    rank[order] = np.arange(len(order))
    return np.asarray(rank[positions])


def _differences(old: Side, new: Side, shared: Shared | None) -> dict[str, tuple[float, float, float]]:
    if shared is None:
        return {}
    both = [content.metrics.get("test", {}) for content in (old.content, new.content)]
    return paired_differences(
        [name for name in both[1] if name in both[0]],
        new.content.task,
        shared.truth,
        shared.second,
        shared.first,
        threshold_a=new.content.threshold,
        threshold_b=old.content.threshold,
    )


def _disagreements(second: Origin, old: Side, new: Side, shared: Shared | None) -> list[Disagreement]:
    """The rows on which the answers lie furthest apart, the furthest first."""
    import numpy as np

    if shared is None:
        return []
    apart = distance(shared.first, shared.second)
    furthest = _furthest(apart, np.round(shared.second - shared.first, 6).reshape(len(apart), -1))
    values = _values(second, old, new, shared.rows[furthest])
    task = new.content.task
    told = [
        answers(task, shared.first[furthest], old.content.threshold),
        answers(task, shared.second[furthest], new.content.threshold),
    ]
    truth = [
        task.classes[code] if task.is_classification else trimmed(float(code))
        for code in shared.truth[furthest]
    ]
    return [
        Disagreement(
            row=int(shared.rows[place]) + 1,
            truth=truth[number],
            first=told[0][number],
            second=told[1][number],
            apart=float(apart[place]),
            values={name: column[number] for name, column in values.items()},
        )
        for number, place in enumerate(furthest)
    ]


def _furthest(apart: np.ndarray, change: np.ndarray) -> np.ndarray:
    """The rows [n] to show; few of those that differ in the same way, or one leaf would fill the table."""
    import numpy as np

    shown: list[int] = []
    alike: dict[bytes, int] = {}
    for place in np.argsort(-apart, kind="stable"):
        if apart[place] == 0 or len(shown) == MAX_ROWS:
            break
        way = change[place].tobytes()
        alike[way] = alike.get(way, 0) + 1
        if alike[way] <= MAX_ALIKE:
            shown.append(int(place))
    return np.array(shown, dtype=np.int64)


def _values(second: Origin, old: Side, new: Side, rows: np.ndarray) -> dict[str, list[str]]:
    """Column -> its text in these rows, of the columns that matter most; nothing without the table."""
    folder = second.table()
    if folder is None or not len(rows):
        return {}
    with open_table(folder) as reader:
        present = set(reader.schema.names)
    ranked = [
        row["name"] for side in (new, old) for row in (importance_table(side.content) or {}).get("rows", ())
    ]
    wanted = dict.fromkeys([*ranked, *new.content.features, *old.content.features])
    names = [name for name in wanted if name in present][:MAX_COLUMNS]
    table = read_rows(folder, rows, names).combine_chunks()
    return {
        name: [text or "" for text in raw_column(table.column(name).combine_chunks(), "string").to_pylist()]
        for name in names
    }


def as_json(found: Comparison) -> dict[str, Any]:
    """The comparison as plain values; None where a metric is not defined."""
    old, new = found.first, found.second
    return {
        "runs": [old.label, new.label],
        "metrics": {
            part: _paired(old.content.metrics.get(part, {}), new.content.metrics.get(part, {}))
            for part in dict.fromkeys([*old.content.metrics, *new.content.metrics])
        },
        "pairing": found.pairing,
        "rows": 0 if found.shared is None else len(found.shared.truth),
        "paired": {
            name: dict(zip(("difference", "low", "high"), map(_finite, values), strict=True))
            for name, values in found.differences.items()
        },
        "agreement": agreement(found),
        "disagreements": [asdict(item) for item in found.disagreements],
        "slices": _slices(old, new),
        "importance": pairs(dict(old.content.importance), dict(new.content.importance)),
        "columns": pairs(old.content.features, new.content.features, changed=True),
        "dropped": pairs(old.content.dropped, new.content.dropped, changed=True),
        "data": {
            "fingerprints": [old.fingerprint, new.fingerprint],
            "rows": [dict(old.content.rows), dict(new.content.rows)],
        },
        "options": None
        if found.options is None
        else {name: list(pair) for name, pair in found.options.items()},
        "members": [[asdict(member) for member in side.content.members] for side in (old, new)],
        "conversions": [[asdict(item) for item in side.content.conversions] for side in (old, new)],
        "thresholds": [old.content.threshold, new.content.threshold],
        "same_model": found.same_model,
        "bytes": [old.size, new.size],
        "latency": [old.latency, new.latency],
        "seconds": [old.seconds, new.seconds],
        "faults": [list(old.faults), list(new.faults)],
    }


def _slices(old: Side, new: Side) -> dict[str, list[float | None]]:
    """Slice -> the primary metric of the second in both."""
    primary = new.content.primary
    values = [
        {item.slice: _finite(item.metrics.get(primary)) for item in side.content.slices}
        for side in (old, new)
    ]
    return pairs(*values)


def _paired(old: Mapping[str, float], new: Mapping[str, float]) -> dict[str, list[float | None]]:
    found: dict[str, list[float | None]] = {}
    for name in dict.fromkeys([*old, *new]):
        before, after = _finite(old.get(name)), _finite(new.get(name))
        found[name] = [before, after, None if before is None or after is None else after - before]
    return found


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None
