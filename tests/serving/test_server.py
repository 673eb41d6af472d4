"""The real service: its own process, real sockets, real signals."""

from __future__ import annotations

import http.client
import json
import os
import signal
import threading
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from service_process import Running, serving, wait_for

from declarative_ml.scoring.scorer import Scorer
from declarative_ml.store.bundle import Bundle


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


def test_stopping_under_load_drops_nothing(bundle_of: Callable[[str], Bundle], row: dict[str, Any]) -> None:
    with serving(bundle_of("stays").path) as running:
        told, faults = threading.Event(), []

        def load() -> None:
            body = json.dumps({"rows": [row]})
            with closing(http.client.HTTPConnection("127.0.0.1", running.port, timeout=20)) as link:
                while ask(link, body):
                    pass

        def ask(link: http.client.HTTPConnection, body: str) -> bool:
            try:
                link.connect() if link.sock is None else None
            except (ConnectionRefusedError, ConnectionResetError) as error:
                if not told.is_set():
                    faults.append(f"before the end: {error!r}")
                return False
            try:
                link.request("POST", "/predict", body)
                reply = link.getresponse()
                reply.read()
                if reply.status != 200:
                    faults.append(str(reply.status))
            except (OSError, http.client.HTTPException) as error:
                faults.append(repr(error))
                return False
            return True

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
        wait_for(lambda: running.ask("POST", "/predict", {"rows": [row]})[0] == 200)
        before = running.workers()
        assert len(before) == 2
        os.kill(min(before), signal.SIGKILL)
        wait_for(lambda: len(running.workers() - {min(before)}) == 2)
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
