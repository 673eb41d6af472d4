"""Counts and times of requests, for Prometheus: plain numbers in the process, text when asked.

A histogram of the client library takes a lock and several calls a request; here a request costs one
addition. The text is that of the exposition format, written by the library.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

BOUNDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
"""Upper bounds of the latency buckets, in seconds."""

INSIDE = "requests_inside"
"""The gauge of requests at work."""


@dataclass(slots=True)
class _Times:
    counts: list[int] = field(default_factory=lambda: [0] * (len(BOUNDS) + 1))
    total: float = 0.0


@dataclass
class Metrics:
    """What happened since the service began. Written by the event loop alone."""

    requests: dict[tuple[str, int], int] = field(default_factory=dict)
    """(route, status) -> requests."""
    times: dict[str, _Times] = field(default_factory=dict)
    """route -> seconds from the first byte of the body to the answer."""
    rows: dict[tuple[str, str], int] = field(default_factory=dict)
    """(model, version) -> rows scored."""

    def count(self, route: str, status: int, seconds: float) -> None:
        """One request was answered."""
        key = route, status
        self.requests[key] = self.requests.get(key, 0) + 1
        times = self.times.get(route)
        if times is None:
            times = self.times[route] = _Times()
        times.counts[bisect_left(BOUNDS, seconds)] += 1
        times.total += seconds

    def count_rows(self, model: str, version: str, rows: int) -> None:
        """`rows` rows were scored."""
        key = model, version
        self.rows[key] = self.rows.get(key, 0) + rows

    def snapshot(self) -> dict[str, Any]:
        """See board.Tally."""
        return {
            "requests": [[route, status, count] for (route, status), count in self.requests.items()],
            "times": {route: [list(times.counts), times.total] for route, times in self.times.items()},
            "rows": [[model, version, rows] for (model, version), rows in self.rows.items()],
        }

    def absorb(self, snapshot: Mapping[str, Any]) -> None:
        """See board.Tally."""
        for route, status, count in snapshot["requests"]:
            self.requests[route, status] = self.requests.get((route, status), 0) + count
        for route, (counts, total) in snapshot["times"].items():
            times = self.times.setdefault(route, _Times())
            times.counts = [one + other for one, other in zip(times.counts, counts, strict=True)]
            times.total += total
        for model, version, rows in snapshot["rows"]:
            self.count_rows(model, version, rows)

    def empty(self) -> Metrics:
        """See board.Tally."""
        return Metrics()


def process_gauges() -> dict[str, float]:
    """What Prometheus' own names tell of this process: memory, processor time, open files, when it began.
    Empty where the system has no /proc."""
    from prometheus_client import ProcessCollector

    families = ProcessCollector(registry=None).collect()
    return {sample.name: sample.value for family in families for sample in family.samples}


def exposition(
    metrics: Metrics,
    living: Mapping[int, Mapping[str, float]],
    models: Sequence[Mapping[str, str]],
    others: Iterable[Any] = (),
) -> bytes:
    """The text that Prometheus reads: `metrics` of all workers, gauges of those that live, by worker, the
    labels that say what each model is, and what other collectors have."""
    from prometheus_client import CollectorRegistry, generate_latest

    registry = CollectorRegistry(auto_describe=False)
    for collector in (_Collector(metrics, living, models), *others):
        registry.register(collector)
    content: bytes = generate_latest(registry)
    return content


@dataclass(eq=False)
class _Collector:
    metrics: Metrics
    living: Mapping[int, Mapping[str, float]]
    models: Sequence[Mapping[str, str]]

    def collect(self) -> Iterator[Any]:
        yield from self._requests()
        from prometheus_client.core import GaugeMetricFamily, InfoMetricFamily

        inside = sum(gauges.get(INSIDE, 0) for gauges in self.living.values())
        yield GaugeMetricFamily("dml_requests_inside", "Requests at work.", value=inside)
        yield GaugeMetricFamily("dml_workers", "Processes that answer.", value=len(self.living))
        info = InfoMetricFamily("dml_model", "What is served.", labels=[])
        for about in self.models:
            info.add_metric([], dict(about))
        yield info
        yield from self._processes()

    def _requests(self) -> Iterator[Any]:
        from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily

        requests = CounterMetricFamily("dml_requests", "Requests answered.", labels=["route", "status"])
        for (route, status), count in sorted(self.metrics.requests.items()):
            requests.add_metric([route, str(status)], count)
        yield requests
        seconds = HistogramMetricFamily("dml_request_seconds", "Time to an answer.", labels=["route"])
        for route, times in sorted(self.metrics.times.items()):
            seconds.add_metric([route], _buckets(times), sum_value=times.total)
        yield seconds
        rows = CounterMetricFamily("dml_rows", "Rows scored.", labels=["model"])
        for model in sorted({model for model, _ in self.metrics.rows}):
            count = sum(count for (name, _), count in self.metrics.rows.items() if name == model)
            rows.add_metric([model], count)
        yield rows

    def _processes(self) -> Iterator[Any]:
        """Of each worker under a label of its own: their sums would hide the one that grows."""
        from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

        names = sorted({name for gauges in self.living.values() for name in gauges} - {INSIDE})
        for name in names:
            family = CounterMetricFamily if name.endswith("_total") else GaugeMetricFamily
            found = family(name, _WORDS.get(name, "Of the process."), labels=["worker"])
            for place, gauges in self.living.items():
                if name in gauges:
                    found.add_metric([str(place)], gauges[name])
            yield found


_WORDS = {
    "process_cpu_seconds_total": "Processor time.",
    "process_max_fds": "Most open files.",
    "process_open_fds": "Open files.",
    "process_resident_memory_bytes": "Memory, what processes share counted in each.",
    "process_start_time_seconds": "When the process began, in seconds since 1970.",
    "process_virtual_memory_bytes": "Addresses, most of them without memory behind them.",
}


def _buckets(times: _Times) -> list[tuple[str, int]]:
    found, total = [], 0
    for bound, count in zip([*map(str, BOUNDS), "+Inf"], times.counts, strict=True):
        total += count
        found.append((bound, total))
    return found
