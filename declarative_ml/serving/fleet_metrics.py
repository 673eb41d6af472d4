"""What Prometheus learns of the models: which are there, how a shadow compares, what is wrong."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from declarative_ml.serving.fleet import Fleet
from declarative_ml.serving.model import ServedModel
from declarative_ml.serving.service import Service
from declarative_ml.serving.shadow import Comparison


@dataclass(frozen=True, eq=False)
class FleetFamilies:
    """A collector of prometheus_client."""

    service: Service

    def collect(self) -> Iterator[Any]:
        """See prometheus_client.registry.Collector."""
        return _families(self.service)


def _families(service: Service) -> Iterator[Any]:
    from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

    lineup = service.lineup
    yield from _models(service.fleet, service.board.total(service.metrics).rows)
    yield CounterMetricFamily("dml_reloads", "Changes to other models.", value=lineup.reloads)
    yield CounterMetricFamily(
        "dml_origin_failures",
        "Looks at where models come from that failed.",
        value=lineup.failures,
    )
    trouble = GaugeMetricFamily(
        "dml_origin_trouble",
        "1 where the model of before goes on for now.",
        labels=["origin"],
    )
    for origin in sorted(service.trouble()):
        trouble.add_metric([origin], 1)
    yield trouble
    shadow = service.fleet.shadow
    if shadow is not None:
        yield from _shadow(shadow.model, service.compared(shadow))


def _models(fleet: Fleet, counts: Mapping[tuple[str, str], int]) -> Iterator[Any]:
    from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

    labels = ["model", "version", "role"]
    rows = CounterMetricFamily("dml_model_rows", "Rows that clients got of the model.", labels=labels)
    found = GaugeMetricFamily(
        "dml_model_loaded_seconds",
        "When the model was opened, in seconds since 1970.",
        labels=labels,
    )
    for model, role in fleet.members():
        found.add_metric([model.name, model.version, role], model.opened)
        rows.add_metric([model.name, model.version, role], counts.get((model.name, model.version), 0))
    yield from (found, rows)


def _shadow(model: ServedModel, seen: Comparison) -> Iterator[Any]:
    from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

    labels = {"model": model.name, "version": model.version}
    counters = {
        "requests": ("Requests that the shadow answered too.", seen.requests),
        "rows": ("Rows that the shadow answered too.", seen.rows),
        "different_labels": ("Rows with another label than was given.", seen.different),
        "difference": ("Sum over the rows of the absolute difference.", seen.difference),
        "dropped": ("Requests that the shadow did not get: its queue was full.", seen.dropped),
        "failed": ("Requests that the shadow could not answer.", seen.failed),
        "seconds": ("Time that the shadow took.", seen.seconds),
        "served_seconds": ("Time that the same requests waited for their answers.", seen.served_seconds),
    }
    for name, (told, value) in counters.items():
        family = CounterMetricFamily(f"dml_shadow_{name}", told, labels=list(labels))
        family.add_metric(list(labels.values()), value)
        yield family
    largest = GaugeMetricFamily("dml_shadow_largest_difference", "Of any row.", labels=list(labels))
    largest.add_metric(list(labels.values()), seen.largest)
    yield largest
