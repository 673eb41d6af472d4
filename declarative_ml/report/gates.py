"""What the page says of gates: what each asked, what came out, and where that lies beside the limit."""

from __future__ import annotations

from typing import Any

from declarative_ml.report.content import GatePart, GateResult, ReportContent
from declarative_ml.report.wording import count, interval, latency, number, size, trimmed


def gate_table(content: ReportContent) -> dict[str, Any] | None:
    """The verdict in a sentence, one row a gate, failed ones first, and a table for each gate on slices or
    groups. `at`, `low`, `high` and `mark` are in percent of a scale that each row has for itself."""
    if not content.gates:
        return None
    failed = [gate for gate in content.gates if not gate.passed]
    ordered = [*failed, *(gate for gate in content.gates if gate.passed)]
    return {
        "sentence": _sentence(len(failed), len(content.gates)),
        "champion": content.champion,
        "compares": any(gate.kind == "beats" and gate.observed is not None for gate in content.gates),
        "rows": [_row(gate) for gate in ordered],
        "details": [_details(gate) for gate in ordered if gate.parts],
    }


def _sentence(failed: int, gates: int) -> str:
    if failed:
        what = f"{failed} of {gates} gates" if gates > 1 else "The gate"
        return f"{what} failed: the model was not converted, registered or promoted."
    return f"The model passed all {gates} gates." if gates > 1 else "The model passed its gate."


def _row(gate: GateResult) -> dict[str, Any]:
    limit = gate.limit if gate.observed is not None else None
    return {
        "name": gate.name,
        "asks": gate.asks,
        "passed": gate.passed,
        "reason": "" if gate.passed and gate.observed is not None else gate.reason,
        "observed": _quantity(gate.observed, gate),
        "limit": "–" if limit is None else f"{'≥' if gate.bound == 'min' else '≤'} {_quantity(limit, gate)}",
        "interval": interval(gate.interval) if gate.interval is not None else "",
        "where": gate.slice or "",
        **_places(gate.observed, gate.interval, limit, gate),
    }


def _quantity(value: float | None, gate: GateResult) -> str:
    if value is None:
        return "–"
    if gate.unit == "microseconds":
        return latency(value / 1e6)
    if gate.unit == "bytes":
        return size(round(value))
    return f"{'+' if gate.kind == 'beats' and value > 0 else ''}{trimmed(value)}"


def _places(
    observed: float | None, ends: tuple[float, float] | None, limit: float | None, gate: GateResult
) -> dict[str, Any]:
    """Where things are on the row's own scale, which has room for all of them; costs begin at 0."""
    if observed is None or limit is None:
        return {"at": None, "low": None, "high": None, "mark": None, "bound": gate.bound}
    values: list[float] = [observed, limit, *(ends or ())]
    if gate.kind in ("latency", "size"):
        values.append(0.0)
    start, end = min(values), max(values)
    room: float = (end - start) or abs(limit) or 1.0

    def at(value: float) -> float:
        return round(12 + 76 * (value - start) / room, 2)

    low, high = (at(ends[0]), at(ends[1])) if ends is not None else (None, None)
    return {"at": at(observed), "low": low, "high": high, "mark": at(limit), "bound": gate.bound}


def _details(gate: GateResult) -> dict[str, Any]:
    parts = sorted(gate.parts, key=lambda part: part.passed is not False)
    return {
        "name": gate.name,
        "column": "Group" if gate.kind == "fairness" else "Slice",
        "value": "gain" if gate.kind == "beats" else gate.unit,
        "compared": gate.kind == "beats",
        "rows": [_part(part, gate) for part in parts],
    }


def _part(part: GatePart, gate: GateResult) -> dict[str, Any]:
    return {
        "name": part.name,
        "rows": count(part.rows),
        "observed": _quantity(part.observed, gate),
        "interval": interval(part.interval) if part.interval is not None else "",
        "candidate": number(part.candidate),
        "champion": number(part.champion),
        "failed": part.passed is False,
        "reason": part.reason if part.observed is None else "",
    }
