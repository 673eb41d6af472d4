"""Test rows reach no model; held-out rows reach a fold's model through early stopping only."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

if TYPE_CHECKING:
    from declarative_ml.api.run import RunReport

ROTATED = {"a": "b", "b": "c", "c": "a"}
SPLIT = {"method": "column", "column": "part"}
MLP = {"type": "mlp", "layers": [8], "epochs": 3, "networks": 1}
BOOSTED = {"type": "lightgbm", "rounds": 30, "early_stopping": 5}
STATISTICS = {**BOOSTED, "categories": "target"}


def spoil(table: Path, part: str, *, features: bool) -> None:
    """Rotate the labels of the rows of `part`, and fill their features with garbage if asked to."""
    with table.open() as stream:
        rows = list(csv.DictReader(stream))
    for number, row in enumerate(row for row in rows if row["part"] == part):
        row["kind"] = ROTATED[row["kind"]]
        if features:
            row |= {"length": f"{1e6 * number}", "width": "", "colour": "mauve", "seen": "1999-01-01"}
    write(table, rows)


def write(table: Path, rows: list[dict[str, str]]) -> None:
    with table.open("w", newline="") as stream:
        writer = csv.DictWriter(stream, rows[0])
        writer.writeheader()
        writer.writerows(rows)


@pytest.fixture
def parted(
    tmp_path: Path, flowers: Callable[..., Path], write_flowers: Callable[..., Path]
) -> Callable[..., Path]:
    """A spec over flowers whose column `part` says what each row is for."""

    def make(folder: str, **sections: Any) -> Path:
        (tmp_path / folder).mkdir()
        table = write_flowers(tmp_path / folder / "flowers.csv", rows=300)
        with table.open() as stream:
            rows = list(csv.DictReader(stream))
        parts = ("train", "train", "train", "validation", "test")
        write(table, [{**row, "part": parts[number // 3 % 5]} for number, row in enumerate(rows)])
        data = {"source": "flowers.csv", "split": SPLIT}
        return flowers(folder, data=data, exclude=["part"], **sections)

    return make


@pytest.mark.parametrize(
    "model",
    [
        "linear",
        BOOSTED,
        STATISTICS,
        MLP,
        pytest.param({"type": "auto", "quality": "fast"}, marks=pytest.mark.slow),
    ],
    ids=["linear", "lightgbm", "statistics", "mlp", "auto"],
)
def test_garbage_in_test_rows_leaves_the_model_as_it_is(
    model: Any, parted: Callable[..., Path], run: Callable[..., RunReport]
) -> None:
    clean, spoilt = parted("clean", model=model), parted("spoilt", model=model)
    spoil(spoilt.parent / "flowers.csv", "test", features=True)
    first, second = run(clean), run(spoilt)
    models = [(Path(report.result["bundle"]) / "model.onnx").read_bytes() for report in (first, second)]
    assert models[0] == models[1]
    assert first.result["metrics"]["test"] != second.result["metrics"]["test"]


def test_labels_of_held_out_rows_act_through_early_stopping_only(
    parted: Callable[..., Path], run: Callable[..., RunReport]
) -> None:
    members = [{"type": "linear", "penalty": 1.0}, STATISTICS]
    sections = {
        "model": {"type": "ensemble", "members": members},
        "features": {"length": "number", "width": "number", "colour": "category"},
    }
    clean, spoilt = parted("clean", **sections), parted("spoilt", **sections)
    spoil(spoilt.parent / "flowers.csv", "validation", features=False)
    states = [
        {name: state(report, f"train.{name}.fold0") for name in ("linear", "lightgbm")}
        for report in (run(clean), run(spoilt))
    ]
    for name in ("weights", "intercept"):
        assert np.array_equal(states[0]["linear"][name], states[1]["linear"][name])
    statistics = [state["lightgbm"]["statistics"] for state in states]
    assert np.ptp(statistics[0]) > 0.0
    assert np.array_equal(statistics[0], statistics[1])
    trees = [state["lightgbm"]["model"].tobytes().decode().split("\n\n\n") for state in states]
    shared = min(map(len, trees)) - 1
    assert shared > 2
    assert trees[0][1:shared] == trees[1][1:shared]


def state(report: RunReport, step: str) -> dict[str, np.ndarray]:
    digest = json.loads((report.folder / "run.json").read_text())["digests"][step]
    (folder,) = (report.folder.parents[1] / "store" / "artifacts").glob(f"*/{digest}")
    with np.load(folder / "state.npz", allow_pickle=False) as arrays:
        return {name: arrays[name] for name in arrays.files}
