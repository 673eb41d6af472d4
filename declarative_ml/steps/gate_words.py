"""Gates in words: what each asks, and how the model did, in sentences with the numbers."""

from __future__ import annotations

from collections.abc import Mapping

from declarative_ml.core.size import shown
from declarative_ml.learning.fairness_names import FAIRNESS
from declarative_ml.learning.gate_rules import CONFIDENCE, ROWS, Bounds
from declarative_ml.spec.gates import Gate
from declarative_ml.steps.slices import as_text

PARTS = {"test": "test rows", "validation": "held-out rows"}


def asked(gate: Gate, wanted: str) -> str:
    """What a gate asks; `wanted` is the class that is meant, or the target."""
    if gate.latency is not None:
        return f"one row in {gate.latency} at most, in one thread"
    if gate.size is not None:
        return f"model.onnx of {gate.size} at most"
    if gate.fairness is not None:
        return _fairness(gate, wanted)
    if gate.beats is not None:
        return f"{gate.metric} {_beats(gate)}{_where(gate)}"
    return (
        f"{gate.metric} {_surely(gate)}{_limits({'at least': gate.min, 'at most': gate.max})}{_where(gate)}"
    )


def _limits(limits: Mapping[str, float | None]) -> str:
    return " and ".join(f"{word} {number(value)}" for word, value in limits.items() if value is not None)


def _fairness(gate: Gate, wanted: str) -> str:
    title = FAIRNESS[str(gate.fairness)].title.format(wanted=wanted)
    gaps = _limits({"a difference of at most": gate.max_difference, "a ratio of at least": gate.min_ratio})
    return f"{title}, by {gate.column}: {_surely(gate)}{gaps}{_where(gate)}"


def _beats(gate: Gate) -> str:
    by = gate.by or 0.0
    if gate.sure:
        return f"surely more than {number(by)} better than the champion's" if by > 0 else (
            f"surely not {number(-by)} worse than the champion's" if by < 0
            else "surely better than the champion's"
        )  # fmt: skip
    if by > 0:
        return f"not shown to be less than {number(by)} better than the champion's"
    beyond = f"more than {number(-by)} " if by < 0 else ""
    return f"not shown to be {beyond}worse than the champion's"


def _surely(gate: Gate) -> str:
    return "surely " if gate.sure else ""


def _where(gate: Gate) -> str:
    """Which rows count."""
    text = f", on {PARTS[gate.part or 'test']}"
    if isinstance(gate.slice, str):
        text += f", for each {gate.slice} of {gate.rows or ROWS} rows"
    elif gate.slice is not None:
        text += " where " + ", ".join(f"{name} = {as_text(value)}" for name, value in gate.slice.items())
    return text


def number(value: float, digits: int = 4) -> str:
    """A number for a sentence: thousands apart, `digits` significant ones, no zeros behind them."""
    text = f"{value:,.{digits}g}" if abs(value) < 10**digits else f"{value:,.0f}"
    return text if "e" not in text or value == 0 else f"{value:.{digits - 1}e}"


def told_apart(value: float, limit: float) -> tuple[str, str]:
    """Both numbers, with as many digits as it takes to see that they differ."""
    for digits in range(4, 16):
        texts = number(value, digits), number(limit)
        if texts[0] != texts[1] or value == limit:
            return texts
    return repr(value), repr(limit)


def bounds(interval: Bounds | None, confidence: float | None) -> str:
    """ " (95 % interval 0.82 … 0.86)", or nothing."""
    if interval is None:
        return ""
    share = 100 * (CONFIDENCE if confidence is None else confidence)
    return f" ({share:.4g} % interval {number(interval[0])} … {number(interval[1])})"


def quantity(value: float, unit: str) -> str:
    """A number with its unit, where it has one."""
    if unit == "bytes":
        return shown(value)
    if unit == "microseconds":
        return f"{value:.0f} µs" if value < 1000 else f"{value / 1000:.2f} ms"
    return number(value)
