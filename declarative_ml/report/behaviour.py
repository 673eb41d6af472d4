"""What the page says of behavioural tests: how each ended, and the worst examples of those that failed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from declarative_ml.behaviour.base import Case, Outcome, Scalar
from declarative_ml.report.content import ReportContent
from declarative_ml.report.wording import count, number, percent, shortened, trimmed

_PARTS = {"test": "test rows", "training": "training rows", "given": "known answers"}
_LONGEST = 80
_MOST_VALUES = 8


def behaviour_table(content: ReportContent) -> dict[str, Any] | None:
    """The sentence, a row for each test, and examples of those that failed."""
    outcomes = content.tests
    if not outcomes:
        return None
    return {
        "sentence": _sentence(outcomes),
        "rows": [_row(outcome) for outcome in outcomes],
        "examples": [_examples(outcome) for outcome in outcomes if not outcome.passed and outcome.cases],
    }


def behaviour_note(outcomes: Sequence[Outcome]) -> list[str]:
    """What stands at the top of the page when tests failed."""
    failed = [outcome.name for outcome in outcomes if not outcome.passed]
    if not failed:
        return []
    said = "One behavioural test" if len(failed) == 1 else f"{len(failed)} behavioural tests"
    return [f"{said} of {len(outcomes)} failed: {', '.join(failed)}. See Tests."]


def _sentence(outcomes: Sequence[Outcome]) -> str:
    failed = sum(not outcome.passed for outcome in outcomes)
    ended = "All passed." if not failed else f"{failed} of {len(outcomes)} failed."
    return (
        f"{ended} Each changes rows in one way, asks the ONNX file before and after, and counts a row by the "
        "worst of its changes."
    )


def _row(outcome: Outcome) -> dict[str, Any]:
    notes = [outcome.note] if outcome.note else []
    if outcome.other_labels:
        rows = "one row" if outcome.other_labels == 1 else f"{count(outcome.other_labels)} rows"
        notes.append(f"The label of {rows} changes.")
    return {
        "name": outcome.name,
        "words": outcome.words,
        "rows": count(outcome.rows),
        "part": _PARTS.get(outcome.part, outcome.part),
        "share": percent(outcome.share),
        "needed": percent(outcome.needed),
        "largest": number(None if outcome.largest is None else max(outcome.largest, 0.0), 3),
        "passed": outcome.passed,
        "note": " ".join(notes),
    }


def _examples(outcome: Outcome) -> dict[str, Any]:
    failed = [case for case in outcome.cases if case.failed]
    known = any(case.expected for case in failed)
    of_class = next((case.of_class for case in failed if case.of_class), None)
    return {
        "name": outcome.name,
        "words": outcome.words,
        "known": known,
        "answer": "answer" if of_class is None else f"probability of {of_class}",
        "rows": [_example(case, of_class) for case in failed],
    }


def _example(case: Case, of_class: str | None) -> dict[str, str]:
    other = f" ({case.of_class})" if case.of_class and case.of_class != of_class else ""
    rest = {name: value for name, value in case.values.items() if name not in case.changed}
    return {
        "row": "given" if case.row is None else count(case.row),
        "changed": "; ".join(
            f"{name}: {_value(old)} → {_value(new)}" for name, (old, new) in case.changed.items()
        ),
        "values": _values(rest),
        "before": _value(case.before),
        "after": f"{_value(case.after)}{other}",
        "expected": case.expected,
    }


def _values(values: Mapping[str, Scalar]) -> str:
    shown = [f"{name}: {_value(value)}" for name, value in values.items() if value is not None]
    more = f" and {len(shown) - _MOST_VALUES} more" if len(shown) > _MOST_VALUES else ""
    return "; ".join(shown[:_MOST_VALUES]) + more


def _value(value: Scalar) -> str:
    if value is None or isinstance(value, str):
        return shortened(value, _LONGEST) if value else "missing"
    return str(value).lower() if isinstance(value, bool) else trimmed(float(value))
