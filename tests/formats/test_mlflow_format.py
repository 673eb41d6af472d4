"""MLflow's folder: loaded by MLflow, here and in a process that cannot import this package."""

import json
import subprocess
import sys
import textwrap

import numpy as np
import pytest
from small_bundles import train

from declarative_ml.formats.mlflow import Mlflow
from declarative_ml.formats.parity import expected_of, measure

pytest.importorskip("mlflow")

KINDS = [("stays", "linear"), ("kind", "linear"), ("spent", {"type": "lightgbm", "rounds": 10})]


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    made = {}

    def get(target, model):
        if target not in made:
            root = tmp_path_factory.mktemp("mlflow")
            original = train(root / "run", target, model, without=())
            (root / "model").mkdir()
            assert Mlflow().refuse(original) is None
            Mlflow().write(original, root / "model")
            made[target] = original, root / "model"
        return made[target]

    return get


@pytest.mark.parametrize(("target", "model"), KINDS)
def test_mlflow_answers_as_the_graph_does(written, target, model):
    original, folder = written(target, model)
    parity = measure(original, Mlflow().open(original, folder), Mlflow().precision)
    assert parity.holds, parity


def test_the_folder_says_what_a_server_needs(written):
    original, folder = written("stays", "linear")
    import yaml

    about = yaml.safe_load((folder / "MLmodel").read_text(encoding="utf-8"))
    assert sorted(about["flavors"]) == ["onnx", "python_function"]
    assert about["flavors"]["python_function"]["loader_module"] == "mlflow_loader"
    columns = json.loads(about["signature"]["inputs"])
    assert {column["name"]: column["type"] for column in columns} == {
        column.name: "double" if column.dtype == "float32" else "string" for column in original.inputs
    }
    assert not any(column["required"] for column in columns)
    names = [line.split("==")[0] for line in Mlflow().facts(folder)["requirements"]]
    assert names == ["mlflow", "onnxruntime", "numpy", "pandas"]
    assert len(json.loads((folder / "input_example.json").read_text())["data"]) == 3
    assert not list(folder.rglob("__pycache__"))


def test_the_same_model_gives_the_same_folder(written, tmp_path):
    original, folder = written("stays", "linear")
    Mlflow().write(original, tmp_path)
    files = sorted(path.relative_to(folder) for path in folder.rglob("*") if path.is_file())
    assert [path for path in files if (folder / path).read_bytes() != (tmp_path / path).read_bytes()] == []


def test_it_loads_where_the_package_is_not(written):
    original, folder = written("kind", "linear")
    program = """
        import json, sys, warnings
        class Absent:
            def find_spec(self, name, path=None, target=None):
                if name.partition(".")[0] in ("declarative_ml", "onnx", "lightgbm", "duckdb"):
                    raise ImportError(name)
        sys.meta_path.insert(0, Absent())
        warnings.simplefilter("ignore")
        import mlflow.pyfunc, pandas
        model = mlflow.pyfunc.load_model(sys.argv[1])
        rows = pandas.DataFrame({"age": [41.0, 30.0], "town": ["Oslo", None]})
        print(model.predict(rows).to_json())
        print(model.predict(rows.assign(other="x")).to_json())
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program), str(folder)],
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert done.returncode == 0, done.stderr
    whole, wider = (json.loads(line) for line in done.stdout.splitlines()[-2:])
    assert whole == wider
    rows = {
        column.name: np.full((2, 1), np.nan, np.float32)
        if column.dtype == "float32"
        else np.full((2, 1), "", dtype=object)
        for column in original.inputs
    }
    rows["age"][:, 0] = 41, 30
    rows["town"][0, 0] = "Oslo"
    found = [[whole[f"probability_{name}"][row] for name in original.task.classes] for row in "01"]
    np.testing.assert_allclose(found, expected_of(original, rows), atol=1e-6)


def test_the_onnx_flavour_is_the_graph_itself(written):
    original, folder = written(*KINDS[2])
    import mlflow.onnx

    assert mlflow.onnx.load_model(str(folder)).SerializeToString() == original.model.SerializeToString()
