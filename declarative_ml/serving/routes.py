"""What the service answers, as one table: method, path, handler, and what the OpenAPI document says of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from declarative_ml.core.versions import library_version
from declarative_ml.serving import description, inference_protocol
from declarative_ml.serving.about import about_all
from declarative_ml.serving.asked import Read, answered, settled
from declarative_ml.serving.bodies import read_asked, read_instances, read_json, read_rows
from declarative_ml.serving.drift_metrics import Families, drift_report, reading
from declarative_ml.serving.exchange import Answer, Call, Handler, Limits, Refusal, as_json
from declarative_ml.serving.fleet import Fleet
from declarative_ml.serving.fleet_metrics import FleetFamilies
from declarative_ml.serving.line import Line
from declarative_ml.serving.model import ServedModel
from declarative_ml.serving.service import Service

MOST_EXPLAINED = 20
"""Rows of one request for explanations."""
PROMETHEUS = b"text/plain; version=0.0.4; charset=utf-8"


@dataclass(frozen=True)
class Route:
    """One thing that can be asked."""

    method: str
    path: str
    handler: Handler
    summary: str
    tag: str
    about: Mapping[str, Any] = field(default_factory=dict)
    """More of the operation in the OpenAPI document."""
    responses: Mapping[int | str, Mapping[str, Any]] = field(default_factory=dict)
    probe: bool = False
    """Asked by machines that have no token."""
    works: bool = False
    """Costs a prediction or more: counts against the limit of requests at once."""
    model: ServedModel | None = None
    """The one that it asks."""
    scoring: tuple[Line, Read] | None = None
    """Who answers a request for predictions, and what reads it: the handler does so too, and all else."""


def routes_of(service: Service, fleet: Fleet) -> list[Route]:
    """All routes of a fleet: those that name no model ask the first one, those that name no version the first
    of the name."""
    first = fleet.lines[0]
    found = [*_state(service), *_protocol_state(service), *_clouds(service, first)]
    found += _model(service, first, "")
    named: set[str] = set()
    for line in fleet.lines:
        name = line.model.name
        if name not in named:
            named.add(name)
            found += _model(service, line, f"/models/{name}")
            found += _protocol(service, line, f"/v2/models/{name}", fleet.versions(name))
    for (name, version), model in fleet.by_version().items():
        alone = Line(model)
        found += _model(service, alone, f"/models/{name}/versions/{version}")
        found += _protocol(service, alone, f"/v2/models/{name}/versions/{version}", fleet.versions(name))
    return found


def _state(service: Service) -> list[Route]:
    async def alive(call: Call) -> Answer:
        return as_json({"status": "ok"})

    async def ready(call: Call) -> Answer:
        if service.draining:
            raise Refusal(503, "the service is stopping")
        trouble = service.trouble()
        told = {"trouble": trouble} if trouble else {}
        models = [model.about for model in service.fleet.models]
        return as_json({"status": "ready", "ready": True, "models": models, **told})

    async def models(call: Call) -> Answer:
        return as_json(
            {
                "models": about_all(service.fleet, service.compared),
                "trouble": service.trouble(),
                "reloads": service.lineup.reloads,
            }
        )

    async def metrics(call: Call) -> Answer:
        drift = [await reading(watch) for watch in service.fleet.watched()]
        return Answer(service.exposition([Families(drift), FleetFamilies(service)]), media=PROMETHEUS)

    return [
        Route("GET", "/healthz", alive, "Whether the process is alive", "state", probe=True),
        Route(
            "GET",
            "/readyz",
            ready,
            "Whether it takes requests",
            "state",
            responses=description.refusals(503),
            probe=True,
        ),
        Route("GET", "/models", models, "What the models are and take, and how a shadow compares", "state"),
        Route("GET", "/metrics", metrics, "Counts and times, for Prometheus", "state"),
    ]


def _model(service: Service, line: Line, prefix: str) -> list[Route]:
    model, watch = line.model, line.model.watch

    async def explain(call: Call) -> Answer:
        return await model.aside(lambda: _explained(model, call))

    async def drift(call: Call) -> Answer:
        assert watch is not None
        return as_json(drift_report(await reading(watch)))

    taken = description.refusals(400, 401, 408, 413, 415, 422, 503)
    content = {"application/json": {"schema": description.answer_schema(model)}}
    watched = watch is not None and watch.windows is not None
    about_drift = "How far requests and answers are from the training rows"
    return [
        *([Route("GET", f"{prefix}/drift", drift, about_drift, "model", model=model)] if watched else []),
        Route(
            "POST",
            f"{prefix}/predict",
            _scoring(service, line, read_asked),
            f"Predict {model.manifest.task.target}",
            "model",
            {"requestBody": description.request_body(model, description.body_schema(model), tables=True)},
            {200: {"description": "The predictions, in the order of the rows", "content": content}, **taken},
            works=True,
            model=model,
            scoring=(line, read_asked),
        ),
        Route(
            "POST",
            f"{prefix}/explain",
            explain,
            "What each column adds to the predictions (SHAP values)",
            "model",
            {
                "requestBody": description.request_body(
                    model, description.explain_schema(model, MOST_EXPLAINED)
                )
            },
            {200: {"description": "Base, values by column, prediction, by row"}, **taken},
            works=True,
            model=model,
        ),
    ]


def _scoring(service: Service, line: Line, read: Read) -> Handler:
    """Answers requests for predictions that `read` reads."""

    async def score(call: Call) -> Answer:
        model, further = line.draw(), read
        if line.goes_by_columns:
            model, further = await settled(line, call, service.limits, read)
        call.model = model
        asked, scored, answer = await answered(model, call, service.limits, further)
        return service.answered(line, model, call, asked, scored, answer)

    return score


def _explained(model: ServedModel, call: Call) -> Answer:
    call.begin("decode")
    body = read_json(call.body)
    if not isinstance(body, dict) or body.keys() != {"rows"}:
        raise Refusal(
            400, "the body is not an object with 'rows'", hint='send {"rows": [{"column": value, …}]}'
        )
    asked = read_rows(model, body["rows"], Limits(rows=MOST_EXPLAINED))
    call.rows = asked.rows
    call.begin("explain")
    return as_json({"rows": model.explain(asked.columns(model.scorer)), "model": model.about})


def _clouds(service: Service, line: Line) -> list[Route]:
    """What Amazon SageMaker and Google Vertex AI ask a container."""
    model = line.model

    async def ping(call: Call) -> Answer:
        if service.draining:
            raise Refusal(503, "the service is stopping")
        return as_json({"status": "ok"})

    taken = description.refusals(400, 401, 408, 413, 415, 422, 503)
    body = {"requestBody": description.request_body(model, description.body_schema(model), tables=True)}
    instances = description.request_body(model, description.instances_schema(model))
    return [
        Route("GET", "/ping", ping, "SageMaker's probe", "clouds", {}, description.refusals(503), probe=True),
        Route(
            "POST",
            "/invocations",
            _scoring(service, line, read_asked),
            "Predict, for SageMaker",
            "clouds",
            body,
            taken,
            works=True,
            model=model,
            scoring=(line, read_asked),
        ),
        Route(
            "POST",
            "/vertex/predict",
            _scoring(service, line, read_instances),
            "Predict, for Vertex AI (AIP_PREDICT_ROUTE)",
            "clouds",
            {"requestBody": instances},
            taken,
            works=True,
            model=model,
            scoring=(line, read_instances),
        ),
    ]


def _protocol(service: Service, line: Line, prefix: str, versions: Sequence[str]) -> list[Route]:
    """The model's part of the Open Inference Protocol."""
    model = line.model

    async def ready(call: Call) -> Answer:
        return as_json({"name": model.name, "ready": not service.draining})

    async def metadata(call: Call) -> Answer:
        return as_json(inference_protocol.metadata(model, versions))

    scoring = line, inference_protocol.read_inference
    tag, taken = "open inference protocol", description.refusals(400, 401, 408, 413, 415, 503)
    body = {"requestBody": description.infer_body(model)}
    infer = Route(
        "POST",
        f"{prefix}/infer",
        _scoring(service, *scoring),
        "Predict",
        tag,
        body,
        taken,
        works=True,
        model=model,
        scoring=scoring,
    )
    return [
        Route("GET", prefix, metadata, "Inputs and outputs of the model", tag, model=model),
        Route("GET", f"{prefix}/ready", ready, "Whether the model is ready", tag, probe=True, model=model),
        infer,
    ]


def _protocol_state(service: Service) -> list[Route]:
    """The server's part of the Open Inference Protocol."""
    tag = "open inference protocol"

    async def live(call: Call) -> Answer:
        return as_json({"live": True})

    async def ready(call: Call) -> Answer:
        return as_json({"ready": not service.draining, "live": True}, 503 if service.draining else 200)

    async def metadata(call: Call) -> Answer:
        return as_json(
            {
                "name": "declarative-ml",
                "version": library_version("declarative-ml"),
                "extensions": list(inference_protocol.EXTENSIONS),
            }
        )

    return [
        Route("GET", "/v2/health/live", live, "Whether the server is alive", tag, probe=True),
        Route("GET", "/v2/health/ready", ready, "Whether all models are ready", tag, probe=True),
        Route("GET", "/v2", metadata, "The server", tag),
        Route("GET", "/v2/", metadata, "The server", tag),
    ]
