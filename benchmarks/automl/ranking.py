"""Who is ahead: ranks within a division of a table, and wins that other rows would not undo."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from benchmarks.automl.entries import Entry
from benchmarks.automl.results import Cell
from benchmarks.automl.scores import primary
from declarative_ml.learning.metrics import METRICS


def ranks(scores: Mapping[str, float | None], *, greater_is_better: bool) -> dict[str, float]:
    """Name -> rank from 1; equal scores share the mean of their ranks.

    None, and scores that are not finite, share the last places.
    """
    worst = -math.inf if greater_is_better else math.inf
    known = {
        name: worst if value is None or not math.isfinite(value) else value for name, value in scores.items()
    }
    ordered = sorted(known.values(), reverse=greater_is_better)
    first = {value: ordered.index(value) for value in known.values()}
    return {name: first[value] + (ordered.count(value) + 1) / 2 for name, value in known.items()}


@dataclass(frozen=True)
class Contest:
    """The cells of one division of one table, by the label of their entry; absent ones left out."""

    table: str
    split: int
    cells: Mapping[str, Cell]

    def ranks(self) -> dict[str, float]:
        """Label -> rank."""
        metric = METRICS[primary(next(iter(self.cells.values())).task)]
        scores = {
            name: cell.scores.get(metric.name) if cell.counts else None for name, cell in self.cells.items()
        }
        return ranks(scores, greater_is_better=metric.greater_is_better)


def contests(cells: Iterable[Cell]) -> list[Contest]:
    """One for each division that has cells, in the order of the cells."""
    found: dict[tuple[str, int], dict[str, Cell]] = defaultdict(dict)
    for cell in cells:
        if cell.status != "absent":
            found[cell.table, cell.split][cell.entry.label] = cell
    return [Contest(table, split, members) for (table, split), members in found.items()]


def complete(found: Sequence[Contest], labels: Sequence[str]) -> list[Contest]:
    """Those in which every label has a cell: means over others would compare different tables."""
    return [contest for contest in found if all(label in contest.cells for label in labels)]


def mean_ranks(found: Sequence[Contest], labels: Sequence[str]) -> dict[str, float]:
    """Label -> mean rank among `labels` over the contests; nan without any. Each table counts the same."""
    by_table: dict[str, list[dict[str, float]]] = defaultdict(list)
    for contest in found:
        only = Contest(contest.table, contest.split, {label: contest.cells[label] for label in labels})
        by_table[contest.table].append(only.ranks())
    tables = [
        {label: sum(one[label] for one in several) / len(several) for label in labels}
        for several in by_table.values()
    ]
    return {
        label: sum(one[label] for one in tables) / len(tables) if tables else math.nan for label in labels
    }


def entries_in(cells: Iterable[Cell]) -> list[Entry]:
    """Every entry once: ours by their seconds, then the peers by name and seconds."""
    found = {cell.entry for cell in cells}
    return sorted(found, key=lambda entry: (not entry.ours, entry.contender, entry.seconds, entry.preset))
