"""What the service answers, as one table: method, path, handler, and what the OpenAPI document says of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from declarative_ml.core.errors import DataError
from declarative_ml.core.versions import library_version
from declarative_ml.serving import description, inference_protocol
from declarative_ml.serving.bodies import read_asked, read_json, read_rows
from declarative_ml.serving.exchange import Answer, Call, Handler, Limits, Refusal, as_json
from declarative_ml.serving.model import ServedModel
from declarative_ml.serving.service import Service

LONG_BODY = 32 << 10
"""A body of more bytes is read and answered aside, in the model's thread."""
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


def routes_of(service: Service) -> list[Route]:
    """All routes: those that name no model ask the first one."""
    found = [*_state(service), *_protocol_state(service), *_clouds(service)]
    found += _model(service, service.first, "")
    for model in service.models:
        found += [*_model(service, model, f"/models/{model.name}"), *_protocol(service, model)]
    return found


def _state(service: Service) -> list[Route]:
    async def alive(call: Call) -> Answer:
        return as_json({"status": "ok"})

    async def ready(call: Call) -> Answer:
        if service.draining:
            raise Refusal(503, "the service is stopping")
        return as_json(
            {"status": "ready", "ready": True, "models": [model.about for model in service.models]}
        )

    async def metrics(call: Call) -> Answer:
        return Answer(service.metrics.exposition(service.inside), media=PROMETHEUS)

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
        Route("GET", "/metrics", metrics, "Counts and times, for Prometheus", "state"),
    ]


def _model(service: Service, model: ServedModel, prefix: str) -> list[Route]:
    limits = service.limits

    async def predict(call: Call) -> Answer:
        answer, rows = await _predicted(model, call, limits)
        service.metrics.count_rows(model.name, rows)
        return answer

    async def explain(call: Call) -> Answer:
        body = read_json(call.body)
        if not isinstance(body, dict) or body.keys() != {"rows"}:
            raise Refusal(
                400, "the body is not an object with 'rows'", hint='send {"rows": [{"column": value, …}]}'
            )
        asked = read_rows(model, body["rows"], Limits(rows=MOST_EXPLAINED))
        return await model.aside(lambda: _explained(model, asked.columns))

    taken = description.refusals(400, 401, 408, 413, 415, 422, 503)
    content = {"application/json": {"schema": description.answer_schema(model)}}
    return [
        Route(
            "POST",
            f"{prefix}/predict",
            predict,
            f"Predict {model.manifest.task.target}",
            "model",
            {"requestBody": description.request_body(model, description.body_schema(model), tables=True)},
            {200: {"description": "The predictions, in the order of the rows", "content": content}, **taken},
            works=True,
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
        ),
    ]


async def _predicted(model: ServedModel, call: Call, limits: Limits) -> tuple[Answer, int]:
    if len(call.body) > LONG_BODY:
        return await model.aside(lambda: _predicted_aside(model, call, limits))
    asked = read_asked(model, call, limits)
    return asked.reply(await model.predict(asked.columns, asked.rows)), asked.rows


def _predicted_aside(model: ServedModel, call: Call, limits: Limits) -> tuple[Answer, int]:
    asked = read_asked(model, call, limits)
    return asked.reply(model.scorer.predict_raw(asked.columns)), asked.rows


def _explained(model: ServedModel, columns: Mapping[str, Any]) -> Answer:
    try:
        rows = model.explain(columns)
    except DataError as error:
        raise Refusal(422, error.message, hint=error.hint) from None
    return as_json({"rows": rows, "model": model.about})


def _clouds(service: Service) -> list[Route]:
    """What Amazon SageMaker and Google Vertex AI ask a container."""
    model, limits = service.first, service.limits

    async def ping(call: Call) -> Answer:
        if service.draining:
            raise Refusal(503, "the service is stopping")
        return as_json({"status": "ok"})

    async def invocations(call: Call) -> Answer:
        answer, rows = await _predicted(model, call, limits)
        service.metrics.count_rows(model.name, rows)
        return answer

    async def vertex(call: Call) -> Answer:
        body = read_json(call.body)
        if not isinstance(body, dict) or "instances" not in body:
            raise Refusal(400, "the body is not an object with 'instances'")
        asked = read_rows(model, body["instances"], limits, "instances")
        service.metrics.count_rows(model.name, asked.rows)
        return asked.reply(await model.predict(asked.columns, asked.rows))

    taken = description.refusals(400, 401, 408, 413, 415, 422, 503)
    body = {"requestBody": description.request_body(model, description.body_schema(model), tables=True)}
    instances = description.request_body(model, description.instances_schema(model))
    return [
        Route("GET", "/ping", ping, "SageMaker's probe", "clouds", {}, description.refusals(503), probe=True),
        Route(
            "POST", "/invocations", invocations, "Predict, for SageMaker", "clouds", body, taken, works=True
        ),
        Route(
            "POST",
            "/vertex/predict",
            vertex,
            "Predict, for Vertex AI (AIP_PREDICT_ROUTE)",
            "clouds",
            {"requestBody": instances},
            taken,
            works=True,
        ),
    ]


def _protocol(service: Service, model: ServedModel) -> list[Route]:
    """The model's part of the Open Inference Protocol."""

    async def ready(call: Call) -> Answer:
        return as_json({"name": model.name, "ready": not service.draining})

    async def metadata(call: Call) -> Answer:
        return as_json(inference_protocol.metadata(model))

    async def infer(call: Call) -> Answer:
        answer, rows = await inference_protocol.infer(model, call, service.limits)
        service.metrics.count_rows(model.name, rows)
        return answer

    tag, taken = "open inference protocol", description.refusals(400, 401, 408, 413, 415, 503)
    body = {"requestBody": description.infer_body(model)}
    found = []
    for prefix in (f"/v2/models/{model.name}", f"/v2/models/{model.name}/versions/{model.version}"):
        found += [
            Route("GET", prefix, metadata, "Inputs and outputs of the model", tag),
            Route("GET", f"{prefix}/ready", ready, "Whether the model is ready", tag, probe=True),
            Route("POST", f"{prefix}/infer", infer, "Predict", tag, body, taken, works=True),
        ]
    return found


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
