"""Small real bundles for the tests of formats: tables with gaps, trained in a second or two."""

import csv
import json
import random
from pathlib import Path

import pytest

from declarative_ml.api.run import RunOptions, run_spec
from declarative_ml.formats.base import Original
from declarative_ml.scoring.scorer import Scorer
from declarative_ml.spec.load import load_spec
from declarative_ml.store.bundle import Bundle

ROWS = 240
COLUMNS = {
    "age": "number",
    "fare": "number",
    "size": "number",
    "town": "category",
    "member": "binary",
    "seen": "date",
}


def write_guests(path: Path) -> Path:
    """Numbers, one with gaps, a category with quotes and umlauts, yes/no, a date; three targets."""
    source = random.Random(3)
    lines = ["age,fare,size,town,member,seen,stays,kind,spent"]
    for row in range(ROWS):
        age = "" if source.random() < 0.1 else f"{source.gauss(40, 12):.1f}"
        fare = f"{source.lognormvariate(3, 1):.2f}"
        town = source.choice(["Oslo", "Köln", '"Rome, IT"', 'São ""P""', ""]).replace(
            'São ""P""', '"São ""P"""'
        )
        member = source.choice(["yes", "no", ""])
        score = float(age or 40) / 12 + float(fare) / 20 + 2 * (member == "yes") - (town == "Oslo")
        score += source.gauss(0, 0.7)
        stays = "yes" if score > 5.5 else "no"
        kind = "abc"[(score > 4.5) + (score > 6.5)]
        seen = f"2024-{1 + row % 12:02d}-{1 + row % 28:02d}"
        lines.append(f"{age},{fare},{source.randrange(3)},{town},{member},{seen},{stays},{kind},{score:.3f}")
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


_TRAINED: dict[str, Original] = {}


def train_once(
    factory: pytest.TempPathFactory, target: str, model: str, without: tuple[str, ...] = ("seen",)
) -> Original:
    """`train`, once for all tests of a process."""
    key = f"{target}-{model}-{'-'.join(without)}"
    if key not in _TRAINED:
        _TRAINED[key] = train(factory.mktemp(key), target, model, without)
    return _TRAINED[key]


def train(folder: Path, target: str, model: object, without: tuple[str, ...] = ("seen",)) -> Original:
    """Train `model` for one of the targets stays, kind and spent, and lay its graph beside real rows."""
    folder.mkdir(parents=True, exist_ok=True)
    write_guests(folder / "guests.csv")
    spec = {
        "name": "guests",
        "data": {"source": "guests.csv", "split": {"method": "random", "validation": 0.2}},
        "target": target,
        "features": {name: {"type": kind} for name, kind in COLUMNS.items() if name not in without},
        "model": model,
        "explain": False,
        "track": False,
        "resources": {"cpu": 1},
    }
    path = folder / "spec.yaml"
    path.write_text(json.dumps(spec))
    report = run_spec(load_spec(path, data=True), RunOptions(listener=lambda event: None))
    return original_of(Bundle.open(report.result["bundle"]), folder / "guests.csv")


def original_of(bundle: Bundle, data: Path) -> Original:
    """The graph of a bundle, beside the rows of a table as it takes them."""
    with data.open(encoding="utf-8", newline="") as stream:
        table = list(csv.DictReader(stream))
    wanted = {column.name for column in bundle.manifest.inputs}
    rows, _ = Scorer(bundle).raw_rows([{k: v for k, v in row.items() if k in wanted} for row in table])
    manifest = bundle.manifest
    return Original(
        bundle.read("model.onnx"), manifest.name, manifest.task, manifest.inputs, manifest.threshold, rows
    )
