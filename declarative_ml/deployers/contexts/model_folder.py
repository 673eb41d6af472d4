"""A bundle's model in the layout of a server of others: NAME/1/… and what the server reads beside it."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from declarative_ml.core.atomic import write_bytes
from declarative_ml.core.errors import UsageError
from declarative_ml.deployers.model_servers import METRICS_PATH, MONITORING, SERVERS, ModelServer
from declarative_ml.store.bundle import MODEL, Bundle

if TYPE_CHECKING:
    from onnx import ModelProto, ValueInfoProto

_VERSION = "1"


def write_model_folder(folder: Path, bundle: Bundle, runtime: str, *, name: str, batch: int) -> None:
    """Write what lies at /models of the image. `batch`: the most rows of a request, which Triton holds to.

    Raises UsageError for a bundle that the server cannot answer from.
    """
    server = SERVERS[runtime]
    for column in bundle.manifest.inputs:
        if column.reading is not None:
            raise UsageError(
                f"{column.reading.reader} reads the texts of {column.name} first, which {server.title} does "
                "not run",
                hint="serve it with runtime: dml",
            )
    make = _for_triton if runtime == "triton" else _for_tf_serving
    for place, content in make(bundle, server, name, batch).items():
        write_bytes(folder / place, content)


def _for_triton(bundle: Bundle, server: ModelServer, name: str, batch: int) -> dict[str, bytes]:
    graph = bundle.read(MODEL)
    return {
        f"{name}/config.pbtxt": triton_config(graph, name, batch).encode(),
        f"{name}/{_VERSION}/{MODEL}": graph,
    }


def _for_tf_serving(bundle: Bundle, server: ModelServer, name: str, batch: int) -> dict[str, bytes]:
    folders = {each.split("/")[1] for each in bundle.manifest.files if each.startswith("formats/")}
    mine = sorted(each for each in folders if each.partition("-")[0] == server.format)
    if not mine:
        raise UsageError(
            f"the bundle has no {server.format}, which {server.title} serves",
            hint=f"write convert: [{server.format}], and dml run; its report says where that could not be",
        )
    start = f"formats/{mine[0]}/"
    files = [each for each in bundle.manifest.files if each.startswith(start)]
    counted = f'prometheus_config {{ enable: true path: "{METRICS_PATH}" }}\n'
    return {
        MONITORING: counted.encode(),
        **{f"{name}/{each.removeprefix(start)}": bundle.read(each) for each in files},
    }


def triton_config(content: bytes, name: str, batch: int) -> str:
    """The config.pbtxt of a graph whose first dimension is the rows: requests are put together up to `batch`.

    https://docs.nvidia.com/deeplearning/triton-inference-server/user-guide/docs/user_guide/model_configuration.html
    """
    from onnx import load_model_from_string

    model: ModelProto = load_model_from_string(content)
    return "\n".join(
        [
            f"name: {_quoted(name)}",
            'backend: "onnxruntime"',
            f"max_batch_size: {batch}",
            *_tensors("input", model.graph.input),
            *_tensors("output", model.graph.output),
            "dynamic_batching { }",
            "",
        ]
    )


def _tensors(kind: str, values: Iterable[ValueInfoProto]) -> list[str]:
    """The dimension of the rows is not named: it is in `max_batch_size`."""
    found = []
    for value in values:
        tensor = value.type.tensor_type
        sizes = ", ".join(str(dim.dim_value) for dim in tensor.shape.dim[1:])
        kept = f"name: {_quoted(value.name)} data_type: {_type(tensor.elem_type)} dims: [ {sizes} ]"
        found.append(f"{kind} {{ {kept} }}")
    return found


def _type(number: int) -> str:
    from onnx import TensorProto

    name: str = TensorProto.DataType.Name(number)
    return f"TYPE_{_TYPES.get(name, name)}"


_TYPES = {"FLOAT": "FP32", "DOUBLE": "FP64", "FLOAT16": "FP16"}
"""Where Triton has another word than ONNX."""


def _quoted(text: str) -> str:
    """A string of protobuf's text format: its escapes are those of JSON."""
    return json.dumps(text, ensure_ascii=False)
