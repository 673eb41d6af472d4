"""What the agent is told of each request: a transaction with its spans, and the exception that ended it.

All of it is made when the answer is out, from the times that the request left: no client waits for it.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

from declarative_ml.core.duration import microseconds_of, seconds_of
from declarative_ml.core.errors import DataError
from declarative_ml.core.optional import require
from declarative_ml.core.versions import library_version
from declarative_ml.serving.apm.gate import Gate
from declarative_ml.serving.apm.metrics import ServiceMetrics
from declarative_ml.serving.apm.trace_context import Parent, parent_of
from declarative_ml.serving.exchange import Call
from declarative_ml.serving.model import ServedModel
from declarative_ml.serving.routes import Route
from declarative_ml.serving.service import Service
from declarative_ml.spec.apm import Apm

_FIXED: Mapping[str, Any] = {
    "TRANSPORT_CLASS": "declarative_ml.serving.apm.transport.Transport",
    "CAPTURE_BODY": "off",
    "CAPTURE_HEADERS": False,
    "COLLECT_LOCAL_VARIABLES": "off",  # they hold rows
    "CLOUD_PROVIDER": "none",  # else it asks three clouds for metadata
    "CENTRAL_CONFIG": False,  # `sample` rules
    "SKIP_SERVER_INFO": True,  # a server that hangs would hold up all events
    "BREAKDOWN_METRICS": False,
    "INSTRUMENT": False,
    "DISABLE_LOG_RECORD_FACTORY": True,
    "SPAN_STACK_TRACE_MIN_DURATION": "-1ms",
}
"""How the agent is set up. Its own variables, ELASTIC_APM_…, go over all settings."""


class Reporter:
    """Tells one APM server of one serving process."""

    def __init__(self, apm: Apm, service: Service) -> None:
        """Raises DataError for a secret or a certificate that is not there."""
        self._apm, self._service = apm, service
        self._secrets = {
            name: secret.reveal()
            for name, secret in (("SECRET_TOKEN", apm.token), ("API_KEY", apm.api_key))
            if secret is not None
        }
        if apm.ca is not None and not os.access(apm.ca, os.R_OK):
            raise DataError(f"monitor.apm: cannot read the certificate {apm.ca}")
        self._gate: Gate | None = None
        self._client: Any = None
        self._metrics = ServiceMetrics(service, {})

    def start(self, routes: Iterable[Route]) -> None:
        """Make the agent, in the process and at the time of serving: it has threads."""
        elasticapm = require("elasticapm", "apm")
        if "ELASTIC_APM_LOG_LEVEL" not in os.environ:
            # The transport of ours says what is wrong, once.
            logging.getLogger("elasticapm.transport").setLevel(logging.CRITICAL)
        client = elasticapm.Client({**_FIXED, **self._settings(), **self._secrets})
        client.tracer.frames_collector_func = list  # of a span: it would be our own, and the same for each
        self.follow(routes)
        client.metrics.register(lambda registry: self._metrics)
        self._gate = Gate(client.config.transaction_sample_rate, microseconds_of(self._apm.slow) / 1e6)
        self._client = client

    def follow(self, routes: Iterable[Route]) -> None:
        """Tell of these routes from now on. The version of the service stays that of its first model; events
        have that of the model that answered."""
        self._metrics.models = {
            route.path: route.model for route in routes if route.model is not None and not route.probe
        }

    def close(self) -> None:
        """Send what is left; takes a few seconds where the server does not answer."""
        if self._client is not None:
            self._client.close()

    def report(
        self,
        call: Call,
        model: ServedModel | None,
        headers: Iterable[tuple[bytes, bytes]],
        status: int,
        began: float,
        ended: float,
    ) -> None:
        """Tell of an answered request, if the gate lets it through; times are of `time.perf_counter`."""
        if self._gate is None:  # not begun
            return
        parent = parent_of(headers)
        rate = self._gate.rate(parent, status, ended - began, fault=call.fault is not None)
        if rate is None:
            return
        start = time.time() - (time.perf_counter() - began)
        transaction = self._client.begin_transaction("request", trace_parent=_handed(parent), start=start)
        if transaction is None:  # ELASTIC_APM_RECORDING=false
            return
        transaction.is_sampled, transaction.sample_rate = True, rate
        transaction.name = f"{call.method} {call.path}"
        transaction.outcome = "failure" if status >= 500 else "success"
        transaction.label(**_labels(model, call))
        transaction.context["request"] = {"method": call.method, "url": {"pathname": call.path}}
        transaction.context["response"] = {"status_code": status}
        for name, offset, seconds in _spans(call.stages, began, ended):
            span = transaction.begin_span(
                name, "app", span_subtype="internal", start=start + offset, auto_activate=False
            )
            span.outcome = "failure" if call.fault is not None and name == call.stages[-1][0] else "success"
            span.end(duration=timedelta(seconds=seconds))
        if call.fault is not None:
            fault = call.fault
            self._client.capture_exception((type(fault), fault, fault.__traceback__))
        self._client.end_transaction(result=f"HTTP {status // 100}xx", duration=ended - began)

    def _settings(self) -> dict[str, Any]:
        apm, first = self._apm, self._service.first
        found = {
            "SERVER_URL": apm.url,
            "SERVICE_NAME": apm.service or first.name,
            "SERVICE_VERSION": first.version,
            "ENVIRONMENT": apm.environment,
            "TRANSACTION_SAMPLE_RATE": apm.sample,
            "METRICS_INTERVAL": f"{seconds_of(apm.metrics_interval)}s",
            "VERIFY_SERVER_CERT": apm.verify,
            "SERVER_CA_CERT_FILE": None if apm.ca is None else str(Path(apm.ca)),
            "FRAMEWORK_NAME": "declarative-ml",
            "FRAMEWORK_VERSION": library_version("declarative-ml"),
        }
        return {name: value for name, value in found.items() if value is not None}


def _labels(model: ServedModel | None, call: Call) -> dict[str, Any]:
    return {} if model is None else {"model": model.name, "version": model.version, "rows": call.rows}


def _handed(parent: Parent | None) -> Any:
    """The trace as the agent wants it. Its own reader believes any header."""
    if parent is None:
        return None
    from elasticapm.utils.disttracing import TraceParent

    return TraceParent.from_string(parent.header)


def _spans(
    stages: Sequence[tuple[str, float]], began: float, ended: float
) -> Iterator[tuple[str, float, float]]:
    """Name, seconds from the beginning, and seconds of each stage."""
    for (name, start), (_, end) in pairwise([*stages, ("", ended)]):
        yield name, start - began, end - start
