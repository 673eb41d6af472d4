"""The Open Inference Protocol, version 2, over HTTP: what KServe's, Triton's and Seldon's clients speak.

https://github.com/kserve/open-inference-protocol, with the binary tensor extension of Triton.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np

from declarative_ml.scoring.scorer import Predictions
from declarative_ml.serving.batching import Asked
from declarative_ml.serving.bodies import fitting, read_json
from declarative_ml.serving.exchange import Answer, Call, Limits, Refusal, as_json
from declarative_ml.serving.model import ServedModel
from declarative_ml.serving.protocol_tensors import (
    BYTES,
    DATATYPES,
    read_binary,
    read_list,
    rows_of,
    write_binary,
    write_list,
)

HEADER_LENGTH = b"inference-header-content-length"
EXTENSIONS = ("binary_tensor_data",)
BINARY = b"application/octet-stream"
PLATFORM = "onnx_onnxv1"
"""As Triton names ONNX models."""

_encode = msgspec.json.Encoder().encode


def outputs_of(model: ServedModel) -> dict[str, tuple[str, list[int]]]:
    """Name -> datatype and shape of what the model answers; -1 stands for the number of rows."""
    if not model.manifest.task.is_classification:
        names = ["prediction", *(["lower", "upper"] if model.manifest.interval is not None else [])]
        return {name: ("FP32", [-1, 1]) for name in names}
    kinds = {type(label) for label in model.scorer.labels}
    label = "BOOL" if kinds == {bool} else "INT64" if kinds == {int} else BYTES
    return {"prediction": (label, [-1, 1]), "probabilities": ("FP32", [-1, len(model.classes)])}


def metadata(model: ServedModel, versions: Sequence[str]) -> dict[str, Any]:
    """The model as its metadata endpoint describes it, with all `versions` of its name."""
    kinds = {"float32": "FP32", "string": BYTES}
    return {
        "name": model.name,
        "versions": list(versions),
        "platform": PLATFORM,
        "inputs": [
            {"name": column.name, "datatype": kinds[column.dtype], "shape": [-1, 1]}
            for column in model.manifest.inputs
        ],
        "outputs": [
            {"name": name, "datatype": datatype, "shape": shape}
            for name, (datatype, shape) in outputs_of(model).items()
        ],
        "parameters": {"classes": list(model.classes)} if model.classes else {},
    }


@dataclass(slots=True)
class _Wanted:
    """The outputs to send, in order, and whether each goes as bytes."""

    names: Mapping[str, bool]
    id: str


def read_inference(model: ServedModel, call: Call, limits: Limits) -> Asked:
    """What an inference request asks. Raises Refusal 400 (413 for too many rows) with what is wrong."""
    header, rest = _split(call)
    body = read_json(header)
    if not isinstance(body, dict):
        raise Refusal(400, "the request is not an object")
    wanted = _wanted(model, body)
    columns, rows = _read_inputs(model, body, rest, limits)
    return Asked(rows, lambda scored: _write(model, scored, wanted), raw=columns)


def _split(call: Call) -> tuple[bytes, memoryview]:
    """The JSON part of the body, and the bytes of binary tensors behind it."""
    length = call.headers.get(HEADER_LENGTH)
    if length is None:
        return call.body, memoryview(b"")
    if not length.isdigit() or int(length) > len(call.body):
        raise Refusal(400, "Inference-Header-Content-Length is not the length of the JSON part")
    return call.body[: int(length)], memoryview(call.body)[int(length) :]


def _read_inputs(
    model: ServedModel, body: Mapping[str, Any], rest: memoryview, limits: Limits
) -> tuple[dict[str, np.ndarray], int]:
    inputs = body.get("inputs")
    if not isinstance(inputs, list) or not inputs:
        raise Refusal(400, "'inputs' is not a list of tensors")
    found: dict[str, Any] = {}
    counts: dict[str, int] = {}
    for item in inputs:
        name, datatype = _name_and_type(item)
        if name in found:
            raise Refusal(400, f"input {name!r} stands there twice")
        counts[name] = rows_of(name, item.get("shape"), limits.rows)
        found[name], rest = _read_tensor(item, name, datatype, rest, counts[name])
    if len(rest):
        raise Refusal(400, f"{len(rest)} bytes are left behind the last tensor")
    if len(set(counts.values())) > 1:
        raise Refusal(
            400,
            "the inputs have unequal numbers of rows: "
            + ", ".join(f"{name}: {count}" for name, count in counts.items()),
        )
    return _raw(model, found), next(iter(counts.values()))


def _name_and_type(item: Any) -> tuple[str, str]:
    if not isinstance(item, dict) or not isinstance(item.get("name"), str):
        raise Refusal(400, "an input is not an object with a 'name'")
    name, datatype = item["name"], item.get("datatype")
    if not isinstance(datatype, str) or (datatype != BYTES and datatype not in DATATYPES):
        known = ", ".join([*DATATYPES, BYTES])
        raise Refusal(400, f"input {name!r}: the datatype {datatype!r} is none of {known}")
    return name, datatype


def _read_tensor(
    item: Mapping[str, Any], name: str, datatype: str, rest: memoryview, rows: int
) -> tuple[np.ndarray | list[Any], memoryview]:
    size = _parameters(item).get("binary_data_size")
    if size is None:
        return read_list(name, datatype, item.get("data"), rows), rest
    if "data" in item:
        raise Refusal(400, f"input {name!r} has both 'data' and 'binary_data_size'")
    if type(size) is not int or not 0 <= size <= len(rest):
        raise Refusal(400, f"input {name!r}: 'binary_data_size' is not the size of its bytes")
    return read_binary(name, datatype, rest[:size], rows), rest[size:]


def _raw(model: ServedModel, found: Mapping[str, np.ndarray | list[Any]]) -> dict[str, np.ndarray]:
    """The graph's raw columns: what it takes as it is, the rest as the columns' rules read it."""
    ready = {column.name for column in model.manifest.inputs if column.dtype == "float32"}
    values = {
        name: item.tolist() if isinstance(item, np.ndarray) and not _goes_in(item, name in ready) else item
        for name, item in found.items()
    }
    try:
        raw: dict[str, np.ndarray] = fitting(lambda: model.scorer.raw_columns(values)[0])
    except Refusal as refusal:
        raise Refusal(400, refusal.message, hint=refusal.hint) from None
    return raw


def _goes_in(given: np.ndarray, ready: bool) -> bool:
    return ready and given.dtype == np.float32 and not np.isinf(given).any()


def _wanted(model: ServedModel, body: Mapping[str, Any]) -> _Wanted:
    given = body.get("id", "")
    if not isinstance(given, str):
        raise Refusal(400, "'id' is not a text")
    known = outputs_of(model)
    binary = _flag(_parameters(body), "binary_data_output")
    asked = body.get("outputs")
    if asked is None:
        asked = []
    elif not isinstance(asked, list):
        raise Refusal(400, "'outputs' is not a list")
    names: dict[str, bool] = {}
    for item in asked:
        name = item.get("name") if isinstance(item, dict) else None
        if not isinstance(name, str) or name not in known:
            raise Refusal(400, f"the model has no output {name!r}", hint=f"it has {', '.join(known)}")
        names[name] = _flag(_parameters(item), "binary_data", binary)
    return _Wanted(names or dict.fromkeys(known, binary), given or uuid.uuid4().hex)


def _parameters(item: Mapping[str, Any]) -> Mapping[str, Any]:
    given = item.get("parameters")
    if given is None:
        return {}
    if not isinstance(given, dict):
        raise Refusal(400, "'parameters' is not an object")
    return given


def _flag(parameters: Mapping[str, Any], name: str, default: bool = False) -> bool:
    value = parameters.get(name, default)
    if not isinstance(value, bool):
        raise Refusal(400, f"the parameter '{name}' is neither true nor false")
    return value


def _write(model: ServedModel, scored: Predictions, wanted: _Wanted) -> Answer:
    known = outputs_of(model)
    outputs: list[dict[str, Any]] = []
    blobs: list[bytes] = []
    for name, binary in wanted.names.items():
        datatype, shape = known[name]
        values: np.ndarray = getattr(scored, name)
        tensor: dict[str, Any] = {"name": name, "datatype": datatype, "shape": [len(scored), *shape[1:]]}
        if binary:
            blobs.append(write_binary(values, datatype))
            tensor["parameters"] = {"binary_data_size": len(blobs[-1])}
        else:
            tensor["data"] = write_list(values, datatype)
        outputs.append(tensor)
    content = {"model_name": model.name, "model_version": model.version, "id": wanted.id, "outputs": outputs}
    if not blobs:
        return as_json(content)
    header = _encode(content)
    return Answer(
        b"".join([header, *blobs]), media=BINARY, headers=[(HEADER_LENGTH, str(len(header)).encode())]
    )
