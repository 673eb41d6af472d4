"""Servers of others: the folder that they read, the image around it, and what is refused."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import time
import urllib.error
import urllib.request
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from deployed import IMAGE, TRITON, containers, of_kind, render

from declarative_ml.api.model import open_model
from declarative_ml.api.package import package
from declarative_ml.api.run import RunOptions, run_spec
from declarative_ml.core.errors import SpecError, UsageError
from declarative_ml.deployers.contexts.model_folder import triton_config, write_model_folder
from declarative_ml.deployers.model_servers import SERVERS
from declarative_ml.graph.onnx_graph import OnnxGraph
from declarative_ml.spec.load import load_spec
from declarative_ml.store.bundle import Bundle, write_bundle

IMAGES = {
    "triton": "nvcr.io/nvidia/tritonserver:25.10-py3",
    "tf-serving": "docker.io/tensorflow/serving:2.19.1",
}
TO = {name: {"type": "kubernetes", "runtime": name, "runtime_image": image} for name, image in IMAGES.items()}
TENSOR = re.compile(r'^(input|output) \{ name: (".*") data_type: TYPE_(\w+) dims: \[ (\d+) \] \}$')
TYPES = {"tensor(string)": "STRING", "tensor(float)": "FP32"}


def spec(folder: Path, runtime: str, **sections: Any) -> Path:
    """A spec whose service is that of others; `serve` and `deploy` lie over what is there."""
    deploy = {"image": IMAGE, "serve": {"to": TO[runtime]}, **sections.pop("deploy", {})}
    whole = {"name": "flowers", "data": {"source": {"type": "sample", "name": "iris"}}, "target": "species",
             "deploy": deploy, **sections}  # fmt: skip
    folder.mkdir(exist_ok=True)
    (folder / "spec.yaml").write_text(json.dumps(whole))
    return folder / "spec.yaml"


def bundle(folder: Path, *names: str) -> Bundle:
    """One of three classes, whatever the columns hold: a number, then texts."""
    graph = OnnxGraph()
    number, *texts = [graph.input(name, "string" if at else "float32") for at, name in enumerate(names)]
    shares = graph.add("Mul", [number, graph.constant([[0.5, 0.3, 0.2]], "float32")])
    label = graph.constant([["rose"]])
    for text in texts:
        label = graph.add("Where", [graph.add("Equal", [text, text]), text, label])
    graph.output(label, "prediction", "string")
    graph.output(shares, "probabilities", "float32", 3)
    inputs = [
        {"name": name, "feature": "category" if at else "number", "dtype": "string" if at else "float32",
         "rule": {"type": "text" if at else "number"}}
        for at, name in enumerate(names)
    ]  # fmt: skip
    task = {"target": "kind", "type": "multiclass", "classes": ["iris", "rose", "tulip"]}
    files = {"model.onnx": graph.build("flowers", {"task": "multiclass"}).SerializeToString(),
             "reference.json": b'{"columns": {}, "background": {}}'}  # fmt: skip
    write_bundle(folder, {"name": "flowers", "task": task, "inputs": inputs}, files)
    return Bundle.open(folder)


def test_the_config_of_triton_fits_the_graph(tmp_path: Path) -> None:
    import onnxruntime

    names = ("length of stem", 'the "colour"', "größe\\n")
    made = bundle(tmp_path / "bundle", *names)
    write_model_folder(tmp_path / "models", made, "triton", name="flowers", batch=500)
    found = (tmp_path / "models").rglob("*.*")
    files = sorted(path.relative_to(tmp_path / "models").as_posix() for path in found)
    assert files == ["flowers/1/model.onnx", "flowers/config.pbtxt"]
    head, *lines = (tmp_path / "models/flowers/config.pbtxt").read_text().splitlines()
    assert (head, lines[:2], lines[-1]) == (
        'name: "flowers"', ['backend: "onnxruntime"', "max_batch_size: 500"], "dynamic_batching { }"
    )  # fmt: skip
    said = {kind: {} for kind in ("input", "output")}  # type: dict[str, dict[str, tuple[str, list[int]]]]
    for line in lines[2:-1]:
        match = TENSOR.match(line)
        assert match is not None, line
        said[match[1]][json.loads(match[2])] = (match[3], [int(match[4])])
    session = onnxruntime.InferenceSession((tmp_path / "models/flowers/1/model.onnx").read_bytes())
    for kind, tensors in (("input", session.get_inputs()), ("output", session.get_outputs())):
        assert said[kind] == {each.name: (TYPES[each.type], each.shape[1:]) for each in tensors}
        assert all(isinstance(each.shape[0], str) for each in tensors)  # the rows: `max_batch_size`
    assert list(said["input"]) == list(names)


def test_the_config_is_one_for_protobuf(tmp_path: Path) -> None:
    library = "tritonclient.grpc.model_config_pb2"
    messages = pytest.importorskip(library, reason="tritonclient[grpc] is not installed")
    from google.protobuf import text_format

    names = ("length", 'the "colour"', "größe\\n")
    text = triton_config(bundle(tmp_path / "bundle", *names).read("model.onnx"), "flowers", 500)
    found = text_format.Parse(text, messages.ModelConfig())
    assert tuple(each.name for each in found.input) == names
    types = [messages.DataType.Name(each.data_type) for each in (*found.input, *found.output)]
    assert types == ["TYPE_FP32", "TYPE_STRING", "TYPE_STRING", "TYPE_STRING", "TYPE_FP32"]
    assert found.HasField("dynamic_batching") and found.max_batch_size == 500


def test_the_folder_of_tensorflow_serving(tmp_path: Path) -> None:
    made = bundle(tmp_path / "bundle", "length")
    (tmp_path / "bundle/formats/savedmodel/1").mkdir(parents=True)
    (tmp_path / "bundle/formats/savedmodel/1/saved_model.pb").write_bytes(b"a graph")
    write_bundle(made.path, made.manifest.model_dump(exclude={"files", "format", "model_digest"}), {})
    models = tmp_path / "models"
    write_model_folder(models, Bundle.open(made.path), "tf-serving", name="flowers", batch=1)
    assert (models / "flowers/1/saved_model.pb").read_bytes() == b"a graph"
    # https://www.tensorflow.org/tfx/serving/serving_config#monitoring_configuration
    path = SERVERS["tf-serving"].metrics[1]
    config = (models / "monitoring.config").read_text()
    assert config == f'prometheus_config {{ enable: true path: "{path}" }}\n'


@pytest.mark.parametrize("runtime", SERVERS)
def test_the_image_starts_as_the_pod_does(runtime: str) -> None:
    text = TRITON.replace("runtime: triton", f"runtime: {runtime}") + "convert: [savedmodel]\n"
    text = text.replace("serve: {max_rows: 500}\n", "")
    objects = render(text)
    ((_, container),) = [pair for pair in containers(objects) if pair[1]["name"] == "serve"]
    server = SERVERS[runtime]
    assert container["command"] == [server.command] and container["args"] == server.arguments("by-triton")
    assert container["image"] == IMAGE
    assert {each["name"]: each["containerPort"] for each in container["ports"]} == dict(server.ports)
    (service,) = of_kind(objects, "Service")
    ports = {each["name"]: (each["port"], each["targetPort"]) for each in service["spec"]["ports"]}
    assert ports == {name: (80 if name == "http" else number, name) for name, number in server.ports.items()}
    (monitor,) = of_kind(objects, "ServiceMonitor")
    (endpoint,) = monitor["spec"]["endpoints"]
    assert (endpoint["port"], endpoint["path"]) == server.metrics
    # Every port that it is told of is one that the pod says, and no other.
    told = {int(number) for number in re.findall(r"port=(\d+)", " ".join(container["args"]))}
    assert told == set(server.ports.values())
    names = [each["metadata"]["name"] for each in of_kind(objects, "ConfigMap")]
    assert [name for name in names if "serve" in name] == []  # the options of our own service


def test_the_context_of_triton(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = spec(tmp_path / "here", "triton", serve={"max_rows": 50})
    made = bundle(tmp_path / "bundle", "length", "colour")
    monkeypatch.setattr("declarative_ml.api.package.open_model", lambda *args, **options: made)
    (context,) = package(str(path), tmp_path / "image", images=["serve"])
    assert context.base == IMAGES["triton"] and context.pinned == ()
    lines = (context.path / "Dockerfile").read_text().splitlines()
    assert lines[0] == f"FROM {context.base}"
    assert {"COPY models /models", "USER 10001:10001"} <= set(lines)
    command = json.loads(lines[-1].removeprefix("ENTRYPOINT "))
    assert command == ["tritonserver", *SERVERS["triton"].arguments("flowers")]
    assert (context.path / ".dockerignore").read_text() == "*\n!models\n"
    assert "max_batch_size: 50\n" in (context.path / "models/flowers/config.pbtxt").read_text()
    with pytest.raises(UsageError, match="Triton serves the model inside of its image"):
        package(str(path), tmp_path / "other", images=["serve"], with_model=False)


def test_a_bundle_without_the_format(tmp_path: Path) -> None:
    made = bundle(tmp_path / "bundle", "length")
    with pytest.raises(
        UsageError, match="the bundle has no savedmodel, which TensorFlow Serving serves"
    ) as caught:
        write_model_folder(tmp_path / "models", made, "tf-serving", name="flowers", batch=1)
    assert "convert: [savedmodel]" in str(caught.value.hint)


def test_a_bundle_whose_texts_are_read_before_the_graph(tmp_path: Path) -> None:
    made = bundle(tmp_path / "bundle", "length", "note")
    fields = json.loads((tmp_path / "bundle/bundle.json").read_text())
    nothing = {"lemmas": True, "entities": False, "parts_of_speech": False}
    fields["inputs"][1]["reading"] = {"pipeline": "en_core_web_sm", **nothing}
    manifest = type(made.manifest).model_validate(fields)
    with pytest.raises(UsageError, match="spaCy reads the texts of note first, which Triton does not run"):
        write_model_folder(tmp_path / "m", Bundle(made.path, manifest), "triton", name="flowers", batch=1)


SPACY = {"type": "text", "encoder": "spacy", "pipeline": "en_core_web_sm"}
SCORING = {
    "source": "s3://b/a.csv",
    "output": "/out/b.csv",
    "volumes": {"out": {"claim": "out", "at": "/out", "read_only": False}},
}
FAULTS: list[tuple[dict[str, Any], str, str]] = [
    ({"deploy": {"serve": {"to": TO["tf-serving"]}}}, "deploy.serve.to.runtime", "the spec makes none"),
    ({"monitor": {"log": "/log"}}, "monitor.log", "Triton has no monitor.log"),
    ({"monitor": {"apm": "https://apm.example.com"}}, "monitor.apm", "Triton has no monitor.apm"),
    ({"monitor": {"drift": {"alert": 0.4}}}, "monitor.drift", "Triton has no monitor.drift"),
    ({"serve": {"token": "${env:T}"}}, "serve.token", "Triton asks for no token"),
    ({"serve": {"shadow": {"model": "registry:a@b"}}}, "serve.shadow", "Triton has no serve.shadow"),
    (
        {"serve": {"model": "registry@champion"}, "track": {"register": "a"}},
        "serve.model",
        "Triton serves what is in its image, and registry:a@champion is elsewhere",
    ),
    (
        {"deploy": {"serve": {"to": TO["triton"], "model": "store"}}},
        "deploy.serve.model",
        "store is elsewhere",
    ),
    (
        {"deploy": {"serve": {"to": TO["triton"], "volumes": {"more": {"claim": "c", "at": "/models/b"}}}}},
        "deploy.serve.volumes.more.at",
        "/models/b would hide the model",
    ),
    ({"deploy": {"train": {"to": TO["triton"]}}}, "deploy.train.to.runtime", "the training is none"),
    ({"features": {"sepal_length": SPACY}}, "features.sepal_length", "the texts of sepal_length first"),
    ({"deploy": {"predict": SCORING}}, "deploy.predict", "batch scoring runs dml, which the image"),
]


@pytest.mark.parametrize(("sections", "path", "message"), FAULTS, ids=[each[1] for each in FAULTS])
def test_what_only_our_service_does_is_refused(
    sections: dict[str, Any], path: str, message: str, tmp_path: Path
) -> None:
    with pytest.raises(SpecError) as caught:
        load_spec(spec(tmp_path / "s", "triton", **sections))
    (problem,) = [each for each in caught.value.problems if each.code == "DML184"]
    assert problem.path == path and message in problem.message
    assert problem.hint and problem.line == 1 and problem.column > 1


def test_watching_is_not_missed_where_it_is_off(tmp_path: Path) -> None:
    sections = {"monitor": {"drift": False}, "serve": {"workers": 2, "max_rows": 9}}
    loaded = load_spec(spec(tmp_path / "s", "triton", **sections))
    assert [(each.code, each.path) for each in loaded.problems] == [("DML109", "serve.workers")]


@pytest.mark.parametrize(
    "to",
    [
        {"runtime": "triton"},
        {"runtime_image": "a.example.com/b:1"},
        {"runtime": "triton", "runtime_image": "a.example.com/b:latest"},
    ],
)
def test_a_server_and_its_image_belong_together(to: dict[str, str], tmp_path: Path) -> None:
    deploy = {"serve": {"to": {"type": "kubernetes", **to}}}
    with pytest.raises(SpecError) as caught:
        load_spec(spec(tmp_path / "s", "triton", deploy=deploy))
    wanted = "'runtime_image' belongs to" if len(to) == 1 else "has the tag latest"
    assert wanted in caught.value.problems[0].message


@pytest.mark.slow
def test_tensorflow_serves_the_folder(write_flowers: Callable[..., Path], tmp_path: Path) -> None:
    """TensorFlow loads what its server would: by the tag and the signature, fed by the columns' names."""
    tf = pytest.importorskip("tensorflow", reason="tensorflow is not installed").compat.v1
    write_flowers(tmp_path / "flowers.csv")
    sections = {"data": {"source": "flowers.csv"}, "target": "kind", "model": "linear", "explain": False,
                "track": False, "convert": ["savedmodel"]}  # fmt: skip
    path = spec(tmp_path, "tf-serving", **sections)
    run_spec(load_spec(path, data=True), RunOptions(listener=lambda event: None))
    (context,) = package(str(path), tmp_path / "image", images=["serve"])
    models = context.path / "models"
    arguments = dict(word[2:].split("=", 1) for word in SERVERS["tf-serving"].arguments("flowers"))
    assert arguments["model_base_path"] == f"/models/{arguments['model_name']}"
    assert (models / Path(arguments["monitoring_config_file"]).name).is_file()
    versions = [each.name for each in (models / "flowers").iterdir()]
    assert versions == ["1"]
    with tf.Session(graph=tf.Graph()) as session:
        loaded = tf.saved_model.load(session, ["serve"], str(models / "flowers/1"))
        signature = loaded.signature_def["serving_default"]
        assert signature.method_name == "tensorflow/serving/predict"
        columns = {column.name for column in open_model(str(path)).manifest.inputs}
        assert set(signature.inputs) == columns
        assert {"prediction", "probabilities"} <= set(signature.outputs)


@pytest.mark.slow
def test_triton_itself_reads_the_config(tmp_path: Path) -> None:
    """The server in $DML_PYTRITON, a wheel of nvidia-pytriton, has no ONNX Runtime: its backend for Python
    stands in that place. Everything else of the config and of the command is as it is."""
    if (wheel := os.environ.get("DML_PYTRITON")) is None:
        pytest.skip("set DML_PYTRITON to a wheel of nvidia-pytriton")
    names = ("length of stem", "the colour", "größe")
    models = tmp_path / "models"
    write_model_folder(models, bundle(tmp_path / "bundle", *names), "triton", name="flowers", batch=500)
    config = models / "flowers/config.pbtxt"
    config.write_text(config.read_text().replace('"onnxruntime"', '"python"'))
    model = "class TritonPythonModel:\n    def execute(self, requests): ...\n"
    (models / "flowers/1/model.py").write_text(model)
    ready = SERVERS["triton"].ready
    with _triton(Path(wheel), tmp_path, models) as server:
        base, deadline = f"http://127.0.0.1:{SHIFT + 8080}", time.monotonic() + 60
        while _code(base + ready.format(name="flowers")) != 200:
            log = (tmp_path / "log").read_text("latin-1")
            assert server.poll() is None and time.monotonic() < deadline, log
            time.sleep(0.5)
        assert _code(f"{base}{SERVERS['triton'].alive}") == 200
        assert _code(base + ready.format(name="others")) != 200
        with urllib.request.urlopen(f"{base}/v2/models/flowers") as answer:
            found = json.load(answer)
        tensors = (*found["inputs"], *found["outputs"])
        assert {each["name"]: (each["datatype"], each["shape"]) for each in tensors} == {
            "length of stem": ("FP32", [-1, 1]),
            "the colour": ("BYTES", [-1, 1]),
            "größe": ("BYTES", [-1, 1]),
            "prediction": ("BYTES", [-1, 1]),
            "probabilities": ("FP32", [-1, 3]),
        }
        path = SERVERS["triton"].metrics[1]
        with urllib.request.urlopen(f"http://127.0.0.1:{SHIFT + 8002}{path}") as answer:
            assert b"nv_inference_request_success" in answer.read()


SHIFT = 20_000
"""Of the ports, so that nothing else has them."""


@contextmanager
def _triton(wheel: Path, folder: Path, models: Path) -> Iterator[subprocess.Popen[bytes]]:
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder)
    home, backend, stub = folder / "pytriton/tritonserver", folder / "backends/python", STUB
    shutil.copytree(home / "backends/python", backend)
    shutil.copy(home / f"python_backend_stubs/3.{sys.version_info.minor}" / stub, backend / stub)
    for program in (home / "bin/tritonserver", backend / stub):
        program.chmod(0o755)
    words = [word.replace("/models", str(models)) for word in SERVERS["triton"].arguments("flowers")]
    words = [re.sub(r"port=(\d+)", lambda found: f"port={int(found[1]) + SHIFT}", word) for word in words]
    libraries = f"{folder / 'nvidia_pytriton.libs'}:{sys.base_prefix}/lib"
    with (folder / "log").open("wb") as log:
        server = subprocess.Popen(
            [str(home / "bin/tritonserver"), f"--backend-directory={backend.parent}", *words],
            env={**os.environ, "LD_LIBRARY_PATH": libraries},
            stdout=log,
            stderr=log,
        )
    try:
        yield server
    finally:
        server.kill()
        server.wait()


STUB = "triton_python_backend_stub"


def _code(url: str) -> int:
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code
    except OSError:
        return 0
