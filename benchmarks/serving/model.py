"""The model that is served: a linear one on a table like the census's `adult`. Beside a light model what the
servers cost shows."""

from __future__ import annotations

import csv
import json
import random
from pathlib import Path
from typing import Any

from declarative_ml.api.run import RunOptions, run_spec
from declarative_ml.spec.load import load_spec
from declarative_ml.store.bundle import Bundle

NUMBERS = {"age": 75, "weight": 1_000_000, "years": 16, "gain": 20_000, "loss": 4_000, "hours": 99}
WORDS = {"work": 8, "education": 16, "marital": 7, "job": 14, "family": 6, "race": 5, "sex": 2, "country": 40}
ROWS = 3000


def bundle(folder: Path) -> Bundle:
    """The bundle below `folder`, trained now if it is not there."""
    place = folder / "bundle"
    if not place.exists():
        folder.mkdir(parents=True, exist_ok=True)
        _write_table(folder / "adult.csv")
        spec = {
            "name": "adult",
            "data": {"source": "adult.csv"},
            "target": "income",
            "features": {**dict.fromkeys(NUMBERS, "number"), **dict.fromkeys(WORDS, "category")},
            "model": "linear",
            "explain": False,
            "track": False,
            "resources": {"cpu": 1},
        }
        (folder / "spec.yaml").write_text(json.dumps(spec))
        done = run_spec(load_spec(folder / "spec.yaml", data=True), RunOptions(listener=lambda event: None))
        Bundle.open(done.result["bundle"]).unpack(place)
    return Bundle.open(place)


def rows(count: int, seed: int = 5) -> list[dict[str, Any]]:
    """Rows as a client has them: numbers and words, none missing."""
    source = random.Random(seed)
    return [
        {name: source.randrange(most) for name, most in NUMBERS.items()}
        | {name: f"{name} {source.randrange(most)}" for name, most in WORDS.items()}
        for _ in range(count)
    ]


def _write_table(path: Path) -> None:
    source = random.Random(6)
    with path.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow([*NUMBERS, *WORDS, "income"])
        for row in rows(ROWS, seed=7):
            score = row["age"] / 30 + row["years"] / 8 + row["hours"] / 50 + row["gain"] / 9000
            score += int(row["education"].split()[1]) / 10 + source.gauss(0, 0.8)
            writer.writerow([*row.values(), ">50K" if score > 5 else "<=50K"])
