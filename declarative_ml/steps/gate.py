"""Hold the model against the gates of the spec, every number measured on the ONNX file.

gates.json      {"gates": [report.content.GateResult each], "champion": what it was compared with, in words}
verdict.json    one sentence for each gate that it failed
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property, partial
from typing import Any

from declarative_ml.core.atomic import write_json
from declarative_ml.core.duration import microseconds_of
from declarative_ml.core.errors import DataError
from declarative_ml.core.size import bytes_of
from declarative_ml.core.task import Task
from declarative_ml.learning.disk_rows import DiskRows
from declarative_ml.learning.gate_rules import (
    CONFIDENCE,
    ROWS,
    Demand,
    resamples_for,
    shared_confidence,
    stands_up,
)
from declarative_ml.learning.intervals import interval, paired_difference
from declarative_ml.learning.metric_names import METRICS
from declarative_ml.learning.scores import scores
from declarative_ml.learning.selection import Selection
from declarative_ml.report.content import GatePart, GateResult
from declarative_ml.scoring.session import open_session
from declarative_ml.scoring.timing import TIMED_ROWS, microseconds
from declarative_ml.spec.gates import Gate
from declarative_ml.steps import gate_words as words
from declarative_ml.steps.context import StepContext
from declarative_ml.steps.divided import Chosen, of_part
from declarative_ml.steps.gate_groups import judge_groups
from declarative_ml.steps.members import held_out_rows
from declarative_ml.steps.raw import raw_arrays
from declarative_ml.steps.rival import Rival, find_rival
from declarative_ml.steps.slices import Slice, SliceOf, as_text, slices_of
from declarative_ml.steps.split import TEST
from declarative_ml.steps.tested import read_tested
from declarative_ml.steps.verdict import write_verdict

GATES = "gates.json"
_TIMINGS = 5
"""The quickest of so many medians counts: other work on the machine only ever makes a row slower."""


def run(context: StepContext) -> None:
    """Write the results and the verdict."""
    gates = {name: Gate.model_validate(options) for name, options in context.params["gates"].items()}
    court = Court(context)
    results = []
    for number, (name, gate) in enumerate(gates.items()):
        context.progress(0.1 + 0.9 * number / len(gates), name)
        results.append(court.judge(name, gate))
    compared = any(gate.beats is not None for gate in gates.values())
    about = "; ".join([court.rival.about, *court.rival.notes]) if compared else ""
    found = {"gates": [_plain(asdict(result)) for result in results], "champion": about}
    write_json(context.out / GATES, found)
    write_verdict(
        context.out, [f"gate {result.name}: {result.reason}" for result in results if not result.passed]
    )


def _plain(value: Any) -> Any:
    """JSON has no NaN: what is undefined is null."""
    if isinstance(value, dict):
        return {name: _plain(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


@dataclass(frozen=True)
class Answers:
    """What the new model says of one part of the rows, on disk."""

    part: str
    rows: Chosen
    truth: DiskRows
    prediction: DiskRows

    def only(self, part: Slice | None) -> tuple[DiskRows, DiskRows]:
        """Truth and prediction of a slice, or of all."""
        if part is None:
            return self.truth, self.prediction
        rows = part.rows()
        return self.truth.view(rows), self.prediction.view(rows)


class Court:
    """The model, the rows that it is judged by, and the champion, each read when it is needed."""

    def __init__(self, context: StepContext) -> None:
        self.context = context
        self.assembly = context.read("assemble", "assembly.json")
        self.task = Task.model_validate(self.assembly["task"])
        threshold = self.assembly["threshold"]
        self.threshold = 0.5 if threshold is None else threshold
        self.seed: int = context.params["seed"]

    def judge(self, name: str, gate: Gate) -> GateResult:
        """How the model does at one gate."""
        judges: dict[str, Callable[[str, Gate], GateResult]] = {
            "metric": self._beats if gate.beats is not None else self._metric,
            "fairness": self._fairness,
            "latency": self._latency,
            "size": self._size,
        }
        return judges[gate.kind](name, gate)

    @cached_property
    def test(self) -> Answers:
        """What `evaluate` has measured: the ONNX file on the test rows."""
        tested = read_tested(self.context.inputs["evaluate"])
        split = self.context.inputs["split"]
        return Answers("test", Chosen(split, of_part(split, TEST)), tested.truth, tested.prediction)

    @cached_property
    def validation(self) -> Answers:
        """The held-out rows, each as the fit that had not seen it answers."""
        path = self.context.inputs["assemble"] / "validation.npy"
        known = path.exists()
        rows = Chosen(self.context.inputs["split"], held_out_rows(self.context) if known else Selection(()))
        return Answers("validation", rows, rows.target, DiskRows(path) if known else rows.target)

    @cached_property
    def rival(self) -> Rival:
        """The champion."""
        return find_rival(self.context, self.task, self.test.rows)

    def answers(self, gate: Gate) -> Answers:
        """The rows that the gate is about."""
        return self.validation if gate.part == "validation" else self.test

    # Metrics.

    def _metric(self, name: str, gate: Gate) -> GateResult:
        rows = self.answers(gate)
        demand = Demand(gate.min, gate.max, bool(gate.sure))

        def measure(part: Slice | None, confidence: float) -> GatePart:
            return self._measured(gate, demand, rows, part, confidence)

        def margin(part: GatePart) -> float:
            return demand.margin(part.observed or 0.0)

        result = GateResult(
            name, "metric", words.asked(gate, self.task.target), False, "", str(gate.metric), part=rows.part
        )
        result = self._over_slices(result, gate, rows, measure, margin)
        if result.observed is None:
            return result
        limit, bound = demand.nearest(result.observed)
        return replace(result, limit=limit, bound=bound)

    def _measured(
        self, gate: Gate, demand: Demand, rows: Answers, part: Slice | None, confidence: float
    ) -> GatePart:
        metric, label, scratch = str(gate.metric), part.name if part else "", self.context.scratch
        truth, guess = rows.only(part)
        count = len(truth)
        value = scores([metric], self.task, truth, guess, threshold=self.threshold, scratch=scratch)[metric]
        if not math.isfinite(value):
            return GatePart(label, count, reason=f"{metric} is not defined on its {_on(count, rows)}")
        ends = _finite(
            interval(
                metric, self.task, truth, guess, threshold=self.threshold, seed=self.seed, level=confidence,
                resamples=resamples_for(confidence) if gate.sure else 200, known={metric: value},
            )
        )  # fmt: skip
        passed = demand.passes(value, ends)
        limit, bound = demand.nearest(value)
        shown, wanted = words.told_apart(value, limit)
        if passed:
            said = f", {'at least' if bound == 'min' else 'at most'} {wanted} as asked"
        elif demand.passes(value, (value, value)):
            said = f", but not surely {'at least' if bound == 'min' else 'at most'} {wanted}"
        else:
            said = f", {'below' if bound == 'min' else 'above'} {wanted}"
        reason = f"{metric} is {shown} on {_on(count, rows)}{words.bounds(ends, gate.confidence)}{said}"
        return GatePart(label, count, value, ends, passed=passed, reason=reason)

    def _beats(self, name: str, gate: Gate) -> GateResult:
        rows, rival = self.test, self.rival
        by = gate.by or 0.0
        result = GateResult(
            name, "beats", words.asked(gate, self.task.target), False, "", str(gate.metric), limit=by,
            part="test",
        )  # fmt: skip
        if not rival.exists:
            return replace(result, passed=True, reason=f"passed without a comparison: {rival.about}")
        if rival.unfit:
            return replace(result, reason=f"cannot be compared: {rival.unfit}")

        def measure(part: Slice | None, confidence: float) -> GatePart:
            return self._compared(gate, by, part, confidence)

        def margin(part: GatePart) -> float:
            ends = part.interval or (0.0, 0.0)
            return (ends[0] if gate.sure else ends[1]) - by

        return self._over_slices(result, gate, rows, measure, margin)

    def _compared(self, gate: Gate, by: float, part: Slice | None, confidence: float) -> GatePart:
        metric, label, rival = str(gate.metric), part.name if part else "", self.rival
        assert rival.prediction is not None
        truth, guess = self.test.only(part)
        other, count = rival.prediction if part is None else rival.prediction.view(part.rows()), len(truth)
        scratch = self.context.scratch
        mine, theirs = (
            scores([metric], self.task, truth, said, threshold=threshold, scratch=scratch)[metric]
            for said, threshold in ((guess, self.threshold), (other, rival.threshold))
        )
        found = paired_difference(
            metric, self.task, truth, guess, other, threshold_a=self.threshold, threshold_b=rival.threshold,
            seed=self.seed, level=confidence, resamples=resamples_for(confidence), scratch=scratch,
        )  # fmt: skip
        if not all(map(math.isfinite, found)):
            return GatePart(label, count, reason=f"{metric} is not defined on its {_on(count, self.test)}")
        gain, low, high = found if METRICS[metric].greater_is_better else (-found[0], -found[2], -found[1])
        passed = stands_up(low, high, by, sure=bool(gate.sure), scale=max(abs(mine), abs(theirs)))
        if gate.sure:
            said = f"{'surely' if passed else 'not surely'} above {words.number(by)}"
        else:
            said = f"{'not shown to be' if passed else 'shown to be'} below {words.number(by)}"
        reason = (
            f"{metric} is {words.number(mine, 5)}, the champion's {words.number(theirs, 5)}, on "
            f"{_on(count, self.test)}: a gain of {words.number(gain)}"
            f"{words.bounds((low, high), confidence)}, {said}"
        )
        return GatePart(label, count, gain, (low, high), mine, theirs, passed, reason)

    def _over_slices(
        self,
        result: GateResult,
        gate: Gate,
        rows: Answers,
        measure: Callable[[Slice | None, float], GatePart],
        margin: Callable[[GatePart], float],
    ) -> GateResult:
        """The result with the numbers of the only slice, or of the worst one."""
        if not len(rows.truth):
            return replace(result, reason=f"there are no {words.PARTS[rows.part]}")
        parts = self._parts(gate, rows, measure)
        judged = [part for part in parts if part.passed is not None]
        if not judged:
            why = "; ".join(_labelled(part) for part in parts[:5])
            return replace(result, reason=f"could not be measured: {why}", parts=parts if gate.slice else ())
        worst = min(judged, key=lambda part: (bool(part.passed), margin(part)))
        return replace(
            result,
            passed=all(part.passed for part in judged),
            reason=_summary(worst, parts),
            observed=worst.observed,
            interval=worst.interval,
            candidate=worst.candidate,
            champion=worst.champion,
            slice=worst.name or None,
            rows=worst.rows,
            parts=parts if gate.slice else (),
        )

    def _parts(
        self, gate: Gate, rows: Answers, measure: Callable[[Slice | None, float], GatePart]
    ) -> list[GatePart]:
        """All slices, those with too few rows not judged."""
        confidence = CONFIDENCE if gate.confidence is None else gate.confidence
        if gate.slice is None:
            return [measure(None, confidence)]
        slices = self._slices(rows, gate.slice)
        least = ROWS if gate.rows is None else gate.rows
        enough = sum(part.count >= least for part in slices)
        if gate.beats is not None:
            confidence = shared_confidence(confidence, enough, sure=bool(gate.sure))
        return [
            measure(part, confidence) if part.count >= least else _few(part, rows, least) for part in slices
        ]

    def _slices(self, rows: Answers, wanted: SliceOf) -> list[Slice]:
        return slices_of(self.context.inputs["table"], rows.rows, [wanted], self.context.scratch)

    # Groups, speed and size.

    def _fairness(self, name: str, gate: Gate) -> GateResult:
        rows = self.answers(gate)
        wanted = self._wanted(name, gate)
        meant = self.task.target if wanted is None else self.task.classes[wanted]
        result = GateResult(
            name, "fairness", words.asked(gate, meant), False, "", str(gate.fairness), part=rows.part
        )
        if not len(rows.truth):
            return replace(result, reason=f"there are no {words.PARTS[rows.part]}")
        slices = self._slices(rows, str(gate.column))
        answer = (rows.truth[:], rows.prediction[:])
        return judge_groups(result, gate, self.task, answer, self.threshold, wanted, slices, self.seed)

    def _wanted(self, name: str, gate: Gate) -> int | None:
        """The number of the class that is meant. Raises DataError for one that the target does not have."""
        if not self.task.is_classification:
            return None
        if gate.favoured is None:
            if self.task.type == "multiclass":
                raise DataError(
                    f"gate '{name}': {gate.fairness} is of one class, and the target has several",
                    hint=f"name it: class: {self.task.classes[0]}",
                )
            return 1
        text = as_text(gate.favoured)
        if text not in self.task.classes:
            raise DataError(
                f"gate '{name}': the target '{self.task.target}' has no class '{text}'",
                hint=f"its classes are {', '.join(self.task.classes[:10])}",
            )
        return self.task.classes.index(text)

    def _latency(self, name: str, gate: Gate) -> GateResult:

        content = (self.context.inputs["assemble"] / "model.onnx").read_bytes()
        session = open_session(content, threads=1)
        order = DiskRows(self.context.inputs["split"] / "order.npy")
        dtypes = {item["name"]: item["dtype"] for item in self.assembly["inputs"]}
        rows = raw_arrays(self.context.inputs, order[:TIMED_ROWS], dtypes)
        taken = min(microseconds(partial(session.run, None), rows) for _ in range(_TIMINGS))
        return self._capped(name, gate, taken, microseconds_of(str(gate.latency)), "microseconds")

    def _size(self, name: str, gate: Gate) -> GateResult:
        count = (self.context.inputs["assemble"] / "model.onnx").stat().st_size
        return self._capped(name, gate, count, bytes_of(str(gate.size)), "bytes")

    def _capped(self, name: str, gate: Gate, value: float, limit: float, unit: str) -> GateResult:
        passed = value <= limit
        what = "one row takes" if unit == "microseconds" else "model.onnx has"
        cap = gate.latency if unit == "microseconds" else gate.size
        said = f"{cap} at most, as asked" if passed else f"more than {cap}"
        return GateResult(
            name=name,
            kind=gate.kind,
            asks=words.asked(gate, self.task.target),
            passed=passed,
            reason=f"{what} {words.quantity(value, unit)}, {said}",
            unit=unit,
            observed=value,
            limit=limit,
            bound="max",
        )


def _on(count: int, rows: Answers) -> str:
    return f"{count:,} {words.PARTS[rows.part]}"


def _finite(ends: tuple[float, float]) -> tuple[float, float] | None:
    return ends if all(map(math.isfinite, ends)) else None


def _few(part: Slice, rows: Answers, least: int) -> GatePart:
    return GatePart(part.name, part.count, reason=f"{_on(part.count, rows)} are fewer than {least}")


def _labelled(part: GatePart) -> str:
    return f"{part.name}: {part.reason}" if part.name else part.reason


def _summary(worst: GatePart, parts: Sequence[GatePart]) -> str:
    """The sentence of the worst slice, and how many others there are of which kind."""
    failed = sum(part.passed is False for part in parts) - (worst.passed is False)
    unjudged = sum(part.passed is None for part in parts)
    more = [f"{failed} more of {len(parts)} slices failed"] if failed else []
    more += [f"{unjudged} of {len(parts)} slices not judged"] if unjudged else []
    return "; ".join([_labelled(worst), *more])
