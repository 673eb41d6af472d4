"""What to try next: changes of a spec that its options, and the numbers of its run, speak for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from declarative_ml.report.wording import is_greater_better


@dataclass(frozen=True)
class Suggestion:
    """One change, ready to be laid over the spec."""

    why: str
    overrides: Mapping[str, Any]
    """Dotted path -> value."""


def suggestions(
    options: Mapping[str, Any], task: str | None = None, result: Mapping[str, Any] | None = None
) -> list[Suggestion]:
    """Changes worth a try, the most promising first.

    `options` are those of the whole spec; `task` (its type) and `result`, what a run printed, add to what
    can be said.
    """
    target = options["target"]
    known = task or target["type"] or ("binary" if target["positive"] else None)
    return [*_model(options, result or {}), *_measuring(options, known)]


def _model(options: Mapping[str, Any], result: Mapping[str, Any]) -> Iterator[Suggestion]:
    kind = options["model"]["type"]
    if kind != "linear" and _linear_does_as_well(result):
        why = "The linear baseline is not clearly worse: a linear model may do, and is read at a glance."
        yield Suggestion(why, {"model": "linear"})
    if kind != "auto":
        why = "Several kinds of models are tried in turn and blended as far as each of them helps."
        yield Suggestion(why, {"model": "auto"})
    elif options["model"]["quality"] != "best":
        why = "More candidates are tried, which takes longer."
        yield Suggestion(why, {"model": {"type": "auto", "quality": "best"}})
    if options["tune"] is None:
        why = "Options are searched for; what is found is used only if it is clearly better."
        yield Suggestion(why, {"tune": {"trials": 20}})


def _measuring(options: Mapping[str, Any], task: str | None) -> Iterator[Suggestion]:
    evaluate = options["evaluate"]
    if task == "number" and evaluate["interval"] is None:
        why = "Each number gets an interval that is to hold nine values in ten."
        yield Suggestion(why, {"evaluate.interval": 0.9})
    if task == "binary" and evaluate["threshold"]["value"] == 0.5:
        why = "Yes begins where F1 is best on validation rows, not at one half."
        yield Suggestion(why, {"evaluate.threshold": {"maximize": "f1", "value": None}})
    column = next((name for name, kind in _types(options) if kind in ("category", "binary")), None)
    if not evaluate["slices"] and column is not None:
        why = f"How good is it for each {column}?"
        yield Suggestion(why, {"evaluate.slices": [column]})


def _types(options: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """(column, feature type) as far as the spec names them."""
    if isinstance(options["features"], Mapping):
        for column, feature in options["features"].items():
            yield column, feature["type"]


def _linear_does_as_well(result: Mapping[str, Any]) -> bool:
    """Whether the linear baseline is not clearly worse on the test rows, by the primary metric."""
    primary = result.get("primary")
    bounds = (result.get("intervals") or {}).get("test", {}).get(primary)
    rival = (result.get("baselines") or {}).get("test", {}).get("linear", {}).get(primary)
    if primary is None or bounds is None or rival is None:
        return False
    return bool(rival >= bounds[0] if is_greater_better(primary) else rival <= bounds[1])
