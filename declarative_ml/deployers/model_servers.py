"""The servers of others that can answer in place of ours: how each is started, asked, and measured.

https://docs.nvidia.com/deeplearning/triton-inference-server/ · https://www.tensorflow.org/tfx/guide/serving
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final, Literal

from declarative_ml.deployers.image import PORT

OURS: Final = "dml"
Runtime = Literal["dml", "triton", "tf-serving"]
FOLDER = "/models"
"""Where the model lies inside of the image, in the server's own layout: NAME/1/…"""
MONITORING = "monitoring.config"
"""Beside the models: what TensorFlow Serving has to be told before it counts anything."""
HTTP = "http"
"""The port that the Service leads to, and that is asked whether the server is ready."""


@dataclass(frozen=True)
class ModelServer:
    """What a pod of it needs to know."""

    title: str
    format: str
    """What the model must be there as: `onnx`, which every bundle has, or a format of `convert`."""
    command: str
    arguments: Callable[[str], list[str]]
    """Of the model's name."""
    ports: Mapping[str, int]
    metrics: tuple[str, str]
    """Port and path that Prometheus asks."""
    ready: str
    """Path that answers 200 when the model `{name}` is loaded."""
    alive: str | None
    """Path that answers 200 whatever the model does; None: whether the port is open says it."""


def _triton(name: str) -> list[str]:
    return [
        f"--model-repository={FOLDER}",
        # What config.pbtxt says is whole, and a graph that differs from it is an error.
        "--disable-auto-complete-config",
        f"--http-port={PORT}",
        f"--grpc-port={_TRITON_PORTS['grpc']}",
        f"--metrics-port={_TRITON_PORTS['metrics']}",
    ]


def _tf_serving(name: str) -> list[str]:
    return [
        f"--model_name={name}",
        f"--model_base_path={FOLDER}/{name}",
        f"--rest_api_port={PORT}",
        f"--port={_TF_PORTS['grpc']}",
        f"--monitoring_config_file={FOLDER}/{MONITORING}",
    ]


_TRITON_PORTS = {HTTP: PORT, "grpc": 8001, "metrics": 8002}
_TF_PORTS = {HTTP: PORT, "grpc": 8500}
METRICS_PATH = "/monitoring/prometheus/metrics"

SERVERS = {
    "triton": ModelServer(
        title="Triton",
        format="onnx",
        command="tritonserver",
        arguments=_triton,
        ports=_TRITON_PORTS,
        metrics=("metrics", "/metrics"),
        ready="/v2/models/{name}/ready",
        alive="/v2/health/live",
    ),
    "tf-serving": ModelServer(
        title="TensorFlow Serving",
        format="savedmodel",
        command="tensorflow_model_server",
        arguments=_tf_serving,
        ports=_TF_PORTS,
        metrics=(HTTP, METRICS_PATH),
        # It opens this port when all models are loaded.
        ready="/v1/models/{name}",
        alive=None,
    ),
}
