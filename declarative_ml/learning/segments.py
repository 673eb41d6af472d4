"""Find the segments of the rows where a loss is highest: conjunctions of a few conditions on raw columns.

After Slice Finder (Chung, Kraska, Polyzotis, Tae & Whang, "Automated Data Slicing for Model Validation",
IEEE TKDE 2019) and SliceLine (Sagadeeva & Boehm, SIGMOD 2021), of which the search as products of
matrices comes: with A [N, L], the rows that fulfil each of L conditions, A'A counts the rows of all pairs at
once. (A is one-hot by groups of rows that no condition of a column tells apart, so many cuts cost little.)
Pairs are extended to triples by a beam.

Honest statistics. A search over thousands of segments finds some that are bad by chance, so

- a finding is kept when its p-value, multiplied by 3 and by the number of segments with as many conditions
  and enough rows (Bonferroni, a third of 0.05 for each depth), is below 0.05. Cuts are made finer only after
  that, so that their number does not count. The p-value is the chance that as many rows drawn at random have
  so high a mean loss (learning.saddlepoint), so few rows with skewed losses do not deceive it;
- findings are ranked by the lower end of an interval of the excess that is wide enough for all segments
  looked at, not by the excess itself: that of few rows would win by luck;
- after a finding its rows are taken out, and the search goes on in the rest: what is bad only because it
  overlaps with a finding is not told twice;
- a condition is dropped unless the rows that it shuts out are clearly better than those that it lets in.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

from declarative_ml.learning.conditions import (
    Condition,
    RawColumn,
    atoms,
    conditions_of,
    describe,
    roundest,
)
from declarative_ml.learning.saddlepoint import Draws

MAX_ROWS = 10_000
"""Of more rows a random sample of so many is searched."""
MAX_FINDINGS = 8
ALPHA = 0.05
SMALLEST_EFFECT = 0.2
"""Standard deviations of the loss that a segment must be worse than the other rows: a small effect after
Cohen ("Statistical Power Analysis", 1988)."""
_LEAST_ROWS, _LEAST_SHARE = 10, 0.005
_MOST_CONDITIONS = 500
_BEAM = 40
_TRIED = 8
_AS_BAD, _CLEARLY = 0.5, 2.0
"""A condition stays if the rows that it shuts out have less than this share of the excess, by so many
standard errors."""
_SAME_ROWS = 0.5
"""Segments that share so many of the rows that are in either are two descriptions of one finding."""
_NEW_ROWS = 0.5
"""Share of a finding's rows that no earlier finding has."""


@dataclass(frozen=True)
class Segment:
    """Rows with a high loss, and how sure that is."""

    conditions: tuple[Condition, ...]
    rows: int
    inside: float
    """Mean loss of its rows."""
    outside: float
    """Mean loss of all other rows."""
    low: float
    """The excess `inside - outside` is at least this, at 95 % for all segments looked at together."""
    high: float
    effect: float
    """The excess in standard deviations of the loss."""
    p: float
    """At most the chance of so high a loss anywhere, were no segment different (adjusted for the search)."""
    mask: np.ndarray
    """Which of the rows searched are its own, bool [N]."""

    def __str__(self) -> str:
        return describe(self.conditions)


@dataclass(frozen=True)
class Search:
    """What a search came to."""

    segments: tuple[Segment, ...]
    compared: int
    """Segments that the search corrects for: those with enough rows."""
    least_rows: int
    """Segments with fewer rows were not looked at."""


def least_rows(rows: int) -> int:
    """The rows that a segment of so many rows must have."""
    return max(_LEAST_ROWS, math.ceil(_LEAST_SHARE * rows))


def find_segments(
    columns: Sequence[RawColumn], loss: np.ndarray, *, level: float | None = None, depth: int = 3
) -> Search:
    """The segments of up to `depth` conditions where `loss` [N] is clearly above that of the other rows, the
    worst first; where `level` is given, clearly above it as well. Losses should be bounded.

    Deterministic; takes time by rows and columns as matrices of N x 400 at most do.
    """
    return _Search(columns, np.asarray(loss, dtype=np.float64), level, depth).run()


@dataclass
class _Found:
    """A candidate: places of its conditions, and the lower end of its excess."""

    places: tuple[int, ...]
    score: float


class _Search:
    """The state of one search: matrices of conditions, and the rows that no finding has yet."""

    def __init__(
        self, columns: Sequence[RawColumn], loss: np.ndarray, level: float | None, depth: int
    ) -> None:
        self.columns = {column.name: column for column in columns}
        self.loss, self.depth = loss, depth
        self.least = least_rows(len(loss))
        self.mean, self.spread = (float(loss.mean()), float(loss.std())) if len(loss) else (0.0, 0.0)
        self.level = self.mean if level is None else max(level, self.mean)
        self.offered = [conditions_of(column, self.least) for column in columns]
        self.conditions: list[Condition] = []
        self.family: dict[int, int] = {}
        self.open = np.ones(len(loss), dtype=bool)

    def run(self) -> Search:
        found: list[Segment] = []
        if any(conditions for conditions, _ in self.offered) and self.spread > 0:
            self._prepare()
            while len(found) < MAX_FINDINGS and (segment := self._next()) is not None:
                found.append(segment)
                self._take_out(segment.mask)
        return Search(tuple(found), sum(self.family.values()), self.least)

    def _prepare(self) -> None:
        """The sums of all pairs of conditions."""
        given = sum(len(conditions) for conditions, _ in self.offered)
        self.draws = Draws(self.loss)
        blocks = self._chosen()
        self.conditions = [item for conditions, _ in blocks for item in conditions]
        groups = [atoms(masks) for _, masks in blocks]
        self.matrix = np.concatenate([_one_hot(group, len(held)) for group, held in groups], axis=1)
        self.parts = _block_diagonal([held for _, held in groups])
        # Centred, so that sums in single precision lose nothing.
        centred = (self.loss - self.mean).astype(np.float32)
        self.weights = np.stack([np.ones_like(centred), centred, centred**2])
        self.sums = self._pair_sums(np.ones(len(centred), dtype=bool))
        self.all_rows = self.sums[0].copy()
        pairs = (
            np.count_nonzero(np.triu(self.all_rows >= self.least, 1)) * (given / len(self.conditions)) ** 2
        )
        sizes = [given, math.ceil(pairs), math.ceil(pairs * given / 3)]
        self.family = {number: max(1, size) for number, size in enumerate(sizes[: self.depth], start=1)}

    def _chosen(self) -> list[tuple[list[Condition], np.ndarray]]:
        """The columns with conditions; of many those with the worst single condition."""
        blocks = [block for block in self.offered if block[0]]
        centred = (self.loss - self.mean).astype(np.float32)
        worst = [float((centred @ masks / np.sqrt(masks.sum(axis=0))).max()) for _, masks in blocks]
        kept: list[int] = []
        conditions = 0
        for place in np.argsort(-np.asarray(worst), kind="stable").tolist():
            conditions += len(blocks[place][0])
            if not kept or conditions <= _MOST_CONDITIONS:
                kept.append(place)
        return [blocks[place] for place in sorted(kept)]

    def _pair_sums(self, rows: np.ndarray) -> np.ndarray:
        """Of each pair of conditions the number of `rows` that fulfil both, and the sums of their losses and
        of the squares: [3, L, L]. Summed over groups of rows that no condition of a column tells apart."""
        matrix, weights = self.matrix[rows], self.weights[:, rows]
        by_group = np.stack([(matrix * weight[:, None]).T @ matrix for weight in weights])
        return np.asarray(self.parts.T @ by_group @ self.parts)

    def _quantile(self, depth: int) -> float:
        """How many standard errors the best of all segments of a depth may be off by chance."""
        return NormalDist().inv_cdf(1 - ALPHA / (self.depth * self.family[depth]))

    def _take_out(self, mask: np.ndarray) -> None:
        self.sums -= self._pair_sums(mask & self.open)
        self.open &= ~mask

    def _score(self, sums: np.ndarray, depth: int) -> np.ndarray:
        """The lower end of the excess over the level, from numbers of rows, sums of centred losses and of
        their squares [3, …]; -inf for too few rows. The spread of a few equal losses is not believed: it
        is that of all rows at least."""
        rows, total, squares = sums
        enough = rows >= self.least
        safe = np.where(enough, rows, 1.0)
        means = total / safe
        spread = np.sqrt(np.maximum(squares / safe - means**2, self.spread**2))
        low = means + self.mean - self.level - self._quantile(depth) * spread / np.sqrt(safe)
        return np.asarray(np.where(enough, low, -np.inf))

    def _next(self) -> Segment | None:
        """The worst segment of the rows that are left, if any is clearly bad; of several descriptions of its
        rows the one for which there is most evidence."""
        best: Segment | None = None
        for found in self._ranked():
            segment = self._tested([self.conditions[place] for place in found.places])
            if segment is None:
                continue
            if best is None or (segment.p < best.p and _overlap(segment.mask, best.mask) >= _SAME_ROWS):
                best = segment
        return best

    def _tested(self, whole: list[Condition]) -> Segment | None:
        """The segment of these conditions, or of fewer of them, if it is clearly bad."""
        simple = self._simplified(whole)
        for conditions in [simple] if len(simple) == len(whole) else [simple, whole]:
            p = self._chance(conditions)
            if p < ALPHA and (segment := self._finished(conditions, p)) is not None:
                return segment
        return None

    def _finished(self, conditions: list[Condition], p: float) -> Segment | None:
        """The segment with its best cuts, and without the conditions that these make needless."""
        refined = self._refined(conditions)
        simple = self._refined(self._simplified(refined))
        if len(simple) < len(refined) and (chance := self._chance(simple)) < ALPHA:
            refined, p = simple, max(p, chance)
        return self._segment(refined, p)

    def _ranked(self) -> list[_Found]:
        """The best few different candidates with a positive lower end, best first."""
        scores = np.full(self.all_rows.shape, -np.inf)
        if self.depth > 1:
            scores = self._score(self.sums, 2)
            scores[np.tril_indices(len(scores))] = -np.inf
        diagonal = np.diag_indices(len(scores))
        scores[diagonal] = self._score(self.sums.diagonal(axis1=1, axis2=2), 1)
        scores[self.sums[0] < _NEW_ROWS * self.all_rows] = -np.inf
        best = np.argpartition(-scores, min(_BEAM, scores.size - 1), axis=None)[:_BEAM]
        pairs = [divmod(int(place), len(scores)) for place in best]
        found = [_Found(tuple(dict.fromkeys(pair)), float(scores[pair])) for pair in pairs]
        if self.depth > 2:
            found += self._extended([pair for pair in pairs if pair[0] != pair[1]])
        found = [item for item in found if item.score > 0]
        found.sort(key=lambda item: (-item.score, len(item.places)))
        distinct: dict[frozenset[tuple[str, str]], _Found] = {}
        for item in found:  # the same conditions with other cuts come to the same
            held = [self.conditions[place] for place in item.places]
            distinct.setdefault(frozenset((one.column, one.relation) for one in held), item)
        return list(distinct.values())[:_TRIED]

    def _extended(self, pairs: Sequence[tuple[int, int]]) -> list[_Found]:
        """The best third condition of each pair."""
        if not pairs:
            return []
        held = [self._holds([self.conditions[place] for place in pair]) for pair in pairs]
        both = np.stack(held).astype(np.float32)
        left = both * self.open
        sums = np.stack([left * weight @ self.matrix @ self.parts for weight in self.weights])
        scores = self._score(sums, 3)
        scores[sums[0] < _NEW_ROWS * (both @ self.matrix @ self.parts)] = -np.inf
        for place, pair in enumerate(pairs):
            scores[place, list(pair)] = -np.inf
        thirds = scores.argmax(axis=1).tolist()
        return [
            _Found((*pair, third), float(scores[place, third]))
            for place, (pair, third) in enumerate(zip(pairs, thirds, strict=True))
        ]

    def _holds(self, conditions: Sequence[Condition]) -> np.ndarray:
        """The rows that fulfil all of the conditions, bool [N]."""
        mask = np.ones(len(self.loss), dtype=bool)
        for item in conditions:
            mask &= item.holds(self.columns[item.column])
        return mask

    def _ordered(self, conditions: Sequence[Condition]) -> tuple[Condition, ...]:
        """Levels before numbers, then in the order of the columns."""
        places = {name: place for place, name in enumerate(self.columns)}
        return tuple(
            sorted(conditions, key=lambda item: (item.kind != "category", places[item.column], item.relation))
        )

    def _score_of(self, conditions: Sequence[Condition]) -> float:
        losses = self.loss[self._holds(conditions) & self.open] - self.mean
        sums = np.array([len(losses), losses.sum(), (losses**2).sum()])
        return float(self._score(sums, len(conditions)))

    def _simplified(self, conditions: list[Condition]) -> list[Condition]:
        """Without the conditions that do not clearly shut out better rows."""
        while len(conditions) > 1:
            inside = self._holds(conditions) & self.open
            losses = self.loss[inside]
            halfway = self.level + _AS_BAD * (float(losses.mean()) - self.level)
            spread = max(float(losses.std()), self.spread)
            without = [[item for item in conditions if item is not out] for out in conditions]
            gains = [self._clearly_below(fewer, inside, halfway, spread) for fewer in without]
            least = int(np.argmin(gains))
            if gains[least] > _CLEARLY or self._score_of(without[least]) <= 0:
                break
            conditions = without[least]
        return conditions

    def _clearly_below(
        self, conditions: Sequence[Condition], inside: np.ndarray, halfway: float, spread: float
    ) -> float:
        """Standard errors by which the mean loss of the rows outside of `inside` is below `halfway`."""
        out = self._holds(conditions) & self.open & ~inside
        rows = np.count_nonzero(out)
        return (halfway - float(self.loss[out].mean())) * math.sqrt(rows) / spread if rows else -math.inf

    def _refined(self, conditions: list[Condition]) -> list[Condition]:
        """With cuts at the best of all values instead of the best of a few."""
        for place, item in enumerate(conditions):
            if item.relation in ("<", ">="):
                others = [*conditions[:place], *conditions[place + 1 :]]
                conditions = [*conditions[:place], self._recut(item, others), *conditions[place + 1 :]]
        return conditions

    def _recut(self, item: Condition, others: Sequence[Condition]) -> Condition:
        """The condition with the cut that gives the best score among the rows that fulfil the others."""
        column = self.columns[item.column]
        rows = self._holds(others) & self.open & ~column.missing
        order = np.argsort(column.values[rows], kind="stable")
        values = column.values[rows][order]
        losses = (self.loss[rows] - self.mean)[order]
        ends = np.flatnonzero(np.diff(values) > 0)
        if not len(ends):
            return item
        sums = [np.cumsum(losses**power) for power in (0, 1, 2)]
        parts = [total[ends] if item.relation == "<" else total[-1] - total[ends] for total in sums]
        scores = self._score(np.stack(parts), 1 + len(others))
        best = int(scores.argmax())
        if not scores[best] > self._score_of([item, *others]):
            return item
        cut = roundest(values[ends[best]], values[ends[best] + 1])
        return Condition(item.column, item.kind, item.relation, cut)

    def _segment(self, conditions: Sequence[Condition], p: float) -> Segment | None:
        """The segment, or None when it is not clearly worse than the other rows, or not by much."""
        mask = self._holds(conditions)
        rows = int(mask.sum())
        inside, outside = self.loss[mask], self.loss[~mask]
        excess = float(inside.mean() - outside.mean())
        spread = max(float(inside.std()), self.spread)
        reach = math.sqrt(spread**2 / rows + float(outside.var()) / len(outside))
        reach *= self._quantile(len(conditions))
        clearly = min(excess, float(inside.mean()) - self.level) > reach
        if not clearly or excess < SMALLEST_EFFECT * self.spread:
            return None
        return Segment(
            conditions=self._ordered(conditions),
            rows=rows,
            inside=float(inside.mean()),
            outside=float(outside.mean()),
            low=excess - reach,
            high=excess + reach,
            effect=excess / self.spread,
            p=p,
            mask=mask,
        )

    def _chance(self, conditions: Sequence[Condition]) -> float:
        """The chance that so many random rows have so high a mean loss as those of a segment that no earlier
        finding has, or as all of its rows; adjusted for the segments of its depth."""
        mask = self._holds(conditions)
        shift = self.level - self.mean  # the draws are to have the mean that is compared with
        raw = max(
            self.draws.chance(len(losses), float(losses.mean()) - shift)
            for losses in (self.loss[mask & self.open], self.loss[mask])
        )
        return min(1.0, self.depth * self.family[len(conditions)] * raw)


def _overlap(first: np.ndarray, second: np.ndarray) -> float:
    """The share of the rows in either that are in both."""
    return float((first & second).sum() / max((first | second).sum(), 1))


def _one_hot(groups: np.ndarray, count: int) -> np.ndarray:
    return np.asarray(groups[:, None] == np.arange(count), dtype=np.float32)


def _block_diagonal(blocks: Sequence[np.ndarray]) -> np.ndarray:
    """The blocks [g, l] along the diagonal of a matrix of zeros, float32."""
    rows, columns = (sum(block.shape[axis] for block in blocks) for axis in (0, 1))
    whole = np.zeros((rows, columns), dtype=np.float32)
    row = column = 0
    for block in blocks:
        whole[row : row + block.shape[0], column : column + block.shape[1]] = block
        row, column = row + block.shape[0], column + block.shape[1]
    return whole
