"""`dml predict` and the bare graph on rows as they come: odd, many, in every format, from damaged bundles."""

from __future__ import annotations

import csv
import io
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from declarative_ml.api.run import RunOptions, run_spec
from declarative_ml.spec.load import load_spec
from declarative_ml.store.bundle import zip_bundle

TARGETS = {"binary": "wild", "multiclass": "kind", "number": "length"}
FEATURES = {"width": "number", "colour": "category", "seen": "date"}


@pytest.fixture(scope="module")
def specs(tmp_path_factory: pytest.TempPathFactory, write_flowers: Callable[..., Path]) -> dict[str, Path]:
    """A finished run of each task, over number, category, date and binary columns."""
    paths = {}
    for task, target in TARGETS.items():
        folder = tmp_path_factory.mktemp(task)
        write_flowers(folder / "flowers.csv", rows=200)
        binary = {"wild": "binary"} if target != "wild" else {"kind": "category"}
        spec = {
            "name": task,
            "data": {"source": "flowers.csv", "split": {"method": "random", "validation": 0.2}},
            "target": target,
            "features": {**FEATURES, **binary},
            "model": {"type": "ensemble", "members": [{"type": "lightgbm", "rounds": 8}, "linear"]},
            "explain": False,
            "track": False,
        }
        paths[task] = folder / "spec.yaml"
        paths[task].write_text(json.dumps(spec))
        report = run_spec(load_spec(paths[task], data=True), RunOptions())
        assert report.error is None, report.error
    return paths


def _bundle(spec: Path) -> Path:
    return next(spec.parent.glob(".dml/runs/*/bundle"))


def _table(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as stream:
        return list(csv.DictReader(stream))


def _write(path: Path, rows: list[dict[str, Any]]) -> Path:
    with path.open("w", newline="") as stream:
        writer = csv.DictWriter(stream, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    return path


def _scored(dml: Any, model: Path, data: Path, tmp_path: Path, *options: str) -> list[dict[str, Any]]:
    outcome = dml("predict", model, data, "-o", tmp_path / "out.csv", *options)
    assert outcome.code == 0, outcome.err
    return _table(tmp_path / "out.csv")


@pytest.mark.parametrize("task", TARGETS)
def test_the_bare_graph_gives_the_same_answer(
    task: str, specs: dict[str, Path], dml: Any, tmp_path: Path
) -> None:
    import onnxruntime as ort

    spec = specs[task]
    rows = _table(spec.parent / "flowers.csv")
    rows += [
        {"length": "", "width": "", "colour": "", "seen": "", "wild": "", "kind": ""},
        {"length": "1", "width": "-1e6", "colour": "mauve", "seen": "1850-02-28", "wild": "no", "kind": "zz"},
        {"length": "1", "width": "3", "colour": "RED", "seen": "2999-12-31", "wild": "yes", "kind": "A"},
    ]
    scored = _scored(dml, spec, _write(tmp_path / "rows.csv", rows), tmp_path)
    session = ort.InferenceSession(_bundle(spec) / "model.onnx", providers=["CPUExecutionProvider"])
    feed = {}
    for item in session.get_inputs():
        texts = [row[item.name] for row in rows]
        assert item.shape == ["N", 1]
        if item.type == "tensor(float)":
            numbers = [float(text) if text else float("nan") for text in texts]
            feed[item.name] = np.array(numbers, dtype=np.float32)[:, None]
        else:
            feed[item.name] = np.array(texts, dtype=object)[:, None]
    answers = dict(zip([item.name for item in session.get_outputs()], session.run(None, feed), strict=True))
    if task == "number":
        wanted = np.array([float(row["prediction"]) for row in scored])
        np.testing.assert_allclose(answers["prediction"][:, 0], wanted, atol=1e-5)
        return
    assert answers["prediction"][:, 0].tolist() == [row["prediction"] for row in scored]
    classes = json.loads(session.get_modelmeta().custom_metadata_map["classes"])
    wanted = np.array([[float(row[f"probability_{name}"]) for name in classes] for row in scored])
    np.testing.assert_allclose(answers["probabilities"], wanted, atol=1e-5)


def test_without_the_target_and_with_more_columns(specs: dict[str, Path], dml: Any, tmp_path: Path) -> None:
    spec = specs["multiclass"]
    rows = _table(spec.parent / "flowers.csv")
    plain = _scored(dml, spec, spec.parent / "flowers.csv", tmp_path)
    bare = [{name: value for name, value in row.items() if name not in ("kind", "length")} for row in rows]
    assert _scored(dml, spec, _write(tmp_path / "bare.csv", bare), tmp_path) == plain
    more = [{"note": "x,y", **dict(reversed(row.items())), "id": str(n)} for n, row in enumerate(rows)]
    data = _write(tmp_path / "more.csv", more)
    assert _scored(dml, spec, data, tmp_path) == plain
    kept = _scored(dml, spec, data, tmp_path, "--keep", "id", "--keep", "kind")
    assert [(row["id"], row["kind"]) for row in kept] == [(str(n), row["kind"]) for n, row in enumerate(rows)]


@pytest.mark.parametrize(
    ("rows", "options", "code", "message"),
    [
        ([{"width": 1, "colour": "red", "seen": "2024-01-01"}], [], 5, "wild"),
        ([{"widht": 1, "colour": "red", "seen": "2024-01-01", "wild": "no"}], [], 5, "width"),
        ([{"width": "wide", "colour": "red", "seen": "2024-01-01", "wild": "no"}], [], None, "width"),
        ([{"width": 1, "colour": "red", "seen": "soon", "wild": "no"}], [], None, "seen"),
        ([{"width": 1, "colour": "red", "seen": "2024-01-01", "wild": "no"}], ["--keep", "id"], 5, "id"),
    ],
    ids=[
        "a column is absent",
        "a column is misspelt",
        "a word in a number",
        "a word in a date",
        "nothing to keep",
    ],
)
def test_rows_that_do_not_fit(
    rows: list[dict[str, Any]],
    options: list[str],
    code: int | None,
    message: str,
    specs: Any,
    dml: Any,
    tmp_path: Path,
) -> None:
    data = _write(tmp_path / "rows.csv", rows)
    outcome = dml("predict", specs["multiclass"], data, "-o", tmp_path / "out.csv", *options)
    assert "Traceback" not in outcome.err
    assert message in outcome.err
    if code is None:  # values that do not fit count as missing, and the person is told
        assert outcome.code in (0, 5), outcome.err
    else:
        assert outcome.code == code, outcome.err
        assert "hint:" in outcome.err
        assert not (tmp_path / "out.csv").exists()
    assert not list(tmp_path.glob(".*"))


@pytest.mark.parametrize(
    "content", [b"", b"\n", b"width,colour,seen,wild\n"], ids=["nothing", "a blank line", "a header"]
)
def test_an_empty_file_of_rows(content: bytes, specs: Any, dml: Any, tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_bytes(content)
    outcome = dml("predict", specs["binary"], tmp_path / "rows.csv", "-o", tmp_path / "out.csv")
    assert outcome.code == 5
    assert "hint:" in outcome.err
    assert list(tmp_path.iterdir()) == [tmp_path / "rows.csv"]


def _as(form: str, rows: list[dict[str, str]], folder: Path) -> Path:
    import pyarrow as pa
    import pyarrow.feather as feather
    import pyarrow.parquet as parquet

    table = pa.Table.from_pylist([{**row, "width": float(row["width"])} for row in rows])
    path = folder / f"rows.{form}"
    if form == "parquet":
        parquet.write_table(table, path)
    elif form == "arrow":
        feather.write_feather(table, str(path), compression="uncompressed")
    elif form == "jsonl":
        path.write_text("".join(json.dumps(row) + "\n" for row in table.to_pylist()))
    else:
        _write(path, rows)
    return path


def _read(path: Path) -> list[dict[str, Any]]:
    import pyarrow.feather as feather
    import pyarrow.parquet as parquet

    form = path.suffix
    if form == ".parquet":
        return parquet.read_table(path).to_pylist()
    if form == ".arrow":
        return feather.read_table(str(path), memory_map=False).to_pylist()
    if form == ".jsonl":
        return [json.loads(line) for line in path.read_text().splitlines()]
    text = path.read_text()
    return list(csv.DictReader(io.StringIO(text), delimiter="\t" if form == ".tsv" else ","))


@pytest.mark.parametrize("form", ["csv", "parquet", "jsonl", "arrow"])
@pytest.mark.parametrize("out", ["csv", "tsv", "parquet", "jsonl", "arrow"])
def test_formats_in_and_out(form: str, out: str, specs: Any, dml: Any, tmp_path: Path) -> None:
    spec = specs["binary"]
    rows = _table(spec.parent / "flowers.csv")
    target = tmp_path / f"out.{out}"
    outcome = dml("predict", spec, _as(form, rows, tmp_path), "-o", target)
    assert outcome.code == 0, outcome.err
    wanted = _scored(dml, spec, spec.parent / "flowers.csv", tmp_path / "..")
    found = _read(target)
    assert [row["prediction"] for row in found] == [row["prediction"] for row in wanted]
    probabilities = [[float(row["probability"]) for row in side] for side in (found, wanted)]
    np.testing.assert_allclose(*probabilities, atol=1e-6)


def test_more_rows_than_a_batch_keep_their_order(specs: Any, dml: Any, tmp_path: Path) -> None:
    spec = specs["number"]
    rows = _table(spec.parent / "flowers.csv")
    many = [{**rows[number % len(rows)], "id": str(number)} for number in range(70_000)]
    scored = _scored(dml, spec, _write(tmp_path / "many.csv", many), tmp_path, "--keep", "id")
    assert [row["id"] for row in scored] == [row["id"] for row in many]
    first = [row["prediction"] for row in scored[: len(rows)]]
    assert [row["prediction"] for row in scored] == [first[number % len(rows)] for number in range(70_000)]


def test_stdin_and_stdout(specs: Any, dml: Any, tmp_path: Path) -> None:
    spec = specs["multiclass"]
    data = (spec.parent / "flowers.csv").read_bytes()
    command = [sys.executable, "-m", "declarative_ml", "predict", str(spec), "-"]
    done = subprocess.run(command, input=data, capture_output=True, check=True, env={**os.environ})
    wanted = dml("predict", spec, spec.parent / "flowers.csv", "-o", tmp_path / "out.csv")
    assert wanted.code == 0
    assert done.stdout == (tmp_path / "out.csv").read_bytes()
    empty = subprocess.run(command, input=b"", capture_output=True, check=False)
    assert (empty.returncode, b"stdin is empty" in empty.stderr) == (5, True)


@pytest.mark.parametrize(
    ("output", "message"),
    [
        ("out.xlsx", "cannot write out.xlsx"),
        ("nowhere/out.csv", "does not exist"),
        ("out", "cannot write out"),
    ],
)
def test_an_output_that_cannot_be(output: str, message: str, specs: Any, dml: Any, tmp_path: Path) -> None:
    spec = specs["binary"]
    outcome = dml("predict", spec, spec.parent / "flowers.csv", "-o", tmp_path / output)
    assert (outcome.code, message in outcome.err) == (2, True), outcome.err


def test_a_bundle_as_folder_and_as_zip(specs: Any, dml: Any, tmp_path: Path) -> None:
    spec = specs["multiclass"]
    data = spec.parent / "flowers.csv"
    wanted = _scored(dml, spec, data, tmp_path)
    folder = shutil.copytree(_bundle(spec), tmp_path / "moved")
    zipped = zip_bundle(folder, tmp_path / "model.zip")
    assert _scored(dml, folder, data, tmp_path) == wanted
    assert _scored(dml, zipped, data, tmp_path) == wanted


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("model.onnx", None),
        ("model.onnx", b"junk"),
        ("model.onnx", b""),
        ("bundle.json", None),
        ("bundle.json", b"{"),
        ("bundle.json", b"[]"),
        ("bundle.json", b'{"format": 99}'),
        ("bundle.json", b'{"format": 1}'),
    ],
)
def test_a_damaged_bundle(name: str, content: bytes | None, specs: Any, dml: Any, tmp_path: Path) -> None:
    spec = specs["binary"]
    folder = shutil.copytree(_bundle(spec), tmp_path / "damaged")
    if content is None:
        (folder / name).unlink()
    else:
        (folder / name).write_bytes(content)
    outcome = dml("predict", folder, spec.parent / "flowers.csv", "-o", tmp_path / "out.csv")
    assert outcome.code == 5, outcome.err
    assert "Traceback" not in outcome.err
    assert not (tmp_path / "out.csv").exists()


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04junk", b"junk"], ids=["empty", "cut", "junk"])
def test_a_damaged_zip(content: bytes, specs: Any, dml: Any, tmp_path: Path) -> None:
    (tmp_path / "model.zip").write_bytes(content)
    outcome = dml("predict", tmp_path / "model.zip", specs["binary"].parent / "flowers.csv")
    assert outcome.code == 5, outcome.err
    assert "hint:" in outcome.err


def test_a_spec_that_has_not_run(flowers: Any, dml: Any) -> None:
    path = flowers()
    outcome = dml("predict", path, path.parent / "flowers.csv")
    assert (outcome.code, "has no finished run yet" in outcome.err) == (2, True), outcome.err
