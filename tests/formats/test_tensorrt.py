"""What an NVIDIA machine builds an engine from: checked as far as it goes without one."""

import re
import subprocess
from dataclasses import replace

import numpy as np
import onnx
import pytest
from pydantic import ValidationError
from small_bundles import train

from declarative_ml.formats.parity import expected_of
from declarative_ml.formats.tensorrt import TensorRT
from declarative_ml.scoring.session import open_session

KINDS = [("kind", {"type": "mlp", "layers": [8], "epochs": 2}), ("spent", "linear")]


@pytest.mark.parametrize(("target", "model"), KINDS)
def test_encoder_and_core_answer_as_the_graph_and_the_files_agree(tmp_path, target, model):
    original, wanted = train(tmp_path / "run", target, model), TensorRT(batch=32, max_batch=256)
    folder = tmp_path / "made"
    folder.mkdir()
    assert wanted.refuse(original) is None
    wanted.write(original, folder)
    assert wanted.open(original, folder) is None
    assert wanted.facts(folder)["run_here"] is False
    core = onnx.load(folder / "core.onnx")
    onnx.checker.check_model(core, full_check=True)

    encoder = open_session((folder / "encoder.onnx").read_bytes())
    names = [node.name for node in encoder.get_outputs()]
    tensors = dict(zip(names, encoder.run(names, dict(original.rows)), strict=True))
    session = open_session((folder / "core.onnx").read_bytes())
    found = session.run(None, tensors)[0]
    np.testing.assert_allclose(found, expected_of(original, original.rows), rtol=1e-5, atol=1e-5)

    script = (folder / "build.sh").read_text()
    subprocess.run(["bash", "-n", str(folder / "build.sh")], check=True)
    shapes = {name: values.shape[1] for name, values in tensors.items()}
    for option, rows in (("min", 1), ("opt", 32), ("max", 256)):
        listed = re.search(rf"--{option}Shapes=(\S+)", script)[1].split(",")
        assert sorted(listed) == sorted(f"{name}:{rows}x{width}" for name, width in shapes.items())

    config = (folder / "triton" / "guests" / "config.pbtxt").read_text()
    kinds = {"float32": "TYPE_FP32", "int64": "TYPE_INT64"}
    for name, values in {**tensors, session.get_outputs()[0].name: found}.items():
        line = f'{{ name: "{name}", data_type: {kinds[str(values.dtype)]}, dims: [ {values.shape[1]} ] }}'
        assert line in config
    assert 'platform: "tensorrt_plan"\nmax_batch_size: 256\n' in config


def test_the_script_calls_trtexec_and_lays_the_engine_where_triton_looks(tmp_path):
    original = train(tmp_path / "run", "spent", "linear")
    folder = tmp_path / "made"
    folder.mkdir()
    TensorRT().write(original, folder)
    stand_in = tmp_path / "trtexec"
    loop = 'for option; do case "$option" in --saveEngine=*) echo engine > "${option#*=}";; esac; done'
    stand_in.write_text(f"#!/bin/sh\n{loop}\n")
    stand_in.chmod(0o755)
    where = {"TRTEXEC": str(stand_in), "PATH": "/usr/bin:/bin"}
    subprocess.run([folder / "build.sh"], check=True, capture_output=True, env=where)
    assert (folder / "triton" / "guests" / "1" / "model.plan").read_text() == "engine\n"


def test_trees_are_refused(tmp_path):
    original = train(tmp_path, "spent", {"type": "lightgbm", "rounds": 3})
    assert TensorRT().refuse(original) == "TensorRT has no trees; linear and neural models fit"


def test_a_name_that_is_no_name_gets_into_no_path_and_no_script(tmp_path):
    original = train(tmp_path, "spent", "linear")
    for name in ("../../x", "x'; touch y; '", ""):
        assert "cannot name a folder" in TensorRT().refuse(replace(original, name=name))


def test_the_batches_are_in_order():
    with pytest.raises(ValidationError, match=r"batch \(64\) is more than max_batch \(8\)"):
        TensorRT(max_batch=8)
