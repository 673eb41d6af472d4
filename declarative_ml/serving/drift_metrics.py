"""What the watch of a model has found: as JSON for `/drift`, and as gauges for Prometheus."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from declarative_ml.learning.drift import FALSE_ALARMS
from declarative_ml.learning.drift_windows import Verdict, judge_windows
from declarative_ml.serving.model import ServedModel
from declarative_ml.serving.watch import Watch
from declarative_ml.spec.monitor import LEAST_ROWS

GAUGES = {
    "dml_drift_psi": ("Population stability index of a column, against the training rows.", "psi"),
    "dml_drift_noise": ("What chance alone reaches of it in a window of so many rows.", "noise"),
    "dml_drift_js": ("Jensen-Shannon divergence of a column, in bits.", "js"),
    "dml_drift_missing": ("Share of missing values.", "missing"),
    "dml_drift_unseen": ("Share of levels that the training rows did not keep.", "unseen"),
    "dml_drift_outside": ("Share of values beyond the range of the training rows.", "outside"),
    "dml_drift_moved": ("1: the column moved, by more than chance.", "moved"),
}
"""Metric -> help and what it shows. A sample has the labels `model`, `version` and `column`."""


_MODEL = ("model", "version")


def _named(model: ServedModel) -> list[str]:
    return [model.name, model.version]


@dataclass(frozen=True)
class Reading:
    """The state of a watch at one moment."""

    watch: Watch
    windows: Mapping[str, tuple[dict[str, Any], Verdict]]
    """`current` and, once one was full, `last`, each with its verdict; nothing where drift is not watched."""

    @property
    def shown(self) -> Verdict | None:
        """The verdict on the last full window, or on the first one as it fills."""
        found = self.windows.get("last") or self.windows.get("current")
        return None if found is None else found[1]


async def reading(watch: Watch) -> Reading:
    """What was found up to now. The model's thread reads it, because that is where rows are counted."""
    watch.flush()
    return await watch.model.aside(lambda: read_now(watch))


def read_now(watch: Watch) -> Reading:
    """The same, for the model's thread; up to what was handed to it."""
    return Reading(watch, _judged(watch))


def _judged(watch: Watch) -> Mapping[str, tuple[dict[str, Any], Verdict]]:
    if watch.windows is None:
        return {}
    watch.windows.turn(time.time())
    states = [watch.windows.state(), *watch.others()]
    return judge_windows(watch.windows.reference, states, least=LEAST_ROWS, alert=watch.alert)


def drift_report(found: Reading) -> dict[str, Any]:
    """What `/drift` answers."""
    windows = {
        name: {
            "began": _moment(window["began"]) if window["rows"] else None,
            "ended": _moment(window["ended"]),
            **verdict.as_dict(),
        }
        for name, (window, verdict) in found.windows.items()
    }
    return {
        "model": found.watch.model.about,
        "alert": found.watch.alert,
        "false_alarms": FALSE_ALARMS,
        "dropped_rows": found.watch.dropped,
        "current": windows["current"],
        "last": windows.get("last"),
    }


def _moment(seconds: float | None) -> str | None:
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")


class Families:
    """The gauges and counts of all watches, for prometheus_client."""

    def __init__(self, readings: Sequence[Reading]) -> None:
        self._readings = readings

    def collect(self) -> Iterator[Any]:
        """See prometheus_client.registry.Collector."""
        from prometheus_client.core import CounterMetricFamily

        watched = [item for item in self._readings if item.shown is not None]
        if watched:
            yield from _gauges(watched)
        dropped = CounterMetricFamily("dml_watch_dropped_rows", "Rows not watched.", labels=_MODEL)
        for item in self._readings:
            dropped.add_metric(_named(item.watch.model), item.watch.dropped)
        if self._readings:
            yield dropped
        yield from _calls([item for item in self._readings if item.watch.alarm is not None])
        logs = [
            (_named(item.watch.model), item.watch.log)
            for item in self._readings
            if item.watch.log is not None
        ]
        for name, about, attribute in (
            ("dml_log_rows", "Rows written to the prediction log.", "written"),
            (
                "dml_log_dropped_rows",
                "Rows that are in no file: too many waited, or a write failed.",
                "dropped",
            ),
            ("dml_log_faults", "Failed writes of the prediction log.", "faults"),
        ):
            family = CounterMetricFamily(name, about, labels=_MODEL)
            for model, log in logs:
                family.add_metric(model, getattr(log, attribute))
            if logs:
                yield family


def _calls(readings: Sequence[Reading]) -> Iterator[Any]:
    from prometheus_client.core import CounterMetricFamily

    for name, about, attribute in (
        ("dml_drift_calls", "Calls of the webhook that arrived.", "called"),
        ("dml_drift_call_faults", "Calls of the webhook that were given up.", "failed"),
    ):
        family = CounterMetricFamily(name, about, labels=_MODEL)
        for item in readings:
            family.add_metric(_named(item.watch.model), getattr(item.watch.alarm, attribute))
        if readings:
            yield family


def _gauges(readings: Sequence[Reading]) -> Iterator[Any]:
    from prometheus_client.core import GaugeMetricFamily

    rows = GaugeMetricFamily("dml_drift_rows", "Rows of the window that is shown.", labels=_MODEL)
    for item in readings:
        assert item.shown is not None
        rows.add_metric(_named(item.watch.model), item.shown.rows)
    yield rows
    for name, (about, part) in GAUGES.items():
        family = GaugeMetricFamily(name, about, labels=[*_MODEL, "column"])
        for item in readings:
            assert item.shown is not None
            for column, value in values_of(item.shown, part):
                family.add_metric([*_named(item.watch.model), column], value)
        yield family


def values_of(verdict: Verdict, part: str) -> Iterator[tuple[str, float]]:
    """Column and number; `part` is one of those of GAUGES. Answers stand in brackets."""
    moved = {id(item) for item in verdict.moved}
    for item in verdict.watched:
        distance = item.drift.distance
        values = {
            "psi": distance.psi,
            "noise": distance.noise,
            "js": distance.js,
            "missing": item.drift.missing[1],
            "unseen": item.unseen,
            "outside": item.outside,
            "moved": float(id(item) in moved),
        }
        yield f"({item.column})" if item.is_answer else item.column, values[part]
