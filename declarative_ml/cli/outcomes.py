"""Outcomes of checks and behavioural tests, and what is suspicious in the data, as lines of text."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import click

from declarative_ml.cli.options import number
from declarative_ml.learning.leaks import GRAVE

_NAME = 28
_VALUES = 5
_SHOWN = 80
"""Characters of a value."""


def check_report(item: Mapping[str, Any]) -> Iterator[str]:
    """A line for a check of the data contract, and the first rows that break it."""
    mark = click.style("✓", fg="green")
    if not item["passed"]:
        is_error = item["severity"] == "error"
        mark = click.style("✗", fg="red", bold=True) if is_error else click.style("!", fg="yellow", bold=True)
    yield f"{mark} {item['check']:<32} {item['found'] or item['asked']}"
    for example in item["examples"]:
        value = "" if example["value"] is None else f": {example['value'][:_SHOWN]!r}"
        yield click.style(f"      row {example['row']:,}{example['part']}{value}", dim=True)


def broken_checks(checks: Sequence[Mapping[str, Any]]) -> list[str]:
    """One line for each broken check of the data contract, then an empty one; nothing for none."""
    lines = [next(check_report(item)) for item in checks if not item["passed"]]
    return [*lines, ""] if lines else []


def suspicion_lines(suspicions: Sequence[Mapping[str, Any]]) -> list[str]:
    """One line for each finding in the data that makes the metrics too good, then an empty one."""
    mark = click.style("!", fg="yellow", bold=True)
    grave = [item for item in suspicions if item["kind"] in GRAVE]
    lines = [f"{mark} {', '.join(item['columns']):<32} {item['reason']}" for item in grave]
    return [*lines, ""] if lines else []


def outcome_lines(tests: Sequence[Mapping[str, Any]]) -> list[str]:
    """One line a test, then an empty one; nothing for none. The tests are those of a run's result."""
    return [*(_line(test) for test in tests), ""] if tests else []


def outcome_report(tests: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """A line a test with what was asked, and the worst rows of those that failed."""
    for test in tests:
        yield _line(test)
        note = f" {test['note']}" if test["note"] else ""
        yield click.style(f"    {test['words']}{note}", dim=True)
        if not test["passed"]:
            yield from (f"      {_case(case)}" for case in test["cases"] if case["failed"])


def _line(test: Mapping[str, Any]) -> str:
    mark = click.style("✓", fg="green") if test["passed"] else click.style("✗", fg="red", bold=True)
    rows = f"{test['rows']:,} {'row' if test['rows'] == 1 else 'rows'}"
    return (
        f"{mark} {test['name']:<{_NAME}} {test['type']:<11} {_percent(test['share'])} of {rows} "
        f"({_percent(test['needed'])} needed)"
    )


def _percent(share: float) -> str:
    text = f"{100 * share:.1f}"
    if share < 1.0 and text == "100.0":
        text = ">99.9"
    return f"{text.removesuffix('.0')} %"


def _case(case: Mapping[str, Any]) -> str:
    values = {
        name: value
        for name, value in case["values"].items()
        if name not in case["changed"] and value is not None
    }
    rest = ", ".join(f"{name}: {_value(value)}" for name, value in list(values.items())[:_VALUES])
    more = " …" if len(values) > _VALUES else ""
    if case["row"] is None:
        return f"{rest}{more}: expected {case['expected']}, the model says {_value(case['after'])}"
    changes = case["changed"].items()
    changed = ", ".join(f"{name} {_value(old)} → {_value(new)}" for name, (old, new) in changes)
    told = f"{_value(case['before'])} → {_value(case['after'])}"
    if case["of_class"]:
        told = f"P({case['of_class']}) {told}"
    return f"row {case['row']:,}: {changed}: {told}" + (f"  ({rest}{more})" if rest else "")


def _value(value: Any) -> str:
    if value is None:
        return "missing"
    if isinstance(value, str):
        return value if len(value) <= 60 else f"{value[:59]}…"
    return str(value).lower() if isinstance(value, bool) else number(value)
