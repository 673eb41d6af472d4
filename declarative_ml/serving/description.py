"""What the OpenAPI document says of the bodies: the real columns, their types, examples and ranges."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from declarative_ml.serving.bodies import ARROW, CSV
from declarative_ml.serving.inference_protocol import outputs_of
from declarative_ml.serving.model import ServedModel
from declarative_ml.serving.protocol_tensors import BYTES, DATATYPES
from declarative_ml.store.bundle import Input

ERROR = {
    "type": "object",
    "properties": {"error": {"type": "string"}, "hint": {"type": "string"}},
    "required": ["error"],
}

REFUSALS = {
    400: "The body cannot be read",
    401: "The token is absent or wrong",
    408: "The body did not arrive in time",
    413: "The body is too long, or has too many rows",
    415: "A content type or encoding that is not read",
    422: "Columns or values that the model does not take",
    503: "Too many requests at once; try again",
}


def refusals(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The responses section of requests that may be refused so."""
    content = {"application/json": {"schema": ERROR}}
    return {status: {"description": REFUSALS[status], "content": content} for status in statuses}


def value_schema(column: Input) -> dict[str, Any]:
    """One value of a column as JSON Schema. Numbers and truth values may stand in texts, as in a CSV."""
    described: dict[str, Any] = {
        "title": f"{column.feature} column",
        "type": ["number", "string", "boolean", "null"],
        "description": _words(column),
    }
    if examples := column.field.get("examples"):
        described["examples"] = examples
    return described


def _words(column: Input) -> str:
    known = [value for value in column.field.get("enum", []) if value is not None]
    shown = f"; known: {', '.join(map(str, known[:20]))}{' …' if len(known) > 20 else ''}" if known else ""
    told = column.field.get("description", "")
    kind = {"integer": "a whole number", "number": "a number", "boolean": "true or false", "date": "a date"}
    words = kind.get(column.rule.type, "a text")
    return f"{words}, null where it is not known{shown}{'; ' if told else ''}{told}"


def row_schema(model: ServedModel) -> dict[str, Any]:
    """One row: every column of the model, and none besides."""
    return _object({column.name: value_schema(column) for column in model.manifest.inputs})


def body_schema(model: ServedModel) -> dict[str, Any]:
    """The body of /predict."""
    rows = _object({"rows": {"type": "array", "minItems": 1, "items": row_schema(model)}})
    return {"type": "object", "anyOf": [rows, _columns_schema(model)]}


def _columns_schema(model: ServedModel) -> dict[str, Any]:
    lists = {
        column.name: {"type": "array", "minItems": 1, "items": value_schema(column)}
        for column in model.manifest.inputs
    }
    return _object({"columns": {**_object(lists), "description": "lists of equal length"}})


def answer_schema(model: ServedModel) -> dict[str, Any]:
    """The answer of /predict to rows."""
    task = model.manifest.task
    label: dict[str, Any] = (
        {"enum": list(model.scorer.labels)} if task.is_classification else {"type": "number"}
    )
    properties: dict[str, Any] = {"prediction": label}
    if task.is_classification:
        shares = {name: {"type": "number", "minimum": 0, "maximum": 1} for name in model.classes}
        properties["probabilities"] = {"type": "object", "properties": shares}
    elif model.manifest.interval is not None:
        properties |= {"lower": {"type": "number"}, "upper": {"type": "number"}}
    return {
        "type": "object",
        "properties": {
            "predictions": {"type": "array", "items": {"type": "object", "properties": properties}},
            "columns": {"type": "object", "description": "the answer to a body with 'columns'"},
            "model": {"type": "object", "properties": {name: {"type": "string"} for name in model.about}},
        },
        "required": ["model"],
    }


def request_body(model: ServedModel, schema: Mapping[str, Any], *, tables: bool = False) -> dict[str, Any]:
    """The requestBody section: JSON by `schema` with an example, and `tables` as Arrow and CSV."""
    content: dict[str, Any] = {"application/json": {"schema": schema, "example": {"rows": [model.example]}}}
    if tables:
        binary = {"schema": {"type": "string", "format": "binary"}}
        content |= {ARROW.decode(): binary, CSV.decode(): {"schema": {"type": "string", "minLength": 1}}}
    return {"required": True, "content": content}


def explain_schema(model: ServedModel, most: int) -> dict[str, Any]:
    """The body of /explain."""
    rows = {"type": "array", "minItems": 1, "maxItems": most, "items": row_schema(model)}
    return _object({"rows": rows})


def instances_schema(model: ServedModel) -> dict[str, Any]:
    """The body that Vertex AI sends."""
    rows = {"type": "array", "minItems": 1, "items": row_schema(model)}
    return {"type": "object", "properties": {"instances": rows}, "required": ["instances"]}


def infer_body(model: ServedModel) -> dict[str, Any]:
    """The requestBody section of an inference request."""
    kinds = {"float32": "FP32", "string": "BYTES"}
    example = [
        {
            "name": column.name,
            "shape": [1, 1],
            "datatype": kinds[column.dtype],
            "data": [model.example[column.name]],
        }
        for column in model.manifest.inputs
    ]
    tensor = {
        "type": "object",
        "properties": {
            "name": {"type": "string", "enum": list(model.scorer.columns)},
            "shape": {
                "type": "array",
                "items": {"type": "integer", "minimum": 1},
                "minItems": 1,
                "maxItems": 2,
            },
            "datatype": {"type": "string", "enum": [*DATATYPES, BYTES]},
            "parameters": {"type": ["object", "null"]},
            "data": {"type": "array", "description": "flat, or one list a row; absent for a binary tensor"},
        },
        "required": ["name", "shape", "datatype"],
    }
    output = {
        "type": "object",
        "properties": {
            "name": {"type": "string", "enum": list(outputs_of(model))},
            "parameters": {"type": ["object", "null"]},
        },
        "required": ["name"],
    }
    schema = {
        "type": "object",
        "properties": {
            "id": {"type": "string"},
            "inputs": {"type": "array", "minItems": 1, "items": tensor},
            "outputs": {"type": ["array", "null"], "items": output},
            "parameters": {"type": ["object", "null"]},
        },
        "required": ["inputs"],
    }
    return {
        "required": True,
        "content": {"application/json": {"schema": schema, "example": {"inputs": example}}},
    }


def _object(properties: Mapping[str, Any]) -> dict[str, Any]:
    """An object with exactly these properties."""
    return {
        "type": "object",
        "properties": dict(properties),
        "required": list(properties),
        "additionalProperties": False,
    }
