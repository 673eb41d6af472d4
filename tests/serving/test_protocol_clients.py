"""The clients that others wrote for the Open Inference Protocol, against the real service."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from service_process import Running

from benchmarks.environments import Absent, Recipe, environment
from declarative_ml.scoring.scorer import Scorer
from declarative_ml.store.bundle import Bundle

MODEL = "guests-stays"
ROW = {"age": 1, "fare": 1, "town": "Köln", "member": "yes", "seen": "2024-05-04"}
# Triton's client sends FP16 as bytes only.
DATATYPES: dict[str, Any] = {
    "BOOL": np.bool_,
    **{f"{sign}INT{bits}": f"{sign.lower()}int{bits}" for sign in ("", "U") for bits in (8, 16, 32, 64)},
    "FP16": np.float16,
    "FP32": np.float32,
    "FP64": np.float64,
    "BYTES": np.object_,
}


@pytest.fixture(scope="module")
def triton(running: Running) -> Iterator[Any]:
    client = pytest.importorskip("tritonclient.http").InferenceServerClient(f"127.0.0.1:{running.port}")
    yield client
    client.close()


def tensor(name: str, values: list[Any], datatype: str, *, binary: bool) -> Any:
    from tritonclient.http import InferInput

    given = InferInput(name, [len(values), 1], datatype)
    if datatype == "BYTES":
        values = [str(value).encode() for value in values]
    given.set_data_from_numpy(np.array(values, dtype=DATATYPES[datatype]).reshape(-1, 1), binary_data=binary)
    return given


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("binary", [True, False])
@pytest.mark.parametrize("datatype", DATATYPES)
def test_every_datatype(triton: Any, bundle_of: Callable[[str], Bundle], datatype: str, binary: bool) -> None:
    if datatype == "FP16" and not binary:
        pytest.skip("Triton's client sends FP16 as bytes only")
    from tritonclient.http import InferRequestedOutput

    ages = [True, False] if datatype == "BOOL" else [1, 100]
    rows = [{**ROW, "age": age} for age in ages]
    inputs = [tensor("age", ages, datatype, binary=binary)]
    for name, value in ROW.items():
        if name != "age":
            kind = "BYTES" if isinstance(value, str) else "INT32"
            inputs.append(tensor(name, [value] * 2, kind, binary=not binary))
    wanted = [InferRequestedOutput(name, binary_data=binary) for name in ("prediction", "probabilities")]
    answer = triton.infer(MODEL, inputs, outputs=wanted)
    expected = Scorer(bundle_of("stays")).predict_rows(rows)
    assert expected.probabilities is not None
    assert np.allclose(answer.as_numpy("probabilities"), expected.probabilities, atol=1e-6)
    labels = [str(item.decode() if binary else item) for item in answer.as_numpy("prediction")[:, 0]]
    assert labels == expected.prediction.tolist()


@pytest.mark.slow
def test_kserve(
    running: Running, bundle_of: Callable[[str], Bundle], tmp_path_factory: pytest.TempPathFactory
) -> None:
    """kserve pins its own web stack: DML_TEST_ENVIRONMENTS names a folder that keeps its environment."""
    folder = os.environ.get("DML_TEST_ENVIRONMENTS")
    place = Path(folder) if folder else tmp_path_factory.mktemp("environments")
    found = environment("kserve", place, Recipe((("kserve==0.21.0",),)))
    if isinstance(found, Absent):
        pytest.skip(f"kserve cannot be installed: {found.reason}")
    rows = [{**ROW, "age": age} for age in (20, 41.5, 80)]
    script = Path(__file__).with_name("kserve_requests.py")
    done = subprocess.run(
        [
            found.python,
            script,
            f"http://127.0.0.1:{running.port}",
            MODEL,
        ],
        input=json.dumps(rows),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout.splitlines()[-1])
    assert (told["live"], told["ready"], told["model"]) == (True, True, True)
    expected = Scorer(bundle_of("stays")).predict_rows(rows).probabilities
    assert expected is not None
    for name in ("json", "binary", "mixed"):
        assert told[name]["id"] == name
        assert np.allclose(told[name]["probabilities"], expected, atol=1e-6)
    assert "the data lacks the column(s) 'age'" in told["error"]
