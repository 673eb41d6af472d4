"""Gates on fairness: a rate or mean of each group of rows, and how far the groups are apart."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from declarative_ml.core.task import Task
from declarative_ml.learning.fairness import Gap, gap, measured_rows
from declarative_ml.learning.gate_rules import CONFIDENCE, ROWS, Demand
from declarative_ml.report.content import GatePart, GateResult
from declarative_ml.spec.gates import Gate
from declarative_ml.steps import gate_words as words
from declarative_ml.steps.slices import Slice

if TYPE_CHECKING:
    import numpy as np

_LEAST_GROUPS = 2


def judge_groups(
    result: GateResult,
    gate: Gate,
    task: Task,
    answers: tuple[np.ndarray, np.ndarray],
    threshold: float,
    wanted: int | None,
    slices: Sequence[Slice],
    seed: int,
) -> GateResult:
    """The result for groups of rows; `answers` are truth and prediction, `wanted` the number
    of the class that is meant."""
    values, counted = measured_rows(str(gate.fairness), task, *answers, threshold, wanted)
    least = ROWS if gate.rows is None else gate.rows
    parts, groups = [], []
    for part in slices:
        rows, label = part.rows()[:], part.name
        inside = values[rows[counted[rows]]]
        if len(inside) < least:
            reason = f"not compared: {len(inside):,} rows that count are fewer than {least}"
            parts.append(GatePart(label, len(inside), reason=reason))
        else:
            parts.append(GatePart(label, len(inside), float(inside.mean())))
            groups.append(inside)
    if len(groups) < _LEAST_GROUPS:
        reason = (
            f"could not be measured: of {gate.column}, {len(groups)} of {len(parts)} groups have {least} rows"
        )
        return replace(result, reason=f"{reason} that count", parts=parts)
    confidence = CONFIDENCE if gate.confidence is None else gate.confidence
    found = gap(groups, seed=seed, level=confidence)
    return _judged(result, gate, found, parts)


@dataclass(frozen=True)
class _Check:
    """One of the two ways to say how far the groups are apart."""

    kind: str
    demand: Demand
    value: float
    interval: tuple[float, float]

    @property
    def passed(self) -> bool:
        return self.demand.passes(self.value, self.interval)

    def said(self, gate: Gate) -> str:
        limit, bound = self.demand.nearest(self.value)
        shown, wanted = words.told_apart(self.value, limit)
        side = "at most" if bound == "max" else "at least"
        if self.passed:
            said = f"{side} {wanted} as asked"
        elif self.demand.margin(self.value) >= 0:
            said = f"but not surely {side} {wanted}"
        else:
            said = f"{'above' if bound == 'max' else 'below'} {wanted}"
        return f"a {self.kind} of {shown}{words.bounds(self.interval, gate.confidence)}, {said}"


def _judged(result: GateResult, gate: Gate, found: Gap, parts: list[GatePart]) -> GateResult:
    """Both limits where there are two; the numbers are those of the one that fails, or is nearest to it."""
    compared = sorted((part.observed, part.name) for part in parts if part.observed is not None)
    ends = " and ".join(f"{name} {words.number(value)}" for value, name in (compared[-1], compared[0]))
    sure, checks = bool(gate.sure), []
    if gate.max_difference is not None:
        demand = Demand(high=gate.max_difference, sure=sure)
        checks.append(_Check("difference", demand, found.difference, found.difference_interval))
    if gate.min_ratio is not None:
        demand = Demand(low=gate.min_ratio, sure=sure)
        checks.append(_Check("ratio", demand, found.ratio, found.ratio_interval))
    if not all(math.isfinite(check.value) for check in checks):
        return replace(result, reason=f"could not be measured: {ends}, which have no ratio", parts=parts)
    worst = min(checks, key=lambda check: (check.passed, check.demand.margin(check.value)))
    limit, bound = worst.demand.nearest(worst.value)
    left_out = len(parts) - len(compared)
    more = f"; {left_out} of {len(parts)} groups not compared" if left_out else ""
    return replace(
        result,
        passed=worst.passed,
        reason=f"{gate.fairness} of {ends}: {' and '.join(check.said(gate) for check in checks)}{more}",
        observed=worst.value,
        limit=limit,
        bound=bound,
        interval=worst.interval if all(map(math.isfinite, worst.interval)) else None,
        rows=sum(part.rows for part in parts if part.observed is not None),
        parts=parts,
    )
