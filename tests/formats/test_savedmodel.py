import json
import random
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from small_bundles import original_of, train_once

from declarative_ml.api.run import RunOptions, run_spec
from declarative_ml.core.optional import installed
from declarative_ml.formats.base import Original
from declarative_ml.formats.savedmodel import SIGNATURE, WARMUP, SavedModel, prediction_log
from declarative_ml.scoring.session import open_session, run_graph
from declarative_ml.spec.load import load_spec
from declarative_ml.store.bundle import Bundle

pytestmark = [
    pytest.mark.skipif(not installed("tensorflow"), reason="tensorflow is not installed"),
    # TensorFlow's and the engines' own.
    pytest.mark.filterwarnings("ignore"),
]

MODELS: dict[str, tuple[str, Any]] = {
    "linear": ("stays", "linear"),
    "mlp": ("spent", "mlp"),
    "ensemble": ("kind", {"type": "ensemble", "members": ["linear", "lightgbm"]}),
}


@pytest.fixture(scope="module")
def originals(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Original]:
    return lambda name: train_once(tmp_path_factory, *MODELS[name], without=())


def nasty(original: Original) -> dict[str, np.ndarray]:
    """Real rows, then missing, unseen and extreme values."""
    found = {}
    for name, values in original.rows.items():
        if values.dtype == object:
            odd = [
                "",
                "never seen",
                "köln",
                "2024-02-30",
                "1999-12-31T23:59:59",
                "0000-01-01",
                "日本",
                " yes",
            ]
        else:
            odd = [np.nan, np.inf, -np.inf, 3e38, -3e38, 0.0, -1.0, 1e9]
        found[name] = np.concatenate([values, np.array(odd, dtype=values.dtype)[:, None]])
    return found


def answer(original: Original, rows: dict[str, np.ndarray]) -> np.ndarray:
    found = run_graph(open_session(original.content), rows)
    return found.reshape(len(found), -1)


def check(original: Original, options: SavedModel, folder: Path) -> None:
    """Convert, run, and compare on nasty rows, by the predictions' spread for a number."""
    assert options.refuse(original) is None
    options.write(original, folder)
    run = options.open(original, folder)
    assert run is not None
    rows = nasty(original)
    expected, found = answer(original, rows), run(rows)
    spread = 1.0 if original.task.is_classification else float(expected.std())
    assert found.dtype == np.float64
    assert np.abs(found - expected).max() / spread <= options.precision


@pytest.mark.parametrize("name", MODELS)
def test_it_gives_the_same_on_nasty_rows(
    originals: Callable[[str], Original], name: str, tmp_path: Path
) -> None:
    check(originals(name), SavedModel(), tmp_path)


def test_texts_are_read_the_same(tmp_path: Path) -> None:
    source = random.Random(5)
    words = ["good", "bad", "Größe", "$5", "not", "é́", "日本", "fine!", "don't", "x_1", "ok?"]
    lines = ["review,stars,liked"]
    for _ in range(160):
        text = " ".join(source.choices(words, k=source.randrange(9)))
        score = text.count("good") + text.count("fine") - text.count("bad") + source.gauss(0, 0.3)
        lines.append(f"{text},{source.randrange(5)},{'yes' if score > 0.2 else 'no'}")
    (tmp_path / "reviews.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    spec = {
        "name": "reviews",
        "data": {"source": "reviews.csv", "split": {"method": "random", "validation": 0.2}},
        "target": "liked",
        "features": {"review": {"type": "text", "components": 4}, "stars": {"type": "number"}},
        "model": {"type": "ensemble", "members": ["linear", "lightgbm"]},
        "explain": False,
        "track": False,
        "resources": {"cpu": 1},
    }
    (tmp_path / "spec.yaml").write_text(json.dumps(spec))
    report = run_spec(load_spec(tmp_path / "spec.yaml", data=True), RunOptions(listener=lambda event: None))
    original = original_of(Bundle.open(report.result["bundle"]), tmp_path / "reviews.csv")
    assert {"Loop", "Tokenizer", "Unique", "TreeEnsemble"} <= original.operators
    (tmp_path / "out").mkdir()
    check(original, SavedModel(), tmp_path / "out")
    refusal = SavedModel(engine="onnx-tf").refuse(original)
    assert refusal == "it weighs the terms of texts, and onnx-tf knows no texts; engine: native does"


@pytest.mark.slow
@pytest.mark.parametrize(("engine", "module"), [("onnx-tf", "onnx_tf"), ("onnx2tf", "onnx2tf")])
@pytest.mark.parametrize("name", ["linear", "mlp"])
def test_other_engines_convert_the_core(
    originals: Callable[[str], Original], engine: Any, module: str, name: str, tmp_path: Path
) -> None:
    if not installed(module):
        pytest.skip(f"{engine} is not installed")
    original, options = originals(name), SavedModel(engine=engine)
    if engine == "onnx2tf" and options.refuse(original) is not None:
        assert "turns tensors of three dimensions around" in str(options.refuse(original))
        return
    check(original, options, tmp_path)
    assert options.name == f"savedmodel-{engine}"


def test_engines_refuse_what_they_do_not_know(originals: Callable[[str], Original]) -> None:
    original = originals("ensemble")
    for engine in ("onnx-tf", "onnx2tf"):
        refusal = SavedModel.model_validate({"engine": engine}).refuse(original)
        assert refusal == f"it has trees, and {engine} knows no TreeEnsemble; engine: native does"
    assert SavedModel().refuse(original) is None


PLAIN = """
import json, sys
import tensorflow as tf
folder, rows = sys.argv[1], json.load(sys.stdin)
assert not any(name.startswith("declarative_ml") or name == "onnx" for name in sys.modules)
signature = tf.saved_model.load(folder).signatures["serving_default"]
feed = {name: tf.constant(values, tf.float32 if isinstance(values[0][0], float) else tf.string)
        for name, values in rows.items()}
found = signature(**feed)
lists = {name: tensor.numpy().ravel().tolist() for name, tensor in found.items()}
print(json.dumps({name: [str(v, "utf-8") if isinstance(v, bytes) else v for v in values]
                  for name, values in lists.items()}))
"""


def test_plain_tensorflow_loads_it_and_serves_raw_columns(
    originals: Callable[[str], Original], tmp_path: Path
) -> None:
    original = renamed(originals("ensemble"), {"age": "Fare €", "town": "class of the town", "size": "size"})
    options = SavedModel()
    options.write(original, tmp_path)
    rows = {name: values[:20] for name, values in original.rows.items()}
    done = subprocess.run(
        [sys.executable, "-c", PLAIN, str(tmp_path / "1")],
        input=json.dumps({name: values.tolist() for name, values in rows.items()}),
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    labels, probabilities = open_session(original.content).run(["prediction", "probabilities"], rows)
    assert found["prediction"] == labels.ravel().tolist()
    np.testing.assert_allclose(found["probabilities"], probabilities.ravel(), atol=1e-5)


def renamed(original: Original, names: dict[str, str]) -> Original:
    """The same graph with other names of its inputs."""
    from onnx import load_model_from_string

    model = load_model_from_string(original.content)
    for value in model.graph.input:
        value.name = names.get(value.name, value.name)
    for node in model.graph.node:
        node.input[:] = [names.get(name, name) for name in node.input]
    rows = {names.get(name, name): values for name, values in original.rows.items()}
    return replace(original, content=model.SerializeToString(), rows=rows)


def test_names_that_python_cannot_tell_apart(originals: Callable[[str], Original], tmp_path: Path) -> None:
    original = renamed(
        originals("linear"), {"age": "a €", "fare": "a $", "size": "self", "town": "日本 (é)", "seen": "1"}
    )
    check(original, SavedModel(warmup=0), tmp_path)
    facts = SavedModel().facts(tmp_path)
    assert facts["inputs"] == {
        "1": "string[N, 1]", "a $": "float32[N, 1]", "a €": "float32[N, 1]",
        "member": "string[N, 1]", "self": "float32[N, 1]", "日本 (é)": "string[N, 1]",
    }  # fmt: skip
    assert facts["outputs"] == {"prediction": "string[N, 1]", "probabilities": "float32[N, 2]"}
    assert {"LookupTableFindV2", "StaticRegexFullMatch", "MatMul"} <= set(facts["operators"])
    assert not {"SaveV2", "RestoreV2"} & set(facts["operators"])
    assert not (tmp_path / "1" / WARMUP).exists()


def test_the_layout_is_the_one_of_the_server_and_the_bytes_are_stable(
    originals: Callable[[str], Original], tmp_path: Path
) -> None:
    original = originals("linear")
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        SavedModel(warmup=3).write(original, tmp_path / folder)
    files = {str(path.relative_to(tmp_path / "a")) for path in (tmp_path / "a").rglob("*") if path.is_file()}
    assert files == {
        "1/saved_model.pb",
        "1/assets.extra/tf_serving_warmup_requests",
        "1/variables/variables.index",
        "1/variables/variables.data-00000-of-00001",
    }
    warmup = [(tmp_path / folder / "1" / WARMUP).read_bytes() for folder in ("a", "b")]
    assert warmup[0] == warmup[1]


def test_the_warm_up_requests_are_real_rows(originals: Callable[[str], Original], tmp_path: Path) -> None:
    original = originals("linear")
    SavedModel(warmup=3).write(original, tmp_path)
    from declarative_ml.formats.tf.runtime import tensorflow

    tf, message = tensorflow(), prediction_log_class()
    records = list(tf.data.TFRecordDataset(str(tmp_path / "1" / WARMUP)).as_numpy_iterator())
    assert len(records) == 3
    for row, record in enumerate(records):
        request = message.FromString(record).predict_log.request
        assert request.model_spec.name == original.name
        assert request.model_spec.signature_name == SIGNATURE
        assert {entry.key for entry in request.inputs} == set(original.rows)
        for entry in request.inputs:
            sent = tensor(entry.value)
            values = original.rows[entry.key][row : row + 1]
            if values.dtype == object:
                assert [[text.decode() for text in line] for line in sent.tolist()] == values.tolist()
            else:
                np.testing.assert_array_equal(sent, values)


def tensor(content: bytes) -> np.ndarray:
    import tensorflow as tf
    from tensorflow.core.framework import tensor_pb2

    found: np.ndarray = tf.make_ndarray(tensor_pb2.TensorProto.FromString(content))
    return found


def prediction_log_class() -> Any:
    """PredictionLog as tensorflow_serving/apis describes it, as far as we fill it."""
    from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

    file = descriptor_pb2.FileDescriptorProto(name="log.proto", package="t", syntax="proto3")
    fields = {
        "ModelSpec": [("name", 1, "string"), ("signature_name", 3, "string")],
        "Entry": [("key", 1, "string"), ("value", 2, "bytes")],
        "PredictRequest": [("model_spec", 1, "ModelSpec"), ("inputs", 2, "Entry")],
        "PredictLog": [("request", 1, "PredictRequest")],
        "PredictionLog": [("predict_log", 6, "PredictLog")],
    }
    types = descriptor_pb2.FieldDescriptorProto
    for message, parts in fields.items():
        made = file.message_type.add(name=message)
        for name, number, kind in parts:
            label = types.LABEL_REPEATED if name == "inputs" else types.LABEL_OPTIONAL
            field = made.field.add(name=name, number=number, label=label)
            if kind in fields:
                field.type, field.type_name = types.TYPE_MESSAGE, f".t.{kind}"
            else:
                field.type = types.TYPE_STRING if kind == "string" else types.TYPE_BYTES
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("t.PredictionLog"))


@pytest.mark.parametrize("size", [0, 1, 127, 128, 300, 20_000])
def test_lengths_of_every_size(size: int) -> None:
    request = prediction_log_class().FromString(prediction_log("m", {"a": b"x" * size})).predict_log.request
    assert [(entry.key, len(entry.value)) for entry in request.inputs] == [("a", size)]


@pytest.mark.slow
def test_the_shims_of_onnx_tf_are_still_needed() -> None:
    """Once this fails, `onnx_tf_shim` can go."""
    if not installed("onnx_tf"):
        pytest.skip("onnx-tf is not installed")
    done = subprocess.run(
        [sys.executable, "-c", "import onnx_tf.backend"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert "mapping" in done.stderr or "tensorflow_addons" in done.stderr
