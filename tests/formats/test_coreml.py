"""Core ML packages: converted for real, checked as far as that goes without an Apple machine."""

import numpy as np
import pytest
from small_bundles import train

from declarative_ml.formats.coreml import CoreML
from declarative_ml.scoring.session import open_session

coremltools = pytest.importorskip("coremltools", reason="coremltools is not installed")
pytest.importorskip("tensorflow", reason="TensorFlow is not installed")


def made(original, folder):
    folder.mkdir()
    CoreML(max_batch=64).write(original, folder)
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()
    }


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    ("target", "model", "answer"),
    [
        ("kind", {"type": "mlp", "layers": [8], "epochs": 2}, "probabilities"),
        ("spent", "linear", "prediction"),
    ],
)
def test_the_package_takes_what_the_encoder_makes(tmp_path, target, model, answer):
    original = train(tmp_path / "run", target, model)
    assert CoreML().refuse(original) is None
    files = made(original, tmp_path / "one")
    assert "core.mlpackage/Manifest.json" in files and "encoder.onnx" in files
    assert files == made(original, tmp_path / "two"), "the same model gives the same bytes"

    spec = coremltools.utils.load_spec(str(tmp_path / "one" / "core.mlpackage"))
    assert [value.name for value in spec.description.output] == [answer]
    encoder = open_session(files["encoder.onnx"])
    tensors = {
        node.name: values
        for node, values in zip(encoder.get_outputs(), encoder.run(None, dict(original.rows)), strict=True)
    }
    taken = {value.name: value.type.multiArrayType for value in spec.description.input}
    assert sorted(taken) == sorted(tensors)
    for name, values in tensors.items():
        assert values.dtype in (np.float32, np.int32)
        ranges = taken[name].shapeRange.sizeRanges
        assert [(size.lowerBound, size.upperBound) for size in ranges] == [(1, 64), (values.shape[1],) * 2]
    facts = CoreML().facts(tmp_path / "one")
    assert facts["outputs"] == [answer] and facts["run_here"] is False
    assert CoreML().open(original, tmp_path / "one") is None


def test_trees_are_refused(tmp_path):
    original = train(tmp_path, "spent", {"type": "lightgbm", "rounds": 3})
    assert "it has trees" in CoreML().refuse(original)
