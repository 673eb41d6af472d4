"""The real service: its own process, real sockets, real signals."""

from __future__ import annotations

import http.client
import json
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from declarative_ml.scoring.scorer import Scorer
from declarative_ml.store.bundle import Bundle

BLOCKED = """
import sys
class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in "torch mlflow pandas sklearn shap lightgbm scipy onnx".split():
            raise ModuleNotFoundError(name)
sys.meta_path.insert(0, Absent())
from declarative_ml.cli import main
main()
"""


@dataclass
class Running:
    process: subprocess.Popen[bytes]
    port: int
    log: Path

    def ask(self, method: str, path: str, body: Any = None) -> tuple[int, bytes]:
        link = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        try:
            link.request(
                method, path, None if body is None else json.dumps(body), {"content-type": "application/json"}
            )
            reply = link.getresponse()
            return reply.status, reply.read()
        finally:
            link.close()

    def stop(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(30)


@contextmanager
def serving(*arguments: object, environment: dict[str, str] | None = None) -> Iterator[Running]:
    """`dml serve`, with the libraries of training out of reach."""
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder) / "log.txt"
        with log.open("wb") as stream:
            process = subprocess.Popen(
                [sys.executable, "-c", BLOCKED, "serve", *map(str, arguments), "--port", "0"],
                stderr=stream,
                env={**os.environ, **(environment or {})},
            )
        try:
            wait_for(lambda: "stop with" in log.read_text() or process.poll() is not None)
            port = re.search(r":(\d+)\n", log.read_text())
            assert port is not None, log.read_text()
            yield Running(process, int(port[1]), log)
        finally:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(30)
            finally:
                process.kill()


def wait_for(done: Callable[[], bool], seconds: float = 30) -> None:
    end = time.monotonic() + seconds
    while not done():
        assert time.monotonic() < end
        time.sleep(0.05)


@pytest.fixture(scope="module")
def running(bundle_of: Callable[[str], Bundle]) -> Iterator[Running]:
    with serving(bundle_of("stays").path) as found:
        yield found


def test_a_real_request(running: Running, bundle_of: Callable[[str], Bundle], row: dict[str, Any]) -> None:
    status, body = running.ask("POST", "/predict", {"rows": [row]})
    assert status == 200
    expected = Scorer(bundle_of("stays")).predict_rows([row])
    assert expected.probabilities is not None
    found = json.loads(body)["predictions"][0]["probabilities"]
    assert list(found.values()) == pytest.approx(expected.probabilities[0].tolist())


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_triton_client(
    running: Running, bundle_of: Callable[[str], Bundle], rows: list[dict[str, Any]]
) -> None:
    triton = pytest.importorskip("tritonclient.http")
    client = triton.InferenceServerClient(f"127.0.0.1:{running.port}")
    try:
        assert client.is_server_live()
        assert client.is_server_ready()
        assert client.is_model_ready("guests-stays")
        assert client.get_server_metadata()["name"] == "declarative-ml"
        inputs = []
        for tensor in client.get_model_metadata("guests-stays")["inputs"]:
            name, datatype = tensor["name"], tensor["datatype"]
            values = [row[name] for row in rows]
            given = triton.InferInput(name, [len(rows), 1], datatype)
            if datatype == "BYTES":
                array = np.array([(value or "").encode() for value in values], dtype=object)
            else:
                array = np.array([np.nan if value is None else value for value in values], dtype=np.float32)
            given.set_data_from_numpy(
                array.reshape(-1, 1), binary_data=datatype != "BYTES" or len(inputs) % 2 == 0
            )
            inputs.append(given)
        scored = Scorer(bundle_of("stays")).predict_rows(rows)
        assert scored.probabilities is not None
        answer = client.infer("guests-stays", inputs)
        assert np.allclose(answer.as_numpy("probabilities"), scored.probabilities, atol=1e-6)
        assert [text.decode() for text in answer.as_numpy("prediction")[:, 0]] == scored.prediction.tolist()
        wanted = [triton.InferRequestedOutput("probabilities", binary_data=False)]
        answer = client.infer("guests-stays", inputs, outputs=wanted, request_id="7")
        assert answer.get_response()["id"] == "7"
        assert np.allclose(answer.as_numpy("probabilities"), scored.probabilities, atol=1e-6)
        with pytest.raises(triton.InferenceServerException, match="lacks"):
            client.infer("guests-stays", inputs[1:])
    finally:
        client.close()


RAW: dict[str, tuple[bytes, bytes]] = {
    "no HTTP": (b"hello\r\n\r\n", b"400"),
    "a header with a line break": (b"GET / HTTP/1.1\r\nhost: a\r\nx: a\rb\r\n\r\n", b"400"),
    "two lengths": (
        b"POST /predict HTTP/1.1\r\nhost: a\r\ncontent-length: 3\r\ncontent-length: 4\r\n\r\nabc",
        b"400",
    ),
    "an unknown method": (b"BREW /predict HTTP/1.1\r\nhost: a\r\n\r\n", b"400"),
    "another method": (b"DELETE /predict HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n", b"405"),
    "a path with dots": (b"GET /../../etc/passwd HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n", b"404"),
    "a range": (
        b"GET /healthz HTTP/1.1\r\nhost: a\r\nrange: bytes="
        + b"0-," * 2000
        + b"\r\nconnection: close\r\n\r\n",
        b"200",
    ),
}


@pytest.mark.parametrize("name", RAW)
def test_odd_bytes_get_an_answer(running: Running, name: str) -> None:
    sent, status = RAW[name]
    with socket.create_connection(("127.0.0.1", running.port), timeout=10) as link:
        link.sendall(sent)
        assert link.recv(4096).split()[1] == status
    assert running.ask("GET", "/healthz")[0] == 200


def test_clients_that_leave_in_the_middle_leave_nothing(running: Running) -> None:
    for _ in range(200):
        with socket.create_connection(("127.0.0.1", running.port)) as link:
            link.sendall(b"POST /predict HTTP/1.1\r\nhost: a\r\ncontent-length: 1000\r\n\r\n{")
    wait_for(lambda: b"dml_requests_inside 1.0" in running.ask("GET", "/metrics")[1])


def test_a_slow_client_is_let_go(bundle_of: Callable[[str], Bundle], tmp_path: Path) -> None:
    with serving(bundle_of("stays").path, "--timeout", "1s") as running:
        with socket.create_connection(("127.0.0.1", running.port), timeout=20) as head:
            head.sendall(b"POST /predict HTTP/1.1\r\nhost:")
            assert head.recv(100) == b""
        with socket.create_connection(("127.0.0.1", running.port), timeout=20) as body:
            body.sendall(b"POST /predict HTTP/1.1\r\nhost: a\r\ncontent-length: 100\r\n\r\n{")
            assert b" 408 " in body.recv(4096)


def test_stopping_under_load_drops_nothing(bundle_of: Callable[[str], Bundle], row: dict[str, Any]) -> None:
    with serving(bundle_of("stays").path) as running:
        told, faults = threading.Event(), []

        def load() -> None:
            body = json.dumps({"rows": [row]})
            link = http.client.HTTPConnection("127.0.0.1", running.port, timeout=20)
            while True:
                try:
                    link.connect() if link.sock is None else None
                except ConnectionRefusedError:
                    if not told.is_set():
                        faults.append("refused before the end")
                    return
                try:
                    link.request("POST", "/predict", body)
                    reply = link.getresponse()
                    reply.read()
                    if reply.status != 200:
                        faults.append(str(reply.status))
                except (OSError, http.client.HTTPException) as error:
                    faults.append(repr(error))
                    return

        threads = [threading.Thread(target=load) for _ in range(8)]
        for thread in threads:
            thread.start()
        time.sleep(0.5)
        told.set()
        assert running.stop() == 0
        for thread in threads:
            thread.join(20)
        # A connection that the system took and the process did not is reset: that request had not begun.
        assert [fault for fault in faults if "Reset" not in fault and "Disconnected" not in fault] == []
        assert "stopped" in running.log.read_text()


def test_a_worker_that_is_killed_comes_back(bundle_of: Callable[[str], Bundle], row: dict[str, Any]) -> None:
    with serving(bundle_of("stays").path, "--workers", "2") as running:

        def workers() -> set[int]:
            listed = subprocess.run(
                ["ps", "-ww", "--ppid", str(running.process.pid), "-o", "pid=", "-o", "args="],
                capture_output=True,
                text=True,
                check=False,
            )
            return {int(line.split()[0]) for line in listed.stdout.splitlines() if "spawn_main" in line}

        wait_for(lambda: running.ask("POST", "/predict", {"rows": [row]})[0] == 200)
        before = workers()
        assert len(before) == 2
        os.kill(min(before), signal.SIGKILL)
        wait_for(lambda: len(workers() - {min(before)}) == 2)
        for _ in range(20):
            assert running.ask("POST", "/predict", {"rows": [row]})[0] == 200
        assert running.stop() == 0


def test_a_port_that_is_taken_is_told(running: Running, bundle_of: Callable[[str], Bundle], dml: Any) -> None:
    found = dml("serve", bundle_of("stays").path, "--port", running.port)
    assert found.code == 2
    assert f"cannot listen on 127.0.0.1:{running.port}" in found.err
    assert "--port chooses another port" in found.err


def test_a_damaged_bundle_is_refused(bundle_of: Callable[[str], Bundle], dml: Any, tmp_path: Path) -> None:
    copy = bundle_of("stays").unpack(tmp_path / "bundle").path
    content = bytearray((copy / "model.onnx").read_bytes())
    content[len(content) // 2] ^= 1
    (copy / "model.onnx").write_bytes(content)
    found = dml("serve", copy, "--port", 0)
    assert found.code == 5
    assert "model.onnx does not match its digest" in found.err


def test_a_token_by_reference(bundle_of: Callable[[str], Bundle], row: dict[str, Any]) -> None:
    spec = Path(bundle_of("stays").path).parents[3] / "spec.yaml"
    token = "serve.token=${env:GUESTS_TOKEN}"
    with serving(spec, "--set", token, environment={"GUESTS_TOKEN": "hush-hush"}) as running:
        assert running.ask("POST", "/predict", {"rows": [row]})[0] == 401
        link = http.client.HTTPConnection("127.0.0.1", running.port, timeout=20)
        link.request("POST", "/predict", json.dumps({"rows": [row]}), {"authorization": "Bearer hush-hush"})
        assert link.getresponse().status == 200
        link.close()
        assert "hush" not in running.log.read_text()
