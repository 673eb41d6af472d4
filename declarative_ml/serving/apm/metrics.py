"""Counts and times of the service as metric sets: constant cost, whatever the load.

Each set holds what happened since the last one. Sums and percentiles in Kibana are then right over several
workers and over restarts.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any

from declarative_ml.serving.drift_metrics import GAUGES, read_now, values_of
from declarative_ml.serving.metrics import BOUNDS
from declarative_ml.serving.model import ServedModel
from declarative_ml.serving.service import Service

Samples = dict[str, dict[str, Any]]

_PATIENCE_SECONDS = 5.0

_MILLISECONDS = [
    1000 * bound
    for bound in (
        BOUNDS[0] / 2,
        *((low + high) / 2 for low, high in pairwise(BOUNDS)),
        BOUNDS[-1],
    )
]
"""What stands for each bucket of the latencies: its middle, as Elastic's agents do it."""


class ServiceMetrics:
    """What the agent asks for, in its own thread, every `metrics_interval` and once at the end."""

    def __init__(self, service: Service, models: Mapping[str, ServedModel]) -> None:
        """`models`: the routes to tell of, each with the model that it asks."""
        self._service, self.models = service, models
        self._before: dict[Any, int] = {}

    def collect(self) -> Iterator[dict[str, Any]]:
        """Metric sets as the intake takes them (v2)."""
        inside = {"dml.inside": {"value": self._service.inside, "type": "gauge"}}
        yield self._set(inside, {})
        statuses: dict[str, dict[int, int]] = {}
        for (path, status), number in self._service.metrics.requests.copy().items():
            statuses.setdefault(path, {})[status] = self._new((path, status), number)
        for path, model in self.models.items():
            if samples := self._requests(path, statuses.get(path, {})):
                yield self._set(samples, {**_labels(model), "route": path})
        for model in self._service.fleet.by_version().values():
            if samples := self._batches(model):
                yield self._set(samples, _labels(model))
            for feature, samples in self._drift(model).items():
                yield self._set(samples, {**_labels(model), "feature": feature[:1024]})

    def _requests(self, path: str, statuses: Mapping[int, int]) -> Samples:
        times = self._service.metrics.times.get(path)
        if times is None or not any(statuses.values()):
            return {}
        counts = [self._new((path, "time", place), number) for place, number in enumerate(times.counts)]
        return {
            "dml.requests": _count(statuses.values()),
            "dml.errors": _count(number for status, number in statuses.items() if status >= 500),
            "dml.refused": _count(number for status, number in statuses.items() if 400 <= status < 500),
            "dml.latency": {**_histogram(_MILLISECONDS, counts), "unit": "ms"},
        }

    def _batches(self, model: ServedModel) -> Samples:
        name = model.name, model.version
        rows = self._new((*name, "rows"), self._service.metrics.rows.get(name, 0))
        # Of a version that comes back the sizes begin anew.
        sizes = [
            self._new((*name, model.opened, place), number) for place, number in enumerate(model.batch_sizes)
        ]
        if not rows and not any(sizes):
            return {}
        middles = [0.75 * 2**place - 0.5 for place in range(len(sizes))]
        found = {"dml.rows": _count([rows])}
        return found | ({"dml.batch.rows": _histogram(middles, sizes)} if any(sizes) else {})

    def _drift(self, model: ServedModel) -> Mapping[str, Samples]:
        """Feature -> what is known of the newest window; nothing before it has rows enough for a verdict."""
        watch = model.watch
        if watch is None:
            return {}
        try:
            verdict = model.later(lambda: read_now(watch)).result(_PATIENCE_SECONDS).shown
        except (RuntimeError, TimeoutError):  # the service ends, or the thread has long work to do
            return {}
        found: dict[str, Samples] = {}
        if verdict is None or not verdict.is_reached:
            return found
        for name, (_, part) in GAUGES.items():
            for feature, value in values_of(verdict, part):
                if math.isfinite(value):
                    samples = found.setdefault(feature, {})
                    samples[name.replace("_", ".")] = {"value": value, "type": "gauge"}
        return found

    def _new(self, key: Any, total: int) -> int:
        """How much was added to `total` since the last set."""
        before = self._before.get(key, 0)
        self._before[key] = total
        return total - before

    @staticmethod
    def _set(samples: Samples, labels: Mapping[str, str]) -> dict[str, Any]:
        found: dict[str, Any] = {"samples": samples, "timestamp": time.time_ns() // 1000}
        return found | ({"tags": dict(labels)} if labels else {})


def _labels(model: ServedModel) -> dict[str, str]:
    return {"model": model.name, "version": model.version}


def _count(numbers: Iterable[int]) -> dict[str, Any]:
    return {"value": sum(numbers)}


def _histogram(values: Sequence[float], counts: Sequence[int]) -> dict[str, Any]:
    """Buckets that hold something, each by the value that stands for it."""
    held = [(value, count) for value, count in zip(values, counts, strict=True) if count]
    return {
        "values": [value for value, _ in held],
        "counts": [count for _, count in held],
        "type": "histogram",
    }
