"""How each server is started, what it is sent, and where its answer has the probabilities."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

HERE = Path(__file__).parent
PEERS = HERE / "peers"
ROOT = HERE.parents[1]
JSON = {"content-type": "application/json"}
Rows = list[dict[str, Any]]


@dataclass(frozen=True)
class Form:
    """One form of request."""

    path: str
    write: Callable[[Rows], bytes]
    read: Callable[[bytes], Any]
    """The probabilities of an answer, by row."""
    headers: Callable[[bytes], Mapping[str, str]] = lambda body: JSON


@dataclass(frozen=True)
class Server:
    """One server: its command for a port, and the forms it reads."""

    command: Callable[[Path, Path, int], list[str]]
    """Of its Python, a folder to write to, and the port."""
    forms: Mapping[str, Form]
    prepare: Callable[[Path, Path, Path], list[str]] | None = None
    """A command to run before, of the Python, the folder and the bundle."""
    environment: Mapping[str, str] = field(default_factory=dict)


def _rows(rows: Rows) -> bytes:
    return json.dumps({"rows": rows}).encode()


def _records(rows: Rows) -> bytes:
    return json.dumps({"dataframe_records": rows}).encode()


def _tensors(rows: Rows) -> list[dict[str, Any]]:
    return [
        {
            "name": name,
            "shape": [len(rows), 1],
            "datatype": "BYTES" if isinstance(value, str) else "FP32",
            "data": [row[name] for row in rows],
        }
        for name, value in rows[0].items()
    ]


def _inference(rows: Rows) -> bytes:
    return json.dumps({"inputs": _tensors(rows)}).encode()


def _binary(rows: Rows) -> bytes:
    """The tensors as bytes behind their description, whose length is needed as a header as well."""
    blobs, inputs = [], []
    for tensor in _tensors(rows):
        values = tensor.pop("data")
        if tensor["datatype"] == "BYTES":
            texts = [value.encode() for value in values]
            blob = b"".join(len(text).to_bytes(4, "little") + text for text in texts)
        else:
            blob = np.array(values, "<f4").tobytes()
        inputs.append(tensor | {"parameters": {"binary_data_size": len(blob)}})
        blobs.append(blob)
    head = json.dumps({"inputs": inputs, "parameters": {"binary_data_output": True}}).encode()
    return head + b"".join(blobs)


def _binary_headers(body: bytes) -> Mapping[str, str]:
    length = len(json.dumps(json.JSONDecoder().raw_decode(body.decode("latin-1"))[0]))
    return {"content-type": "application/octet-stream", "inference-header-content-length": str(length)}


def _of_binary(body: bytes) -> Any:
    head = json.JSONDecoder().raw_decode(body.decode("latin-1"))[0]
    tensor = head["outputs"][1]
    size = tensor["parameters"]["binary_data_size"]
    return np.frombuffer(body[-size:], "<f4").reshape(tensor["shape"])


def _arrow(rows: Rows) -> bytes:
    import pyarrow as pa

    table = pa.Table.from_pylist(rows)
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    content: bytes = sink.getvalue().to_pybytes()
    return content


def _of_arrow(body: bytes) -> Any:
    import pyarrow as pa

    table = pa.ipc.open_stream(body).read_all()
    names = [name for name in table.column_names if name.startswith("probability_")]
    return np.stack([table[name].to_numpy() for name in names], axis=1)


def _of_ours(body: bytes) -> Any:
    return [list(item["probabilities"].values()) for item in json.loads(body)["predictions"]]


def _of_predictions(body: bytes) -> Any:
    return [item["probabilities"] for item in json.loads(body)["predictions"]]


def _of_tensors(body: bytes) -> Any:
    found = next(item for item in json.loads(body)["outputs"] if item["name"] == "probabilities")
    return np.reshape(found["data"], found["shape"])


def _uvicorn(app: str) -> Callable[[Path, Path, int], list[str]]:
    options = ["--loop", "uvloop", "--http", "httptools", "--no-access-log", "--log-level", "warning"]
    return lambda python, folder, port: [
        *(str(python), "-m", "uvicorn", "--app-dir", str(PEERS), app, "--port", str(port), *options)
    ]


def _mlserver(python: Path, folder: Path, port: int) -> list[str]:
    settings = {
        "host": "127.0.0.1",
        "http_port": port,
        "grpc_port": free_port(),
        "metrics_port": free_port(),
        "parallel_workers": 0,
        "debug": False,
    }
    (folder / "settings.json").write_text(json.dumps(settings))
    model = {"name": "adult", "implementation": "mlserver_runtime.Runtime"}
    (folder / "model-settings.json").write_text(json.dumps(model))
    return [str(python.with_name("mlserver")), "start", str(folder)]


def _mlflow(python: Path, folder: Path, port: int) -> list[str]:
    options = ["--env-manager", "local", "--port", str(port), "--host", "127.0.0.1", "--workers", "1"]
    return [str(python), "-m", "mlflow", "models", "serve", "-m", str(folder / "model"), *options]


def _bentoml(python: Path, folder: Path, port: int) -> list[str]:
    options = ["--working-dir", str(PEERS), "--port", str(port), "--host", "127.0.0.1"]
    return [str(python), "-m", "bentoml", "serve", "bento_service:Bench", *options]


def _ours(python: Path, folder: Path, port: int) -> list[str]:
    return [str(python), "-m", "declarative_ml", "serve", os.environ["BENCH_BUNDLE"], "--port", str(port)]


SERVERS: Mapping[str, Server] = {
    "floor": Server(_uvicorn("floor_app:app"), {"JSON rows": Form("/", _rows, _of_ours)}),
    "dml": Server(
        _ours,
        {
            "JSON rows": Form("/predict", _rows, _of_ours),
            "Arrow": Form(
                "/predict",
                _arrow,
                _of_arrow,
                lambda body: {"content-type": "application/vnd.apache.arrow.stream"},
            ),
            "OIP binary": Form("/v2/models/adult/infer", _binary, _of_binary, _binary_headers),
            "OIP JSON": Form("/v2/models/adult/infer", _inference, _of_tensors),
        },
    ),
    "fastapi": Server(_uvicorn("fastapi_app:app"), {"JSON rows": Form("/predict", _rows, _of_predictions)}),
    "mlserver": Server(_mlserver, {"OIP JSON": Form("/v2/models/adult/infer", _inference, _of_tensors)}),
    "mlflow": Server(
        _mlflow,
        {"JSON rows": Form("/invocations", _records, _of_predictions)},
        lambda python, folder, bundle: [
            *(str(python), str(PEERS / "mlflow_model.py"), str(folder / "model"), str(bundle))
        ],
    ),
    "bentoml": Server(
        _bentoml,
        {"JSON rows": Form("/predict", _rows, lambda body: json.loads(body)["probabilities"])},
    ),
}
"""The floor answers one row with what we answer; the others work."""


@dataclass(frozen=True)
class Started:
    """A server that answers."""

    name: str
    server: Server
    port: int
    process: subprocess.Popen[bytes]

    def ask(self, form: Form, body: bytes) -> bytes:
        """One answer. Raises OSError."""
        url = f"http://127.0.0.1:{self.port}{form.path}"
        request = urllib.request.Request(url, body, dict(form.headers(body)))
        with urllib.request.urlopen(request, timeout=30) as answer:
            content: bytes = answer.read()
            return content


@contextlib.contextmanager
def started(name: str, python: Path, folder: Path, bundle: Path, sample: Rows) -> Iterator[Started]:
    """The server, from its first answer on; its process group ends with the block."""
    server, port = SERVERS[name], free_port()
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    path = [str(PEERS), str(ROOT)] if name == "dml" else [str(PEERS)]
    environment = os.environ | {
        "PYTHONPATH": os.pathsep.join(path),
        "OMP_NUM_THREADS": "1",
        "DO_NOT_TRACK": "1",
    }
    environment |= {"PATH": f"{python.parent}{os.pathsep}{os.environ['PATH']}", "BENTOML_DO_NOT_TRACK": "1"}
    if server.prepare is not None:
        subprocess.run(
            server.prepare(python, folder, bundle), env=environment, check=True, capture_output=True
        )
    with (folder / "log.txt").open("wb") as log:
        process = subprocess.Popen(
            server.command(python, folder, port),
            env=environment,
            cwd=folder,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    try:
        found = Started(name, server, port, process)
        _wait(found, sample, folder / "log.txt")
        yield found
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGTERM)
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def _wait(server: Started, sample: Rows, log: Path) -> None:
    form = next(iter(server.server.forms.values()))
    body = form.write(sample)
    end = time.monotonic() + 180
    while True:
        try:
            server.ask(form, body)
            return
        except OSError as error:
            if server.process.poll() is not None or time.monotonic() > end:
                raise RuntimeError(
                    f"{server.name} does not answer: {error}\n{log.read_text()[-2000:]}"
                ) from error
            time.sleep(0.3)


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as link:
        link.bind(("127.0.0.1", 0))
        port: int = link.getsockname()[1]
        return port


def this_python() -> Path:
    """The Python of this process, which has our own service."""
    return Path(sys.executable)
