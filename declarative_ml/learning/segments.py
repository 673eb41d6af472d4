"""Find the segments of the rows where a loss is highest: conjunctions of a few conditions on raw columns.

After Slice Finder (Chung, Kraska, Polyzotis, Tae & Whang, "Automated Data Slicing for Model Validation",
IEEE TKDE 2019) and SliceLine (Sagadeeva & Boehm, SIGMOD 2021), of which the search as products of
matrices comes: with A [N, L], the rows that fulfil each of L conditions, A'A counts the rows of all pairs at
once. Pairs are extended to triples by a beam.

Honest statistics. A search over thousands of segments finds some that are bad by chance, so

- a finding is kept when its p-value, multiplied by 3 and by the number of segments with as many conditions and
  enough rows (Bonferroni, a third of 0.05 for each depth), is below 0.05. Cuts are made finer only after that,
  so that their number does not count. The p-value is the chance that as many rows drawn at random have so high a mean loss, by the saddlepoint
  approximation with the empirical distribution of the losses (Daniels, "Saddlepoint Approximations in
  Statistics", Annals of Mathematical Statistics 1954). Without its last factor it is Chernoff's bound, which
  holds for draws without replacement too (Hoeffding, JASA 1963, section 6). It needs no normality, so few
  rows with skewed losses do not deceive it;
- findings are ranked by the lower end of an interval of the excess that is wide enough for all segments
  looked at, not by the excess itself: that of few rows would win by luck;
- after a finding its rows are taken out, and the search goes on in the rest: what is bad only because it
  overlaps with a finding is not told twice;
- a condition is dropped when the rows that it shuts out are about as bad as those that it lets in.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

from declarative_ml.learning.conditions import Condition, RawColumn, conditions_of, describe, roundest

MAX_ROWS = 20_000
"""Of more rows a random sample of so many is searched."""
MAX_FINDINGS = 8
ALPHA = 0.05
SMALLEST_EFFECT = 0.2
"""Standard deviations of the loss that a segment must be worse than the other rows: a small effect after
Cohen ("Statistical Power Analysis", 1988)."""
_LEAST_ROWS, _LEAST_SHARE = 10, 0.005
_MOST_CONDITIONS = 400
_BEAM = 40
_TRIED = 5
_AS_BAD = 0.5
"""Rows with this share of a segment's excess belong to it: the condition that shuts them out is dropped."""
_TILTS = 200
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
        self.conditions = [item for column in columns for item in conditions_of(column, self.least)]
        self.family: dict[int, int] = {}
        self.open = np.ones(len(loss), dtype=bool)

    def run(self) -> Search:
        found: list[Segment] = []
        if self.conditions and self.spread > 0:
            self._prepare()
            while len(found) < MAX_FINDINGS and (segment := self._next()) is not None:
                found.append(segment)
                self._take_out(segment.mask)
        return Search(tuple(found), sum(self.family.values()), self.least)

    def _prepare(self) -> None:
        """The conditions as a matrix, and the sums of all pairs of them."""
        masks = [item.holds(self.columns[item.column]) for item in self.conditions]
        given = len(masks)
        if given > _MOST_CONDITIONS:
            excess = np.array([(self.loss[mask] - self.mean).sum() / math.sqrt(mask.sum()) for mask in masks])
            kept = np.sort(np.argsort(-excess, kind="stable")[:_MOST_CONDITIONS]).tolist()
            self.conditions = [self.conditions[place] for place in kept]
            masks = [masks[place] for place in kept]
        self._cumulate()
        self.matrix = np.stack(masks, axis=1).astype(np.float32)
        # Centred, so that sums in single precision lose nothing.
        self.centred = (self.loss - self.mean).astype(np.float32)
        self.all_rows = self.matrix.T @ self.matrix
        self.rows = self.all_rows.copy()
        self.sums = (self.matrix * self.centred[:, None]).T @ self.matrix
        self.squares = (self.matrix * self.centred[:, None] ** 2).T @ self.matrix
        pairs = np.count_nonzero(np.triu(self.all_rows >= self.least, 1)) * (given / len(masks)) ** 2
        sizes = [given, math.ceil(pairs), math.ceil(pairs * given / 3)]
        self.family = {number: max(1, size) for number, size in enumerate(sizes[: self.depth], start=1)}

    def _quantile(self, depth: int) -> float:
        """How many standard errors the best of all segments of a depth may be off by chance."""
        return NormalDist().inv_cdf(1 - ALPHA / (self.depth * self.family[depth]))

    def _cumulate(self) -> None:
        """The cumulant generating function of the standardised losses, on a grid of tilts."""
        standard = (self.loss - self.mean) / self.spread
        self.tilts = np.linspace(0, 20 / max(float(standard.max()), 1.0), _TILTS)
        self.cumulants = np.array([_log_mean_exp(tilt * standard) for tilt in self.tilts])

    def _take_out(self, mask: np.ndarray) -> None:
        gone = mask & self.open
        part = self.matrix[gone]
        self.rows -= part.T @ part
        self.sums -= (part * self.centred[gone, None]).T @ part
        self.squares -= (part * self.centred[gone, None] ** 2).T @ part
        self.open &= ~mask

    def _score(self, rows: np.ndarray, sums: np.ndarray, squares: np.ndarray, depth: int) -> np.ndarray:
        """The lower end of the excess over the level; -inf for too few rows. Sums are of centred losses and
        their squares. The spread of a few equal losses is not believed: it is that of all rows at least."""
        enough = rows >= self.least
        safe = np.where(enough, rows, 1.0)
        means = sums / safe
        spread = np.sqrt(np.maximum(squares / safe - means**2, self.spread**2))
        low = means + self.mean - self.level - self._quantile(depth) * spread / np.sqrt(safe)
        return np.asarray(np.where(enough, low, -np.inf))

    def _next(self) -> Segment | None:
        """The worst segment of the rows that are left, if it is clearly bad."""
        for found in self._ranked():
            whole = [self.conditions[place] for place in found.places]
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
        """The best few candidates with a positive lower end, best first."""
        scores = np.full(self.rows.shape, -np.inf)
        if self.depth > 1:
            scores = self._score(self.rows, self.sums, self.squares, 2)
            scores[np.tril_indices(len(scores))] = -np.inf
        diagonal = np.diag_indices(len(scores))
        own = self.rows[diagonal], self.sums[diagonal], self.squares[diagonal]
        scores[diagonal] = self._score(*own, 1)
        scores[self.rows < _NEW_ROWS * self.all_rows] = -np.inf
        best = np.argsort(-scores, axis=None, kind="stable")[:_BEAM]
        pairs = [divmod(int(place), len(scores)) for place in best]
        found = [_Found(tuple(dict.fromkeys(pair)), float(scores[pair])) for pair in pairs]
        if self.depth > 2:
            found += self._extended([pair for pair in pairs if pair[0] != pair[1]])
        found = [item for item in found if item.score > 0]
        return sorted(found, key=lambda item: (-item.score, len(item.places)))[:_TRIED]

    def _extended(self, pairs: Sequence[tuple[int, int]]) -> list[_Found]:
        """The best third condition of each pair."""
        if not pairs:
            return []
        both = np.stack([self.matrix[:, a] * self.matrix[:, b] for a, b in pairs])
        left = both * self.open
        rows, sums = left @ self.matrix, (left * self.centred) @ self.matrix
        scores = self._score(rows, sums, (left * self.centred**2) @ self.matrix, 3)
        scores[rows < _NEW_ROWS * (both @ self.matrix)] = -np.inf
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
        sums = [np.array([value]) for value in (len(losses), losses.sum(), (losses**2).sum())]
        return float(self._score(sums[0], sums[1], sums[2], len(conditions))[0])

    def _simplified(self, conditions: list[Condition]) -> list[Condition]:
        """Without the conditions that shut out rows as bad as those they let in."""
        while len(conditions) > 1:
            inside = self._holds(conditions) & self.open
            excess = float(self.loss[inside].mean()) - self.level
            without = [[item for item in conditions if item is not out] for out in conditions]
            outs = [self._holds(fewer) & self.open & ~inside for fewer in without]
            lost = [float(self.loss[out].mean()) - self.level if out.any() else math.inf for out in outs]
            best = int(np.argmax(lost))
            if lost[best] < _AS_BAD * excess or self._score_of(without[best]) <= 0:
                break
            conditions = without[best]
        return conditions

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
        scores = self._score(parts[0], parts[1], parts[2], 1 + len(others))
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
        raw = max(self._tail(self.loss[mask & self.open]), self._tail(self.loss[mask]))
        return min(1.0, self.depth * self.family[len(conditions)] * raw)

    def _tail(self, losses: np.ndarray) -> float:
        """The chance that so many random rows have so high a mean loss."""
        count, mean = len(losses), float((losses.mean() - self.level) / self.spread)
        exponents = self.tilts * mean - self.cumulants
        best = int(exponents.argmax())
        tilt, rate = float(self.tilts[best]), float(exponents[best])
        if tilt == 0 or best == len(self.tilts) - 1:  # not above the mean, or beyond the grid: the bound
            factor = 1.0
        else:
            standard = (self.loss - self.mean) / self.spread
            weight = np.exp(tilt * standard - self.cumulants[best]) / len(standard)
            deviation = math.sqrt(max(float(weight @ standard**2 - (weight @ standard) ** 2), 0.0))
            factor = min(1.0, 1.0 / max(tilt * deviation * math.sqrt(2 * math.pi * count), 1e-12))
        return min(1.0, factor * math.exp(-count * rate))


def _log_mean_exp(values: np.ndarray) -> float:
    largest = float(values.max())
    return largest + math.log(float(np.exp(values - largest).mean()))


def row_losses(
    truth: np.ndarray, prediction: np.ndarray, scale: float | None = None
) -> tuple[np.ndarray, float]:
    """The bounded loss of each row [N], and the bound, to be handed over for another model of the same rows.

    Probabilities [N, classes]: the log loss, where a probability counts as 1 % at least. Values [N]: the
    absolute error, where one beyond the 99 % quantile counts as that.
    """
    if prediction.ndim == 2:
        chosen = prediction[np.arange(len(truth)), truth.astype(np.int64)]
        bound = -math.log(LEAST_PROBABILITY)
        return np.minimum(-np.log(np.maximum(chosen, LEAST_PROBABILITY)), bound), bound
    error = np.abs(truth - prediction)
    bound = scale if scale is not None else (float(np.quantile(error, 0.99)) if len(error) else 0.0)
    return np.minimum(error, bound), bound


LEAST_PROBABILITY = 0.01


def columns_at(columns: Mapping[str, RawColumn], rows: np.ndarray) -> list[RawColumn]:
    """The same columns with only some rows (positions, or bool [N])."""
    return [RawColumn(column.name, column.kind, column.values[rows]) for column in columns.values()]
