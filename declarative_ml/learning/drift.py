"""How far two histograms of a column are apart, and whether so many rows can tell: drift.

Both measures compare shares of the same cells. The population stability index is the symmetric
Kullback-Leibler divergence, sum (p - q) ln(p / q), with its rules of thumb 0.1 and 0.25 (Siddiqi, "Credit
Risk Scorecards", 2006). The Jensen-Shannon divergence is in bits, so 0 is equal and 1 is
disjoint (Lin, IEEE Transactions on Information Theory 1991).

Two samples of n and m rows of one distribution never agree exactly: with B cells their index is about
(1/n + 1/m) times a chi-squared variable of B - 1 degrees of freedom, so its expectation is (B - 1)(1/n + 1/m)
(Yurdakul & Naranjo, "Statistical properties of the population stability index", Journal of Risk Model
Validation 2020). A column counts as moved when its index is above both the alert level and what such
chance reaches once in a hundred comparisons of all columns. Few rows hence raise no alarm. Cells that hold
too few rows for that theory are joined first.

numpy alone: a service compares the rows that it sees with the same functions.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any

import numpy as np

from declarative_ml.learning.histograms import BINS

ALERT = 0.2
"""The index from which a column counts as moved, if so many rows can tell."""
FALSE_ALARMS = 0.01
"""The chance that any column of unchanged ones is called moved."""
MAX_LEVELS = 20
"""Levels of a category that are cells of their own, the most frequent of the reference."""
_LEAST_EXPECTED = 5.0
"""Rows that a cell must hold in the smaller sample, were both alike (Cochran's rule for chi-squared)."""
MISSING, OTHER = "(missing)", "(other)"


@dataclass(frozen=True)
class Distance:
    """How far two samples are apart."""

    psi: float
    js: float
    """In bits."""
    noise: float
    """What `psi` stays below by chance alone."""
    ks: float | None = None
    """Largest difference of the two cumulated shares at the ends of the cells, where these have an order: no
    more than the Kolmogorov-Smirnov statistic. Missing values are left out."""
    ks_noise: float = 0.0
    """What `ks` stays below by chance alone, by Smirnov's limit, which is cautious for cells."""

    @property
    def js_noise(self) -> float:
        """What `js` stays below by chance alone: near zero it is an eighth of `psi`, in bits."""
        return self.noise / (8 * math.log(2))

    @property
    def is_clear(self) -> bool:
        """Whether it is more than chance."""
        return self.psi > self.noise


@dataclass(frozen=True)
class ColumnDrift:
    """One column in the reference and now."""

    column: str
    kind: str
    rows: tuple[int, int]
    """Of the reference, and now."""
    distance: Distance
    missing: tuple[float, float]
    """Shares of the rows."""
    unseen: float = 0.0
    """Share of the rows now with a level that the reference does not keep."""
    unseen_levels: tuple[str, ...] = ()
    """These levels, the most frequent first."""
    cells: tuple[str, ...] = ()
    """Names of what is compared: levels, or the lower ends of bins."""
    shares: tuple[tuple[float, ...], tuple[float, ...]] = ((), ())
    """Of each cell: in the reference, and now."""
    moved: bool = False


@dataclass(frozen=True)
class Drift:
    """All columns of two references."""

    columns: tuple[ColumnDrift, ...]
    """Those in both, the farthest apart first."""
    added: tuple[str, ...] = ()
    """Columns that the reference does not have, or has as another type."""
    gone: tuple[str, ...] = ()

    @property
    def moved(self) -> tuple[ColumnDrift, ...]:
        """The columns that moved."""
        return tuple(column for column in self.columns if column.moved)


def drift_from_json(fields: Mapping[str, Any]) -> Drift:
    """A Drift as `dataclasses.asdict` gave it, after JSON."""
    columns = [
        ColumnDrift(
            **{
                **item,
                "distance": Distance(**item["distance"]),
                **{name: tuple(item[name]) for name in ("rows", "missing", "unseen_levels", "cells")},
                "shares": (tuple(item["shares"][0]), tuple(item["shares"][1])),
            }
        )
        for item in fields["columns"]
    ]
    return Drift(tuple(columns), tuple(fields["added"]), tuple(fields["gone"]))


def compare(reference: Mapping[str, Any], current: Mapping[str, Any], *, alert: float = ALERT) -> Drift:
    """Compare the `columns` of two reference.json (docs/bundle.md), or of a reference and a window of rows
    that was counted in the same form."""
    before, now = reference["columns"], current["columns"]
    same = [name for name in now if name in before and before[name]["kind"] == now[name]["kind"]]
    found = [column_drift(name, before[name], now[name], len(same), alert=alert) for name in same]
    return Drift(
        columns=tuple(sorted(found, key=lambda item: (not item.moved, -item.distance.psi, item.column))),
        added=tuple(name for name in now if name not in same),
        gone=tuple(name for name in before if name not in same),
    )


def column_drift(
    name: str,
    reference: Mapping[str, Any],
    current: Mapping[str, Any],
    comparisons: int = 1,
    *,
    alert: float = ALERT,
) -> ColumnDrift:
    """Compare one column's entries; `comparisons` is how many columns are looked at together."""
    rows = int(reference["rows"]), int(current["rows"])
    is_category = reference["kind"] == "category"
    cells, counts = (_level_counts if is_category else _bin_counts)(reference, current)
    new = _unseen(reference, current) if is_category else {}
    distance = measure(*counts, comparisons=comparisons, ordered=not is_category)
    return ColumnDrift(
        column=name,
        kind=reference["kind"],
        rows=rows,
        distance=distance,
        missing=(_share(reference["missing"], rows[0]), _share(current["missing"], rows[1])),
        unseen=_share(sum(new.values()), rows[1]),
        unseen_levels=tuple(new),
        cells=cells,
        shares=(_shares(counts[0]), _shares(counts[1])),
        moved=distance.is_clear and distance.psi >= alert,
    )


def measure(
    reference: np.ndarray, current: np.ndarray, *, comparisons: int = 1, ordered: bool = False
) -> Distance:
    """The distance of two samples given as rows in each cell [B]; in `ordered` cells (the last one being
    missing values) neighbours are joined where there are few rows, else the rarest cells.

    Nothing is known of an empty sample: the distance is 0 then.
    """
    totals = float(reference.sum()), float(current.sum())
    if not all(totals):
        return Distance(0.0, 0.0, 0.0)
    first, second = _joined(reference, current, ordered)
    cells = len(first)
    # Half a row more in each cell: an empty one must not make the index infinite.
    p, q = ((counts + 0.5) / (counts.sum() + 0.5 * cells) for counts in (first, second))
    psi = float(((p - q) * np.log(p / q)).sum())
    middle = (p + q) / 2
    js = float((p * np.log2(p / middle) + q * np.log2(q / middle)).sum() / 2)
    chance = FALSE_ALARMS / max(comparisons, 1)
    spread = 1 / totals[0] + 1 / totals[1]
    noise = spread * chi_squared(cells - 1, 1 - chance)
    if not ordered:
        return Distance(psi, js, noise)
    return Distance(
        psi, js, noise, _largest_gap(reference, current), math.sqrt(-math.log(chance / 2) / 2 * spread)
    )


def _largest_gap(reference: np.ndarray, current: np.ndarray) -> float:
    """Between the cumulated shares of all cells but the last one, that of missing values."""
    before, now = (counts[:-1].astype(np.float64) for counts in (reference, current))
    if not before.sum() or not now.sum():
        return 0.0
    return float(np.abs(np.cumsum(before) / before.sum() - np.cumsum(now) / now.sum()).max())


def chi_squared(degrees: int, share: float) -> float:
    """The quantile of the chi-squared distribution (Wilson & Hilferty, PNAS 1931); 0 without degrees."""
    if degrees < 1:
        return 0.0
    width = 2 / (9 * degrees)
    return float(degrees * max(0.0, 1 - width + NormalDist().inv_cdf(share) * math.sqrt(width)) ** 3)


def _joined(reference: np.ndarray, current: np.ndarray, ordered: bool) -> tuple[np.ndarray, np.ndarray]:
    """The counts in cells of which each holds enough rows of both samples together, at the smaller one's
    share of them."""
    both = np.stack([reference, current]).astype(np.float64)
    totals = both.sum(axis=1)
    expected = both.sum(axis=0) * (totals.min() / totals.sum())
    order = np.arange(both.shape[1]) if ordered else np.argsort(-expected, kind="stable")
    cells: list[np.ndarray] = []
    held = 0.0
    for place in order.tolist():
        if cells and held < _LEAST_EXPECTED:
            cells[-1] = cells[-1] + both[:, place]
            held += expected[place]
        else:
            cells.append(both[:, place])
            held = float(expected[place])
    if len(cells) > 1 and held < _LEAST_EXPECTED:
        last = cells.pop()
        cells[-1] = cells[-1] + last
    merged = np.stack(cells, axis=1)
    return merged[0], merged[1]


def _counted(column: Mapping[str, Any]) -> dict[str, int]:
    return dict(zip(column["levels"], column["counts"], strict=True))


def _unseen(reference: Mapping[str, Any], current: Mapping[str, Any]) -> dict[str, int]:
    """Rows now of each level that the reference does not keep, the most frequent first."""
    known = set(reference["levels"])
    new = {level: rows for level, rows in _counted(current).items() if level not in known and rows}
    return dict(sorted(new.items(), key=lambda item: (-item[1], item[0])))


def _level_counts(
    reference: Mapping[str, Any], current: Mapping[str, Any]
) -> tuple[tuple[str, ...], tuple[np.ndarray, np.ndarray]]:
    """The most frequent levels of both, all others together, and the missing values.

    A level that only one side keeps may be among the rare ones that the other counts as `other`: so many of
    these are taken for it as would make the shares equal, and a difference is what then is left.
    """
    before, now = _counted(reference), _counted(current)
    first = _completed(before, reference["other"], now)
    second = _completed(now, current["other"], before)
    totals = sum(first.values()) or 1.0, sum(second.values()) or 1.0
    known = [level for level in first if level is not None]
    known.sort(key=lambda level: (-first[level] / totals[0] - second[level] / totals[1], level))
    cells = known[:MAX_LEVELS]
    counts = [
        np.array(
            [*(side[level] for level in cells), sum(side[level] for level in known[MAX_LEVELS:]) + side[None]]
        )
        for side in (first, second)
    ]
    missing = float(reference["missing"]), float(current["missing"])
    both = np.append(counts[0], missing[0]), np.append(counts[1], missing[1])
    return (*cells, OTHER, MISSING), both


def _completed(known: Mapping[str, int], other: int, wanted: Mapping[str, int]) -> dict[str | None, float]:
    """Rows of each level of either side; None: those of `other` that are left. A level that is not known gets
    as large a share as it has on the other side, as long as there are rows of `other`."""
    found: dict[str | None, float] = {level: float(rows) for level, rows in known.items()}
    scale = (sum(known.values()) + other) / (sum(wanted.values()) or 1)
    left = float(other)
    for level in sorted(
        (level for level in wanted if level not in known), key=lambda item: (-wanted[item], item)
    ):
        found[level] = min(left, wanted[level] * scale)
        left -= found[level]
    return {**found, None: left}


def _bin_counts(
    reference: Mapping[str, Any], current: Mapping[str, Any]
) -> tuple[tuple[str, ...], tuple[np.ndarray, np.ndarray]]:
    """The bins of the reference (of the rows now where it has no values), and the missing values."""
    edges = np.asarray(reference["edges"] or current["edges"], dtype=np.float64)
    counts = [np.append(_on_edges(column, edges), column["missing"]) for column in (reference, current)]
    return (*(f"{edge:g}" for edge in edges[:-1]), MISSING), (counts[0], counts[1])


def _on_edges(column: Mapping[str, Any], edges: np.ndarray) -> np.ndarray:
    """The rows of a histogram in the bins of other edges [B + 1].

    Bins are made to hold equal shares. One that holds more does so because of its first value, which is
    common, so the surplus lies there; the rest is taken to be spread evenly.
    """
    own, counts = (
        np.asarray(column["edges"], dtype=np.float64),
        np.asarray(column["counts"], dtype=np.float64),
    )
    if np.array_equal(own, edges):
        return counts
    if not len(own) or not len(edges):
        return np.zeros(max(len(edges) - 1, 0))
    total, starts = float(counts.sum()), np.cumsum(counts) - counts
    single = own[:-1] == own[1:]  # the greatest value alone, where it is common
    surplus = np.where(single, counts, np.maximum(counts - total / BINS, 0.0))
    places = np.stack([own[:-1], np.nextafter(own[:-1], np.inf)], axis=1).ravel()
    below = np.stack([starts, starts + surplus], axis=1).ravel()
    inner = np.interp(edges[1:-1], [*places, max(own[-1], places[-1])], [*below, total])
    return np.diff(np.concatenate([[0.0], inner, [total]]))


def _share(part: float, whole: float) -> float:
    return float(part) / float(whole) if whole else 0.0


def _shares(counts: np.ndarray) -> tuple[float, ...]:
    total = float(counts.sum())
    return tuple((counts / total).tolist()) if total else tuple(0.0 for _ in counts)
