"""Bundles of a small table with texts, dates, prices and gaps, and its rows as the graph takes them."""

import csv
import json
import random
from functools import cache
from pathlib import Path

from declarative_ml.api.run import RunOptions, run_spec
from declarative_ml.formats.base import Original
from declarative_ml.scoring.scorer import Scorer
from declarative_ml.spec.load import load_spec
from declarative_ml.store.bundle import Bundle

FEATURES = {
    "price": "number",
    "hours": "number",
    "team": "category",
    "opened": "date",
    "urgent": "binary",
    "note": "text",
}
WORDS = ("Printer", "printer", "Über", "über", "broken", "again", "日本", "x1", "l'été", "ÀÉ")


def write_tickets(path, rows=200):
    source = random.Random(5)
    with path.open("w", encoding="utf-8", newline="") as stream:
        table = csv.writer(stream)
        table.writerow([*FEATURES, "solved", "kind", "cost"])
        for row in range(rows):
            hours = source.gauss(3, 1)
            team = source.choice(["red", "green", "1", ""])
            urgent = source.choice(["yes", "no"])
            note = " ".join(source.choice(WORDS) for _ in range(source.randrange(5)))
            score = hours + (team == "red") + ("roken" in note) + source.gauss(0, 0.5)
            table.writerow(
                [
                    f"${source.randrange(500, 5000):,}.50" if source.random() < 0.9 else "",
                    "" if source.random() < 0.1 else f"{hours:.2f}",
                    team,
                    f"{1 + row % 28:02d}.{1 + row % 12:02d}.2024",
                    urgent,
                    note,
                    "yes" if score > 3.8 else "no",
                    "abc"[(score > 3) + (score > 4.5)],
                    f"{score:.3f}",
                ]
            )
    return path


def train(root, target, model, without=("note",)):
    """The bundle's folder, and the Original with 100 real rows; once for each model below `root`."""
    return _train(root, target, model, without)


@cache
def _train(root, target, model, without):
    if not (root / "tickets.csv").exists():
        write_tickets(root / "tickets.csv")
    folder = root / f"{target}-{model}-{len(without)}"
    folder.mkdir()
    spec = {
        "name": "tickets",
        "data": {"source": "../tickets.csv", "split": {"method": "random", "validation": 0.2}},
        "target": target,
        "features": {name: kind for name, kind in FEATURES.items() if name not in without},
        "model": model,
        "explain": False,
        "track": False,
        "resources": {"cpu": 1},
    }
    (folder / "spec.yaml").write_text(json.dumps(spec))
    silent = RunOptions(listener=lambda event: None)
    bundle = Path(run_spec(load_spec(folder / "spec.yaml", data=True), silent).result["bundle"])
    return bundle, original_of(bundle, folder.parent / "tickets.csv")


def table_rows(original, data, count=100):
    """The first rows of the table, as a person would send them."""
    with data.open(encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream))[:count]
    return [{column.name: row[column.name] for column in original.inputs} for row in rows]


def original_of(folder, data):
    bundle = Bundle.open(folder)
    about = bundle.manifest
    found = Original(bundle.read("model.onnx"), about.name, about.task, about.inputs, about.threshold, {})
    rows, _ = Scorer(bundle).raw_rows(table_rows(found, data))
    return Original(found.content, about.name, about.task, about.inputs, about.threshold, rows)
