"""TensorFlow Lite Micro: small real bundles in its interpreter, and the C preprocessing compiled."""

import ctypes
import re
import shutil
import subprocess
from functools import partial

import numpy as np
import pytest
from small_bundles import train_once

from declarative_ml.core.errors import StepFailed
from declarative_ml.formats.lite.arena import needed_arena
from declarative_ml.formats.lite.c_source import c_float, c_string, identifiers
from declarative_ml.formats.lite.core import narrow_cut, to_tflite
from declarative_ml.formats.lite.encoder_trace import run_encoder
from declarative_ml.formats.parity import measure, nasty_rows
from declarative_ml.formats.tflm import MODEL, TFLiteMicro

pytest.importorskip("tensorflow")
pytest.importorskip("ai_edge_litert")
pytest.importorskip("tflite_micro")
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning")


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    return partial(train_once, tmp_path_factory)


@pytest.mark.parametrize(
    ("target", "model", "quantize"),
    [
        ("stays", "linear", "none"),
        ("stays", "linear", "int8"),
        ("kind", "mlp", "none"),
        pytest.param("kind", "mlp", "int8", marks=pytest.mark.slow),
        pytest.param("spent", "linear", "none", marks=pytest.mark.slow),
    ],
)
def test_its_answers_are_those_of_the_graph(trained, tmp_path, target, model, quantize):
    original = trained(target, model)
    wanted = TFLiteMicro(quantize=quantize)
    assert wanted.refuse(original) is None
    wanted.write(original, tmp_path)
    parity = measure(original, wanted.open(original, tmp_path), wanted.precision)
    assert parity.holds, parity
    assert wanted.name == ("tflm" if quantize == "none" else "tflm-int8")


def test_the_arena_is_no_larger_than_needed(trained, tmp_path):
    wanted = TFLiteMicro()
    wanted.write(trained("stays", "linear"), tmp_path)
    arena = wanted.facts(tmp_path)["arena_bytes"]
    assert 1_000 < arena < 20_000
    assert arena == needed_arena(tmp_path / MODEL)
    assert f"constexpr int kArena = {arena};" in (tmp_path / "guests_predict.cc").read_text()


def test_a_model_that_cannot_start_is_told(trained, tmp_path):
    halves = narrow_cut(trained("kind", "lightgbm"))
    (tmp_path / MODEL).write_bytes(to_tflite(halves.core, "none", {}, 1))
    with pytest.raises(StepFailed, match=r"Micro cannot start the model: .*not supported by gather"):
        needed_arena(tmp_path / MODEL)


@pytest.mark.parametrize(
    ("target", "model", "without", "reason"),
    [
        ("kind", "lightgbm", ("seen",), "it has trees"),
        ("stays", "linear", (), r"no calendar and no dictionary for the column\(s\) seen"),
    ],
)
def test_what_it_cannot_is_refused(trained, target, model, without, reason):
    found = TFLiteMicro().refuse(trained(target, model, without))
    assert found is not None and re.search(reason, found)


@pytest.mark.skipif(shutil.which("gcc") is None, reason="there is no gcc")
@pytest.mark.parametrize("target", ["stays", "kind"])
def test_the_c_code_makes_what_the_encoder_makes(trained, tmp_path, target):
    original = trained(target, "linear" if target == "stays" else "mlp")
    TFLiteMicro().write(original, tmp_path)
    rows = {name: np.concatenate([v, nasty_rows(original)[name]]) for name, v in original.rows.items()}
    expected = run_encoder(narrow_cut(original).encoder, rows)
    encode, row_type = compiled(original, tmp_path)
    for number in range(len(next(iter(rows.values())))):
        fields = [
            float(value[number, 0]) if value.dtype.kind == "f" else value[number, 0].encode()
            for value in (rows[column.name] for column in original.inputs)
        ]
        made = {name: np.zeros(tensor.shape[1], dtype=tensor.dtype) for name, tensor in expected.items()}
        encode(
            ctypes.byref(row_type(*fields)),
            *(tensor.ctypes.data_as(ctypes.c_void_p) for tensor in made.values()),
        )
        for name, tensor in made.items():
            np.testing.assert_allclose(
                tensor, expected[name][number], rtol=2e-6, atol=2e-6, err_msg=f"{name} {number}"
            )


def compiled(original, folder):
    """The function of guests_encode.c, compiled without a warning, and the type of its row."""
    library = folder / "encode.so"
    warnings = ["-Wall", "-Wextra", "-Werror", "-pedantic", "-std=c99"]
    sources = [str(folder / name) for name in ("guests_encode.c", "guests_model.c")]
    subprocess.run(
        ["gcc", "-shared", "-fPIC", "-O1", *warnings, "-o", str(library), *sources, "-lm"], check=True
    )
    kinds = {"float32": ctypes.c_float, "string": ctypes.c_char_p}
    fields = [(f"f{number}", kinds[column.dtype]) for number, column in enumerate(original.inputs)]
    encode = ctypes.CDLL(str(library)).guests_encode
    encode.restype = None
    return encode, type("Row", (ctypes.Structure,), {"_fields_": fields})


@pytest.mark.parametrize(
    ("names", "made"),
    [
        (["Age", "age"], ["age", "age_1"]),
        (["total charges ($)", "2nd", "日"], ["total_charges", "column_2nd", "column_2"]),
        (["int", "class"], ["int_0", "class_1"]),
    ],
)
def test_names_become_identifiers(names, made):
    assert identifiers(names) == made


@pytest.mark.parametrize(
    ("text", "literal"), [('a"b\\', r'"a\042b\134"'), ("Köln", r'"K\303\266ln"'), ("??/", r'"\077\077/"')]
)
def test_texts_become_literals(text, literal):
    assert c_string(text) == literal


@pytest.mark.parametrize(("value", "literal"), [(3.0, "3.0f"), (1e-5, "1e-05f"), (float("nan"), "NAN")])
def test_numbers_become_literals(value, literal):
    assert c_float(value) == literal
