"""What reaches an APM server, in this process: events, labels, spans, shares, metrics."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from apm_intake import Intake
from service_client import Client

from declarative_ml.core.errors import DataError
from declarative_ml.core.secret import Secret
from declarative_ml.serving.apm.gate import EXTRAS, Gate
from declarative_ml.serving.apm.trace_context import Parent, parent_of
from declarative_ml.serving.apm.troubles import QUIET_SECONDS, Troubles
from declarative_ml.serving.fleet import Fleet
from declarative_ml.serving.model import ServedModel
from declarative_ml.serving.routes import Route
from declarative_ml.serving.service import Service
from declarative_ml.serving.watch import watch_models
from declarative_ml.spec.apm import Apm
from declarative_ml.spec.monitor import Monitor
from declarative_ml.store.bundle import Bundle

TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"


@contextmanager
def watched(
    bundle: Bundle, runner: asyncio.Runner, monitor: Monitor | None = None, **options: Any
) -> Iterator[Client]:
    """A client of an application that reports; when it ends, all events were sent."""
    pytest.importorskip("elasticapm")
    from declarative_ml.serving.apm.reporter import Reporter
    from declarative_ml.serving.app import Application

    models = [ServedModel(bundle)]
    if monitor is not None:
        watch_models(models, monitor)
    service = Service(Fleet.of(models))
    reporter = Reporter(Apm(**options), service)
    application = Application(service, reporter)
    reporter.start(application.routes)
    try:
        yield Client(application, runner)
    finally:
        reporter.close()
        service.close()


def test_a_request_is_a_transaction_with_its_stages(
    intake: Intake, bundle_of: Callable[[str], Bundle], runner: asyncio.Runner, row: dict[str, Any]
) -> None:
    bundle = bundle_of("stays")
    with watched(bundle, runner, url=intake.url, sample=1.0, environment="test", service="stays 1") as client:
        assert client.post("/predict", {"rows": [row] * 3}).status == 200
        assert client.post("/explain", {"rows": [row]}).status == 200
        assert client.post("/predict", {"rows": [row] * 100}).status == 200
        tensors = [
            {"name": name, "datatype": "BYTES", "shape": [1, 1], "data": [str(value)]}
            for name, value in row.items()
        ]
        assert client.post("/v2/models/guests-stays/infer", {"inputs": tensors}).status == 200
        assert client.post("/predict", {"rows": [{}]}).status == 422
        assert client.get("/v2").status == 200
        assert client.get("/healthz").status == 200
        assert client.get("/metrics").status == 200
        assert client.get("/nowhere").status == 404
    assert intake.faults == []
    found = {event["name"]: event for event in intake.of("transaction")}
    assert [event["name"] for event in intake.of("transaction")] == [
        "POST /predict",
        "POST /explain",
        "POST /predict",
        "POST /v2/models/guests-stays/infer",
        "POST /predict",
        "GET /v2",
        "GET unknown route",
    ]
    first, _, many, *_ = intake.of("transaction")
    version = bundle.manifest.model_digest[:12]
    assert first["context"] == {
        "request": {"method": "POST", "url": {"pathname": "/predict"}},
        "response": {"status_code": 200},
        "tags": {"model": "guests-stays", "version": version, "rows": 3},
    }
    assert (first["type"], first["result"], first["outcome"]) == ("request", "HTTP 2xx", "success")
    assert first["sample_rate"] == 1.0
    assert many["context"]["tags"]["rows"] == 100
    assert found["GET unknown route"]["result"] == "HTTP 4xx"
    assert found["POST /predict"]["result"] == "HTTP 4xx"
    stages = {
        event["name"]: [span["name"] for span in intake.of("span") if span["transaction_id"] == event["id"]]
        for event in reversed(intake.of("transaction"))
    }
    assert stages["POST /predict"] == ["decode", "infer", "encode"]
    assert stages["POST /v2/models/guests-stays/infer"] == ["decode", "infer", "encode"]
    assert stages["POST /explain"] == ["decode", "explain"]
    assert stages["GET /v2"] == []
    for span in intake.of("span"):
        event = next(e for e in intake.of("transaction") if e["id"] == span["transaction_id"])
        assert (span["type"], span["subtype"], span["trace_id"]) == ("app", "internal", event["trace_id"])
        assert event["timestamp"] - 1 <= span["timestamp"]
        assert (
            span["timestamp"] + 1000 * span["duration"] <= event["timestamp"] + 1000 * event["duration"] + 2
        )
    metadata = intake.of("metadata")[0]["service"]
    assert (metadata["name"], metadata["environment"], metadata["version"]) == ("stays 1", "test", version)
    assert metadata["framework"]["name"] == "declarative-ml"


def test_a_trace_goes_on(
    intake: Intake, bundle_of: Callable[[str], Bundle], runner: asyncio.Runner, row: dict[str, Any]
) -> None:
    body = {"rows": [row]}
    with watched(bundle_of("stays"), runner, url=intake.url, sample=0.0) as client:
        client.post("/predict", body, traceparent=f"00-{TRACE}-{SPAN}-01", tracestate="x=1,es=s:0.25")
        client.post("/predict", body, traceparent=f"00-{TRACE}-{SPAN}-00")
        client.post("/predict", body, traceparent=f"00-{'a' * 3000}-{SPAN}-01")
        client.post("/predict", body, traceparent=f"00-{TRACE}-{SPAN}-01", tracestate="es=s:many")
    assert intake.faults == []
    assert [
        (event["trace_id"], event["parent_id"], event["sample_rate"]) for event in intake.of("transaction")
    ] == [(TRACE, SPAN, 0.25), (TRACE, SPAN, 1.0)]
    assert {span["trace_id"] for span in intake.of("span")} == {TRACE}


def test_an_exception_is_told_whatever_the_share(
    intake: Intake, bundle_of: Callable[[str], Bundle], runner: asyncio.Runner, row: dict[str, Any]
) -> None:
    secret = "Timbuktu-4711"
    with watched(bundle_of("stays"), runner, url=intake.url, sample=0.0) as client:
        model = client.application.service.first

        def broken(*given: Any) -> Any:
            raise RuntimeError("the graph fell over")

        model.scorer.run = broken  # type: ignore[method-assign]
        for _ in range(EXTRAS + 20):
            body = {"rows": [{**row, "town": secret}]}
            assert client.post("/predict", body, authorization=secret).status == 500
    assert intake.faults == []
    counts = intake.counts
    assert counts["error"] == counts["transaction"] == EXTRAS + 20
    error, event = intake.of("error")[0], intake.of("transaction")[0]
    assert error["exception"]["message"] == "RuntimeError: the graph fell over"
    assert error["exception"]["stacktrace"]
    assert error["transaction_id"] == event["id"]
    assert error["trace_id"] == event["trace_id"]
    assert (event["outcome"], event["result"], event["sample_rate"]) == ("failure", "HTTP 5xx", 1.0)
    assert [span["outcome"] for span in intake.of("span")[:2]] == ["success", "failure"]
    assert secret.encode() not in b"".join(intake.bodies)


def test_slow_requests_are_told_whatever_the_share(
    intake: Intake, bundle_of: Callable[[str], Bundle], runner: asyncio.Runner, row: dict[str, Any]
) -> None:
    with watched(bundle_of("stays"), runner, url=intake.url, sample=0.0, slow="1us") as client:
        for _ in range(5):
            client.post("/predict", {"rows": [row]})
    assert intake.counts["transaction"] == 5
    with watched(bundle_of("stays"), runner, url=intake.url, sample=0.0) as client:
        for _ in range(5):
            client.post("/predict", {"rows": [row]})
    assert intake.counts["transaction"] == 5


def test_metrics_add_up(
    intake: Intake, bundle_of: Callable[[str], Bundle], runner: asyncio.Runner, row: dict[str, Any]
) -> None:
    bundle = bundle_of("stays")
    options: dict[str, Any] = {"url": intake.url, "sample": 0.0, "metrics_interval": "1s"}
    with watched(bundle, runner, **options) as client:
        for number in range(20):
            assert client.post("/predict", {"rows": [row] * (1 + number % 3)}).status == 200
        runner.run(asyncio.sleep(1.5))
        for _ in range(4):
            assert client.post("/predict", {"rows": []}).status == 422
        assert client.post("/predict", {"rows": [row] * 70}).status == 200
    assert intake.faults == []
    labels = {"model": "guests-stays", "version": bundle.manifest.model_digest[:12]}
    sets = intake.of("metricset")
    requests = [item for item in sets if "dml.requests" in item["samples"]]
    rows = [item for item in sets if "dml.rows" in item["samples"]]
    assert len(requests) == len(rows) == 2  # one in between, and the last one
    assert {json.dumps(item["tags"]) for item in requests} == {json.dumps(labels | {"route": "/predict"})}
    assert sum(item["samples"]["dml.requests"]["value"] for item in requests) == 25
    assert sum(item["samples"]["dml.refused"]["value"] for item in requests) == 4
    assert sum(item["samples"]["dml.errors"]["value"] for item in requests) == 0
    assert sum(sum(item["samples"]["dml.latency"]["counts"]) for item in requests) == 25
    assert sum(item["samples"]["dml.rows"]["value"] for item in rows) == 39 + 70
    sizes = [item["samples"]["dml.batch.rows"] for item in rows if "dml.batch.rows" in item["samples"]]
    assert sum(sum(sample["counts"]) for sample in sizes) == 20
    assert sizes[0]["values"] == [1.0, 2.5]
    assert any("system.cpu.total.norm.pct" in item["samples"] for item in intake.of("metricset"))


def test_drift_is_a_gauge_by_feature(
    intake: Intake, bundle_of: Callable[[str], Bundle], runner: asyncio.Runner, row: dict[str, Any]
) -> None:
    with watched(bundle_of("stays"), runner, Monitor(), url=intake.url, sample=0.0) as client:
        assert client.post("/predict", {"rows": [row] * 100}).status == 200
        runner.run(asyncio.sleep(1.2))  # rows are counted a second later at most
    assert not any("dml.drift.psi" in item["samples"] for item in intake.of("metricset"))
    with watched(bundle_of("stays"), runner, Monitor(), url=intake.url, sample=0.0) as client:
        assert client.post("/predict", {"rows": [row] * 600}).status == 200
        runner.run(asyncio.sleep(1.2))
    assert intake.faults == []
    drifts = {
        item["tags"]["feature"]: item["samples"]
        for item in intake.of("metricset")
        if "dml.drift.psi" in item["samples"]
    }
    assert {"age", "fare", "town", "member", "seen", "(prediction)"} <= drifts.keys()
    # Elasticsearch refuses a field that is a number in one event and holds other fields in the next.
    names = {name for item in intake.of("metricset") for name in item["samples"]}
    assert [name for name in names if any(other.startswith(f"{name}.") for other in names)] == []
    assert drifts["town"]["dml.drift.psi"]["value"] > 1
    assert drifts["town"]["dml.drift.moved"] == {"value": 1.0, "type": "gauge"}


def test_no_metrics_when_none_are_wanted(
    intake: Intake, bundle_of: Callable[[str], Bundle], runner: asyncio.Runner, row: dict[str, Any]
) -> None:
    with watched(
        bundle_of("stays"), runner, url=intake.url, sample=1.0, metrics_interval="0s", api_key="${env:HOME}"
    ) as client:
        client.post("/predict", {"rows": [row]})
    assert intake.counts == {"metadata": 1, "transaction": 1, "span": 3}
    assert intake.headers[-1]["Authorization"] == f"ApiKey {os.environ['HOME']}"


def test_the_agents_variables_go_over_the_spec(
    intake: Intake,
    bundle_of: Callable[[str], Bundle],
    runner: asyncio.Runner,
    row: dict[str, Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("ELASTIC_APM_ENVIRONMENT", "elsewhere")
    monkeypatch.setenv("ELASTIC_APM_TRANSACTION_SAMPLE_RATE", "1.0")
    with watched(bundle_of("stays"), runner, url=intake.url, sample=0.0, environment="here") as client:
        client.post("/predict", {"rows": [row]})
    assert intake.of("transaction")[0]["sample_rate"] == 1.0
    assert intake.of("metadata")[0]["service"]["environment"] == "elsewhere"
    monkeypatch.setenv("ELASTIC_APM_RECORDING", "false")
    with watched(bundle_of("stays"), runner, url=intake.url) as client:
        assert client.post("/predict", {"rows": [row]}).status == 200
    assert intake.counts["transaction"] == 1


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A certificate for 127.0.0.1 that vouches for itself, and its key."""
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not here to make a certificate")
    folder = tmp_path_factory.mktemp("certificate")
    asked = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=intake"
    asked += " -addext subjectAltName=IP:127.0.0.1 -keyout key.pem -out certificate.pem"
    subprocess.run(["openssl", *asked.split()], cwd=folder, check=True, capture_output=True)
    return folder / "certificate.pem", folder / "key.pem"


@pytest.mark.parametrize(("how", "arrives"), [("unknown", False), ("ca", True), ("unchecked", True)])
@pytest.mark.filterwarnings("ignore:Unverified HTTPS request")
def test_the_server_shows_a_certificate(
    apm_specs: Path,
    certificate: tuple[Path, Path],
    bundle_of: Callable[[str], Bundle],
    runner: asyncio.Runner,
    row: dict[str, Any],
    how: str,
    arrives: bool,
    caplog: pytest.LogCaptureFixture,
) -> None:
    options: dict[str, Any] = {"ca": {"ca": str(certificate[0])}, "unchecked": {"verify": False}}.get(how, {})
    with Intake(apm_specs / "schemas", certificate=certificate) as intake:
        with watched(
            bundle_of("stays"), runner, url=intake.url, sample=1.0, metrics_interval="0s", **options
        ) as client:
            assert client.post("/predict", {"rows": [row]}).status == 200
        assert intake.counts["transaction"] == int(arrives)
    assert any("CERTIFICATE_VERIFY_FAILED" in text for text in caplog.messages) is not arrives


def test_what_is_not_there_is_told_before_the_port_opens(bundle_of: Callable[[str], Bundle]) -> None:
    pytest.importorskip("elasticapm")
    from declarative_ml.serving.apm.reporter import Reporter

    service = Service(Fleet.of([ServedModel(bundle_of("stays"))]))
    with pytest.raises(DataError, match="the environment variable DML_NO_SUCH is not set"):
        Reporter(Apm(url="http://apm:8200", token=Secret("${env:DML_NO_SUCH}")), service)
    with pytest.raises(DataError, match=re.escape("monitor.apm: cannot read the certificate /no/ca.pem")):
        Reporter(Apm(url="https://apm:8200", ca="/no/ca.pem"), service)
    service.close()


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_the_gate_lets_the_share_through() -> None:
    gate = Gate(0.1, 0.5)
    kept = [gate.rate(None, 200, 0.01, fault=False) for _ in range(20_000)]
    assert set(kept) == {None, 0.1}
    assert 1_700 < sum(rate is not None for rate in kept) < 2_300
    assert {Gate(1.0, 0.5).rate(None, 200, 0.01, fault=False) for _ in range(1000)} == {1.0}
    assert {Gate(0.0, 0.5).rate(None, 404, 0.01, fault=False) for _ in range(1000)} == {None}


def test_what_fails_or_is_slow_goes_through_up_to_a_limit() -> None:
    clock = Clock()
    gate = Gate(0.0, 0.5, clock=clock)
    assert [gate.rate(None, 503, 0.01, fault=False) for _ in range(2 * EXTRAS)].count(1.0) == EXTRAS
    clock.now = 0.5
    assert [gate.rate(None, 200, 0.6, fault=False) for _ in range(EXTRAS)].count(1.0) == EXTRAS // 2
    assert [gate.rate(None, 500, 0.6, fault=True) for _ in range(EXTRAS)].count(1.0) == EXTRAS
    assert Gate(0.0, 0.5).rate(Parent("", False, 1.0), 200, 0.6, fault=False) == 1.0


def test_callers_decide_for_their_traces() -> None:
    gate = Gate(0.0, 0.5)
    assert gate.rate(Parent("", True, 0.2), 200, 0.01, fault=False) == 0.2
    assert Gate(1.0, 0.5).rate(Parent("", False, 1.0), 200, 0.01, fault=False) is None


def test_trace_headers_as_the_standard_wants_them(apm_specs: Path) -> None:
    """The vectors of https://github.com/w3c/trace-context, as Elastic gives them to its agents."""
    text = (apm_specs.parent / "elastic-apm-agent-specs" / "w3c_distributed_tracing.json").read_text()
    cases = json.loads("\n".join(line for line in text.splitlines() if not line.startswith("//")))
    assert len(cases) > 50
    for case in cases:
        headers = [(name.lower().encode(), value.encode()) for name, value in case["headers"]]
        assert (parent_of(headers) is not None) == case["is_traceparent_valid"], case


def test_a_version_to_come_is_understood() -> None:
    later = f"01-{TRACE}-{SPAN}-01-more".encode()
    found = parent_of([(b"traceparent", later)])
    assert found == Parent(f"01-{TRACE}-{SPAN}-01", True, 1.0)


def test_troubles_are_said_once(caplog: pytest.LogCaptureFixture) -> None:
    clock = Clock()
    troubles = Troubles("https://me:hidden@apm:8200/x", ("geheim", None), clock)
    caplog.set_level(logging.INFO)
    for _ in range(100):
        troubles.begin("HTTP 401: no geheim\n\x1b[31m here (url: https://me:hidden@apm:8200/x)")
    troubles.end()
    for _ in range(100):  # it comes and goes
        troubles.begin("HTTP 401: no geheim")
        troubles.end()
    assert caplog.messages == [
        "APM: apm:8200 gets no events (HTTP 401: no *** [31m here); they are left out until it does, "
        "requests are answered as ever",
        "APM: apm:8200 gets events again",
    ]
    clock.now = QUIET_SECONDS + 1
    troubles.begin("HTTP 401: no")
    assert len(caplog.messages) == 3


def test_routes_know_their_model(stays: Client) -> None:
    def name(route: Route) -> str | None:
        return None if route.model is None else route.model.name

    found = {route.path: name(route) for route in stays.application.routes}
    assert (
        found["/predict"] == found["/invocations"] == found["/models/guests-stays/explain"] == "guests-stays"
    )
    assert found["/metrics"] is found["/v2"] is None
