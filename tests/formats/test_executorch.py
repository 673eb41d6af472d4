"""ExecuTorch: small real bundles as programs, run in its own runtime, and held against model.onnx."""

from functools import partial

import numpy as np
import pytest
from small_bundles import train_once

from declarative_ml.core.optional import installed
from declarative_ml.formats.executorch import ENCODER, MODEL, PREPROCESSING, ExecuTorch
from declarative_ml.formats.parity import expected_of, measure
from declarative_ml.scoring.session import open_session

executorch = pytest.importorskip("executorch", reason="executorch is not installed")
pytestmark = pytest.mark.filterwarnings("ignore")
"""Its own, of torch's and of its own parts."""

MLP = {"type": "mlp", "layers": [8], "epochs": 2}
FOREST = {"type": "lightgbm", "rounds": 5}


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    return partial(train_once, tmp_path_factory)


def converted(wanted, original, folder):
    folder.mkdir(exist_ok=True)
    wanted.write(original, folder)
    return wanted.open(original, folder)


@pytest.mark.parametrize(
    ("target", "model", "without", "backend"),
    [
        ("stays", "linear", ("seen",), "portable"),
        ("spent", MLP, (), "portable"),
        ("kind", FOREST, ("seen",), "portable"),
        pytest.param(
            "spent", MLP, (), "xnnpack",
            marks=pytest.mark.skipif(not installed("torchao"), reason="torchao is not installed"),
        ),
    ],
)  # fmt: skip
def test_a_program_is_equal_on_real_and_nasty_rows(trained, tmp_path, target, model, without, backend):
    original = trained(target, model, without)
    wanted = ExecuTorch(backend=backend, max_batch=32)
    assert wanted.refuse(original) is None
    parity = measure(original, converted(wanted, original, tmp_path), wanted.precision)
    assert parity.holds, parity
    assert parity.disagreements == 0
    assert parity.nasty_rows >= 40
    assert parity.beyond == 0
    facts = wanted.facts(tmp_path)
    assert facts["backends"] == ([] if backend == "portable" else ["XnnpackBackend"])
    assert facts["memory"] > 0
    assert "aten::gather.out" in facts["operators"] or model is not FOREST


def test_a_caller_can_use_the_files_alone(trained, tmp_path):
    import torch
    from executorch.runtime import Runtime

    original = trained("stays", "linear")
    converted(ExecuTorch(), original, tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == [ENCODER, MODEL, PREPROCESSING]
    row = {name: values[:1] for name, values in original.rows.items()}
    tensors = open_session((tmp_path / ENCODER).read_bytes()).run(None, row)
    program = Runtime.get().load_program((tmp_path / MODEL).read_bytes())
    (found,) = program.load_method("forward").execute([torch.from_numpy(values) for values in tensors])
    np.testing.assert_allclose(found.numpy(), expected_of(original, row), atol=1e-6)


def test_files_do_not_change_from_one_conversion_to_the_next(trained, tmp_path):
    original = trained("stays", "linear")
    for name in ("first", "second"):
        converted(ExecuTorch(), original, tmp_path / name)
    for name in (MODEL, ENCODER, PREPROCESSING):
        content = (tmp_path / "first" / name).read_bytes()
        assert content == (tmp_path / "second" / name).read_bytes()
        assert str(tmp_path).encode() not in content and b"/site-packages/" not in content
