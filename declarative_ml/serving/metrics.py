"""Counts and times of requests, for Prometheus: plain numbers in the process, text when asked.

A histogram of the client library takes a lock and several calls a request; here a request costs one
addition. The text is that of the exposition format, written by the library.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

BOUNDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
"""Upper bounds of the latency buckets, in seconds."""


@dataclass(slots=True)
class _Times:
    counts: list[int] = field(default_factory=lambda: [0] * (len(BOUNDS) + 1))
    total: float = 0.0


@dataclass
class Metrics:
    """What happened since the process began. Written by the event loop alone."""

    requests: dict[tuple[str, int], int] = field(default_factory=dict)
    """(route, status) -> requests."""
    times: dict[str, _Times] = field(default_factory=dict)
    """route -> seconds from the first byte of the body to the answer."""
    rows: dict[str, int] = field(default_factory=dict)
    """model -> rows scored."""

    def count(self, route: str, status: int, seconds: float) -> None:
        """One request was answered."""
        key = route, status
        self.requests[key] = self.requests.get(key, 0) + 1
        times = self.times.get(route)
        if times is None:
            times = self.times[route] = _Times()
        times.counts[bisect_left(BOUNDS, seconds)] += 1
        times.total += seconds

    def count_rows(self, model: str, rows: int) -> None:
        """`rows` rows were scored."""
        self.rows[model] = self.rows.get(model, 0) + rows

    def exposition(self, inside: int) -> bytes:
        """The text that Prometheus reads; `inside`: requests at work."""
        from prometheus_client import CollectorRegistry, generate_latest

        registry = CollectorRegistry(auto_describe=False)
        registry.register(_Collector(self, inside))
        content: bytes = generate_latest(registry)
        return content


class _Collector:
    def __init__(self, metrics: Metrics, inside: int) -> None:
        self._metrics, self._inside = metrics, inside

    def collect(self) -> Iterator[Any]:
        from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily

        requests = CounterMetricFamily("dml_requests", "Requests answered.", labels=["route", "status"])
        for (route, status), count in sorted(self._metrics.requests.items()):
            requests.add_metric([route, str(status)], count)
        yield requests
        seconds = HistogramMetricFamily("dml_request_seconds", "Time to an answer.", labels=["route"])
        for route, times in sorted(self._metrics.times.items()):
            seconds.add_metric([route], _buckets(times), sum_value=times.total)
        yield seconds
        rows = CounterMetricFamily("dml_rows", "Rows scored.", labels=["model"])
        for model, count in sorted(self._metrics.rows.items()):
            rows.add_metric([model], count)
        yield rows
        yield GaugeMetricFamily("dml_requests_inside", "Requests at work.", value=self._inside)


def _buckets(times: _Times) -> list[tuple[str, int]]:
    found, total = [], 0
    for bound, count in zip([*map(str, BOUNDS), "+Inf"], times.counts, strict=True):
        total += count
        found.append((bound, total))
    return found
